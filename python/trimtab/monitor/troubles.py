"""What goes wrong beside serving: counted, warned about once, never raised."""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["Troubles"]

# Kinds of trouble that are told apart.
_MAX_KINDS = 256


class Troubles:
    """Counts failures by what was being done.

    Parameters
    ----------
    subject : str
        What goes on in spite of them, for the warning.
    place : str
        Where they can be read.

    Examples
    --------
    >>> troubles = Troubles()
    >>> with troubles.guard("dividing"):                   # doctest: +SKIP
    ...     1 / 0
    >>> troubles.counts                                    # doctest: +SKIP
    {'dividing': 1}
    """

    def __init__(
        self,
        subject: str = "monitoring",
        place: str = "Monitor.status().troubles",
    ) -> None:
        self._subject = subject
        self._place = place
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._last: dict[str, str] = {}

    @contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """Let no exception out.

        Parameters
        ----------
        what : str
            What is being done, for the count and the warning.

        Returns
        -------
        guard : context manager
        """
        try:
            yield
        except Exception as error:  # whatever it is, serving goes on
            self.note(what, error)

    def note(self, what: str, error: BaseException | str) -> None:
        """Count a failure.

        Parameters
        ----------
        what : str
        error : exception or str
        """
        with self._lock:
            if len(self._counts) >= _MAX_KINDS and what not in self._counts:
                what = "something else"
            self._counts[what] += 1
            is_first = self._counts[what] == 1
            kind = "" if isinstance(error, str) else f"{type(error).__name__}: "
            text = self._last[what] = f"{kind}{error}"[:500]
        if is_first:
            with suppress(Warning):  # where warnings are errors
                warnings.warn(
                    f"{self._subject}: {what} failed and will be counted only, in "
                    f"{self._place} ({text})",
                    RuntimeWarning,
                    stacklevel=3,
                )

    @property
    def counts(self) -> dict[str, int]:
        """Failures by what was being done."""
        with self._lock:
            return dict(self._counts)

    @property
    def last(self) -> dict[str, str]:
        """The last message of each."""
        with self._lock:
            return dict(self._last)

    def renew(self) -> None:
        """Begin again in a forked child: whoever held the lock is not there."""
        self._lock = threading.Lock()
        self._counts = Counter()
        self._last = {}
