"""Old rows of which the champion was sure, and rightly: does the candidate agree?"""

from __future__ import annotations

import numpy as np

from trimtab.gates.evidence import Evidence
from trimtab.gates.gate import Gate
from trimtab.stats.paired import clopper_pearson_upper
from trimtab.types import Array

__all__ = ["check"]

# The probability from which the champion is sure, and the rows that this must leave.
_SURE = 0.9
_N_LEAST = 30


def check(evidence: Evidence) -> Gate | None:
    """Count the rows that turned from sure and right to something else.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    gate : Gate or None
        None for what is no classifier with scores, or without reference rows.

    Examples
    --------
    >>> check(evidence).evidence["lost"]                   # doctest: +SKIP
    0
    """
    if evidence.reference is None or not evidence.is_classifier:
        return None
    if not evidence.found_task().has_scores:
        return None
    truth = evidence.codes("reference")
    old, new = (
        evidence.answered(who, "reference") for who in ("champion", "candidate")
    )
    sure = (_top(evidence) >= _SURE) & (old == truth)
    n, lost = int(sure.sum()), int((sure & (new != truth)).sum())
    told = {"n": n, "lost": lost, "budget": evidence.forget}
    if n < _N_LEAST:
        reason = f"the champion is sure of {n} reference rows; {_N_LEAST} are needed"
        return Gate("agreement", "needs_data", reason, told)
    low = 1 - clopper_pearson_upper(n - lost, n, evidence.alpha) if lost else 0.0
    told["share_low"] = low
    reason = (
        f"{lost} of {n} rows of which the champion was rightly sure are lost, at least "
        f"{low:.4f}; {evidence.forget:g} are allowed"
    )
    return Gate(
        "agreement", "failed" if low > evidence.forget else "passed", reason, told
    )


def _top(evidence: Evidence) -> Array:
    """How sure the champion is of each reference row."""
    task = evidence.found_task()
    scores = task.scores_of(evidence.outputs("champion", "reference"))
    if scores.ndim == 1 or scores.shape[-1] == 1:
        flat = scores.reshape(len(scores))
        return np.asarray(np.maximum(flat, 1 - flat))
    return np.asarray(scores.reshape(len(scores), -1).max(axis=1))
