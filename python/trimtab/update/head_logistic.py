"""The learner "head_logistic": a last layer by logistic regression, drawn to the old.

Enters: a `LearnContext`. Leaves: a candidate whose last layer makes the labels of new
rows likely. How strongly it is drawn to the old layer, and how much old rows count, is
what folds of the new rows answer best, among what does not forget more than is allowed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from trimtab.types import Array
from trimtab.update.closed_head import ClosedHead, folds_of
from trimtab.update.context import Candidate, LearnContext
from trimtab.update.logistic import LogisticFit, fit_logistic

__all__ = ["learn"]

# Penalties as factors of the mean square of a feature.
_PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
# How often a row of the past counts against a row of today, all of them together.
_SHARES = (0.3, 1.0, 3.0)
_N_FOLDS = 3
# Rows of old features that are gone count by the mean curvature of a softmax's loss.
_CURVATURE = 0.25
# Of the gradient: folds only compare.
_ROUGH = 1e-3


@dataclass(frozen=True)
class _Judged:
    """What folds say of a setting."""

    loss: float
    right: float
    kept: float


def learn(context: LearnContext) -> Candidate:
    """Fit the model's last layer to new rows and old ones by their likelihood.

    Parameters
    ----------
    context : LearnContext

    Returns
    -------
    candidate : Candidate

    Raises
    ------
    UnsupportedOpError
        The model does not end in a dense layer with weights in float.
    InputError
        It does not tell classes apart, or statistics are of other features.

    Examples
    --------
    >>> learn(context).detail["penalty"]                   # doctest: +SKIP
    0.1
    """
    begin = time.perf_counter()
    head = ClosedHead.of(context)
    scale = float((head.features**2).mean()) or 1.0
    judged = {p: _judge(head, p * scale, 1.0) for p in _PENALTIES}
    penalty = min(judged, key=lambda p: judged[p].loss)
    share, found = _share(head, penalty * scale, judged[penalty])
    fit = _fit(head, np.ones(head.n_new, bool), _all_old(head), penalty * scale, share)
    detail = {
        "penalty": penalty,
        "replay_share": share if len(head.old_targets) else None,
        "left_out": found.right,
        "forgotten": head.known - found.kept if len(head.old_targets) else None,
        "n_steps": fit.n_steps,
        "is_converged": fit.is_converged,
    }
    model = head.context.build(head.graph(fit.weight, fit.bias))
    seconds = time.perf_counter() - begin
    return Candidate(model, "head_logistic", detail, seconds, head.kept())


def _share(head: ClosedHead, penalty: float, known: _Judged) -> tuple[float, _Judged]:
    """Let old rows count as little as they can without being forgotten."""
    if not len(head.old_targets):
        return 1.0, known
    context, before = head.context, head.known
    found: dict[float, _Judged] = {1.0: known}
    for share in _SHARES:
        if share not in found and context.seconds_left() > 0:
            found[share] = _judge(head, penalty, share)

    def worth(share: float) -> tuple[bool, float]:
        drop = before - found[share].kept
        is_kept = drop <= context.forget
        return is_kept, -found[share].loss if is_kept else -drop

    best = max(found, key=worth)
    return best, found[best]


def _judge(head: ClosedHead, penalty: float, share: float) -> _Judged:
    """Fit without each fold, and ask it."""
    logits = np.zeros_like(head.targets)
    old_logits = np.zeros_like(head.old_targets)
    seed = head.context.seed
    old_folds = list(folds_of(head.old_targets, _N_FOLDS, seed))
    for i, (kept, left) in enumerate(folds_of(head.targets, _N_FOLDS, seed)):
        old_kept, old_left = (
            old_folds[i] if i < len(old_folds) else (_all_old(head),) * 2
        )
        fit = _fit(head, kept, old_kept, penalty, share, tolerance=_ROUGH)
        logits[left] = head.features[left] @ fit.weight + fit.bias
        old_logits[old_left] = head.old_features[old_left] @ fit.weight + fit.bias
    return _Judged(
        head.loss(logits, head.targets),
        head.right(logits, head.targets),
        head.right(old_logits, head.old_targets),
    )


def _all_old(head: ClosedHead) -> Array:
    return np.ones(len(head.old_targets), bool)


def _fit(
    head: ClosedHead,
    new: Array,
    old: Array,
    penalty: float,
    share: float,
    *,
    tolerance: float = 1e-9,
) -> LogisticFit:
    n_new, n_old = int(new.sum()), int(old.sum())
    f = np.concatenate([head.features[new], head.old_features[old]])
    t = np.concatenate([head.targets[new], head.old_targets[old]])
    w = np.ones(len(f))
    w[n_new:] = share * min(1.0, n_new / max(n_old, 1))
    return fit_logistic(
        f, t, weight=head.weight, bias=head.bias, penalty=penalty, row_weight=w,
        metric=_metric(head, n_new, share), link=head.link, tolerance=tolerance,
    )  # fmt: skip


def _metric(head: ClosedHead, n_new: int, share: float) -> Array | None:
    """What moving the scores of rows that are gone costs."""
    old = head.statistics
    if old is None or old.weight <= 0:
        return None
    count = share * min(1.0, n_new / old.weight)
    return np.asarray(_CURVATURE * count * old.gram)
