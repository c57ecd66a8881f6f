"""Is the recipe that made the candidate good, not only the candidate?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from trimtab.errors import InputError
from trimtab.gates.evidence import Evidence
from trimtab.gates.gate import Gate
from trimtab.gates.paired import scored
from trimtab.stats import corrected_resampled_t_test
from trimtab.types import Array

__all__ = ["check", "fold_numbers"]


def check(evidence: Evidence) -> Gate | None:
    """Learn anew without each fold of the new rows and score it there.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    gate : Gate or None
        None where there is no recipe (``fit``) or no new rows.

    Raises
    ------
    InputError
        There are fewer than two folds.

    Examples
    --------
    >>> check(evidence).evidence["gain"]                   # doctest: +SKIP
    0.012
    """
    if evidence.fit is None or evidence.new is None:
        return None
    if evidence.folds < 2:
        raise InputError(f"folds: expected two or more, got {evidence.folds}")
    n = len(evidence.new.labels)
    if n < 2 * evidence.folds:
        needed = 2 * evidence.folds
        reason = f"{n} new rows for {evidence.folds} folds; {needed} are needed"
        return Gate("cross_validation", "needs_data", reason, {"n_required": needed})
    gaps = list(_gaps(evidence))
    k = evidence.folds
    result = corrected_resampled_t_test(
        gaps, n_train=n * (k - 1) / k, n_test=n / k, alpha=min(2 * evidence.alpha, 0.49)
    )
    gain = float(np.mean(gaps))
    told = {"gains": gaps, "gain": gain, "low": result.low, "high": result.high}
    metric = evidence.found_metric().name
    reason = (
        f"{metric} of models learned anew less the champion's: {result} over {k} "
        f"folds, -{evidence.margin:g} is allowed"
    )
    if result.low >= -evidence.margin:
        return Gate("cross_validation", "passed", reason, told)
    if result.high < -evidence.margin or gain < -evidence.margin:
        return Gate("cross_validation", "failed", reason, told)
    width = gain - result.low
    told["n_required"] = math.ceil(n * (width / max(gain + evidence.margin, 1e-9)) ** 2)
    reason = f"{reason}; about {told['n_required']} new rows would tell"
    return Gate("cross_validation", "needs_data", reason, told)


def _gaps(evidence: Evidence) -> Iterator[float]:
    """What the recipe gains on each fold that it has not seen."""
    assert evidence.fit is not None
    new = evidence.rows("new")
    labels = evidence.truth("new")
    number = fold_numbers(
        labels if evidence.is_classifier else None,
        len(labels),
        evidence.folds,
        evidence.seed,
    )
    for fold in range(evidence.folds):
        made = evidence.fit(new.take(number != fold))
        # On one fold alone: what was kept is of other rows and another candidate.
        here = replace(
            evidence,
            candidate=made,
            guard=new.take(number == fold),
            task=evidence.found_task(),
            metric=evidence.found_metric(),
            slices=None,
            _kept={},
        )
        yield (
            scored(here, "candidate", "guard").value
            - scored(here, "champion", "guard").value
        )


def fold_numbers(codes: Array | None, n: int, folds: int, seed: int) -> Array:
    """Give each row the number of its fold, each class spread evenly.

    Parameters
    ----------
    codes : ndarray of shape (n,) or None
        Classes, where there are some.
    n : int
        Rows.
    folds : int
    seed : int

    Returns
    -------
    numbers : ndarray of shape (n,)

    Examples
    --------
    >>> codes = np.repeat([0, 1], [4, 2])
    >>> found = fold_numbers(codes, 6, 2, 0)
    >>> [int((found[codes == c] == 0).sum()) for c in (0, 1)]
    [2, 1]
    """
    order = np.random.default_rng(seed).permutation(n)
    if codes is not None:
        order = order[np.argsort(codes[order], kind="stable")]
    numbers = np.empty(n, np.intp)
    numbers[order] = np.arange(n) % folds
    return numbers
