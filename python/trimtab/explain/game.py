"""The answer of a model as a function of which parts of its input are there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.evaluate.data import take
from trimtab.evaluate.predict import Predictor
from trimtab.explain.parts import Parts
from trimtab.types import Array

__all__ = ["Found", "Game", "Slope"]

# Bytes of inputs that are made at once.
_AT_ONCE = 32 << 20
# Gradients of so many inputs are taken at once, at most.
_MOST_GRADIENTS = 64
Floats = npt.NDArray[np.float64]
#: Inputs of the divided tensor, of shape (n, *x.shape) -> gradients of the answer.
Slope = Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class Found:
    """What a method says of the parts.

    Parameters
    ----------
    values : ndarray of shape (parts,)
    std : ndarray of shape (parts,), optional
        Standard errors, where choices of parts were drawn.
    notes : tuple of str
    """

    values: Floats
    std: Floats | None = None
    notes: tuple[str, ...] = ()


class Game:
    """One answer of a model, asked for with parts left out.

    Parameters
    ----------
    predictor : Predictor
    parts : Parts
    assemble : callable
        (inputs of the divided tensor, n) -> all inputs of a call.
    target : int, tuple of int or None
        Which number of the answer counts; None: the largest at the whole input, where
        there are several.
    on_batch : callable, optional
        Called with the number of inputs that were answered.

    Attributes
    ----------
    target : tuple of int
    prediction, base : float
        With all parts, and with none.
    shape : tuple of int
        Of one answer.
    n_inputs : int
        That were answered so far.
    slope : callable or None
        Gives gradients of the answer; where it is set the engine knows them.
    """

    def __init__(
        self,
        predictor: Predictor,
        parts: Parts,
        assemble: Callable[[Any, int], Any],
        target: int | tuple[int, ...] | None,
        on_batch: Callable[[int], Any] | None = None,
    ) -> None:
        self.parts = parts
        self.n_inputs = 0
        self.slope: Slope | None = None
        self._predictor = predictor
        self._assemble = assemble
        self._on_batch = on_batch
        whole = self._ask(parts.inputs(np.ones((1, parts.n), bool)))[0]
        self.target = _checked(target, whole)
        self.shape: tuple[int, ...] = whole.shape
        self.prediction = float(np.atleast_1d(whole)[self.target])
        if not np.isfinite(self.prediction):
            raise InputError(
                f"the answer at {self.target} is {self.prediction}: only finite ones "
                "can be explained"
            )
        self.base = float(self.value(np.zeros((1, parts.n), bool))[0])

    def value(self, present: npt.NDArray[np.bool_]) -> Floats:
        """Answers with some parts.

        Parameters
        ----------
        present : ndarray of bool of shape (n, parts)

        Returns
        -------
        values : ndarray of shape (n,)
            Means over the backgrounds.

        Raises
        ------
        InputError
            An answer is not finite.
        """
        return self._means(present, self.parts.inputs)

    def blended(self, shares: Floats) -> Floats:
        """Answers between the background and the sample, see `Parts.blend`.

        Parameters
        ----------
        shares : ndarray of shape (n, parts)

        Returns
        -------
        values : ndarray of shape (n,)

        Raises
        ------
        InputError
            An answer is not finite.
        """
        return self._means(shares, self.parts.blend)

    def gradients(self, shares: Floats) -> Floats:
        """Gradients between the background and the sample, times their distance.

        Parameters
        ----------
        shares : ndarray of shape (n,)
            0 is the background, 1 the sample.

        Returns
        -------
        values : ndarray of shape (n, parts)
            Sums over the elements of each part, means over the backgrounds.

        Raises
        ------
        InputError
            A gradient is not finite.
        """
        assert self.slope is not None
        parts, m = self.parts, self.parts.n_backgrounds
        distance = parts.x.astype(np.float64) - parts.background
        labels = np.tile(parts.labels.ravel(), m)
        size = 8 * parts.x.size * m
        step = max(1, min(_AT_ONCE // size, _MOST_GRADIENTS // m))
        found = []
        for i in range(0, len(shares), step):
            rows = np.repeat(shares[i : i + step, None], parts.n, axis=1)
            slopes = self.slope(parts.blend(rows)).astype(np.float64)
            self.n_inputs += len(slopes)
            if self._on_batch is not None:
                self._on_batch(len(slopes))
            products = slopes.reshape(-1, *distance.shape) * distance
            found += [
                np.bincount(labels, weights=p.ravel(), minlength=parts.n) / m
                for p in products
            ]
        values = np.array(found)
        if not np.isfinite(values).all():
            raise InputError(
                "a gradient on the way from the background is NaN or infinity: "
                "another background= may help"
            )
        return values

    def _means(self, rows: Array, make: Callable[[Any], Any]) -> Floats:
        m = self.parts.n_backgrounds
        size = 1 if self.parts.kind == "text" else 3 * self.parts.x.size * 8
        step = max(1, min(_AT_ONCE // (size * m), self._predictor.batch_size))
        found = []
        for i in range(0, len(rows), step):
            answers = self._ask(make(rows[i : i + step]))
            place = np.ravel_multi_index(self.target, answers.shape[1:] or (1,))
            found.append(answers.reshape(len(answers), -1)[:, place])
        values = np.concatenate(found).astype(np.float64).reshape(-1, m).mean(axis=1)
        if not np.isfinite(values).all():
            raise InputError(
                "the model gives NaN or infinity where parts are left out: another "
                "background= may help"
            )
        return np.asarray(values)

    def _ask(self, inputs: Any) -> Array:
        n, step = len(inputs), self._predictor.batch_size
        answers = []
        for i in range(0, n, step):
            piece = take(inputs, i, min(i + step, n))
            answers.append(
                self._predictor(self._assemble(piece, len(piece)), len(piece))
            )
            self.n_inputs += len(piece)
            if self._on_batch is not None:
                self._on_batch(len(piece))
        found = np.concatenate(answers)
        if found.dtype.kind not in "fiub":
            raise InputError(
                f"{self._predictor.name}: expected numbers as answers, got "
                f"{found.dtype}: explain the model, or a pipeline that gives scores"
            )
        return found


def _checked(target: int | tuple[int, ...] | None, answer: Array) -> tuple[int, ...]:
    """The place of the number that counts."""
    answer = np.atleast_1d(answer)
    if target is None:
        if answer.ndim > 1 and answer.size > 1:
            raise InputError(
                f"target: the answer has shape {list(answer.shape)}: say which number "
                "of it counts, as a tuple"
            )
        place = np.unravel_index(int(np.argmax(answer)), answer.shape)
        return tuple(int(i) for i in place)
    found = (target,) if isinstance(target, int | np.integer) else tuple(target)
    is_good = len(found) == answer.ndim and all(
        isinstance(i, int | np.integer)
        and not isinstance(i, bool)
        and -size <= i < size
        for i, size in zip(found, answer.shape, strict=True)
    )
    if not is_good:
        raise InputError(
            f"target: expected a place within {list(answer.shape)}, got {target!r}"
        )
    return tuple(int(i) % size for i, size in zip(found, answer.shape, strict=True))
