"""The original's experiment again, measured: `make replicate` or `python -m pipeline.replicate`.

Trains the blog post's recipe with D frozen and with the joint update, and the stabilised recipe
beside them, each over several seeds at the size of the section `replicate` of params.yaml. Every
run is in the tracker and in reports/replication/<recipe>-<seed>/, which grows with each epoch.
Ended by Ctrl-C, SIGTERM or a kill, the same command continues every run where it was, and repeats
none. A record that was made with other parameters or by another judge stays as it is: the command
says what differs and ends; --folder makes the experiment anew beside it.

--dry-run tells what the records there say by today's verdict. It trains nothing and changes no
record, but writes result.json and the pictures, which git tracks, anew.
"""

from pathlib import Path

from pipeline.base.cli import Parser, load_params, run
from pipeline.base.paths import REPLICATION


def main() -> None:
    parser = Parser("replicate", __doc__)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="train nothing: print the tables, and write result.json and the pictures anew from"
        " the records",
    )
    parser.add_argument(
        "--folder", type=Path, default=REPLICATION, help=f"of the records (default {REPLICATION})"
    )
    arguments = parser.parse_args()
    params = load_params()
    # After the command line is known to be right: this takes seconds.
    from pipeline.replication.session import replicate

    replicate(params, arguments.folder, arguments.dry_run)


if __name__ == "__main__":
    run(main)
