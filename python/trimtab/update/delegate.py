"""The user's own training, inside the same guard."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trimtab.errors import InputError, TrimtabError
from trimtab.update.context import Candidate, answers

if TYPE_CHECKING:
    from trimtab.evaluate.task import Task
    from trimtab.update.context import LearnContext, Rows

__all__ = ["TrainingData", "learn"]


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a `train_fn` is given.

    Parameters
    ----------
    fit, select : Rows
        To learn from, and to choose with: to stop early, say.
    replay : Rows or None
        Old rows that must not be forgotten.
    task : Task
    seed : int
    """

    fit: Rows
    select: Rows
    replay: Rows | None
    task: Task
    seed: int


def learn(context: LearnContext) -> Candidate:
    """Let the user's function learn.

    Parameters
    ----------
    context : LearnContext

    Returns
    -------
    candidate : Candidate

    Raises
    ------
    InputError
        There is no function, it failed, or gave nothing that can be loaded.

    Examples
    --------
    >>> learn(context).seconds                             # doctest: +SKIP
    42.0
    """
    if context.train_fn is None:
        raise InputError("there is no train_fn=, a function (model, data) -> model")
    begin = time.perf_counter()
    data = TrainingData(
        context.fit, context.select, context.replay, context.task, context.seed
    )
    name = getattr(context.train_fn, "__name__", type(context.train_fn).__name__)
    try:
        made = context.train_fn(context.model, data)
    except Exception as error:
        raise InputError(f"{name} raised {type(error).__name__}: {error}") from error
    model = _loaded(made, name)
    taken, given = (
        [(spec.name, spec.dtype) for spec in each.inputs]
        for each in (context.model, model)
    )
    if taken != given:
        raise InputError(f"{name}: the model takes {taken}, what came back {given}")
    answers(model, context.select.take(slice(0, 1)), context.output)  # it answers
    seconds = time.perf_counter() - begin
    return Candidate(model, "delegate", {"train_fn": name}, seconds)


def _loaded(made: Any, name: str) -> Any:
    from trimtab.load import load_model
    from trimtab.model import Model

    if isinstance(made, Model):
        return made
    if made is None:
        raise InputError(f"{name} returned None: expected what load_model takes")
    try:
        return load_model(made)
    except TrimtabError:
        raise
    except Exception as error:
        raise InputError(
            f"{name} returned {type(made).__name__}, which load_model does not take: "
            f"{error}"
        ) from error
