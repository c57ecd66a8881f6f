"""`update_model`: learn from new labelled data, prove it, let it serve.

Data are checked and split; learners are tried on the first part and chosen by the
second; the gates look at the third, once. Only what passes them goes on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from trimtab.errors import InputError
from trimtab.gates.rows import Rows
from trimtab.optimize.metrics import Metric
from trimtab.optimize.progress import Progress
from trimtab.signature import require_tensors
from trimtab.update.context import LearnContext
from trimtab.update.data import UpdateData, open_update_data, serving
from trimtab.update.learners import LEARNERS, find_learners
from trimtab.update.place import Place, find_place
from trimtab.update.result import UpdateResult
from trimtab.update.scores import decisive_metric
from trimtab.update.split import Splits, split_data, split_reference
from trimtab.update.statistics import HeadStatistics
from trimtab.update.trials import Trial, try_learners

if TYPE_CHECKING:
    import os

    from trimtab.model import Model
    from trimtab.pipeline import Pipeline
    from trimtab.registry.registry import Registry

__all__ = ["update_model"]

# Folds are fitted anew only where they take no longer than this, all together.
_FOLDS_S = 60.0
# Rows whose outputs are stored with the model.
_N_GOLDEN = 2


def update_model(
    target: Any,
    new_data: Any,
    *,
    reference: Any = None,
    method: str = "auto",
    metric: str | Callable[[Any, Any], Any] | Metric = "auto",
    margin: float = 0.0,
    forget: float = 0.01,
    alpha: float = 0.05,
    time_budget_s: float | None = None,
    train_fn: Callable[..., Any] | None = None,
    new_classes: str = "refuse",
    folds: int = 5,
    gates: str | Sequence[Any] = "standard",
    rollout: Any = None,
    labels: Callable[[Any], Any] | Mapping[Any, Any] | None = None,
    registry: Registry | str | os.PathLike[str] | None = None,
    reason: str | None = None,
    seed: int = 0,
    progress: Callable[[int, int, str], Any] | bool | None = True,
) -> UpdateResult:
    """Learn from new labelled data, and keep only what is proven not to be worse.

    The model that serves goes on serving whatever happens here. Ctrl-C ends learning:
    the best so far goes to the gates.

    Parameters
    ----------
    target : Deployment, Pipeline, Model, path or reference
        What serves. Of a deployment or pipeline, data go through its first steps; a
        reference as "digits@champion" is one of `registry`.
    new_data : tuple, mapping or path
        (x, y), arrays by name with the labels among them, or an .npz file.
    reference : as `new_data`, or HeadStatistics, optional
        Old labelled rows that must not be forgotten: half of them are replayed, half
        of them prove it. Or the statistics of an earlier update, which can be replayed
        and prove nothing.
    method : str, default="auto"
        Key of `trimtab.update.LEARNERS`; "auto" tries them in that order.
    metric : str, callable or Metric, default="auto"
        What decides: the share of right answers, of numbers the squared error, one of
        `trimtab.optimize.metrics.METRICS`, or a function of (y_true, y_pred).
    margin : float, default=0.0
        How much worse it may be on new rows.
    forget : float, default=0.01
        How much worse it may be on old rows.
    alpha : float, default=0.05
        Of every bound and test.
    time_budget_s : float, optional
        No method is begun after so many seconds.
    train_fn : callable, optional
        (model, data) -> anything `load_model` takes: the user's own training, with
        ``data.fit``, ``data.select`` and ``data.replay``.
    new_classes : {"refuse", "add"}, default="refuse"
        What to do with labels that the model has no score for.
    folds : int, default=5
        Of the cross-validation among the gates.
    gates : str or sequence, default="standard"
        As `trimtab.gates.prove` takes them.
    rollout : Rollout, optional
        Lets the model serve step by step. By default a deployment with a registry is
        given it at once.
    labels : callable or mapping, optional
        Of live requests, for the rollout: id -> label, None while it is not known.
    registry : Registry or path, optional
        Where the model is registered; by default that of the deployment.
    reason : str, optional
        Why: stored with the version.
    seed : int, default=0
        Of every split and of all learning.
    progress : callable or bool, default=True
        Called with (done, total, what). True: a bar on a terminal.

    Returns
    -------
    result : UpdateResult

    Raises
    ------
    InputError
        An argument, or something in the data: told before anything is learned.
    RegistryConflict
        Somebody else has changed what serves in the meantime.

    Examples
    --------
    >>> result = trimtab.update_model(deployment, (x, y))  # doctest: +SKIP
    >>> print(result)                                      # doctest: +SKIP
    UpdateResult
      PROMOTED: proven, and serving
      method   head_ridge
    """
    begin = time.perf_counter()
    order = _Order(
        margin, forget, alpha, folds, gates, seed, time_budget_s, reason or ""
    )
    order.check()
    learners = find_learners(method, has_train_fn=train_fn is not None)
    target, place = find_place(target, registry)
    if rollout is not None and (place is None or place.deployment is None):
        raise InputError("rollout: expected a deployment with a registry as the target")
    model, around = serving(target)
    require_tensors(model, "update_model")
    output = _counting_output(model)
    rows = _rows(target, new_data, reference, new_classes, folds, seed, output)
    chosen = decisive_metric(metric, rows.data.task)
    context = LearnContext(
        model=model,
        graph=model._graph_again(),
        fit=rows.splits.fit.rows,
        select=rows.splits.select.rows,
        replay=rows.replay,
        task=rows.data.task,
        statistics=rows.statistics,
        seconds_left=order.clock(begin),
        seed=seed,
        progress=bool(progress),
        output=output,
        n_new_classes=len(rows.data.new_classes),
        train_fn=train_fn,
        forget=forget,
    )
    trials = try_learners(context, learners, chosen, Progress(progress))
    best = next((trial for trial in trials if not trial.why_not), None)
    made = _dressed(context, around, best, rows)
    state, reasons, report = _proof(context, rows, best, chosen, order)
    made = made if state == "READY" else None
    result = UpdateResult(
        state=state,
        reasons=reasons,
        model=made,
        metric=chosen.name,
        candidates=trials,
        gates=report,
        version=None,
        n_rows=rows.sizes(),
        detail={} if best is None or best.candidate is None else best.candidate.detail,
        statistics=None
        if best is None or best.candidate is None
        else best.candidate.statistics,
        rollout=None,
        notes=rows.notes,
        seconds=time.perf_counter() - begin,
        seed=seed,
    )
    if made is None or place is None:
        return result
    return _placed(result, place, rollout, labels, rows, order)


# ---- what was asked for -------------------------------------------------------------


@dataclass(frozen=True)
class _Order:
    """Numbers that the user gave."""

    margin: float
    forget: float
    alpha: float
    folds: int
    gates: Any
    seed: int
    time_budget_s: float | None
    reason: str

    def check(self) -> None:
        for name in ("margin", "forget"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 <= value < math.inf):
                raise InputError(f"{name}: expected a number of at least 0: {value!r}")
        if not (isinstance(self.alpha, float) and 0 < self.alpha < 0.5):
            raise InputError(
                f"alpha: expected a number in (0, 0.5), got {self.alpha!r}"
            )
        if not (isinstance(self.folds, int) and 2 <= self.folds <= 100):
            raise InputError(f"folds: expected 2 to 100, got {self.folds!r}")
        budget = self.time_budget_s
        if budget is not None and not budget > 0:
            raise InputError(f"time_budget_s: expected more than 0, got {budget!r}")

    def clock(self, begin: float) -> Callable[[], float]:
        """Seconds that are left, at any time."""
        budget = math.inf if self.time_budget_s is None else self.time_budget_s
        return lambda: budget - (time.perf_counter() - begin)


@dataclass(frozen=True, eq=False)
class _Given:
    """All rows that were given, checked and split."""

    data: UpdateData
    splits: Splits
    replay: Rows | None
    proof: Rows | None
    statistics: HeadStatistics | None
    notes: tuple[str, ...]

    def sizes(self) -> dict[str, int]:
        found = {
            name: len(getattr(self.splits, name)) for name in ("fit", "select", "guard")
        }
        for name, rows in (("replay", self.replay), ("reference", self.proof)):
            if rows is not None:
                found[name] = len(rows)
        return found


def _counting_output(model: Model) -> str:
    """The output that labels are about: of several the first one with numbers."""
    if len(model.outputs) == 1:
        return ""
    floats = [o.name for o in model.outputs if str(o.dtype).startswith("float")]
    return floats[0] if floats else ""


def _rows(
    target: Any,
    new_data: Any,
    reference: Any,
    new_classes: str,
    folds: int,
    seed: int,
    output: str,
) -> _Given:
    if isinstance(reference, HeadStatistics) or reference is None:
        data = open_update_data(
            target, new_data, new_classes=new_classes, folds=folds, output=output
        )
        splits = split_data(data, seed=seed)
        return _Given(data, splits, None, None, reference, data.notes)
    old = open_update_data(target, reference, output=output, what="reference")
    data = open_update_data(
        target,
        new_data,
        task=old.reading,
        new_classes=new_classes,
        folds=folds,
        known=frozenset(old.digests),
        output=output,
    )
    replay, proof = split_reference(old, seed=seed)
    notes = data.notes + tuple(f"reference: {note}" for note in old.notes)
    splits = split_data(data, seed=seed)
    return _Given(data, splits, replay.rows, proof.rows, None, notes)


# ---- proof --------------------------------------------------------------------------


def _prove(evidence: dict[str, Any], gates: Any) -> Any:
    """Ask the gates; tests put another function here."""
    from trimtab.gates import Evidence, prove

    return prove(Evidence(**evidence), gates)


def _proof(
    context: LearnContext,
    rows: _Given,
    best: Trial | None,
    metric: Metric,
    order: _Order,
) -> tuple[str, tuple[str, ...], Any]:
    """State, reasons and report: the only look at the guard rows."""
    if best is None or best.candidate is None:
        return "REJECTED", ("no method is better than what serves",), None
    candidate = best.candidate
    evidence = {
        "champion": context.model,
        "candidate": candidate.model,
        "guard": rows.splits.guard.rows,
        "reference": rows.proof,
        "new": context.fit,
        "task": context.task,
        "metric": metric,
        "margin": order.margin,
        "forget": order.forget,
        "alpha": order.alpha,
        "fit": _refit(context, best, order.folds),
        "folds": order.folds,
        "seed": order.seed,
    }
    try:
        report = _prove(evidence, order.gates)
    except KeyboardInterrupt:
        return "REJECTED", ("interrupted before it was proven",), None
    states = {"passed": "READY", "needs_data": "NEEDS_DATA"}
    return states.get(report.state, "REJECTED"), tuple(report.reasons), report


def _refit(
    context: LearnContext, best: Trial, folds: int
) -> Callable[[Rows], Model] | None:
    """The method as a function of rows, where it is quick enough for folds."""
    learner = LEARNERS.get(best.method)
    left = min(_FOLDS_S, context.seconds_left())
    if learner is None or best.seconds * folds > left:
        return None

    def fit(rows: Rows) -> Model:
        mine = replace(context, fit=Rows(dict(rows.inputs), rows.labels), _kept={})
        return learner.learn(mine).model

    return fit


# ---- afterwards ---------------------------------------------------------------------


def _dressed(
    context: LearnContext,
    around: Pipeline | None,
    best: Trial | None,
    rows: _Given,
) -> Model | None:
    """Give the model what belongs to it: steps, golden pairs, names of classes."""
    if best is None or best.candidate is None:
        return None
    model = best.candidate.model
    if model.pipeline is None and around is not None and not around.not_portable:
        model.pipeline = around
    names = model.class_names
    added = [str(value) for value in rows.data.new_classes]
    if names and added and len(names) == len(context.task.classes):
        model.class_names = [*names, *added]
    pairs = []
    for i in range(min(_N_GOLDEN, len(context.select))):
        inputs = _golden_inputs(model, context.select, i)
        pairs.append((inputs, model.run(inputs)))
    model._golden = (pairs, {})
    return model


def _golden_inputs(model: Model, rows: Rows, i: int) -> dict[str, Any]:
    """One row, or as many as the model takes."""
    sizes = [spec.shape[0] for spec in model.inputs if spec.shape]
    n = next((size for size in sizes if isinstance(size, int)), 1)
    chosen = [(i + k) % len(rows) for k in range(n)]
    return {name: array[chosen] for name, array in rows.inputs.items()}


def _placed(
    result: UpdateResult,
    place: Place,
    rollout: Any,
    labels: Any,
    rows: _Given,
    order: _Order,
) -> UpdateResult:
    """Register what is proven, and let it serve where somebody is there to serve it."""
    assert result.model is not None
    told = order.reason or f"update_model: {result.method}"
    version = place.register(
        result.model,
        fingerprint=rows.data.fingerprint(),
        metrics={
            "metric": result.metric,
            "gates": result.gates.to_dict(),
            "n_rows": result.n_rows,
        },
        metadata={"update_method": result.method},
        reason=told,
    )
    state, reasons, went = place.serve(version, told, rollout=rollout, labels=labels)
    result = replace(result, version=version.version, state=state, rollout=went)
    return result if went is None else replace(result, reasons=reasons)
