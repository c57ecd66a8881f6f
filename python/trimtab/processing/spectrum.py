"""From samples to spectra: windows and the short-time Fourier transform.

Frames are cut in one of three ways. ``"centre"``: frame i is centred on sample
``i * hop`` and the ends are padded (librosa, torch.stft, Whisper). ``"start"``: it
begins there and must lie inside. ``"kaldi"``: the same, but only the window must lie
inside; zeros fill the frame up to `n_fft`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.processing.checks import check_bool, check_choice, check_int

__all__ = ["FRAMINGS", "PAD_MODES", "WINDOWS", "Stft", "window"]

Floats = npt.NDArray[np.float32]

#: Windows that are sums of cosines: name -> (coefficients, power of the sum).
WINDOWS: dict[str, tuple[tuple[float, ...], float]] = {
    "blackman": ((0.42, 0.5, 0.08), 1),
    "hamming": ((0.54, 0.46), 1),
    "hann": ((0.5, 0.5), 1),
    "povey": ((0.5, 0.5), 0.85),
    "rectangular": ((1.0,), 1),
}

FRAMINGS = ("centre", "kaldi", "start")

#: How the ends are padded: our name and librosa's -> NumPy's.
PAD_MODES = {
    "constant": "constant",
    "edge": "edge",
    "reflect": "reflect",
    "replicate": "edge",
}

_BLOCK = 128  # frames at once: 128 x 400 floats and their spectra fit a 1 MB cache
_MAX_FFT = 1 << 16
_MAX_CELLS = 1 << 28  # frames times samples of a frame


def window(name: str, size: int, *, periodic: bool = True) -> npt.NDArray[np.float64]:
    """Give a window by name.

    Parameters
    ----------
    name : str
        Key of `WINDOWS`.
    size : int
        In samples.
    periodic : bool, default=True
        One period of the window, as spectra want it; False: symmetric.

    Returns
    -------
    weights : ndarray of float64, shape (size,)

    Raises
    ------
    InputError
        There is no such window, or the size is not positive.

    Examples
    --------
    >>> window("hann", 4).round(6).tolist()
    [0.0, 0.5, 1.0, 0.5]
    >>> window("hann", 5, periodic=False).round(6).tolist()
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    check_choice("window", name, WINDOWS)
    check_int("size", size, 1, _MAX_FFT)
    if size == 1:
        return np.ones(1)
    coefficients, power = WINDOWS[name]
    angles = 2 * np.pi * np.arange(size) / (size if periodic else size - 1)
    total = np.zeros(size)
    for k, coefficient in enumerate(coefficients):
        total += (-1) ** k * coefficient * np.cos(k * angles)
    return np.asarray(np.maximum(total, 0) ** power)


@dataclass(frozen=True)
class Stft:
    """The short-time Fourier transform, with all that may differ between libraries.

    Parameters
    ----------
    n_fft : int, default=400
        Samples of a transform.
    hop : int, default=160
        Samples from one frame to the next.
    win_length : int, default=0
        Samples of the window, which lies in the middle of the frame (at its start
        for ``"kaldi"``); 0: `n_fft`.
    window : str, default="hann"
        Key of `WINDOWS`.
    periodic : bool, default=True
        See `trimtab.processing.spectrum.window`.
    framing : {"centre", "start", "kaldi"}, default="centre"
        Where frames lie; see the module.
    pad_mode : str, default="reflect"
        Key of `PAD_MODES`; how the ends are padded for ``"centre"``.

    Raises
    ------
    InputError
        A parameter makes no sense.

    Examples
    --------
    >>> Stft(n_fft=8, hop=4)(np.ones(16, np.float32)).shape
    (5, 5)
    """

    n_fft: int = 400
    hop: int = 160
    win_length: int = 0
    window: str = "hann"
    periodic: bool = True
    framing: str = "centre"
    pad_mode: str = "reflect"

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("n_fft", self.n_fft, 2, _MAX_FFT)
        check_int("hop", self.hop, 1, 1 << 24)
        check_int("win_length", self.win_length, 0, self.n_fft)
        check_choice("window", self.window, WINDOWS)
        check_bool("periodic", self.periodic)
        check_choice("framing", self.framing, FRAMINGS)
        check_choice("pad_mode", self.pad_mode, PAD_MODES)

    @property
    def n_bins(self) -> int:
        """Frequencies from 0 to half the sample rate."""
        return self.n_fft // 2 + 1

    def n_frames(self, n_samples: int) -> int:
        """Count the frames that some samples give.

        Parameters
        ----------
        n_samples : int

        Returns
        -------
        n_frames : int

        Raises
        ------
        InputError
            The samples are too few for one frame, or there would be too many frames.
        """
        size = self._frame_size
        inside = n_samples
        if self.framing == "centre" and n_samples > 0:
            inside += 2 * (self.n_fft // 2)
        if inside < size:
            raise InputError(f"expected at least {size} samples, got {n_samples}")
        n_frames = 1 + (inside - size) // self.hop
        if n_frames * self.n_fft > _MAX_CELLS:
            raise InputError(
                f"{n_frames} frames of {self.n_fft} samples are more than fit: "
                f"cut the {n_samples} samples or take a hop above {self.hop}"
            )
        return n_frames

    def blocks(
        self, samples: npt.ArrayLike, prepare: Callable[[Floats], Floats] | None = None
    ) -> Iterator[tuple[int, npt.NDArray[np.complex64]]]:
        """Transform some frames at a time, which keeps memory in the cache.

        Parameters
        ----------
        samples : array-like of shape (n_samples,)
        prepare : callable, optional
            Applied to each block of frames before the window.

        Returns
        -------
        blocks : iterator of (int, ndarray of complex64 of shape (n, n_bins))
            The number of a block's first frame, and the block's spectra.

        Raises
        ------
        InputError
            The samples are no vector, or too few for one frame.
        """
        signal: Floats = np.asarray(samples, np.float32)
        if signal.ndim != 1:
            raise InputError(f"expected a vector of samples, got {signal.shape}")
        n_frames = self.n_frames(signal.size)
        if self.framing == "centre":
            half = self.n_fft // 2
            signal = np.pad(signal, half, mode=PAD_MODES[self.pad_mode])  # type: ignore[call-overload]
        weights = _frame_window(self)
        views = np.lib.stride_tricks.sliding_window_view(signal, self._frame_size)
        frames = views[:: self.hop][:n_frames]
        for first in range(0, n_frames, _BLOCK):
            block = frames[first : first + _BLOCK]
            if prepare is not None:
                block = prepare(block)
            spectra = np.fft.rfft(block * weights, n=self.n_fft, axis=1)
            yield first, np.asarray(spectra, np.complex64)  # NumPy's stub says 128

    def power(
        self, samples: npt.ArrayLike, prepare: Callable[[Floats], Floats] | None = None
    ) -> Iterator[tuple[int, Floats]]:
        """Give squared magnitudes, as `blocks` does.

        Parameters
        ----------
        samples : array-like of shape (n_samples,)
        prepare : callable, optional
            As in `blocks`.

        Returns
        -------
        blocks : iterator of (int, ndarray of float32 of shape (n, n_bins))
        """
        for first, spectra in self.blocks(samples, prepare):
            power = spectra.real * spectra.real
            power += spectra.imag * spectra.imag
            yield first, power

    def __call__(self, samples: npt.ArrayLike) -> npt.NDArray[np.complex64]:
        """Transform all frames.

        Parameters
        ----------
        samples : array-like of shape (n_samples,)

        Returns
        -------
        spectra : ndarray of complex64, shape (n_bins, n_frames)
        """
        n_frames = self.n_frames(np.size(samples))
        out = np.empty((self.n_bins, n_frames), np.complex64)
        for first, spectra in self.blocks(samples):
            out[:, first : first + len(spectra)] = spectra.T
        return out

    @property
    def _frame_size(self) -> int:
        is_kaldi = self.framing == "kaldi"
        return (self.win_length or self.n_fft) if is_kaldi else self.n_fft


@lru_cache(maxsize=16)
def _frame_window(stft: Stft) -> Floats:
    """The window as long as a frame."""
    size = stft.win_length or stft.n_fft
    weights = np.zeros(stft._frame_size, np.float32)
    left = (weights.size - size) // 2
    weights[left : left + size] = window(stft.window, size, periodic=stft.periodic)
    weights.flags.writeable = False
    return weights
