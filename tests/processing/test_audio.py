"""Sound: WAV widths, resampling and mel spectra against their definitions."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest

from trimtab.errors import InputError
from trimtab.processing.audio import frame_audio, read_wav, resample
from trimtab.processing.mel import (
    log_mel_whisper,
    mel_filter_bank,
    mel_spectrogram,
    power_to_db,
)


def wav(samples: np.ndarray, width: int, channels: int = 1, rate: int = 8000) -> bytes:
    if width == 1:
        data = ((samples * 128) + 128).astype(np.uint8).tobytes()
    else:
        whole = (samples * 2 ** (8 * width - 1)).astype("<i4")
        data = whole.view(np.uint8).reshape(-1, 4)[:, :width].tobytes()
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(data)
    return file.getvalue()


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_every_width_reads_the_same(width: int) -> None:
    samples = np.array([-1.0, -0.5, 0.0, 0.25, 0.5])
    read, rate = read_wav(wav(samples, width))
    assert rate == 8000
    np.testing.assert_allclose(read, samples, atol=2.0 ** (1 - 8 * width))


def test_channels_are_averaged() -> None:
    pairs = np.array([0.5, -0.5, 0.25, 0.75])
    read, _ = read_wav(wav(pairs, 2, channels=2))
    np.testing.assert_allclose(read, [0.0, 0.5])


def test_no_wav_is_an_error() -> None:
    with pytest.raises(InputError, match="expected a PCM WAV"):
        read_wav(b"OggS" * 20)


@pytest.mark.parametrize(("rate", "new_rate"), [(44100, 16000), (8000, 16000)])
def test_a_tone_survives_resampling(rate: int, new_rate: int) -> None:
    t, new_t = np.arange(rate) / rate, np.arange(new_rate) / new_rate
    got = resample(np.sin(2 * np.pi * 440 * t), rate, new_rate)
    want = np.sin(2 * np.pi * 440 * new_t)
    middle = slice(200, -200)
    assert got.shape == want.shape
    assert np.abs(got[middle] - want[middle]).max() < 1e-3


def test_a_tone_above_the_new_limit_is_gone() -> None:
    tone = np.sin(2 * np.pi * 11000 * np.arange(44100) / 44100)
    assert np.abs(resample(tone, 44100, 16000)[200:-200]).max() < 1e-3


def test_resampling_to_the_same_rate_changes_nothing() -> None:
    samples = np.linspace(-1, 1, 50, dtype=np.float32)
    np.testing.assert_array_equal(resample(samples, 8000, 8000), samples)


def test_the_mel_bank_has_triangles_of_unit_area() -> None:
    bank = mel_filter_bank(20, 4096, 16000)
    np.testing.assert_allclose(bank.sum(axis=1) * 16000 / 4096, 1, rtol=0.01)
    peaks = bank.argmax(axis=1) * 16000 / 4096
    assert np.all(np.diff(peaks) > 0)


def test_a_tone_is_loudest_in_its_own_band() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32)
    mel = mel_spectrogram(tone, 16000)
    bank = mel_filter_bank(80, 400, 16000)
    assert mel[:, 50].argmax() == bank[:, 25].argmax()  # bin 25 is 1 kHz


def test_the_spectrum_equals_the_sum_over_samples() -> None:
    """One frame from the definition of the discrete Fourier transform."""
    rng = np.random.default_rng(0)
    samples = rng.standard_normal(1600).astype(np.float32)
    t = np.arange(400)
    window = np.sin(np.pi * t / 400) ** 2
    frame = samples[600:1000].astype(np.float64) * window  # centred on sample 800
    phases = np.exp(-2j * np.pi * np.outer(np.arange(201), t) / 400)
    want = (
        mel_filter_bank(80, 400, 16000).astype(np.float64) @ np.abs(phases @ frame) ** 2
    )
    np.testing.assert_allclose(mel_spectrogram(samples, 16000)[:, 5], want, rtol=1e-5)


def test_decibels_are_cut_at_the_range() -> None:
    np.testing.assert_allclose(power_to_db(np.float32([1e-20, 1, 100])), [-80, -20, 0])


def test_whisper_hears_thirty_seconds_in_two_units() -> None:
    rng = np.random.default_rng(0)
    mel = log_mel_whisper(rng.standard_normal(50000).astype(np.float32))
    assert mel.shape == (80, 3000)
    assert mel.max() - mel.min() <= 2 + 1e-6  # eight decades over four


def test_frames_overlap_and_cost_no_copy() -> None:
    samples = np.arange(10, dtype=np.float32)
    frames = frame_audio(samples, 4, 3)
    assert np.shares_memory(frames, samples)
    np.testing.assert_array_equal(frames, [samples[i : i + 4] for i in (0, 3, 6)])
    with pytest.raises(InputError, match="at least 11 samples, got 10"):
        frame_audio(samples, 11, 1)
