"""Every rule of differentiation against central differences in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trimtab.errors import ModelFormatError, UnsupportedOpError
from trimtab.graph import Constant, Graph, Model, Node, Value
from trimtab.optimize.runnable import runnable
from trimtab.train import differentiate, learnable
from trimtab.train.gradients import GRADIENTS

from .check import check_gradient, one_node, outputs_of, weighted_sum

Array = np.ndarray


def _normal(*shape: int) -> Array:
    """Items away from 0, where many operators have a corner."""
    x = np.random.default_rng(3).normal(size=shape)
    return x + np.copysign(0.05, x)


def _positive(*shape: int) -> Array:
    return np.abs(_normal(*shape)) + 0.3


def _inside(*shape: int) -> Array:
    return np.tanh(_normal(*shape)) * 0.9


def _ints(*values: int) -> Array:
    return np.array(values, np.int64)


UNARY: list[tuple[str, Array, dict[str, Any]]] = [
    *[(name, _normal(3, 4), {}) for name in (
        "Abs", "Asinh", "Atan", "Cos", "Cosh", "Elu", "Erf", "Exp", "HardSigmoid",
        "HardSwish", "Identity", "LeakyRelu", "Mish", "Neg", "Reciprocal", "Relu",
        "Selu", "Sigmoid", "Sin", "Sinh", "Softplus", "Softsign", "Tan", "Tanh",
        "ThresholdedRelu", "Celu", "Dropout", "Shrink",
    )],
    *[(name, _positive(3, 4), {}) for name in ("Log", "Sqrt")],
    *[(name, _inside(3, 4), {}) for name in ("Acos", "Asin", "Atanh")],
    ("Acosh", _positive(3, 4) + 1.0, {}),
    ("Elu", _normal(5), {"alpha": 0.7}),
    ("Celu", _normal(5), {"alpha": 0.7}),
    ("LeakyRelu", _normal(5), {"alpha": 0.3}),
    ("HardSigmoid", _normal(5), {"alpha": 0.3, "beta": 0.4}),
    ("Cast", _normal(5), {"to": 11}),
]  # fmt: skip


@pytest.mark.parametrize(("op", "x", "attributes"), UNARY, ids=lambda v: str(v)[:20])
def test_a_function_of_one_tensor(
    op: str, x: Array, attributes: dict[str, Any]
) -> None:
    opset = 22 if op in ("Mish", "HardSwish") else 18
    check_gradient(op, [x], attributes, opset=opset)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(approximate: str) -> None:
    check_gradient("Gelu", [_normal(3, 4)], {"approximate": approximate}, opset=20)


@pytest.mark.parametrize("op", ["FastGelu", "BiasGelu"])
def test_gelu_of_a_sum(op: str) -> None:
    check_gradient(op, [_normal(3, 4), _normal(4)], domain="com.microsoft")


@pytest.mark.parametrize("op", ["QuickGelu", "Gelu"])
def test_gelu_of_another_domain(op: str) -> None:
    check_gradient(op, [_normal(3, 4)], domain="com.microsoft")


def test_clip_passes_what_lies_inside() -> None:
    x = np.array([-3.0, -1.0 + 1e-3, 0.2, 0.99, 4.0])
    check_gradient("Clip", [x, np.array(-1.0), np.array(1.0)], wrt=[0])
    check_gradient("Clip", [x, None, np.array(1.0)], wrt=[0])


SHAPES = [((3, 4), (3, 4)), ((3, 4), (4,)), ((2, 3, 4), (3, 1)), ((4,), (2, 1, 1)),
          ((1, 4), (3, 1)), ((), (3,))]  # fmt: skip


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "Sum",
                                "Mean"])  # fmt: skip
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_a_function_of_two_tensors_that_broadcast(op: str, shapes: Any) -> None:
    a, b = (_positive(*shape) for shape in shapes)
    check_gradient(op, [np.asarray(a), np.asarray(b) * 0.83 + 0.01])


def test_many_terms_and_one() -> None:
    arrays = [_normal(3, 4), _normal(4) * 0.7, _normal(3, 1) * 1.3]
    for op in ("Sum", "Mean", "Max", "Min"):
        check_gradient(op, arrays)
        check_gradient(op, arrays[:1])


def test_pow_with_a_known_exponent() -> None:
    for exponent in (2.0, 3.0, -1.0):
        check_gradient("Pow", [_normal(3, 4), np.array(exponent)], wrt=[0])
    check_gradient("Pow", [_normal(3, 4), _ints(3)], wrt=[0])


def test_equal_items_share_the_gradient_of_an_extreme() -> None:
    x = np.array([1.0, 2.0, 2.0, 0.0])
    model = weighted_sum(one_node("ReduceMax", [x], {"keepdims": 0}), [np.array(3.0)])
    with runnable(differentiate(model, "total", ["x0"])) as run:
        np.testing.assert_allclose(run(x)[1], [0, 1.5, 1.5, 0])


def test_where_and_prelu() -> None:
    condition = np.array([[True, False, True, False]] * 3)
    check_gradient("Where", [condition, _normal(3, 4), _normal(4)])
    check_gradient("PRelu", [_normal(2, 3, 4), _positive(3, 1)])


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin",
                                "ReduceL1", "ReduceL2", "ReduceSumSquare",
                                "ReduceLogSum", "ReduceLogSumExp"])  # fmt: skip
@pytest.mark.parametrize("axes", [None, (1,), (0, -1), (-2,)])
@pytest.mark.parametrize("keep", [0, 1])
def test_a_reduction(op: str, axes: tuple[int, ...] | None, keep: int) -> None:
    x = _positive(2, 3, 4) if op == "ReduceLogSum" else _normal(2, 3, 4)
    arrays: list[Array | None] = [x]
    if axes is not None:
        arrays.append(_ints(*axes))
    check_gradient(op, arrays, {"keepdims": keep})


def test_a_reduction_with_axes_as_an_attribute() -> None:
    for keep in (0, 1):
        attributes = {"axes": [1], "keepdims": keep}
        check_gradient("ReduceMean", [_normal(2, 3, 4)], attributes, opset=13)


def test_a_reduction_over_nothing_is_the_identity() -> None:
    attributes = {"noop_with_empty_axes": 1}
    check_gradient("ReduceSum", [_normal(2, 3)], attributes)


PRODUCTS = [((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)),
            ((2, 1, 3, 4), (3, 4, 5)), ((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,)),
            ((2, 3, 4), (4,)), ((4,), (2, 4, 5))]  # fmt: skip


@pytest.mark.parametrize("shapes", PRODUCTS, ids=str)
def test_matmul(shapes: Any) -> None:
    check_gradient("MatMul", [_normal(*shape) for shape in shapes])


@pytest.mark.parametrize("ta", [0, 1])
@pytest.mark.parametrize("tb", [0, 1])
@pytest.mark.parametrize("bias", [(), (5,), (3, 1), (3, 5)])
def test_gemm(ta: int, tb: int, bias: tuple[int, ...]) -> None:
    a, b = _normal(*((4, 3) if ta else (3, 4))), _normal(*((5, 4) if tb else (4, 5)))
    attributes = {"transA": ta, "transB": tb, "alpha": 0.7, "beta": 1.3}
    check_gradient("Gemm", [a, b, np.asarray(_normal(*bias))], attributes)
    check_gradient("Gemm", [a, b], attributes)


def test_shapes() -> None:
    x = _normal(2, 3, 4)
    check_gradient("Reshape", [x, _ints(4, -1)])
    check_gradient("Flatten", [x], {"axis": 2})
    check_gradient("Squeeze", [_normal(2, 1, 3), _ints(1)])
    check_gradient("Unsqueeze", [x, _ints(0, -1)])
    check_gradient("Transpose", [x], {"perm": [2, 0, 1]})
    check_gradient("Transpose", [x])
    check_gradient("Expand", [_normal(3, 1), _ints(2, 3, 4)])
    check_gradient("TransposeLast", [x], domain="trimtab")


def test_concatenation_and_splitting() -> None:
    check_gradient("Concat", [_normal(2, 3), _normal(2, 1), _normal(2, 2)], {"axis": 1})
    check_gradient("Concat", [_normal(2, 3)], {"axis": -1})
    check_gradient("Split", [_normal(2, 6), _ints(1, 3, 2)], {"axis": 1}, n_outputs=3)


def test_a_part_of_a_split_that_nothing_reads() -> None:
    model = one_node("Split", [_normal(4, 2), _ints(1, 3)], n_outputs=2)
    model.graph.outputs[:] = [Value("y1")]
    with runnable(
        differentiate(weighted_sum(model, [np.ones((3, 2))]), "total", ["x0"])
    ) as run:
        found = run(_normal(4, 2))[1]
    np.testing.assert_array_equal(found, [[0, 0], [1, 1], [1, 1], [1, 1]])


def test_slices() -> None:
    x = _normal(5, 6)
    check_gradient("Slice", [x, _ints(1), _ints(4), _ints(0)])
    check_gradient("Slice", [x, _ints(-1, 5), _ints(-6, 0), _ints(0, 1), _ints(-2, -3)])
    check_gradient("Slice", [x, _ints(0, 2), _ints(2**31, 2**31)])


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
@pytest.mark.parametrize("indices", [[0, 2, 0], [[1, -1], [1, 1]], 2], ids=str)
def test_gather_adds_what_was_taken_twice(axis: int, indices: Any) -> None:
    check_gradient(
        "Gather", [_normal(3, 4, 5), np.array(indices, np.int64)], {"axis": axis}
    )


def test_gathers_by_item() -> None:
    x = _normal(3, 4)
    check_gradient(
        "GatherElements", [x, np.array([[0, 0, 3], [1, -1, 1]])], {"axis": 1}
    )
    check_gradient("GatherND", [x, np.array([[0, 1], [2, 3], [0, 1]])])
    check_gradient("GatherND", [x, np.array([[2], [2]])])
    check_gradient("GatherND", [x, np.array([[1], [0], [1]])], {"batch_dims": 1})


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_pad(mode: str) -> None:
    check_gradient("Pad", [_normal(3, 4), _ints(1, 2, 0, 1)], {"mode": mode})


def test_pad_of_some_axes_with_a_value_and_cropping() -> None:
    check_gradient(
        "Pad", [_normal(3, 4), _ints(1, 2), np.array(0.5), _ints(1)], wrt=[0]
    )
    check_gradient("Pad", [_normal(3, 4), _ints(1, -1, -1, 0)])


def test_other_moves() -> None:
    check_gradient("Tile", [_normal(2, 3), _ints(2, 3)])
    check_gradient("DepthToSpace", [_normal(1, 8, 2, 3)], {"blocksize": 2})
    check_gradient("SpaceToDepth", [_normal(1, 2, 4, 6)], {"blocksize": 2})
    check_gradient("Trilu", [_normal(3, 4)], {"upper": 0})
    for exclusive in (0, 1):
        attributes = {"exclusive": exclusive, "reverse": 1 - exclusive}
        check_gradient("CumSum", [_normal(3, 4), np.array(1)], attributes)
    check_gradient("ReverseSequence", [_normal(4, 3), _ints(1, 4, 2)])


def test_softmax() -> None:
    for axis in (-1, 1):
        check_gradient("Softmax", [_normal(2, 3, 4)], {"axis": axis})
        check_gradient("LogSoftmax", [_normal(2, 3, 4)], {"axis": axis})


def test_layer_normalization() -> None:
    arrays = [_normal(2, 3, 4), _positive(4), _normal(4)]
    check_gradient("LayerNormalization", arrays)
    arrays = [_normal(2, 3, 4), _positive(3, 4), _normal(3, 4)]
    check_gradient("LayerNormalization", arrays, {"axis": 1, "epsilon": 1e-3})
    check_gradient("LayerNormalization", arrays[:2], {"axis": -2})


def test_rms_normalization() -> None:
    check_gradient("RMSNormalization", [_normal(2, 3, 4), _positive(4)], opset=23)


def test_batch_normalization_with_given_statistics() -> None:
    for shape in ((2, 3, 4, 5), (2, 3)):
        arrays = [_normal(*shape), _positive(3), _normal(3), _normal(3), _positive(3)]
        check_gradient("BatchNormalization", arrays, wrt=[0, 1, 2])


def test_batch_normalization_that_learns() -> None:
    """Against the definition in NumPy: the batch's own mean and variance."""
    x, scale, shift = _normal(4, 3, 2, 2), _positive(3), _normal(3)
    arrays = [x, scale, shift, _normal(3), _positive(3)]
    weights = _normal(4, 3, 2, 2)
    model = weighted_sum(one_node("BatchNormalization", arrays), [weights])
    with runnable(differentiate(model, "total", ["x0", "x1", "x2"])) as run:
        total, *found, mean, variance = run(x, scale, shift)

    def truth(x: Array, scale: Array, shift: Array) -> float:
        centred = x - x.mean((0, 2, 3), keepdims=True)
        spread = np.sqrt((centred**2).mean((0, 2, 3), keepdims=True) + 1e-5)
        column = (-1, 1, 1)
        y = centred / spread * scale.reshape(column) + shift.reshape(column)
        return float((y * weights).sum())

    np.testing.assert_allclose(total, truth(x, scale, shift))
    np.testing.assert_allclose(mean, x.mean((0, 2, 3)))
    np.testing.assert_allclose(variance, x.var((0, 2, 3), ddof=1))
    values = [x, scale, shift]
    for array, gradient in zip(values, found, strict=True):
        for at in np.ndindex(array.shape):
            kept, ends = array[at], []
            for h in (1e-5, -1e-5):
                array[at] = kept + h
                ends.append(truth(*values))
            array[at] = kept
            assert abs((ends[0] - ends[1]) / 2e-5 - gradient[at]) < 1e-6


def test_global_pools() -> None:
    check_gradient("GlobalAveragePool", [_normal(2, 3, 4, 5)])
    check_gradient("GlobalMaxPool", [_normal(2, 3, 4, 5)])


def test_what_two_readers_give_is_added() -> None:
    """x used three times: by Mul twice, by Add."""
    nodes = [Node("Mul", ["x", "x"], ["s"]), Node("Add", ["s", "x"], ["y"])]
    x = np.array([2.0, -3.0])
    graph = Graph("g", [], [Value("y")], nodes, {"x": Constant.of(x)})
    model = weighted_sum(Model(graph, {"": 17}), [np.ones(2)])
    with runnable(differentiate(model, "total", ["x"])) as run:
        np.testing.assert_allclose(run(x)[1], 2 * x + 1)


def test_an_operator_without_a_rule_is_named() -> None:
    model = weighted_sum(one_node("ReduceProd", [_normal(3)]), [np.ones(1)])
    with pytest.raises(UnsupportedOpError, match="ReduceProd 'node'"):
        differentiate(model, "total", ["x0"])


def test_an_unknown_name_and_one_that_does_not_matter() -> None:
    model = weighted_sum(one_node("Relu", [_normal(3)]), [np.ones(3)])
    with pytest.raises(ModelFormatError, match="no constant or input 'w'"):
        differentiate(model, "total", ["w"])
    model.graph.constants["w"] = Constant.of(np.ones(3))
    with pytest.raises(ModelFormatError, match="does not depend on 'w'"):
        differentiate(model, "total", ["w"])
    with pytest.raises(ModelFormatError, match="each once"):
        differentiate(model, "total", ["x0", "x0"])


def test_integers_are_not_learned() -> None:
    model = one_node("Gather", [_normal(3), _ints(0, 1)])
    assert learnable(model) == ["x0"]  # the table, not the indices
    with pytest.raises(ModelFormatError, match="int64"):
        differentiate(weighted_sum(model, [np.ones(2)]), "total", ["x1"])


def test_the_model_is_not_changed() -> None:
    model = weighted_sum(one_node("Relu", [_normal(3)]), [np.ones(3)])
    before = repr(model.graph)
    differentiate(model, "total", ["x0"])
    assert repr(model.graph) == before
    assert len(outputs_of(model)) == 1


def test_every_rule_is_for_an_operator_of_the_engine_or_its_fallback() -> None:
    assert all(callable(rule) for rule in GRADIENTS.values())


CONVOLUTIONS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 3, 6, 5), (4, 3, 3, 3), {}),
    ((2, 3, 6, 5), (4, 3, 3, 3), {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
    ((2, 4, 7, 6), (6, 2, 3, 2), {"group": 2, "dilations": [2, 1]}),
    ((1, 3, 5, 5), (3, 1, 3, 3), {"group": 3, "auto_pad": "SAME_UPPER"}),
    ((2, 3, 9), (4, 3, 4), {"strides": [3]}),
    ((1, 2, 4, 5, 3), (3, 2, 2, 3, 2), {"pads": [0, 1, 1, 1, 0, 0]}),
]


@pytest.mark.parametrize(("x", "w", "attributes"), CONVOLUTIONS, ids=str)
def test_convolution(x: Any, w: Any, attributes: dict[str, Any]) -> None:
    arrays = [_normal(*x), _normal(*w), _normal(w[0])]
    check_gradient("Conv", arrays, attributes)
    check_gradient("Conv", arrays[:2], attributes)


@pytest.mark.parametrize("wrt", [[0], [1], [2], [0, 2]])
def test_a_part_of_the_gradients_of_a_convolution(wrt: list[int]) -> None:
    arrays = [_normal(1, 2, 4, 4), _normal(3, 2, 2, 2), _normal(3)]
    check_gradient("Conv", arrays, wrt=wrt)


def test_transposed_convolution() -> None:
    arrays = [_normal(2, 4, 3, 4), _normal(4, 3, 3, 2), _normal(3)]
    check_gradient("ConvTranspose", arrays, {"strides": [2, 1], "pads": [1, 0, 0, 1]})
    arrays = [_normal(2, 4, 3, 4), _normal(4, 1, 3, 2), _normal(2)]
    check_gradient("ConvTranspose", arrays, {"group": 2})


POOLS: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((2, 3, 6, 5), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ((2, 3, 6, 5), {"kernel_shape": [3, 3], "pads": [1, 1, 0, 1]}),
    ((2, 70, 7, 6), {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1}),
    ((2, 3, 9), {"kernel_shape": [4], "strides": [3], "pads": [2, 1]}),
    ((1, 2, 4, 5, 3), {"kernel_shape": [2, 3, 2], "auto_pad": "SAME_LOWER"}),
    ((1, 2, 8, 8), {"kernel_shape": [2, 3], "dilations": [3, 2]}),
]


@pytest.mark.parametrize(("x", "attributes"), POOLS, ids=str)
def test_pools(x: Any, attributes: dict[str, Any]) -> None:
    check_gradient("MaxPool", [_normal(*x)], attributes)
    check_gradient("AveragePool", [_normal(*x)], attributes, opset=19)
    attributes = {**attributes, "count_include_pad": 1}
    check_gradient("AveragePool", [_normal(*x)], attributes, opset=19)
