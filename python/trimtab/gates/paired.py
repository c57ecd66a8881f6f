"""Is a metric worse by more than a budget? Both models answer the same rows.

Enters: evidence, a set of rows, a budget. Leaves: a `Gate`: passed where the upper
bound of the drop is within the budget, failed where the drop is shown, else how many
rows would tell.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from trimtab.errors import InputError
from trimtab.gates.evidence import Evidence
from trimtab.gates.gate import Gate
from trimtab.optimize.guard import Bound, Scored, bound_drop, score
from trimtab.optimize.metrics import Metric
from trimtab.stats.samples import required_samples

__all__ = ["drop_within", "rows_needed", "scored"]

# A budget of nothing needs a gain, and some number to plan with.
_LEAST = 1e-4


def scored(evidence: Evidence, who: str, name: str) -> Scored:
    """Score what a model answers to a set of rows.

    Parameters
    ----------
    evidence : Evidence
    who : {"champion", "candidate"}
    name : {"guard", "reference", "new"}

    Returns
    -------
    scored : Scored

    Examples
    --------
    >>> scored(evidence, "champion", "guard").value        # doctest: +SKIP
    0.97
    """
    metric = evidence.found_metric()
    truth = (
        evidence.truth(name)
        if metric.truth == "labels"
        else evidence.outputs("champion", name)
    )
    whose = "f32" if who == "champion" else who
    return score(metric, truth, evidence.outputs(who, name), whose=whose)


def drop_within(evidence: Evidence, gate: str, name: str, budget: float) -> Gate:
    """Hold the drop of the metric on a set of rows against a budget.

    Parameters
    ----------
    evidence : Evidence
    gate : str
        Its name.
    name : {"guard", "reference"}
    budget : float

    Returns
    -------
    gate : Gate

    Examples
    --------
    >>> drop_within(evidence, "mine", "guard", 0.02).state # doctest: +SKIP
    'passed'
    """
    evidence.check_metric()
    metric = evidence.found_metric()
    old, new = (scored(evidence, who, name) for who in ("champion", "candidate"))
    how: dict[str, Any] = {"alpha": evidence.alpha, "seed": evidence.seed}
    bound = bound_drop(metric, old, new, **how)
    gain = bound_drop(metric, new, old, **how)
    needed = rows_needed(bound, budget, metric)
    told = {
        "metric": metric.name,
        "champion": old.value,
        "candidate": new.value,
        "budget": budget,
        "is_better": bound.upper < 0,
        **asdict(bound),
    }
    reason = (
        f"{metric.name} {old.value:.4g} -> {new.value:.4g}, {bound}, allowed {budget:g}"
    )
    if bound.upper <= budget:
        return Gate(gate, "passed", reason, told)
    is_shown = -gain.upper > budget
    if is_shown or needed is None or (bound.drop > budget and bound.n >= needed):
        return Gate(gate, "failed", reason, told)
    if budget < _LEAST and bound.drop >= 0:
        reason = f"{reason}: that takes a gain, and none is seen"
        return Gate(gate, "needs_data", reason, told)
    told["n_required"] = needed
    reason = f"{reason}; about {needed} rows of {name} would tell"
    return Gate(gate, "needs_data", reason, told)


def rows_needed(bound: Bound, budget: float, metric: Metric) -> int | None:
    """Say how many rows would show a drop to be within a budget.

    Parameters
    ----------
    bound : Bound
        On the rows that there are.
    budget : float
    metric : Metric

    Returns
    -------
    n : int or None
        None where the drop is not finite. What was seen to be worse than the budget is
        planned for as if it were equal: so many rows show it one way or the other.

    Examples
    --------
    >>> from trimtab.optimize.metrics import METRICS
    >>> bound = Bound(0.0, 0.05, 0.05, 100, "exact", 4, 4)
    >>> rows_needed(bound, 0.02, METRICS["accuracy"])
    1237
    """
    if not math.isfinite(bound.drop):
        return None
    drop = bound.drop if bound.drop < budget else 0.0
    room = max(budget, _LEAST) - drop
    if bound.n10 is None or bound.n01 is None or not metric.is_binary:
        width = max(bound.upper - bound.drop, 0.0)
        return max(bound.n + 1, math.ceil(bound.n * (width / room) ** 2))
    discordance = max(bound.n10 + bound.n01, 1) / bound.n
    try:
        return required_samples(
            max(budget, _LEAST),
            discordance=min(discordance, 0.999),
            difference=-drop,
            alpha=bound.alpha,
        )
    except InputError:
        return bound.n + 1
