"""A new last layer in closed form, drawn to the old one.

The targets of classes are 1 and -1. The old layer, scaled so that its logits come
closest to them, is what the weights shrink to: with little data hardly anything moves.
How strongly, exact leave-one-out decides by the likelihood of the labels; so does it
how much old rows count, and the temperature that makes probabilities of the result.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trimtab.errors import InputError
from trimtab.update.calibrate import fit_temperature, log_loss, softened
from trimtab.update.context import Candidate
from trimtab.update.head import with_head
from trimtab.update.ridge import Ridge, penalties
from trimtab.update.statistics import HeadStatistics, body_digest
from trimtab.update.targets import is_classes, is_sigmoid, targets_of

if TYPE_CHECKING:
    from trimtab.types import Array
    from trimtab.update.context import LearnContext

__all__ = ["HeadFit", "fit_head", "learn"]

# How often a row of the past counts against a row of today, all of them together.
_REPLAY_SHARES = (0.1, 0.3, 1.0, 2.0, 3.0, 5.0, 10.0)
# How closely the temperature is found while penalties are compared: at its minimum the
# loss hardly changes with it.
_ROUGHLY = 0.02
# Statistics of more features are too large to be kept: 0.5 GB.
_MOST_FEATURES = 8192


@dataclass(frozen=True, eq=False)
class HeadFit:
    """A layer that was fitted.

    Parameters
    ----------
    weight, bias : ndarray
        As ``logits = features @ weight + bias``, divided by the temperature.
    left_out : ndarray of shape (n, k)
        What the fit without each row says of it, divided as well.
    penalty : float
        As a share of the largest eigenvalue of the features' scatter.
    temperature : float
        1 for numbers.
    prior_factor : float
        By which the old layer was scaled.
    """

    weight: Array
    bias: Array
    left_out: Array
    penalty: float
    temperature: float
    prior_factor: float


def fit_head(
    features: Array,
    targets: Array,
    weight: Array,
    bias: Array,
    *,
    kind: str,
    row_weights: Array | None = None,
    old: HeadStatistics | None = None,
) -> HeadFit:
    """Fit a layer to rows, drawn to an old layer.

    Parameters
    ----------
    features : ndarray of shape (n, d)
    targets : ndarray of shape (n, k)
        1 and 0 for classes, or numbers.
    weight : ndarray of shape (d, k)
    bias : ndarray of shape (k,)
        Of the old layer.
    kind : {"softmax", "sigmoid", "values"}
    row_weights : ndarray of shape (n,), optional
    old : HeadStatistics, optional
        Of rows that are gone.

    Returns
    -------
    fit : HeadFit

    Examples
    --------
    >>> x = np.linspace(-1, 1, 20)[:, None]
    >>> fit = fit_head(
    ...     x, 3 * x - 1, np.ones((1, 1)), np.zeros(1), kind="values")
    >>> fit.weight.round(2).tolist(), fit.bias.round(2).tolist()
    ([[3.0]], [-1.0])
    """
    path = HeadPath(
        features, targets, weight, bias, kind=kind, row_weights=row_weights, old=old
    )
    losses = [path.loss(left) for left in path.ridge.left_out_each(path.penalties)]
    return path.fit(float(path.penalties[int(np.argmin(losses))]))


class HeadPath:
    """A layer's fits for all penalties.

    Parameters
    ----------
    features, targets, weight, bias, kind, row_weights, old
        As in `fit_head`.
    n_judged : int, optional
        Only so many rows from the front choose; all by default.
    """

    def __init__(
        self,
        features: Array,
        targets: Array,
        weight: Array,
        bias: Array,
        *,
        kind: str,
        row_weights: Array | None = None,
        old: HeadStatistics | None = None,
        n_judged: int | None = None,
    ) -> None:
        w = np.ones(len(features)) if row_weights is None else row_weights
        f = np.asarray(features, np.float64)
        t = aims = np.asarray(targets, np.float64)
        self.kind, self.factor = kind, 1.0
        if kind == "softmax":  # only differences between logits mean anything
            weight = weight - weight.mean(axis=1, keepdims=True)
            bias = bias - bias.mean()
        if kind != "values":
            aims = 2 * t - 1
            self.factor = _prior_factor(f @ weight, aims, w, weight, old)
        prior, shift = self.factor * weight, self.factor * bias
        if kind == "softmax":
            shift, aims, old = _keep_unseen(f, aims, t, w, prior, shift, old)
        self.ridge = Ridge(f, aims, prior, shift, row_weights=w, old=old)
        self.penalties: Array = penalties(self.ridge)
        self._judged = slice(n_judged)
        self._targets, self._weights = t[self._judged], w[self._judged]
        self._soft = softened(self._targets, is_sigmoid=kind == "sigmoid")
        self._last = 0.3  # targets are 1 and -1

    def temperature(self, left_out: Array, tolerance: float = 1e-9) -> float:
        """Give the temperature for which left-out rows are the most likely."""
        if self.kind == "values":
            return 1.0
        self._last = fit_temperature(
            left_out[self._judged],
            self._targets,
            is_sigmoid=self.kind == "sigmoid",
            row_weights=self._weights,
            start=self._last,
            tolerance=tolerance,
        )
        return self._last

    def loss(self, left_out: Array) -> float:
        """Say how bad it is what fits say of rows that they have not seen.

        Of classes, how unlikely the labels are at the best temperature: squared errors
        would count against logits that are right by more than 1.
        """
        if self.kind == "values":
            squares = (left_out[self._judged] - self._targets) ** 2
            return float(self._weights @ squares.sum(axis=1))
        return log_loss(
            left_out[self._judged] / self.temperature(left_out, _ROUGHLY),
            self._soft,
            is_sigmoid=self.kind == "sigmoid",
            row_weights=self._weights,
        )

    def fit(self, penalty: float) -> HeadFit:
        """Give the layer of a penalty."""
        left = self.ridge.left_out(penalty)
        weight, bias = self.ridge.solve(penalty)
        temperature = self.temperature(left)
        return HeadFit(
            weight / temperature,
            bias / temperature,
            left / temperature,
            penalty / (self.ridge.largest or 1.0),
            temperature,
            self.factor,
        )


def _prior_factor(
    z: Array, aims: Array, w: Array, weight: Array, old: HeadStatistics | None
) -> float:
    """The factor that brings old logits closest to the targets; never negative."""
    total, sum_z, sum_t = w.sum(), w @ z, w @ aims
    sum_zt, sum_zz = w @ (z * aims), w @ (z * z)
    if old is not None:
        gram, cross = old.gram[:-1, :-1], old.cross[:-1]
        total += old.weight
        sum_z = sum_z + old.gram[-1, :-1] @ weight
        sum_t = sum_t + old.cross[-1]
        sum_zt = sum_zt + (weight * cross).sum(axis=0)
        sum_zz = sum_zz + (weight * (gram @ weight)).sum(axis=0)
    along = float((sum_zt - sum_z * sum_t / total).sum())
    spread = float((sum_zz - sum_z**2 / total).sum())
    return max(0.0, along / spread) if spread > 0 else 1.0


def _keep_unseen(
    f: Array,
    aims: Array,
    t: Array,
    w: Array,
    prior: Array,
    shift: Array,
    old: HeadStatistics | None,
) -> tuple[Array, Array, HeadStatistics | None]:
    """Give classes that no row is of the targets that the old layer meets.

    They stay where they are among the others: they are not there to be learned, and
    have not become impossible. The old layer gets the bias, one for all classes, with
    which it comes closest to the targets of the others.
    """
    counts = w @ t
    if old is not None:
        counts = counts + (old.cross[-1] + old.weight) / 2
    is_seen = counts > 1e-9
    z = f @ prior + shift
    common = np.average((aims - z)[:, is_seen].mean(axis=1), weights=w)
    shift = shift + common
    if is_seen.all():
        return shift, aims, old
    aims = np.where(is_seen, aims, z + common)
    if old is not None:
        wide = np.concatenate([prior, shift[None]])
        met = old.gram @ wide
        squares = (wide * met).sum(axis=0)
        old = HeadStatistics(
            old.gram,
            np.where(is_seen, old.cross, met),
            np.where(is_seen, old.squares, squares),
            old.n_rows,
            old.body,
        )
    return shift, aims, old


# ---- the learner --------------------------------------------------------------------


def learn(context: LearnContext) -> Candidate:
    """Fit the model's last layer to new rows.

    Parameters
    ----------
    context : LearnContext

    Returns
    -------
    candidate : Candidate
        Its statistics are those of all rows that it learned from.

    Raises
    ------
    UnsupportedOpError
        The model does not end in a dense layer with weights in float.
    InputError
        Labels are not for such a layer, or statistics are of other features.

    Examples
    --------
    >>> learn(context).detail["penalty"]                   # doctest: +SKIP
    0.01
    """
    begin = time.perf_counter()
    problem = _Problem.of(context)
    share: float | None = None
    if context.replay is not None:
        fit, share = _with_replay(context, problem)
    else:
        old = problem.balanced()
        fit = fit_head(
            problem.features,
            problem.targets,
            problem.weight,
            problem.bias,
            kind=problem.kind,
            old=old,
        )
    n_new = len(problem.targets)
    graph = with_head(context.graph, context.head, fit.weight, fit.bias)
    model = context.build(graph)
    detail = {
        "penalty": fit.penalty,
        "temperature": fit.temperature,
        "prior_factor": fit.prior_factor,
        "replay_share": share,
        "left_out": problem.score(fit.left_out[:n_new], problem.targets),
        "n_old": 0 if problem.old is None else problem.old.n_rows,
    }
    kept = problem.kept(context)
    seconds = time.perf_counter() - begin
    return Candidate(model, "head_ridge", detail, seconds, kept)


@dataclass(frozen=True, eq=False)
class _Problem:
    """The rows as a layer sees them, and the layer that serves."""

    kind: str
    features: Array
    targets: Array
    weight: Array
    bias: Array
    old: HeadStatistics | None
    body: str

    @classmethod
    def of(cls, context: LearnContext) -> _Problem:
        head, task = context.head, context.task
        kind = "values"
        if is_classes(task):
            kind = "sigmoid" if is_sigmoid(task, head.activation) else "softmax"
        if (kind == "values") != (head.activation == "none") and (
            kind == "values" or task.output == "probabilities"
        ):
            raise InputError(
                f"the model ends in {head.activation!r}, but its outputs are "
                f"{task.output}: a layer in front of it cannot be fitted to them"
            )
        n_new = context.n_new_classes
        weight, bias = head.weight, head.bias
        if n_new:  # new classes begin in the middle of the others
            middle = (weight.mean(axis=1, keepdims=True), bias.mean(keepdims=True))
            weight = np.concatenate([weight, np.repeat(middle[0], n_new, 1)], axis=1)
            bias = np.concatenate([bias, np.repeat(middle[1], n_new)])
        f = context.features(context.fit)
        targets = targets_of(task, context.fit.labels, weight.shape[1])
        body = body_digest(context.graph, head)
        old = context.statistics
        if old is not None:
            old = old.widened(weight.shape[1])
            old.merged(old.__class__.of(f[:0], targets[:0], body=body))  # or refuse
        return cls(kind, f, targets, weight, bias, old, body)

    def balanced(self) -> HeadStatistics | None:
        """Old rows that count as much as the new ones together, at most."""
        if self.old is None:
            return None
        n_old = max(self.old.weight, np.finfo(float).tiny)
        return self.old.weighted(min(1.0, len(self.features) / n_old))

    def score(self, outputs: Array, targets: Array) -> float:
        """Share of right answers; of numbers the mean squared error, negative."""
        if self.kind == "values":
            return -float(((outputs - targets) ** 2).mean())
        if self.kind == "sigmoid":
            return float(((outputs > 0) == (targets > 0.5)).mean())
        return float((outputs.argmax(axis=1) == targets.argmax(axis=1)).mean())

    def kept(self, context: LearnContext) -> HeadStatistics | None:
        """Statistics of all rows, where they are not too large to be kept."""
        if self.features.shape[1] > _MOST_FEATURES:
            return None
        signs = 1.0 if self.kind == "values" else 2.0
        shift = 0.0 if self.kind == "values" else 1.0
        made = HeadStatistics.of(
            self.features, signs * self.targets - shift, body=self.body
        )
        if context.replay is not None:
            labels = context.replay.labels
            targets = targets_of(context.task, labels, self.targets.shape[1])
            f = context.features(context.replay)
            replayed = HeadStatistics.of(f, signs * targets - shift, body=self.body)
            made = made.merged(replayed)
        elif self.old is not None:
            made = made.merged(self.old)
        return made


def _with_replay(context: LearnContext, problem: _Problem) -> tuple[HeadFit, float]:
    """Let old rows count as little as they can without being forgotten."""
    assert context.replay is not None
    n_new = len(problem.features)
    old_f = context.features(context.replay)
    n_outputs = problem.targets.shape[1]
    old_t = targets_of(context.task, context.replay.labels, n_outputs)
    f = np.concatenate([problem.features, old_f])
    t = np.concatenate([problem.targets, old_t])
    before = problem.score(old_f @ problem.weight + problem.bias, old_t)
    best: tuple[tuple[float, float], HeadPath, float, float] | None = None
    for share in _REPLAY_SHARES:
        w = np.ones(len(f))
        w[n_new:] = share * n_new / len(old_f)
        path = HeadPath(
            f,
            t,
            problem.weight,
            problem.bias,
            kind=problem.kind,
            row_weights=w,
            n_judged=n_new,
        )
        fits = path.ridge.left_out_each(path.penalties)
        for penalty, left in zip(path.penalties, fits, strict=True):
            drop = before - problem.score(left[n_new:], old_t)
            rank = (max(drop, context.forget), path.loss(left))
            if best is None or rank < best[0]:
                best = rank, path, float(penalty), share
        if context.seconds_left() <= 0:
            break
    assert best is not None
    return best[1].fit(best[2]), best[3]
