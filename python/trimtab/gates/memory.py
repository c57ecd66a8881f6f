"""What the candidate holds in memory, against the champion."""

from __future__ import annotations

from trimtab.gates.evidence import Evidence
from trimtab.gates.gate import Gate
from trimtab.report import bytes_text

__all__ = ["check"]

# Growth that nobody minds, whatever the factor: plans of small nets differ by pages.
_SLACK_BYTES = 1 << 20


def check(evidence: Evidence) -> Gate:
    """Compare weights and working memory of one call.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    gate : Gate

    Examples
    --------
    >>> check(evidence).evidence["candidate_bytes"]        # doctest: +SKIP
    93901
    """
    old, new = (_bytes(evidence, who) for who in ("champion", "candidate"))
    allowed = max(evidence.memory_factor * old, old + _SLACK_BYTES)
    told = {
        "champion_bytes": old,
        "candidate_bytes": new,
        "allowed_bytes": int(allowed),
    }
    reason = (
        f"{bytes_text(new)}, {new / max(old, 1):.2f} times the champion's; "
        f"{evidence.memory_factor:g} are allowed"
    )
    return Gate("memory", "passed" if new <= allowed else "failed", reason, told)


def _bytes(evidence: Evidence, who: str) -> int:
    """Weights as in the file and as packed, and the arena of one call."""
    report = evidence.model(who).memory_report(evidence.one_call(who))
    arena = report.arena_bytes + report.scratchpad_bytes
    return report.weights_bytes + report.packed_bytes + arena
