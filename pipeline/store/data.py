"""The digits, for every stage after `fetch`."""

from collections.abc import Mapping

from dcgan import mnist
from pipeline.base.cli import UserError, corrupt, read_json
from pipeline.base.paths import DATA, DATA_REPORT


def load_data() -> mnist.Mnist:
    """Read what `fetch` left; a missing or wrong file is named, with the stage that makes it."""
    try:
        data = mnist.load(DATA)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: missing; `dvc repro fetch` brings it") from None
    except ValueError as error:
        raise UserError(f"{error}; delete {DATA}, then `dvc repro fetch` brings it anew") from None
    _check_against_report()
    return data


def _check_against_report() -> None:
    """Raise UserError unless the files are those that `fetch` described.

    The report only checks what DVC hands on anyway, and so is no dependency of the stages: with
    another source for the same digits, nothing needs to be made anew.
    """
    report = read_json(DATA_REPORT, "fetch")
    if not isinstance(report, Mapping) or "hash" not in report:
        raise corrupt(DATA_REPORT, "fetch")
    present = mnist.data_hash(DATA)
    if present != report["hash"]:
        # Forced: DVC does not look into a file whose size and time are the old ones.
        raise UserError(
            f"{DATA}: changed after it was fetched (hash {present}, in {DATA_REPORT} "
            f"{report['hash']}); `dvc repro -f fetch` brings it anew"
        )
