"""What a search is asked, what it judges by, and what it says.

`Goal` is the question, `Judged` are samples with float32's score on them, `Trial` is a
candidate on the search samples and `Outcome` is the answer.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from trimtab.optimize.guard import Bound, Scored, score
from trimtab.optimize.latency import LayerTime, Timing
from trimtab.optimize.metrics import Metric
from trimtab.optimize.samples import Runnable, Samples, run_samples
from trimtab.types import Array

__all__ = ["Choices", "Goal", "Judged", "Outcome", "Trial", "digest", "noise_of"]

Choices = dict[str, str]
"""Layer -> precision."""


@dataclass(frozen=True)
class Goal:
    """What is wanted.

    Parameters
    ----------
    max_drop : float
        Of the metric.
    name : {"latency", "throughput", "memory"}
    precisions : tuple of str
    alpha : float, default=0.05
        One-sided error of the proof.
    seed : int, default=0
    """

    max_drop: float
    name: str = "latency"
    precisions: tuple[str, ...] = ("f32", "bf16", "int8", "int8_winograd")
    alpha: float = 0.05
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Judged:
    """Samples, what is true of them, and how well float32 does.

    Parameters
    ----------
    metric : Metric
    samples : Samples
    reference : ndarray
        Outputs of float32.
    truth : ndarray
        Labels, or the reference.
    before : Scored
        Of float32.
    """

    metric: Metric
    samples: Samples
    reference: Array
    truth: Any
    before: Scored

    @classmethod
    def of(cls, metric: Metric, samples: Samples, reference: Array) -> Judged:
        """Score the outputs of float32.

        Parameters
        ----------
        metric : Metric
        samples : Samples
        reference : ndarray

        Returns
        -------
        judged : Judged
        """
        truth = reference if metric.truth == "f32" else samples.labels
        before = score(metric, truth, reference, whose="f32")
        return cls(metric, samples, reference, truth, before)

    def noise(self, outputs: Array) -> float:
        """Noise of outputs for the first samples, as it counts for the metric.

        Parameters
        ----------
        outputs : ndarray

        Returns
        -------
        noise : float
            A drop of the metric where that is noise: the mean of all samples, of which
            those with a weak signal may suffer most; else see `noise_of`.
        """
        reference = self.reference[: len(outputs)]
        noise = noise_of(reference, outputs)
        if not self.metric.is_noise or not math.isfinite(noise):
            return noise
        return -float(np.mean(self.metric.score(reference, outputs)))

    def judge(self, model: Runnable, output: str | None) -> tuple[Scored, float]:
        """Score a candidate.

        Parameters
        ----------
        model : Runnable
        output : str or None

        Returns
        -------
        scored : Scored
        noise : float
            See `noise_of`.
        """
        outputs = run_samples(model, self.samples, output=output)
        noise = noise_of(self.reference, outputs)
        if outputs.dtype.kind == "f" and not np.isfinite(outputs).all():
            worst = np.full(self.before.scores.shape, -np.inf)
            return Scored(worst, None, outputs), math.inf
        scored = score(self.metric, self.truth, outputs, whose="a candidate")
        if self.metric.forecast is not None:
            expected = self.metric.forecast(self.reference, outputs)
            scored = replace(scored, expected=expected)
        return scored, noise


@dataclass(frozen=True)
class Trial:
    """A candidate on the search samples.

    Parameters
    ----------
    choices : dict of str to str
    cost : float
        Estimated: milliseconds of a call, or bytes of weights.
    drop, predicted : float
        On the search samples, and the bound to be expected of the guard.
    noise : float
    """

    choices: Choices
    cost: float
    drop: float
    predicted: float
    noise: float


@dataclass
class Outcome:
    """What came out.

    Parameters
    ----------
    choices : dict of str to str
        Layer -> precision.
    reason : str
    bound : Bound or None
        None where float32 itself is returned.
    noise : float
        Of the choices, on the guard samples, relative to float32's output.
    """

    choices: Choices
    reason: str
    bound: Bound | None = None
    noise: float = 0.0
    timing: list[Timing] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    judged: list[tuple[Choices, Bound]] = field(default_factory=list)
    times: dict[str, dict[str, LayerTime]] = field(default_factory=dict)
    noises: dict[tuple[str, str], float] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)


def noise_of(reference: Array, outputs: Array) -> float:
    """Power of the error relative to that of the reference.

    Parameters
    ----------
    reference, outputs : ndarray

    Returns
    -------
    noise : float
        Of integers the share that differs. -10 log10 of it is the SQNR in dB.

    Examples
    --------
    >>> noise_of(np.array([1.0, 1.0]), np.array([1.0, 1.1]))
    0.005000000000000009
    """
    noise = power = 0.0
    is_ragged = object in (reference.dtype, outputs.dtype)
    pairs = (
        zip(reference, outputs, strict=True) if is_ragged else [(reference, outputs)]
    )
    for a, b in pairs:
        a64, b64 = np.asarray(a, np.float64), np.asarray(b, np.float64)
        if a64.shape != b64.shape or not np.isfinite(b64).all():
            return math.inf
        if reference.dtype.kind not in "fO":
            noise += float((a64 != b64).mean())
            power += 1.0
        else:
            noise += float(((a64 - b64) ** 2).sum())
            power += float((a64 * a64).sum())
    return noise / power if power else float(noise > 0)


def digest(choices: Mapping[str, str]) -> str:
    """Give choices a short name, for a journal.

    Parameters
    ----------
    choices : mapping of str to str

    Returns
    -------
    name : str

    Examples
    --------
    >>> digest({"a": "int8", "b": "f32"}) == digest({"b": "f32", "a": "int8"})
    True
    """
    text = json.dumps(sorted(choices.items()))
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
