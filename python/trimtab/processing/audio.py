"""Sound: from a WAV file to samples, frames and mel spectra.

The mel scale is Slaney's (Auditory Toolbox, 1998), which librosa and Whisper
use: linear below 1 kHz, logarithmic above, each triangle of unit area.
"""

from __future__ import annotations

import io
import os
import wave
from math import gcd

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError

__all__ = [
    "frame_audio",
    "log_mel_whisper",
    "mel_filter_bank",
    "mel_spectrogram",
    "power_to_db",
    "read_wav",
    "resample",
]

Samples = npt.NDArray[np.float32]


def read_wav(source: str | os.PathLike[str] | bytes) -> tuple[Samples, int]:
    """Read a PCM WAV file as mono.

    Parameters
    ----------
    source : path or bytes
        A file, or what it holds: 8, 16, 24 or 32 bits of integer PCM.

    Returns
    -------
    samples : ndarray of float32, shape (n_samples,)
        In [-1, 1); several channels are averaged.
    rate : int
        Samples per second.

    Raises
    ------
    InputError
        The file is no integer PCM WAV.

    Examples
    --------
    >>> import io, wave
    >>> file = io.BytesIO()
    >>> with wave.open(file, "wb") as w:
    ...     w.setnchannels(1), w.setsampwidth(2), w.setframerate(8000)
    ...     w.writeframes(b"\\x00\\x40")
    (None, None, None)
    >>> read_wav(file.getvalue())
    (array([0.5], dtype=float32), 8000)
    """
    opened = io.BytesIO(source) if isinstance(source, bytes) else os.fspath(source)
    try:
        with wave.open(opened, "rb") as file:
            width, rate = file.getsampwidth(), file.getframerate()
            n_channels = file.getnchannels()
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise InputError(f"expected an integer PCM WAV file: {error}") from None
    data = data[: len(data) // (width * n_channels) * (width * n_channels)]
    if width == 1:
        values = np.frombuffer(data, np.uint8).astype(np.float32) / 128 - 1
    elif width == 3:
        padded = np.zeros((len(data) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        values = padded.view("<i4")[:, 0].astype(np.float32) / 2**31
    else:
        values = np.frombuffer(data, f"<i{width}").astype(np.float32)
        values /= 2 ** (8 * width - 1)
    return values.reshape(-1, n_channels).mean(axis=1, dtype=np.float32), rate


def resample(samples: npt.NDArray[np.floating], rate: int, new_rate: int) -> Samples:
    """Change the sample rate with a windowed sinc (Kaiser, about 80 dB down).

    Parameters
    ----------
    samples : ndarray of shape (n_samples,)
    rate, new_rate : int
        Samples per second before and after.

    Returns
    -------
    resampled : ndarray of float32, shape (ceil(n_samples * new_rate / rate),)

    Raises
    ------
    InputError
        A rate is not positive.

    Examples
    --------
    >>> t = np.arange(4410) / 44100
    >>> y = resample(np.sin(2 * np.pi * 100 * t), 44100, 16000)
    >>> y.shape, bool(abs(y[400] - np.sin(2 * np.pi * 100 * 400 / 16000)) < 1e-3)
    ((1600,), True)
    """
    if rate < 1 or new_rate < 1:
        raise InputError(f"expected positive rates, got {rate} and {new_rate}")
    source: Samples = np.asarray(samples, np.float32)
    if rate == new_rate or source.size == 0:
        return np.array(source)
    up, down = new_rate // gcd(rate, new_rate), rate // gcd(rate, new_rate)
    cutoff = min(1.0, up / down) * 0.95
    half = int(np.ceil(32 / cutoff))
    n_out = -(-source.size * up // down)
    out = np.empty(n_out, np.float32)
    padded = np.pad(source, half + 1)
    offsets = np.arange(-half, half + 1)
    for phase in range(min(up, n_out)):  # one filter per fractional position
        positions = np.arange(phase, n_out, up) * down
        whole, fraction = positions // up, (positions[0] % up) / up
        at = (offsets - fraction) * cutoff
        window = np.i0(9 * np.sqrt(np.maximum(0, 1 - (at / (half * cutoff)) ** 2)))
        taps = np.sinc(at) * window
        taps = (taps / taps.sum()).astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(padded, taps.size)
        out[phase::up] = windows[whole + 1] @ taps
    return out


def frame_audio(samples: npt.NDArray[np.generic], size: int, hop: int) -> Samples:
    """Cut into overlapping frames, a view: shape (n_frames, size).

    Parameters
    ----------
    samples : ndarray of shape (n_samples,)
    size, hop : int
        Samples of a frame, and from the start of one to the next.

    Returns
    -------
    frames : ndarray of shape (n_frames, size)

    Raises
    ------
    InputError
        There are fewer samples than one frame takes.

    Examples
    --------
    >>> frame_audio(np.arange(5.0, dtype=np.float32), 3, 2).tolist()
    [[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]]
    """
    if samples.size < size:
        raise InputError(f"expected at least {size} samples, got {samples.size}")
    return np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]


def mel_filter_bank(n_mels: int, n_fft: int, rate: int) -> Samples:
    """Triangles of unit area on Slaney's mel scale, 0 Hz to half the rate.

    Parameters
    ----------
    n_mels : int
        Filters.
    n_fft : int
        Samples of a Fourier transform.
    rate : int
        Samples per second.

    Returns
    -------
    bank : ndarray of float32, shape (n_mels, n_fft // 2 + 1)

    Examples
    --------
    >>> mel_filter_bank(80, 400, 16000).shape
    (80, 201)
    """
    top = rate / 2
    # 66.67 Hz a mel up to 1 kHz (mel 15), then 6.4-fold per 27 mels
    step = np.log(6.4) / 27
    top_mel = 15 + np.log(top / 1000) / step if top >= 1000 else top * 3 / 200
    mels = np.linspace(0, top_mel, n_mels + 2)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * step))
    bins = np.arange(n_fft // 2 + 1) * rate / n_fft
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    bank = np.maximum(0, np.minimum(rising, falling))
    bank *= 2 / (edges[2:] - edges[:-2])[:, None]
    return np.asarray(bank, np.float32)


def mel_spectrogram(
    samples: Samples,
    rate: int,
    *,
    n_fft: int = 400,
    hop: int = 160,
    n_mels: int = 80,
    pad_mode: str = "constant",
) -> Samples:
    """Power in mel bands over time, frames centred, periodic Hann window.

    Parameters
    ----------
    samples : ndarray of float32, shape (n_samples,)
    rate : int
        Samples per second.
    n_fft, hop, n_mels : int
        Window and step in samples, number of bands.
    pad_mode : {"constant", "reflect"}, default="constant"
        How half a window is added at both ends.

    Returns
    -------
    mel : ndarray of float32, shape (n_mels, 1 + n_samples // hop)

    Examples
    --------
    >>> mel_spectrogram(np.zeros(16000, np.float32), 16000).shape
    (80, 101)
    """
    padded = np.pad(samples, n_fft // 2, mode=pad_mode)  # type: ignore[call-overload]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    spectra = np.fft.rfft(frame_audio(padded, n_fft, hop) * window, axis=1)
    power = spectra.real**2 + spectra.imag**2
    bank = mel_filter_bank(n_mels, n_fft, rate)
    return np.ascontiguousarray((power @ bank.T).T, dtype=np.float32)


def power_to_db(
    power: Samples, *, floor: float = 1e-10, range_db: float = 80
) -> Samples:
    """Decibels below the loudest value, cut at `range_db`.

    Parameters
    ----------
    power : ndarray of float32
        Squared amplitudes.
    floor : float, default=1e-10
        What smaller values count as.
    range_db : float, default=80
        Distance of the lowest result from the loudest.

    Returns
    -------
    db : ndarray of float32

    Examples
    --------
    >>> power_to_db(np.array([1.0, 0.1, 0.0], np.float32)).tolist()
    [0.0, -10.0, -80.0]
    """
    db = 10 * np.log10(np.maximum(power, floor) / max(float(power.max()), floor))
    return np.asarray(np.maximum(db, -range_db), np.float32)


def log_mel_whisper(samples: Samples) -> Samples:
    """The spectrum that Whisper hears: 30 s of 16 kHz as 80 x 3000.

    Log10 of the mel power, cut 8 decades under the loudest, then (x + 4) / 4
    (Radford et al. 2022, section 2.2 and the published code's constants).

    Parameters
    ----------
    samples : ndarray of float32, shape (n_samples,)
        At 16 kHz; cut or padded with silence to 30 s.

    Returns
    -------
    mel : ndarray of float32, shape (80, 3000)

    Examples
    --------
    >>> log_mel_whisper(np.zeros(16000, np.float32)).shape
    (80, 3000)
    """
    n_samples = 30 * 16000
    padded = np.zeros(n_samples, np.float32)
    padded[: min(samples.size, n_samples)] = samples[:n_samples]
    mel = mel_spectrogram(padded, 16000, pad_mode="reflect")[:, :-1]
    logs = np.log10(np.maximum(mel, 1e-10))
    return np.asarray((np.maximum(logs, logs.max() - 8) + 4) / 4, np.float32)
