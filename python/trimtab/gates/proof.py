"""Asking gates about a candidate.

Enters: evidence. Leaves: a `GateReport`. Cheap gates come first; where a candidate is
not safe to run, nothing more is asked of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TypeAlias

from trimtab.errors import InputError, OutOfMemoryError, TrimtabError
from trimtab.gates.evidence import Evidence
from trimtab.gates.gate import Gate, GateReport

__all__ = ["GATES", "SAFETY", "prove"]

Check: TypeAlias = Callable[[Evidence], "Gate | None"]

#: Gates by name, in the order in which they are asked -> where each is: a function
#: ``check`` of its file. It gives None where its subject is not there.
GATES: dict[str, str] = {
    "golden": "loads and gives its golden pairs, in a process with limits",
    "signature": "takes and gives what the champion does",
    "finite": "finite outputs, on extreme inputs too",
    "memory": "memory against the champion's",
    "latency": "time of a call against the champion's, in turns",
    "leakage": "guard rows that were learned from",
    "non_inferiority": "the metric on the guard set",
    "forgetting": "the metric on the reference set",
    "agreement": "old rows of which the champion was rightly sure",
    "slices": "classes and slices that got worse",
    "label_quality": "labels that contradict the rows",
    "outliers": "rows unlike all others of their class",
    "triggers": "a pattern that turns answers into one class",
    "cross_validation": "the recipe over folds, where it is given",
}
#: After one of these has failed nothing more is asked.
SAFETY = frozenset(("golden", "signature", "finite"))


def prove(
    evidence: Evidence, gates: str | Sequence[str | Check] = "standard"
) -> GateReport:
    """Ask gates about a candidate.

    Parameters
    ----------
    evidence : Evidence
    gates : "standard" or sequence of str or callable, default="standard"
        Names of `GATES`, asked in the order of that table, and functions of an
        `Evidence` that give a `Gate`, asked after them.

    Returns
    -------
    report : GateReport

    Raises
    ------
    InputError
        A gate is unknown, or a function gives no `Gate`.

    Examples
    --------
    >>> report = prove(Evidence(old, new, guard))          # doctest: +SKIP
    >>> report.ok, report.reasons                          # doctest: +SKIP
    (True, ())
    """
    names, own = _chosen(gates)
    found: list[Gate] = []
    for name in names:
        gate = _ask(name, evidence)
        if gate is None:
            continue
        found.append(gate)
        if gate.state == "failed" and name in SAFETY:
            return GateReport(tuple(found))
    for check in own:
        given = check(evidence)
        if not isinstance(given, Gate):
            raise InputError(
                f"gates: {getattr(check, '__name__', check)!r} gave "
                f"{type(given).__name__}, expected a Gate"
            )
        found.append(given)
    return GateReport(tuple(found))


def _chosen(
    gates: str | Sequence[str | Check],
) -> tuple[list[str], list[Check]]:
    if gates == "standard":
        return list(GATES), []
    given = [gates] if isinstance(gates, str) else list(gates)
    names = [gate for gate in given if isinstance(gate, str)]
    own = [gate for gate in given if not isinstance(gate, str)]
    unknown = [name for name in names if name not in GATES]
    if unknown or not given or not all(map(callable, own)):
        raise InputError(
            f"gates: expected 'standard', names of {list(GATES)} or functions, got "
            f"{gates!r:.200}"
        )
    return sorted(set(names), key=list(GATES).index), own


def _ask(name: str, evidence: Evidence) -> Gate | None:
    """What a gate says; a candidate on which it breaks has failed it."""
    check: Check = import_module(f"trimtab.gates.{name}").check
    try:
        return check(evidence)
    except OutOfMemoryError:
        raise
    except TrimtabError as error:
        return Gate(name, "failed", f"{type(error).__name__}: {error}")
