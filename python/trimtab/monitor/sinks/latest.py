"""What the latest records say, as families: drift, live metrics, alerts.

Enters: records. Leaves: gauges of the last window and labels of each model, and counts
of what happened; bounded, however many models, features and names come.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from trimtab.monitor.sinks.family import PREFIX, Family, Sample, labels

__all__ = ["METHODS", "Latest"]

#: Statistics of drift, as records name them; ranked by the first that is there.
METHODS = (
    "population_stability_index",
    "jensen_shannon",
    "wasserstein",
    "kolmogorov_smirnov",
    "chi_square",
    "mmd",
    "missing_share",
)

_MAX_MODELS = 64
_MAX_FEATURES = 20
_MAX_NAMES = 64
_MAX_COUNTS = 1024

_Key = tuple[str, str, str]

# of a window -> name, unit-like ending included, help
_FIGURES = {
    "drift_share": ("drift_features_ratio", "Share of features with material drift."),
    "n_rows": ("window_rows", "Rows of the last window."),
    "window_seconds": ("window_duration_seconds", "How long the last window was."),
    "time": ("window_timestamp_seconds", "When the last window was written."),
}


class Latest:
    """The last records of each model.

    Examples
    --------
    >>> latest = Latest()
    >>> latest.write({"time": 1.0, "kind": "window", "drift_share": 0.25})
    >>> [(f.name, f.samples[0].value) for f in latest.families()][:1]
    [('trimtab_drift_features_ratio', 0.25)]
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._lock = threading.Lock()
        self._windows: OrderedDict[_Key, Mapping[str, Any]] = OrderedDict()
        self._metrics: OrderedDict[_Key, Mapping[str, Any]] = OrderedDict()
        self._alerts: OrderedDict[tuple[_Key, str], bool] = OrderedDict()
        self._counts: Counter[tuple[_Key, str, tuple[str, ...]]] = Counter()

    def write(self, record: Mapping[str, Any]) -> None:
        """Take a record.

        Parameters
        ----------
        record : mapping
            Plain.
        """
        model, version, arm = (
            str(record.get(name, ""))[:128] for name in ("model", "version", "arm")
        )
        key, kind = (model, version, arm), record["kind"]
        name = record.get("name", record.get("what", kind))
        with self._lock:
            if kind == "window":
                _keep(self._windows, key, record)
                for fault, names in _mapping(record.get("faults")).items():
                    rows = _mapping(names).values()
                    n = sum(int(x) for x in rows if isinstance(x, int))
                    self._count(key, "input_faults", (fault,), n)
            if _mapping(record.get("metrics")):
                _keep(self._metrics, key, record)
            if kind == "alert":
                state = str(record.get("state", "raised"))
                self._count(key, "alerts", (name, state), 1)
                _keep(self._alerts, (key, str(name)[:128]), state != "cleared")
            else:
                self._count(key, f"{kind}s", (name,) if kind == "event" else (), 1)

    def _count(self, model: _Key, what: str, names: tuple[Any, ...], n: int) -> None:
        key = (model, what, tuple(str(name)[:128] for name in names))
        if key not in self._counts and len(self._counts) >= _MAX_COUNTS:
            key = (("", "", ""), what, ("other",) * len(names))
        self._counts[key] += n

    def families(self) -> list[Family]:
        """Give what is known.

        Returns
        -------
        families : list of Family
        """
        with self._lock:
            windows, metrics = dict(self._windows), dict(self._metrics)
            counts, alerts = dict(self._counts), dict(self._alerts)
        found = [
            _gauge(name, text, _figures(windows, key))
            for key, (name, text) in _FIGURES.items()
        ]
        found.append(
            _gauge(
                "drift_score",
                "Statistics of drift, of some features.",
                _scores(windows),
            )
        )
        for source, records, text in (
            ("estimates", windows, "An estimate, before labels come"),
            ("metrics", metrics, "Of the labels that came"),
        ):
            prefix = "estimated" if source == "estimates" else "realized"
            for bound, ending in (("value", ""), ("low", "_low"), ("high", "_high")):
                told = f"{text}{': ' + bound + ' end' if ending else ''}."
                samples = list(_values(records, source, bound))
                found.append(_gauge(f"{prefix}_metric{ending}", told, samples))
        estimates = _values(windows, "estimates", "value")
        accuracy = [s for s in estimates if dict(s.labels).get("metric") == "accuracy"]
        found.append(
            _gauge(
                "estimated_accuracy_ratio",
                "Estimated accuracy, before labels come.",
                [Sample(s.labels[:-1], s.value) for s in accuracy],
            )
        )
        found.append(
            _gauge(
                "alert_active",
                "1 from when an alert is raised until it is cleared.",
                [
                    Sample(labels(_base(key), name=name), float(is_on))
                    for (key, name), is_on in alerts.items()
                ],
            )
        )
        found += _counters(counts)
        return [family for family in found if family.samples]


def _keep(held: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    held[key] = value
    held.move_to_end(key)
    while len(held) > _MAX_MODELS:
        held.popitem(last=False)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _base(key: _Key) -> dict[str, str]:
    return dict(zip(("model", "version", "arm"), key, strict=True))


def _gauge(name: str, text: str, samples: list[Sample]) -> Family:
    unit = "seconds" if name.endswith("_seconds") else ""
    return Family(PREFIX + name, "gauge", text, tuple(samples), unit)


def _figures(windows: Mapping[_Key, Mapping[str, Any]], name: str) -> list[Sample]:
    return [
        Sample(labels(_base(key)), float(record[name]))
        for key, record in windows.items()
        if _is_number(record.get(name))
    ]


def _scores(windows: Mapping[_Key, Mapping[str, Any]]) -> list[Sample]:
    """Of the features that drift, then of those with the largest statistics."""
    samples = []
    for key, record in windows.items():
        features = _mapping(record.get("features"))
        scores = {
            name: _statistics(_mapping(value)) for name, value in features.items()
        }
        drifted = record.get("drifted")
        first = [x for x in drifted if x in scores] if isinstance(drifted, list) else []
        others = sorted(
            (x for x in scores if scores[x]), key=lambda x: -_rank(scores[x])
        )
        for feature in islice(dict.fromkeys([*first, *others]), _MAX_FEATURES):
            samples += [
                Sample(labels(_base(key), feature=feature, method=method), value)
                for method, value in scores[feature].items()
            ]
    return samples


def _statistics(feature: Mapping[str, Any]) -> dict[str, float]:
    """Method -> statistic, beside the feature's figures or under "scores"."""
    held = {**feature, **_mapping(feature.get("scores"))}
    return {name: float(held[name]) for name in METHODS if _is_number(held.get(name))}


def _rank(statistics: Mapping[str, float]) -> float:
    value = next(iter(statistics.values()))
    return value if value == value else -1.0


def _values(
    records: Mapping[_Key, Mapping[str, Any]], source: str, bound: str
) -> Iterator[Sample]:
    """Metrics of a record: numbers, or mappings of value, low and high."""
    for key, record in records.items():
        for metric, value in islice(_mapping(record.get(source)).items(), _MAX_NAMES):
            if isinstance(value, Mapping):
                value = value.get(bound)
            elif bound != "value":
                continue
            if _is_number(value):
                yield Sample(labels(_base(key), metric=metric), float(value))


# name -> labels, help
_COUNTED: dict[str, tuple[tuple[str, ...], str]] = {
    "input_faults": (("fault",), "Rows with inputs that were not as agreed."),
    "alerts": (("name", "state"), "Alerts that were raised, escalated, cleared."),
    "events": (("what",), "What happened to the model."),
    "windows": ((), "Windows that were closed."),
}


def _counters(counts: Mapping[tuple[_Key, str, tuple[str, ...]], int]) -> list[Family]:
    samples: dict[str, list[Sample]] = {}
    for (key, what, names), n in counts.items():
        if what in _COUNTED:
            named = dict(zip(_COUNTED[what][0], names, strict=True))
            sample = Sample(labels(_base(key), **named), float(n))
            samples.setdefault(what, []).append(sample)
    return [
        Family(PREFIX + what, "counter", _COUNTED[what][1], tuple(found))
        for what, found in samples.items()
    ]
