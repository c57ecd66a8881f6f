"""Finding the penultimate tensor in graphs of every common ending, and reading it."""

from __future__ import annotations

import numpy as np
import onnx.helper as oh
import pytest
from onnx import numpy_helper

import trimtab
from trimtab.errors import InputError
from trimtab.monitor.embedding import Embedding, find_embedding, pool_embedding
from trimtab.monitor.embedding_tensor import run_with_embedding

RNG = np.random.default_rng(0)


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def load(
    nodes: list[tuple[str, list[str], str]],
    constants: dict[str, np.ndarray],
    *,
    shape: tuple[object, ...] = ("n", 6),
    outputs: tuple[str, ...] = ("y",),
) -> trimtab.Model:
    """Load a graph of nodes (operator and attributes, inputs, output)."""
    made = []
    for text, inputs, output in nodes:
        op_type, _, attributes = text.partition(" ")
        given = dict(pair.split("=") for pair in attributes.split())
        values = {k: float(v) if "." in v else int(v) for k, v in given.items()}
        made.append(oh.make_node(op_type, inputs, output.split(), **values))
    graph = oh.make_graph(
        made,
        "g",
        [oh.make_tensor_value_info("x", 1, shape)],
        [oh.make_tensor_value_info(name, 1, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [oh.make_opsetid("", 17)]
    model = oh.make_model(graph, opset_imports=opsets, ir_version=8)
    return trimtab.load_model(model.SerializeToString())


DENSE = {"w": weights(6, 5), "v": weights(5, 3), "b": weights(3)}
BODY = [("MatMul", ["x", "w"], "h"), ("Relu", ["h"], "r")]
INT64 = np.int64


@pytest.mark.parametrize(
    ("tail", "constants", "want"),
    [
        ([("Gemm", ["r", "v", "b"], "y")], {}, "r"),
        ([("MatMul", ["r", "v"], "m"), ("Add", ["m", "b"], "y")], {}, "r"),
        ([("MatMul", ["r", "v"], "m"), ("Add", ["b", "m"], "y")], {}, "r"),
        (
            [("Gemm", ["r", "v", "b"], "m"), ("Softmax axis=-1", ["m"], "y")],
            {},
            "r",
        ),
        (
            [
                ("Gemm", ["r", "v", "b"], "m"),
                ("Sigmoid", ["m"], "s"),
                ("Squeeze", ["s", "axes"], "y"),
            ],
            {"v": weights(5, 1), "b": weights(1), "axes": np.array([1], INT64)},
            "r",
        ),
        # the weights are transposed in the graph
        (
            [("Transpose", ["vt"], "t"), ("MatMul", ["r", "t"], "y")],
            {"vt": weights(3, 5)},
            "r",
        ),
        # the target of a Reshape comes from the input
        (
            [
                ("MatMul", ["r", "v"], "m"),
                ("Shape", ["m"], "s"),
                ("Reshape", ["m", "s"], "y"),
            ],
            {},
            "r",
        ),
        # temperature, and a clip
        (
            [
                ("Gemm", ["r", "v", "b"], "m"),
                ("Div", ["m", "two"], "d"),
                ("Clip", ["d", "", "two"], "y"),
            ],
            {"two": np.float32(2)},
            "r",
        ),
        # two paths meet: no head, the output is what the model makes
        (
            [
                ("MatMul", ["r", "v"], "m"),
                ("MatMul", ["x", "u"], "k"),
                ("Add", ["m", "k"], "y"),
            ],
            {"u": weights(6, 3)},
            "y",
        ),
        ([("ReduceL2 axes=1", ["r"], "l"), ("Div", ["r", "l"], "y")], {}, "y"),
    ],
)
def test_the_input_of_the_head_is_found(
    tail: list[tuple[str, list[str], str]],
    constants: dict[str, np.ndarray],
    want: str,
) -> None:
    if tail[0][0].startswith("ReduceL2"):
        tail = [("ReduceL2", ["r"], "l"), *tail[1:]]
    with load([*BODY, *tail], {**DENSE, **constants}) as model:
        assert find_embedding(model) == want
        x = weights(4, 6)
        outputs, rows = run_with_embedding(model, x, want)
        np.testing.assert_array_equal(outputs["y"], model(x))
        np.testing.assert_array_equal(
            rows, pool_embedding(outputs["y"] if want == "y" else model.taps[want](x))
        )


def test_convolutions_are_heads_too() -> None:
    constants = {"k": weights(7, 3, 3, 3), "l": weights(4, 7, 1, 1)}
    body = [("Conv", ["x", "k"], "c"), ("Relu", ["c"], "r"), ("Conv", ["r", "l"], "m")]
    pooled = [("GlobalAveragePool", ["m"], "p"), ("Flatten", ["p"], "f")]
    shape = ("n", 3, 9, 9)
    with load([*body, *pooled, ("Softmax", ["f"], "y")], constants, shape=shape) as net:
        assert find_embedding(net) == "r"
        x = weights(2, 3, 9, 9)
        _, rows = run_with_embedding(net, x, "r")
        want = net.taps["r"](x).mean(axis=(2, 3))
        np.testing.assert_allclose(rows, want, rtol=1e-6)
        assert rows.shape == (2, 7)
    # without a softmax pooled maps are embeddings themselves
    with load(
        [*body, *pooled[:1], ("Flatten", ["p"], "y")], constants, shape=shape
    ) as m:
        assert find_embedding(m) == "y"


def test_quantised_heads_give_what_was_quantised() -> None:
    constants = {
        **DENSE,
        "s": np.float32(0.05),
        "z": np.uint8(128),
        "vq": RNG.integers(0, 255, (5, 3), dtype=np.uint8),
    }
    dense = [
        ("QuantizeLinear", ["r", "s", "z"], "q"),
        ("DequantizeLinear", ["q", "s", "z"], "d"),
        ("DequantizeLinear", ["vq", "s", "z"], "vd"),
        ("MatMul", ["d", "vd"], "y"),
    ]
    with load([*BODY, *dense], constants) as model:
        assert find_embedding(model) == "r"
    dynamic = [
        ("DynamicQuantizeLinear", ["r"], "q qs qz"),
        ("MatMulInteger", ["q", "vq", "qz", "z"], "i"),
        ("Cast to=1", ["i"], "c"),
        ("Mul", ["qs", "s"], "scale"),
        ("Mul", ["c", "scale"], "y"),
    ]
    with load([*BODY, *dynamic], constants) as model:
        assert find_embedding(model) == "r"


def test_a_linear_model_has_only_its_output() -> None:
    with load(
        [("Gemm", ["x", "w", "b"], "y")], {"w": weights(6, 3), "b": weights(3)}
    ) as m:
        assert find_embedding(m) == "y"


def test_each_output_has_its_own_head() -> None:
    nodes = [
        *BODY,
        ("MatMul", ["r", "v"], "y"),
        ("Tanh", ["h"], "t"),
        ("MatMul", ["t", "v"], "z"),
    ]
    with load(nodes, DENSE, outputs=("y", "z")) as model:
        assert find_embedding(model) == "r"
        assert find_embedding(model, output="z") == "t"
        with pytest.raises(InputError, match="no output 'q'"):
            find_embedding(model, output="q")
        outputs, rows = run_with_embedding(model, weights(2, 6), "t")
        assert sorted(outputs) == ["y", "z"]
        assert rows.shape == (2, 5)


def test_states_and_maps_are_pooled() -> None:
    states = RNG.normal(size=(2, 4, 3)).astype(np.float32)
    mask = np.array([[1, 1, 0, 0], [0, 0, 0, 0]])
    pooled = pool_embedding(states, mask=mask)
    np.testing.assert_allclose(pooled[0], states[0, :2].mean(axis=0), rtol=1e-6)
    assert (pooled[1] == 0).all()
    np.testing.assert_allclose(pool_embedding(states), states.mean(axis=1), rtol=1e-6)
    assert pool_embedding(np.zeros((2, 3, 4, 5))).shape == (2, 3)
    assert pool_embedding(np.zeros((2, 3, 4, 5, 6))).shape == (2, 360)
    assert pool_embedding(np.zeros((2, 200_000))).shape == (2, 50_000)
    assert pool_embedding(np.zeros(7)).shape == (1, 7)
    with pytest.raises(InputError, match="mask"):
        pool_embedding(states, mask=mask[:, :3])
    with pytest.raises(InputError, match="numbers"):
        pool_embedding(["a"])


def test_a_model_watches_its_own_embedding() -> None:
    with load([*BODY, ("Gemm", ["r", "v", "b"], "y")], DENSE) as model:
        tensor = find_embedding(model)
        x = weights(900, 6)
        _, rows = run_with_embedding(model, x, tensor)
        reference = Embedding.from_data(rows[:600])
        quiet, loud = reference.empty(), reference.empty()
        quiet.update(rows[600:])
        loud.update(run_with_embedding(model, x[600:] + 0.8, tensor)[1])
        assert reference.score(quiet).p_value > 1e-3
        assert reference.score(loud).p_value < 1e-6
        assert reference.score(loud).effect > 10 * reference.score(quiet).effect
