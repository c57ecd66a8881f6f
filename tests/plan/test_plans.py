"""Plans: one per shape, bounded, immutable under threads."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import trimtab

from .graphs import CASES


def resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def test_a_shape_seen_before_compiles_nothing() -> None:
    content, inputs = CASES["attention"].build(np.random.default_rng(0))
    model = trimtab.load_model(content, fallback=False)
    model.run(inputs)
    compiled = model.stats["n_compiles"]
    for _ in range(5):
        model.run(inputs)
    assert model.stats["n_compiles"] == compiled


def test_plans_are_bounded_by_number() -> None:
    content, _ = CASES["matmul_bias_gelu_residual"].build(np.random.default_rng(0))
    limits = trimtab.Limits(max_plans=4)
    model = trimtab.load_model(content, fallback=False, limits=limits)
    for tokens in range(1, 12):
        model(np.ones((tokens, 5, 32), np.float32))
    assert model.stats["n_plans"] <= 4


def test_a_thousand_batch_sizes_leave_the_resident_size_flat() -> None:
    content, _ = CASES["matmul_bias_gelu_residual"].build(np.random.default_rng(0))
    model = trimtab.load_model(content, fallback=False, threads=1)
    for n in range(1, 401):
        model(np.ones((n, 5, 32), np.float32))
    warm = resident_bytes()
    for n in range(401, 1001):
        model(np.ones((n % 400 + 1, 5, 32), np.float32))
    assert resident_bytes() - warm < 24 << 20


def test_strided_input_gets_a_plan_of_its_own_and_the_same_answer() -> None:
    content, inputs = CASES["elementwise_chain"].build(np.random.default_rng(0))
    model = trimtab.load_model(content, fallback=False)
    expected = model.run(inputs)["y"]
    strided = np.empty((4, 5, 32), np.float32)[:, :, ::2]
    strided[...] = inputs["x"]
    np.testing.assert_array_equal(model.run({"x": strided})["y"], expected)


def test_threads_share_a_model_and_agree_bit_for_bit() -> None:
    content, inputs = CASES["attention"].build(np.random.default_rng(0))
    model = trimtab.load_model(content, fallback=False)
    expected = model.run(inputs)["y"]
    failures: list[str] = []

    def work() -> None:
        for _ in range(200):
            if not np.array_equal(model.run(inputs)["y"], expected):
                failures.append("differs")

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_call_that_needs_too_much_memory_is_refused_before_it_is_taken() -> None:
    content, _ = CASES["elementwise_chain"].build(np.random.default_rng(0))
    limits = trimtab.Limits(max_arena_bytes=1 << 20, max_tensor_bytes=1 << 20)
    model = trimtab.load_model(content, fallback=False, limits=limits)
    with pytest.raises(trimtab.ModelLimitError, match="max_"):
        model(np.ones((1000, 5, 1000), np.float32)[:, :, :16].repeat(40, 0))


def test_memory_report_counts_reuse() -> None:
    content, inputs = CASES["attention"].build(np.random.default_rng(0))
    reusing = trimtab.load_model(content, fallback=False)
    report = reusing.memory_report(inputs)
    assert report.arena_bytes > 0
    assert report.tensors_bytes > 0
