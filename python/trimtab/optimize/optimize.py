"""`optimize_model`: from a model and data to a faster model with proof."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import InputError
from trimtab.optimize.journal import Journal
from trimtab.optimize.latency import Timer
from trimtab.optimize.metrics import METRICS, check_labels, default_metric, find_metric
from trimtab.optimize.outcome import Goal, Judged, Outcome
from trimtab.optimize.progress import Deadline, Progress
from trimtab.optimize.quantizer import PRECISIONS, Quantizer, host_names
from trimtab.optimize.ranges import RANGES
from trimtab.optimize.samples import (
    Samples,
    check_calibration,
    join_samples,
    run_samples,
    take_samples,
)
from trimtab.optimize.search import Search
from trimtab.optimize.splits import (
    Splits,
    choose_guard_share,
    least_guard,
    power_text,
    split_samples,
)
from trimtab.signature import require_tensors
from trimtab.stats.paired import drop_upper_bound
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.graph import Model as GraphModel
    from trimtab.model import Model
    from trimtab.optimize.metrics import Metric
    from trimtab.optimize.report import OptimizationReport

__all__ = ["GOALS", "optimize_model"]

#: Goal -> what it minimises.
GOALS: dict[str, str] = {
    "latency": "time of a call with one sample",
    "throughput": "time of a call with 16 samples",
    "memory": "bytes of weights",
}

_N_THROUGHPUT = 16
_N_HEAD = 8
# Samples whose float32 outputs go with the model when it is saved.
_N_GOLDEN = 2
# Of the time budget, after which no more weights are rounded for the data.
_ROUNDING_SHARE = 0.2


def optimize_model(
    model: Any,
    *,
    calibration: Any,
    validation: Any = None,
    metric: str | Callable[[Any, Any], Any] | None = None,
    max_drop: float = 0.01,
    goal: str = "latency",
    precisions: Sequence[str] | None = None,
    time_budget_s: float | None = None,
    seed: int = 0,
    journal: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int, str], Any] | bool | None = None,
    output: str | None = None,
    guard_share: float | None = None,
    alpha: float = 0.05,
    ranges: str = "auto",
) -> OptimizationReport:
    """Make a model faster, and prove that it stays as good.

    Each layer gets the precision, of float32, bfloat16 and int8, that was measured to
    pay for what it costs in accuracy. Validation data are split in two: candidates are
    compared on one part; the other part, the guard, is looked at once, at the end. A
    candidate is returned when the upper confidence bound of its drop on the guard is at
    most `max_drop`; where none is, the model in float32 is, and the report says why.

    Ctrl-C ends the search, and what was proven by then is returned.

    Parameters
    ----------
    model : Model, path, bytes or object
        Loaded, or whatever `load_model` takes.
    calibration : array, tuple, mapping, list of these, or None
        Samples that ranges are taken from: arrays with a leading dim of samples, for
        the only input, in graph order or by name; or a list of calls. A hundred will
        do. None: a part of the validation data.
    validation : (inputs, labels), or inputs, optional
        Samples to choose by and to prove with; those of `calibration` are left out,
        or split where they are most of them. By default a part of the calibration
        data. A tuple of two is inputs and labels; labels may be None.
    metric : str or callable, optional
        "accuracy", "cross_entropy", "mse" (with labels), "top_1_agreement",
        "top_1_probability", "cosine", "sqnr" (with the model in float32), or a function
        of ``(y_true, y_pred)`` that gives a score for each sample, or one number;
        larger is better. By default accuracy or mse where there are labels, else
        agreement with float32.
    max_drop : float, default=0.01
        Largest drop of the metric, as it counts: 0.01 is one point of accuracy, or a
        signal-to-noise ratio of 20 dB under "sqnr".
    goal : {"latency", "throughput", "memory"}, default="latency"
        What is made small: the time of a call with one sample, with 16, or the bytes
        of weights.
    precisions : sequence of str, optional
        Of "f32", "bf16", "int8" and "int8_winograd" (3x3 convolutions of int8 with four
        ninths of the products and more rounding); those that the processor computes in
        natively by default.
    time_budget_s : float, optional
        Seconds after which the search makes do with what it has found.
    seed : int, default=0
        Of splits and resamples.
    journal : path, optional
        File that keeps what was measured: an interrupted search goes on from there.
    progress : callable, optional
        Called with ``(done, total, what)``. A bar of tqdm by default, where tqdm is
        installed and there is a terminal; False for none.
    output : str, optional
        The output that the metric looks at; the first one by default.
    guard_share : float, optional
        Of the validation data. By default half; where answers are counted as many as
        `max_drop` needs, up to four fifths, or all (1: the search then uses the
        calibration samples) where that proves nothing.
    alpha : float, default=0.05
        How often the bound may be below the true drop.
    ranges : str, default="auto"
        How ranges follow from calibration: "minmax", "moving_average", "percentile",
        "entropy" or "mse"; "auto" takes the one that leaves least noise.

    Returns
    -------
    report : OptimizationReport
        ``report.model`` is the model to use from now on.

    Raises
    ------
    InputError
        The data do not fit the model, are too few to prove `max_drop`, or hold NaN;
        labels do not fit; the metric fails.

    Notes
    -----
    A proof holds for data like the guard's. Searching again with other seeds until a
    guard agrees takes the proof away.

    Examples
    --------
    >>> report = trimtab.optimize_model(                   # doctest: +SKIP
    ...     "mnist.onnx", calibration=x_train[:100], validation=(x, y), max_drop=0.005
    ... )
    >>> report.model.save("mnist-fast.safetensors")        # doctest: +SKIP
    """
    return optimize(
        model,
        calibration=calibration,
        validation=validation,
        metric=metric,
        output=output,
        goal=Goal(
            _checked_budget(max_drop, alpha),
            _one_of("goal", goal, GOALS),
            _checked_precisions(precisions),
            alpha,
            seed,
        ),
        guard_share=guard_share,
        deadline=Deadline(time_budget_s),
        journal=journal,
        progress=Progress(progress),
        ranges=_one_of("ranges", ranges, ("auto", *RANGES)),
    )


# ---- checking ------------------------------------------------------------------


def _checked_budget(max_drop: float, alpha: float) -> float:
    if not (isinstance(max_drop, int | float) and 0 < max_drop < math.inf):
        raise InputError(f"max_drop: expected a number above 0, got {max_drop!r}")
    if not 0 < alpha < 0.5:
        raise InputError(f"alpha: expected a number in (0, 0.5), got {alpha!r}")
    return float(max_drop)


def _one_of(what: str, name: Any, names: Any) -> str:
    if not isinstance(name, str) or name not in names:
        raise InputError(f"{what}: expected one of {list(names)}, got {name!r}")
    return name


def _checked_precisions(precisions: Sequence[str] | None) -> tuple[str, ...]:
    if precisions is None:
        return ()
    if isinstance(precisions, str):
        precisions = (precisions,)
    names = [_one_of("precisions", name, PRECISIONS) for name in precisions]
    return tuple(dict.fromkeys(["f32", *names]))


# ---- data ----------------------------------------------------------------------


def _is_classifier(model: Model) -> bool:
    """Does it say so? By names of classes, steps that name them, or a softmax."""
    if model.class_names is not None:
        return True
    graph = model._graph_again().graph
    makers = {name: node for node in graph.nodes for name in node.outputs}
    node = makers.get(graph.outputs[0].name) if graph.outputs else None
    while node is not None and node.op_type in ("Cast", "Identity", "Reshape"):
        node = makers.get(node.inputs[0])
    return node is not None and node.op_type in ("Softmax", "LogSoftmax", "ArgMax")


def _take(
    model: Model, calibration: Any, validation: Any
) -> tuple[Samples | None, Samples | None]:
    first = second = None
    if calibration is not None:
        first = take_samples(model, calibration, what="calibration")
        check_calibration(first)
    if validation is not None:
        labels = None
        if isinstance(validation, tuple) and len(validation) == 2:
            validation, labels = validation
        second = take_samples(model, validation, what="validation", labels=labels)
    if first is None and second is None:
        raise InputError("expected calibration or validation data, got neither")
    if first is None and second is not None:
        check_calibration(second)
    return first, second


def _choose_metric(
    model: Model, metric: Any, pool: Samples, output: str | None
) -> tuple[Metric, str]:
    """The metric and why; labels are checked against a few outputs."""
    head = pool.take(range(min(len(pool), _N_HEAD)))
    outputs = run_samples(model, head, output=output)
    if metric is None:
        found, why = default_metric(
            head.labels, outputs, is_classifier=_is_classifier(model)
        )
    else:
        found, why = find_metric(metric), "as asked for"
    check_labels(found, head.labels, outputs)
    if found.name in ("accuracy", "cross_entropy"):
        check_labels(found, pool.labels, outputs)
    return found, why


def _split(
    calibration: Samples | None,
    validation: Samples | None,
    metric: Metric,
    goal: Goal,
    share: float | None,
) -> tuple[Splits, list[str]]:
    """Split, with as large a guard as the budget needs; notes for the report."""
    is_classes = metric.name in ("accuracy", "cross_entropy")

    def split(guard_share: float) -> Splits:
        return split_samples(
            calibration,
            validation,
            guard_share=guard_share,
            is_classes=is_classes,
            seed=goal.seed,
        )

    splits, notes = split(share or 0.5), []
    if metric.is_binary and share is None:
        n = len(splits.search) + len(splits.guard)
        wanted = choose_guard_share(n, goal.max_drop, goal.alpha)
        splits = split(wanted) if wanted > 0.5 else splits
    if metric.is_binary and _floor(metric, splits, goal) > goal.max_drop:
        if share is None:
            splits = split(1.0)
            notes.append("all validation samples are guard: a part would prove less")
        n = len(splits.guard)
        if _floor(metric, splits, goal) > goal.max_drop:
            raise InputError(
                f"max_drop={goal.max_drop:g} cannot be proven: "
                f"{power_text(n, goal.alpha)}. Give at least "
                f"{least_guard(goal.max_drop, goal.alpha)} samples for the guard, or "
                "allow more"
            )
    if splits.n_shared:
        what = "a part calibrates" if splits.is_split else "they were left out"
        notes.append(
            f"{splits.n_shared} validation samples are calibration samples too: {what}"
        )
    return splits, notes


def _floor(metric: Metric, splits: Splits, goal: Goal) -> float:
    """The bound where nothing becomes worse."""
    n = len(splits.guard)
    return drop_upper_bound(0, 0, n, alpha=goal.alpha, can_improve=metric.can_improve)


def _judged(
    model: Model, metric: Metric, splits: Splits, output: str | None
) -> tuple[Judged, Judged]:
    """Search and guard with what float32 gives for them."""
    guard = Judged.of(
        metric, splits.guard, run_samples(model, splits.guard, output=output)
    )
    if metric.truth == "labels" and splits.search.labels is None:
        metric = METRICS["top_1_agreement" if metric.is_binary else "sqnr"]
    reference = run_samples(model, splits.search, output=output)
    return Judged.of(metric, splits.search, reference), guard


# ---- the whole of it -----------------------------------------------------------


def optimize(
    model: Any,
    *,
    calibration: Any,
    validation: Any,
    metric: Any,
    output: str | None,
    goal: Goal,
    guard_share: float | None,
    deadline: Deadline,
    journal: Any,
    progress: Progress,
    ranges: str = "auto",
    quantizer: Any = None,
    timer: Any = None,
) -> OptimizationReport:
    """Do what `optimize_model` does; tests say what quantises and what times.

    Parameters
    ----------
    model, calibration, validation, metric, output, guard_share, journal, ranges
        As `optimize_model` takes them.
    goal : Goal
        Its precisions may be empty: those of the processor.
    deadline : Deadline
    progress : Progress
    quantizer : callable, optional
        (model, samples, precisions) -> Backend.
    timer : Timer, optional

    Returns
    -------
    report : OptimizationReport

    Raises
    ------
    InputError
        See `optimize_model`.
    """
    from trimtab.load import load_model
    from trimtab.model import Model
    from trimtab.optimize.finish import make_report

    if not isinstance(model, Model):
        model = load_model(model)
    require_tensors(model, "optimize_model")
    if output is not None:
        _one_of("output", output, [spec.name for spec in model.outputs])
    first, second = _take(model, calibration, validation)
    pool = second if second is not None else first
    assert pool is not None
    chosen, why = _choose_metric(model, metric, pool, output)
    splits, notes = _split(first, second, chosen, goal, guard_share)
    search, guard = _judged(model, chosen, splits, output)
    if not goal.precisions:
        goal = replace(goal, precisions=host_names())
    book = Journal(journal, _key(model, splits, chosen, goal, output, ranges))
    outcome, backend = _stay(), None
    stages = {"data": deadline.spent_s}
    one = splits.calibration
    n_timed = _N_THROUGHPUT if goal.name == "throughput" else 1
    inputs = join_samples(model, one.take(range(min(len(one), n_timed))))
    timer = timer or Timer()
    try:
        progress.begin("calibration", 4)
        if quantizer is None:
            backend = Quantizer(
                model,
                splits.calibration,
                precisions=goal.precisions,
                ranges=ranges,
                on_step=lambda what: progress.step(),
                is_late=lambda: deadline.is_over_share(_ROUNDING_SHARE),
            )
        else:
            backend = quantizer(model, splits.calibration, goal.precisions)
        stages["calibration"] = deadline.spent_s - sum(stages.values())
        if ranges == "auto" and getattr(backend, "ranges", None):
            notes.append(f"ranges: {backend.ranges}, of least noise all in int8")
        run = Search(
            backend,
            timer,
            model,
            search,
            guard,
            goal,
            inputs=inputs,
            deadline=deadline,
            journal=book,
            progress=progress,
            output=output,
        )
        outcome = run.outcome
        outcome = run.run()
    except KeyboardInterrupt:
        notes.append("interrupted")
        outcome.reason = f"interrupted: {outcome.reason}"
    finally:
        book.close()
        progress.close()
    stages["search"] = deadline.spent_s - sum(stages.values())
    if book.n_resumed:
        notes.append(f"{book.n_resumed} results are from the journal")
    return make_report(
        model,
        backend,
        outcome,
        goal=goal,
        metric=chosen,
        metric_reason=why,
        splits=splits,
        timer=timer,
        inputs=inputs,
        stages=stages,
        deadline=deadline,
        notes=notes,
        golden=splits.calibration.take(range(min(len(one), _N_GOLDEN))),
    )


def _stay() -> Outcome:
    return Outcome({}, "before anything was proven")


def _key(
    model: Model,
    splits: Splits,
    metric: Metric,
    goal: Goal,
    output: str | None,
    ranges: str,
) -> str:
    """Digest of all that results depend on."""
    from trimtab import __version__, _core

    digest = hashlib.blake2b(digest_size=16)
    _add_graph(digest, model._graph_again())
    for part in (splits.calibration, splits.search, splits.guard):
        for one in part.digests():
            digest.update(one)
        if part.labels is not None:
            labels = np.ascontiguousarray(part.labels)
            digest.update(f"{labels.dtype}{labels.shape}".encode() + labels.tobytes())
    host = (_core.dnnl_info().get("effective_isa"), model.threads)
    what = (__version__, metric.name, goal, output, ranges, host)
    digest.update(repr(what).encode())
    return digest.hexdigest()


def _add_graph(digest: Any, graph: GraphModel) -> None:
    from trimtab.wire import encode

    digest.update(encode(graph)[0])
    for part in graph.graphs():
        for name, constant in sorted(part.constants.items()):
            digest.update(f"{name}:{constant.dtype}:{constant.shape};".encode())
            if constant.dtype != "string":
                elements: Array = np.ascontiguousarray(constant.elements())
                digest.update(elements.reshape(-1).view(np.uint8).data)
