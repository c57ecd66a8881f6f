"""What was counted of one pane of traffic: a sketch for each table, and what was odd.

Enters: inputs and outputs by name. Leaves: sketches that merge exactly. Nothing that
traffic holds raises here: tensors that vanish or change their shape or type are counted
as missing values and as faults.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import InputError, TrimtabError
from trimtab.monitor.columns import stack_columns
from trimtab.monitor.feature import FeatureSketch
from trimtab.monitor.reference import Reference
from trimtab.monitor.sampling import Reservoir, spread_rows
from trimtab.monitor.schema import scores_of
from trimtab.monitor.table import Table, dtype_word
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab import _core

__all__ = ["Tally", "count_rows"]

#: Kinds of faults: word in messages -> what it means.
FAULTS = {
    "absent": "rows without this tensor or column",
    "shape": "rows whose tensor has another shape than the reference's",
    "dtype": "rows whose type is not that of the reference",
    "unknown": "rows with a column that the reference does not have",
}
# So many names of unknown columns are told apart.
_MAX_UNKNOWN = 64
# Rows of scores, for estimates; fewer of many classes.
_N_SCORES = 512
_MAX_SCORES = 1 << 16


class Tally:
    """Sketches of one pane.

    Not thread-safe: whoever owns it holds a lock.

    Parameters
    ----------
    reference : Reference
    with_scores : bool, default=False
        Keep a sample of a classifier's scores.

    Examples
    --------
    >>> tally = Tally(reference)                           # doctest: +SKIP
    >>> tally.count({"x": x}, {"probs": y})                # doctest: +SKIP
    256
    """

    __slots__ = ("embedding", "faults", "n_rows", "reference", "scores", "sketches")

    def __init__(self, reference: Reference, *, with_scores: bool = False) -> None:
        self.reference = reference
        inner = reference.inner
        #: Of the model's own embedding, where the reference has one.
        self.embedding = None if inner is None else inner.embedding.empty()
        #: Rows of probabilities; of merged tallies a sample of samples.
        self.scores = Reservoir(_N_SCORES) if with_scores else None
        self.sketches: dict[str, _core.TableSketch] = {
            table.name: table.sketch() for table in reference.tables
        }
        #: (kind of fault, name) -> rows.
        self.faults: Counter[tuple[str, str]] = Counter()
        self.n_rows = 0

    # ---- counting -------------------------------------------------------------------

    def count(
        self,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array] | None,
        *,
        but: frozenset[str] = frozenset(),
        adds_rows: bool = True,
    ) -> int:
        """Count a batch.

        Parameters
        ----------
        inputs : mapping of str to ndarray
            By the model's name, or the columns of a reference that is a plain table.
        outputs : mapping of str to ndarray, optional
            None: nobody knows them, and nothing is missing.
        but : frozenset of str, optional
            Tables that are counted elsewhere.
        adds_rows : bool, default=True
            False: its rows are in `n_rows` already.

        Returns
        -------
        n_rows : int
        """
        n_rows = count_rows(inputs, outputs)
        for table in self.reference.tables:
            if table.name not in but:
                self._count_side(table, inputs, outputs, n_rows)
        inner = self.reference.inner
        if inner is not None and outputs is not None and inner.tensor in outputs:
            self.count_embedding(outputs[inner.tensor], n_rows)
        self.n_rows += n_rows * adds_rows
        return n_rows

    def _count_side(
        self,
        table: Table,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array] | None,
        n_rows: int,
    ) -> None:
        side = table.spec.side
        if side == "data":
            self._count_columns(table, inputs, n_rows)
        elif side == "tap":
            if outputs is not None and table.spec.tensor in outputs:
                self.count_tensor(table, outputs[table.spec.tensor], n_rows)
        elif side == "input" or (side == "output" and outputs is not None):
            tensors = inputs if side == "input" else (outputs or {})
            self.count_tensor(table, tensors.get(table.spec.tensor), n_rows)

    def count_tensor(self, table: Table, array: Any, n_rows: int) -> None:
        """Count one tensor.

        Parameters
        ----------
        table : Table
        array : ndarray or None
            None: it has vanished.
        n_rows : int
        """
        if array is None:
            self._count_missing("absent", table, n_rows)
            return
        array = np.asarray(array)
        known = table.columns[0].dtype
        if known and dtype_word(array) != known:
            self.faults["dtype", table.name] += n_rows
        try:
            rows = table.spec.rows(array)
            table.count(rows, self.sketches[table.name])
            if self.scores is not None and table.spec.kind == "class":
                self._keep_scores(array)
        except (TrimtabError, TypeError, ValueError, ArithmeticError):
            self._count_missing("shape", table, n_rows)

    def count_inside(self, tensors: Mapping[str, Array]) -> None:
        """Count rows of tensors in the middle of the model.

        Parameters
        ----------
        tensors : mapping of str to ndarray
            Fewer rows than traffic has, or none.
        """
        inner = self.reference.inner
        if inner is not None and inner.tensor in tensors:
            found = tensors[inner.tensor]
            self.count_embedding(found, len(found))
        for table in self.reference.tables:
            array = tensors.get(table.spec.tensor)
            if table.spec.side == "tap" and array is not None:
                self.count_tensor(table, array, len(array))

    def count_embedding(self, tensor: Array, n_rows: int) -> None:
        """Count rows of the model's own embedding.

        Parameters
        ----------
        tensor : ndarray
        n_rows : int
            For the count of faults.
        """
        from trimtab.monitor.embedding_tensor import pool_embedding

        if self.embedding is None:
            return
        try:
            self.embedding.update(pool_embedding(tensor))
        except TrimtabError:
            self.faults["shape", "embedding"] += n_rows

    def _keep_scores(self, array: Array) -> None:
        n_most = max(min(_N_SCORES, _MAX_SCORES // max(array.shape[1], 1)), 1)
        scores = scores_of(array[spread_rows(len(array), n_most)])
        assert self.scores is not None
        self.scores.add(scores[np.isfinite(scores).all(axis=1)])

    def _count_missing(self, fault: str, table: Table, n_rows: int) -> None:
        self.faults[fault, table.name] += n_rows
        lost = np.broadcast_to(np.float32("nan"), (n_rows, len(table.columns)))
        self.sketches[table.name].update(lost)

    def _count_columns(
        self, table: Table, columns: Mapping[str, Array], n_rows: int
    ) -> None:
        found: dict[str, Array] = {}
        for column in table.columns:
            name = column.sketch.name
            values = columns.get(name)
            if values is None or np.shape(values) != (n_rows,):
                self.faults["absent" if values is None else "shape", name] += n_rows
                values = np.full(n_rows, np.nan)
            elif column.dtype and dtype_word(np.asarray(values)) != column.dtype:
                self.faults["dtype", name] += n_rows
            found[name] = np.asarray(values)
        for name in columns:
            if name not in found and len(self.faults) < _MAX_UNKNOWN:
                self.faults["unknown", str(name)[:200]] += n_rows
        table.count(stack_columns(found), self.sketches[table.name])

    # ---- merging and reading --------------------------------------------------------

    def merge(self, other: Tally) -> None:
        """Add what another one counted; exact.

        Parameters
        ----------
        other : Tally
            For the same reference.

        Raises
        ------
        InputError
            The bins differ.
        """
        if self.sketches.keys() != other.sketches.keys():
            raise InputError(
                f"tables {sorted(other.sketches)} cannot be merged into "
                f"{sorted(self.sketches)}: they are of different references"
            )
        for name, sketch in self.sketches.items():
            sketch.merge(other.sketches[name])
        if self.scores and other.scores and other.scores.n_seen:
            self.scores.add(other.scores.rows)
        if self.embedding is not None and other.embedding is not None:
            self.embedding.merge(other.embedding)
        self.faults.update(other.faults)
        self.n_rows += other.n_rows

    def features(self) -> tuple[FeatureSketch, ...]:
        """Give what was counted, in the order of the reference's features.

        Returns
        -------
        features : tuple of FeatureSketch
        """
        return tuple(
            feature
            for table in self.reference.tables
            for feature in table.read(self.sketches[table.name])
        )

    def faults_plain(self) -> dict[str, dict[str, int]]:
        """Give the faults as plain data: kind -> name -> rows.

        Returns
        -------
        faults : dict
        """
        plain: dict[str, dict[str, int]] = {}
        for (kind, name), n_rows in sorted(self.faults.items()):
            plain.setdefault(kind, {})[name] = n_rows
        return plain


def count_rows(
    inputs: Mapping[str, Array], outputs: Mapping[str, Array] | None = None
) -> int:
    """Tell how many rows a batch has.

    Parameters
    ----------
    inputs : mapping of str to ndarray
    outputs : mapping of str to ndarray, optional

    Returns
    -------
    n_rows : int
        The length that most of them have; scalars do not count.

    Examples
    --------
    >>> count_rows({"x": np.zeros((3, 2)), "rate": np.float32(1)})
    3
    """
    lengths = Counter(
        len(array)
        for array in (*inputs.values(), *(outputs or {}).values())
        if np.ndim(array) > 0
    )
    return lengths.most_common(1)[0][0] if lengths else 0
