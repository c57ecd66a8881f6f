"""The resident size stays flat: over lengths, and over models that come and go.

Plans of old lengths are dropped (`Limits.max_plans`, `max_plan_bytes`); what the C
library keeps of freed memory, and oneDNN of primitives, is reached during warm-up.
Each is measured in a process of its own: in one with a past, the kernel may make huge
pages of what others left behind at any time.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trimtab

MIB = 1 << 20


def resident_bytes() -> int:
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def zoo_model(name: str):  # type: ignore[no-untyped-def]
    from tests.zoo import MODELS, ZooUnavailable

    try:
        MODELS[name].path()
    except ZooUnavailable as reason:
        if os.environ.get("CI"):
            pytest.fail(f"the zoo must be complete under CI: {reason}")
        pytest.skip(str(reason))
    return MODELS[name]


def alone(function: str, *arguments: str) -> Any:
    """What a function of this module gives, called in a process of its own."""
    code = (
        "import json, sys\n"
        "from tests.robustness import test_resident\n"
        "function = getattr(test_resident, sys.argv[1])\n"
        "print(json.dumps(function(*sys.argv[2:])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, function, *arguments],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


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


def lengths_of_a_recommender() -> list[int]:
    limits = trimtab.Limits(max_plans=16)
    model = trimtab.load_model(zoo_model("neumf").path(), threads=1, limits=limits)
    ids = np.arange(1001) % 900 + 1
    grown = growth(lambda n: model.run({"user": ids[:n], "item": ids[:n]}), 1000)
    assert model.stats["n_plans"] <= 16
    return grown


@pytest.mark.zoo
def test_a_thousand_lengths_of_a_recommender_leave_the_size_flat() -> None:
    zoo_model("neumf")
    grown = alone("lengths_of_a_recommender")
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


def models_that_come_and_go(name: str) -> int:
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
    return resident_bytes() - before


@pytest.mark.zoo
@pytest.mark.parametrize("name", ["mtcnn_rnet", "oww_hey_mycroft", "neumf"])
def test_a_hundred_models_that_come_and_go_leave_the_size_flat(name: str) -> None:
    zoo_model(name)
    assert alone("models_that_come_and_go", name) < 4 * MIB
