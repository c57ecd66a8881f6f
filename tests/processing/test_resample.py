"""Resizing against the libraries it is to be equal to, and against definitions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trimtab import _core
from trimtab.errors import InputError, OutOfMemoryError
from trimtab.processing.resample import METHODS, resample

Image = pytest.importorskip("PIL.Image")

FILTERS = ["box", "bilinear", "hamming", "bicubic", "lanczos"]
side = st.integers(1, 90)
sizes = st.tuples(side, side, side, side, st.sampled_from([1, 3]), st.integers(0, 99))


def noise(height: int, width: int, channels: int, seed: int) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    shape = (height, width) if channels == 1 else (height, width, channels)
    return rng.integers(0, 256, shape, dtype=np.uint8)


def pillow(image: npt.NDArray[Any], height: int, width: int, name: str) -> Any:
    kind = Image.Resampling[name.upper()]
    return np.asarray(Image.fromarray(image).resize((width, height), kind))


def pillow_family(name: str) -> str:
    """The methods of the version that is installed."""
    import PIL

    is_new = int(PIL.__version__.split(".")[0]) >= 13 and name != "nearest"
    return f"pillow13-{name}" if is_new else f"pillow-{name}"


@settings(max_examples=60, deadline=None)
@given(sizes, st.sampled_from(["nearest", *FILTERS]))
@example((60, 50, 20, 40, 3, 0), "bicubic")  # down first, from version 13 on
@example((1, 1, 90, 90, 3, 0), "lanczos")
def test_pillow_is_met_to_the_bit(size: Any, name: str) -> None:
    height, width, new_height, new_width, channels, seed = size
    image = noise(height, width, channels, seed)
    ours = resample(image, new_height, new_width, pillow_family(name))
    np.testing.assert_array_equal(ours, pillow(image, new_height, new_width, name))


@settings(max_examples=40, deadline=None)
@given(sizes, st.sampled_from(FILTERS))
@example((90, 74, 74, 90, 1, 30), "hamming")  # its constants are single precision
def test_older_pillow_is_met_axis_by_axis(size: Any, name: str) -> None:
    """Up to version 12 a picture goes across, then down; along one axis all agree."""
    height, width, new_height, new_width, channels, seed = size
    image = noise(height, width, channels, seed)
    across = pillow(image, height, new_width, name)
    expected = pillow(across, new_height, new_width, name)
    ours = resample(image, new_height, new_width, f"pillow-{name}")
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("name", ["bilinear", "lanczos"])
def test_a_photo_sized_picture_is_met_to_the_bit(name: str) -> None:
    image = noise(613, 811, 3, 7)
    ours = resample(image, 224, 301, pillow_family(name))
    np.testing.assert_array_equal(ours, pillow(image, 224, 301, name))


@settings(max_examples=60, deadline=None)
@given(sizes, st.sampled_from(["nearest", "linear"]))
@example((40, 60, 20, 30, 3, 0), "linear")  # means of four
@example((1, 1, 5, 5, 1, 0), "linear")
def test_opencv_is_met_to_the_bit(size: Any, name: str) -> None:
    cv2 = pytest.importorskip("cv2")
    height, width, new_height, new_width, channels, seed = size
    image = noise(height, width, channels, seed)
    kind = {"nearest": cv2.INTER_NEAREST, "linear": cv2.INTER_LINEAR}[name]
    expected = cv2.resize(image, (new_width, new_height), interpolation=kind)
    ours = resample(image, new_height, new_width, f"opencv-{name}")
    np.testing.assert_array_equal(ours, expected)


@settings(max_examples=60, deadline=None)
@given(sizes, st.sampled_from(["cubic", "area"]))
def test_opencv_is_met_but_for_rounding(size: Any, name: str) -> None:
    """Its vector code sums in float32 in an order of its own."""
    cv2 = pytest.importorskip("cv2")
    height, width, new_height, new_width, channels, seed = size
    image = noise(height, width, channels, seed)
    kind = {"cubic": cv2.INTER_CUBIC, "area": cv2.INTER_AREA}[name]
    expected = cv2.resize(image, (new_width, new_height), interpolation=kind)
    ours = resample(image, new_height, new_width, f"opencv-{name}")
    assert np.abs(ours.astype(int) - expected.astype(int)).max() <= 1


@settings(max_examples=60, deadline=None)
@given(sizes, st.sampled_from([name for name in METHODS if name.startswith("torch")]))
def test_torch_is_met_but_for_rounding(size: Any, method: str) -> None:
    torch = pytest.importorskip("torch")
    height, width, new_height, new_width, _, seed = size
    if new_width == 1:  # torch 2.13 computes other numbers there than Pillow and we do
        new_width = 2
    image = noise(height, width, 3, seed).astype(np.float32)
    tensor = torch.tensor(np.ascontiguousarray(image.transpose(2, 0, 1)[None]))
    mode = method.split("-")[1]
    options = {"antialias": True} if method.endswith("antialias") else {}
    expected = torch.nn.functional.interpolate(
        tensor, (new_height, new_width), mode=mode, **options
    )[0].numpy()
    ours = resample(image, new_height, new_width, method)
    # positions are float32: a pixel at 90 is off by 4e-6 of a step of 255
    np.testing.assert_allclose(ours.transpose(2, 0, 1), expected, atol=4e-3)


def onnx_resize(
    image: npt.NDArray[np.float32], height: int, width: int, **attributes: Any
) -> Any:
    onnxruntime = pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper

    node = helper.make_node("Resize", ["x", "", "", "s"], ["y"], **attributes)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None] * 4)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)
    s = helper.make_tensor("s", TensorProto.INT64, [4], [1, 1, height, width])
    graph = helper.make_graph([node], "g", [x], [y], [s])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
    model.ir_version = 9
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": image[None, None]})[0][0, 0]


@pytest.mark.parametrize("size", [(7, 9, 14, 20), (40, 31, 13, 12), (5, 5, 5, 9)])
@pytest.mark.parametrize(
    ("method", "attributes"),
    [
        ("tf-bilinear", {"mode": "linear"}),
        ("tf-bilinear-antialias", {"mode": "linear", "antialias": 1}),
        ("tf-bicubic", {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1}),
        (
            "tf-bicubic-antialias",
            {"mode": "cubic", "cubic_coeff_a": -0.5, "antialias": 1},
        ),
    ],
)
def test_tf_methods_are_half_pixel_resizing(size: Any, method: str, attributes) -> None:
    """By onnxruntime; TensorFlow's cubic rounds positions to 1/1024 of a pixel."""
    height, width, new_height, new_width = size
    image = noise(height, width, 1, 3).astype(np.float32)
    expected = onnx_resize(image, new_height, new_width, **attributes)
    ours = resample(image, new_height, new_width, method)
    if "antialias" in attributes:  # onnxruntime repeats the border
        expected, ours = expected[4:-4, 4:-4], ours[4:-4, 4:-4]
    atol = 0.3 if method == "tf-bicubic" else 2e-3
    np.testing.assert_allclose(ours, expected, atol=atol)


CASES = json.loads((Path(__file__).parent / "tf_resize.json").read_text())["cases"]


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case['method']}-{case['to']}"
)
def test_tensorflow_is_met_but_for_rounding(case: Any) -> None:
    """Numbers that TensorFlow gave; the file says how."""
    height, width = case["from"]
    ramp = np.arange(height * width) * 7919 % 251
    image = ramp.astype(np.uint8).reshape(height, width)
    ours = resample(image, *case["to"], case["method"])
    is_nearest = case["method"] == "tf-nearest"
    assert ours.dtype == (np.uint8 if is_nearest else np.float32)
    np.testing.assert_allclose(ours.ravel(), case["values"], atol=1e-3)


def test_area_is_the_mean_of_what_a_pixel_covers() -> None:
    """By splitting every pixel into as many parts as the result has."""
    image = noise(6, 10, 1, 1).astype(np.float64)
    fine = np.repeat(np.repeat(image, 4, axis=0), 7, axis=1)
    expected = fine.reshape(4, 6, 7, 10).mean(axis=(1, 3))
    for method in ("tf-area",):
        ours = resample(image.astype(np.float32), 4, 7, method)
        np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_nearest_of_tf_takes_the_pixel_under_the_centre() -> None:
    ramp = np.arange(10, dtype=np.uint8)[None]
    assert resample(ramp, 1, 4, "tf-nearest").tolist() == [[1, 3, 6, 8]]
    assert resample(ramp, 1, 4, "torch-nearest").tolist() == [[0, 2, 5, 7]]


@settings(max_examples=60, deadline=None)
@given(sizes, st.sampled_from(sorted(METHODS)))
def test_a_constant_picture_stays_constant(size: Any, method: str) -> None:
    height, width, new_height, new_width, _, seed = size
    image = np.full((height, width, 3), seed * 2, np.uint8)
    resized = resample(image, new_height, new_width, method)
    assert resized.shape == (new_height, new_width, 3)
    # OpenCV's rounding before the sum loses up to one
    atol = 1 if method in ("opencv-linear", "opencv-area", "opencv-cubic") else 1e-4
    np.testing.assert_allclose(resized.astype(float), seed * 2, atol=atol)


@pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512"])
def test_every_instruction_set_gives_the_same(isa: str) -> None:
    import os
    import subprocess
    import sys

    code = (
        "import numpy as np, zlib; from trimtab.processing.resample import *;"
        "x = (np.arange(71 * 93 * 3) * 7919 % 251).astype(np.uint8).reshape(71, 93, 3);"
        "y = [resample(x, h, w, m) for m in sorted(METHODS) for h, w in ((31, 40),"
        " (100, 97)) if METHODS[m].math != 2];"
        "print(zlib.crc32(b''.join(a.tobytes() for a in y)));"
        "f = resample(x, 31, 40, 'tf-bicubic'); print(float(f.sum(dtype=float)))"
    )
    sums = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "TRIMTAB_ISA": name},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for name in (isa, "scalar")
    ]
    assert sums[0][0] == sums[1][0]
    assert float(sums[0][1]) == pytest.approx(float(sums[1][1]), rel=1e-6)


@pytest.mark.parametrize(
    ("image", "size", "method", "text"),
    [
        (np.zeros((2, 2), np.uint8), (0, 1), "pillow-box", "got 0 x 1"),
        (np.zeros((2, 2), np.uint8), (1, 1), "nope", "expected one of"),
        (np.zeros((2, 2)), (1, 1), "tf-area", "got float64"),
        (np.zeros((2, 2), np.float32), (1, 1), "pillow-box", "takes uint8"),
        (np.zeros((2, 0), np.uint8), (1, 1), "pillow-box", "expected a picture"),
        (np.zeros(4, np.uint8), (1, 1), "pillow-box", "expected a picture"),
        (np.zeros((2, 2), np.uint8), (1 << 20, 1), "pillow-box", "1048576"),
        (np.zeros((2, 2), np.uint8), (1 << 15, 1 << 14), "pillow-box", "outside of"),
    ],
)
def test_what_cannot_be_resized_is_refused(image, size, method, text) -> None:
    with pytest.raises(InputError, match=text):
        resample(image, *size, method)


def table(n: int, first: int, taps: int = 1) -> tuple[Any, Any]:
    return np.full(n, first, np.int32), np.ones((n, taps), np.int32)


@pytest.mark.parametrize(
    "x",
    [table(3, -1), table(3, 4), table(3, 3, 2), table(3, 0, 5), table(3, 2**31 - 1)],
)
def test_the_kernel_refuses_tables_that_leave_the_picture(x: Any) -> None:
    image = np.zeros((4, 4, 1), np.uint8)
    with pytest.raises(InputError, match="axis x"):
        _core.resize_image(image, *x, *table(4, 0), 0)
    with pytest.raises(InputError, match="axis y"):
        _core.resize_image(image, *table(4, 0), *x, 0)


@pytest.mark.parametrize(
    "arguments",
    [
        (np.zeros((4, 4), np.uint8), *table(3, 0), *table(3, 0), 0),
        (np.zeros((4, 4, 1), np.int8), *table(3, 0), *table(3, 0), 0),
        (np.zeros((4, 4, 1), np.uint8)[:, ::2], *table(3, 0), *table(3, 0), 0),
        (np.zeros((4, 4, 1), np.uint8)[::-1], *table(3, 0), *table(3, 0), 0),
        (
            np.zeros((4, 4, 1), np.uint8),
            *table(3, 0),
            table(3, 0)[0],
            table(2, 0)[1],
            0,
        ),
        (np.zeros((4, 4, 1), np.uint8), *table(3, 0), *table(3, 0), 5),
        (np.zeros((4, 4, 1), np.uint8), *table(3, 0), *table(3, 0), 2),
        (np.zeros((4, 4, 1), np.float32), *table(3, 0), *table(3, 0), 1),
        (np.zeros((4, 0, 1), np.uint8), *table(3, 0), *table(3, 0), 0),
    ],
)
def test_the_kernel_refuses_other_arrays(arguments: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|axis|gaps"):
        _core.resize_image(*arguments)


def test_failing_allocations_are_reported() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    resample(image, 32, 32, "pillow-box")
    failed = 0
    for k in range(1, 8):
        _core.fail_alloc(k)
        try:
            resample(image, 32, 32, "pillow-box")
        except OutOfMemoryError:
            failed += 1
        finally:
            _core.fail_alloc(0)
    assert failed >= 4
