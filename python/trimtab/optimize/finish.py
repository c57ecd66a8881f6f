"""From what the search found to the report and the model in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.optimize.report import (
    LayerReport,
    OptimizationReport,
    Point,
    count_precisions,
)
from trimtab.optimize.samples import Samples, join_samples

if TYPE_CHECKING:
    from trimtab.model import Model
    from trimtab.optimize.metrics import Metric
    from trimtab.optimize.outcome import Goal, Outcome
    from trimtab.optimize.progress import Deadline
    from trimtab.optimize.splits import Splits
    from trimtab.types import Array

__all__ = ["make_report"]

# Largest difference of golden outputs, relative to their range, that another processor
# may show: it rounds other weights (7 bits without VNNI).
_TOLERANCES = {"int8": 0.25, "int8_winograd": 0.25, "bf16": 0.05}


def make_report(
    model: Model,
    backend: Any,
    outcome: Outcome,
    *,
    goal: Goal,
    metric: Metric,
    metric_reason: str,
    splits: Splits,
    timer: Any,
    inputs: Mapping[str, Array],
    stages: dict[str, float],
    deadline: Deadline,
    notes: Sequence[str],
    golden: Samples,
) -> OptimizationReport:
    """Build the chosen model and say all that is known of it.

    Parameters
    ----------
    model : Model
        In float32.
    backend : Backend or None
    outcome : Outcome
    goal : Goal
    metric : Metric
    metric_reason : str
    splits : Splits
    timer : Timer
    inputs : mapping of str to ndarray
        What is timed.
    stages : dict of str to float
        Seconds so far.
    deadline : Deadline
    notes : sequence of str
    golden : Samples
        Whose float32 outputs are saved with the model.

    Returns
    -------
    report : OptimizationReport

    Examples
    --------
    >>> make_report(model, backend, outcome, ...)          # doctest: +SKIP
    OptimizationReport...
    """
    is_changed = any(p != "f32" for p in outcome.choices.values())
    made = model
    if is_changed:
        made = backend.build(outcome.choices)
        _dress(made, model, golden, outcome.choices)
    first, last = timer.models([model, made], inputs)
    layers = _layers(backend, outcome, goal) if backend is not None else ()
    ratio = {"ratio": 1.0, "ratio_low": 1.0, "ratio_high": 1.0}
    if is_changed:
        ratio = {key: max(getattr(last, key), 1e-9) for key in ratio}
    stages["report"] = deadline.spent_s - sum(stages.values())
    return OptimizationReport(
        model=made,
        reason=outcome.reason,
        metric=metric.name,
        metric_reason=metric_reason,
        goal=goal.name,
        max_drop=goal.max_drop,
        bound=outcome.bound,
        speedup=1 / ratio["ratio"],
        speedup_low=1 / ratio["ratio_high"],
        speedup_high=1 / ratio["ratio_low"],
        latency_ms=last.latency_ms if is_changed else first.latency_ms,
        f32_latency_ms=first.latency_ms,
        sqnr_db=_db(outcome.noise),
        layers=layers,
        curve=_curve(backend, outcome, goal, first.latency_ms),
        sizes=_sizes(backend, outcome) if backend is not None else {},
        n_samples={
            "calibration": len(splits.calibration),
            "search": len(splits.search),
            "guard": len(splits.guard),
        },
        seed=goal.seed,
        seconds=stages,
        notes=tuple(notes),
    )


def _dress(
    made: Any, model: Model, golden: Samples, choices: Mapping[str, str]
) -> None:
    """Give the model what the old one has beside the graph."""
    if getattr(model, "pipeline", None) is not None:
        made.pipeline = model.pipeline
    made._golden = _golden_of(model, made, golden, choices)


def _golden_of(
    model: Model, made: Model, samples: Samples, precisions: Mapping[str, str]
) -> tuple[list[Any], dict[str, float]]:
    """Golden pairs of float32 for the model that was made, and what they may differ.

    By dtype: what another processor may show, or four times what this one does.
    """
    from trimtab.golden import compare

    pairs: list[Any] = []
    tolerances: dict[str, float] = {}
    least = max((_TOLERANCES.get(p, 0.0) for p in precisions.values()), default=0.0)
    for item in samples.items:
        inputs = join_samples(model, Samples([item], None, samples.is_batched))
        outputs = model.run(inputs)
        got = made.run(inputs)
        pairs.append((inputs, outputs))
        for name, expected in outputs.items():
            dtype = expected.dtype.name
            apart, _ = compare({name: expected}, got, {dtype: math.inf})
            if expected.dtype.kind in "iu":
                steps = np.abs(expected.astype(np.float64) - got[name])
                apart, floor = float(steps.max(initial=0.0)), 0.0
            else:
                floor = least
            tolerances[dtype] = max(tolerances.get(dtype, 0.0), floor, 4 * apart)
    return pairs, {k: v for k, v in tolerances.items() if math.isfinite(v)}


def _db(noise: float) -> float | None:
    """Signal-to-noise ratio in decibels."""
    return None if not 0 < noise < math.inf else -10 * math.log10(noise)


def _layers(backend: Any, outcome: Outcome, goal: Goal) -> tuple[LayerReport, ...]:
    rows, total = [], 0.0
    for layer in backend.layers:
        name = layer.name
        precision = outcome.choices.get(name, "f32")
        noise = outcome.noises.get((name, precision), 0.0)
        total += noise
        times = {
            p: t[name]
            for p, t in outcome.times.items()
            if name in t and p in layer.precisions
        }
        # Under f32 too: what it would have been.
        alone = [x for (n, _), x in outcome.noises.items() if n == name]
        shown = noise if precision != "f32" else min(alone, default=0.0)
        low, high, clipped = backend.range_of(name) or (None, None, None)
        now = times.get(precision)
        rows.append(
            LayerReport(
                name=name,
                op_type=layer.op_type,
                precision=precision,
                why=_why(layer, precision, outcome, goal),
                sqnr_db=_db(shown),
                cumulative_sqnr_db=_db(total),
                low=low,
                high=high,
                clipped_share=clipped,
                latency_us={p: t.time_us for p, t in times.items()},
                implementation="" if now is None else now.implementation,
            )
        )
    return tuple(rows)


def _why(layer: Any, precision: str, outcome: Outcome, goal: Goal) -> str:
    """Why a layer has its precision, in a few words."""
    name = layer.name
    if precision != "f32" and goal.name == "memory":
        return "smaller, and within the budget"
    times = {p: t[name].time_us for p, t in outcome.times.items() if name in t}
    if precision != "f32":
        if not times.get(precision):
            return "proven"
        return f"{times['f32'] / times[precision]:.1f} x as fast as f32"
    if name in outcome.why:
        return outcome.why[name]
    if set(layer.precisions) <= {"f32"}:
        return "nothing else is possible"
    worst = [x for (n, _), x in outcome.noises.items() if n == name]
    if worst and any(p != "f32" for p in outcome.choices.values()):
        return "sent back: it adds most noise for the time it saves"
    return outcome.reason if worst else ""


def _curve(
    backend: Any, outcome: Outcome, goal: Goal, f32_ms: float
) -> tuple[Point, ...]:
    """All points that were tried and judged, and float32 itself."""
    if not outcome.times or backend is None:
        return ()

    # Layers and the whole are timed apart: where the machine was busier in between,
    # the layers are brought down to the whole.
    layers_ms = sum(time.time_us for time in outcome.times["f32"].values()) / 1e3
    scale = min(1.0, f32_ms / layers_ms) if layers_ms > 0 else 1.0

    def cost(choices: Mapping[str, str]) -> float:
        if goal.name == "memory":
            return float(sum(backend.weight_bytes(n, p) for n, p in choices.items()))
        saved = sum(
            outcome.times["f32"][n].time_us - outcome.times[p][n].time_us
            for n, p in choices.items()
        )
        return max(f32_ms - scale * saved / 1e3, 0.0)

    plain = {layer.name: "f32" for layer in backend.layers}
    chosen = outcome.choices or plain
    points = [
        Point(
            cost(t.choices),
            t.drop,
            t.predicted,
            "search",
            count_precisions(t.choices.values()),
        )
        for t in outcome.trials
    ]
    points += [
        Point(
            cost(choices),
            bound.drop,
            bound.upper,
            "guard",
            count_precisions(choices.values()),
            choices == chosen,
        )
        for choices, bound in outcome.judged
    ]
    is_plain = set(chosen.values()) <= {"f32"}
    points.append(
        Point(
            cost(plain), 0.0, 0.0, "search", count_precisions(plain.values()), is_plain
        )
    )
    return tuple(points)


def _sizes(backend: Any, outcome: Outcome) -> dict[str, int]:
    return {
        "f32_bytes": sum(backend.weight_bytes(x.name, "f32") for x in backend.layers),
        "bytes": sum(
            backend.weight_bytes(x.name, outcome.choices.get(x.name, "f32"))
            for x in backend.layers
        ),
    }
