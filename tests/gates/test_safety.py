"""No candidate that is not safe to run passes, and none takes this process with it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trimtab
from trimtab.gates import check_file, prove
from trimtab.gates.latency import check as check_latency
from trimtab.gates.signature import differences
from trimtab.optimize.latency import Timer
from trimtab.signature import TensorSpec

from .nets import WIDTH, blobs, evidence, head, model, net, rows

GOOD = head(*blobs(400, 1))


@pytest.mark.parametrize(
    ("task", "limits", "told"),
    [
        ("crash", {}, "SIGSEGV"),
        ("hang", {"seconds": 2.0}, "more than 2 s"),
        ("eat", {"memory_bytes": 1 << 30}, "more memory"),
        ("leave", {}, "exit status 0"),
        ("lie", {}, "not to be trusted"),
    ],
)
def test_a_loader_that_misbehaves_fails_and_ends(
    tmp_path: Path, task: str, limits: dict[str, Any], told: str
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(net(GOOD))
    begin = time.monotonic()
    gate = check_file(path, task=f"tests.gates.nets:{task}", **limits)
    assert gate.state == "failed"
    assert told in gate.reason
    assert time.monotonic() - begin < 60


def corrupt(data: bytes) -> list[bytes]:
    """Files that are none, or hardly one."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, 4096, np.uint8).tobytes()
    holed = bytearray(data)
    holed[len(data) // 3 : len(data) // 3 + 64] = noise[:64]
    return [b"", b"\x08", data[: len(data) // 2], data[:-1], noise, bytes(holed)]


def test_files_that_are_damaged_are_refused_or_harmless(tmp_path: Path) -> None:
    good = net(GOOD)
    for number, data in enumerate(corrupt(good)):
        path = tmp_path / f"m{number}.onnx"
        path.write_bytes(data)
        report = prove(evidence(candidate=path))
        assert not report.ok or data == good, number


def test_a_missing_file_fails(tmp_path: Path) -> None:
    assert check_file(tmp_path / "nothing.onnx").state == "failed"


def test_a_file_is_not_loaded_here_when_it_fails_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(net(GOOD)[:-40])
    seen: list[Any] = []
    monkeypatch.setattr(trimtab.load, "load_model", lambda *a, **k: seen.append(a))
    report = prove(evidence(candidate=path))
    assert [gate.name for gate in report.gates] == ["golden"]
    assert report.state == "failed"
    assert not seen


def test_a_good_file_passes_them_all(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model(GOOD).save(path, golden="random")
    report = prove(evidence(candidate=path))
    assert report.ok, report.reasons
    assert report["golden"].evidence["n_replayed"] >= 1


def test_golden_pairs_that_are_not_met_fail(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model(GOOD).save(path, golden="random")
    data = path.read_bytes()
    weights = np.asarray(GOOD, np.float32).tobytes()
    assert data.count(weights) == 1
    path.write_bytes(data.replace(weights, np.asarray(-GOOD, np.float32).tobytes()))
    gate = check_file(path)
    assert gate.state == "failed"
    assert "GoldenMismatch" in gate.reason


@pytest.mark.parametrize(
    "candidate",
    [
        model(GOOD, name="y"),
        model(GOOD, dims=(1, WIDTH)),
        model(GOOD, output="q"),
        model(np.concatenate([GOOD, GOOD[:, :1]], axis=1)),
    ],
    ids=["input's name", "fixed batch", "output's name", "one class more"],
)
def test_another_signature_fails_and_nothing_else_is_asked(candidate: Any) -> None:
    report = prove(evidence(candidate=candidate), ["signature", "finite", "memory"])
    assert [gate.name for gate in report.gates] == ["signature"]
    assert report.state == "failed"


def test_a_candidate_may_know_one_class_more_where_that_is_meant() -> None:
    x, y = blobs(500, 1, n_classes=5)
    old, new = y < 4, slice(None)
    found = evidence(
        champion=model(head(x[old], y[old])),
        candidate=model(head(x[new], y[new], 5)),
        guard=rows(blobs(400, 2, n_classes=5)),
        new=rows((x, y)),
        may_grow=True,
    )
    report = prove(found)
    assert report.ok, report.reasons
    assert report["non_inferiority"].evidence["is_better"]


def test_a_signature_may_take_more_than_before() -> None:
    fixed = [TensorSpec("x", "float32", (1, 3, 8))]
    opened = [TensorSpec("x", "float32", ("n", 3, None))]
    assert not differences("input", fixed, opened)
    assert differences("input", opened, fixed)
    assert differences("input", fixed, [TensorSpec("x", "float64", (1, 3, 8))])
    assert differences("input", fixed, [TensorSpec("x", "float32", (1, 3))])
    assert differences("output", fixed, [TensorSpec("x", "float32", (1, 3, 9))])
    assert not differences("output", fixed, [TensorSpec("x", "float32", None)])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_outputs_that_are_not_finite_fail(bad: float) -> None:
    weight = GOOD.copy()
    weight[3, 1] = bad
    gate = prove(evidence(candidate=model(weight)), ["finite"])["finite"]
    assert gate.state == "failed"
    assert "guard" in gate.reason


def test_a_candidate_that_overflows_on_large_inputs_alone_fails() -> None:
    weight = np.asarray(GOOD * 1e36, np.float32)
    small = evidence(candidate=model(weight))
    assert prove(small, ["finite"]).state == "failed"


class Slow:
    """A model, and time to go with it."""

    def __init__(self, clock: list[float], seconds: float) -> None:
        self.clock, self.seconds = clock, seconds

    def run(self, inputs: Any) -> None:
        self.clock[0] += self.seconds


@pytest.mark.parametrize(("factor", "state"), [(1.0, "passed"), (9.0, "failed")])
def test_slow_candidates_fail(
    monkeypatch: pytest.MonkeyPatch, factor: float, state: str
) -> None:
    clock = [0.0]
    found = evidence(latency_factor=1.5)
    slow = {"champion": Slow(clock, 0.01), "candidate": Slow(clock, 0.01 * factor)}
    monkeypatch.setattr(type(found), "model", lambda self, who: slow[who])
    monkeypatch.setattr(type(found), "one_call", lambda self, who: {})
    gate = check_latency(found, timer=Timer(clock=lambda: clock[0]))
    assert gate.state == state
    assert gate.evidence["candidate"]["ratio"] == pytest.approx(factor)


def test_a_candidate_that_takes_much_more_memory_fails() -> None:
    gate = prove(evidence(candidate=model(GOOD, n_unused=1 << 20)), ["memory"])[
        "memory"
    ]
    assert gate.state == "failed"
    old, new = (gate.evidence[f"{who}_bytes"] for who in ("champion", "candidate"))
    assert new - old >= 4 << 20


def test_rows_of_a_fixed_batch_are_filled_up() -> None:
    fixed = {"dims": (7, WIDTH)}
    old, new = (model(head(*blobs(400, i)), **fixed) for i in (0, 1))
    report = prove(evidence(champion=old, candidate=new))
    assert report.ok, report.reasons
