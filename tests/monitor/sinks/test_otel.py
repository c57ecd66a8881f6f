"""OpenTelemetry: the SDK's own reader collects the counters."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from trimtab.errors import InputError
from trimtab.monitor.sinks import Fanout, open_sink
from trimtab.monitor.sinks import otel as otel_module
from trimtab.monitor.sinks.otel import OpenTelemetry

from .counters import snapshot, window

sdk = pytest.importorskip("opentelemetry.sdk.metrics")
export = pytest.importorskip("opentelemetry.sdk.metrics.export")

Points = dict[str, dict[frozenset[tuple[str, str]], float]]


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(otel_module, "_READING_S", 0.0)
    reader = export.InMemoryMetricReader()
    reader.provider = sdk.MeterProvider([reader])
    yield reader
    reader.provider.shutdown()


def points(reader: Any) -> tuple[Points, dict[str, Any]]:
    """Values by name and attributes, and the metrics."""
    data = reader.get_metrics_data()
    metrics = {
        metric.name: metric
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    found = {
        name: {
            frozenset(point.attributes.items()): point.value
            for point in metric.data.data_points
        }
        for name, metric in metrics.items()
    }
    return found, metrics


NET = frozenset({("ml.model.name", "net"), ("ml.model.version", "7")})


def test_counters_are_read_when_the_exporter_asks(reader: Any) -> None:
    counts = snapshot()
    sink = OpenTelemetry(reader.provider)
    with Fanout(sink, snapshot=lambda: counts) as fanout:
        found, metrics = points(reader)
        assert found["trimtab.inference.samples"] == {NET: 40}
        assert found["trimtab.inference.requests"] == {
            NET: 10,
            NET | {("error.type", "InputError")}: 2,
        }
        assert found["trimtab.inference.request_duration.count"] == {NET: 10}
        assert found["trimtab.inference.request_duration.sum"] == {NET: 0.5}
        assert metrics["trimtab.inference.request_duration.sum"].unit == "s"
        assert metrics["trimtab.inference.samples"].data.is_monotonic
        counts["n_rows"] = 50
        fanout.write(window())
        assert fanout.flush()
        found, metrics = points(reader)
        assert found["trimtab.inference.samples"] == {NET: 50}
        assert found["trimtab.drift.features_ratio"] == {NET: 0.5}
        fanout.write(window(drift_share=0.25))
        assert fanout.flush()
        assert points(reader)[0]["trimtab.drift.features_ratio"] == {NET: 0.25}
    assert not any(points(reader)[0].values())  # closed: nothing is observed


def test_a_source_that_fails_is_counted(reader: Any) -> None:
    sink = OpenTelemetry(reader.provider)
    sink.attach(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    sink.attach(lambda: {"n_rows": 2})
    assert points(reader)[0]["trimtab.inference.samples"] == {frozenset(): 2}
    assert sink.n_failures >= 1


def test_without_an_sdk_nothing_happens() -> None:
    code = (
        "from trimtab.monitor.sinks import Fanout\n"
        "f = Fanout('otel', snapshot=lambda: {'n_rows': 1})\n"
        "f.write({'time': 1.0, 'kind': 'event'})\n"
        "assert f.close() and f.stats()['otel'].n_written == 1\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_without_the_package_the_error_tells_what_to_install() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from trimtab.monitor.sinks import open_sink\n"
        "try: open_sink('otel')\n"
        "except ImportError as e: print(e)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'trimtab[otel]'" in out.stdout
    with pytest.raises(InputError, match="nothing behind"):
        open_sink("otel:x")
