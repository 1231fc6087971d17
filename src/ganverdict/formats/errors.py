"""The one error of every reader."""


class ReadError(ValueError):
    """A log that cannot be read; the message is one line: what, where, what was expected."""
