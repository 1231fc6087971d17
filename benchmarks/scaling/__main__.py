"""How far does it go? What grows with what, and where it stops: docs/scaling.md.

    python -m benchmarks.scaling                      # everything, about 40 minutes on two cores
    python -m benchmarks.scaling trials checkpoints   # some sections
    python -m benchmarks.scaling --quick              # the same rows of next to nothing, a minute

One JSON line a row, then tables. Sections: trials (a search's round trips, counted; trials in an
hour against workers and distance), study (1,000 trials in one study), tracking (MLflow's server
with 10 million metric rows, which take 5 GB of the temporary folder for a while), checkpoints (size
against width). What needs PostgreSQL starts one of its own, and is left out where there is none.
"""

from typing import TYPE_CHECKING

from pipeline.base.cli import Parser, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECTIONS = ("trials", "study", "tracking", "checkpoints")


def rows_of(section: str, quick: bool) -> "Iterator[dict[str, object]]":
    """The rows of a section as they come."""
    # Imported here: Optuna, MLflow and torch take seconds.
    if section == "checkpoints":
        from benchmarks.scaling import checkpoints

        return checkpoints.rows(checkpoints.QUICK if quick else checkpoints.Size())
    if section == "tracking":
        from benchmarks.scaling import tracking

        return tracking.rows(tracking.QUICK if quick else tracking.Size())
    from benchmarks.scaling import search

    of: dict[str, Callable[[search.Size], Iterator[dict[str, object]]]]
    of = {"trials": search.trial_rows, "study": search.study_rows}
    return of[section](search.QUICK if quick else search.Size())


def main() -> None:
    parser = Parser("scaling", __doc__)
    parser.prog = "python -m benchmarks.scaling"
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="shows that it runs")
    arguments = parser.parse_args()
    for name in arguments.sections:
        if name not in SECTIONS:
            parser.error(f"{name}: no section; there are {', '.join(SECTIONS)}")
    from benchmarks.timing import machine, show, tables

    rows = [show(machine(quick=arguments.quick))]
    for section in arguments.sections or SECTIONS:
        rows += [show(row) for row in rows_of(section, arguments.quick)]
    print("\n" + tables(rows))


if __name__ == "__main__":
    run(main)
