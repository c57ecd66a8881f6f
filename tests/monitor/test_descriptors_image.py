"""Descriptors of images: against NumPy, OpenCV and SciPy, in every layout."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trimtab import _core
from trimtab.errors import InputError
from trimtab.monitor.descriptors import describe, names
from trimtab.monitor.descriptors.image import guess_channel_axis

NAMES = names("image")
# The core adds in floats: at most 1024 values of a lane, then in doubles.
CLOSE = {"rtol": 2e-5, "atol": 1e-6}


def chosen(n: int, at_most: int) -> np.ndarray:
    """Positions that are looked at, as the header says."""
    m = min(n, at_most)
    k = np.arange(m)
    return n // m * k + n // m // 2 + n % m * k // m


def expected(image: np.ndarray) -> dict[str, float]:
    """Describe one image (channels, height, width) by the definitions, in float64."""
    x = image[:3].astype(np.float64)
    gray = x.mean(axis=0)
    height, width = gray.shape
    rows = chosen(height, 16)
    groups = chosen(-(-width // 16), 64)
    columns = (groups[:, None] * 16 + np.arange(16)).ravel()
    at = np.ix_(rows, columns[columns < width])
    padded = np.pad(gray, 1, mode="edge")

    def moved(dy: int, dx: int) -> np.ndarray:
        return padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]

    cross = moved(-1, 0) + moved(1, 0) + moved(0, -1) + moved(0, 1)
    corners = moved(-1, -1) + moved(-1, 1) + moved(1, -1) + moved(1, 1)
    seen = gray[at]
    gradient = abs(moved(0, 1) - moved(0, -1)) + abs(moved(1, 0) - moved(-1, 0))
    counts, _ = np.histogram(seen, bins=64)
    shares = counts[counts > 0] / counts.sum()
    found = {
        "brightness": seen.mean(),
        "contrast": seen.std(),
        "saturation": np.ptp(x, axis=0)[at].mean(),
        "blur": (cross - 4 * gray)[at].var(),
        "edge_density": (gradient[at] > seen.std()).mean(),
        "noise": np.sqrt(np.pi / 2)
        / 6
        * abs(corners - 2 * cross + 4 * gray)[at].mean(),
        "entropy": -(shares * np.log2(shares)).sum() if np.ptp(seen) else 0.0,
        "aspect": width / height,
    }
    for c in range(3):
        found[f"channel_{c}_mean"] = x[c][at].mean() if c < len(x) else np.nan
    return found


def check(row: np.ndarray, image: np.ndarray) -> None:
    """Compare; shares and entropy may differ by a few pixels on an edge of a bin."""
    want = expected(image)
    for name, got in zip(NAMES, row.tolist(), strict=True):
        size = max(1.0, float(np.abs(image).max()))
        scale = size * size if name == "blur" else size
        loose = {"edge_density": 0.01, "entropy": 0.03}.get(name)
        np.testing.assert_allclose(
            got,
            want[name],
            rtol=CLOSE["rtol"],
            atol=loose or CLOSE["atol"] * 4 * scale,
            err_msg=name,
        )


@pytest.mark.parametrize(
    "shape",
    [
        (3, 224, 224),
        (1, 28, 28),
        (3, 1, 1),
        (3, 2, 5),
        (1, 17, 33),
        (2, 9, 16),
        (4, 31, 47),
        (6, 20, 20),
        (3, 480, 641),
        (3, 20, 3000),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_numbers_are_those_of_the_definition(
    shape: tuple[int, int, int], dtype: type
) -> None:
    rng = np.random.default_rng(sum(shape))
    x = rng.integers(0, 256, shape) if dtype is np.uint8 else rng.normal(size=shape)
    image = x.astype(dtype)
    check(describe("image", image[None], channel_axis=1)[0], image)


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.just(3), st.integers(1, 40), st.integers(1, 40)),
        elements=st.floats(-100, 100, width=32),
    )
)
def test_any_image_of_floats(image: np.ndarray) -> None:
    row = describe("image", image[None], channel_axis=1)[0]
    want = expected(image)
    for name in ("brightness", "saturation", "channel_2_mean", "noise"):
        got = row[NAMES.index(name)]
        np.testing.assert_allclose(got, want[name], rtol=1e-4, atol=2e-3)


def test_layouts_and_strides_give_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    planar = rng.normal(size=(2, 3, 50, 61)).astype(np.float32)
    want = describe("image", planar)
    last = np.ascontiguousarray(planar.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(describe("image", last), want)
    wide = np.zeros((2, 3, 50, 122), np.float32)
    wide[..., ::2] = planar
    np.testing.assert_array_equal(describe("image", wide[..., ::2]), want)
    turned = np.ascontiguousarray(planar[:, ::-1, ::-1, ::-1])[:, ::-1, ::-1, ::-1]
    np.testing.assert_array_equal(describe("image", turned), want)
    shifted = np.frombuffer(b"\0" + planar.tobytes(), np.uint8)[1:].view(np.float32)
    crooked = shifted.reshape(planar.shape)
    assert not crooked.flags.aligned
    np.testing.assert_array_equal(describe("image", crooked), want)


def test_bytes_and_floats_of_the_same_values_give_the_same_bits() -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (1, 40, 52, 3), dtype=np.uint8)
    want = describe("image", image)
    for other in (np.float32, np.float64, np.int32, np.float16):
        np.testing.assert_array_equal(describe("image", image.astype(other)), want)
    planar = np.ascontiguousarray(image.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(describe("image", planar), want)
    np.testing.assert_array_equal(describe("image", image[0]), want)


_PRINT = """
import sys, numpy as np
from trimtab import _core
rng = np.random.default_rng(3)
x = rng.normal(size=(3, 3, 45, 77)).astype(np.float32)
u = rng.integers(0, 256, (2, 45, 77, 3), dtype=np.uint8)
a = rng.normal(size=(2, 5000)).astype(np.float32)
parts = [_core.look_at_images(x, 1), _core.look_at_images(u, 3),
         _core.look_at_images(x[..., :13], 1), _core.look_at_audio(a, 4.0),
         _core.look_at_audio(a[:, :100], 1.0)]
sys.stdout.write("".join(part.tobytes().hex() for part in parts))
"""


def test_every_instruction_set_gives_the_same_bits() -> None:
    found = set()
    isas = ["scalar", "avx2", "avx512"]
    best = isas.index(_core.cpu_info()["isa"])
    for isa in isas[: best + 1]:
        environment = {**os.environ, "TRIMTAB_ISA": isa}
        found.add(
            subprocess.run(
                [sys.executable, "-c", _PRINT],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
    assert len(found) == 1


def test_blur_is_opencvs_laplacian_and_falls_when_an_image_is_blurred() -> None:
    cv2 = pytest.importorskip("cv2")
    data = pytest.importorskip("skimage.data")
    gray = data.camera()[:16, :512].astype(np.float32)
    laplacian = cv2.Laplacian(gray, cv2.CV_32F, borderType=cv2.BORDER_REPLICATE)
    blur = describe("image", gray)[0, NAMES.index("blur")]
    np.testing.assert_allclose(blur, laplacian.astype(float).var(), rtol=1e-5)
    image = data.astronaut()
    values = [
        describe("image", cv2.GaussianBlur(image, (0, 0), sigma))[0]
        for sigma in (0.1, 1.0, 2.0, 4.0)
    ]
    sharp = [row[NAMES.index("blur")] for row in values]
    assert sharp == sorted(sharp, reverse=True)
    edges = [row[NAMES.index("edge_density")] for row in values]
    assert edges == sorted(edges, reverse=True)


def test_noise_is_estimated_within_a_tenth() -> None:
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:200, :300]
    for sigma in (2.0, 8.0, 20.0):
        image = 100 + 20 * np.sin(x / 40) * np.cos(y / 30)
        noisy = (image + rng.normal(0, sigma, image.shape)).astype(np.float32)
        assert describe("image", noisy)[0, NAMES.index("noise")] == pytest.approx(
            sigma, rel=0.1
        )


def test_sampled_rows_stand_for_the_whole_photograph() -> None:
    data = pytest.importorskip("skimage.data")
    image = data.astronaut()
    row = dict(zip(NAMES, describe("image", image)[0].tolist(), strict=True))
    gray = image.mean(axis=2)
    assert row["brightness"] == pytest.approx(gray.mean(), rel=0.05)
    assert row["contrast"] == pytest.approx(gray.std(), rel=0.05)
    assert row["saturation"] == pytest.approx(np.ptp(image, axis=2).mean(), rel=0.1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_leaves_only_the_aspect(value: float) -> None:
    image = np.ones((1, 3, 8, 16), np.float32)
    image[0, 1, 3, 7] = value
    row = describe("image", image)[0]
    assert row[NAMES.index("aspect")] == 2
    assert np.isnan(np.delete(row, NAMES.index("aspect"))).all()


@pytest.mark.parametrize("value", [0.0, 1.5, -255.0, 1e12])
def test_constant_images_have_no_contrast(value: float) -> None:
    row = dict(
        zip(
            NAMES,
            describe("image", np.full((1, 20, 30, 1), value, np.float32))[0].tolist(),
            strict=True,
        )
    )
    assert row["contrast"] == 0
    assert row["entropy"] == 0
    assert row["blur"] == 0
    assert row["edge_density"] == 0


def test_sums_that_overflow_are_no_numbers() -> None:
    row = describe("image", np.full((1, 3, 20, 30), 3e38, np.float32))[0]
    assert np.isnan(row[NAMES.index("brightness")])


def test_pictures_that_are_none_are_refused() -> None:
    for shape in [(3,), (2, 3, 4, 5, 6), (1, 0, 5, 3), (1, 3, 0, 0)]:
        with pytest.raises(InputError):
            describe("image", np.zeros(shape, np.float32))
    with pytest.raises(InputError, match="channel_axis=2"):
        describe("image", np.zeros((1, 3, 4, 5), np.float32), channel_axis=2)
    with pytest.raises(InputError, match="numbers"):
        describe("image", np.array([["a"]]))
    with pytest.raises(InputError, match="unexpected keyword"):
        describe("image", np.zeros((4, 4)), brightness=1)
    assert describe("image", np.zeros((0, 3, 8, 8), np.float32)).shape == (0, 11)


def test_the_core_checks_for_itself() -> None:
    with pytest.raises(InputError, match="channel_axis"):
        _core.look_at_images(np.zeros((1, 2, 3, 4), np.float32), 0)
    with pytest.raises(InputError, match="4 dims"):
        _core.look_at_images(np.zeros((2, 3, 4), np.float32), 1)
    with pytest.raises(InputError, match="float64"):
        _core.look_at_images(np.zeros((1, 2, 3, 4)), 1)
    with pytest.raises(InputError, match="with pixels"):
        _core.look_at_images(np.zeros((1, 0, 3, 4), np.float32), 1)


def test_images_survive_memory_that_is_not_there() -> None:
    image = np.zeros((1, 3, 8, 8), np.float32)
    _core.fail_alloc(1)
    try:
        with pytest.raises(MemoryError):
            _core.look_at_images(image, 1)
    finally:
        _core.fail_alloc(0)


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((1, 3, 224, 224), 1),
        ((1, 224, 224, 3), 3),
        ((5, 1, 28, 28), 1),
        ((5, 28, 28, 1), 3),
        ((1, 1, 32, 3), 3),
        (("N", "C", "H", "W"), None),
        ((1, 1280, 1, 1), 3),
    ],
)
def test_channels_are_found_by_the_shape(
    shape: tuple[object], axis: int | None
) -> None:
    assert guess_channel_axis(shape) == axis  # type: ignore[arg-type]
