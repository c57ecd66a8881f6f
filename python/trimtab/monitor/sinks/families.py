"""Counters of a deployment as families: the one place that knows both.

Enters: a snapshot, which is a dict as `Watcher.snapshot` gives it, and more keys where
they are known. Leaves: families with the names of the documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from trimtab.monitor.sinks.family import PREFIX, Buckets, Family, Kind, Sample, labels

__all__ = ["DURATION_BOUNDS_S", "families", "read_watcher", "triton_families"]

#: Buckets of durations: 1, 2, 5 in each decade from 10 us to 10 s.
DURATION_BOUNDS_S = (
    *(float(f"{digit}e{exponent}") for exponent in range(-5, 1) for digit in (1, 2, 5)),
    10.0,
)

#: Series of one label; what comes after is counted together, as "other".
_MAX_SERIES = 64

_FACTS = ("model", "version", "arm")

# key of the snapshot -> kind, name, unit, help
_NUMBERS: dict[str, tuple[Kind, str, str, str]] = {
    "n_rows": ("counter", "inference_samples", "", "Rows that were run."),
    "n_calls": ("counter", "inference_executions", "", "Runs of the compiled model."),
    "n_calls_looked": (
        "counter",
        "monitor_calls_looked",
        "",
        "Runs whose values were looked at.",
    ),
    "look_s": (
        "counter",
        "monitor_look_seconds",
        "seconds",
        "Time that looking at values took.",
    ),
    "n_processes": ("gauge", "inference_processes", "", "Processes that count."),
    "queue_depth": ("gauge", "inference_queue_depth", "", "Requests that wait."),
    "in_flight": ("gauge", "inference_in_flight", "", "Requests being answered."),
    "memory_bytes": ("gauge", "model_memory_bytes", "bytes", "Memory of the model."),
    "load_s": (
        "gauge",
        "model_load_duration_seconds",
        "seconds",
        "How long loading took.",
    ),
    "n_golden_failures": (
        "counter",
        "golden_check_failures",
        "",
        "Times that the model did not give its golden outputs.",
    ),
}

# key of the snapshot -> name, label, help; each is a mapping of counts
_COUNTED: dict[str, tuple[str, str, str]] = {
    "classes": ("prediction_class", "class", "Predictions of each class."),
    "troubles": ("monitor_troubles", "what", "What went wrong inside monitoring."),
    "labels": ("labels", "status", "Labels that came: in time, late, for nobody."),
    "rollbacks": ("rollbacks", "reason", "Returns to the version before."),
}

_ODDITIES = ("nan", "infinite", "below", "above", "constant", "unsketched")


def families(snapshot: Mapping[str, Any]) -> list[Family]:
    """Give the counters of a snapshot as families.

    Parameters
    ----------
    snapshot : mapping
        Keys that are not known, and values that are not what they should be, are left
        out. "model", "version" and "arm" become labels; "info" is of the model.

    Returns
    -------
    families : list of Family

    Examples
    --------
    >>> [family] = families({"model": "net", "n_rows": 7})
    >>> family.name, family.samples[0].labels, family.samples[0].value
    ('trimtab_inference_samples', (('model', 'net'),), 7.0)
    """
    base = {key: snapshot[key] for key in _FACTS if snapshot.get(key)}
    found = [
        _family(kind, name, text, [Sample(labels(base), value)], unit)
        for key, (kind, name, unit, text) in _NUMBERS.items()
        if (value := _number(snapshot.get(key))) is not None
    ]
    found += [
        _family("counter", name, text, _counts(base, label, _mapping(snapshot, key)))
        for key, (name, label, text) in _COUNTED.items()
    ]
    found += [_requests(base, snapshot), *_durations(base, snapshot)]
    found += [_oddities(base, snapshot), _clipping(base, snapshot)]
    found += [_info(base, snapshot), _records(base, snapshot)]
    return [family for family in found if family.samples]


def read_watcher(watcher: Any, **facts: Any) -> Callable[[], dict[str, Any]]:
    """Make the function that sinks read a watcher by, with latency histograms.

    Parameters
    ----------
    watcher : trimtab._core.Watcher
    **facts : object
        More keys of the snapshot: ``model=``, ``version=``, ``info=``...

    Returns
    -------
    snapshot : callable

    Examples
    --------
    >>> snapshot = read_watcher(watcher, model="net")      # doctest: +SKIP
    >>> Fanout("prometheus::9464", snapshot=snapshot)      # doctest: +SKIP
    """

    def snapshot() -> dict[str, Any]:
        found = {**watcher.snapshot(), **facts}
        stages = _mapping(found, "stages")
        found["histograms"] = {stage: watcher.histogram(stage) for stage in stages}
        return found

    return snapshot


def _family(
    kind: Kind, name: str, text: str, samples: Iterable[Sample], unit: str = ""
) -> Family:
    return Family(PREFIX + name, kind, text, tuple(samples), unit)


def _number(value: Any) -> float | None:
    try:
        return None if value is None or isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _mapping(snapshot: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = snapshot.get(key)
    return value if isinstance(value, Mapping) else {}


def _counts(
    base: Mapping[str, Any], label: str, counts: Mapping[str, Any]
) -> list[Sample]:
    """A sample for each of the first keys, and one for all others.

    The order is the mapping's own, so that a series stays once it is there.
    """
    known = {key: n for key in counts if (n := _number(counts[key])) is not None}
    shown = dict(islice(known.items(), _MAX_SERIES))
    rest = sum(known.values()) - sum(shown.values())
    samples = [Sample(labels(base, **{label: key}), n) for key, n in shown.items()]
    if len(known) > len(shown):
        samples.append(Sample(labels(base, **{label: "other"}), rest))
    return samples


def _answered(snapshot: Mapping[str, Any]) -> tuple[float | None, Mapping[str, Any]]:
    """Requests and errors of the deployment; of the model where none is around it."""
    if _number(snapshot.get("n_requests")):
        return _number(snapshot["n_requests"]), _mapping(snapshot, "request_errors")
    return _number(snapshot.get("n_calls")), _mapping(snapshot, "errors")


def _requests(base: Mapping[str, Any], snapshot: Mapping[str, Any]) -> Family:
    n, errors = _answered(snapshot)
    known = {key: x for key in errors if (x := _number(errors[key]))}
    codes = {} if n is None else {"OK": max(n - sum(known.values()), 0.0), **known}
    return _family(
        "counter",
        "inference_requests",
        "Requests, by how they ended: OK or the class of the exception.",
        _counts(base, "code", codes),
    )


def _durations(base: Mapping[str, Any], snapshot: Mapping[str, Any]) -> list[Family]:
    """The request as one histogram, the stages within it as another."""
    stages, histograms = _mapping(snapshot, "stages"), _mapping(snapshot, "histograms")
    held = {}
    for stage, (ends, counts) in histograms.items():
        total = _number(_mapping(stages, stage).get("sum_s")) or 0.0
        held[stage] = Buckets.from_cells(ends, counts, total, DURATION_BOUNDS_S)
    whole = held.pop("request", None)
    if whole is None or not sum(whole.counts):
        whole = held.get("compute")
    return [
        _family(
            "histogram",
            "inference_request_duration_seconds",
            "How long requests took.",
            [Sample(labels(base), whole)] if whole is not None else [],
            "seconds",
        ),
        _family(
            "histogram",
            "inference_stage_duration_seconds",
            "How long the stages of requests took.",
            [Sample(labels(base, stage=stage), b) for stage, b in held.items()],
            "seconds",
        ),
    ]


def _oddities(base: Mapping[str, Any], snapshot: Mapping[str, Any]) -> Family:
    """NaN, infinities and the like, by tensor."""
    samples = []
    for side in ("input", "output"):
        tensors = snapshot.get(f"{side}s")
        names = snapshot.get(f"{side}_names") or ()
        for i, tensor in enumerate(
            tensors if isinstance(tensors, (list, tuple)) else ()
        ):
            name = names[i] if i < len(names) else str(i)
            samples += [
                Sample(labels(base, side=side, tensor=name, what=what), n)
                for what in _ODDITIES
                if (n := _number(tensor.get(f"n_{what}"))) is not None
            ]
    text = "Values out of the ordinary, and constant rows, in runs looked at."
    return _family("counter", "tensor_odd_values", text, samples)


def _clipping(base: Mapping[str, Any], snapshot: Mapping[str, Any]) -> Family:
    """Shares of quantised values at the ends of their range, the largest first."""
    clipping = _mapping(snapshot, "clipping")
    shares = {name: n / max(of, 1) for name, (n, of) in clipping.items()}
    largest = sorted(shares, key=lambda name: -shares[name])[:_MAX_SERIES]
    return _family(
        "gauge",
        "quant_saturation_ratio",
        "Share of values at the ends of their int8 range.",
        [Sample(labels(base, layer=name), shares[name]) for name in largest],
    )


def _info(base: Mapping[str, Any], snapshot: Mapping[str, Any]) -> Family:
    info = _mapping(snapshot, "info")
    keys = ("digest", "precision", "isa", "format")
    known = {key: info[key] for key in keys if info.get(key)}
    samples = [Sample(labels(base, **known), 1.0)] if known else []
    return _family("info", "model", "What is served.", samples)


def _records(base: Mapping[str, Any], snapshot: Mapping[str, Any]) -> Family:
    """What became of the records of the monitor, by sink."""
    samples = []
    for sink, stats in islice(_mapping(snapshot, "sinks").items(), _MAX_SERIES):
        for outcome in ("written", "lost", "dropped", "failures"):
            n = _number(stats.get(f"n_{outcome}"))
            if n is not None:
                samples.append(Sample(labels(base, sink=sink, outcome=outcome), n))
    text = "Records of the monitor: written, lost, dropped; failures of the sink."
    return _family("counter", "monitor_records", text, samples)


def triton_families(snapshot: Mapping[str, Any]) -> list[Family]:
    """Give the counters under the names of the Triton server, for its dashboards.

    Parameters
    ----------
    snapshot : mapping
        As of `families`.

    Returns
    -------
    families : list of Family

    Examples
    --------
    >>> [f.name for f in triton_families({"n_calls": 2, "n_rows": 8})][:2]
    ['nv_inference_request_success', 'nv_inference_request_failure']
    """
    base = {key: snapshot[key] for key in ("model", "version") if snapshot.get(key)}
    n, errors = _answered(snapshot)
    n_failed = sum(_number(value) or 0.0 for value in errors.values())
    stages = _mapping(snapshot, "stages")

    def microseconds(stage: str) -> float | None:
        seconds = _number(_mapping(stages, stage).get("sum_s"))
        return None if seconds is None else seconds * 1e6

    rows: tuple[tuple[str, float | None, str], ...] = (
        ("request_success", None if n is None else n - n_failed, "Requests answered."),
        ("request_failure", None if n is None else n_failed, "Requests failed."),
        ("count", _number(snapshot.get("n_rows")), "Inferences: rows."),
        ("exec_count", _number(snapshot.get("n_calls")), "Batches that were run."),
        ("request_duration_us", microseconds("request"), "Time of requests."),
        ("compute_input_duration_us", microseconds("preprocess"), "Before the model."),
        ("compute_infer_duration_us", microseconds("compute"), "In the model."),
        ("compute_output_duration_us", microseconds("postprocess"), "After it."),
    )
    return [
        Family(f"nv_inference_{name}", "unsuffixed", text, (Sample(labels(base), x),))
        for name, x, text in rows
        if x is not None
    ]
