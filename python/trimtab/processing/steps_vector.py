"""Steps from what a net says about tokens to one vector, and from it to scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.processing.checks import (
    check_bool,
    check_int,
    check_number,
    check_texts,
)
from trimtab.processing.decode_class import decode_class
from trimtab.processing.step import Context, Step
from trimtab.processing.text import l2_normalize, mean_pool

__all__ = ["BestLabel", "L2Normalize", "Linear", "MeanPool"]


@dataclass(frozen=True)
class MeanPool(Step):
    """States of tokens -> their mean, without padding.

    Takes the `attention_mask` from the context, where `Tokenize` left it.

    Parameters
    ----------
    output : int, default=0
        Which of the model's outputs holds the states, if it has several.

    Raises
    ------
    InputError
        The parameter makes no sense.
    """

    kind: ClassVar[str] = "mean_pool"
    output: int = 0

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("output", self.output, 0, 1024)

    def __call__(self, value: Any, context: Context) -> Any:
        """Apply `trimtab.processing.text.mean_pool`.

        Parameters
        ----------
        value : ndarray of shape (n_texts, n_tokens, width), or a tuple with it
        context : dict

        Returns
        -------
        pooled : ndarray of float32, shape (n_texts, width)

        Raises
        ------
        InputError
            The context holds no mask, or the model has fewer outputs.
        """
        if isinstance(value, tuple):
            if self.output >= len(value):
                raise InputError(f"there are {len(value)} outputs, no {self.output}")
            value = value[self.output]
        if "attention_mask" not in context:
            raise InputError("no step before left an attention_mask: use tokenize")
        return mean_pool(value, context["attention_mask"])


@dataclass(frozen=True)
class L2Normalize(Step):
    """Vectors -> the same of length 1.

    Parameters
    ----------
    axis : int, default=-1
    epsilon : float, default=1e-12

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "l2_normalize"
    axis: int = -1
    epsilon: float = 1e-12

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("axis", self.axis, -8, 7)
        check_number("epsilon", self.epsilon, 1e-30, 1e30)

    def __call__(self, value: Any, context: Context) -> Any:
        """Apply `trimtab.processing.text.l2_normalize`.

        Parameters
        ----------
        value : array-like
        context : dict

        Returns
        -------
        normalized : ndarray of float32

        Raises
        ------
        InputError
            There is no such axis.
        """
        vectors = np.asarray(value)
        if not -vectors.ndim <= self.axis < vectors.ndim:
            raise InputError(f"there is no axis {self.axis} of {vectors.shape}")
        return l2_normalize(vectors, axis=self.axis, epsilon=self.epsilon)


@dataclass(frozen=True)
class Linear(Step):
    """Vectors -> ``vectors @ weights.T + bias``: a small head, such as a regression.

    Parameters
    ----------
    weights : bytes
        Little-endian float32, a row for each output.
    bias : bytes
        Little-endian float32, one for each output.

    Raises
    ------
    InputError
        The bytes are no such matrix.
    """

    kind: ClassVar[str] = "linear"
    weights: bytes = field(repr=False)
    bias: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Check the parameters."""
        self._matrix  # noqa: B018 (it checks the bytes)

    @cached_property
    def _matrix(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        for content in (self.weights, self.bias):
            if not isinstance(content, bytes) or not content or len(content) % 4:
                raise InputError("weights and bias: expected bytes of float32")
        bias = np.frombuffer(self.bias, "<f4").astype(np.float32)
        weights = np.frombuffer(self.weights, "<f4").astype(np.float32)
        if weights.size % bias.size:
            raise InputError(
                f"{weights.size} weights are no rows for {bias.size} outputs"
            )
        return weights.reshape(bias.size, -1), bias

    def __call__(self, value: Any, context: Context) -> Any:
        """Multiply and add.

        Parameters
        ----------
        value : array-like of shape (..., n_inputs)
        context : dict

        Returns
        -------
        scores : ndarray of float32, shape (..., n_outputs)

        Raises
        ------
        InputError
            The vectors have another length.
        """
        weights, bias = self._matrix
        vectors = np.asarray(value, np.float32)
        if vectors.ndim < 1 or vectors.shape[-1] != weights.shape[1]:
            raise InputError(
                f"expected vectors of {weights.shape[1]} numbers, got {vectors.shape}"
            )
        return vectors @ weights.T + bias


@dataclass(frozen=True)
class BestLabel(Step):
    """Probabilities -> the label and probability of the best class of each row.

    Parameters
    ----------
    labels : tuple of str
        Names of the classes.
    from_logits : bool, default=False
        Apply a softmax first.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "best_label"
    labels: tuple[str, ...]
    from_logits: bool = False

    def __post_init__(self) -> None:
        """Check the parameters."""
        object.__setattr__(self, "labels", check_texts("labels", self.labels))
        check_bool("from_logits", self.from_logits)

    def __call__(self, value: Any, context: Context) -> Any:
        """Name the best class.

        Parameters
        ----------
        value : array-like of shape (n_rows, n_classes)
        context : dict

        Returns
        -------
        best : list of ClassScore
        """
        rows = np.atleast_2d(np.asarray(value))
        return [
            decode_class(row, labels=self.labels, top=1, from_logits=self.from_logits)[
                0
            ]
            for row in rows
        ]
