"""bfloat16 in graphs: right under every pass and instruction set, and without casts.

Whether the processor multiplies bfloat16 is found out once per process, so what has to
run as on such a processor (oneDNN emulates it on any AVX-512) runs in a child.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trimtab
from trimtab import _core
from trimtab.formats import read_model
from trimtab.limits import Limits
from trimtab.optimize.bf16 import bf16_layers, to_bf16
from trimtab.source import Source

from . import bf16_graphs
from .bf16_graphs import CASES, SETTINGS, build, check, largest_error, truth

pytest.importorskip("onnxruntime")

EMULATED = {"TRIMTAB_EMULATE_BF16": "1"}
MACHINES: dict[str, dict[str, str]] = {
    "emulated": EMULATED,
    "emulated_core": {**EMULATED, "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "core": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "avx2": {**EMULATED, "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "scalar": {"TRIMTAB_ISA": "scalar"},
}
has_avx512 = pytest.mark.skipif(
    _core.cpu_info()["isa"] != "avx512", reason="bf16 is emulated on AVX-512 only"
)


def run_with(variables: dict[str, str], code: str) -> str:
    """Run Python code in a process with these variables; what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables},
        cwd=Path(bf16_graphs.__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", CASES)
def test_bfloat16_is_right_whatever_the_passes(name: str, setting: str) -> None:
    check(name, [setting])


def test_each_operator_rounds_the_true_result() -> None:
    bf16_graphs.check_operators()


@pytest.mark.parametrize("machine", MACHINES)
def test_bfloat16_is_right_on_every_instruction_set(machine: str) -> None:
    code = "from tests.plan.bf16_graphs import check_all; check_all()"
    run_with(MACHINES[machine], code)


STEPS = """
from tests.plan.bf16_graphs import CASES, build
import trimtab
from trimtab.optimize.bf16 import to_bf16
content, inputs = build({name!r})
plain = trimtab.load_model(content, threads=1)
for model in (plain, plain.rewritten(to_bf16)):
    nodes = model.profile(inputs).nodes
    print("|".join(f"{{n.op_type}} {{n.implementation}}" for n in nodes))
"""


@has_avx512
def test_layers_take_the_casts_around_them() -> None:
    plain, layers = run_with(EMULATED, STEPS.format(name="conv_block")).splitlines()
    steps = layers.split("|")
    assert sum(step.startswith("Conv") and "bf16" in step for step in steps) >= 2
    assert "Pad" not in layers  # it became padding of the convolution
    # of the input, and of the sum that is read as both
    assert sum(step.startswith("Cast") for step in steps) <= 2
    assert len(steps) <= len(plain.split("|")) + 3


@has_avx512
def test_normalisation_goes_into_weights_that_are_rounded_later() -> None:
    _, layers = run_with(EMULATED, STEPS.format(name="batch_norm")).splitlines()
    assert "BatchNormalization" not in layers


@has_avx512
def test_matmuls_of_one_input_are_joined_in_bfloat16_too() -> None:
    plain, layers = run_with(EMULATED, STEPS.format(name="transformer")).splitlines()
    assert layers.count("MatMul") == plain.count("MatMul")
    assert layers.count("Attention") == plain.count("Attention") == 1


@has_avx512
def test_normalisation_writes_what_layers_read() -> None:
    _, layers = run_with(EMULATED, STEPS.format(name="wide_norm")).splitlines()
    assert "Cast" not in layers


SUMS = """
import numpy as np, trimtab
from tests.plan.bf16_graphs import model, node
from trimtab.optimize.bf16 import to_bf16
rng = np.random.default_rng(5)
w = rng.standard_normal((24, 1, 5, 5)).astype(np.float32)
w[1] *= 1e-30
w[2, 0, 1:] = 0
x = np.ones((1, 24, 5, 5), np.float32)
content, inputs = model([node("Conv", "x w", "y", group=24)], {"x": x}, ["y"], {"w": w})
layer = trimtab.load_model(content).rewritten(to_bf16)
wanted = w.astype("f8").sum(axis=(1, 2, 3))
error = np.abs(layer.run(inputs)["y"].ravel() - wanted) / np.abs(w).max(axis=(1, 2, 3))
print(error.max())
"""


@has_avx512
def test_rounded_filters_keep_their_sums() -> None:
    # 25 weights that are rounded one by one are off by 2^-7 of the largest and more
    assert float(run_with(EMULATED, SUMS)) <= 2.0**-10


MEMORY = """
from tests.plan.bf16_graphs import model, node
import numpy as np, trimtab
from trimtab.optimize.bf16 import to_bf16
rng = np.random.default_rng(0)
w = rng.standard_normal((256, 512)).astype(np.float32)
content, inputs = model([node("MatMul", "x w", "y")], {"x": np.ones((64, 256), "f4")},
                        ["y"], {"w": w})
plain = trimtab.load_model(content)
for m in (plain, plain.rewritten(to_bf16)):
    m.run(inputs)
    print(m.memory_report(inputs).packed_bytes)
"""


@has_avx512
def test_packed_weights_take_half_the_memory() -> None:
    plain, layers = map(int, run_with(EMULATED, MEMORY).split())
    assert layers <= 0.55 * plain


@pytest.mark.skipif(_core.cpu_info()["multiplies_bf16"], reason="it is native here")
@pytest.mark.parametrize("name", CASES)
def test_layers_run_in_float32_where_bfloat16_is_no_gain(name: str) -> None:
    content, inputs = build(name)
    plain = trimtab.load_model(content)
    layers = plain.rewritten(to_bf16)
    assert layers is not None
    steps = [
        [(n.op_type, n.implementation) for n in model.profile(inputs).nodes]
        for model in (plain, layers)
    ]
    assert steps[0] == steps[1]
    assert largest_error(plain.run(inputs), layers.run(inputs)) <= 1e-6


@settings(max_examples=30, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(set(CASES) - {"empty"})))
def test_any_choice_of_layers_is_right(data: st.DataObject, name: str) -> None:
    content, inputs = build(name)
    plain = trimtab.load_model(content)
    names = bf16_layers(read_model(Source.of(content).open(), Limits()))
    chosen = data.draw(st.sets(st.sampled_from(names)))
    some = plain.rewritten(lambda graph: to_bf16(graph, chosen))
    assert some is not None
    expected = truth(build(name, opset=18)[0], inputs)
    got = some.run(inputs)
    assert largest_error(expected, got) <= bf16_graphs.TOLERANCE


def test_a_cast_to_bfloat16_and_back_still_rounds() -> None:
    content, inputs = bf16_graphs.model(
        [
            bf16_graphs.node("Cast", "x", "a", to=16),
            bf16_graphs.node("Cast", "a", "y", to=1),
            bf16_graphs.node("MatMul", "y w", "z"),
        ],
        {"x": np.array([[1.001953125, 3.14159]], np.float32)},
        ["y", "z"],
        {"w": np.eye(2, dtype=np.float32)},
    )
    outputs = trimtab.load_model(content).run(inputs)
    np.testing.assert_array_equal(outputs["y"], bf16_graphs.rounded(inputs["x"]))
    np.testing.assert_array_equal(outputs["z"], outputs["y"])


@pytest.mark.parametrize("attributes", [{}, {"mixed_bf16": 1}])
def test_layers_of_two_types_are_refused_as_before(attributes: dict[str, int]) -> None:
    inputs = {"x": np.ones((1, 2), np.float32), "w": np.eye(2, dtype=np.float32)}
    content, _ = bf16_graphs.model(
        [
            bf16_graphs.node("Cast", "x", "a", to=16),
            bf16_graphs.node("MatMul", "a w", "y", **attributes),
        ],
        inputs,
        ["y"],
        {},
    )
    with pytest.raises(trimtab.TrimtabError, match="bfloat16 and float32"):
        trimtab.load_model(content).run(inputs)
