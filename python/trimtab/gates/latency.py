"""What a call of the candidate takes, against the champion on this machine."""

from __future__ import annotations

from dataclasses import asdict

from trimtab.gates.evidence import Evidence
from trimtab.gates.gate import Gate
from trimtab.optimize.latency import Timer, Timing

__all__ = ["check"]

# Seconds of a measurement; where it is against the candidate it is made again, longer.
_SECONDS = (0.3, 2.0)


def check(evidence: Evidence, *, timer: Timer | None = None) -> Gate:
    """Time both models in turns on one row, or on the fixed batch; ratios are by round.

    A machine that is busy slows both down. The lower quartile of the ratio must be
    beyond what is allowed, twice, before a candidate is called slow.

    Parameters
    ----------
    evidence : Evidence
    timer : Timer, optional
        What times them.

    Returns
    -------
    gate : Gate

    Examples
    --------
    >>> check(evidence).evidence["candidate"]["ratio"]     # doctest: +SKIP
    1.01
    """
    timer = timer or Timer()
    row = evidence.one_call("champion")
    models = [evidence.model("champion"), evidence.model("candidate")]
    found: list[Timing] = []
    for seconds in _SECONDS:
        found = timer.models(models, row, seconds=seconds)
        if found[1].ratio <= evidence.latency_factor:
            break
    old, new = found
    is_slow = new.ratio_low > evidence.latency_factor
    told = {"champion_ms": old.latency_ms, "candidate": asdict(new)}
    reason = (
        f"{new.latency_ms:.3g} ms, {new.ratio:.2f} times the champion's "
        f"[{new.ratio_low:.2f}, {new.ratio_high:.2f}]; {evidence.latency_factor:g} are "
        "allowed"
    )
    return Gate("latency", "failed" if is_slow else "passed", reason, told)
