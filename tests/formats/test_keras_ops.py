"""Arithmetic between layers: keras.ops against Keras, TensorFlow's against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.formats.keras_cases import (
    Case,
    assert_close,
    build_model,
    computed,
    draw,
    keras,
    reference,
)
from tests.formats.keras_files import legacy_file

import trimtab

ops = keras.ops
S = (4, 6)


def _unary() -> dict[str, Any]:
    names = (
        "abs exp square sin cos tan tanh sinh cosh arctan erf floor ceil sign negative "
        "relu relu6 sigmoid softplus softsign silu log_sigmoid leaky_relu elu selu "
        "hard_sigmoid hard_silu gelu softmax log_softmax celu glu tanh_shrink "
        "hard_tanh hard_shrink soft_shrink squareplus sparse_plus zeros_like ones_like "
        "isnan logical_not"
    )
    return {name: getattr(ops, name) for name in names.split() if hasattr(ops, name)}


ONE: dict[str, Any] = {
    **_unary(),
    "log": lambda x: ops.log(ops.abs(x) + 0.5),
    "sqrt": lambda x: ops.sqrt(ops.abs(x)),
    "rsqrt": lambda x: ops.rsqrt(ops.abs(x) + 0.1),
    "log1p": lambda x: ops.log1p(ops.abs(x)),
    "reversed": lambda x: [1.0 - x, 2.0 / (x + 9.0), -x, x**2, x // 0.5, x % 0.7],
    "compare": lambda x: [
        x > 0.1,
        x >= 0.1,
        x < 0.1,
        x <= 0.1,
        ops.equal(x, x),
        ops.not_equal(x, 0.1),
    ],
    "sums": lambda x: [ops.sum(x), ops.sum(x, axis=1), ops.sum(x, -1, keepdims=True)],
    "means": lambda x: [
        ops.mean(x, axis=(1, 2)),
        ops.max(x, axis=1),
        ops.min(x, axis=-1),
    ],
    "spread": lambda x: [ops.std(x, axis=1), ops.var(x, axis=-1, keepdims=True)],
    "logsumexp": lambda x: ops.logsumexp(x, axis=1),
    "truth": lambda x: [ops.any(x > 1.0, axis=1), ops.all(x > -1.0, axis=-1)],
    "position": lambda x: [ops.argmax(x, axis=1), ops.argmin(x, axis=-1)],
    "clip": lambda x: ops.clip(x, -0.5, 0.7),
    "where": lambda x: ops.where(x > 0.0, x, 0.1),
    "cast": lambda x: ops.cast(x > 0.0, "float32") * x,
    "normalize": lambda x: ops.normalize(x, axis=-1),
    "reshape": lambda x: [ops.reshape(x, (-1, 24)), ops.reshape(x, (-1, 3, 8))],
    "transpose": lambda x: [ops.transpose(x, (0, 2, 1)), ops.swapaxes(x, 1, 2)],
    "moveaxis": lambda x: ops.moveaxis(ops.expand_dims(x, 1), 1, -1),
    "dims": lambda x: ops.squeeze(ops.expand_dims(x, 2), 2),
    "join": lambda x: [ops.concatenate([x, x], axis=1), ops.stack([x, x], axis=1)],
    "split": lambda x: [*ops.split(x, 2, axis=-1), *ops.split(x, [1, 3], axis=1)],
    "repeat": lambda x: ops.tile(x, (1, 2, 3)),
    "flip": lambda x: ops.flip(x, axis=1),
    "pad": lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1))),
    "matmul": lambda x: ops.matmul(x, ops.transpose(x, (0, 2, 1))),
    "items": lambda x: [x[:, 1], x[:, -1], x[:, 1:3], x[..., ::2], x[:, 0:3:2, 2]],
    "new_axis": lambda x: [x[:, None], x[:, None, 1], x[..., None]],
    "relu_options": lambda x: keras.activations.relu(x, 0.1, 1.5, 0.2),
}
TWO: dict[str, Any] = {
    "arithmetic": lambda x, y: [x + y, x - y, x * y, x / (ops.abs(y) + 1.0)],
    "larger": lambda x, y: [ops.maximum(x, y), ops.minimum(x, y)],
    "logic": lambda x, y: [
        ops.logical_and(x > 0.0, y > 0.0),
        ops.logical_or(x > 0.0, y > 0.0),
        ops.logical_xor(x > 0.0, y > 0.0),
    ],
    "choose": lambda x, y: ops.where(x > y, x, y),
}
CASES = [Case(f"op_{k}", f, [S]) for k, f in ONE.items()] + [
    Case(f"op_{k}", f, [S, S]) for k, f in TWO.items()
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_operation_computes_what_keras_computes(case: Case) -> None:
    model = build_model([case])
    feeds = draw(case)
    got, want = computed(model, feeds), reference(model, feeds)
    assert [y.dtype for y in got] == [
        np.int32 if y.dtype == np.int64 else y.dtype for y in want
    ]
    assert_close(got, want)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_files_compute_what_keras_computes(suffix: str, tmp_path: Any) -> None:
    model = build_model(CASES)
    path = str(tmp_path / f"model{suffix}")
    model.save(path)
    feeds: dict[str, np.ndarray] = {}
    for case in CASES:
        feeds.update(draw(case))
    assert_close(computed(path, feeds), reference(model, feeds))


def _call(name: str, function: str, first: Any, **kwargs: Any) -> dict[str, Any]:
    """A call of TensorFlow as Keras 2 stored it."""
    is_slice = function.endswith("getitem")
    node = [*first, kwargs] if isinstance(first[0], str) else first
    return {
        "class_name": "SlicingOpLambda" if is_slice else "TFOpLambda",
        "config": {"name": name, "trainable": True, "function": function},
        "name": name,
        "inbound_nodes": [node],
    }


SLICE = {"start": 1, "stop": None, "step": None}
ALL = {"start": None, "stop": None, "step": None}
CALLS: list[tuple[dict[str, Any], Any]] = [
    (_call("f", "math.add", ["a", 0, 0], y=["b", 0, 0]), lambda a, b: a + b),
    (_call("f", "__operators__.add", ["a", 0, 0], y=2.0), lambda a, b: a + 2),
    (
        _call("f", "math.subtract", ["_CONSTANT_VALUE", -1, 1.0], y=["a", 0, 0]),
        lambda a, b: 1 - a,
    ),
    (_call("f", "nn.relu", ["a", 0, 0]), lambda a, b: np.maximum(a, 0)),
    (
        _call("f", "math.reduce_mean", ["a", 0, 0], axis=[1], keepdims=True),
        lambda a, b: a.mean(1, keepdims=True),
    ),
    (
        _call("f", "concat", [["a", 0, 0, {"axis": -1}], ["b", 0, 0, {"axis": -1}]]),
        lambda a, b: np.concatenate([a, b], -1),
    ),
    (
        _call("f", "__operators__.getitem", ["a", 0, 0], slice_spec=[ALL, SLICE]),
        lambda a, b: a[:, 1:],
    ),
    (
        _call("f", "__operators__.getitem", ["a", 0, 0], slice_spec=[ALL, 0]),
        lambda a, b: a[:, 0],
    ),
    (
        _call("f", "compat.v1.transpose", ["a", 0, 0], perm=[0, 2, 1]),
        lambda a, b: a.transpose(0, 2, 1),
    ),
    (
        _call("f", "split", ["a", 0, 0], num_or_size_splits=[2, 4], axis=-1),
        lambda a, b: a[..., :2],
    ),
    (
        _call("f", "clip_by_value", ["a", 0, 0], clip_value_min=0, clip_value_max=1),
        lambda a, b: a.clip(0, 1),
    ),
]


@pytest.mark.parametrize(("call", "truth"), CALLS, ids=range(len(CALLS)))
def test_a_call_of_tensorflow_computes_its_definition(
    call: dict[str, Any], truth: Any
) -> None:
    inputs = [
        {
            "class_name": "InputLayer",
            "config": {"name": n, "batch_input_shape": [None, *S], "dtype": "float32"},
            "name": n,
            "inbound_nodes": [],
        }
        for n in "ab"
    ]
    config = {
        "class_name": "Functional",
        "config": {
            "name": "m",
            "layers": [*inputs, call],
            "input_layers": [["a", 0, 0], ["b", 0, 0]],
            "output_layers": [["f", 0, 0]],
        },
    }
    model = trimtab.load_model(legacy_file(config, {}))
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(2, *S)).astype(np.float32) for _ in range(2))
    assert_close([model(a, b)], [truth(a, b)])
