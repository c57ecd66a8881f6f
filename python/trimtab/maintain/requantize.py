"""Quantise a model anew, with ranges of the newest data, and prove it as any update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trimtab.errors import InputError

__all__ = ["requantize"]

# What can go wrong with a model that has learned nothing.
_GATES = (
    "golden",
    "signature",
    "finite",
    "memory",
    "latency",
    "non_inferiority",
    "forgetting",
    "agreement",
    "slices",
)


def requantize(
    deployment: Any,
    original: Any,
    data: Any,
    *,
    reference: Any = None,
    rollout: Any = None,
    reason: str = "",
    margin: float | None = None,
    forget: float = 0.01,
    max_drop: float = 0.005,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> tuple[str, tuple[str, ...], int | None, Any]:
    """Optimise the model in float32 with new data, prove it, and let it serve.

    Parameters
    ----------
    deployment : Deployment
    original : Model
        In float32.
    data : object
        Labelled rows, as `update_model` takes them.
    reference : object, optional
        Old labelled rows.
    rollout : Rollout, optional
    reason : str
    margin : float, optional
        How much worse than what serves it may be on new rows; `max_drop` by default.
    forget : float, default=0.01
        The same on old rows.
    max_drop : float, default=0.005
        How much worse than the original: of `optimize_model`.
    seed : int, default=0
    options : mapping, optional
        Further arguments of `optimize_model`.

    Returns
    -------
    state : str
        "PROMOTED", "READY", "NEEDS_DATA", "REJECTED" or "ROLLED_BACK".
    reasons : tuple of str
    version : int or None
    report : GateReport

    Raises
    ------
    InputError
        The data do not fit, or no original was given.

    Examples
    --------
    >>> requantize(deployment, original, (x, y))           # doctest: +SKIP
    ('PROMOTED', (), 4, GateReport(...))
    """
    from trimtab.gates import Evidence, prove
    from trimtab.optimize.optimize import optimize_model
    from trimtab.update.data import open_update_data
    from trimtab.update.place import find_place
    from trimtab.update.split import split_data

    if original is None:
        raise InputError(
            "requantize: the model in float32 is needed: maintain_model(..., "
            "original=model)"
        )
    rows = open_update_data(deployment, data)
    old = None
    if reference is not None:
        old = open_update_data(deployment, reference, what="reference")
    splits = split_data(rows, seed=seed)
    fit, select = splits.fit.rows, splits.select.rows
    report = optimize_model(
        original,
        calibration=dict(fit.inputs),
        validation=(
            {
                name: np.concatenate([array, select.inputs[name]])
                for name, array in fit.inputs.items()
            },
            np.concatenate([fit.labels, select.labels]),
        ),
        max_drop=max_drop,
        seed=seed,
        progress=False,
        **dict(options or {}),
    )
    gates = prove(
        Evidence(
            champion=deployment.model,
            candidate=report.model,
            guard=splits.guard.rows,
            reference=None if old is None else old.rows,
            margin=max_drop if margin is None else margin,
            forget=forget,
            seed=seed,
        ),
        _GATES,
    )
    if gates.state != "passed":
        state = "NEEDS_DATA" if gates.state == "needs_data" else "REJECTED"
        return state, tuple(map(str, gates.reasons)), None, gates
    _, place = find_place(deployment, None)
    if place is None:
        return "READY", ("no registry: it is in the report",), None, report
    version = place.register(
        report.model,
        fingerprint=rows.fingerprint(),
        metrics={"gates": gates.to_dict()},
        metadata={"update_method": "requantize"},
        reason=reason,
    )
    state, reasons, _ = place.serve(version, reason, rollout=rollout)
    return state, reasons, version.version, gates
