"""Pictures: the PNG reader against Pillow, resizing against its definition."""

from __future__ import annotations

import io
import zlib

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import InputError
from trimtab.processing.image import center_crop, read_image, read_png, resize_image

Image = pytest.importorskip("PIL.Image")


def png(
    array: npt.NDArray[np.generic], mode: str | None = None, **options: object
) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(file, "PNG", **options)
    return file.getvalue()


def smooth(height: int, width: int, channels: int) -> npt.NDArray[np.uint8]:
    """A picture on which encoders use all five row filters."""
    y, x, c = np.ogrid[:height, :width, :channels]
    wave = 120 + 60 * np.sin(x / 5 + c) + 50 * np.cos(y / 7) + (x * y * (c + 1)) % 11
    return wave.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (7, 13), (64, 33)])
def test_png_is_read_as_pillow_reads_it(channels: int, size: tuple[int, int]) -> None:
    array = smooth(*size, channels)
    if channels == 1:
        array = array[..., 0]
    np.testing.assert_array_equal(read_png(png(array)), array)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_becomes_rgb(bits: int) -> None:
    array = smooth(9, 21, 3)
    image = Image.fromarray(array).quantize(2**bits)
    file = io.BytesIO()
    image.save(file, "PNG", bits=bits)
    expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(read_png(file.getvalue()), expected)


def test_one_bit_is_black_and_white() -> None:
    array = smooth(5, 11, 1)[..., 0] > 120
    np.testing.assert_array_equal(read_png(png(array)), array * np.uint8(255))


def test_sixteen_bits_keep_the_upper_eight() -> None:
    array = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    np.testing.assert_array_equal(read_png(png(array)), (array >> 8).astype(np.uint8))


def test_every_picture_becomes_rgb() -> None:
    gray = smooth(6, 5, 1)[..., 0]
    image = read_image(png(gray))
    np.testing.assert_array_equal(image, np.repeat(gray[..., None], 3, axis=-1))
    rgba = smooth(6, 5, 4)
    np.testing.assert_array_equal(read_image(png(rgba)), rgba[..., :3])


def test_other_formats_go_through_pillow() -> None:
    file = io.BytesIO()
    Image.fromarray(smooth(8, 8, 3)).save(file, "BMP")
    np.testing.assert_array_equal(read_image(file.getvalue()), smooth(8, 8, 3))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_png_is_an_error_not_a_crash(data: st.DataObject) -> None:
    good = bytearray(png(smooth(8, 9, 3)))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))
    try:
        image = read_png(bytes(good[:cut]))
    except InputError:
        return
    assert image.dtype == np.uint8


def test_an_interlaced_png_is_refused_with_advice() -> None:
    data = bytearray(png(smooth(4, 4, 3)))
    data[28] = 1
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    with pytest.raises(InputError, match="without interlacing"):
        read_png(bytes(data))


def test_a_constant_picture_stays_constant_at_any_size() -> None:
    image = np.full((17, 23, 3), 7.0)
    for size in ((1, 1), (5, 40), (100, 3)):
        np.testing.assert_allclose(resize_image(image, *size), 7.0, rtol=1e-6)


def test_resizing_is_close_to_pillow() -> None:
    array = smooth(40, 60, 3)
    expected = Image.fromarray(array).resize((25, 30), Image.Resampling.BILINEAR)
    error = np.abs(resize_image(array, 30, 25) - np.asarray(expected))
    assert error.max() < 1.01  # Pillow rounds to integers, twice


def test_the_crop_is_a_view_of_the_middle() -> None:
    image = np.arange(35).reshape(5, 7)
    crop = center_crop(image, 3, 3)
    assert np.shares_memory(crop, image)
    np.testing.assert_array_equal(crop, image[1:4, 2:5])
    with pytest.raises(InputError, match="cannot cut 6 x 3 out of 5 x 7"):
        center_crop(image, 6, 3)
