"""Small graphs that each rewrite rule of the compiler is meant for.

Every builder returns a model and its inputs; `Case.fused` is a substring of the op
types or fused names that the optimised plan must show, `Case.n_steps` its steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx.helper as oh
from onnx import numpy_helper

Array = np.ndarray


@dataclass(frozen=True)
class Case:
    """One graph: how it is built and what the compiler should make of it."""

    build: Callable[[np.random.Generator], tuple[bytes, dict[str, Array]]]
    n_steps: int | None = None
    fused: str = ""


def model(
    nodes: list,
    inputs: dict[str, Array],
    outputs: list[str],
    constants: dict[str, Array],
    *,
    opset: int = 18,
    symbols: bool = True,
) -> tuple[bytes, dict[str, Array]]:
    """Serialise a graph whose first dims are symbolic."""
    values = []
    for name, x in inputs.items():
        dims: list = list(x.shape)
        if symbols and dims:
            dims[0] = f"{name}_n"
        code = oh.np_dtype_to_tensor_dtype(x.dtype)
        values.append(oh.make_tensor_value_info(name, code, dims))
    graph = oh.make_graph(
        nodes,
        "graph",
        values,
        [oh.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(c, name) for name, c in constants.items()],
    )
    opsets = [oh.make_opsetid("", opset)]
    proto = oh.make_model(graph, opset_imports=opsets, ir_version=9)
    return proto.SerializeToString(), inputs


def node(op: str, inputs: str, outputs: str, **attributes: object):
    """`node("Add", "a b", "c")`; the node is named after its first output."""
    out = outputs.split()
    return oh.make_node(op, inputs.split(), out, name=f"n_{out[0]}", **attributes)


def normal(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(np.float32)


def scalar(value: float) -> Array:
    return np.array(value, np.float32)


def conv_batch_norm_relu(rng):
    channels = 8
    constants = {
        "w": normal(rng, channels, 3, 3, 3),
        "gamma": normal(rng, channels),
        "beta": normal(rng, channels),
        "mean": normal(rng, channels),
        "var": rng.random(channels).astype(np.float32) + 0.5,
    }
    nodes = [
        node("Conv", "x w", "c", pads=[1] * 4),
        node("BatchNormalization", "c gamma beta mean var", "b"),
        node("Relu", "b", "y"),
    ]
    return model(nodes, {"x": normal(rng, 2, 3, 9, 9)}, ["y"], constants)


def conv_scale_shift(rng):
    constants = {
        "w": normal(rng, 6, 4, 1, 1),
        "bias": normal(rng, 6),
        "scale": normal(rng, 1, 6, 1, 1),
        "shift": normal(rng, 6, 1, 1),
    }
    nodes = [
        node("Conv", "x w bias", "c"),
        node("Mul", "c scale", "m"),
        node("Add", "shift m", "y"),
    ]
    return model(nodes, {"x": normal(rng, 1, 4, 5, 7)}, ["y"], constants)


def residual(rng):
    constants = {"w": normal(rng, 8, 8, 3, 3), "v": normal(rng, 8, 8, 1, 1)}
    nodes = [
        node("Conv", "x w", "c", pads=[1] * 4),
        node("Conv", "c v", "d"),
        node("Add", "c d", "s"),
        node("Relu", "s", "y"),
    ]
    return model(nodes, {"x": normal(rng, 1, 8, 6, 6)}, ["y"], constants)


def matmul_bias_gelu_residual(rng):
    constants = {
        "w": normal(rng, 32, 32) / 6,
        "b": normal(rng, 32),
        "root2": scalar(2**0.5),
        "one": scalar(1),
        "half": scalar(0.5),
    }
    nodes = [
        node("MatMul", "x w", "h"),
        node("Add", "h b", "a"),
        node("Div", "a root2", "d"),
        node("Erf", "d", "e"),
        node("Add", "e one", "p"),
        node("Mul", "a p", "m"),
        node("Mul", "m half", "g"),
        node("Add", "g x", "y"),
    ]
    return model(nodes, {"x": normal(rng, 2, 5, 32)}, ["y"], constants)


def swish(rng):
    nodes = [node("Sigmoid", "x", "s"), node("Mul", "x s", "y")]
    return model(nodes, {"x": normal(rng, 3, 50)}, ["y"], {})


def hard_swish(rng):
    constants = {"three": scalar(3), "zero": scalar(0), "six": scalar(6)}
    nodes = [
        node("Add", "x three", "a"),
        node("Clip", "a zero six", "c"),
        node("Mul", "x c", "m"),
        node("Div", "m six", "y"),
    ]
    return model(nodes, {"x": normal(rng, 3, 50) * 4}, ["y"], constants)


def mish(rng):
    nodes = [
        node("Softplus", "x", "s"),
        node("Tanh", "s", "t"),
        node("Mul", "t x", "y"),
    ]
    return model(nodes, {"x": normal(rng, 3, 50) * 4}, ["y"], {})


def layer_norm(rng):
    constants = {
        "two": scalar(2),
        "eps": scalar(1e-5),
        "gamma": normal(rng, 24),
        "beta": normal(rng, 24),
    }
    nodes = [
        node("ReduceMean", "x", "m", axes=[-1]),
        node("Sub", "x m", "d"),
        node("Pow", "d two", "p"),
        node("ReduceMean", "p", "v", axes=[-1]),
        node("Add", "v eps", "e"),
        node("Sqrt", "e", "s"),
        node("Div", "d s", "n"),
        node("Mul", "n gamma", "g"),
        node("Add", "g beta", "y"),
    ]
    inputs = {"x": normal(rng, 2, 7, 24)}
    return model(nodes, inputs, ["y"], constants, opset=17)


def elementwise_chain(rng):
    constants = {"k": normal(rng, 16), "s": scalar(0.3)}
    nodes = [
        node("Mul", "x s", "a"),
        node("Add", "a k", "b"),
        node("Tanh", "b", "c"),
        node("Sub", "c x", "d"),
        node("Exp", "d", "y"),
    ]
    return model(nodes, {"x": normal(rng, 4, 5, 16)}, ["y"], constants)


def attention(rng):
    batch, tokens, heads, size = 2, 9, 4, 8
    width = heads * size
    constants = {
        "split": np.array([0, 0, heads, size]),
        "join": np.array([0, 0, width]),
        "root": scalar(size**0.25),
    }
    nodes = []
    for name in "qkv":
        constants |= {f"w{name}": normal(rng, width, width) / 6}
        constants |= {f"b{name}": normal(rng, width)}
        nodes += [
            node("MatMul", f"x w{name}", f"{name}m"),
            node("Add", f"{name}m b{name}", f"{name}a"),
            node("Reshape", f"{name}a split", f"{name}r"),
        ]
    nodes += [
        node("Transpose", "qr", "qt", perm=[0, 2, 1, 3]),
        node("Transpose", "kr", "kt", perm=[0, 2, 3, 1]),
        node("Transpose", "vr", "vt", perm=[0, 2, 1, 3]),
        node("Div", "qt root", "qs"),
        node("Div", "kt root", "ks"),
        node("MatMul", "qs ks", "scores"),
        node("Add", "scores mask", "masked"),
        node("Softmax", "masked", "p", axis=-1),
        node("MatMul", "p vt", "o"),
        node("Transpose", "o", "ot", perm=[0, 2, 1, 3]),
        node("Reshape", "ot join", "y"),
    ]
    mask = np.where(rng.random((batch, 1, 1, tokens)) < 0.3, -1e4, 0)
    inputs = {"x": normal(rng, batch, tokens, width), "mask": mask.astype(np.float32)}
    return model(nodes, inputs, ["y"], constants)


def attention_nodes(scores: list, *, values: str = "v", softmax: str = "s") -> list:
    """The nodes of the scores, then softmax and the product with the values."""
    return [
        *scores,
        node("Softmax", softmax, "p", axis=-1),
        node("MatMul", f"p {values}", "y"),
    ]


def attention_inputs(rng, *lead: int, queries=37, keys=101, size=24):
    return {
        "q": normal(rng, *lead, queries, size),
        "k": normal(rng, *lead, keys, size),
        "v": normal(rng, *lead, keys, size),
    }


def attention_scaled_behind(rng):
    """Keys through two reshapes as the dynamo exporter writes them; scores / root."""
    constants = {
        "root": scalar(5),
        "merge": np.array([6, 101, 24]),
        "split": np.array([2, 3, 24, 101]),
    }
    scores = [
        node("Reshape", "k merge", "km"),
        node("Transpose", "km", "kt", perm=[0, 2, 1]),
        node("Reshape", "kt split", "ks"),
        node("MatMul", "q ks", "m"),
        node("Div", "m root", "d"),
        node("Add", "d mask", "s"),
    ]
    inputs = attention_inputs(rng, 2, 3)
    inputs["mask"] = np.where(rng.random((37, 101)) < 0.5, -np.inf, 0).astype("f4")
    nodes = attention_nodes(scores)
    return model(nodes, inputs, ["y"], constants, symbols=False)


def attention_rank_3(rng):
    scores = [
        node("Transpose", "k", "kt", perm=[0, 2, 1]),
        node("MatMul", "q kt", "s"),
    ]
    inputs = attention_inputs(rng, 4, queries=3)
    return model(attention_nodes(scores), inputs, ["y"], {}, symbols=False)


def attention_shared_keys(rng):
    """One head of keys and values for all heads of queries."""
    scores = [
        node("Transpose", "k", "kt", perm=[0, 1, 3, 2]),
        node("MatMul", "q kt", "s"),
    ]
    inputs = attention_inputs(rng, 2, 1)
    inputs["q"] = normal(rng, 2, 5, 37, 24)
    return model(attention_nodes(scores), inputs, ["y"], {}, symbols=False)


def attention_scores_are_output(rng):
    scores = [
        node("Transpose", "k", "kt", perm=[0, 1, 3, 2]),
        node("MatMul", "q kt", "s"),
    ]
    inputs = attention_inputs(rng, 2, 3)
    return model(attention_nodes(scores), inputs, ["y", "s"], {}, symbols=False)


def attention_shares_are_read_twice(rng):
    scores = [
        node("Transpose", "k", "kt", perm=[0, 1, 3, 2]),
        node("MatMul", "q kt", "s"),
    ]
    nodes = [*attention_nodes(scores), node("Relu", "p", "z")]
    return model(nodes, attention_inputs(rng, 2, 3), ["y", "z"], {}, symbols=False)


def concat_in_place(rng):
    nodes = [
        node("Relu", "x", "a"),
        node("Neg", "x", "b"),
        node("Concat", "a b x", "c", axis=1),
        node("Tanh", "c", "y"),
    ]
    return model(nodes, {"x": normal(rng, 3, 4, 5)}, ["y"], {})


def views(rng):
    constants = {
        "shape": np.array([0, 4, 6]),
        "starts": np.array([1]),
        "ends": np.array([3]),
        "axes": np.array([1]),
    }
    nodes = [
        node("Reshape", "x shape", "r"),
        node("Transpose", "r", "t", perm=[0, 2, 1]),
        node("Slice", "t starts ends axes", "s"),
        node("Unsqueeze", "s axes", "u"),
        node("Relu", "u", "y"),
    ]
    return model(nodes, {"x": normal(rng, 2, 24)}, ["y"], constants)


def shape_arithmetic(rng):
    constants = {
        "zero": np.array(0),
        "axis": np.array([0]),
        "minus": np.array([-1]),
    }
    nodes = [
        node("Shape", "x", "shape"),
        node("Gather", "shape zero", "n", axis=0),
        node("Unsqueeze", "n axis", "n1"),
        node("Concat", "n1 minus", "target", axis=0),
        node("Reshape", "x target", "r"),
        node("Softmax", "r", "y", axis=-1),
    ]
    return model(nodes, {"x": normal(rng, 3, 4, 5)}, ["y"], constants)


def input_is_output(rng):
    nodes = [node("Identity", "x", "y"), node("Relu", "x", "z")]
    return model(nodes, {"x": normal(rng, 3, 4)}, ["y", "z"], {})


def one_value_many_outputs(rng):
    constants = {"flat": np.array([-1])}
    nodes = [
        node("Exp", "x", "y"),
        node("Reshape", "y flat", "z"),
        node("Neg", "y", "w"),
    ]
    return model(nodes, {"x": normal(rng, 3, 4)}, ["y", "z", "w"], constants)


def pads_of_zeros(rng):
    """Conv(Pad(x)): asymmetric, with the convolution's own pads on top, strided."""
    constants = {
        "pads": np.array([0, 0, 1, 0, 0, 0, 2, 1]),
        "w": normal(rng, 6, 4, 5, 5),
        "w_dw": normal(rng, 6, 1, 3, 3),
        "pads_dw": np.array([0, 0, 0, 0, 0, 0, 1, 1]),
        "zero": np.array(0, np.float32),
    }
    nodes = [
        node("Pad", "x pads zero", "p"),
        node("Conv", "p w", "c", pads=[2, 1, 0, 1]),
        node("Pad", "c pads_dw", "q"),
        node("Conv", "q w_dw", "y", group=6, strides=[2, 2]),
    ]
    return model(nodes, {"x": normal(rng, 2, 4, 11, 9)}, ["y"], constants)


def pads_that_stay(rng):
    """Pads that are no zeros, not constant, of channels, or read by others too."""
    constants = {
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "channels": np.array([0, 1, 0, 0, 0, 1, 0, 0]),
        "wide": np.array([0, 0, 3, 3, 0, 0, 3, 3]),
        "one": np.array(1, np.float32),
        "w": normal(rng, 4, 4, 3, 3),
        "w6": normal(rng, 4, 6, 3, 3),
        "axes": np.array([3]),
        "last": np.array([1, 1]),
        "none": np.array(0, np.float32),
    }
    nodes = [
        node("Pad", "x pads one", "p"),
        node("Conv", "p w", "a"),
        node("Pad", "x pads", "e", mode="edge"),
        node("Conv", "e w", "b"),
        node("Pad", "x channels", "h"),
        node("Conv", "h w6", "c"),
        node("Pad", "x pads", "s"),
        node("Conv", "s w", "d"),
        node("Pad", "x wide", "v"),
        node("Conv", "v w", "f"),
        node("Pad", "x last none axes", "l"),
        node("Conv", "l w", "g"),
    ]
    return model(
        nodes,
        {"x": normal(rng, 1, 4, 6, 7)},
        ["a", "b", "c", "d", "s", "f", "g"],
        constants,
    )


CASES: dict[str, Case] = {
    "conv_batch_norm_relu": Case(conv_batch_norm_relu, fused="n_y"),
    "conv_scale_shift": Case(conv_scale_shift),
    "residual": Case(residual, fused="n_s, n_y"),
    "matmul_bias_gelu_residual": Case(matmul_bias_gelu_residual, 1, "n_a, n_g, n_y"),
    "swish": Case(swish, 1, "Swish"),
    "hard_swish": Case(hard_swish, 1, "HardSwish"),
    "mish": Case(mish, 1, "Mish"),
    "layer_norm": Case(layer_norm, 1, "LayerNormalization"),
    "elementwise_chain": Case(elementwise_chain, 1, "Mul+Add+Tanh+Sub+Exp"),
    "attention": Case(attention, 2, "Attention: n_scores, n_masked, n_p"),
    "attention_scaled_behind": Case(attention_scaled_behind, 1, "n_m, n_d, n_s, n_p"),
    "attention_rank_3": Case(attention_rank_3, 1, "Attention: n_s, n_p"),
    "attention_shared_keys": Case(attention_shared_keys, 1, "Attention: n_s, n_p"),
    "attention_scores_are_output": Case(attention_scores_are_output, 3),
    "attention_shares_are_read_twice": Case(attention_shares_are_read_twice, 4),
    "concat_in_place": Case(concat_in_place),
    "pads_of_zeros": Case(pads_of_zeros),
    "pads_that_stay": Case(pads_that_stay),
    "views": Case(views, 1, "Relu"),
    "shape_arithmetic": Case(shape_arithmetic, 1, "Softmax"),
    "input_is_output": Case(input_is_output),
    "one_value_many_outputs": Case(one_value_many_outputs),
}
