"""Steps from a recording to what a sound model takes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError, InputTypeError
from trimtab.processing import audio
from trimtab.processing.checks import (
    check_bool,
    check_choice,
    check_int,
    check_number,
)
from trimtab.processing.step import Context, Step

__all__ = [
    "FitLength",
    "FrameAudio",
    "MixToMono",
    "PreEmphasize",
    "ReadWav",
    "Resample",
]

_MAX_RATE = 1 << 24


@dataclass(frozen=True)
class ReadWav(Step):
    """A WAV file, its bytes, or samples that are read already -> mono samples.

    Leaves `rate` (of the samples) and `n_samples` in the context.

    Parameters
    ----------
    rate : int, default=0
        What to resample to; 0: the file's own rate.
    method : str, default="sinc"
        Key of `trimtab.processing.audio.RESAMPLERS`.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "read_wav"
    rate: int = 0
    method: str = "sinc"

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("rate", self.rate, 0, _MAX_RATE)
        check_choice("method", self.method, audio.RESAMPLERS)

    def __call__(self, value: Any, context: Context) -> Any:
        """Read and resample.

        Parameters
        ----------
        value : path, bytes, (samples, rate), or ndarray at `rate`
        context : dict

        Returns
        -------
        samples : ndarray of float32, shape (n_samples,)

        Raises
        ------
        InputTypeError
            The value is none of these.
        InputError
            Samples came without a rate, or the file is no WAV.
        """
        if isinstance(value, str | os.PathLike | bytes):
            samples, rate = audio.read_wav(value)
        elif isinstance(value, tuple) and len(value) == 2:
            samples, rate = value
        elif isinstance(value, np.ndarray):
            if not self.rate:
                raise InputError("expected (samples, rate): the step fixes no rate")
            samples, rate = value, self.rate
        else:
            raise InputTypeError(
                f"expected a WAV file, bytes or (samples, rate), got {type(value)}"
            )
        samples = np.asarray(samples, np.float32)
        if self.rate and rate != self.rate:
            samples = audio.resample(samples, rate, self.rate, method=self.method)
            rate = self.rate
        context.update(rate=int(rate), n_samples=int(samples.size))
        return samples


@dataclass(frozen=True)
class Resample(Step):
    """Samples at one rate -> samples at another.

    Parameters
    ----------
    new_rate : int
        Samples per second afterwards.
    rate : int, default=0
        Before; 0: what the context says.
    method : str, default="sinc"
        Key of `trimtab.processing.audio.RESAMPLERS`.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "resample"
    new_rate: int
    rate: int = 0
    method: str = "sinc"

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("new_rate", self.new_rate, 1, _MAX_RATE)
        check_int("rate", self.rate, 0, _MAX_RATE)
        check_choice("method", self.method, audio.RESAMPLERS)

    def __call__(self, value: Any, context: Context) -> Any:
        """Apply `trimtab.processing.audio.resample`.

        Parameters
        ----------
        value : array-like of shape (n_samples,)
        context : dict

        Returns
        -------
        samples : ndarray of float32

        Raises
        ------
        InputError
            Nothing tells the rate.
        """
        rate = self.rate or context.get("rate")
        if not rate:
            raise InputError("rate: neither a parameter nor the context tells it")
        samples = audio.resample(value, rate, self.new_rate, method=self.method)
        context.update(rate=self.new_rate, n_samples=int(samples.size))
        return samples


@dataclass(frozen=True)
class MixToMono(Step):
    """Average the channels.

    Parameters
    ----------
    axis : int, default=0
        Of the channels.

    Raises
    ------
    InputError
        The axis is no small integer.
    """

    kind: ClassVar[str] = "mono"
    axis: int = 0

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("axis", self.axis, -2, 1)

    def __call__(self, value: Any, context: Context) -> Any:
        """Average along the axis; mono samples are kept.

        Parameters
        ----------
        value : array-like of shape (n_samples,), or two dims
        context : dict

        Returns
        -------
        samples : ndarray of float32, shape (n_samples,)

        Raises
        ------
        InputError
            There are other dims.
        """
        samples = np.asarray(value, np.float32)
        if samples.ndim == 1:
            return samples
        if samples.ndim != 2:
            raise InputError(f"expected channels of samples, got {samples.shape}")
        return samples.mean(axis=self.axis, dtype=np.float32)


@dataclass(frozen=True)
class FitLength(Step):
    """Cut or pad with silence to a number of samples.

    Parameters
    ----------
    n_samples : int
    side : {"end", "start"}, default="end"

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "fit_length"
    n_samples: int
    side: str = "end"

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("n_samples", self.n_samples, 1, 1 << 26)
        check_choice("side", self.side, ("end", "start"))

    def __call__(self, value: Any, context: Context) -> Any:
        """Apply `trimtab.processing.audio.fit_length`.

        Parameters
        ----------
        value : array-like of shape (n,)
        context : dict

        Returns
        -------
        samples : ndarray of float32, shape (n_samples,)
        """
        return audio.fit_length(value, self.n_samples, side=self.side)


@dataclass(frozen=True)
class PreEmphasize(Step):
    """Raise high frequencies.

    Parameters
    ----------
    coefficient : float, default=0.97

    Raises
    ------
    InputError
        The coefficient is outside 0 to 1.
    """

    kind: ClassVar[str] = "pre_emphasize"
    coefficient: float = 0.97

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_number("coefficient", self.coefficient, 0, 1)

    def __call__(self, value: Any, context: Context) -> Any:
        """Apply `trimtab.processing.audio.pre_emphasize`.

        Parameters
        ----------
        value : array-like of shape (n_samples,)
        context : dict

        Returns
        -------
        samples : ndarray of float32
        """
        return audio.pre_emphasize(value, coefficient=self.coefficient)


@dataclass(frozen=True)
class FrameAudio(Step):
    """Overlapping frames of samples.

    Parameters
    ----------
    size, hop : int
        Samples of a frame, and from the start of one to the next.
    pad : bool, default=False
        Fill the last frame with silence; False: drop what does not fill one.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "frame"
    size: int
    hop: int
    pad: bool = False

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("size", self.size, 1, 1 << 24)
        check_int("hop", self.hop, 1, 1 << 24)
        check_bool("pad", self.pad)

    def __call__(self, value: Any, context: Context) -> Any:
        """Apply `trimtab.processing.audio.frame_audio`.

        Parameters
        ----------
        value : array-like of shape (n_samples,)
        context : dict

        Returns
        -------
        frames : ndarray of float32, shape (n_frames, size)
            A view of the samples, unless they were padded.
        """
        samples: npt.NDArray[np.float32] = np.asarray(value, np.float32)
        if self.pad:
            beyond = max(0, samples.size - self.size)
            n_frames = 1 + -(-beyond // self.hop)
            whole = self.size + (n_frames - 1) * self.hop
            samples = audio.fit_length(samples, whole)
        return audio.frame_audio(samples, self.size, self.hop)
