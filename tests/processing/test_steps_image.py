"""Steps for pictures, against the libraries they are named after."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab import steps
from trimtab.errors import InputError
from trimtab.processing.geometry import to_original
from trimtab.processing.resample import resample

PIL = pytest.importorskip("PIL")
Image = pytest.importorskip("PIL.Image")
ImageOps = pytest.importorskip("PIL.ImageOps")


def picture(height: int = 37, width: int = 53, seed: int = 0) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(image: Any, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


# ---- reading ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_files_are_read_as_pillow_reads_them(kind: str, tmp_path: Any) -> None:
    data = encoded(picture(), kind)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    path = tmp_path / "picture"
    path.write_bytes(data)
    for source in (data, path, str(path), bytearray(data)):
        np.testing.assert_array_equal(steps.DecodeImage()(source, {}), expected)
    bgr = steps.DecodeImage("bgr")(data, {})
    np.testing.assert_array_equal(bgr, expected[..., ::-1])
    gray = np.asarray(Image.fromarray(expected).convert("L"))
    np.testing.assert_array_equal(steps.DecodeImage("gray")(data, {}), gray)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_when_asked(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(), kind, exif=exif)
    opened = Image.open(io.BytesIO(data))
    as_is = np.asarray(opened.convert("RGB"))
    turned = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    np.testing.assert_array_equal(steps.DecodeImage()(data, {}), as_is)
    np.testing.assert_array_equal(steps.DecodeImage(orient=True)(data, {}), turned)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_too_many_pixels_are_refused_before_decoding(kind: str) -> None:
    step = steps.DecodeImage(max_pixels=1000)
    with pytest.raises(InputError, match="53 x 37 is outside of 1 to 1000"):
        step(encoded(picture(), kind), {})


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_files_are_an_error(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "TIFF"]))
    good = bytearray(encoded(picture(9, 8), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(good[: data.draw(st.integers(0, len(good)))])
    try:
        image = steps.DecodeImage(orient=True)(cut, {})
    except InputError:
        return
    assert image.dtype == np.uint8


def test_other_things_are_no_pictures() -> None:
    with pytest.raises(InputError, match="got int"):
        steps.DecodeImage()(5, {})
    with pytest.raises(InputError, match="expected a picture"):
        steps.DecodeImage()(np.zeros(3), {})
    with pytest.raises(InputError, match="DecodeImage"):
        steps.Resize(2, 2)("cat.jpg", {})


# ---- sizes --------------------------------------------------------------------------


def torchvision_shortest(image: Any, size: int) -> Any:
    """torchvision's rule, on a PIL picture."""
    w, h = image.size
    short, long = (w, h) if w <= h else (h, w)
    new_short, new_long = size, int(size * long / short)
    new_w, new_h = (new_short, new_long) if w <= h else (new_long, new_short)
    return image.resize((new_w, new_h), Image.Resampling.BILINEAR)


def torchvision_crop(image: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """torchvision's center_crop: pads with 0, then rounds half pixels to even."""
    h, w = image.shape[:2]
    if size > w or size > h:
        left, top = max(0, (size - w) // 2), max(0, (size - h) // 2)
        right, bottom = max(0, (size - w + 1) // 2), max(0, (size - h + 1) // 2)
        image = np.pad(image, ((top, bottom), (left, right), (0, 0)))
        h, w = image.shape[:2]
    top, left = round((h - size) / 2.0), round((w - size) / 2.0)
    return image[top : top + size, left : left + size]


@settings(max_examples=40, deadline=None)
@given(st.integers(5, 80), st.integers(5, 80), st.integers(4, 40), st.integers(4, 50))
def test_the_imagenet_preset_is_torchvisions(
    height: int, width: int, size: int, shortest: int
) -> None:
    image = picture(height, width)
    resized = torchvision_shortest(Image.fromarray(image), shortest)
    cropped = torchvision_crop(np.asarray(resized), size)
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    std = np.array([0.229, 0.224, 0.225], np.float32)
    expected = (cropped.astype(np.float32) / np.float32(255) - mean) / std
    value: Any = image
    is_new = int(PIL.__version__.split(".")[0]) >= 13  # another order of the axes
    method = "pillow13-bilinear" if is_new else "pillow-bilinear"
    for step in steps.imagenet(size, resize=shortest, method=method):
        value = step(value, {})
    np.testing.assert_array_equal(value, expected.transpose(2, 0, 1)[None])


@settings(max_examples=40, deadline=None)
@given(st.integers(5, 120), st.integers(5, 120), st.integers(4, 60), st.integers(4, 70))
def test_torchvision_itself_says_the_same(
    height: int, width: int, size: int, shortest: int
) -> None:
    pytest.importorskip("torchvision")
    from torchvision import transforms

    image = picture(height, width)
    transform = transforms.Compose(
        [
            transforms.Resize(shortest),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    is_new = int(PIL.__version__.split(".")[0]) >= 13
    method = "pillow13-bilinear" if is_new else "pillow-bilinear"
    value: Any = image
    for step in steps.imagenet(size, resize=shortest, method=method):
        value = step(value, {})
    expected = transform(Image.fromarray(image)).numpy()
    np.testing.assert_array_equal(value[0], expected)


def test_the_shortest_side_that_is_right_stays() -> None:
    image = picture(20, 30)
    assert steps.ResizeShortest(20)(image, {}) is image
    assert steps.ResizeShortest(40, max_size=50)(image, {}).shape == (33, 50, 3)
    with pytest.raises(InputError, match="would get a side"):
        steps.ResizeShortest(30000)(picture(1, 9), {})


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, (96, 192)),
        ({"shortest": 256}, (256, 544)),
        ({"longest": 100}, (32, 96)),
        ({"multiple": 7}, (98, 203)),
        ({"multiple": 4096}, (4096, 4096)),
    ],
)
def test_sides_become_multiples(options: Any, size: tuple[int, int]) -> None:
    """PaddleOCR's rule: int(side * ratio), then round(side / 32) * 32."""
    context: dict[str, Any] = {}
    image = steps.ResizeToMultiple(**options)(picture(95, 201), context)
    assert image.shape == (*size, 3)
    assert context["scale"] == (size[0] / 95, size[1] / 201)


def test_crops_of_tensorflow() -> None:
    image = picture(7, 10)
    crop = steps.CenterCrop(4, 5, "floor")(image, {})
    np.testing.assert_array_equal(crop, image[1:5, 2:7])
    # tf.image.central_crop(image, 0.5): begins at int((7 - 3.5) / 2) = 1
    half = steps.CentralFraction(0.5)(image, {})
    np.testing.assert_array_equal(half, image[1:6, 2:8])
    np.testing.assert_array_equal(steps.CentralFraction(1.0)(image, {}), image)


def ultralytics_letterbox(image: Any, size: int) -> tuple[Any, float, int, int]:
    """The published rule of Ultralytics' LetterBox, with OpenCV."""
    cv2 = pytest.importorskip("cv2")
    h, w = image.shape[:2]
    ratio = min(size / h, size / w)
    new_w, new_h = round(w * ratio), round(h * ratio)
    dw, dh = (size - new_w) / 2, (size - new_h) / 2
    if (w, h) != (new_w, new_h):
        image = cv2.resize(image, (new_w, new_h), interpolation=cv2.INTER_LINEAR)
    top, bottom = round(dh - 0.1), round(dh + 0.1)
    left, right = round(dw - 0.1), round(dw + 0.1)
    image = cv2.copyMakeBorder(
        image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(114, 114, 114)
    )
    return image, ratio, left, top


@settings(max_examples=40, deadline=None)
@given(st.integers(5, 90), st.integers(5, 90))
def test_the_letterbox_is_yolos_and_can_be_undone(height: int, width: int) -> None:
    image = picture(height, width)
    expected, ratio, left, top = ultralytics_letterbox(image, 64)
    context: dict[str, Any] = {}
    np.testing.assert_array_equal(steps.Letterbox(64, 64)(image, context), expected)
    assert context["offset"] == (top, left)
    corners = [left, top, left + round(width * ratio), top + round(height * ratio)]
    np.testing.assert_allclose(
        to_original([corners], context), [[0, 0, width, height]], atol=1e-4
    )


def test_points_come_back_through_a_row_of_steps() -> None:
    context: dict[str, Any] = {}
    value: Any = picture(40, 60)
    for step in (
        steps.Pad(top=3, left=5),
        steps.Resize(86, 130),
        steps.CenterCrop(80, 100),
        steps.Letterbox(50, 50, centre=False),
        steps.PadToMultiple(32),
    ):
        value = step(value, context)
    assert value.shape == (64, 64, 3)
    assert context["image_size"] == (40, 60)
    x, y = 20.0, 10.0  # in the original
    there = (
        ((x + 5) * 130 / 65 - 15) / 2,
        ((y + 3) * 86 / 43 - 3) / 2,
    )
    np.testing.assert_allclose(to_original([there], context), [[x, y]], atol=1e-4)


def test_margins_have_colours() -> None:
    image = picture(2, 2)
    padded = steps.Pad(1, 0, 0, 2, (1, 2, 3))(image, {})
    assert padded[0, 0].tolist() == [1, 2, 3]
    assert padded[2, 3].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(padded[1:, :2], image)
    for step in (steps.Pad(32768, 0, 32768), steps.CenterCrop(32768, 32768)):
        with pytest.raises(InputError, match="outside of 1 to"):
            step(image, {})
    with pytest.raises(InputError, match="2 channels do not fit"):
        steps.Pad(1, value=(1, 2))(image, {})


# ---- values ------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["HWC", "CHW"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_bytes_are_normalised_as_floats_are(layout: str, channels: int) -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (13, 300, channels), dtype=np.uint8)
    mean, std = rng.random(channels), rng.random(channels) + 0.1
    step = steps.Normalize(mean.tolist(), std.tolist(), 127.5, layout)
    expected = (
        image.astype(np.float32) / np.float32(127.5) - mean.astype(np.float32)
    ) / std.astype(np.float32)
    if layout == "CHW":
        expected = expected.transpose(2, 0, 1)
    for value in (image, image.astype(np.float32), image[:, ::-1][:, ::-1]):
        ours = step(value, {})
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, expected)


def test_normalising_checks_channels() -> None:
    with pytest.raises(InputError, match="mean has 2 numbers"):
        steps.Normalize((1, 2))(picture(), {})
    assert steps.Normalize(layout="CHW")(picture()[..., 0], {}).shape == (1, 37, 53)
    with pytest.raises(InputError, match="std: expected no zero"):
        steps.Normalize(std=(1, 0, 1))
    with pytest.raises(InputError, match="divisor"):
        steps.Normalize(divisor=0)


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_keras_modes(mode: str) -> None:
    """The formulas of keras.applications.imagenet_utils, in float32."""
    image = picture(24, 24)
    x = image.astype(np.float32)
    if mode == "caffe":
        expected = x[..., ::-1] - np.array([103.939, 116.779, 123.68], np.float32)
    elif mode == "tf":
        expected = x / np.float32(127.5) - np.float32(1)
    else:
        expected = x / np.float32(255) - np.array([0.485, 0.456, 0.406], np.float32)
        expected /= np.array([0.229, 0.224, 0.225], np.float32)
    value: Any = image
    for step in steps.keras_preprocess(mode, None):
        value = step(value, {})
    np.testing.assert_array_equal(value, expected[None])
    with pytest.raises(InputError, match="mode"):
        steps.keras_preprocess("nope")


def test_gray_of_pillow_and_opencv() -> None:
    cv2 = pytest.importorskip("cv2")
    image = picture(64, 64)
    pillow = np.asarray(Image.fromarray(image).convert("L"))
    np.testing.assert_array_equal(steps.Gray("pillow")(image, {}), pillow)
    opencv = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    np.testing.assert_array_equal(steps.Gray("opencv")(image, {}), opencv)


def test_gray_of_torchvision_and_tf() -> None:
    image = picture(64, 64)
    exact = image.astype(np.float64) @ [0.2989, 0.587, 0.114]
    down = np.floor(exact + 1e-5)  # torchvision: .to(uint8)
    np.testing.assert_array_equal(steps.Gray("torchvision")(image, {}), down)
    ours = steps.Gray("tf", repeat=True)(image, {})
    scaled = np.floor(exact / 255 * 255.5)  # convert_image_dtype: times 255.5
    assert np.abs(ours - scaled[..., None]).max() <= 1
    assert (ours[..., 0] == scaled).mean() > 0.99
    with pytest.raises(InputError, match="expected a picture"):
        steps.Gray()(np.zeros((2, 2, 2), np.uint8), {})


def test_standardising_is_tensorflows() -> None:
    image = picture(9, 11).astype(np.float64)
    expected = (image - image.mean()) / max(image.std(), 1 / np.sqrt(image.size))
    ours = steps.Standardize()(picture(9, 11), {})
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    flat = steps.Standardize()(np.full((2, 2), 7, np.uint8), {})
    np.testing.assert_array_equal(flat, np.zeros((2, 2)))


def test_layouts_and_channels() -> None:
    image = picture(4, 5)
    assert steps.Layout()(image, {}).shape == (3, 4, 5)
    assert steps.Layout("HWC")(steps.Layout()(image, {}), {}).shape == (4, 5, 3)
    assert steps.Layout()(image[..., 0], {}).shape == (1, 4, 5)
    assert steps.Layout("HWC")(image[..., 0], {}).shape == (4, 5, 1)
    assert steps.AddBatch()(image, {}).shape == (1, 4, 5, 3)
    assert steps.Cast("float16")(image, {}).dtype == np.float16
    reversed_ = steps.ReverseChannels()(image, {})
    np.testing.assert_array_equal(reversed_, image[..., ::-1])
    with pytest.raises(InputError, match="expected"):
        steps.ReverseChannels()(image[..., 0], {})


def test_resizing_through_a_step_is_the_function() -> None:
    image = picture()
    ours = steps.Resize(9, 8, "pillow-lanczos")(image, {})
    np.testing.assert_array_equal(ours, resample(image, 9, 8, "pillow-lanczos"))
