"""Does the candidate still know what the champion knew?"""

from __future__ import annotations

from trimtab.gates.evidence import Evidence
from trimtab.gates.gate import Gate
from trimtab.gates.paired import drop_within

__all__ = ["check"]


def check(evidence: Evidence) -> Gate:
    """Bound the drop of the metric on the reference set by the budget for forgetting.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    gate : Gate
        "needs_data" where there is no reference set: nothing is known of old rows.

    Examples
    --------
    >>> check(evidence).state                              # doctest: +SKIP
    'passed'
    """
    if evidence.reference is None:
        reason = "no reference rows: keep labelled rows of before, or ask no such gate"
        return Gate("forgetting", "needs_data", reason)
    return drop_within(evidence, "forgetting", "reference", evidence.forget)
