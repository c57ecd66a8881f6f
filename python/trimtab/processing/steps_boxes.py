"""Steps that turn a detector's tensors into boxes in the original picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from trimtab.errors import InputError
from trimtab.processing.boxes import (
    Boxes,
    Detection,
    decode_anchors,
    decode_windows,
    decode_yolo,
    suppress_boxes,
)
from trimtab.processing.checks import (
    MAX_SIDE,
    check_bool,
    check_choice,
    check_int,
    check_number,
    check_numbers,
    check_texts,
    describe,
)
from trimtab.processing.geometry import to_original
from trimtab.processing.step import Context, Step

__all__ = [
    "BoxesToOriginal",
    "DecodeAnchors",
    "DecodeWindows",
    "DecodeYolo",
    "NameBoxes",
    "ReadBoxes",
    "SuppressBoxes",
]


def _two(value: Any, what: str) -> tuple[Any, Any]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise InputError(f"expected {what}, got {describe(value)}")
    return np.asarray(value[0]), np.asarray(value[1])


def _boxes(value: Any) -> Boxes:
    if not isinstance(value, Boxes):
        raise InputError(f"expected Boxes of a decoding step, got {describe(value)}")
    return value


@dataclass(frozen=True)
class DecodeYolo(Step):
    """Boxes of a YOLO head; see `trimtab.processing.boxes.decode_yolo`.

    Parameters
    ----------
    has_objectness : bool, default=False
        True for v5 and v7 (rows of boxes), False from v8 on (columns of boxes).
    score : float, default=0.25
    multi_label : bool, default=False

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "decode_yolo"
    has_objectness: bool = False
    score: float = 0.25
    multi_label: bool = False

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_bool("has_objectness", self.has_objectness)
        check_number("score", self.score, 0, 1)
        check_bool("multi_label", self.multi_label)

    def __call__(self, value: Any, context: Context) -> Any:
        """Decode.

        Parameters
        ----------
        value : ndarray, or tuple whose first item it is
        context : dict

        Returns
        -------
        boxes : Boxes
        """
        output = value[0] if isinstance(value, tuple) else value
        return decode_yolo(
            output,
            has_objectness=self.has_objectness,
            score=self.score,
            multi_label=self.multi_label,
        )


@dataclass(frozen=True)
class ReadBoxes(Step):
    """Boxes of a model that has suppressed them itself.

    Parameters
    ----------
    order : {"xyxy", "yxyx", "cxcywh"}, default="xyxy"
        Corners, or centre and size.
    positions : tuple of int, default=()
        Which outputs are boxes, scores and classes (-1: there are no classes). Without
        them one output has all: four numbers, score, class.
    height, width : int, default=0
        Of what the model sees, where boxes are shares of it; 0: they are pixels.
    score : float, default=0.25
        Boxes with a greater score count.
    first_class : int, default=0
        The number of the first class; 1 where 0 is the background.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "read_boxes"
    order: str = "xyxy"
    positions: tuple[int, ...] = ()
    height: int = 0
    width: int = 0
    score: float = 0.25
    first_class: int = 0

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_choice("order", self.order, ("xyxy", "yxyx", "cxcywh"))
        if not isinstance(self.positions, list | tuple) or len(self.positions) not in (
            0,
            3,
        ):
            raise InputError(
                f"positions: expected 3 of them, got {self.positions!r:.60}"
            )
        at = [
            check_int("positions", x, -1 if i == 2 else 0, 63)
            for i, x in enumerate(self.positions)
        ]
        self._set(positions=tuple(at))
        check_int("height", self.height, 0, MAX_SIDE)
        check_int("width", self.width, 0, MAX_SIDE)
        check_number("score", self.score, 0, 1)
        check_int("first_class", self.first_class, 0, 1 << 20)

    def __call__(self, value: Any, context: Context) -> Any:
        """Read them.

        Parameters
        ----------
        value : ndarray or tuple of ndarray
            Each of one picture, with or without a batch dim of 1.
        context : dict

        Returns
        -------
        boxes : Boxes
        """
        boxes, scores, classes = self._columns(value)
        near = scores > self.score
        boxes = np.asarray(boxes[near], np.float32)
        if self.order == "yxyx":
            boxes = boxes[:, [1, 0, 3, 2]]
        elif self.order == "cxcywh":
            half = boxes[:, 2:] / 2
            boxes = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
        size = np.array([self.width or 1, self.height or 1] * 2, np.float32)
        numbers = np.asarray(classes[near]).astype(np.int64) - self.first_class
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < 1 << 31:
            raise InputError(f"there is a class {numbers.min() + self.first_class}")
        return Boxes(boxes * size, scores[near], numbers)

    def _columns(self, value: Any) -> tuple[Any, Any, Any]:
        outputs = value if isinstance(value, tuple) else (value,)
        if not self.positions:
            rows = np.asarray(outputs[0])
            rows = rows[0] if rows.ndim == 3 and len(rows) == 1 else rows
            if rows.ndim != 2 or rows.shape[1] != 6:
                raise InputError(f"expected (n, 6), got {describe(outputs[0])}")
            return rows[:, :4], rows[:, 4], rows[:, 5]
        if max(self.positions) >= len(outputs):
            raise InputError(
                f"positions {self.positions}, the model gives {len(outputs)} outputs"
            )
        boxes, scores = (np.asarray(outputs[i]) for i in self.positions[:2])
        boxes, scores = boxes.reshape(-1, 4), scores.reshape(-1)
        last = self.positions[2]
        classes = np.full(len(scores), self.first_class)
        if last >= 0:
            classes = np.asarray(outputs[last]).reshape(-1)
        if not len(boxes) == len(scores) == len(classes):
            raise InputError(
                f"{len(boxes)} boxes, {len(scores)} scores, {len(classes)} classes"
            )
        return boxes, scores, classes


@dataclass(frozen=True)
class DecodeAnchors(Step):
    """Boxes from offsets to anchors, and the scores of their classes.

    Parameters
    ----------
    anchors : bytes
        float32, little-endian, (n, 4): centre x, centre y, width, height as shares of
        the picture (``ssd_anchors(...).tobytes()``).
    height, width : int
        Of the picture that the model sees.
    variances : tuple of float, default=(0.1, 0.1, 0.2, 0.2)
    y_first : bool, default=False
        Offsets begin with y (TensorFlow).
    background : int, default=0
        The class that is none; -1: there is no such class.
    score : float, default=0.5
        Boxes with a greater score count.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "decode_anchors"
    anchors: bytes
    height: int
    width: int
    variances: tuple[float, ...] = (0.1, 0.1, 0.2, 0.2)
    y_first: bool = False
    background: int = 0
    score: float = 0.5

    def __post_init__(self) -> None:
        """Check the parameters."""
        if not isinstance(self.anchors, bytes) or len(self.anchors) % 16:
            raise InputError("anchors: expected bytes, 16 for each anchor")
        if not np.isfinite(np.frombuffer(self.anchors, "<f4")).all():
            raise InputError("anchors: expected finite numbers")
        check_int("height", self.height, 1, MAX_SIDE)
        check_int("width", self.width, 1, MAX_SIDE)
        self._set(variances=check_numbers("variances", self.variances, size=4))
        check_bool("y_first", self.y_first)
        check_int("background", self.background, -1, 1 << 20)
        check_number("score", self.score, 0, 1)

    def __call__(self, value: Any, context: Context) -> Any:
        """Decode.

        Parameters
        ----------
        value : tuple of ndarray
            Offsets (1, n, 4) and probabilities (1, n, n_classes).
        context : dict

        Returns
        -------
        boxes : Boxes
            Classes are counted without the background.
        """
        offsets, scores = _two(value, "offsets and scores")
        if offsets.ndim != 3 or scores.ndim != 3 or len(offsets) != 1:
            raise InputError(
                f"expected (1, n, 4) and (1, n, classes), got {offsets.shape} and "
                f"{scores.shape}"
            )
        boxes = decode_anchors(
            offsets[0],
            np.frombuffer(self.anchors, "<f4").reshape(-1, 4),
            variances=self.variances,
            y_first=self.y_first,
        )
        values = scores[0]
        if self.background >= 0:
            values = np.delete(values, self.background, axis=1)
        which, classes = np.nonzero(values > self.score)
        size = np.array([self.width, self.height] * 2, np.float32)
        return Boxes(boxes[which] * size, values[which, classes], classes)


@dataclass(frozen=True)
class DecodeWindows(Step):
    """Boxes of a net that was slid over the picture, such as MTCNN's first.

    Parameters
    ----------
    threshold : float, default=0.6
    stride, window : int, default=2 and 12
        In pixels.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "decode_windows"
    threshold: float = 0.6
    stride: int = 2
    window: int = 12

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_number("threshold", self.threshold, 0, 1)
        check_int("stride", self.stride, 1, 4096)
        check_int("window", self.window, 1, 4096)

    def __call__(self, value: Any, context: Context) -> Any:
        """Decode.

        Parameters
        ----------
        value : tuple of ndarray
            Offsets (1, rows, columns, 4) and probabilities (1, rows, columns, 2), in
            any order.
        context : dict

        Returns
        -------
        boxes : Boxes
        """
        offsets, scores = _two(value, "offsets and probabilities")
        if offsets.ndim == 4 and offsets.shape[-1] == 2:
            offsets, scores = scores, offsets
        if offsets.ndim != 4 or scores.ndim != 4 or scores.shape[-1] != 2:
            raise InputError(
                f"expected (1, rows, columns, 4) and (1, rows, columns, 2), got "
                f"{offsets.shape} and {scores.shape}"
            )
        return decode_windows(
            scores[0, ..., 1],
            offsets[0],
            threshold=self.threshold,
            stride=self.stride,
            window=self.window,
        )


@dataclass(frozen=True)
class SuppressBoxes(Step):
    """The best of boxes that lie over each other (non-maximum suppression).

    Parameters
    ----------
    overlap : float, default=0.45
        Intersection over union above which the worse box is dropped.
    max_boxes : int, default=300
    per_class : bool, default=True

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "suppress_boxes"
    overlap: float = 0.45
    max_boxes: int = 300
    per_class: bool = True

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_number("overlap", self.overlap, 0, 1)
        check_int("max_boxes", self.max_boxes, 1, 1 << 20)
        check_bool("per_class", self.per_class)

    def __call__(self, value: Any, context: Context) -> Any:
        """Suppress.

        Parameters
        ----------
        value : Boxes
        context : dict

        Returns
        -------
        boxes : Boxes
        """
        return suppress_boxes(
            _boxes(value),
            overlap=self.overlap,
            max_boxes=self.max_boxes,
            per_class=self.per_class,
        )


@dataclass(frozen=True)
class BoxesToOriginal(Step):
    """Boxes in pixels of the picture as it came: undoes resizing, crops and margins.

    Parameters
    ----------
    clip : bool, default=True
        Boxes end at the picture's border.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "boxes_to_original"
    clip: bool = True

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_bool("clip", self.clip)

    def __call__(self, value: Any, context: Context) -> Any:
        """Move the boxes.

        Parameters
        ----------
        value : Boxes
        context : dict
            As the steps that moved the picture left it.

        Returns
        -------
        boxes : Boxes
        """
        found = _boxes(value)
        boxes = to_original(found.boxes, context)
        if self.clip and "image_size" in context:
            height, width = context["image_size"]
            boxes = boxes.clip(0, np.array([width, height] * 2, np.float32))
        return Boxes(boxes, found.scores, found.classes)


@dataclass(frozen=True)
class NameBoxes(Step):
    """Boxes as a list of `Detection`.

    Parameters
    ----------
    labels : tuple of str, default=()
        Names of the classes; without them their numbers.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "name_boxes"
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the parameters."""
        self._set(labels=check_texts("labels", self.labels))

    def __call__(self, value: Any, context: Context) -> Any:
        """Name them.

        Parameters
        ----------
        value : Boxes
        context : dict

        Returns
        -------
        detections : list of Detection
        """
        found = _boxes(value)
        if self.labels and found.classes.max(initial=0) >= len(self.labels):
            raise InputError(
                f"{len(self.labels)} labels, but class {found.classes.max()} was found"
            )
        return [
            Detection(self.labels[c] if self.labels else str(c), score, tuple(box))
            for box, score, c in zip(
                found.boxes.tolist(),
                found.scores.tolist(),
                found.classes.tolist(),
                strict=True,
            )
        ]
