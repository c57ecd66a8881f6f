"""An evaluation while batches pass by.

Enters: batches with the outputs of one model or two. Leaves: what was counted of all
samples, of slices, of folds and of blocks. The first batch decides what the task is and
tries every metric, so that what cannot work fails at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.evaluate.answers import Answer
from trimtab.evaluate.choose import choose_metrics
from trimtab.evaluate.compare import PairedRows
from trimtab.evaluate.curves import Curves
from trimtab.evaluate.custom import is_raw
from trimtab.evaluate.data import Batch, Data
from trimtab.evaluate.recognise import recognise
from trimtab.evaluate.slices import Slices
from trimtab.evaluate.tally import Partition, Rows, Tally, jackknife_interval
from trimtab.evaluate.task import Task
from trimtab.metrics import Interval, Metric
from trimtab.types import Array

__all__ = ["Running", "Settings"]

# Rows and bytes of outputs that are counted at once.
_N_ROWS, _N_BYTES = 4096, 1 << 24
# Blocks of the jackknife.
_N_BLOCKS = 50


@dataclass(frozen=True)
class Settings:
    """What was asked for.

    Parameters
    ----------
    metrics : str or sequence
        As `choose_metrics` takes them.
    require : mapping of str to float
    slices : object
        As `Slices` takes them.
    groups : str or ndarray or None
        Samples that belong together: a column, or a value for each.
    classes : sequence or None
    task, output_kind : str
    ignore_label : object
    alpha : float
    min_slice_size, n_resamples, seed : int
    """

    metrics: Any
    require: Mapping[str, float]
    slices: Any
    groups: Any
    classes: Sequence[Any] | None
    task: str
    output_kind: str
    ignore_label: Any
    alpha: float
    min_slice_size: int
    n_resamples: int
    seed: int

    @property
    def how(self) -> dict[str, Any]:
        """Arguments of intervals."""
        return {
            "alpha": self.alpha,
            "n_resamples": self.n_resamples,
            "seed": self.seed,
        }


@dataclass(frozen=True, eq=False)
class _Part:
    """A batch that waits to be counted."""

    labels: Array
    outputs: Array
    baseline: Array | None
    slices: dict[str, Array]
    folds: list[Array]
    groups: Array | None

    def joins(self, other: _Part) -> bool:
        """Have outputs one shape and dtype?"""
        pairs = [(self.outputs, other.outputs), (self.labels, other.labels)]
        if self.baseline is not None and other.baseline is not None:
            pairs.append((self.baseline, other.baseline))
        return all(
            a.shape[1:] == b.shape[1:] and a.dtype.kind == b.dtype.kind
            for a, b in pairs
        )


class Running:
    """Counts batches.

    Parameters
    ----------
    settings : Settings
    data : Data
    fold_layers : sequence of ndarray
        Number of each sample's fold, -1: in none.
    n_folds : int
        Of them, or of models that are fitted anew.
    """

    def __init__(
        self,
        settings: Settings,
        data: Data,
        fold_layers: Sequence[Array] = (),
        n_folds: int = 0,
    ) -> None:
        self.settings = settings
        self.n = self.n_invalid = self.n_invalid_baseline = 0
        self.task: Task
        self.metrics: dict[str, Metric] = {}
        self.baseline: Tally | None = None
        self.paired: PairedRows | None = None
        self.folds: list[Partition] = []
        self.baseline_folds: list[Partition] = []
        self._data = data
        self._layers = fold_layers
        self._n_folds = n_folds
        self._n_layers = len(fold_layers) or int(n_folds > 0)
        self._waiting: list[_Part] = []
        self._group_numbers: dict[Any, int] = {}
        self._groups: list[Array] = []
        self._is_begun = False

    # ---- beginning ----------------------------------------------------------

    def begin(self, answer: Answer) -> None:
        """Say what the task is, choose the metrics, and try them.

        Parameters
        ----------
        answer : Answer
            The first.

        Raises
        ------
        InputError
            Labels, outputs and metrics do not fit each other.
        """
        s, batch = self.settings, answer.batch
        outputs, baseline = answer.outputs, answer.baseline
        how: dict[str, Any] = {
            "all_labels": self._data.labels,
            "classes": answer.classes if s.classes is None else s.classes,
            "task": s.task,
            "ignore_label": s.ignore_label,
        }
        self.task = recognise(batch.labels, outputs, output_kind=s.output_kind, **how)
        self.baseline_task = self.task
        has_scores = self.task.has_scores
        if baseline is not None:
            self.baseline_task = recognise(batch.labels, baseline, **how)
            if self.baseline_task.kind != self.task.kind:
                raise InputError(
                    f"baseline: its task is {self.baseline_task.kind!r} "
                    f"({self.baseline_task.why}), that of the model {self.task.kind!r}"
                )
            has_scores = has_scores and self.baseline_task.has_scores
            n, n_base = len(self.task.classes), len(self.baseline_task.classes)
            if has_scores and n != n_base:
                raise InputError(
                    f"baseline: it knows {n_base} classes, the model {n}: they answer "
                    "different questions"
                )
        self.metrics = choose_metrics(
            s.metrics, s.require, self.task, has_scores=has_scores
        )
        self._try(batch, outputs)
        self._make_tallies(batch, outputs, baseline is not None)
        self._is_begun = True

    def _try(self, batch: Batch, outputs: Array) -> None:
        """Metrics that refuse the first batch would refuse all others."""
        trial = Tally(self.metrics)
        rows = Rows(self.task, batch.labels, outputs, self.settings.ignore_label)
        good = _is_finite(outputs)
        trial.update(rows, good)
        n_distinct = len({str(label) for label in batch.labels[good].tolist()})
        for name, metric in self.metrics.items():
            error = trial.failed.get(name, "")
            # a function of its own may need both classes
            if not error and is_raw(metric) and n_distinct > 1:
                try:
                    trial.kept[name].compute()
                except Exception as failure:
                    error = f"{type(failure).__name__}: {failure}"
            if error:
                raise InputError(
                    f"metric {name!r} raised on the first {len(batch)} samples: {error}"
                )

    def _make_tallies(self, batch: Batch, outputs: Array, has_baseline: bool) -> None:
        rows = Rows(self.task, batch.labels, outputs, self.settings.ignore_label)
        self.total = Tally(self.metrics)
        self.curves = Curves(self.task, self.settings.seed)
        self.slices = Slices(self.settings.slices, self.metrics)
        self.folds = self._partitions()
        self.blocks: Partition | None = None
        if rows.sample is not None or self.settings.groups is not None:
            self.blocks = Partition(self.metrics, "groups", _N_BLOCKS)
        if has_baseline:
            self.baseline = Tally(self.metrics)
            self.paired = PairedRows(self.metrics)
            self.baseline_folds = self._partitions()

    def _partitions(self) -> list[Partition]:
        return [
            Partition(self.metrics, "cv", self._n_folds + 1)
            for _ in range(self._n_layers)
        ]

    # ---- counting -----------------------------------------------------------

    def add(self, answer: Answer) -> None:
        """Add a batch.

        Parameters
        ----------
        answer : Answer
        """
        batch, outputs, baseline = answer.batch, answer.outputs, answer.baseline
        if not self._is_begun:
            self.begin(answer)
        folds = [layer[batch.numbers] for layer in self._layers]
        if answer.fold is not None:
            folds = [np.full(len(batch), answer.fold)]
        part = _Part(
            batch.labels,
            outputs,
            baseline,
            self.slices.values(batch),
            folds,
            self._group(batch),
        )
        self.n += len(batch)
        if self._waiting and not self._waiting[0].joins(part):
            self.flush()
        self._waiting.append(part)
        n_rows = sum(len(waiting.labels) for waiting in self._waiting)
        n_bytes = sum(waiting.outputs.nbytes for waiting in self._waiting)
        if n_rows >= _N_ROWS or n_bytes >= _N_BYTES:
            self.flush()

    def _group(self, batch: Batch) -> Array | None:
        """Number of each sample's group, where samples or their rows are in some."""
        groups = self.settings.groups
        if self.blocks is None:
            return None
        if groups is None:
            return batch.numbers
        if isinstance(groups, str):
            if groups not in batch.columns:
                raise InputError(
                    f"groups: there is no column {groups!r} in the metadata, which has "
                    f"{sorted(batch.columns)}"
                )
            values = batch.columns[groups]
        else:
            values = groups[batch.numbers]
        known = self._group_numbers
        numbers = [known.setdefault(value, len(known)) for value in values.tolist()]
        return np.asarray(numbers)

    def flush(self) -> None:
        """Count what waits."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        join = np.concatenate
        outputs = join([part.outputs for part in waiting])
        good = _is_finite(outputs)
        self.n_invalid += int((~good).sum())
        baseline = None
        if self.baseline is not None:
            baseline = join([p.baseline for p in waiting if p.baseline is not None])
            is_good = _is_finite(baseline)
            self.n_invalid_baseline += int((~is_good).sum())
            good &= is_good
            baseline = baseline[good]
        labels = join([part.labels for part in waiting])[good]
        ignore = self.settings.ignore_label
        rows = Rows(self.task, labels, outputs[good], ignore)
        self.total.update(rows)
        self.curves.update(rows)
        self.slices.update(
            rows,
            {
                name: join([part.slices[name] for part in waiting])[good]
                for name in waiting[0].slices
            },
        )
        folds = [
            join([part.folds[i] for part in waiting])[good]
            for i in range(len(waiting[0].folds))
        ]
        _update_folds(self.folds, rows, folds)
        if self.blocks is not None:
            groups = join([p.groups for p in waiting if p.groups is not None])[good]
            self.blocks.update(rows, groups % _N_BLOCKS)
            if self.settings.groups is not None and self.baseline is not None:
                self._groups.append(groups)
        if self.baseline is not None and self.paired is not None:
            assert baseline is not None
            other = Rows(self.baseline_task, labels, baseline, ignore)
            self.baseline.update(other)
            self.paired.update(other, rows)
            _update_folds(self.baseline_folds, other, folds)

    # ---- results ------------------------------------------------------------

    @property
    def groups(self) -> Array | None:
        """Number of each counted sample's group, where the user gave groups."""
        if self.settings.groups is None or not self._groups:
            return None
        return np.concatenate(self._groups)

    def figures(self) -> dict[str, Interval]:
        """Figures of all samples; wider where samples belong together."""
        plain = self.total.figures(**self.settings.how)
        if self.blocks is None or len(self.blocks.parts) < 2:
            return plain
        without = [tally.values() for tally in self.blocks.without_each().values()]
        n = len(self._group_numbers) or self.n
        found = {}
        for name, figure in plain.items():
            values = np.array([figures[name] for figures in without])
            is_there = np.isfinite(values).sum() > 1 and math.isfinite(figure.value)
            found[name] = figure
            if is_there:
                found[name] = jackknife_interval(
                    figure, values, alpha=self.settings.alpha, n_clusters=n
                )
        return found

    def fold_values(self, partitions: Sequence[Partition]) -> list[Mapping[str, float]]:
        """Figures by fold, in the order of the folds.

        Parameters
        ----------
        partitions : sequence of Partition

        Returns
        -------
        values : list of dict of str to float
        """
        parts = {
            key: tally
            for partition in partitions
            for key, tally in partition.parts.items()
        }
        nothing = Tally(self.metrics)
        return [parts.get(i, nothing).values() for i in range(self._n_folds)]


def _update_folds(
    partitions: Sequence[Partition], rows: Rows, folds: Sequence[Array]
) -> None:
    for partition, values in zip(partitions, folds, strict=True):
        partition.update(rows, values)


def _is_finite(outputs: Array) -> Array:
    """Samples whose outputs are numbers throughout; texts and boxes are."""
    if outputs.dtype.kind not in "fc":
        return np.ones(len(outputs), bool)
    return np.asarray(np.isfinite(outputs).reshape(len(outputs), -1).all(axis=1))
