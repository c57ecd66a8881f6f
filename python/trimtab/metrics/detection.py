"""Metrics of detections: IoU of boxes, and the mean average precision as COCO has it.

Enters: for each image a mapping with "boxes" (m, 4) and "labels" (m,), of predictions
"scores" too, of truths optionally "iscrowd" and "area". Leaves: precision averaged over
101 recalls, IoU thresholds and classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.metrics.accumulate import Accumulator, at_once
from trimtab.metrics.boxes import AREAS, FORMATS, Image, box_iou, match, read_image
from trimtab.metrics.inputs import as_weights, check_length, freeze
from trimtab.metrics.interval import Interval
from trimtab.stats.bootstrap import bootstrap_weights, percentile_interval
from trimtab.stats.special import Floats

__all__ = ["DetectionAccumulator", "box_iou", "mean_average_precision"]

_RECALLS = np.linspace(0.0, 1.0, 101)
_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())


class DetectionAccumulator(Accumulator):
    """The mean average precision; it keeps the score and the match of each detection.

    Of equal scores the detection of the earlier image stands first, as in COCO.

    Parameters
    ----------
    iou_thresholds : sequence of float, optional
        0.5, 0.55, ..., 0.95 by default.
    max_detections : int, default=100
        By image and class, the best ones.
    area : {"all", "small", "medium", "large"}, default="all"
        Objects that count: up to 32^2 pixels, up to 96^2, above.
    box_format : {"xyxy", "xywh"}, default="xyxy"
    average : {"macro", None}, default="macro"
        None: by class, in the order of `labels`.

    Raises
    ------
    InputError
        An option does not fit.
    """

    def __init__(
        self,
        *,
        iou_thresholds: Any = None,
        max_detections: int = 100,
        area: str = "all",
        box_format: str = "xyxy",
        average: str | None = "macro",
    ) -> None:
        given = _THRESHOLDS if iou_thresholds is None else iou_thresholds
        self._thresholds = np.atleast_1d(np.asarray(given, np.float64))
        is_share = (self._thresholds > 0) & (self._thresholds <= 1)
        if not len(self._thresholds) or not is_share.all():
            raise InputError(f"iou_thresholds: expected shares in (0, 1], got {given}")
        if area not in AREAS or box_format not in FORMATS or max_detections < 1:
            raise InputError(
                f"expected an area of {list(AREAS)}, a box_format of {list(FORMATS)} "
                f"and max_detections of at least 1, got {area!r}, {box_format!r} and "
                f"{max_detections}"
            )
        if average not in ("macro", None):
            raise InputError(f'average: expected "macro" or None, got {average!r}')
        self._max_detections, self._area = max_detections, area
        self._format, self._average = box_format, average
        self.n = 0
        self._images: list[dict[Any, Image]] = []
        self._weights: list[float] = []

    @property
    def options(self) -> tuple[Any, ...]:
        """Thresholds and limits."""
        return (
            freeze(self._thresholds),
            self._max_detections,
            self._area,
            self._format,
            self._average,
        )

    def update(self, y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> None:
        """Add images.

        Parameters
        ----------
        y_true, y_pred : sequence of mapping
            By image "boxes" and "labels", and "scores" of predictions.
        sample_weight : array-like of shape (n,), optional
            Of images.

        Raises
        ------
        InputError
            A mapping is no image.
        """
        if isinstance(y_true, Mapping) or isinstance(y_pred, Mapping):
            raise InputError("expected a list of images, got one mapping: put it in []")
        n = check_length(y_true, y_pred)
        weights = as_weights(sample_weight, n)
        for truth, found in zip(y_true, y_pred, strict=True):
            pairs = read_image(truth, found, box_format=self._format)
            self._images.append(
                {
                    label: match(
                        *pair,
                        thresholds=self._thresholds,
                        max_detections=self._max_detections,
                        area=AREAS[self._area],
                    )
                    for label, pair in pairs.items()
                }
            )
        self._weights += [1.0] * n if weights is None else weights.tolist()
        self.n += n

    def _merge(self, other: DetectionAccumulator) -> None:
        self._images += other._images
        self._weights += other._weights
        self.n += other.n

    @property
    def labels(self) -> tuple[Any, ...]:
        """Classes that were seen, ascending."""
        return tuple(sorted({label for image in self._images for label in image}))

    def _by_class(self) -> list[tuple[Any, ...]]:
        """By class: image and match of each detection by score, objects by image."""
        found = []
        for label in self.labels:
            places = [i for i, image in enumerate(self._images) if label in image]
            images = [self._images[i][label] for i in places]
            sizes = [len(image.scores) for image in images]
            scores = np.concatenate([image.scores for image in images])
            order = np.argsort(-scores, kind="stable")
            hits = np.concatenate([image.hits for image in images], axis=1)[:, order]
            misses = np.concatenate([image.misses for image in images], axis=1)
            objects = np.zeros(self.n)
            objects[places] = [image.n_objects for image in images]
            found.append(
                (np.repeat(places, sizes)[order], hits, misses[:, order], objects)
            )
        return found

    def _precisions(self, classes: list[tuple[Any, ...]], weights: Floats) -> Floats:
        """Average precision by class; NaN where it has no object."""
        values = np.full(len(classes), math.nan)
        for c, (places, hits, misses, objects) in enumerate(classes):
            n_objects = float(weights @ objects)
            if n_objects > 0:
                drawn = weights[places]
                values[c] = _mean_precision(hits * drawn, misses * drawn, n_objects)
        return values

    def compute(self) -> Any:
        """Give the precision of all images.

        Returns
        -------
        value : float or ndarray
            NaN where there is no object.

        Raises
        ------
        InputError
            There is no image.
        """
        if not self.n:
            raise InputError("expected at least one image, got none")
        values = self._precisions(self._by_class(), np.array(self._weights))
        return values if self._average is None else _mean(values)

    def interval(
        self, *, alpha: float = 0.05, n_resamples: int = 1000, seed: int = 0
    ) -> Interval:
        """Give the precision with the percentile bootstrap over images.

        Parameters
        ----------
        alpha : float, default=0.05
        n_resamples : int, default=1000
        seed : int, default=0

        Returns
        -------
        interval : Interval

        Raises
        ------
        InputError
            The metric is several numbers.
        """
        value = self.compute()
        if np.ndim(value):
            raise InputError("intervals are of one number: not of average=None")
        classes, weights = self._by_class(), np.array(self._weights)
        drawn = bootstrap_weights(self.n, n_resamples, seed=seed)
        found = np.array(
            [
                _mean(self._precisions(classes, counts * weights))
                for part in drawn
                for counts in part
            ]
        )
        low, high = percentile_interval(found, value, alpha=alpha)
        return Interval(value, low, high, "bootstrap", self.n)


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _mean_precision(hits: Floats, misses: Floats, n_objects: float) -> float:
    """Mean over thresholds of the precision at 101 recalls, made to fall."""
    if not hits.shape[1]:
        return 0.0
    right, wrong = np.cumsum(hits, axis=1), np.cumsum(misses, axis=1)
    precision = right / (right + wrong + np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    total = 0.0
    for recall, falling in zip(right / n_objects, precision, strict=True):
        places = np.searchsorted(recall, _RECALLS)
        total += float(falling[places[places < len(falling)]].sum())
    return total / (len(precision) * len(_RECALLS))


def mean_average_precision(
    y_true: Any,
    y_pred: Any,
    *,
    iou_thresholds: Any = None,
    max_detections: int = 100,
    area: str = "all",
    box_format: str = "xyxy",
    average: str | None = "macro",
    sample_weight: Any = None,
) -> Any:
    """Mean average precision of detections, as COCO defines it.

    Parameters
    ----------
    y_true, y_pred : sequence of mapping
        By image "boxes" (m, 4) and "labels" (m,); of predictions "scores" (m,); of
        truths optionally "iscrowd" (m,) and "area" (m,).
    iou_thresholds : sequence of float, optional
        0.5, 0.55, ..., 0.95 by default.
    max_detections : int, default=100
        By image and class, the best ones.
    area : {"all", "small", "medium", "large"}, default="all"
        Objects that count: up to 32^2 pixels, up to 96^2, above.
    box_format : {"xyxy", "xywh"}, default="xyxy"
    average : {"macro", None}, default="macro"
        None: by class, ascending.
    sample_weight : array-like of shape (n,), optional
        Of images.

    Returns
    -------
    value : float or ndarray

    References
    ----------
    Lin et al. (2014). Microsoft COCO: common objects in context. ECCV 2014, 740-755.

    Examples
    --------
    >>> truth = [{"boxes": [[0, 0, 10, 10]], "labels": [1]}]
    >>> found = [{"boxes": [[0, 0, 10, 8]], "labels": [1], "scores": [0.9]}]
    >>> round(mean_average_precision(truth, found), 4)
    0.7
    """
    running = DetectionAccumulator(
        iou_thresholds=iou_thresholds,
        max_detections=max_detections,
        area=area,
        box_format=box_format,
        average=average,
    )
    return at_once(running, y_true, y_pred, sample_weight)
