"""Profiles and the peaks that they refer to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import trimtab
from trimtab.report import bytes_text, text_table


@pytest.fixture
def profile(model: trimtab.Model, x) -> trimtab.Profile:
    return model.profile(x, repeat=5)


def test_a_profile_has_every_step_with_the_names_of_the_model(profile) -> None:
    names = {node.name for node in profile.nodes} | {
        name for node in profile.nodes for name in node.fused
    }
    assert {"linear", "relu", "softmax"} <= names
    for node in profile.nodes:
        assert node.time_us > 0
        assert node.implementation
        assert node.threads == 1
    assert profile.latency_ms > 0
    assert 0 < profile.percent_of_peak < 100
    assert profile.repeat == 5


def test_a_profile_reads_well(profile, tmp_path: Path) -> None:
    text = repr(profile)
    assert text.startswith("Profile: ")
    assert "softmax" in text
    assert "% of peak" in text
    assert "<table>" in profile._repr_html_()
    file = tmp_path / "profile.json"
    values = json.loads(profile.to_json(file))
    assert values == json.loads(file.read_text())
    assert values["latency_ms"] == profile.latency_ms
    assert len(values["nodes"]) == len(profile.nodes)


def test_a_profile_plots_its_slowest_steps(profile) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    ax = profile.plot(limit=2)
    assert len(ax.patches) == min(2, len(profile.nodes))


def test_a_profile_needs_a_call(model: trimtab.Model, x) -> None:
    with pytest.raises(trimtab.InputError, match="repeat"):
        model.profile(x, repeat=0)


def test_a_matrix_product_is_in_the_order_of_the_peak() -> None:
    """By a factor of 3 and more: then the peaks, the work or the times are wrong."""
    from onnx import TensorProto, helper

    from .conftest import serialize

    w = np.ones((1024, 1024), np.float32)
    content = serialize(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")],
        [("x", TensorProto.FLOAT, (512, 1024))],
        ["y"],
        {"w": w},
    )
    model = trimtab.load_model(content, threads=1)
    seen = []
    for _ in range(30):  # until one ran alone: others may load the machine
        profile = model.profile(np.ones((512, 1024), np.float32), repeat=10)
        (node,) = [node for node in profile.nodes if node.name == "product"]
        flops = 2 * 512 * 1024 * 1024
        assert node.gops == pytest.approx(flops / node.time_us / 1e3, rel=1e-6)
        seen.append(node.percent_of_peak)
        if 30 < seen[-1] < 300:
            return
    raise AssertionError(f"shares of the peak: {seen}")


def test_integers_are_held_against_the_peak_of_integers() -> None:
    from tests.plan.qdq import Layer, build

    layer = Layer("MatMul", batch=(64,), src_channels=256, dst_channels=256)
    content, inputs = build(layer)
    with trimtab.load_model(content, threads=1) as model:
        nodes = model.profile(inputs, repeat=5).nodes
    (node,) = [node for node in nodes if node.op_type == "QuantizedMatMul"]
    assert node.dtype == "uint8"
    peaks = trimtab.measure_peaks(1)
    if peaks.int8_gops:
        most = 100 * node.gops / peaks.int8_gops
        assert node.percent_of_peak == pytest.approx(most, rel=0.5)


def test_peaks_are_measured_once_and_are_plausible() -> None:
    peaks = trimtab.measure_peaks(1)
    assert peaks is trimtab.measure_peaks(1)
    assert peaks.n_threads == 1
    assert 1 < peaks.f32_gops < 1e4
    assert 0.1 < peaks.memory_gbps < 1e4
    assert peaks.l2_gbps > peaks.memory_gbps / 2
    if peaks.int8_gops:
        assert peaks.int8_gops > peaks.f32_gops


def test_the_roofline_takes_the_slower_of_work_and_bytes() -> None:
    peaks = trimtab.Peaks(2, 100.0, 0.0, 0.0, 50.0, 20.0, 10.0, 1 << 20, 1 << 25)
    assert peaks.least_s(100e9, 8) == 1.0
    assert peaks.least_s(100e9, 8, "uint8") == 1.0  # no instructions of their own
    apart = replace(peaks, bf16_gops=200.0, int8_gops=400.0)
    assert apart.least_s(100e9, 8, "bfloat16") == 0.5
    assert apart.least_s(100e9, 8, "uint8") == apart.least_s(100e9, 8, "int8") == 0.25
    assert peaks.least_s(0, 1e6) == pytest.approx(1e6 / 50e9)
    assert peaks.least_s(0, 1e7) == pytest.approx(1e7 / 20e9)
    assert peaks.least_s(0, 1e9) == pytest.approx(1e9 / 10e9)


def test_tables_align_numbers_right_and_texts_left() -> None:
    table = text_table(["name", "n"], [["a", 1], ["long", 1000.4]])
    assert table.splitlines() == ["name     n", "a        1", "long  1000"]
    assert bytes_text(0) == "0 B"
    assert bytes_text(5 << 30) == "5.0 GiB"
