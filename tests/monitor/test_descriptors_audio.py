"""Descriptors of sound: against NumPy's definitions and its FFT."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trimtab import _core
from trimtab.errors import InputError
from trimtab.monitor.descriptors import describe, names

NAMES = names("audio")
RATE = 16000


def chosen(n: int, at_most: int) -> np.ndarray:
    """Frames that are looked at, as the header says."""
    m = min(n, at_most)
    k = np.arange(m)
    return n // m * k + n // m // 2 + n % m * k // m


def decibels(square: np.ndarray | float) -> np.ndarray:
    """Decibels of a mean square, -100 at least."""
    return 10 * np.log10(np.maximum(square, 1e-10))


def expected(clip: np.ndarray, full_scale: float = 1.0) -> list[float]:
    """Describe one clip by the definitions, in float64."""
    x = clip.astype(np.float64) / full_scale
    whole = x[: len(x) // 256 * 256].reshape(-1, 256) if len(x) >= 256 else x[None]
    frames = whole[chosen(len(whole), 256)]
    squares = np.square(frames).mean(axis=1)
    negative = frames < 0
    centroid = np.nan
    if len(x) >= 256:
        some = whole[chosen(len(whole), 4)]
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(256) / 256)
        magnitude = np.abs(np.fft.rfft(some * window)).sum(axis=0)
        if magnitude.sum() > 0:
            bins = np.fft.rfftfreq(256, 1 / RATE)
            centroid = (magnitude * bins).sum() / magnitude.sum()
    ordered = np.sort(squares)
    n = len(ordered) - 1
    return [
        decibels(squares.mean()),
        np.abs(frames).max(),
        (np.abs(frames) >= 0.999).mean(),
        (squares < 1e-6).mean(),
        (negative[:, 1:] != negative[:, :-1]).mean() if frames.shape[1] > 1 else 0.0,
        centroid,
        decibels(ordered[n * 95 // 100]) - decibels(ordered[n * 10 // 100]),
    ]


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 255, 256, 257, 1000, 16000, 480000])
def test_numbers_are_those_of_the_definition(n: int) -> None:
    rng = np.random.default_rng(n)
    loud = rng.normal(size=n) * (0.2 + np.sin(np.arange(n) / 5000) ** 2)
    clip = loud.astype(np.float32)
    np.testing.assert_allclose(
        describe("audio", clip)[0], expected(clip), rtol=1e-4, atol=1e-4
    )


@given(
    hnp.arrays(np.int16, st.integers(256, 3000), elements=st.integers(-32768, 32767))
)
def test_any_clip_of_int16(clip: np.ndarray) -> None:
    row = describe("audio", clip, sample_rate=RATE)[0]
    want = expected(clip, 32768.0)
    np.testing.assert_allclose(row, want, rtol=1e-4, atol=2e-4)


def test_int16_floats_and_strides_are_the_same_sound() -> None:
    rng = np.random.default_rng(0)
    whole = rng.integers(-30000, 30000, (3, 4000), dtype=np.int16)
    want = describe("audio", whole)
    floats = whole.astype(np.float32)
    np.testing.assert_array_equal(describe("audio", floats, full_scale=32768), want)
    np.testing.assert_array_equal(
        describe("audio", whole.astype(np.float64), full_scale=32768), want
    )
    wide = np.repeat(floats, 2, axis=1)[:, ::2]
    np.testing.assert_array_equal(describe("audio", wide, full_scale=32768), want)
    np.testing.assert_array_equal(describe("audio", whole[:, None, :]), want)
    np.testing.assert_array_equal(describe("audio", whole[:, :, None]), want)
    stereo = np.stack([whole, np.zeros_like(whole)], axis=2)
    np.testing.assert_array_equal(describe("audio", stereo), want)
    wider = whole.astype(np.int32) * 65536
    np.testing.assert_allclose(describe("audio", wider), want, rtol=1e-6)


@pytest.mark.parametrize("frequency", [250.0, 1000.0, 4000.0, 7000.0])
def test_the_centroid_of_a_tone_is_its_frequency(frequency: float) -> None:
    tone = np.sin(np.arange(RATE) * (2 * np.pi * frequency / RATE)).astype(np.float32)
    row = dict(zip(NAMES, describe("audio", tone)[0].tolist(), strict=True))
    assert row["spectral_centroid"] == pytest.approx(frequency, abs=10)
    assert row["zero_crossing_rate"] == pytest.approx(2 * frequency / RATE, rel=0.03)
    assert row["level_db"] == pytest.approx(-3.01, abs=0.01)
    doubled = describe("audio", tone, sample_rate=2 * RATE)[0]
    assert doubled[NAMES.index("spectral_centroid")] == pytest.approx(
        2 * row["spectral_centroid"]
    )


def test_a_louder_noise_floor_lowers_the_ratio() -> None:
    rng = np.random.default_rng(1)
    speech = np.sin(np.arange(4 * RATE) * 0.3) * (np.arange(4 * RATE) // 4000 % 2)
    ratios = [
        describe("audio", speech + rng.normal(0, sigma, speech.shape))[0, -1]
        for sigma in (0.001, 0.01, 0.1)
    ]
    assert ratios == sorted(ratios, reverse=True)
    # half of the time nothing but noise: the ratio is that of the two, nearly
    assert ratios[1] == pytest.approx(10 * np.log10(0.5 / 1e-4), abs=1.5)


def test_silence_and_clipping_are_shares() -> None:
    clip = np.zeros(256 * 10, np.float32)
    clip[: 256 * 3] = 1.0
    row = dict(zip(NAMES, describe("audio", clip)[0].tolist(), strict=True))
    assert row["clipping_share"] == pytest.approx(0.3)
    assert row["silence_share"] == pytest.approx(0.7)
    assert row["peak"] == 1
    silent = describe("audio", np.zeros(1000, np.float32))[0]
    assert silent[NAMES.index("level_db")] == -100
    assert np.isnan(silent[NAMES.index("spectral_centroid")])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_sample_that_is_not_finite_leaves_nothing(value: float) -> None:
    clip = np.ones((2, 600), np.float32)
    clip[0, 300] = value
    rows = describe("audio", clip)
    assert np.isnan(rows[0]).all()
    assert np.isfinite(rows[1]).all()


def test_clips_that_are_none_are_refused() -> None:
    for array in (np.zeros((2, 9, 9)), np.zeros(()), np.zeros((1, 0))):
        with pytest.raises(InputError):
            describe("audio", array)
    for options in ({"sample_rate": 0}, {"full_scale": -1}, {"full_scale": np.nan}):
        with pytest.raises(InputError):
            describe("audio", np.zeros(300), **options)
    with pytest.raises(InputError, match="numbers"):
        describe("audio", ["a"])
    assert describe("audio", np.zeros((0, 5))).shape == (0, 7)
    with pytest.raises(InputError, match="float64"):
        _core.look_at_audio(np.zeros((1, 300)), 1.0)
    with pytest.raises(InputError, match="2 dims"):
        _core.look_at_audio(np.zeros(300, np.float32), 1.0)
