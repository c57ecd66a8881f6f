"""Models that are tables, layers that are noise and clocks that do as they are told.

With them a whole search takes milliseconds, and the true drop of what it returns is
known, because all answers of every candidate are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trimtab.optimize.journal import Journal
from trimtab.optimize.latency import LayerTime, Timing
from trimtab.optimize.metrics import METRICS
from trimtab.optimize.outcome import Goal, Judged
from trimtab.optimize.progress import Deadline, Progress
from trimtab.optimize.samples import Samples, run_samples
from trimtab.optimize.search import Search
from trimtab.signature import TensorSpec

SHARES = {"f32": 1.0, "bf16": 0.6, "int8": 0.3}  # of the time in float32
NOISES = {"f32": 0.0, "bf16": 0.05, "int8": 1.0}


@dataclass
class TableModel:
    """Answers by number of the sample."""

    table: np.ndarray
    choices: dict[str, str] = field(default_factory=dict)
    inputs = (TensorSpec("row", "int64", ("N",)),)
    outputs = (TensorSpec("logits", "float32", ("N", None)),)

    def run(self, inputs: Any) -> dict[str, np.ndarray]:
        return {"logits": self.table[inputs["row"]]}


@dataclass(frozen=True)
class FakeLayer:
    name: str
    op_type: str = "Gemm"
    kind: str = "gemm"
    precisions: tuple[str, ...] = ("f32", "bf16", "int8")


class TableBackend:
    """Each layer adds noise of its own to the answers, by its precision."""

    def __init__(
        self, table: np.ndarray, scales: Sequence[float], *, seed: int = 0
    ) -> None:
        self.table = table
        self.layers = [FakeLayer(f"layer{i}") for i in range(len(scales))]
        rng = np.random.default_rng(seed)
        self.noise = {
            layer.name: scale * rng.standard_normal(table.shape).astype(np.float32)
            for layer, scale in zip(self.layers, scales, strict=True)
        }
        self.n_built = 0
        self.times = {layer.name: 10.0 for layer in self.layers}

    def answers(self, choices: Mapping[str, str]) -> np.ndarray:
        table = self.table
        for name, precision in choices.items():
            if NOISES[precision]:
                table = table + NOISES[precision] * self.noise[name]
        return table

    def build(self, choices: Mapping[str, str], *, quick: bool = False) -> TableModel:
        self.n_built += 1
        return TableModel(self.answers(choices), dict(choices))

    def weight_bytes(self, layer: str, precision: str) -> int:
        return {"f32": 400, "bf16": 200, "int8": 100}[precision]

    def range_of(self, layer: str) -> tuple[float, float, float] | None:
        return -1.0, 1.0, 0.001


class FakeTimer:
    """Knows what everything takes. `slow`: layers that are slow beside others."""

    def __init__(self, backend: Any, *, slow: Sequence[str] = (), whole: float = 0):
        self.backend = backend
        self.slow = slow
        self.whole = whole
        self.n_calls = 0

    def _us(self, name: str, precision: str, key: str) -> float:
        if key == "chosen" and name in self.slow and precision != "f32":
            return 2 * self.backend.times[name]
        return self.backend.times[name] * SHARES[precision]

    def layers(self, models: Any, names: Any, inputs: Any) -> Any:
        self.n_calls += 1
        return {
            key: {
                name: LayerTime(
                    self._us(name, _precision(model, key, name), key), f"fake:{key}"
                )
                for name in names
            }
            for key, model in models.items()
        }

    def models(self, models: Any, inputs: Any, *, seconds: float = 2) -> list[Timing]:
        totals = [
            sum(
                us * SHARES[getattr(model, "choices", {}).get(name, "f32")]
                for name, us in self.backend.times.items()
            )
            for model in models
        ]
        ratios = [self.whole or total / totals[0] for total in totals]
        return [
            Timing(total / 1e3, ratio, ratio, ratio)
            for total, ratio in zip(totals, ratios, strict=True)
        ]


def _precision(model: Any, key: str, name: str) -> str:
    found = getattr(model, "choices", {}).get(name)
    return found or ("f32" if key == "chosen" else key if key in SHARES else "f32")


def labelled_table(n: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of ten classes that are right in some nine of ten rows, and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, n)
    table = rng.standard_normal((n, 10)).astype(np.float32)
    table[np.arange(n), labels] += rng.gamma(4.0, 1.2, n).astype(np.float32)
    return table, labels


def rows(chosen: np.ndarray, labels: np.ndarray | None) -> Samples:
    items = [{"row": np.asarray([i])} for i in chosen]
    return Samples(items, None if labels is None else labels[chosen])


def make_search(
    backend: Any,
    labels: np.ndarray,
    search: np.ndarray,
    guard: np.ndarray,
    goal: Goal,
    *,
    metric: str = "accuracy",
    timer: Any = None,
    journal: Journal | None = None,
    deadline: Deadline | None = None,
) -> Search:
    """A search over a table."""
    model = TableModel(backend.table)
    judged = []
    for chosen in (search, guard):
        samples = rows(chosen, labels)
        judged.append(Judged.of(METRICS[metric], samples, run_samples(model, samples)))
    return Search(
        backend,
        timer or FakeTimer(backend),
        model,
        *judged,
        goal,
        inputs={"row": np.zeros(1, np.int64)},
        deadline=deadline or Deadline(None),
        journal=journal or Journal(None, "test"),
        progress=Progress(False),
    )
