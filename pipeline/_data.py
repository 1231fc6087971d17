"""The digits, for every stage after `fetch`."""

from dcgan import mnist
from pipeline._cli import UserError
from pipeline._paths import DATA


def load_data() -> mnist.Mnist:
    """Read what `fetch` left; a missing or wrong file is named, with the stage that makes it."""
    try:
        return mnist.load(DATA)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: missing; `dvc repro fetch` brings it") from None
    except ValueError as error:
        raise UserError(f"{error}; delete {DATA}, then `dvc repro fetch` brings it anew") from None
