"""Finding a model's last dense layer, and putting another in its place."""

import numpy as np
import pytest

from trimtab.errors import InputError, UnsupportedOpError
from trimtab.graph import Constant, Graph, Model, Node, Value
from trimtab.optimize.runnable import runnable
from trimtab.update.head import features, find_head, with_head

RNG = np.random.default_rng(0)
W1 = RNG.standard_normal((4, 6)).astype(np.float32)
W2 = RNG.standard_normal((6, 3)).astype(np.float32)
B2 = RNG.standard_normal(3).astype(np.float32)
X = RNG.standard_normal((70, 4)).astype(np.float32)


def graph_of(nodes, constants, *, opset=18, shape=("n", 4), out=("n", 3)):
    named = {"w1": W1, **constants}
    first = [Node("MatMul", ["x", "w1"], ["h0"]), Node("Relu", ["h0"], ["h"])]
    graph = Graph(
        "g",
        [Value("x", "float32", shape)],
        [Value("y", "float32", out)],
        [*first, *nodes],
        {name: Constant.of(value) for name, value in named.items()},
    )
    return Model(graph, {"": opset})


def gemm(weight, bias=None, **attributes):
    inputs = ["h", "w2"] + ([] if bias is None else ["b2"])
    constants = {"w2": weight} | ({} if bias is None else {"b2": bias})
    return [Node("Gemm", inputs, ["y"], attributes=attributes)], constants


SOFTMAX = Node("Softmax", ["z"], ["y"], attributes={"axis": -1})
SHAPE = np.array([-1, 3])

#: Name -> nodes behind "h", their constants, and (weights, bias) of the logits.
HEADS = {
    "gemm": (*gemm(W2, B2), W2, B2),
    "gemm without bias": (*gemm(W2), W2, 0 * B2),
    "gemm transposed": (*gemm(W2.T.copy(), B2, transB=1), W2, B2),
    "gemm with factors": (
        *gemm(W2, B2[None], alpha=0.5, beta=3.0),
        0.5 * W2,
        3 * B2,
    ),
    "gemm with one bias": (*gemm(W2, B2[:1]), W2, B2[[0, 0, 0]]),
    "matmul": ([Node("MatMul", ["h", "w2"], ["y"])], {"w2": W2}, W2, 0 * B2),
    "matmul and add": (
        [Node("MatMul", ["h", "w2"], ["m"]), Node("Add", ["b2", "m"], ["y"])],
        {"w2": W2, "b2": B2},
        W2,
        B2,
    ),
    "softmax": (
        [
            Node("MatMul", ["h", "w2"], ["m"]),
            Node("Add", ["m", "b2"], ["z"]),
            SOFTMAX,
        ],
        {"w2": W2, "b2": B2},
        W2,
        B2,
    ),
    "weights behind a transpose": (
        [
            Node("Transpose", ["w2"], ["wt"], attributes={"perm": [1, 0]}),
            Node("Gemm", ["h", "wt", "b2"], ["y"]),
        ],
        {"w2": W2.T.copy(), "b2": B2},
        W2,
        B2,
    ),
    "factor and quotient": (
        [
            Node("Gemm", ["h", "w2", "b2"], ["z0"]),
            Node("Mul", ["two", "z0"], ["z1"]),
            Node("Div", ["z1", "four"], ["z"]),
            SOFTMAX,
        ],
        {"w2": W2, "b2": B2, "two": np.float32(2), "four": np.full(1, 4, np.float32)},
        0.5 * W2,
        0.5 * B2,
    ),
    "one pixel": (
        [
            Node("Reshape", ["h", "image"], ["hi"]),
            Node("GlobalAveragePool", ["hi"], ["hp"]),
            Node("Conv", ["hp", "w2", "b2"], ["c"]),
            Node("Reshape", ["c", "shape"], ["z"]),
            SOFTMAX,
        ],
        {
            "w2": W2.T.reshape(3, 6, 1, 1).copy(),
            "b2": B2,
            "image": np.array([-1, 6, 1, 1]),
            "shape": SHAPE,
        },
        W2,
        B2,
    ),
    "shared weights": (
        [
            Node("Gemm", ["h", "w2", "b2"], ["y"]),
            Node("Gemm", ["h", "w2", "b2"], ["other"]),
        ],
        {"w2": W2, "b2": B2},
        W2,
        B2,
    ),
}


def logits(x, weight, bias):
    return np.maximum(x @ W1, 0) @ weight + bias


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize("name", HEADS)
def test_a_head_is_found_with_its_weights(name):
    nodes, constants, weight, bias = HEADS[name]
    head = find_head(graph_of(nodes, constants))
    np.testing.assert_allclose(head.weight, weight, rtol=1e-6)
    np.testing.assert_allclose(head.bias, bias, rtol=1e-6)
    assert (head.n_features, head.n_outputs) == (6, 3)
    has_softmax = any(node.op_type == "Softmax" for node in nodes)
    assert head.activation == ("softmax" if has_softmax else "none")


@pytest.mark.parametrize("name", HEADS)
def test_features_are_what_the_head_reads(name):
    nodes, constants, _, _ = HEADS[name]
    graph = graph_of(nodes, constants)
    head = find_head(graph)
    with runnable(graph) as model:
        phi = features(model, head, {"x": X})
        answers = model(X)
    np.testing.assert_allclose(phi, np.maximum(X @ W1, 0), rtol=1e-5, atol=1e-6)
    z = phi @ head.weight + head.bias
    wanted = softmax(z) if head.activation == "softmax" else z
    np.testing.assert_allclose(answers, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_outputs", [3, 5])
@pytest.mark.parametrize("name", HEADS)
def test_another_head_gives_its_own_logits(name, n_outputs):
    nodes, constants, _, _ = HEADS[name]
    graph = graph_of(nodes, constants)
    before = {key: value.numpy().copy() for key, value in graph.graph.constants.items()}
    weight = RNG.standard_normal((6, n_outputs))
    bias = RNG.standard_normal(n_outputs)
    head = find_head(graph)
    made = with_head(graph, head, weight, bias)
    with runnable(made) as model:
        answers = model(X)
    z = logits(X.astype(np.float64), weight, bias)
    wanted = softmax(z) if head.activation == "softmax" else z
    np.testing.assert_allclose(answers, wanted, rtol=1e-4, atol=1e-5)
    again = find_head(made)  # what was written is read again
    np.testing.assert_allclose(again.weight, weight, rtol=1e-6)
    np.testing.assert_allclose(again.bias, bias, rtol=1e-6)
    for key, value in graph.graph.constants.items():  # the old one is as it was
        np.testing.assert_array_equal(value.numpy(), before[key])


def test_a_linear_model_reads_its_input():
    graph = Graph(
        "g",
        [Value("x", "float32", (16, 4))],
        [Value("y")],
        [Node("MatMul", ["x", "w1"], ["y"])],
        {"w1": Constant.of(W1)},
    )
    with runnable(Model(graph, {"": 18})) as model:
        found = features(model, find_head(Model(graph, {"": 18})), {"x": X})
    np.testing.assert_array_equal(found, X)  # and a fixed batch is filled up


def test_shared_weights_stay_for_the_other_reader():
    nodes, constants, _, _ = HEADS["shared weights"]
    graph = graph_of(nodes, constants)
    graph.graph.outputs.append(Value("other", "float32", ("n", 3)))
    made = with_head(graph, find_head(graph), 0 * W2, 0 * B2)
    with runnable(made) as model:
        found = model.run({"x": X})
    assert not found["y"].any()
    np.testing.assert_allclose(found["other"], logits(X, W2, B2), rtol=1e-4, atol=1e-5)


#: What stands at the end -> what the refusal says.
REFUSED = {
    "Relu": ([Node("MatMul", ["h", "w2"], ["m"]), Node("Relu", ["m"], ["y"])], "Relu"),
    "normalised": (
        [Node("LpNormalization", ["h"], ["y"], attributes={"axis": 1})],
        "embedding",
    ),
    "product of two tensors": ([Node("MatMul", ["h", "h"], ["y"])], "MatMul"),
    "quantised": (
        [
            Node("DequantizeLinear", ["q", "s"], ["w"]),
            Node("MatMul", ["h", "w"], ["y"]),
        ],
        "quantised",
    ),
    "softmax over rows": (
        [
            Node("MatMul", ["h", "w2"], ["m"]),
            Node("Softmax", ["m"], ["y"], attributes={"axis": 0}),
        ],
        "Softmax",
    ),
    "the input": ([Node("Identity", ["x"], ["y"])], "input"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_head_is_refused_with_a_reason(name):
    nodes, said = REFUSED[name]
    constants = {"w2": W2, "q": np.ones((6, 3), np.int8), "s": np.float32(0.1)}
    with pytest.raises(UnsupportedOpError, match=said):
        find_head(graph_of(nodes, constants))


def test_weights_that_do_not_fit_are_refused():
    nodes, constants, _, _ = HEADS["gemm"]
    graph = graph_of(nodes, constants)
    head = find_head(graph)
    with pytest.raises(InputError, match=r"\[6, outputs\]"):
        with_head(graph, head, W2.T, B2)
    with pytest.raises(InputError, match="NaN"):
        with_head(graph, head, W2 * np.nan, B2)


def test_an_unknown_output_is_named():
    nodes, constants, _, _ = HEADS["gemm"]
    with pytest.raises(InputError, match="'nothing'"):
        find_head(graph_of(nodes, constants), output="nothing")


def test_a_long_tail_ends_the_search():
    nodes = [Node("Identity", [f"t{i}"], [f"t{i + 1}"]) for i in range(100)]
    nodes[0].inputs[0], nodes[-1].outputs[0] = "h", "y"
    with pytest.raises(UnsupportedOpError):
        find_head(graph_of(nodes, {}))
