"""explain_model: which parts of an input an answer rests on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.evaluate.predict import Predictor, make_predictor
from trimtab.explain.attention_rollout import attention_rollout
from trimtab.explain.explanation import Explanation
from trimtab.explain.game import Found, Game
from trimtab.explain.input_gradient import InputGradient
from trimtab.explain.integrated_gradients import integrated_gradients, n_integrated
from trimtab.explain.kernel_shap import kernel_shap, n_shap
from trimtab.explain.occlusion import n_occlusion, occlusion
from trimtab.explain.parts import guess_kind, make_parts
from trimtab.explain.permutation_importance import permutation_importance
from trimtab.explain.sample import Sample, engine_of, take_sample
from trimtab.optimize.progress import Progress
from trimtab.types import Array

__all__ = ["METHODS", "explain_model"]

_N_SAMPLES = 1024
_MOST_SAMPLES = 1_000_000
_N_REPEATS = 5


@dataclass(frozen=True)
class _Method:
    """A method that plays with the parts of one input."""

    run: Callable[..., Found]
    n: Callable[[int, int], int]


_GAMES = {
    "occlusion": _Method(occlusion, lambda parts, samples: n_occlusion(parts)),
    "integrated_gradients": _Method(integrated_gradients, n_integrated),
    "kernel_shap": _Method(kernel_shap, n_shap),
}
#: Methods by name.
METHODS = (*_GAMES, "attention_rollout", "permutation_importance")

# Kind -> method that "auto" takes, and why.
_AUTO = {
    "image": ("occlusion", "one answer a patch"),
    "audio": ("occlusion", "one answer a segment"),
    "tokens": ("occlusion", "one answer a token"),
    "text": ("occlusion", "one answer a word"),
    "vector": ("kernel_shap", "features act together"),
}


def explain_model(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    method: str = "auto",
    target: int | tuple[int, ...] | str | None = None,
    background: Any = None,
    kind: str | None = None,
    n_parts: int | None = None,
    names: Sequence[str] | None = None,
    input: str | None = None,
    output: str | int | None = None,
    metric: Any = None,
    n_samples: int = _N_SAMPLES,
    n_repeats: int = _N_REPEATS,
    seed: int = 0,
    progress: Callable[[int, int, str], Any] | bool | None = None,
) -> Explanation:
    """Explain an answer of the model that is served, quantised or not.

    Nothing but answers of the model is needed (and its attention, for
    attention_rollout): parts of the input are left out, blended or shuffled. Models in
    float32 whose operators the engine can differentiate give integrated gradients
    by their gradients.

    Parameters
    ----------
    model : Model, Pipeline, Deployment, path, estimator or callable
        A callable takes a batch and gives an array with a leading dim of samples.
    x : array, str, tuple of arrays or dict of arrays
        One sample, with or without its dim of 1; for permutation_importance a table of
        shape (n, features).
    y : array-like of shape (n,), optional
        Labels, for permutation_importance.
    method : str, default="auto"
        "occlusion" (Zeiler and Fergus 2014), "integrated_gradients" (Sundararajan et
        al. 2017), "kernel_shap" (Lundberg and Lee 2017), "attention_rollout" (Abnar and
        Zuidema 2020) or "permutation_importance" (Breiman 2001). "auto": occlusion, of
        vectors kernel_shap, with labels permutation_importance.
    target : int, tuple of int or str, optional
        Which number of the answer; a class by name where the model has names. By
        default the largest. For attention_rollout the token whose mixture is asked for,
        by default the mean over all.
    background : array-like, optional
        What stands where parts are left out: one sample, several (answers are
        averaged, 1,000 at most), or a number. By default zeros, of images the mean of
        each channel; tokens are hidden by the model's attention mask, if it takes one.
    kind : {"image", "audio", "tokens", "vector", "text"}, optional
        By default guessed from shape and dtype.
    n_parts : int, optional
        Of an image parts along its longer side (7), of a recording all (40).
    names : sequence of str, optional
        Of features or tokens.
    input : str, optional
        Which input is divided, of a model with several; by default the first whose
        elements are numbers that vary.
    output : str or int, optional
        Which output counts.
    metric : str or callable, optional
        Of permutation_importance: a name of `trimtab.metrics.METRICS`, or a function
        (y, answers) -> number of which greater is better. By default accuracy, or R2
        where labels are fractions.
    n_samples : int, default=1024
        Answers to spend, about, where a method can be told.
    n_repeats : int, default=5
        Of permutation_importance.
    seed : int, default=0
    progress : callable or bool, optional
        Called with (done, total, what); None: a bar on a terminal; False: nothing.

    Returns
    -------
    explanation : Explanation

    Raises
    ------
    InputError
        Anything does not fit: shapes, the target, the method, or the answers are not
        finite.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.array([[1.0], [-2.0], [0.0]])
    >>> explain_model(lambda x: x @ weights, np.array([3.0, 1.0, 5.0]),
    ...               names=["age", "income", "shoe"], progress=False)
    kernel_shap of <lambda>: 1 at (0,), 0 for the background
    part    value
    age         3
    income     -2
    shoe        0
    """
    if method not in ("auto", *METHODS):
        raise InputError(f"method: expected one of {list(METHODS)}, got {method!r}")
    if not 1 <= n_samples <= _MOST_SAMPLES:
        raise InputError(
            f"n_samples: expected a number from 1 to {_MOST_SAMPLES}, got {n_samples}"
        )
    if method == "permutation_importance" or (method == "auto" and y is not None):
        return _of_data(
            model, x, y, metric, names, output, n_repeats, seed, Progress(progress)
        )
    predictor = make_predictor(model, output=output)
    sample = take_sample(model, predictor, x, input)
    if method == "attention_rollout":
        return _rollout(model, predictor, sample, target, names)
    found_kind = kind or guess_kind(sample.x)
    why = "asked for"
    if method == "auto":
        method, why = _AUTO.get(found_kind, _AUTO["vector"])
        why = f"{found_kind}: {why}"
    if found_kind in ("text", "tokens") and method == "integrated_gradients":
        raise InputError(f"{method}: {found_kind} cannot be blended; use occlusion")
    parts = make_parts(
        sample.x, found_kind, background=background, n_parts=n_parts, names=names
    )
    if found_kind == "tokens" and background is None:
        sample = sample.hiding()
    bar = Progress(progress)
    bar.begin(
        "explaining", 2 + parts.n_backgrounds * _GAMES[method].n(parts.n, n_samples)
    )
    try:
        game = Game(
            predictor,
            parts,
            sample.assemble,
            _class_of(model, target),
            bar.step,
        )
        notes = sample.notes
        if method == "integrated_gradients":
            notes += _slope(game, model, predictor, sample, output)
        found = _GAMES[method].run(game, n_samples=n_samples, seed=seed)
    finally:
        bar.close()
    return Explanation(
        method,
        why,
        found_kind,
        found.values,
        parts.names,
        predictor.name,
        game.target,
        _name_of(model, game.target),
        game.prediction,
        game.base,
        std=found.std,
        n_inputs=game.n_inputs,
        x=None if found_kind == "text" else sample.x,
        labels=parts.labels,
        grid=parts.grid,
        notes=(*notes, *found.notes),
    )


def _slope(
    game: Game,
    model: Any,
    predictor: Predictor,
    sample: Sample,
    output: str | int | None,
) -> tuple[str, ...]:
    """Let the game know gradients where the engine does; else say why not."""
    engine = engine_of(model)
    pipeline = None if engine is model else getattr(model, "pipeline", model)
    steps = ("preprocess", "postprocess")
    has_steps = any(getattr(pipeline, stage, None) for stage in steps)
    if engine is None or has_steps or sample.name is None or predictor.note:
        return ()
    at = output if isinstance(output, int) else 0
    name = output if isinstance(output, str) else engine.outputs[at].name
    found = InputGradient.of(
        engine, sample.rows, sample.name, name, game.target, game.shape,
        predictor.batch_size,
    )  # fmt: skip
    if isinstance(found, str):
        return (f"no gradients: {found}",)
    game.slope = found
    return ()


def _class_of(model: Any, target: Any) -> int | tuple[int, ...] | None:
    if not isinstance(target, str):
        return None if target is None else target
    names = list(_class_names(model))
    if target not in names:
        raise InputError(
            f"target: no class is named {target!r}"
            + ("; the model names none" if not names else "")
        )
    return names.index(target)


def _class_names(model: Any) -> Sequence[str]:
    return getattr(engine_of(model), "class_names", None) or ()


def _name_of(model: Any, target: tuple[int, ...]) -> str:
    names = _class_names(model)
    is_class = len(target) == 1 and target[0] < len(names)
    return str(names[target[0]]) if is_class else ""


def _rollout(
    model: Any,
    predictor: Predictor,
    sample: Sample,
    target: Any,
    names: Sequence[str] | None,
) -> Explanation:
    engine = engine_of(model)
    if engine is None or not sample.inputs:
        raise InputError(
            "attention_rollout: expected a Model and its inputs, got "
            f"{type(model).__name__}: load it with load_model"
        )
    if target is not None and not isinstance(target, int | np.integer):
        raise InputError(f"target: expected the number of a token, got {target!r}")
    shares, n_layers = attention_rollout(
        engine, sample.inputs, None if target is None else int(target)
    )
    found = tuple(map(str, names)) if names is not None else ()
    if found and len(found) != len(shares):
        raise InputError(f"names: expected {len(shares)}, got {len(found)}")
    return Explanation(
        "attention_rollout",
        f"{n_layers} layers of attention",
        "tokens",
        shares,
        found or tuple(map(str, range(len(shares)))),
        predictor.name,
        () if target is None else (int(target),),
        n_inputs=1,
        notes=(f"shares of attention through {n_layers} layers; they sum to 1",),
    )


def _of_data(
    model: Any,
    x: Any,
    y: Any,
    metric: Any,
    names: Sequence[str] | None,
    output: str | int | None,
    n_repeats: int,
    seed: int,
    bar: Progress,
) -> Explanation:
    if y is None:
        raise InputError("permutation_importance needs labels: explain_model(m, x, y)")
    rows, labels = np.asarray(x), np.asarray(y)
    predictor = make_predictor(model, output=output)
    name, score = _score(metric, labels)
    if names is not None and (rows.ndim != 2 or len(names) != rows.shape[1]):
        raise InputError(f"names: expected one for each column of {list(rows.shape)}")
    width = rows.shape[1] if rows.ndim == 2 else 0
    bar.begin("shuffling", width * n_repeats)
    try:
        found = permutation_importance(
            lambda data: predictor(data, len(data)),
            rows,
            labels,
            score,
            n_repeats=n_repeats,
            seed=seed,
            on_step=bar.step,
        )
    finally:
        bar.close()
    return Explanation(
        "permutation_importance",
        f"loss of {name}",
        "table",
        found.importances_mean,
        tuple(map(str, names if names is not None else range(width))),
        predictor.name,
        std=found.importances_std,
        n_inputs=len(rows) * (1 + width * n_repeats),
        notes=(f"{name} is {found.score:.4g} on {len(rows)} samples",),
    )


def _score(metric: Any, labels: Array) -> tuple[str, Callable[[Array, Any], float]]:
    """A function of which greater is better."""
    if callable(metric):
        return getattr(metric, "__name__", "metric"), metric
    from trimtab.metrics import find_metric

    is_class = labels.dtype.kind in "iub" or (
        labels.dtype.kind == "f" and bool((labels == np.round(labels)).all())
    )
    chosen = find_metric(metric or ("accuracy" if is_class else "r2"))
    sign = 1.0 if chosen.greater_is_better else -1.0

    def score(y: Array, answers: Any) -> float:
        given = np.asarray(answers)
        if chosen.needs == "labels" and given.ndim == 2:
            given = given.argmax(axis=1) if given.shape[1] > 1 else given[:, 0]
        elif given.ndim == 2 and given.shape[1] == 1:
            given = given[:, 0]
        return sign * float(chosen.function(y, given))

    return chosen.name, score
