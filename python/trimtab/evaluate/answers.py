"""Who answers which samples: one model, two, or models fitted anew for each fold.

Enters: predictors or fit functions, and data. Leaves: one `Answer` after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.errors import InputError
from trimtab.evaluate.data import Batch, Data, take
from trimtab.evaluate.predict import Predictor, make_predictor
from trimtab.types import Array

__all__ = ["Answer", "Who", "fitted_answers", "model_answers"]


@dataclass(frozen=True, eq=False)
class Answer:
    """A batch and what was answered.

    Parameters
    ----------
    batch : Batch
    outputs : ndarray
    baseline : ndarray or None
        Outputs of the other model.
    fold : int or None
        Of models that are fitted anew.
    classes : sequence or None
        What the model says of its classes.
    """

    batch: Batch
    outputs: Array
    baseline: Array | None = None
    fold: int | None = None
    classes: Sequence[Any] | None = None


def model_answers(
    model: Predictor, baseline: Predictor | None, data: Data, batch_size: int | None
) -> Iterator[Answer]:
    """Give what models answer.

    Parameters
    ----------
    model : Predictor
    baseline : Predictor or None
    data : Data
    batch_size : int or None
        By default what the model takes; batches of a stream stay as they are.

    Yields
    ------
    answer : Answer

    Returns
    -------
    answers : iterator of Answer

    Examples
    --------
    >>> from trimtab.evaluate.data import open_data
    >>> data = open_data(([1.0, 2.0], [2, 4]))
    >>> double = make_predictor(lambda x: [2 * value for value in x])
    >>> next(model_answers(double, None, data, None)).outputs.tolist()
    [2.0, 4.0]
    """
    size = batch_size
    if size is None and data.n_samples is not None:
        size = model.batch_size
    for batch in data.batches(size):
        n = len(batch)
        other = None if baseline is None else baseline(batch.inputs, n)
        yield Answer(batch, model(batch.inputs, n), other, classes=model.classes)


def fitted_answers(
    fit: Callable[[Any, Any], Any],
    baseline: Callable[[Any, Any], Any] | None,
    data: Data,
    folds: Sequence[tuple[Array, Array]],
    used: list[Predictor],
    *,
    output: str | int | None,
    batch_size: int | None,
) -> Iterator[Answer]:
    """Fit a model for each fold, and give what it answers on the rest.

    Parameters
    ----------
    fit, baseline : callable
        (x, y) -> callable, estimator or model.
    data : Data
        In memory.
    folds : sequence of (train, test)
    used : list of Predictor
        Those of `fit` are added, for their latency.
    output : str, int or None
    batch_size : int or None

    Yields
    ------
    answer : Answer

    Returns
    -------
    answers : iterator of Answer

    Raises
    ------
    InputError
        A function fails on a fold.

    Examples
    --------
    >>> list(fitted_answers(                               # doctest: +SKIP
    ...     fit, None, data, folds, [], output=None, batch_size=None))
    [Answer(...), ...]
    """
    for i, (train, test) in enumerate(folds):
        seen, asked = data.rows(train), data.rows(test)
        model = _fitted(fit, seen, i, output, "fit")
        other = None
        if baseline is not None:
            other = _fitted(baseline, seen, i, output, "baseline")
        used.append(model)
        size = batch_size or model.batch_size
        for at in range(0, len(test), size):
            end = min(at + size, len(test))
            inputs, n = take(asked.inputs, at, end), end - at
            columns = {name: c[at:end] for name, c in asked.columns.items()}
            batch = Batch(inputs, asked.labels[at:end], columns, test[at:end])
            base = None if other is None else other(inputs, n)
            yield Answer(batch, model(inputs, n), base, i, model.classes)


def _fitted(
    fit: Callable[[Any, Any], Any],
    seen: Batch,
    fold: int,
    output: str | int | None,
    what: str,
) -> Predictor:
    try:
        made = fit(seen.inputs, seen.labels)
    except Exception as error:
        raise InputError(
            f"{what} raised {type(error).__name__} on fold {fold} "
            f"({len(seen)} samples): {error}"
        ) from error
    if made is None:
        raise InputError(f"{what} returned None: expected what answers, as a callable")
    return make_predictor(made, output=output)


class Who:
    """One that is asked, or two; fixed, or fitted anew for each fold.

    Parameters
    ----------
    model : Predictor or None
    baseline : Predictor or None
    fit, fit_baseline : callable or None
    name : str
        Of the model.
    output : str, int or None
    """

    def __init__(
        self,
        model: Predictor | None,
        baseline: Predictor | None,
        fit: Callable[[Any, Any], Any] | None,
        fit_baseline: Callable[[Any, Any], Any] | None,
        name: str,
        output: str | int | None,
    ) -> None:
        self.name = name
        self.baseline_name = _name(fit_baseline) if fit_baseline else None
        if baseline is not None:
            self.baseline_name = baseline.name
        self.used = [] if model is None else [model]
        self._model, self._baseline = model, baseline
        self._fit, self._fit_baseline = fit, fit_baseline
        self._output = output

    @classmethod
    def of(
        cls,
        model: Any,
        baseline: Any,
        fit: Callable[[Any, Any], Any] | None,
        cv: Any,
        output: str | int | None,
    ) -> Who:
        """Take what the user gives.

        Parameters
        ----------
        model, baseline : object
        fit : callable or None
        cv : object
        output : str, int or None

        Returns
        -------
        who : Who

        Raises
        ------
        InputError
            Arguments contradict each other.
        """
        if fit is None:
            made = make_predictor(model, output=output)
            other = None
            if baseline is not None:
                other = make_predictor(baseline, output=output)
            return cls(made, other, None, None, made.name, output)
        if cv is None:
            raise InputError("fit: say how many folds there are: cv=5, or a splitter")
        if model is not None and not isinstance(model, str):
            raise InputError(
                "model: with fit= one is fitted for each fold; give None or a name for "
                "the report"
            )
        for what, function in (("fit", fit), ("baseline", baseline)):
            if function is not None and not callable(function):
                raise InputError(
                    f"{what}: expected a function (x, y) -> callable, got "
                    f"{type(function).__name__}"
                )
        return cls(None, None, fit, baseline, model or _name(fit), output)

    @property
    def is_fitted(self) -> bool:
        """Are models fitted anew for each fold?"""
        return self._fit is not None

    @property
    def input_names(self) -> tuple[str, ...] | None:
        """Inputs of the model, where it says."""
        return None if self._model is None else self._model.input_names

    def answers(
        self,
        data: Data,
        folds: Sequence[tuple[Array, Array]],
        batch_size: int | None,
    ) -> Iterator[Answer]:
        """Give all answers.

        Parameters
        ----------
        data : Data
        folds : sequence of (train, test)
        batch_size : int or None

        Returns
        -------
        answers : iterator of Answer
        """
        if self._model is not None:
            return model_answers(self._model, self._baseline, data, batch_size)
        assert self._fit is not None
        return fitted_answers(
            self._fit,
            self._fit_baseline,
            data,
            folds,
            self.used,
            output=self._output,
            batch_size=batch_size,
        )


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))
