"""Boxes around things: from a detector's tensors to named boxes in the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab import _core
from trimtab.errors import InputError

__all__ = [
    "Boxes",
    "Detection",
    "decode_anchors",
    "decode_windows",
    "decode_yolo",
    "ssd_anchors",
    "suppress_boxes",
]

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Boxes:
    """What a detector found.

    Attributes
    ----------
    boxes : ndarray of float32, shape (n, 4)
        Left, top, right, bottom in pixels.
    scores : ndarray of float32, shape (n,)
    classes : ndarray of int32, shape (n,)
    """

    boxes: npt.NDArray[Any]
    scores: npt.NDArray[Any]
    classes: npt.NDArray[Any]

    def __post_init__(self) -> None:
        """Take arrays of the right type and shape."""
        for name, dtype in (
            ("boxes", np.float32),
            ("scores", np.float32),
            ("classes", np.int32),
        ):
            array = np.ascontiguousarray(getattr(self, name), dtype)
            object.__setattr__(self, name, array)
        n = len(self.boxes)
        if (self.boxes.shape, self.scores.shape, self.classes.shape) != (
            (n, 4),
            (n,),
            (n,),
        ):
            raise InputError(
                f"expected n boxes, scores and classes, got {self.boxes.shape}, "
                f"{self.scores.shape}, {self.classes.shape}"
            )

    def __len__(self) -> int:
        """How many."""
        return len(self.boxes)

    def take(self, which: Any) -> Boxes:
        """Choose some.

        Parameters
        ----------
        which : array of int or bool

        Returns
        -------
        boxes : Boxes
        """
        return Boxes(self.boxes[which], self.scores[which], self.classes[which])


@dataclass(frozen=True)
class Detection:
    """One thing that was found, in pixels of the original picture.

    Attributes
    ----------
    label : str
    score : float
    box : tuple of float
        Left, top, right, bottom.
    """

    label: str
    score: float
    box: tuple[float, float, float, float]


def suppress_boxes(
    found: Boxes,
    *,
    overlap: float = 0.45,
    max_boxes: int = 300,
    per_class: bool = True,
) -> Boxes:
    """Keep the best of boxes that lie over each other (greedy NMS).

    Parameters
    ----------
    found : Boxes
    overlap : float, default=0.45
        A box whose intersection over union with a better one is greater is dropped.
    max_boxes : int, default=300
        How many to keep at most, over all classes.
    per_class : bool, default=True
        Boxes of different classes do not disturb each other.

    Returns
    -------
    kept : Boxes
        Of falling score; equal ones in their order.

    Examples
    --------
    >>> two = [[0, 0, 10, 10], [1, 0, 10, 10]]
    >>> len(suppress_boxes(Boxes(np.array(two), np.array([0.8, 0.9]), np.zeros(2))))
    1
    """
    if len(found) == 0:
        return found
    ordered = found.take(np.argsort(-found.scores, kind="stable"))
    classes = ordered.classes if per_class else None
    kept = _core.suppress_boxes(ordered.boxes, classes, overlap, max_boxes)
    return ordered.take(kept)


def decode_yolo(
    output: npt.ArrayLike,
    *,
    has_objectness: bool,
    score: float = 0.25,
    multi_label: bool = False,
) -> Boxes:
    """Boxes of a YOLO head whose coordinates are in pixels already.

    Parameters
    ----------
    output : array-like of shape (1, n, 5 + n_classes) or (1, 4 + n_classes, n)
        Centre x, centre y, width, height and the scores: the first with objectness
        (v5, v7), the second without (v8 and later).
    has_objectness : bool
    score : float, default=0.25
        Boxes with a greater score count.
    multi_label : bool, default=False
        A box may count for several classes.

    Returns
    -------
    boxes : Boxes
        In pixels of what the model saw.

    Raises
    ------
    InputError
        The shape is another one.

    Examples
    --------
    >>> row = [50, 40, 20, 10, 0.1, 0.9]
    >>> found = decode_yolo([[[v] for v in row]], has_objectness=False)
    >>> found.boxes.tolist(), found.classes.tolist()
    ([[40.0, 35.0, 60.0, 45.0]], [1])
    """
    values = np.asarray(output, np.float32)
    n_fixed = 5 if has_objectness else 4
    if values.ndim == 3 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 2:
        raise InputError(f"expected one picture's boxes, got {values.shape}")
    rows = values if has_objectness else values.T
    if rows.shape[1] <= n_fixed:
        raise InputError(
            f"expected {n_fixed} numbers and the classes' scores, got {rows.shape[1]}"
        )
    scores = rows[:, n_fixed:]
    if has_objectness:
        near = rows[:, 4] > score
        rows, scores = rows[near], scores[near] * rows[near, 4:5]
    if multi_label:
        which, classes = np.nonzero(scores > score)
    else:
        classes = scores.argmax(axis=1)
        which = np.flatnonzero(scores[np.arange(len(scores)), classes] > score)
        classes = classes[which]
    centre, half = rows[which, :2], rows[which, 2:4] / 2
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    return Boxes(boxes, scores[which, classes], classes)


def ssd_anchors(
    grids: Sequence[tuple[int, int]],
    sizes: Sequence[Sequence[tuple[float, float]]],
) -> Floats:
    """Anchors in the middle of each cell of several grids.

    Parameters
    ----------
    grids : sequence of tuple of int
        (rows, columns) of each feature map.
    sizes : sequence of sequence of tuple of float
        For each map the (width, height) of its anchors, as shares of the picture.

    Returns
    -------
    anchors : ndarray of float32, shape (n, 4)
        Centre x, centre y, width, height as shares of the picture: map by map, row
        by row, cell by cell.

    Examples
    --------
    >>> ssd_anchors([(1, 2)], [[(0.5, 0.4)]]).round(2).tolist()
    [[0.25, 0.5, 0.5, 0.4000000059604645], [0.75, 0.5, 0.5, 0.4000000059604645]]
    """
    parts = []
    for (rows, columns), shapes in zip(grids, sizes, strict=True):
        part = np.empty((rows, columns, len(shapes), 4), np.float32)
        part[..., 0] = ((np.arange(columns) + 0.5) / columns)[None, :, None]
        part[..., 1] = ((np.arange(rows) + 0.5) / rows)[:, None, None]
        part[..., 2:] = np.asarray(shapes, np.float32)
        parts.append(part.reshape(-1, 4))
    return np.concatenate(parts)


def decode_anchors(
    offsets: npt.ArrayLike,
    anchors: npt.ArrayLike,
    *,
    variances: Sequence[float] = (0.1, 0.1, 0.2, 0.2),
    y_first: bool = False,
) -> Floats:
    """Boxes from their offsets to anchors (SSD, RetinaNet, Faster R-CNN).

    Parameters
    ----------
    offsets : array-like of shape (n, 4)
        Of centre x, centre y, log width, log height, in units of the variances.
    anchors : array-like of shape (n, 4)
        Centre x, centre y, width, height.
    variances : sequence of float, default=(0.1, 0.1, 0.2, 0.2)
    y_first : bool, default=False
        Offsets are of y, x, log height, log width (TensorFlow).

    Returns
    -------
    boxes : ndarray of float32, shape (n, 4)
        Left, top, right, bottom in the anchors' unit.

    Raises
    ------
    InputError
        The shapes differ.

    Examples
    --------
    >>> decode_anchors([[0, 0, 0, 0]], [[0.5, 0.5, 0.2, 0.4]]).round(1).tolist()
    [[0.4000000059604645, 0.30000001192092896, 0.6000000238418579, 0.699999988079071]]
    """
    shifts = np.asarray(offsets, np.float32)
    places = np.asarray(anchors, np.float32)
    if shifts.shape != places.shape or shifts.ndim != 2 or shifts.shape[1] != 4:
        raise InputError(f"{shifts.shape} offsets for {places.shape} anchors")
    if y_first:
        shifts = shifts[:, [1, 0, 3, 2]]
    shifts = shifts * np.asarray(variances, np.float32)
    centre = places[:, :2] + shifts[:, :2] * places[:, 2:]
    # e^88 is the largest that float32 holds: hostile offsets give large boxes, not inf
    half = places[:, 2:] * np.exp(np.minimum(shifts[:, 2:], np.float32(80))) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def decode_windows(
    probability: npt.ArrayLike,
    offsets: npt.ArrayLike,
    *,
    threshold: float = 0.6,
    stride: int = 2,
    window: int = 12,
) -> Boxes:
    """Boxes of a net that was slid over a picture (MTCNN's first one).

    Parameters
    ----------
    probability : array-like of shape (rows, columns)
    offsets : array-like of shape (rows, columns, 4)
        How far left, top, right and bottom are off, in shares of the window.
    threshold : float, default=0.6
        Windows with a greater probability count.
    stride, window : int, default=2 and 12
        Step and size of the window, in pixels.

    Returns
    -------
    boxes : Boxes
        In pixels of what the model saw.

    Raises
    ------
    InputError
        The shapes do not fit each other.

    Examples
    --------
    >>> decode_windows([[0.1, 0.9]], np.zeros((1, 2, 4))).boxes.tolist()
    [[2.0, 0.0, 14.0, 12.0]]
    """
    scores, shifts = (
        np.asarray(probability, np.float32),
        np.asarray(offsets, np.float32),
    )
    if scores.ndim != 2 or shifts.shape != (*scores.shape, 4):
        raise InputError(f"{shifts.shape} offsets for {scores.shape} windows")
    rows, columns = np.nonzero(scores > threshold)
    corner = np.stack([columns, rows], axis=1).astype(np.float32) * stride
    boxes = np.concatenate([corner, corner + window], axis=1)
    boxes += shifts[rows, columns] * np.float32(window)
    return Boxes(boxes, scores[rows, columns], np.zeros(len(rows), np.int32))
