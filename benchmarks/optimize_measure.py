"""Latency and quality of one model in all its variants, engine by engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.common import ratio_of_rounds, to_plain
from benchmarks.labelled import Arrays
from benchmarks.optimize_build import ONLY
from benchmarks.optimize_cases import Case
from benchmarks.paired import agreement, cosine, drop_of, signal_to_noise
from benchmarks.rounds import Crew, Effort, Rounds, take_rounds
from benchmarks.worker import WorkerError

OPTIMISED, F32 = "trimtab#optimised", "trimtab"
PROBABILITY = "trimtab#probability"
# a worker's label -> the tool that made its file; None is the model as it is
VARIANTS: dict[str, str | None] = {
    "trimtab": None,
    "trimtab_bf16": None,
    "trimtab#optimised": "trimtab",
    "trimtab#probability": "trimtab_probability",
    "onnxruntime": None,
    "onnxruntime#static": "onnxruntime_static",
    "onnxruntime#default": "onnxruntime_default",
    "onnxruntime#dynamic": "onnxruntime_dynamic",
    "openvino": None,
    "openvino_bf16": None,
    "openvino#nncf": "nncf",
    "openvino_bf16#nncf": "nncf",
}
# contender over base: the ratios that are formed within the rounds
PAIRS = (
    ("trimtab_bf16", F32),
    (OPTIMISED, F32),
    (PROBABILITY, F32),
    (OPTIMISED, "onnxruntime#static"),
    (OPTIMISED, "openvino#nncf"),
    (OPTIMISED, "openvino_bf16#nncf"),
    ("openvino_bf16", "openvino"),
    ("openvino#nncf", "openvino"),
    ("openvino_bf16#nncf", "openvino"),
    ("onnxruntime#static", "onnxruntime"),
    ("onnxruntime#default", "onnxruntime"),
    ("onnxruntime#dynamic", "onnxruntime"),
)
REFERENCE = ("onnxruntime", F32)  # whose f32 answers are the truth
CHUNK = 250  # samples of one request, so that none times out


@dataclass(frozen=True)
class Loaded:
    """Labels whose worker holds the case, and why the others do not."""

    ready: list[str]
    errors: dict[str, str]


def load(
    workers: Crew,
    case: Case,
    built: Mapping[str, Mapping[str, Any]],
    threads: int,
    folder: Path,
) -> Loaded:
    """Give every worker its variant of the model.

    Parameters
    ----------
    workers : Crew
    case : Case
    built : mapping
        Tool to what `benchmarks.optimize_build` answered.
    threads : int
    folder : Path
        Where the inputs are written.
    """
    feeds_path = folder / "feeds.npz"
    np.savez(feeds_path, **dict[str, Any](case.latency))
    ready, errors = [], {}
    for label in workers:
        tool = VARIANTS[label]
        if tool in ONLY and case.name not in ONLY[tool]:
            continue
        answer = built.get(tool, {"error": "not built"}) if tool else {}
        if "error" in answer:
            errors[label] = str(answer["error"])
            continue
        path = answer.get("path", str(case.path))
        try:
            workers[label].ask("feeds", path=str(feeds_path))
            workers[label].ask("load", path=path, threads=threads)
        except WorkerError as error:
            errors[label] = str(error).removeprefix(f"{label}: ")
            continue
        ready.append(label)
    return Loaded(ready, errors)


def latency(workers: Crew, loaded: Loaded, effort: Effort) -> dict[str, Any]:
    """Interleaved rounds of all variants, and the ratios of `PAIRS`."""
    found = take_rounds(workers, loaded.ready, effort, contender=OPTIMISED, bases=[F32])
    entry: dict[str, Any] = to_plain(
        {
            "engines": {
                label: by_kind["plain"] for label, by_kind in found.timings.items()
            },
            "ratios": list(_ratios(found)),
            "errors": loaded.errors | found.errors,
        }
    )
    return entry


def _ratios(found: Rounds) -> Iterable[dict[str, Any]]:
    for contender, base in PAIRS:
        if contender in found.timings and base in found.timings:
            mine = found.timings[contender]["plain"]
            other = found.timings[base]["plain"]
            ratio = ratio_of_rounds(
                mine.rounds_s, other.rounds_s, mine.best_s, other.best_s
            )
            yield {"contender": contender, "base": base, "ratio": to_plain(ratio)}


def predict(
    workers: Crew, label: str, inputs: Arrays, folder: Path
) -> npt.NDArray[np.floating]:
    """A loaded variant's only output for samples along axis 0."""
    n = len(next(iter(inputs.values())))
    source, out = folder / "samples.npz", folder / "predicted.npz"
    parts = []
    for begin in range(0, n, CHUNK):
        some = {name: array[begin : begin + CHUNK] for name, array in inputs.items()}
        np.savez(source, **dict[str, Any](some))
        workers[label].ask("predict", path=str(source), out=str(out))
        with np.load(out) as file:
            parts.append(file[file.files[0]])
    return np.concatenate(parts)


def quality(
    workers: Crew, case: Case, loaded: Loaded, folder: Path, *, n_pool: int | None
) -> dict[str, Any]:
    """Every variant against f32: on the held-out samples, and on labels if any.

    Parameters
    ----------
    n_pool : int, optional
        At most so many labelled samples; all when None. Those that `optimize_model`
        was given are left out.
    """
    # the half that optimize_build gave to no one
    pool = case.pool and case.pool.rows(slice(1, None, 2)).rows(slice(n_pool))
    answers: dict[str, npt.NDArray[np.floating]] = {}
    classes: dict[str, npt.NDArray[np.int64]] = {}
    errors: dict[str, str] = {}
    for label in loaded.ready:
        try:
            answers[label] = predict(workers, label, case.held_out, folder)
            if pool is not None:
                logits = predict(workers, label, pool.inputs, folder)
                classes[label] = logits.argmax(axis=-1)
        except WorkerError as error:
            errors[label] = str(error)
    base = next((x for x in REFERENCE if x in answers), None)
    figures: dict[str, dict[str, Any]] = {}
    for label, found in answers.items():
        if base is None or label in errors:
            continue
        near = cosine(answers[base], found)
        figures[label] = {
            "sqnr_db": signal_to_noise(answers[base], found),
            "cosine_mean": float(near.mean()),
            "cosine_min": float(near.min()),
        }
        if case.answer == "class":
            figures[label]["agreement"] = agreement(answers[base], found)
        if pool is not None:
            drop = drop_of(classes[base], classes[label], pool.labels)
            figures[label]["accuracy"] = drop
    n = len(next(iter(case.held_out.values())))
    entry: dict[str, Any] = to_plain(
        {"reference": base, "n": n, "engines": figures, "errors": errors}
    )
    return entry
