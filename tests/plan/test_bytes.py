"""A convolution that reads a quantised picture reads the picture's bytes.

The definition is the float model: convolution of ``(u / divisor - mean) / std`` in
float64.  The rewritten plan must be nearer to it than the quantised model may be: equal
but for the rounding of what padding stands for.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trimtab

from .graphs import model, node
from .test_integer import op_types

Array = np.ndarray


def convolve(x: Array, w: Array, pad: int, value: float) -> Array:
    """Convolution by its definition, the border filled with a value."""
    wide = [(0, 0), (0, 0), (pad, pad), (pad, pad)]
    x = np.pad(x, wide, constant_values=value)
    view = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))
    return np.einsum("nchwij,ocij->nohw", view, w)


def picture_model(
    *,
    mean: Array,
    std: Array,
    divisor: float,
    pad: int,
    planar: bool,
    bias: bool,
    scale: float,
    zero: int,
    dtype: type = np.uint8,
    weights: str = "f32",
) -> tuple[bytes, dict[str, Array], dict[str, Array]]:
    rng = np.random.default_rng(1)
    shape = (1, 3, 6, 7) if planar else (1, 6, 7, 3)
    side = (1, 3, 1, 1) if planar else (3,)
    constants = {
        "divisor": np.array(divisor, np.float32),
        "mean": np.broadcast_to(mean, 3).reshape(side).astype(np.float32),
        "std": np.broadcast_to(std, 3).reshape(side).astype(np.float32),
        "w": rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "s": np.array(scale, np.float32),
        "z": np.array(zero, dtype),
        "bias": rng.standard_normal(4).astype(np.float32),
    }
    nodes = [
        node("Cast", "u", "f", to=1),
        node("Div", "f divisor", "d"),
        node("Sub", "d mean", "m"),
        node("Div", "m std", "x"),
    ]
    if not planar:
        nodes += [node("Transpose", "x", "t", perm=[0, 3, 1, 2])]
    last = "x" if planar else "t"
    nodes += [
        node("QuantizeLinear", f"{last} s z", "q"),
        node("DequantizeLinear", "q s z", "r"),
        *quantised_weights(weights, constants),
        node("Conv", "r v bias" if bias else "r v", "y", pads=[pad] * 4),
    ]
    inputs = {"u": rng.integers(0, 256, shape).astype(np.uint8)}
    content, inputs = model(nodes, inputs, ["y"], constants, opset=21, symbols=False)
    return content, inputs, constants


def quantised_weights(how: str, constants: dict[str, Array]) -> list:
    """Nodes from `w` to `v`; `w` becomes what the convolution then multiplies by."""
    w = constants["w"]
    constants["ws"] = np.abs(w).max(axis=(1, 2, 3)) / np.float32(127)
    constants["wz"] = np.zeros(4, np.int8)
    side = constants["ws"].reshape(4, 1, 1, 1)
    if how == "f32":
        return [node("Identity", "w", "v")]
    q = np.rint(w / side).astype(np.int8)
    back = node("DequantizeLinear", "wq ws wz", "v", axis=0)
    if how == "linear":
        constants["wf"] = w
        constants["w"] = (q * side).astype(np.float32)
        return [node("QuantizeLinear", "wf ws wz", "wq", axis=0), back]
    constants["wq"] = q
    constants["w"] = (q * side).astype(np.float32)
    return [back]


def quantises(content: bytes, inputs: dict[str, Array]) -> bool:
    """Is a QuantizeLinear left?"""
    names = " ".join(op_types(content, inputs)).replace("DequantizeLinear", "")
    return "QuantizeLinear" in names


def truth(inputs: dict, constants: dict, pad: int, bias: bool, border: float) -> Array:
    c = {name: value.astype(np.float64) for name, value in constants.items()}
    x = (inputs["u"] / c["divisor"] - c["mean"]) / c["std"]
    if x.shape[1] != 3:
        x = x.transpose(0, 3, 1, 2)
    y = convolve(x, c["w"], pad, border)
    return y + c["bias"][:, None, None] if bias else y


def covering(mean: float, std: float, divisor: float, dtype: type) -> tuple[float, int]:
    """Scale and zero point for all that bytes become."""
    low, high = (0 - mean) / std, (255 / divisor - mean) / std
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / 255)
    zero = int(np.clip(np.rint(-low / scale), 0, 255))
    return float(scale), zero - (128 if dtype == np.int8 else 0)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([0.0, 0.5, 0.485, 0.4, 127.5, 123.675, 128.0]),
    st.sampled_from([1.0, 0.5, 0.229, 127.5, 58.4]),
    st.integers(0, 1),
    st.booleans(),
    st.booleans(),
    st.sampled_from([np.uint8, np.int8]),
    st.sampled_from(["f32", "linear", "s8"]),
)
def test_bytes_are_convolved_as_the_float_model_does(
    mean, std, pad, planar, bias, dtype, weights
) -> None:
    divisor = 255.0 if mean < 1 else 1.0
    scale, zero = covering(mean, std, divisor, dtype)
    content, inputs, constants = picture_model(
        mean=np.array(mean),
        std=np.array(std),
        divisor=divisor,
        pad=pad,
        planar=planar,
        bias=bias,
        scale=scale,
        zero=zero,
        dtype=dtype,
        weights=weights,
    )
    assert not quantises(content, inputs)
    got = trimtab.load_model(content, fallback=False).run(inputs)["y"]
    step = 1 / divisor / std
    at = mean * divisor  # padding becomes the byte nearest to it, either at a half
    bytes_ = [b for b in (np.floor(at), np.ceil(at)) if abs(b - at) <= 0.5001]
    errors = []
    for byte in bytes_:
        border = (byte / divisor - mean) / std
        want = truth(inputs, constants, pad, bias, border)
        errors.append(np.abs(got - want) - 2e-5 * np.abs(want))
    assert min(error.max() for error in errors) <= 2e-4 * step * 255
    # and the quantised model is no farther than its rounding allows
    plain = trimtab.load_model(content, fallback=False, passes=[]).run(inputs)["y"]
    reach = np.abs(constants["w"]).sum(axis=(1, 2, 3)).max() * (scale + step)
    assert np.abs(plain - got).max() <= reach


def test_a_mean_for_each_channel_is_quantised() -> None:
    content, inputs, _ = picture_model(
        mean=np.array([0.485, 0.456, 0.406]),
        std=np.array([0.229, 0.224, 0.225]),
        divisor=255.0,
        pad=1,
        planar=False,
        bias=True,
        scale=0.0187,
        zero=114,
    )
    assert quantises(content, inputs)
    got = trimtab.load_model(content, fallback=False).run(inputs)["y"]
    plain = trimtab.load_model(content, fallback=False, passes=[]).run(inputs)["y"]
    np.testing.assert_allclose(got, plain, atol=1e-4)


@pytest.mark.parametrize(("scale", "folds"), [(0.95 / 255, True), (0.5 / 255, False)])
def test_a_range_that_is_cut_off_stays(scale: float, folds: bool) -> None:
    content, inputs, _ = picture_model(
        mean=np.array(0.0),
        std=np.array(1.0),
        divisor=255.0,
        pad=1,
        planar=True,
        bias=False,
        scale=scale,
        zero=0,
    )
    assert quantises(content, inputs) != folds
