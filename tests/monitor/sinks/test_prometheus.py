"""Prometheus: what is exposed parses, means what it should, and reaches anybody."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import socket
import string
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab.errors import InputError
from trimtab.monitor.sinks import Fanout, open_sink
from trimtab.monitor.sinks import endpoint as endpoint_module
from trimtab.monitor.sinks.exposition import OPENMETRICS, TEXT, expose
from trimtab.monitor.sinks.families import DURATION_BOUNDS_S, families, read_watcher
from trimtab.monitor.sinks.family import Buckets, Family, Sample, labels, merge
from trimtab.monitor.sinks.latest import Latest
from trimtab.monitor.sinks.prometheus import Prometheus

from .counters import snapshot, window

parser = pytest.importorskip("prometheus_client.parser")
openmetrics = pytest.importorskip("prometheus_client.openmetrics.parser")

#: Busy machines are slow at times; that is no failure.
quietly = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(body: bytes, *, is_openmetrics: bool) -> tuple[Samples, dict[str, str]]:
    """Samples and types, as the library of Prometheus reads them."""
    read = openmetrics if is_openmetrics else parser
    found = list(read.text_string_to_metric_families(body.decode()))
    samples = [sample for family in found for sample in family.samples]
    keys = [(s.name, frozenset(s.labels.items())) for s in samples]
    assert len(set(keys)) == len(keys)
    values = dict(zip(keys, (s.value for s in samples), strict=True))
    return values, {family.name: family.type for family in found}


def value(samples: Samples, name: str, **wanted: str) -> float:
    """The one sample of this name that has these labels."""
    fits = [
        x for (n, pairs), x in samples.items() if n == name and wanted.items() <= pairs
    ]
    assert len(fits) == 1, (name, wanted, fits)
    return fits[0]


@pytest.fixture(params=["text", "openmetrics"])
def is_openmetrics(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "openmetrics")


def test_counters_and_records_become_metrics(is_openmetrics: bool) -> None:
    sink = Prometheus(port=None)
    sink.attach(snapshot)
    sink.write(window())
    sink.write({**window(), "kind": "label", "metrics": {"accuracy": {"value": 0.75}}})
    sink.write({**window(), "kind": "alert", "name": "drift", "state": "raised"})
    kind, body = sink.page(OPENMETRICS if is_openmetrics else "")
    assert kind == (OPENMETRICS if is_openmetrics else TEXT)
    found, types = parsed(body, is_openmetrics=is_openmetrics)
    expected = {
        ("trimtab_inference_requests_total", "OK"): 10,
        ("trimtab_inference_requests_total", "InputError"): 2,
        ("trimtab_inference_samples_total", ""): 40,
        ("trimtab_drift_features_ratio", ""): 0.5,
        ("trimtab_estimated_accuracy_ratio", ""): 0.9,
        ("trimtab_estimated_metric_low", ""): 0.8,
        ("trimtab_realized_metric", ""): 0.75,
        ("trimtab_input_faults_total", ""): 7,
        ("trimtab_alerts_total", ""): 1,
        ("trimtab_alert_active", ""): 1,
        ("trimtab_windows_total", ""): 1,
        ("trimtab_model_info", ""): 1,
        ("trimtab_inference_request_duration_seconds_count", ""): 10,
        ("trimtab_inference_request_duration_seconds_sum", ""): 0.5,
    }
    for (name, code), wanted in expected.items():
        named = {"code": code} if code else {}
        assert value(found, name, model="net", version="7", **named) == wanted, name
    score = "trimtab_drift_score"
    assert value(found, score, feature="age", method="kolmogorov_smirnov") == 0.2
    assert value(found, "trimtab_quant_saturation_ratio", layer="conv1") == 0.05
    assert value(found, "trimtab_prediction_class_total", **{"class": "dog"}) == 4
    odd = {"side": "output", "tensor": "boxes", "what": "nan"}
    assert value(found, "trimtab_tensor_odd_values_total", **odd) == 3
    assert types["trimtab_inference_request_duration_seconds"] == "histogram"
    assert types["trimtab_inference_samples"] == "counter"
    assert types["trimtab_drift_score"] == "gauge"
    assert all(name.startswith("trimtab_") for name, _ in found)


def test_windows_bring_metrics_and_alerts_are_cleared() -> None:
    latest = Latest()
    metrics = {"auc": {"value": 0.8, "low": 0.7, "high": None, "n": 40}}
    latest.write(window(metrics=metrics))
    for state in ("raised", "escalated", "cleared"):
        latest.write({**window(), "kind": "alert", "name": "drift", "state": state})
    latest.write(window(1))  # no labels came: the metrics stay
    found = {family.name: family.samples for family in latest.families()}
    assert [s.value for s in found["trimtab_realized_metric"]] == [0.8]
    assert [s.value for s in found["trimtab_realized_metric_low"]] == [0.7]
    assert "trimtab_realized_metric_high" not in found
    assert [s.value for s in found["trimtab_alert_active"]] == [0.0]
    assert len(found["trimtab_alerts_total".removesuffix("_total")]) == 3


def test_buckets_are_cumulative_and_exact_at_their_bounds(is_openmetrics: bool) -> None:
    body = expose(families(snapshot()), is_openmetrics=is_openmetrics)
    found, _ = parsed(body, is_openmetrics=is_openmetrics)
    name = "trimtab_inference_request_duration_seconds_bucket"
    buckets = sorted(
        (float(dict(pairs)["le"]), x) for (n, pairs), x in found.items() if n == name
    )
    assert [le for le, _ in buckets] == [*DURATION_BOUNDS_S, math.inf]
    at = dict(buckets)
    assert (at[1e-5], at[2e-5], at[5e-4]) == (0, 1, 1)
    assert at[1e-3] == 6  # the cell that ends at 1 ms is in it
    assert (at[2e-3], at[10.0], at[math.inf]) == (9, 9, 10)


@quietly
@given(st.lists(st.integers(1, 10**10), max_size=50))
def test_gathered_cells_are_the_histogram_of_numpy(times_ns: list[int]) -> None:
    ends = 1e-9 * np.array(times_ns)
    found = Buckets.from_cells(ends, np.ones(len(ends)), 0.0, DURATION_BOUNDS_S)
    edges = [-np.inf, *DURATION_BOUNDS_S, np.inf]
    # numpy's bins hold their left ends, ours their right ones
    expected = np.histogram(-ends, bins=-np.array(edges)[::-1])[0][::-1]
    on_bound = {10**k * d for k in range(4, 11) for d in (1, 2, 5)} & set(times_ns)
    if not on_bound:
        assert list(found.counts) == expected.tolist()
    assert sum(found.counts) == len(ends)


texts = st.text(max_size=30)
names = st.text(alphabet=string.ascii_letters, min_size=1, max_size=10)
numbers = st.floats() | st.integers(-(2**53), 2**53).map(float)


@quietly
@given(st.dictionaries(texts, numbers, max_size=5), texts, st.booleans())
def test_any_text_and_number_survive_the_page(
    values: dict[str, float], help_text: str, is_openmetrics: bool
) -> None:
    samples = [Sample(labels({"a": text, "b": "x"}), x) for text, x in values.items()]
    help_text = labels({"a": help_text})[0][1] if labels({"a": help_text}) else "?"
    (family,) = merge([Family("trimtab_x", "gauge", help_text, tuple(samples))]) or [
        None
    ]
    if family is None:
        return
    body = expose([family], is_openmetrics=is_openmetrics)
    found, _ = parsed(body, is_openmetrics=is_openmetrics)
    for sample in family.samples:
        read = found["trimtab_x", frozenset(sample.labels)]
        both_nan = math.isnan(read) and math.isnan(float(sample.value))
        assert both_nan or read == sample.value


class Watcher:
    """What is asked of `trimtab._core.Watcher`."""

    def snapshot(self) -> dict[str, Any]:
        return {key: x for key, x in snapshot().items() if key != "histograms"}

    def histogram(self, stage: str) -> Any:
        return snapshot()["histograms"][stage]


def test_a_watcher_is_read_with_its_histograms() -> None:
    found, _ = parsed(
        expose(families(read_watcher(Watcher(), model="mine")())), is_openmetrics=False
    )
    assert value(found, "trimtab_inference_samples_total", model="mine") == 40
    name = "trimtab_inference_stage_duration_seconds_count"
    assert value(found, name, stage="compute") == 10


def test_a_snapshot_of_nonsense_gives_what_can_be_had() -> None:
    nonsense: dict[str, Any] = {
        "n_rows": "many",
        "n_calls": None,
        "errors": 3,
        "stages": [],
        "inputs": 5,
        "queue_depth": object(),
        "labels": {"late": "x", "ok": 2},
        "classes": {i: 1 for i in range(1000)},
        1: 2,
    }
    found = {family.name: family for family in families(nonsense)}
    assert set(found) == {"trimtab_labels", "trimtab_prediction_class"}
    classes = found["trimtab_prediction_class"].samples
    assert len(classes) == 65
    assert classes[-1] == Sample((("class", "other"),), 936.0)


def test_a_source_that_fails_is_counted_and_leaves_the_others() -> None:
    sink = Prometheus(port=None)
    sink.attach(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    sink.attach(lambda: {"model": "b", "n_rows": 1})
    sink.attach(lambda: {"model": "a", "n_rows": 2})
    found, _ = parsed(sink.page()[1], is_openmetrics=False)
    assert sink.n_failures == 1
    assert value(found, "trimtab_inference_samples_total", model="a") == 2


def test_cardinality_is_bounded_whatever_comes() -> None:
    latest = Latest()
    for i in range(257):
        features = {
            f"f{k}": {"population_stability_index": float(k), "mean": 0.0}
            for k in range(300)
        }
        record = window(i, model=f"m{i}", features=features, drifted=["f7", "gone"])
        latest.write(record)
        for k in range(20):
            latest.write({**record, "kind": "event", "what": f"e{i}-{k}"})
    found = {family.name: family.samples for family in latest.families()}
    shown = [dict(s.labels)["feature"] for s in found["trimtab_drift_score"]]
    assert shown[:3] == ["f7", "f299", "f298"]
    assert len(shown) == 64 * 20
    assert sum(len(samples) for samples in found.values()) < 4000
    events = merge(latest.families())
    assert sum(s.value for f in events if f.name == "trimtab_events" for s in f.samples)
    assert all(len(family.samples) <= 1000 for family in events)


def test_triton_names_are_given_on_request(is_openmetrics: bool) -> None:
    sink = Prometheus(port=None, compat="triton")
    sink.attach(snapshot)
    body = sink.page(OPENMETRICS if is_openmetrics else "")[1]
    found, _ = parsed(body, is_openmetrics=is_openmetrics)
    assert value(found, "trimtab_inference_samples_total") == 40
    for line in (
        'nv_inference_request_success{model="net",version="7"} 10',
        'nv_inference_request_failure{model="net",version="7"} 2',
        'nv_inference_request_duration_us{model="net",version="7"} 500000',
        'nv_inference_exec_count{model="net",version="7"} 10',
    ):
        assert line in body.decode().splitlines()


# ---- the endpoint --------------------------------------------------------------------


@pytest.fixture
def sink() -> Iterator[Prometheus]:
    sink = Prometheus(port=0)
    sink.attach(snapshot)
    yield sink
    sink.close()


def fetch(
    sink: Prometheus, path: str = "/metrics", **headers: str
) -> tuple[int, bytes]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{sink.port}{path}", headers=headers
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def raw(sink: Prometheus, data: bytes) -> bytes:
    """What comes back until the connection ends."""
    assert sink.port is not None
    parts = []
    with socket.create_connection(("127.0.0.1", sink.port), timeout=10) as asked:
        asked.sendall(data)
        while part := asked.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_the_endpoint_serves_both_formats(sink: Prometheus) -> None:
    status, body = fetch(sink)
    assert status == 200
    parsed(body, is_openmetrics=False)
    status, body = fetch(sink, Accept="application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")
    parsed(body, is_openmetrics=True)
    assert fetch(sink, "/metrics?x=1")[0] == 200
    assert fetch(sink, "/other") == (404, b"see /metrics\n")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\n\r\n", 405),
        (b"HEAD /metrics HTTP/1.0\r\n\r\n", 200),
        (b"GET /metrics\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"GET /" + b"a" * 9000, 431),
        (b"GET /metrics HTTP/1.1\r\nAccept\r\n:\r\nX: \xff\r\n\r\n", 200),
    ],
)
def test_requests_of_any_kind_are_answered(
    sink: Prometheus, request_bytes: bytes, status: int
) -> None:
    answer = raw(sink, request_bytes)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status
    assert b"Connection: close" in head
    if request_bytes.startswith(b"HEAD"):
        assert body == b""


def test_slow_connections_keep_nobody_out_and_are_ended(
    sink: Prometheus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_module, "_DEADLINE_S", 1.0)
    address = ("127.0.0.1", int(sink.port or 0))
    slow = [socket.create_connection(address, timeout=10) for _ in range(100)]
    for one in slow:
        try:
            one.sendall(b"GET /metr")
        except OSError:  # sent away already
            continue
    begin = time.monotonic()
    assert fetch(sink)[0] == 200
    assert time.monotonic() - begin < 5
    for one in slow:
        try:
            assert one.recv(100) == b""
        except ConnectionResetError:
            continue
        finally:
            one.close()
    assert time.monotonic() - begin < 9
    assert threading.active_count() < 20


def test_a_page_that_fails_is_an_error_of_the_page_alone(sink: Prometheus) -> None:
    assert sink._endpoint is not None
    good, sink._endpoint._answer = sink._endpoint._answer, lambda accept: 1 / 0
    assert fetch(sink)[0] == 500
    sink._endpoint._answer = good
    assert fetch(sink)[0] == 200
    assert sink._endpoint.n_failures == 1


def test_a_second_process_stands_by_and_takes_over(
    monkeypatch: pytest.MonkeyPatch, sink: Prometheus
) -> None:
    monkeypatch.setattr(endpoint_module, "_STANDBY_S", 0.05)
    port = sink.port
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = open_sink(f"prometheus::{port}")
        assert second.port is None
        time.sleep(0.2)
        sink.close()
        deadline = time.monotonic() + 10
        while second.port is None and time.monotonic() < deadline:
            time.sleep(0.01)
    assert second.port == port
    assert fetch(second)[0] == 200
    second.close()


def warned_sink(port: int) -> Prometheus:
    sink = Prometheus(port=port)
    deadline = time.monotonic() + 10
    assert sink._endpoint is not None
    while not sink._endpoint._has_warned and time.monotonic() < deadline:
        time.sleep(0.01)
    sink.close()
    return sink


def test_a_port_of_another_program_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.warns(RuntimeWarning, match="another program"):
            sink = warned_sink(port)
    assert sink.port is None


def test_a_forked_child_leaves_the_port_and_may_take_it_later() -> None:
    with Fanout("prometheus::0", snapshot=snapshot) as fanout:
        sink = fanout.sinks[0]
        port = sink.port
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            good = sink.port is None
            sink._endpoint._address = ("127.0.0.1", port)
            fanout.write(window())
            good = good and fanout.flush() and sink.port is None  # the parent has it
            os._exit(0 if good and fanout.close() else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert fetch(sink)[0] == 200
        assert sink.port == port


def test_one_sink_serves_several_models_until_the_last_closes() -> None:
    sink = Prometheus(port=0)
    first = Fanout(sink, snapshot=lambda: {"model": "a", "n_rows": 1})
    second = Fanout(sink, snapshot=lambda: {"model": "b", "n_rows": 2})
    first.close()
    found, _ = parsed(fetch(sink)[1], is_openmetrics=False)
    assert value(found, "trimtab_inference_samples_total", model="b") == 2
    assert b'"a"' not in fetch(sink)[1]  # what was closed is no longer shown
    second.close()
    assert sink.port is None
    for _ in range(300):  # used again, however often
        Fanout(sink, snapshot=dict).close()
    with Fanout(sink, snapshot=lambda: {"model": "c", "n_rows": 2}):
        assert b'{model="c"} 2' in fetch(sink)[1]


def test_wsgi_and_asgi_give_the_same_page() -> None:
    sink = Prometheus(port=None)
    sink.attach(snapshot)
    started: list[Any] = []
    environ = {"REQUEST_METHOD": "GET", "HTTP_ACCEPT": OPENMETRICS}
    body = b"".join(sink.wsgi(environ, lambda *args: started.append(args)))
    assert started[0][0] == "200 OK"
    assert dict(started[0][1])["Content-Length"] == str(len(body))
    parsed(body, is_openmetrics=True)
    sent: list[dict[str, Any]] = []
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(messages)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"Accept", OPENMETRICS.encode())]
    for scope in (
        {"type": "http", "method": "GET", "headers": headers},
        {"type": "http", "method": "POST", "headers": []},
        {"type": "lifespan"},
    ):
        asyncio.run(sink.asgi(scope, receive, send))
    assert sent[0]["status"] == 200
    assert sent[1]["body"] == body
    assert sent[2]["status"] == 405
    assert [m["type"] for m in sent[4:]] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert b"".join(sink.wsgi({"REQUEST_METHOD": "PUT"}, lambda *a: None)) == b""


@pytest.mark.parametrize(
    "spec", ["prometheus:x", "prometheus:a:b", "prometheus::99999"]
)
def test_addresses_that_are_none_are_refused(spec: str) -> None:
    with pytest.raises(InputError, match="prometheus"):
        open_sink(spec)
    with pytest.raises(InputError, match="compat"):
        Prometheus(port=None, compat="nagios")
    with pytest.raises(InputError, match="another address"):
        Prometheus("203.0.113.1", 0)  # an address of documentation, on no machine
