"""From the steps of a CTC net to text (Graves et al. 2006)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.processing.decode_class import ClassScore, decode_class

__all__ = ["DecodedText", "decode_ctc"]


@dataclass(frozen=True)
class DecodedText:
    """What a CTC net read.

    Attributes
    ----------
    text : str
    probability : float
        Mean over the characters; 0 where nothing was read.
    characters : tuple of ClassScore
        The class chosen for each character.
    runners_up : tuple of ClassScore
        The second best class at the same steps.
    steps : tuple of int
        The step at which each was chosen.
    """

    text: str
    probability: float
    characters: tuple[ClassScore, ...]
    runners_up: tuple[ClassScore, ...]
    steps: tuple[int, ...]


def decode_ctc(
    probabilities: npt.NDArray[np.floating], labels: Sequence[str], *, blank: int = 0
) -> DecodedText:
    """Greedy decoding: the best class of each step, repeats and blanks dropped.

    Parameters
    ----------
    probabilities : ndarray of shape (n_steps, n_classes)
        Each row sums to 1.
    labels : sequence of str
        Text of each class; that of `blank` is never used.
    blank : int, default=0
        The class that separates equal neighbours.

    Returns
    -------
    decoded : DecodedText

    Raises
    ------
    InputError
        The probabilities are no matrix with a column for each label.

    Examples
    --------
    >>> steps = np.eye(3)[[1, 1, 0, 1, 2]]
    >>> decode_ctc(steps, ["", "o", "n"]).text
    'oon'
    """
    if probabilities.ndim != 2 or probabilities.shape[1] != len(labels):
        raise InputError(
            f"expected steps of {len(labels)} classes, got {probabilities.shape}"
        )
    best = probabilities.argmax(axis=1)
    previous = np.concatenate([[blank], best[:-1]])
    steps = np.flatnonzero((best != blank) & (best != previous))
    best_two = [decode_class(probabilities[i], labels=labels, top=2) for i in steps]
    chosen = tuple(pair[0] for pair in best_two)
    return DecodedText(
        text="".join(c.label for c in chosen),
        probability=float(np.mean([c.probability for c in chosen])) if chosen else 0.0,
        characters=chosen,
        runners_up=tuple(pair[1] for pair in best_two),
        steps=tuple(int(i) for i in steps),
    )
