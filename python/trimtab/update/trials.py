"""Trying learners one after the other, and keeping the best.

Enters: a `LearnContext`. Leaves: a `Trial` for each learner, with the reason why it was
not taken. Rows that choose are those of the select split: the guard is not looked at.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import TrimtabError
from trimtab.gates.rows import Rows
from trimtab.optimize.metrics import Metric, scores_of
from trimtab.update.context import Candidate, LearnContext, Learner, answers
from trimtab.update.scores import compare, likelihoods

if TYPE_CHECKING:
    from trimtab.optimize.progress import Progress
    from trimtab.types import Array

__all__ = ["CHAMPION", "Trial", "try_learners"]

#: What serves, among the trials.
CHAMPION = "champion"
# A method that costs more must be better by so many standard errors: choosing among
# few rows would follow their noise.
_CLEARLY = 1.0


@dataclass(frozen=True, eq=False)
class Trial:
    """One method, and what came of it.

    Parameters
    ----------
    method : str
    candidate : Candidate or None
    select, reference : float
        Mean of the metric on the rows that choose, and on replayed old rows; NaN where
        there are none.
    seconds : float
    why_not : str
        Empty for the one that is taken.
    """

    method: str
    candidate: Candidate | None = None
    select: float = float("nan")
    reference: float = float("nan")
    seconds: float = 0.0
    why_not: str = ""
    _scores: dict[str, Any] = field(default_factory=dict, repr=False)


def try_learners(
    context: LearnContext,
    learners: Mapping[str, Learner],
    metric: Metric,
    progress: Progress,
) -> tuple[Trial, ...]:
    """Try learners until the time is up or somebody presses Ctrl-C.

    Parameters
    ----------
    context : LearnContext
    learners : mapping of str to Learner
        In their order.
    metric : Metric
    progress : Progress

    Returns
    -------
    trials : tuple of Trial
        That of the champion first; the one that is taken, at most one, has no reason
        against it.

    Examples
    --------
    >>> trials = try_learners(context, learners, metric, progress)  # doctest: +SKIP
    """
    champion = _judged(Trial(CHAMPION), context, metric, None)
    champion = replace(champion, why_not="it serves already")
    trials, best = [champion], champion
    is_over = ""
    progress.begin("learning", len(learners))
    for name, learner in learners.items():
        if not is_over and context.seconds_left() <= 0:
            is_over = "the time was up before its turn"
        if is_over:
            trials.append(Trial(name, why_not=is_over))
            continue
        try:
            trial = _tried(name, learner, context, metric)
        except KeyboardInterrupt:
            is_over = "interrupted before its turn"
            trials.append(Trial(name, why_not="interrupted"))
            continue
        progress.step()
        why = trial.why_not or _why_not(trial, best, champion, context, metric)
        if not why:
            _pass_over(trials, best, name, metric)
            best = trial
        trials.append(replace(trial, why_not=why))
    return tuple(trials)


def _pass_over(trials: list[Trial], best: Trial, name: str, metric: Metric) -> None:
    """Say of the best so far that another one is better."""
    if best.method == CHAMPION:
        return
    at = next(i for i, trial in enumerate(trials) if trial.method == best.method)
    trials[at] = replace(trials[at], why_not=f"{name} is better on the select rows")


def _tried(name: str, learner: Learner, context: LearnContext, metric: Metric) -> Trial:
    begin = time.perf_counter()
    try:
        candidate = learner.learn(context)
        trial = Trial(name, candidate)
        trial = _judged(trial, context, metric, candidate.model)
    except (TrimtabError, ImportError) as error:
        return Trial(name, seconds=time.perf_counter() - begin, why_not=str(error))
    return replace(trial, seconds=time.perf_counter() - begin)


def _judged(trial: Trial, context: LearnContext, metric: Metric, model: Any) -> Trial:
    """Add the scores on the rows that choose, and on old rows."""
    for name, rows in (("select", context.select), ("reference", context.replay)):
        if rows is None:
            continue
        outputs = _answers(context, rows, model)
        scores = scores_of(metric, rows.labels, outputs, whose=trial.method)
        trial._scores[name] = scores
        trial._scores[f"{name} log"] = likelihoods(context.task, rows.labels, outputs)
        mean = float(np.mean(scores))
        is_select = name == "select"
        trial = (
            replace(trial, select=mean) if is_select else replace(trial, reference=mean)
        )
    return trial


def _answers(context: LearnContext, rows: Rows, model: Any) -> Array:
    if model is None:
        return context.answers(rows)
    return answers(model, rows, context.output)


def _why_not(
    trial: Trial, best: Trial, champion: Trial, context: LearnContext, metric: Metric
) -> str:
    """Why a trial does not take the place of the best; empty where it does."""
    if not np.isfinite(trial.select):
        return "its answers are not finite"
    drop = champion.reference - trial.reference
    if drop > context.forget:
        return (
            f"{metric.name} on old rows falls from {champion.reference:.4g} to "
            f"{trial.reference:.4g}, by more than forget={context.forget:g}"
        )
    mine, others = trial._scores, best._scores
    advantage = compare(mine["select"], others["select"])
    if advantage > _CLEARLY:
        return ""
    told = (
        f"{metric.name} on the select rows is {trial.select:.4g}, that of "
        f"{best.method} {best.select:.4g}"
    )
    if advantage < -_CLEARLY:
        return told
    logs = mine.get("select log"), others.get("select log")
    if logs[0] is None or logs[1] is None:
        return f"{told}: not clearly better"
    if compare(logs[0], logs[1]) > _CLEARLY:
        return ""
    return f"{told}: not clearly better, nor are its probabilities"
