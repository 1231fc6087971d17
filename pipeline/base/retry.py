"""When to try again what has failed: the longer a failure took, the longer it is left alone."""

import time

_SECONDS = 60.0  # at least, and no less than so many times what the failure took:
_FACTOR = 30  # what never answers costs about 3 % of a run


class Retry:
    """Something that may fail and is tried again and again."""

    def __init__(self) -> None:
        self._at = 0.0
        self._began = 0.0

    @property
    def failing(self) -> bool:
        """Whether the last try failed."""
        return self._at > 0

    def begin(self, at_once: bool = False) -> bool:
        """Whether to try now; `at_once`: however short ago the last failure was."""
        self._began = time.monotonic()
        return at_once or self._began >= self._at

    def failed(self) -> None:
        now = time.monotonic()
        self._at = now + max(_SECONDS, _FACTOR * (now - self._began))

    def done(self) -> None:
        self._at = 0.0
