"""The project's speed and memory targets, computed from a result document.

Nothing is measured here: `compute` reads what compare.py wrote, so that the
table can be made again from any old result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.common import geometric_mean

Document = dict[str, Any]
SHORT_CALL_S = 50e-6
LONG_CALL_S = 1e-3


@dataclass(frozen=True)
class Figure:
    """A measured value of a target, with what it was made of."""

    value: float | None
    detail: str
    is_complete: bool = True


@dataclass(frozen=True)
class Target:
    """One line of the table.

    Attributes
    ----------
    figure : str
        What is measured.
    relation : str
        ``<=`` or ``>=``.
    limit : float
        The value to reach.
    unit : str
        Appended to numbers in tables.
    by_threads : bool
        Whether there is one figure per thread count.
    find : callable
        Document and thread count to `Figure`.
    """

    figure: str
    relation: str
    limit: float
    unit: str
    by_threads: bool
    find: Callable[[Document, int], Figure]

    def is_met(self, figure: Figure) -> bool | None:
        """True or False; None if nothing was measured, False if nothing worked."""
        if figure.value is None:
            return None if figure.is_complete else False
        reached = (
            figure.value <= self.limit
            if self.relation == "<="
            else figure.value >= self.limit
        )
        return reached and figure.is_complete


def _mean_and_worst(
    ratios: dict[str, float], missing: Iterable[str], *, worst: bool
) -> Figure:
    missing = sorted(missing)
    note = f"; no result for {', '.join(missing)}" if missing else ""
    if not ratios:
        return Figure(None, "not measured" + note, not missing)
    name = max(ratios, key=lambda x: ratios[x])
    mean = geometric_mean(ratios.values())
    if worst:
        detail = f"{name}; geometric mean {mean:.3f} of {len(ratios)} models"
        return Figure(ratios[name], detail + note, not missing)
    detail = f"{len(ratios)} models, largest {name} {ratios[name]:.3f}"
    return Figure(mean, detail + note, not missing)


def latency_ratios(
    document: Document,
    threads: int,
    *,
    base: str | None = None,
    keep: Callable[[float], bool] = lambda base_s: True,
) -> tuple[dict[str, float], list[str]]:
    """Ratios of plain calls at one thread count.

    Parameters
    ----------
    document : dict
    threads : int
    base : str, optional
        Label of the engine to compare with; each model's better base if None.
    keep : callable
        Tells from the base's seconds per call whether a model counts.

    Returns
    -------
    ratios : dict of str to float
    missing : list of str
        Models that the base ran, and that count, but the contender did not run.
    """
    ratios: dict[str, float] = {}
    missing: list[str] = []
    for entry in document.get("latency", []):
        label = base or entry["better"]
        if entry["threads"] != threads or label not in entry["engines"]:
            continue
        if not keep(entry["engines"][label]["plain"]["median_s"]):
            continue
        if label in entry["ratios"]:
            ratios[entry["model"]] = entry["ratios"][label]["plain"]["median"]
        else:
            missing.append(entry["model"])
    return ratios, missing


def fixed_shape_ratios(
    document: Document, threads: int, *, least_s: float = 0
) -> dict[str, float]:
    """Ratios against the better of onnxruntime and OpenVINO told the shapes.

    A stricter comparison than the target's, for the detail column: a contender
    that specialises by itself beside a peer whose user did it by hand.
    """
    ratios = {}
    for entry in document.get("latency", []):
        bases = [
            x for x in (entry["better"], "openvino_static") if x in entry["ratios"]
        ]
        if entry["threads"] != threads or len(bases) < 2:
            continue
        seconds = {x: entry["engines"][x]["plain"]["median_s"] for x in bases}
        if seconds[entry["better"]] >= least_s:
            fastest = min(bases, key=lambda x: seconds[x])
            ratios[entry["model"]] = entry["ratios"][fastest]["plain"]["median"]
    return ratios


def _mean_beside_fixed(document: Document, threads: int, least_s: float) -> Figure:
    found = latency_ratios(document, threads, keep=lambda s: s >= least_s)
    figure = _mean_and_worst(*found, worst=False)
    fixed = fixed_shape_ratios(document, threads, least_s=least_s)
    if not fixed:
        return figure
    mean = geometric_mean(fixed.values())
    detail = (
        f"{figure.detail}; {mean:.3f} where OpenVINO has been told the shapes "
        f"({len(fixed)} models)"
    )
    return Figure(figure.value, detail, figure.is_complete)


def _all_models(document: Document, threads: int) -> Figure:
    return _mean_beside_fixed(document, threads, 0)


def _long_models(document: Document, threads: int) -> Figure:
    return _mean_beside_fixed(document, threads, LONG_CALL_S)


def _worst_model(document: Document, threads: int) -> Figure:
    return _mean_and_worst(*latency_ratios(document, threads), worst=True)


def _short_models(document: Document, threads: int) -> Figure:
    found = latency_ratios(
        document, threads, base="onnxruntime", keep=lambda s: s < SHORT_CALL_S
    )
    return _mean_and_worst(*found, worst=True)


def _one_node(document: Document, _: int) -> Figure:
    label = document["contender"]
    mine, parts = [], []
    for entry in document.get("overhead", []):
        times = {
            x: t["bound"]["median_s"] * 1e6
            for x, t in entry["engines"].items()
            if "bound" in t
        }
        if label in times:
            mine.append(times[label])
            parts.append(
                entry["model"]
                + ": "
                + ", ".join(f"{x} {us:.2f}" for x, us in times.items())
            )
    detail = "; ".join(parts) or "not measured"
    complete = len(mine) == len(document.get("overhead", []))
    return Figure(max(mine, default=None), detail, complete)


def _roofline(document: Document, threads: int) -> Figure:
    found, parts, complete = [], [], True
    for entry in document.get("roofline", []):
        if entry.get("threads", threads) != threads:
            continue
        if "percent_of_peak" in entry:
            found.append(entry["percent_of_peak"])
            parts.append(f"{entry['model']} {entry['percent_of_peak']:.0f}")
        else:
            complete = False
            parts.append(f"{entry.get('model', '')} {entry['error']}".strip())
    detail = ", ".join(parts) or "not measured"
    return Figure(min(found, default=None), detail, complete)


def _load(document: Document, key: str) -> Figure:
    ratios, whole, missing = {}, [], []
    for entry in document.get("load", []):
        if "onnxruntime" not in entry["engines"]:
            continue
        found = entry["ratios"].get("onnxruntime")
        if found is None:
            missing.append(entry["model"])
        else:
            value = found[key]
            ratios[entry["model"]] = value if key == "growth" else value["median"]
            whole.append(found["with_import"]["median"])
    figure = _mean_and_worst(ratios, missing, worst=False)
    if key == "growth" or not whole:
        return figure
    detail = f"{figure.detail}; {geometric_mean(whole):.3f} with the import of each"
    return Figure(figure.value, detail, figure.is_complete)


def _import(document: Document, _: int) -> Figure:
    times = document.get("import", {})
    parts = [
        f"{label} {x['beyond_numpy_ms']:.1f} ({x['ready_ms']:.1f} ready to load)"
        if "error" not in x
        else f"{label} failed"
        for label, x in times.items()
    ]
    mine = times.get(document["contender"], {})
    detail = ", ".join(parts) or "not measured"
    return Figure(mine.get("beyond_numpy_ms"), detail, "error" not in mine)


def _concurrent(document: Document, key: str) -> Figure:
    # Shorter calls than LONG_CALL_S are in the table only: who waits for whom is
    # then decided by the interpreter, which hands its lock on every 5 ms.
    label = document["contender"]
    found, parts, complete = [], [], True
    for entry in document.get("threads", []):
        values = {x: e[key] for x, e in entry["engines"].items()}
        complete = complete and label in values
        if label in values and entry["engines"][label]["p50_s"] >= LONG_CALL_S:
            found.append(values[label])
            others = ", ".join(f"{x} {value:.2f}" for x, value in values.items())
            parts.append(f"{entry['model']}: {others}")
    worst = min if key == "throughput" else max
    value = worst(found) if found else None
    return Figure(value, "; ".join(parts) or "not measured", complete)


TARGETS = (
    Target(
        "latency against the better of onnxruntime and OpenVINO, geometric mean "
        "over all models",
        *("<=", 0.70, "", True, _all_models),
    ),
    Target(
        "the same over the models that take the better of the two 1 ms or more",
        *("<=", 0.90, "", True, _long_models),
    ),
    Target("the same, worst single model", "<=", 1.05, "", True, _worst_model),
    Target(
        "models that onnxruntime runs in under 50 us, against onnxruntime, worst",
        *("<=", 0.4, "", True, _short_models),
    ),
    Target("a bound one-node call", "<=", 1.0, " us", False, _one_node),
    Target(
        "share of the roofline bound, lowest of four models",
        *(">=", 80.0, " %", True, _roofline),
    ),
    Target(
        "load to first result against onnxruntime, geometric mean",
        *("<=", 1.0, "", False, lambda document, _: _load(document, "load")),
    ),
    Target(
        "resident growth after 100 runs against onnxruntime, geometric mean",
        *("<=", 0.8, "", False, lambda document, _: _load(document, "growth")),
    ),
    Target("`import` beyond `import numpy`", "<=", 15.0, " ms", False, _import),
    Target(
        "4 Python threads on one model: throughput against 1 thread with all cores",
        *(">=", 0.95, "", False, lambda d, _: _concurrent(d, "throughput")),
    ),
    Target(
        "4 Python threads on one model: p99 over p50",
        *("<=", 3.0, "", False, lambda d, _: _concurrent(d, "p99_over_p50")),
    ),
)


def compute(
    document: Document, targets: Iterable[Target] = TARGETS
) -> list[dict[str, Any]]:
    """All targets of a result document.

    Parameters
    ----------
    document : dict
        What compare.py wrote.
    targets : iterable of Target, default=TARGETS
        Those of another program, with its document.

    Returns
    -------
    rows : list of dict
        ``figure``, ``relation``, ``limit``, ``unit``, ``threads`` (None where
        it does not matter), ``value``, ``met`` (None: not measured), ``detail``.
    """
    rows = []
    for target in targets:
        thread_counts = document["threads_measured"] if target.by_threads else [None]
        for threads in thread_counts:
            figure = target.find(document, threads or 0)
            rows.append(
                {
                    "figure": target.figure,
                    "relation": target.relation,
                    "limit": target.limit,
                    "unit": target.unit,
                    "threads": threads,
                    "value": figure.value,
                    "met": target.is_met(figure),
                    "detail": figure.detail,
                }
            )
    return rows
