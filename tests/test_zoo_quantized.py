"""Models that onnxruntime has quantised, against onnxruntime.

Every scale and zero point comes from onnxruntime's own calibration on real inputs, so
this is what users bring. Two right engines round some values near a half to different
integers; behind few layers that is `STEPS` steps of the result (a 255th of its range),
behind many it is noise. So for deep nets the yardstick is what quantisation itself
does: of that error ours may add `SHARE`. The oracle is onnxruntime node by node, as the
specification says, or as its users run it, whichever is nearer: the two differ, too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pytest
from zoo import MODELS, Tensors, ZooUnavailable
from zoo.files import photo
from zoo.tables import digits
from zoo.text import tokenize

import trimtab
from trimtab.processing.image import normalize_image, resize_image

pytest.importorskip("onnxruntime.quantization")
pytestmark = pytest.mark.zoo

STEPS = 2.0
SHALLOW = ("mnist_cnn",)
# Measured: EfficientNet .23, onnxruntime with and without its optimisations .24; MiniLM
# .29 as QOperators (.42 in integers), less than .01 in the other forms.
SHARE = 0.5


def _crops(n: int) -> npt.NDArray[np.float32]:
    """Photographs, some of them mirrored or cut, as ImageNet's nets take them."""
    rows = []
    for i in range(n):
        picture = photo(("chelsea.png", "coffee.png", "astronaut.png")[i % 3])
        cut = picture[(i * 20) :, : picture.shape[1] - i * 15]
        shown = normalize_image(resize_image(cut, 224, 224)).transpose(2, 0, 1)
        rows.append(shown[:, :, ::-1] if i % 2 else shown)
    return np.ascontiguousarray(np.stack(rows))


SENTENCES = (
    "The harbour was quiet before the storm.",
    "How do I change my password?",
    "A cup of coffee and the morning paper.",
    "Never again will I buy shoes from this shop!",
)
# model -> samples along axis 0; half of them calibrate, the other half is compared
DATA: dict[str, Callable[[], Tensors]] = {
    "mnist_cnn": lambda: {"image": digits()[0][:64]},
    "efficientnet_lite0_dynamo": lambda: {"image": _crops(8)},
    "minilm_dynamo": lambda: tokenize(*SENTENCES, *reversed(SENTENCES), n_tokens=16),
}


# MiniLM's mask adds the lowest float32: quantised, that leaves nothing of the scores.
OPERATORS = {"minilm_dynamo": ["MatMul", "Gemm"]}


@dataclass(frozen=True)
class Way:
    """One of the forms that onnxruntime quantises to."""

    quantize: str = "quantize_static"
    form: str = "QDQ"
    activation: str = "QUInt8"
    weight: str = "QInt8"
    per_channel: bool = True


WAYS = {
    "qdq u8s8": Way(),
    "qdq s8s8, its default": Way(activation="QInt8", per_channel=False),
    "qdq u8u8": Way(weight="QUInt8", per_channel=False),
    "qoperator u8s8": Way(form="QOperator"),
    "qoperator s8s8": Way(form="QOperator", activation="QInt8"),
    "dynamic s8": Way(quantize="quantize_dynamic"),
    "dynamic u8": Way("quantize_dynamic", weight="QUInt8", per_channel=False),
}


def unavailable(reason: object) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"the zoo must be complete under CI: {reason}")
    pytest.skip(str(reason))


@cache
def prepared(name: str, folder: Path) -> tuple[Path, Tensors]:
    """The model with shapes inferred, as onnxruntime advises, and its samples."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    try:
        path, data = MODELS[name].path(), DATA[name]()
    except ZooUnavailable as error:
        unavailable(error)
    out = folder / f"{name}.onnx"
    quant_pre_process(str(path), str(out), skip_symbolic_shape=True)
    return out, data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quantized")


def rows_of(data: Tensors, which: range) -> Iterator[Tensors]:
    for i in which:
        yield {name: array[i : i + 1] for name, array in data.items()}


def quantized(name: str, way: Way, folder: Path, out: Path) -> Tensors:
    """Write the quantised model; the samples that did not calibrate it."""
    from onnxruntime import quantization

    path, data = prepared(name, folder)
    n = len(next(iter(data.values())))
    weight = quantization.QuantType[way.weight]
    common = {"weight_type": weight, "per_channel": way.per_channel}
    if way.quantize == "quantize_dynamic":
        quantization.quantize_dynamic(str(path), str(out), **common)
    else:
        left = rows_of(data, range(n // 2))

        class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
            def get_next(self) -> Tensors | None:
                return next(left, None)

        quantization.quantize_static(
            str(path),
            str(out),
            Reader(),
            quant_format=quantization.QuantFormat[way.form],
            activation_type=quantization.QuantType[way.activation],
            op_types_to_quantize=OPERATORS.get(name),
            **common,
        )
    return {key: array[n // 2 :] for key, array in data.items()}


def sessions(path: Path) -> list[Any]:
    """Onnxruntime on the nodes as they stand, and as it optimises them."""
    import onnxruntime

    levels = onnxruntime.GraphOptimizationLevel
    found = []
    for level in (levels.ORT_DISABLE_ALL, levels.ORT_ENABLE_ALL):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = level
        found.append(
            onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        )
    return found


def rms(values: npt.NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", DATA)
def test_a_model_quantised_by_onnxruntime_answers_alike(
    name: str, way: str, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "quantized.onnx"
    data = quantized(name, WAYS[way], folder, path)
    model, oracles = trimtab.load_model(path), sessions(path)
    full = sessions(prepared(name, folder)[0])[1]
    n = len(next(iter(data.values())))
    found, exact = [], []
    expected: list[list[Any]] = [[], []]
    for feeds in rows_of(data, range(n)):
        (answer,) = model.run(feeds).values()
        found.append(answer)
        exact.append(full.run(None, feeds)[0])
        for kept, session in zip(expected, oracles, strict=True):
            kept.append(session.run(None, feeds)[0])
    ours, in_f32 = np.concatenate(found), np.concatenate(exact)
    near = min((np.concatenate(x) for x in expected), key=lambda x: rms(x - ours))
    assert (ours.dtype, ours.shape) == (near.dtype, near.shape)
    error, quantization = rms(ours - near), rms(near - in_f32)
    assert error <= SHARE * quantization, f"{error / quantization:.3f} of its error"
    if name in SHALLOW:
        step = float(np.ptp(near)) / 255
        worst = float(np.abs(ours - near).max())
        assert worst <= STEPS * step, f"{worst / step:.2f} steps"
        assert (ours.argmax(axis=-1) == near.argmax(axis=-1)).all()
