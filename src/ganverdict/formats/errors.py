"""The errors of every reader."""


class ReadError(ValueError):
    """A log that cannot be read; the message is one line: what, where, what was expected."""


class BrokenLogError(ReadError):
    """A file that by all signs is a log, and cannot be read: a folder's answer says that it lacks.

    What is no log at all is a plain `ReadError`, and in a folder nobody asks for it.
    """
