"""Steps that change the size of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from trimtab.processing.checks import (
    MAX_SIDE,
    check_bool,
    check_choice,
    check_int,
    check_number,
    check_numbers,
)
from trimtab.processing.geometry import (
    as_image,
    crop_or_pad,
    letterbox_size,
    move,
    pad_image,
    shortest_side_size,
)
from trimtab.processing.resample import METHODS, resample
from trimtab.processing.step import Context, Step

__all__ = [
    "CenterCrop",
    "CentralFraction",
    "Letterbox",
    "Pad",
    "PadToMultiple",
    "Resize",
    "ResizeShortest",
    "ResizeToMultiple",
]


@dataclass(frozen=True)
class Resize(Step):
    """To an exact size.

    Parameters
    ----------
    height, width : int
    method : str, default="pillow-bilinear"
        What to be equal to: a key of `trimtab.processing.resample.METHODS`.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "resize"
    height: int
    width: int
    method: str = "pillow-bilinear"

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("height", self.height, 1, MAX_SIDE)
        check_int("width", self.width, 1, MAX_SIDE)
        check_choice("method", self.method, METHODS)

    def __call__(self, value: Any, context: Context) -> Any:
        """Resize.

        Parameters
        ----------
        value : ndarray of shape (h, w) or (h, w, channels)
        context : dict

        Returns
        -------
        image : ndarray
        """
        return _resized(value, (self.height, self.width), self.method, context)


def _resized(value: Any, size: tuple[int, int], method: str, context: Context) -> Any:
    image = as_image(value)
    height, width = image.shape[:2]
    move(context, image, scale=(size[0] / height, size[1] / width))
    return resample(image, *size, method)


@dataclass(frozen=True)
class ResizeShortest(Step):
    """So that the shortest side has a size, and the shape stays.

    Parameters
    ----------
    size : int
    method : str, default="pillow-bilinear"
        As in `Resize`.
    max_size : int, default=0
        The longest side is at most this; 0: no bound.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "resize_shortest"
    size: int
    method: str = "pillow-bilinear"
    max_size: int = 0

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("size", self.size, 1, MAX_SIDE)
        check_choice("method", self.method, METHODS)
        check_int("max_size", self.max_size, 0, MAX_SIDE)

    def __call__(self, value: Any, context: Context) -> Any:
        """Resize.

        Parameters
        ----------
        value : ndarray of shape (h, w) or (h, w, channels)
        context : dict

        Returns
        -------
        image : ndarray
        """
        image = as_image(value)
        height, width = image.shape[:2]
        size = shortest_side_size(height, width, self.size, self.max_size)
        if size == (height, width):
            move(context, image)
            return image
        return _resized(image, size, self.method, context)


@dataclass(frozen=True)
class ResizeToMultiple(Step):
    """To sides that a number divides, as text finders take them.

    Parameters
    ----------
    multiple : int, default=32
        Both sides are rounded to the nearest multiple.
    shortest : int, default=0
        Pictures whose shortest side is smaller are enlarged to it first; 0: none.
    longest : int, default=0
        Pictures whose longest side is larger are shrunk to it first; 0: none.
    method : str, default="opencv-linear"
        As in `Resize`.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "resize_to_multiple"
    multiple: int = 32
    shortest: int = 0
    longest: int = 0
    method: str = "opencv-linear"

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("multiple", self.multiple, 1, 4096)
        check_int("shortest", self.shortest, 0, MAX_SIDE)
        check_int("longest", self.longest, 0, MAX_SIDE)
        check_choice("method", self.method, METHODS)

    def __call__(self, value: Any, context: Context) -> Any:
        """Resize.

        Parameters
        ----------
        value : ndarray of shape (h, w) or (h, w, channels)
        context : dict

        Returns
        -------
        image : ndarray
        """
        image = as_image(value)
        height, width = image.shape[:2]
        ratio = 1.0
        if self.shortest:
            ratio = max(ratio, self.shortest / min(height, width))
        if self.longest:
            ratio = min(ratio, self.longest / max(height, width))
        size = self._rounded(int(height * ratio)), self._rounded(int(width * ratio))
        return _resized(image, size, self.method, context)

    def _rounded(self, side: int) -> int:
        return max(self.multiple, round(side / self.multiple) * self.multiple)


@dataclass(frozen=True)
class Letterbox(Step):
    """Into a size, with margins where the shape differs.

    Parameters
    ----------
    height, width : int
    method : str, default="opencv-linear"
        As in `Resize`.
    value : float or tuple of float, default=114
        Colour of the margins.
    centre : bool, default=True
        Margins on both sides; False: at the bottom and the right.
    may_enlarge : bool, default=True

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "letterbox"
    height: int
    width: int
    method: str = "opencv-linear"
    value: tuple[float, ...] | float = 114.0
    centre: bool = True
    may_enlarge: bool = True

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("height", self.height, 1, MAX_SIDE)
        check_int("width", self.width, 1, MAX_SIDE)
        check_choice("method", self.method, METHODS)
        self._set(value=check_numbers("value", self.value, -65536, 65536))
        check_bool("centre", self.centre)
        check_bool("may_enlarge", self.may_enlarge)

    def __call__(self, value: Any, context: Context) -> Any:
        """Resize and pad.

        Parameters
        ----------
        value : ndarray of shape (h, w) or (h, w, channels)
        context : dict
            Gets the scale and offset.

        Returns
        -------
        image : ndarray of shape (height, width[, channels])
        """
        image = as_image(value)
        target = (self.height, self.width)
        height, width = image.shape[:2]
        size = letterbox_size(height, width, target, may_enlarge=self.may_enlarge)
        if size != image.shape[:2]:
            image = _resized(image, size, self.method, context)
        left_over = self.height - size[0], self.width - size[1]
        # YOLO's rounding: an odd margin is smaller at the top and the left
        top, left = (round(n / 2 - 0.1) if self.centre else 0 for n in left_over)
        move(context, image, offset=(top, left))
        margins = (top, left_over[0] - top, left, left_over[1] - left)
        return pad_image(image, margins, self.value) if any(margins) else image


@dataclass(frozen=True)
class CenterCrop(Step):
    """The middle of a picture; where it is smaller, 0 around it.

    Parameters
    ----------
    height, width : int
    rounding : {"torchvision", "floor"}, default="torchvision"
        Where an odd rest goes: torchvision rounds half a pixel to the even one;
        TensorFlow and Keras round down.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "center_crop"
    height: int
    width: int
    rounding: str = "torchvision"

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("height", self.height, 1, MAX_SIDE)
        check_int("width", self.width, 1, MAX_SIDE)
        check_choice("rounding", self.rounding, ("torchvision", "floor"))

    def __call__(self, value: Any, context: Context) -> Any:
        """Crop.

        Parameters
        ----------
        value : ndarray of shape (h, w) or (h, w, channels)
        context : dict

        Returns
        -------
        image : ndarray
        """
        image = as_image(value)
        top = self._begin(image.shape[0], self.height)
        left = self._begin(image.shape[1], self.width)
        move(context, image, offset=(-top, -left))
        return crop_or_pad(image, top, left, self.height, self.width)

    def _begin(self, have: int, want: int) -> int:
        if self.rounding == "floor":
            return (have - want) // 2
        if have >= want:
            return round((have - want) / 2)
        padded = (want - have) // 2  # torchvision pads first, then crops
        return -padded


@dataclass(frozen=True)
class CentralFraction(Step):
    """The middle part of a picture, as `tf.image.central_crop` cuts it.

    Parameters
    ----------
    fraction : float
        Of each side, above 0 and up to 1.

    Raises
    ------
    InputError
        The fraction makes no sense.
    """

    kind: ClassVar[str] = "central_fraction"
    fraction: float

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_number("fraction", self.fraction, 1e-6, 1)

    def __call__(self, value: Any, context: Context) -> Any:
        """Crop.

        Parameters
        ----------
        value : ndarray of shape (h, w) or (h, w, channels)
        context : dict

        Returns
        -------
        image : ndarray
        """
        image = as_image(value)
        height, width = image.shape[:2]
        top = int((height - height * self.fraction) / 2)
        left = int((width - width * self.fraction) / 2)
        move(context, image, offset=(-top, -left))
        return crop_or_pad(image, top, left, height - 2 * top, width - 2 * left)


@dataclass(frozen=True)
class Pad(Step):
    """Margins of one colour.

    Parameters
    ----------
    top, bottom, left, right : int, default=0
    value : float or tuple of float, default=0

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "pad"
    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0
    value: tuple[float, ...] | float = 0.0

    def __post_init__(self) -> None:
        """Check the parameters."""
        for name in ("top", "bottom", "left", "right"):
            check_int(name, getattr(self, name), 0, MAX_SIDE)
        self._set(value=check_numbers("value", self.value, -65536, 65536))

    def __call__(self, value: Any, context: Context) -> Any:
        """Pad.

        Parameters
        ----------
        value : ndarray of shape (h, w) or (h, w, channels)
        context : dict

        Returns
        -------
        image : ndarray
        """
        image = as_image(value)
        move(context, image, offset=(self.top, self.left))
        margins = (self.top, self.bottom, self.left, self.right)
        return pad_image(image, margins, self.value)


@dataclass(frozen=True)
class PadToMultiple(Step):
    """Margins at the bottom and the right, so that a number divides both sides.

    Parameters
    ----------
    multiple : int, default=32
    value : float or tuple of float, default=0

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "pad_to_multiple"
    multiple: int = 32
    value: tuple[float, ...] | float = 0.0

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("multiple", self.multiple, 1, 4096)
        self._set(value=check_numbers("value", self.value, -65536, 65536))

    def __call__(self, value: Any, context: Context) -> Any:
        """Pad.

        Parameters
        ----------
        value : ndarray of shape (h, w) or (h, w, channels)
        context : dict

        Returns
        -------
        image : ndarray
        """
        image = as_image(value)
        move(context, image)
        bottom, right = (-n % self.multiple for n in image.shape[:2])
        return pad_image(image, (0, bottom, 0, right), self.value)
