"""Is the candidate not worse than the champion on new rows that nobody learned from?"""

from __future__ import annotations

from trimtab.gates.evidence import Evidence
from trimtab.gates.gate import Gate
from trimtab.gates.paired import drop_within

__all__ = ["check"]


def check(evidence: Evidence) -> Gate:
    """Bound the drop of the metric on the guard set, one-sided and paired.

    ``evidence["is_better"]`` says whether the bound even shows a gain.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    gate : Gate

    Examples
    --------
    >>> check(evidence).evidence["is_better"]              # doctest: +SKIP
    True
    """
    return drop_within(evidence, "non_inferiority", "guard", evidence.margin)
