"""The resident size stays flat: over lengths, and over models that come and go.

Plans of old lengths are dropped (`Limits.max_plans`, `max_plan_bytes`); what the C
library keeps of freed memory, and oneDNN of primitives, is reached during warm-up.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

import trimtab

MIB = 1 << 20


def resident_bytes() -> int:
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def zoo_model(name: str):  # type: ignore[no-untyped-def]
    from zoo import MODELS, ZooUnavailable

    try:
        MODELS[name].path()
    except ZooUnavailable as reason:
        if os.environ.get("CI"):
            pytest.fail(f"the zoo must be complete under CI: {reason}")
        pytest.skip(str(reason))
    return MODELS[name]


def growth(run: Callable[[int], object], n: int) -> list[int]:
    """Bytes that three rounds of n lengths, after two of warm-up, add each.

    The first round fills oneDNN's cache of primitives; in the second it drops some and
    makes others, which takes its room in the heap once.
    """
    sizes = []
    for _ in range(5):
        for length in range(1, n + 1):
            run(length)
        sizes.append(resident_bytes())
    return [b - a for a, b in pairwise(sizes[1:])]


@pytest.mark.zoo
def test_a_thousand_lengths_of_a_recommender_leave_the_size_flat() -> None:
    limits = trimtab.Limits(max_plans=16)
    model = trimtab.load_model(zoo_model("neumf").path(), threads=1, limits=limits)
    ids = np.arange(1001) % 900 + 1
    grown = growth(lambda n: model.run({"user": ids[:n], "item": ids[:n]}), 1000)
    assert model.stats["n_plans"] <= 16
    assert max(grown) < 4 * MIB, [f"{g / MIB:.1f} MiB" for g in grown]


@pytest.mark.zoo
@pytest.mark.slow
def test_a_thousand_sequence_lengths_of_minilm_leave_the_size_flat() -> None:
    path = zoo_model("minilm_torchscript").path()
    model = trimtab.load_model(path, limits=trimtab.Limits(max_plans=8))
    ids = (np.arange(250) * 7 % 1000 + 1000)[None]
    sizes = []
    for batch in range(1, 5):  # 250 lengths for each of 4 batch sizes: 1,000 shapes
        for n in range(1, 251):
            tokens = np.repeat(ids[:, :n], batch, axis=0)
            model.run({"input_ids": tokens, "attention_mask": np.ones_like(tokens)})
        sizes.append(resident_bytes())
    assert model.stats["n_plans"] <= 8
    assert sizes[3] - sizes[1] < 64 * MIB, [f"{s / MIB:.0f} MiB" for s in sizes]


@pytest.mark.zoo
@pytest.mark.parametrize("name", ["mtcnn_rnet", "oww_hey_mycroft", "neumf"])
def test_a_hundred_models_that_come_and_go_leave_the_size_flat(name: str) -> None:
    item = zoo_model(name)
    content, inputs = item.path().read_bytes(), item.inputs()

    def live() -> None:
        with trimtab.load_model(content, threads=1) as model:
            model.run(inputs)

    for _ in range(20):
        live()
    before = resident_bytes()
    for _ in range(100):
        live()
    assert resident_bytes() - before < 4 * MIB
