"""What a head needs to know of rows that are no longer there: `HeadStatistics`.

A least-squares head depends on its rows only through sums: of products of features, and
of features with targets. They add up exactly over any parts of the rows, so old rows
can be learned from again without being kept, and fade where the world moves on.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from trimtab.errors import InputError
from trimtab.npz import read_npz

if TYPE_CHECKING:
    from trimtab.graph import Model as GraphModel
    from trimtab.types import Array
    from trimtab.update.head import Head

__all__ = ["HeadStatistics", "body_digest"]

# Bytes that a file of statistics may hold: those of 16,384 features.
_MAX_BYTES = 1 << 31
_NAMES = ("gram", "cross", "squares", "n_rows", "body")


@dataclass(frozen=True, eq=False)
class HeadStatistics:
    """Sums over rows of features f, a 1 behind them, and targets t.

    Parameters
    ----------
    gram : ndarray of float64, shape (d + 1, d + 1)
        Of [f, 1] [f, 1]^T; the last element is the weight of all rows.
    cross : ndarray of float64, shape (d + 1, k)
        Of [f, 1] t^T. Targets of classes are 1 and -1.
    squares : ndarray of float64, shape (k,)
        Of t^2.
    n_rows : int
        How many there were, faded ones too.
    body : str
        Digest of what computes the features; see `body_digest`.

    Examples
    --------
    >>> first = HeadStatistics.of(np.eye(3), np.ones((3, 1)))
    >>> both = first.merged(first.decayed(0.5))
    >>> both.n_rows, both.gram[-1, -1]
    (6, np.float64(4.5))
    """

    gram: Array
    cross: Array
    squares: Array
    n_rows: int
    body: str = ""

    @classmethod
    def of(cls, features: Array, targets: Array, *, body: str = "") -> HeadStatistics:
        """Sum over rows.

        Parameters
        ----------
        features : ndarray of shape (n, d)
        targets : ndarray of shape (n, k)
        body : str, default=""

        Returns
        -------
        statistics : HeadStatistics
        """
        ones = np.ones((len(features), 1))
        wide = np.concatenate([np.asarray(features, np.float64), ones], axis=1)
        t = np.asarray(targets, np.float64)
        return cls(wide.T @ wide, wide.T @ t, (t * t).sum(axis=0), len(wide), body)

    @property
    def n_features(self) -> int:
        """Features of a row."""
        return len(self.gram) - 1

    @property
    def n_outputs(self) -> int:
        """Targets of a row."""
        return int(self.cross.shape[1])

    @property
    def weight(self) -> float:
        """Rows that they are worth."""
        return float(self.gram[-1, -1])

    def merged(self, other: HeadStatistics) -> HeadStatistics:
        """Give the sums over the rows of both: exact, in any order.

        Parameters
        ----------
        other : HeadStatistics

        Returns
        -------
        statistics : HeadStatistics

        Raises
        ------
        InputError
            They are of other features or other targets.
        """
        mine = (self.n_features, self.n_outputs, self.body)
        others = (other.n_features, other.n_outputs, other.body)
        if mine != others:
            raise InputError(
                "statistics: those of "
                f"{self.n_features} features and {self.n_outputs} outputs cannot be "
                f"merged with those of {other.n_features} and {other.n_outputs}"
                if mine[:2] != others[:2]
                else "statistics: they are of features that other weights compute; "
                "take them anew from rows"
            )
        return HeadStatistics(
            self.gram + other.gram,
            self.cross + other.cross,
            self.squares + other.squares,
            self.n_rows + other.n_rows,
            self.body,
        )

    def decayed(self, factor: float) -> HeadStatistics:
        """Let the rows count for less.

        Parameters
        ----------
        factor : float
            In [0, 1]; 0.5: two of them count as one.

        Returns
        -------
        statistics : HeadStatistics

        Raises
        ------
        InputError
            The factor is outside.
        """
        if not 0 <= factor <= 1:
            raise InputError(f"factor: expected a number in [0, 1], got {factor}")
        return self.weighted(factor)

    def weighted(self, factor: float) -> HeadStatistics:
        """Let each row count as often as this.

        Parameters
        ----------
        factor : float

        Returns
        -------
        statistics : HeadStatistics
        """
        sums = (self.gram * factor, self.cross * factor, self.squares * factor)
        return HeadStatistics(*sums, self.n_rows, self.body)

    def widened(self, n_outputs: int) -> HeadStatistics:
        """Give those of more classes: none of the rows was of a new one.

        Parameters
        ----------
        n_outputs : int

        Returns
        -------
        statistics : HeadStatistics
        """
        n_new = n_outputs - self.n_outputs
        if n_new <= 0:
            return self
        column = -self.gram[:, -1:]  # targets of -1
        return replace(
            self,
            cross=np.concatenate([self.cross, np.repeat(column, n_new, 1)], axis=1),
            squares=np.concatenate([self.squares, np.full(n_new, self.weight)]),
        )

    def loss(self, weight: Array, bias: Array) -> float:
        """Mean squared error of a head on the rows.

        Parameters
        ----------
        weight : ndarray of shape (d, k)
        bias : ndarray of shape (k,)

        Returns
        -------
        loss : float
            Over rows and outputs; 0 where there are none.
        """
        wide = np.concatenate([weight, bias[None]])
        total = (wide * (self.gram @ wide - 2 * self.cross)).sum() + self.squares.sum()
        count = self.weight * self.n_outputs
        return max(0.0, float(total) / count) if count > 0 else 0.0

    # ---- files -------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write them as an .npz file; no row can be read from it.

        Parameters
        ----------
        path : path

        Raises
        ------
        OSError
            The file cannot be written.
        """
        import io

        from trimtab.formats.tensor_file import write_file

        buffer = io.BytesIO()
        arrays = {
            "gram": self.gram,
            "cross": self.cross,
            "squares": self.squares,
            "n_rows": np.int64(self.n_rows),
            "body": np.array(self.body),
        }
        np.savez(buffer, **arrays)
        write_file(os.path.abspath(os.fsdecode(path)), [buffer.getvalue()])

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> HeadStatistics:
        """Read what `save` wrote.

        Parameters
        ----------
        path : path

        Returns
        -------
        statistics : HeadStatistics

        Raises
        ------
        InputError
            The file holds something else.
        """
        _check_size(path)
        arrays = read_npz(path, "statistics", needs_names="these are no statistics")
        missing = [name for name in _NAMES if name not in arrays]
        if missing:
            raise InputError(
                f"statistics {os.fspath(path)}: there is no {missing[0]!r}"
            )
        gram, cross, squares = (arrays[name] for name in _NAMES[:3])
        wide, n_outputs = len(gram) if gram.ndim else 0, cross.shape[-1:]
        fits = (
            all(array.dtype == np.float64 for array in (gram, cross, squares))
            and wide > 0
            and gram.shape == (wide, wide)
            and cross.shape == (wide, *n_outputs)
            and squares.shape == n_outputs
            and arrays["n_rows"].shape == arrays["body"].shape == ()
            and arrays["n_rows"].dtype.kind == "i"
            and arrays["body"].dtype.kind == "U"
        )
        if not fits or not _is_sound(gram, cross, squares):
            raise InputError(
                f"statistics {os.fspath(path)}: expected sums over rows as "
                "HeadStatistics.save writes them, got other shapes or impossible values"
            )
        body = str(arrays["body"])
        return cls(gram, cross, squares, int(arrays["n_rows"]), body)


def _is_sound(gram: Array, cross: Array, squares: Array) -> bool:
    """Can there be rows that have these sums?"""
    if not all(np.isfinite(array).all() for array in (gram, cross, squares)):
        return False
    diagonal = np.diagonal(gram)
    scale = float(diagonal.max(initial=0.0)) or 1.0
    is_symmetric = np.abs(gram - gram.T).max() <= 1e-9 * scale
    return bool(is_symmetric and (diagonal >= 0).all() and (squares >= 0).all())


def _check_size(path: str | os.PathLike[str]) -> None:
    """Refuse a file whose arrays would not fit, before one is read."""
    try:
        with zipfile.ZipFile(os.fspath(path)) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
    except (OSError, zipfile.BadZipFile, ValueError):
        return  # `read_npz` says what is wrong
    if total > _MAX_BYTES:
        raise InputError(
            f"statistics {os.fspath(path)}: {total} bytes of arrays, expected at most "
            f"{_MAX_BYTES}"
        )


def body_digest(graph: GraphModel, head: Head) -> str:
    """Give the digest of all that computes the features of a head.

    Statistics of features mean nothing where other weights compute them.

    Parameters
    ----------
    graph : trimtab.graph.Model
    head : Head

    Returns
    -------
    digest : str

    Examples
    --------
    >>> body_digest(graph, head)                           # doctest: +SKIP
    'sha256:...'
    """
    hasher = sha256()
    wanted = {head.features}
    constants = graph.graph.constants
    for node in reversed(graph.graph.nodes):
        if wanted.isdisjoint(node.outputs):
            continue
        reads = [*node.inputs, *(x for body in node.bodies for x in body.captures)]
        wanted.update(reads)
        plain = sorted(
            f"{key}={value!r}"
            for key, value in node.attributes.items()
            if isinstance(value, int | float | str | list)
        )
        hasher.update(f"{node.domain}:{node.op_type}{plain}\n".encode())
    for name, constant in constants.items():
        if name in wanted:
            hasher.update(f"{constant.dtype}{constant.shape}\n".encode())
            hasher.update(np.ascontiguousarray(constant.elements()).data)
    return f"sha256:{hasher.hexdigest()}"
