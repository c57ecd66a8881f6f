"""`load_model(precision="bf16")` and what it promises.

What needs a processor that multiplies bfloat16 runs in a child where oneDNN emulates
it; that takes an AVX-512.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import trimtab
from trimtab import _core
from trimtab.graph import Constant, Graph, Node, Value
from trimtab.graph import Model as GraphModel
from trimtab.optimize.bf16 import bf16_layers, to_bf16
from trimtab.precision import check_precision, largest_allowed

HERE = Path(__file__).resolve().parents[1]
IS_NATIVE = _core.cpu_info()["multiplies_bf16"]
has_avx512 = pytest.mark.skipif(
    _core.cpu_info()["isa"] != "avx512", reason="bf16 is emulated on AVX-512 only"
)


def run_emulated(code: str, *arguments: str) -> str:
    paths = [str(HERE), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={
            **os.environ,
            "TRIMTAB_EMULATE_BF16": "1",
            "PYTHONPATH": os.pathsep.join(paths),
        },
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def two_layers() -> GraphModel:
    rng = np.random.default_rng(1)
    weights = {
        "w": Constant.of(rng.standard_normal((4, 8)).astype(np.float32)),
        "b": Constant.of(rng.standard_normal(8).astype(np.float32)),
        "w2": Constant.of(rng.standard_normal((8, 3)).astype(np.float32)),
        "ints": Constant.of(np.ones((3, 2), np.int32)),
    }
    nodes = [
        Node("Gemm", ["x", "w", "b"], ["h"], "first"),
        Node("Relu", ["h"], ["r"], "relu"),
        Node("MatMul", ["r", "w2"], ["y"], "second"),
        Node("Cast", ["y"], ["i"], "cast", attributes={"to": 6}),
        Node("MatMul", ["i", "ints"], ["z"], "integers"),
    ]
    values = [Value("x", "float32", ("n", 4))]
    graph = Graph("two", values, [Value("y"), Value("z")], nodes, weights)
    return GraphModel(graph, {"": 22})


# ---- to_bf16 ------------------------------------------------------------------------


def test_layers_are_those_with_constant_float_weights() -> None:
    assert bf16_layers(two_layers()) == ["first", "second"]


def test_a_layer_is_named_by_its_node_or_its_output() -> None:
    for name in ("second", "y"):
        nodes = to_bf16(two_layers(), [name]).graph.nodes
        casts = [node for node in nodes if node.op_type == "Cast"]
        assert len(casts) == 4  # input, weights, result, and the model's own
        assert [n.inputs for n in nodes if n.name == "first"] == [["x", "w", "b"]]


def test_the_given_graph_and_the_signature_stay() -> None:
    given = two_layers()
    before = [(n.op_type, [*n.inputs], [*n.outputs]) for n in given.graph.nodes]
    made = to_bf16(given)
    assert [(n.op_type, n.inputs, n.outputs) for n in given.graph.nodes] == before
    assert [value.name for value in made.graph.outputs] == ["y", "z"]
    assert made.graph.constants["w"] is given.graph.constants["w"]
    made_twice = to_bf16(made)
    assert len(made_twice.graph.nodes) == len(made.graph.nodes)


def test_no_layer_is_no_change() -> None:
    assert to_bf16(two_layers(), []).n_nodes == two_layers().n_nodes


@pytest.mark.parametrize("name", ["integers", "relu", "nowhere"])
def test_what_is_no_layer_is_refused(name: str) -> None:
    with pytest.raises(trimtab.InputError, match=f"'{name}' is no layer"):
        to_bf16(two_layers(), ["first", name])


def test_new_names_are_new() -> None:
    given = two_layers()
    given.graph.nodes[1].outputs[0] = "h_bf16"
    given.graph.nodes[2].inputs[0] = "h_bf16"
    outputs = [x for node in to_bf16(given).graph.nodes for x in node.outputs]
    assert len(set(outputs)) == len(outputs)


def test_bodies_are_not_touched() -> None:
    given = two_layers()
    body = Graph("body", outputs=[Value("c")], captures=["y"])
    body.nodes.append(Node("MatMul", ["y", "wb"], ["c"]))
    body.constants["wb"] = Constant.of(np.eye(3, dtype=np.float32))
    then = Node("If", ["k"], ["o"], attributes={"then_branch": body})
    given.graph.nodes.append(then)
    made = to_bf16(given)
    assert made.graph.nodes[-1].attributes["then_branch"] is body


# ---- load_model ---------------------------------------------------------------------


def test_precisions_are_named() -> None:
    with pytest.raises(trimtab.InputError, match=r"\['f32', 'bf16'\], got 'f16'"):
        check_precision("f16", "cpu")


@pytest.mark.skipif(IS_NATIVE, reason="this processor multiplies bfloat16")
def test_a_processor_without_bfloat16_is_told_what_it_lacks() -> None:
    with pytest.raises(trimtab.DeviceError) as caught:
        check_precision("bf16", "cpu")
    text = str(caught.value)
    assert "AVX-512 BF16 or AMX" in text
    assert _core.cpu_info()["brand"] in text
    assert "precision='f32'" in text


def test_bfloat16_is_for_the_processor() -> None:
    with pytest.raises(trimtab.DeviceError, match="device='gpu'"):
        check_precision("bf16", "gpu")


def test_only_floats_get_a_wider_tolerance() -> None:
    assert largest_allowed({"float32": 1e-3}, "f32") == {"float32": 1e-3}
    wide = largest_allowed({"float32": 0.2, "int64": 1.0}, "bf16")
    assert (wide["float32"], wide["int64"], wide["float64"]) == (0.2, 1.0, 0.05)


ROUND_TRIP = """
import pickle, sys
import numpy as np, trimtab
from trimtab import _core
from plan.bf16_graphs import build, largest_error
content, inputs = build("conv_block", opset=18)
f32 = trimtab.load_model(content)
model = trimtab.load_model(content, precision="bf16")
assert (f32.precision, model.precision) == ("f32", "bf16")
assert [str(v) for v in model.inputs] == [str(v) for v in f32.inputs]
assert any("bf16" in n.implementation for n in model.profile(inputs).nodes)
difference = largest_error(f32.run(inputs), model.run(inputs))
assert 1e-4 < difference < 3e-2, difference
path = sys.argv[1]
model.save(path, golden="random")               # in float32, whatever the model is
for precision in ("f32", "bf16", "f32", "bf16"):  # the second time from the cache
    again = trimtab.load_model(path, precision=precision)
    assert again.precision == precision
    assert (again.verification.difference < 1e-5) == (precision == "f32")
    same = f32 if precision == "f32" else model
    assert largest_error(same.run(inputs), again.run(inputs)) < 1e-6
assert pickle.loads(pickle.dumps(model)).precision == "bf16"
trimtab.load_model(path, precision="bf16", verify="passes")
"""


@has_avx512
def test_precision_is_a_choice_of_the_load_and_not_of_the_file(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    run_emulated(ROUND_TRIP, str(tmp_path / "m.safetensors"))


CANCELS = """
import sys, warnings
import numpy as np, trimtab
from plan.bf16_graphs import model, node
# y is what rounding leaves of a product
w = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)
content, inputs = model(
    [node("MatMul", "x w", "a"), node("MatMul", "x v", "b"), node("Sub", "a b", "y")],
    {"x": np.ones((2, 8), np.float32)}, ["y"], {"w": w, "v": w * np.float32(1.0001)})
if sys.argv[1] == "golden":
    trimtab.load_model(content).save(sys.argv[2], golden="random")
    content = sys.argv[2]
for mode in ("error", "warn", "off"):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            trimtab.load_model(content, precision="bf16", verify=mode)
            print(mode, [w.category.__name__ for w in seen])
        except trimtab.errors.GoldenMismatch as error:
            print(mode, error)
"""


@has_avx512
@pytest.mark.parametrize("kind", ["random", "golden"])
def test_a_net_that_cannot_bear_it_is_refused(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = str(tmp_path / "m.safetensors")
    error, warn, off = run_emulated(CANCELS, kind, path).splitlines()
    assert error.startswith("error ")
    assert "precision='f32'" in error
    assert warn == "warn ['GoldenWarning']"
    assert off == "off []"


# ---- accuracy -----------------------------------------------------------------------

SQNR = """
import sys
import numpy as np, trimtab
from trimtab.optimize.bf16 import to_bf16
from zoo import MODELS
zoo = MODELS[sys.argv[1]]
inputs = zoo.more_inputs().get("128_tokens") or zoo.inputs()
plain = trimtab.load_model(zoo.path())
expected, got = plain.run(inputs), plain.rewritten(to_bf16).run(inputs)
for name, a in expected.items():
    noise = np.square(a.astype("f8") - got[name]).sum()
    print(10 * np.log10(np.square(a.astype("f8")).sum() / noise))
"""


@has_avx512
@pytest.mark.zoo
@pytest.mark.parametrize(
    ("name", "least_db"),
    [
        ("minilm_dynamo", 40.0),
        ("whisper_encoder", 40.0),
        # 50 convolutions in a row, each with two roundings of 2^-9
        ("efficientnet_lite0_dynamo", 33.0),
    ],
)
def test_real_models_keep_their_answers(name: str, least_db: float) -> None:
    from zoo import MODELS, ZooUnavailable

    try:
        MODELS[name].path()
    except ZooUnavailable as reason:
        pytest.skip(str(reason))
    found = [float(line) for line in run_emulated(SQNR, name).splitlines()]
    assert found
    assert min(found) >= least_db, found
