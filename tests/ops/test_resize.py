"""Resize and Upsample against onnxruntime and the ONNX reference."""

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator
from tests.ops.check import check_node, one_node_model

COORDINATES = [
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
]
NEAREST = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


def resize(x, attrs, *, scales=None, sizes=None, roi=None, opset=19, **options):
    inputs = [x, roi, None, None]
    if scales is not None:
        inputs[2] = np.asarray(scales, np.float32)
    if sizes is not None:
        inputs[3] = np.asarray(sizes, np.int64)
    return check_node("Resize", inputs, attrs, opset, constants=(1, 2, 3), **options)


@pytest.mark.parametrize("coordinate", COORDINATES)
@pytest.mark.parametrize("nearest", NEAREST)
# 0.61: at 0.6 a coordinate is a tie but for the rounding of float, where engines differ
@pytest.mark.parametrize("scales", [(1, 1, 2, 3), (1, 1, 0.61, 0.5), (1, 1, 1.5, 0.7)])
def test_nearest_neighbour(rng, coordinate, nearest, scales):
    x = rng.standard_normal((1, 3, 7, 6)).astype(np.float32)
    attrs = {
        "mode": "nearest",
        "coordinate_transformation_mode": coordinate,
        "nearest_mode": nearest,
    }
    resize(x, attrs, scales=scales)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.int64, np.float64])
def test_nearest_neighbour_of_any_type(rng, dtype):
    x = rng.integers(0, 100, (2, 3, 4, 5)).astype(dtype)
    want = x.repeat(2, 2).repeat(3, 3)
    attrs = {"mode": "nearest"}
    resize(x, attrs, scales=(1, 1, 2, 3), opset=13, expected=[want])


@pytest.mark.parametrize("coordinate", COORDINATES)
@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("size", [(14, 18), (4, 3), (10, 5), (1, 1)])
def test_filters(rng, coordinate, mode, size):
    x = rng.standard_normal((2, 3, 7, 6)).astype(np.float32)
    attrs = {"mode": mode, "coordinate_transformation_mode": coordinate}
    resize(x, attrs, sizes=(2, 3, *size))


@pytest.mark.parametrize("coordinate", COORDINATES)
def test_cubic_without_the_outside(rng, coordinate):
    x = rng.standard_normal((1, 2, 7, 6)).astype(np.float32)
    attrs = {
        "mode": "cubic",
        "coordinate_transformation_mode": coordinate,
        "exclude_outside": 1,
        "cubic_coeff_a": -0.5,
    }
    resize(x, attrs, sizes=(1, 2, 11, 9))


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("exclude", [0, 1])
def test_antialiasing(rng, mode, exclude):
    x = rng.standard_normal((1, 2, 16, 20)).astype(np.float32)
    attrs = {"mode": mode, "antialias": 1, "exclude_outside": exclude}
    inputs = [x, None, np.array([1, 1, 0.6, 0.4], np.float32)]
    model = one_node_model("Resize", inputs, attrs, 19, constants=(2,))
    (want,) = ReferenceEvaluator(model).run(None, {"x0": x})
    resize(x, attrs, scales=(1, 1, 0.6, 0.4), expected=[want])


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_crop_with_extrapolation(rng, mode):
    x = rng.standard_normal((1, 1, 6, 7)).astype(np.float32)
    attrs = {
        "mode": mode,
        "coordinate_transformation_mode": "tf_crop_and_resize",
        "extrapolation_value": 10.0,
    }
    roi = np.array([0, 0, 0.4, 0.3, 1, 1, 1.2, 0.9], np.float32)
    resize(x, attrs, sizes=(1, 1, 5, 4), roi=roi, opset=13)


@pytest.mark.parametrize("shape", [(2, 3, 9), (1, 2, 4, 5, 6)])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_other_ranks(rng, shape, mode):
    x = rng.standard_normal(shape).astype(np.float32)
    sizes = (*shape[:2], *[int(1.7 * n) for n in shape[2:]])
    resize(x, {"mode": mode}, sizes=sizes)


@pytest.mark.parametrize("policy", ["stretch", "not_larger", "not_smaller"])
@pytest.mark.parametrize("axes", [[2, 3], [3, 2]])
def test_axes_and_aspect_ratio(rng, policy, axes):
    x = rng.standard_normal((1, 2, 7, 6)).astype(np.float32)
    attrs = {"mode": "linear", "axes": axes, "keep_aspect_ratio_policy": policy}
    resize(x, attrs, sizes=(9, 13))


def test_double_precision(rng):
    x = rng.standard_normal((1, 2, 7, 6))
    narrow = resize(x.astype(np.float32), {"mode": "linear"}, scales=(1, 1, 2, 2))
    wide = resize(
        x,
        {"mode": "linear"},
        scales=(1, 1, 2, 2),
        expected=[narrow[0].astype(float)],
        tolerance=1e-6,
    )
    assert wide[0].dtype == np.float64


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("op_type", ["Upsample", "Resize"])
def test_old_opsets(rng, mode, op_type):
    x = rng.standard_normal((1, 2, 4, 5)).astype(np.float32)
    scales = np.array([1, 1, 2, 3], np.float32)
    opset = 9 if op_type == "Upsample" else 10
    check_node(op_type, [x, scales], {"mode": mode}, opset, constants=(1,))


def test_scales_as_attribute(rng):
    x = rng.standard_normal((1, 2, 4, 5)).astype(np.float32)
    check_node("Upsample", [x], {"mode": "nearest", "scales": [1.0, 1.0, 2.0, 2.0]}, 7)


def test_scale_of_zero_is_refused():
    import trimtab

    with pytest.raises(trimtab.TrimtabError, match="scale"):
        resize(
            np.ones((1, 1, 4, 4), np.float32),
            {},
            scales=(1, 1, 0, 1),
            expected=[np.ones(1, np.float32)],
        )
