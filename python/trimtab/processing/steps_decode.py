"""The step that reads a picture's file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from trimtab.errors import InputError
from trimtab.processing.checks import check_bool, check_choice, check_int, describe
from trimtab.processing.colour import to_gray
from trimtab.processing.geometry import as_image, move
from trimtab.processing.image import MAX_PIXELS, read_image
from trimtab.processing.step import Context, Step

__all__ = ["DecodeImage"]


@dataclass(frozen=True)
class DecodeImage(Step):
    """Read a picture: a path or a file's bytes; arrays pass as they are.

    PNG needs nothing else; JPEG and the like need Pillow.

    Parameters
    ----------
    colour : {"rgb", "bgr", "gray"}, default="rgb"
        Gray has no axis of channels and is computed as Pillow's mode L.
    orient : bool, default=False
        Turn a photo as its camera says (EXIF).
    max_pixels : int, default=67108864
        Larger pictures are refused before they are decoded.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "decode_image"
    colour: str = "rgb"
    orient: bool = False
    max_pixels: int = 1 << 26

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_choice("colour", self.colour, ("rgb", "bgr", "gray"))
        check_bool("orient", self.orient)
        check_int("max_pixels", self.max_pixels, 1, MAX_PIXELS)

    def __call__(self, value: Any, context: Context) -> Any:
        """Read it.

        Parameters
        ----------
        value : path, bytes or ndarray
        context : dict

        Returns
        -------
        image : ndarray of uint8, shape (h, w, 3), or (h, w) for gray
        """
        if isinstance(value, np.ndarray):
            image = as_image(value)
        elif isinstance(value, str | os.PathLike | bytes | bytearray | memoryview):
            source = value if isinstance(value, str | os.PathLike) else bytes(value)
            image = read_image(source, orient=self.orient, max_pixels=self.max_pixels)
            if self.colour == "bgr":
                image = np.ascontiguousarray(image[..., ::-1])
            elif self.colour == "gray":
                image = to_gray(image, "pillow")
        else:
            raise InputError(
                f"expected a path, bytes or an array, got {describe(value)}"
            )
        move(context, image)
        return image
