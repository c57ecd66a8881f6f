"""Sound as samples: reading WAV files, sample rates, lengths and levels."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from functools import lru_cache
from math import gcd
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.processing.checks import check_choice, check_int

__all__ = [
    "RESAMPLERS",
    "fit_length",
    "frame_audio",
    "pre_emphasize",
    "read_wav",
    "resample",
    "split_at_quiet",
]

Samples = npt.NDArray[np.float32]

#: (tag of the format, bits) -> how samples are stored, what is 0 and what is 1
_WAV_FORMATS: dict[tuple[int, int], tuple[str, float, float]] = {
    (1, 8): ("u1", 128, 128),
    (1, 16): ("<i2", 0, 2.0**15),
    (1, 24): ("<i4", 0, 2.0**31),  # after a byte of zeros was put under each
    (1, 32): ("<i4", 0, 2.0**31),
    (3, 32): ("<f4", 0, 1),
    (3, 64): ("<f8", 0, 1),
}
_EXTENSIBLE = 0xFFFE  # the tag stands further behind


def read_wav(source: str | os.PathLike[str] | bytes) -> tuple[Samples, int]:
    """Read a PCM WAV file as mono.

    Parameters
    ----------
    source : path or bytes
        A file, or what it holds: integers of 8, 16, 24 or 32 bits, or floats of 32
        or 64. Of a file cut short, what is there.

    Returns
    -------
    samples : ndarray of float32, shape (n_samples,)
        Integers in [-1, 1), floats as they are; several channels are averaged.
    rate : int
        Samples per second.

    Raises
    ------
    InputError
        The file is no such WAV.

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
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    chunks = dict(_wav_chunks(content))
    header, data = chunks.get(b"fmt ", b""), chunks.get(b"data")
    if len(header) < 16 or data is None:
        raise InputError("expected a PCM WAV file: it has no format or no data")
    tag, n_channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", header)
    if tag == _EXTENSIBLE and len(header) >= 26:
        (tag,) = struct.unpack_from("<H", header, 24)
    if (tag, bits) not in _WAV_FORMATS or n_channels < 1 or rate < 1:
        raise InputError(
            f"expected a PCM WAV file: format {tag} with {bits} bits, {n_channels} "
            f"channels and {rate} samples per second cannot be read"
        )
    dtype, zero, one = _WAV_FORMATS[tag, bits]
    frame = bits // 8 * n_channels
    raw = np.frombuffer(data[: len(data) // frame * frame], np.uint8)
    if bits == 24:
        raw = np.pad(raw.reshape(-1, 3), ((0, 0), (1, 0)))
    values = (raw.reshape(-1).view(dtype).astype(np.float32) - np.float32(zero)) / one
    frames: Samples = np.asarray(values, np.float32).reshape(-1, n_channels)
    mono = frames[:, 0] if n_channels == 1 else frames.mean(axis=1, dtype=np.float32)
    return np.ascontiguousarray(mono), rate


def _wav_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a RIFF file by name, up to its data."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise InputError("expected a PCM WAV file: it does not begin as one")
    at = 12
    while at + 8 <= len(content):
        name, size = (
            content[at : at + 4],
            int.from_bytes(content[at + 4 : at + 8], "little"),
        )
        yield name, content[at + 8 : at + 8 + size]
        if name == b"data":
            return
        at += 8 + size + size % 2


#: Windowed sincs: name -> (zero crossings on each side, Kaiser's beta, where the band
#: ends as a share of half the lower rate). Linear interpolation is none.
RESAMPLERS: dict[str, tuple[int, float, float] | None] = {
    "linear": None,
    "polyphase": (10, 5.0, 1.0),
    "sinc": (32, 9.0, 0.95),
}
_MAX_RATE = 1 << 24
_MAX_SAMPLES = 1 << 30
_MAX_TAPS = 1 << 25  # of all the filters of one resampling


def resample(
    samples: npt.ArrayLike, rate: int, new_rate: int, *, method: str = "sinc"
) -> Samples:
    """Change the sample rate.

    Parameters
    ----------
    samples : array-like of shape (n_samples,)
    rate, new_rate : int
        Samples per second before and after.
    method : {"sinc", "polyphase", "linear"}, default="sinc"
        A windowed sinc about 80 dB down; the shorter one of
        ``scipy.signal.resample_poly``; straight lines between samples.

    Returns
    -------
    resampled : ndarray of float32, shape (ceil(n_samples * new_rate / rate),)

    Raises
    ------
    InputError
        A rate is not positive, the rates are too far apart, or there is no such method.

    Examples
    --------
    >>> t = np.arange(4410) / 44100
    >>> y = resample(np.sin(2 * np.pi * 100 * t), 44100, 16000)
    >>> y.shape, bool(abs(y[400] - np.sin(2 * np.pi * 100 * 400 / 16000)) < 1e-3)
    ((1600,), True)
    """
    check_int("rate", rate, 1, _MAX_RATE)
    check_int("new_rate", new_rate, 1, _MAX_RATE)
    check_choice("method", method, RESAMPLERS)
    source: Samples = np.asarray(samples, np.float32)
    if source.ndim != 1:
        raise InputError(f"expected a vector of samples, got {source.shape}")
    if rate == new_rate or source.size == 0:
        return np.array(source)
    up, down = new_rate // gcd(rate, new_rate), rate // gcd(rate, new_rate)
    n_out = -(-source.size * up // down)
    if n_out > _MAX_SAMPLES:
        raise InputError(f"{rate} to {new_rate} Hz: {n_out} samples are too many")
    if RESAMPLERS[method] is None:
        place = np.arange(n_out) * (down / up)
        between = np.interp(place, np.arange(source.size), source)
        return np.asarray(between, np.float32)
    filters, half = _filters(method, up, down)
    padded = np.pad(source, half + 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, filters.shape[1])
    out = np.empty(n_out, np.float32)
    for phase in range(min(up, n_out)):  # one filter per fractional position
        whole = np.arange(phase, n_out, up) * down // up
        out[phase::up] = windows[whole + 1] @ filters[phase]
    return out


@lru_cache(maxsize=4)
def _filters(method: str, up: int, down: int) -> tuple[Samples, int]:
    """A row of taps for each fractional position; how far they reach to each side."""
    parameters = RESAMPLERS[method]
    assert parameters is not None
    crossings, beta, band = parameters
    cutoff = min(1.0, up / down) * band
    width = crossings / cutoff
    half = int(np.ceil(width))
    if up * (2 * half + 1) > _MAX_TAPS:
        raise InputError(f"rates of {down} to {up} are too far apart: resample twice")
    fractions = (np.arange(up) * down % up) / up
    at = np.arange(-half, half + 1) - fractions[:, None]
    inside = np.sqrt(np.maximum(0, 1 - (at / width) ** 2))
    taps = np.sinc(at * cutoff) * np.i0(beta * inside) * (np.abs(at) <= width)
    if method == "polyphase":
        taps *= up / taps.sum()
    else:
        taps /= taps.sum(axis=1, keepdims=True)
    return taps.astype(np.float32), half


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


def fit_length(samples: npt.ArrayLike, n_samples: int, *, side: str = "end") -> Samples:
    """Cut, or pad with silence, to a number of samples.

    Parameters
    ----------
    samples : array-like of shape (n,)
    n_samples : int
    side : {"end", "start"}, default="end"
        Where samples are dropped or added.

    Returns
    -------
    fitted : ndarray of float32, shape (n_samples,)

    Raises
    ------
    InputError
        The samples are no vector, the number is negative, or there is no such side.

    Examples
    --------
    >>> fit_length([1.0, 2.0], 3).tolist(), fit_length([1.0, 2.0], 1).tolist()
    ([1.0, 2.0, 0.0], [1.0])
    """
    check_int("n_samples", n_samples, 0, _MAX_SAMPLES)
    check_choice("side", side, ("end", "start"))
    source: Samples = np.asarray(samples, np.float32)
    if source.ndim != 1:
        raise InputError(f"expected a vector of samples, got {source.shape}")
    n_kept = min(source.size, n_samples)
    out = np.zeros(n_samples, np.float32)
    if side == "end":
        out[:n_kept] = source[:n_kept]
    else:
        out[n_samples - n_kept :] = source[source.size - n_kept :]
    return out


def pre_emphasize(samples: npt.ArrayLike, *, coefficient: float = 0.97) -> Samples:
    """Raise high frequencies: ``y[t] = x[t] - coefficient * x[t - 1]``.

    Parameters
    ----------
    samples : array-like of shape (n_samples,)
    coefficient : float, default=0.97

    Returns
    -------
    emphasized : ndarray of float32, shape (n_samples,)
        The first sample is kept as it is.

    Examples
    --------
    >>> pre_emphasize([1.0, 1.0, 2.0], coefficient=0.5).tolist()
    [1.0, 0.5, 1.5]
    """
    out: Samples = np.array(samples, np.float32)
    out[1:] -= np.float32(coefficient) * out[:-1].copy()
    return out


def split_at_quiet(
    samples: npt.ArrayLike,
    rate: int,
    *,
    max_seconds: float = 30,
    search_seconds: float = 15,
) -> list[Samples]:
    """Cut a long recording where it is quietest, so that no word is cut in two.

    Parameters
    ----------
    samples : array-like of shape (n_samples,)
    rate : int
        Samples per second.
    max_seconds : float, default=30
        Longest piece.
    search_seconds : float, default=15
        How much of the end of a piece is searched for the quietest 0.2 s.

    Returns
    -------
    pieces : list of ndarray of float32
        One after the other they are the recording.

    Raises
    ------
    InputError
        A piece would have less than 0.4 s, or be searched from before its beginning.

    Examples
    --------
    >>> sound = np.ones(100)
    >>> sound[40:60] = 0
    >>> [piece.size for piece in split_at_quiet(
    ...     sound, 100, max_seconds=0.8, search_seconds=0.6)]
    [50, 50]
    """
    source: Samples = np.asarray(samples, np.float32)
    longest, quiet = int(max_seconds * rate), max(1, int(0.2 * rate))
    search = int(search_seconds * rate)
    if longest < 2 * quiet or not quiet < search < longest:
        raise InputError(
            f"expected 0.2 < search_seconds < max_seconds, got {search_seconds} and "
            f"{max_seconds} at {rate} Hz"
        )
    pieces = []
    while source.size > longest:
        end = source[longest - search : longest].astype(np.float64)
        energy = np.cumsum(np.concatenate([[0.0], end * end]))
        quietest = int((energy[quiet:] - energy[:-quiet]).argmin())
        cut = longest - search + quietest + quiet // 2
        pieces.append(source[:cut])
        source = source[cut:]
    return [*pieces, source]
