"""Boxes of one image: read, compared, matched as COCO matches them.

Detections are taken by falling score; each takes the free object of its class that it
overlaps most. Objects that do not count (crowds, other sizes) hide what matches them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.metrics.inputs import as_labels, as_numbers
from trimtab.stats.special import Floats

__all__ = ["AREAS", "FORMATS", "Boxes", "Image", "box_iou", "match", "read_image"]

Flags = npt.NDArray[np.bool_]


def _from_corners(boxes: Floats) -> Floats:
    return boxes


def _from_sizes(boxes: Floats) -> Floats:
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


#: How four numbers are a box -> function to its corners.
FORMATS: dict[str, Callable[[Floats], Floats]] = {
    "xyxy": _from_corners,
    "xywh": _from_sizes,
}

#: Name -> areas in pixels, both ends included.
AREAS: dict[str, tuple[float, float]] = {
    "all": (0.0, math.inf),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, math.inf),
}


@dataclass(frozen=True)
class Boxes:
    """Boxes of one class in one image.

    Parameters
    ----------
    corners : ndarray of shape (m, 4)
        x and y of both corners.
    scores : ndarray of shape (m,)
        Zeros for truths.
    areas : ndarray of shape (m,)
    is_crowd : ndarray of bool of shape (m,)
    """

    corners: Floats
    scores: Floats
    areas: Floats
    is_crowd: Flags

    def chosen(self, places: Any) -> Boxes:
        """Give some of them.

        Parameters
        ----------
        places : ndarray

        Returns
        -------
        boxes : Boxes
        """
        return Boxes(
            self.corners[places],
            self.scores[places],
            self.areas[places],
            self.is_crowd[places],
        )


@dataclass(frozen=True)
class Image:
    """What the curve needs to know of one class in one image.

    Parameters
    ----------
    scores : ndarray of shape (d,)
        Of detections, falling.
    hits, misses : ndarray of bool of shape (t, d)
        By threshold; neither: it does not count.
    n_objects : int
        That count.
    """

    scores: Floats
    hits: Flags
    misses: Flags
    n_objects: int


def box_iou(first: Any, second: Any, *, is_crowd: Any = None) -> Floats:
    """Intersection over union of each box with each.

    Parameters
    ----------
    first : array-like of shape (m, 4)
        Corners: x1, y1, x2, y2.
    second : array-like of shape (k, 4)
    is_crowd : array-like of bool of shape (k,), optional
        Of these the union is the first box alone.

    Returns
    -------
    iou : ndarray of shape (m, k)
        0 where the union is empty.

    Examples
    --------
    >>> box_iou([[0, 0, 2, 2]], [[1, 0, 3, 2], [5, 5, 6, 6]]).round(4).tolist()
    [[0.3333, 0.0]]
    """
    a = as_numbers(first, name="first").reshape(-1, 4)
    b = as_numbers(second, name="second").reshape(-1, 4)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.prod(np.maximum(high - low, 0.0), axis=2)
    area_a, area_b = (np.prod(x[:, 2:] - x[:, :2], axis=1) for x in (a, b))
    union = area_a[:, None] + area_b - both
    if is_crowd is not None:
        union = np.where(np.asarray(is_crowd, bool), area_a[:, None], union)
    with np.errstate(divide="ignore", invalid="ignore"):
        iou: Floats = np.where(union > 0, both / union, 0.0)
    return iou


def _read(given: Any, name: str, box_format: str) -> tuple[Any, Boxes]:
    wanted = ("boxes", "labels", "scores") if name == "y_pred" else ("boxes", "labels")
    if not isinstance(given, Mapping) or not set(wanted) <= set(given):
        has = list(given) if isinstance(given, Mapping) else type(given).__name__
        raise InputError(
            f"{name}: expected for each image a mapping with {wanted}, got {has}"
        )
    labels = as_labels(given["labels"], name=f"{name} labels")
    boxes = as_numbers(given["boxes"], name=f"{name} boxes")
    n = len(labels)
    if boxes.shape != (n, 4) and (n or boxes.size):
        raise InputError(
            f"{name}: expected boxes of shape ({n}, 4) for {n} labels, "
            f"got {boxes.shape}"
        )
    corners = FORMATS[box_format](boxes.reshape(n, 4))
    sides = corners[:, 2:] - corners[:, :2]
    if (sides < 0).any():
        raise InputError(
            f"{name}: expected boxes {box_format} with x2 >= x1 and y2 >= y1, got "
            f"{boxes[(sides < 0).any(axis=1)][0].tolist()}; see box_format"
        )
    parts = {"scores": np.zeros(n), "area": np.prod(sides, axis=1)}
    parts["iscrowd"] = np.zeros(n)
    used = ("scores",) if name == "y_pred" else ("area", "iscrowd")
    for key in used:
        if key in given:
            parts[key] = as_numbers(given[key], name=f"{name} {key}").reshape(-1)
            if len(parts[key]) != n:
                raise InputError(
                    f"{name}: expected {n} values of {key!r}, got {len(parts[key])}"
                )
    crowd = parts["iscrowd"].astype(bool)
    return labels, Boxes(corners, parts["scores"], parts["area"], crowd)


def read_image(
    y_true: Any, y_pred: Any, *, box_format: str
) -> dict[Any, tuple[Boxes, Boxes]]:
    """Give truths and detections of one image by class.

    Parameters
    ----------
    y_true, y_pred : mapping
    box_format : str
        Of `FORMATS`.

    Returns
    -------
    pairs : dict
        Class -> truths and detections.

    Raises
    ------
    InputError
        One is no image.

    Examples
    --------
    >>> truth = {"boxes": [[0, 0, 1, 1]], "labels": ["cat"]}
    >>> found = {"boxes": [], "labels": [], "scores": []}
    >>> list(read_image(truth, found, box_format="xyxy"))
    ['cat']
    """
    true_labels, truth = _read(y_true, "y_true", box_format)
    found_labels, found = _read(y_pred, "y_pred", box_format)
    kinds = {x.dtype.kind == "U" for x in (true_labels, found_labels) if len(x)}
    if len(kinds) > 1:
        raise InputError("labels: expected integers or texts in both, got one each")
    return {
        label: (
            truth.chosen(np.flatnonzero(true_labels == label)),
            found.chosen(np.flatnonzero(found_labels == label)),
        )
        for label in sorted({*true_labels.tolist(), *found_labels.tolist()})
    }


def match(
    truth: Boxes,
    found: Boxes,
    *,
    thresholds: Floats,
    max_detections: int,
    area: tuple[float, float],
) -> Image:
    """Match the detections of one class in one image with its objects.

    Parameters
    ----------
    truth, found : Boxes
    thresholds : ndarray of shape (t,)
        IoU that a match needs.
    max_detections : int
    area : tuple of float
        Smallest and largest area of objects that count.

    Returns
    -------
    image : Image

    Examples
    --------
    >>> one, is_crowd = np.ones(1), np.zeros(1, bool)
    >>> one = Boxes(np.array([[0.0, 0.0, 1.0, 1.0]]), one, one, is_crowd)
    >>> match(one, one, thresholds=np.array([0.5]), max_detections=9, area=(0, 9)).hits
    array([[ True]])
    """
    found = found.chosen(np.argsort(-found.scores, kind="stable")[:max_detections])
    is_hidden = truth.is_crowd | (truth.areas < area[0]) | (truth.areas > area[1])
    order = np.argsort(is_hidden, kind="stable")
    truth, is_hidden = truth.chosen(order), is_hidden[order]
    n_objects, n_found = int((~is_hidden).sum()), len(found.scores)
    iou = box_iou(found.corners, truth.corners, is_crowd=truth.is_crowd)
    limits = np.minimum(thresholds, 1 - 1e-10)[:, None]
    is_free = np.ones((len(thresholds), len(is_hidden)), bool)
    taken = np.full((len(thresholds), n_found), -1)
    for d in range(n_found if len(is_hidden) else 0):
        may = (is_free | truth.is_crowd) & (iou[d] >= limits)
        taken[:, d] = _best(may, iou[d], n_objects)
        rows = np.flatnonzero(taken[:, d] >= 0)
        is_free[rows, taken[rows, d]] = False
    is_matched = taken >= 0
    is_outside = (found.areas < area[0]) | (found.areas > area[1])
    hides = np.append(is_hidden, False)[taken]
    is_ignored = np.where(is_matched, hides, is_outside)
    return Image(
        found.scores, is_matched & ~is_ignored, ~is_matched & ~is_ignored, n_objects
    )


def _best(may: Flags, iou: Floats, n_objects: int) -> npt.NDArray[np.intp]:
    """By threshold the object of the largest IoU, the last of equals; -1: none.

    Objects that count come first, and are taken before those that do not.
    """
    best = np.full(len(may), -1)
    for part in (slice(n_objects, None), slice(0, n_objects)):
        values = np.where(may[:, part], iou[part], -1.0)
        if values.shape[1]:
            last = values.shape[1] - 1 - values[:, ::-1].argmax(axis=1)
            start = part.start or 0
            best = np.where(may[:, part].any(axis=1), start + last, best)
    return best
