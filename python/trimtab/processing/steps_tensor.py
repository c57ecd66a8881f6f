"""Steps from a picture to the tensor that a model takes: values, channels, layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from trimtab.errors import InputError
from trimtab.processing.checks import (
    check_bool,
    check_choice,
    check_number,
    check_numbers,
    describe,
)
from trimtab.processing.colour import GRAYS, normalize, standardize, to_gray
from trimtab.processing.geometry import as_image
from trimtab.processing.step import Context, Step

__all__ = [
    "AddBatch",
    "Cast",
    "Gray",
    "Layout",
    "Normalize",
    "ReverseChannels",
    "Standardize",
    "Transpose",
]

DTYPES = ("float32", "float16", "float64", "uint8", "int8", "int32", "int64")


@dataclass(frozen=True)
class Normalize(Step):
    """``(picture / divisor - mean) / std`` in float32.

    Parameters
    ----------
    mean, std : float or tuple of float, default=0 and 1
        For all channels, or for each.
    divisor : float, default=255
        Applied first.
    layout : {"HWC", "CHW"}, default="HWC"
        Of the result; the picture is HWC. Changing it here costs nothing.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "normalize"
    mean: tuple[float, ...] | float = 0.0
    std: tuple[float, ...] | float = 1.0
    divisor: float = 255.0
    layout: str = "HWC"

    def __post_init__(self) -> None:
        """Check the parameters."""
        self._set(
            mean=check_numbers("mean", self.mean),
            std=check_numbers("std", self.std),
            divisor=check_number("divisor", self.divisor),
        )
        if 0.0 in self._per_channel("std"):
            raise InputError(f"std: expected no zero, got {self.std}")
        if self.divisor == 0.0:
            raise InputError("divisor: expected another number than 0")
        check_choice("layout", self.layout, ("HWC", "CHW"))

    def __call__(self, value: Any, context: Context) -> Any:
        """Normalise.

        Parameters
        ----------
        value : ndarray of shape (h, w) or (h, w, channels)
        context : dict

        Returns
        -------
        normalized : ndarray of float32, shape (h, w, channels) or (channels, h, w)
            Gray pictures get one channel.
        """
        image = as_image(value)
        return normalize(
            image[..., None] if image.ndim == 2 else image,
            mean=self._per_channel("mean"),
            std=self._per_channel("std"),
            divisor=self.divisor,
            planar=self.layout == "CHW",
        )

    def _per_channel(self, name: str) -> tuple[float, ...]:
        values: tuple[float, ...] = getattr(self, name)
        return values


@dataclass(frozen=True)
class Standardize(Step):
    """Mean 0, deviation 1 over the picture (`tf.image.per_image_standardization`)."""

    kind: ClassVar[str] = "standardize"

    def __call__(self, value: Any, context: Context) -> Any:
        """Standardise.

        Parameters
        ----------
        value : ndarray
        context : dict

        Returns
        -------
        standardized : ndarray of float32
        """
        return standardize(as_image(value))


@dataclass(frozen=True)
class Gray(Step):
    """RGB to gray.

    Parameters
    ----------
    method : str, default="pillow"
        Whose weights and rounding: a key of `trimtab.processing.colour.GRAYS`.
    repeat : bool, default=False
        Three equal channels (h, w, 3), else (h, w).

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "gray"
    method: str = "pillow"
    repeat: bool = False

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_choice("method", self.method, GRAYS)
        check_bool("repeat", self.repeat)

    def __call__(self, value: Any, context: Context) -> Any:
        """Convert.

        Parameters
        ----------
        value : ndarray of shape (h, w, 3)
        context : dict

        Returns
        -------
        gray : ndarray
        """
        gray = to_gray(as_image(value), self.method)
        return np.repeat(gray[..., None], 3, axis=-1) if self.repeat else gray


@dataclass(frozen=True)
class ReverseChannels(Step):
    """RGB to BGR, and the other way round."""

    kind: ClassVar[str] = "reverse_channels"

    def __call__(self, value: Any, context: Context) -> Any:
        """Reverse the last axis.

        Parameters
        ----------
        value : ndarray of shape (h, w, channels)
        context : dict

        Returns
        -------
        image : ndarray
        """
        image = as_image(value)
        if image.ndim != 3:
            raise InputError(f"expected (h, w, channels), got {describe(value)}")
        return np.ascontiguousarray(image[..., ::-1])


@dataclass(frozen=True)
class Layout(Step):
    """Channels first or last.

    Parameters
    ----------
    layout : {"CHW", "HWC"}, default="CHW"
        What is wanted; what comes is the other one.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "layout"
    layout: str = "CHW"

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_choice("layout", self.layout, ("CHW", "HWC"))

    def __call__(self, value: Any, context: Context) -> Any:
        """Transpose; a view.

        Parameters
        ----------
        value : ndarray of shape (..., h, w, channels) or (..., channels, h, w)
            A gray picture (h, w) gets one channel.
        context : dict

        Returns
        -------
        image : ndarray
        """
        if not isinstance(value, np.ndarray) or value.ndim not in (2, 3, 4):
            raise InputError(f"expected a picture, got {describe(value)}")
        if value.ndim == 2:
            return value[None] if self.layout == "CHW" else value[..., None]
        axes = (-1, -3) if self.layout == "CHW" else (-3, -1)
        return np.moveaxis(value, *axes)


@dataclass(frozen=True)
class Transpose(Step):
    """Axes in another order, of an array or of each of several.

    Parameters
    ----------
    axes : tuple of int
        Axis i of what leaves is axis ``axes[i]`` of what comes.

    Raises
    ------
    InputError
        They are no permutation of the axes.
    """

    kind: ClassVar[str] = "transpose"
    axes: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check the parameters."""
        axes = self.axes
        if not isinstance(axes, tuple) or not all(type(a) is int for a in axes):
            raise InputError(f"axes: expected integers, got {axes!r}")
        if sorted(axes) != list(range(len(axes))):
            raise InputError(f"axes: expected a permutation, got {axes!r}")

    def __call__(self, value: Any, context: Context) -> Any:
        """Transpose; a view.

        Parameters
        ----------
        value : ndarray or tuple of ndarray
        context : dict

        Returns
        -------
        value : ndarray or tuple of ndarray
        """
        if isinstance(value, tuple):
            return tuple(self(item, context) for item in value)
        if not isinstance(value, np.ndarray) or value.ndim != len(self.axes):
            raise InputError(
                f"expected an array of {len(self.axes)} dims, got {describe(value)}"
            )
        return value.transpose(self.axes)


@dataclass(frozen=True)
class Cast(Step):
    """To another element type.

    Parameters
    ----------
    dtype : str, default="float32"
        One of `DTYPES`.

    Raises
    ------
    InputError
        There is no such type here.
    """

    kind: ClassVar[str] = "cast"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_choice("dtype", self.dtype, DTYPES)

    def __call__(self, value: Any, context: Context) -> Any:
        """Convert.

        Parameters
        ----------
        value : array-like
        context : dict

        Returns
        -------
        array : ndarray
        """
        return np.asarray(value).astype(self.dtype, copy=False)


@dataclass(frozen=True)
class AddBatch(Step):
    """A batch of one: an axis of size 1 in front."""

    kind: ClassVar[str] = "add_batch"

    def __call__(self, value: Any, context: Context) -> Any:
        """Add the axis; a view.

        Parameters
        ----------
        value : array-like
        context : dict

        Returns
        -------
        array : ndarray of shape (1, ...)
        """
        return np.asarray(value)[None]
