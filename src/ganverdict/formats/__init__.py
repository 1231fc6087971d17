"""Readers of the logs that GAN trainings leave; `read` takes whatever it is given."""

from ganverdict.formats.describe import describe
from ganverdict.formats.errors import ReadError
from ganverdict.formats.reading import read

__all__ = ["ReadError", "describe", "read"]
