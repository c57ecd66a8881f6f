"""CTC prefix beam search: the likeliest texts, summed over all their alignments.

Graves (2012), Supervised Sequence Labelling with Recurrent Neural Networks, 7.5;
Hannun et al. (2014).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.processing.checks import check_int, check_number

__all__ = ["CtcHypothesis", "decode_ctc_beam"]


@dataclass(frozen=True)
class CtcHypothesis:
    """A sequence of classes and its probability.

    Attributes
    ----------
    classes : tuple of int
        Without blanks, repeats merged.
    log_probability : float
        Of all alignments that were followed together.
    """

    classes: tuple[int, ...]
    log_probability: float


def decode_ctc_beam(
    probabilities: npt.ArrayLike,
    *,
    blank: int = 0,
    n_beams: int = 16,
    min_probability: float = 0.0,
    max_classes: int = 64,
) -> list[CtcHypothesis]:
    """Find the likeliest sequences of classes.

    Parameters
    ----------
    probabilities : array-like of shape (n_steps, n_classes)
        Each row sums to 1.
    blank : int, default=0
        The class that separates equal neighbours; negative: from the end.
    n_beams : int, default=16
        Prefixes that are followed at once.
    min_probability : float, default=0
        Classes that are less likely at a step are not followed there.
    max_classes : int, default=64
        Only as many of the likeliest classes are followed at a step, and the blank.

    Returns
    -------
    hypotheses : list of CtcHypothesis
        At most `n_beams`, the likeliest first.

    Raises
    ------
    InputError
        The probabilities are no matrix of numbers from 0 to 1, or a parameter makes no
        sense.

    Examples
    --------
    >>> steps = [[0.6, 0.4], [0.6, 0.4]]  # greedy decoding reads nothing: 0.36
    >>> best = decode_ctc_beam(steps)[0]  # 0.4 * 0.4 + 2 * 0.4 * 0.6
    >>> best.classes, round(float(np.exp(best.log_probability)), 2)
    ((1,), 0.64)
    """
    steps = np.asarray(probabilities, np.float64)
    if steps.ndim != 2 or steps.shape[1] < 1:
        raise InputError(f"expected steps of classes, got {steps.shape}")
    if not ((steps >= 0) & (steps <= 1 + 1e-3)).all():
        raise InputError("expected probabilities from 0 to 1: apply a softmax first")
    n_classes = steps.shape[1]
    check_int("blank", blank, -n_classes, n_classes - 1)
    check_int("n_beams", n_beams, 1, 1 << 16)
    check_int("max_classes", max_classes, 1, 1 << 24)
    check_number("min_probability", min_probability, 0, 1)
    blank %= n_classes
    beams: _Beams = {(): (1.0, 0.0)}
    scale = 0.0  # logarithm of what the beams' probabilities were divided by
    for row in steps:
        beams = _extend(beams, _likely(row, blank, max_classes, min_probability), blank)
        best = sorted(beams.items(), key=_rank)[:n_beams]
        loudest = sum(best[0][1]) if best else 0.0
        if loudest <= 0:  # nothing is possible
            return []
        scale += float(np.log(loudest))
        beams = {p: (b / loudest, n / loudest) for p, (b, n) in best}
    found = [
        CtcHypothesis(prefix, scale + float(np.log(b + n)))
        for prefix, (b, n) in beams.items()
        if b + n > 0
    ]
    return sorted(found, key=lambda h: -h.log_probability)


_Prefix = tuple[int, ...]
_Beams = dict[_Prefix, tuple[float, float]]  # ending in a blank, and in a class


def _rank(item: tuple[_Prefix, tuple[float, float]]) -> tuple[float, _Prefix]:
    """The likeliest first, equal ones in order."""
    return -sum(item[1]), item[0]


def _likely(
    row: npt.NDArray[np.float64], blank: int, count: int, least: float
) -> list[tuple[int, float]]:
    """Classes to follow at a step, with their probabilities."""
    places = np.arange(row.size)
    if count < row.size:
        places = np.union1d(np.argpartition(-row, count)[:count], [blank])
    kept = (row[places] > 0) & ((row[places] >= least) | (places == blank))
    places = places[kept]
    return list(zip(places.tolist(), row[places].tolist(), strict=True))


def _extend(beams: _Beams, likely: list[tuple[int, float]], blank: int) -> _Beams:
    """One step on: every prefix stays as it is or takes a class."""
    after_blank: dict[_Prefix, float] = defaultdict(float)
    after_class: dict[_Prefix, float] = defaultdict(float)
    for prefix, (in_blank, in_class) in beams.items():
        for c, p in likely:
            longer = (*prefix, c)
            if c == blank:
                after_blank[prefix] += p * (in_blank + in_class)
            elif prefix and prefix[-1] == c:
                after_class[prefix] += p * in_class
                after_class[longer] += p * in_blank
            else:
                after_class[longer] += p * (in_blank + in_class)
    keys = after_blank.keys() | after_class.keys()
    return {key: (after_blank[key], after_class[key]) for key in keys}
