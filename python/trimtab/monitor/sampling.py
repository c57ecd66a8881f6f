"""What looking costs, and who is looked at: budgets of time, samples of rows."""

from __future__ import annotations

import numpy as np

from trimtab.errors import InputError
from trimtab.types import Array

__all__ = ["Budget", "Reservoir", "spread_rows"]


class Budget:
    """Chooses the calls that are looked at, so that looking stays within its share.

    Between two of them it lets so many pass that their time, times the share, pays for
    one look. `due` is all that other calls pay. Threads may race in it: then one call
    more or less is looked at.

    Parameters
    ----------
    share : float or None, default=0.01
        Of the calls' time, from 0 (never) to 1; None: every call is looked at.
    max_skip : int, default=9999
        Calls that pass between two looks, at most: traffic is never unseen.

    Raises
    ------
    InputError
        It is no share.

    Examples
    --------
    >>> budget = Budget(0.01)
    >>> budget.due()
    True
    >>> budget.learn(call_s=1e-3, copy_s=4e-5, work_s=6e-5)
    >>> budget.every
    10
    """

    # How fast it forgets: a look weighs an eighth.
    _WEIGHT = 0.125

    def __init__(self, share: float | None = 0.01, *, max_skip: int = 9999) -> None:
        is_share = isinstance(share, int | float) and 0 <= share <= 1
        if share is not None and not is_share:
            raise InputError(
                f"budget: expected a share from 0 to 1, or None, got {share!r}"
            )
        self.share = share
        self.max_skip = max_skip
        self.call_s = self.copy_s = self.work_s = 0.0
        self.every = 1
        self._left = 0

    def due(self) -> bool:
        """Is this call to be looked at?

        Returns
        -------
        is_due : bool
        """
        if self._left > 0:
            self._left -= 1
            return False
        if self.share == 0:
            return False
        self._left = self.every - 1
        return True

    def learn(
        self,
        *,
        call_s: float | None = None,
        copy_s: float | None = None,
        work_s: float | None = None,
    ) -> None:
        """Take note of what a call or a look took.

        Parameters
        ----------
        call_s : float, optional
            Seconds of a call without the look.
        copy_s, work_s : float, optional
            Seconds of a look: on the serving thread, and later.
        """
        self.call_s = self._mixed(self.call_s, call_s)
        self.copy_s = self._mixed(self.copy_s, copy_s)
        self.work_s = self._mixed(self.work_s, work_s)
        look_s = self.copy_s + self.work_s
        if self.call_s > 0 and look_s > 0 and self.share:
            wanted = look_s / (self.share * self.call_s)
            self.every = int(min(max(wanted + 0.5, 1), self.max_skip + 1))
            self._left = min(self._left, self.every - 1)

    def _mixed(self, old: float, new: float | None) -> float:
        if new is None or not 0 <= new < float("inf"):
            return old
        return new if not old else old + self._WEIGHT * (new - old)


class Reservoir:
    """An even random sample of the rows of a stream, in the order they came.

    Parameters
    ----------
    max_rows : int
        All rows are kept up to so many.
    seed : int, default=0

    Raises
    ------
    InputError
        It would hold nothing.

    Examples
    --------
    >>> sample = Reservoir(3)
    >>> sample.add(np.arange(2)), sample.add(np.arange(10))
    (None, None)
    >>> len(sample.rows), sample.n_seen
    (3, 12)
    """

    def __init__(self, max_rows: int, *, seed: int = 0) -> None:
        if max_rows < 1:
            raise InputError(f"a sample: expected 1 row or more, got {max_rows!r}")
        self.max_rows = max_rows
        self.n_seen = 0
        self._random = np.random.default_rng(seed)
        self._chunks: list[tuple[Array, Array]] = []
        self._n_kept = 0
        self._bar = np.inf  # keys above it have no chance any more

    def add(self, rows: Array) -> None:
        """See some rows.

        Parameters
        ----------
        rows : ndarray
            Along axis 0; the other sizes are those of the first.
        """
        rows = np.asarray(rows)
        keys = self._random.random(len(rows))
        self.n_seen += len(rows)
        keep = keys <= self._bar
        if not keep.all():
            rows, keys = rows[keep], keys[keep]
        if len(rows):
            self._chunks.append((keys, rows.copy()))
            self._n_kept += len(rows)
        if self._n_kept >= 2 * self.max_rows:
            self._prune()

    def _prune(self) -> None:
        if not self._chunks:
            return
        keys = np.concatenate([keys for keys, _ in self._chunks])
        rows = np.concatenate([rows for _, rows in self._chunks])
        if len(keys) > self.max_rows:
            self._bar = float(np.partition(keys, self.max_rows - 1)[self.max_rows - 1])
            best = np.flatnonzero(keys <= self._bar)[: self.max_rows]
            keys, rows = keys[best], rows[best]
        self._chunks = [(keys, rows)]
        self._n_kept = len(keys)

    @property
    def rows(self) -> Array:
        """The sample."""
        self._prune()
        return self._chunks[0][1] if self._chunks else np.empty((0, 0))


def spread_rows(n_rows: int, n_most: int) -> slice:
    """Choose rows of a batch, evenly spread.

    Parameters
    ----------
    n_rows, n_most : int

    Returns
    -------
    rows : slice
        Of `n_most` rows, or fewer.

    Examples
    --------
    >>> spread_rows(100, 16)
    slice(0, 100, 7)
    """
    return slice(0, n_rows, max(-(-n_rows // n_most), 1))
