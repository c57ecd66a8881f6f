"""The step from a text finder's map to lines in the original picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from trimtab.errors import InputError
from trimtab.processing.checks import MAX_SIDE, check_number, describe
from trimtab.processing.step import Context, Step
from trimtab.processing.text_lines import TextLine, find_text_lines

__all__ = ["FindTextLines"]


@dataclass(frozen=True)
class FindTextLines(Step):
    """Lines of text in the map of a differentiable-binarization net.

    Parameters
    ----------
    threshold : float, default=0.3
    min_score : float, default=0.5
    unclip_ratio : float, default=1.6
    min_height : float, default=3
        As in `trimtab.processing.text_lines.find_text_lines`.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "find_text_lines"
    threshold: float = 0.3
    min_score: float = 0.5
    unclip_ratio: float = 1.6
    min_height: float = 3.0

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_number("threshold", self.threshold, 0, 1)
        check_number("min_score", self.min_score, 0, 1)
        check_number("unclip_ratio", self.unclip_ratio, 0, 100)
        check_number("min_height", self.min_height, 0, MAX_SIDE)

    def __call__(self, value: Any, context: Context) -> Any:
        """Find them.

        Parameters
        ----------
        value : ndarray of shape (1, 1, h, w), or with fewer axes of size 1
        context : dict
            Its scale is undone; margins may be at the bottom and the right only.

        Returns
        -------
        lines : list of TextLine
            In pixels of the original picture.
        """
        array = np.asarray(value)
        if array.ndim < 2 or array.size != array.shape[-1] * array.shape[-2]:
            raise InputError(f"expected one map (1, 1, h, w), got {describe(value)}")
        if context.get("offset", (0.0, 0.0)) != (0.0, 0.0):
            raise InputError(
                "lines of text cannot be moved back: the picture was cropped or has "
                f"margins at the top or the left {context['offset']}"
            )
        lines: list[TextLine] = find_text_lines(
            array.reshape(array.shape[-2:]),
            threshold=self.threshold,
            min_score=self.min_score,
            unclip_ratio=self.unclip_ratio,
            min_height=self.min_height,
        )
        down, across = context.get("scale", (1.0, 1.0))
        return [line.scaled(1 / down, 1 / across) for line in lines]
