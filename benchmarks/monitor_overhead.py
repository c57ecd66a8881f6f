"""What counting costs: calls of a deployment, watched and not, in interleaved rounds.

A round asks each of the ways for a block of calls, in random order; ratios are formed
inside the round. *off* is the pipeline without a deployment around it, *counters* is
a deployment as `deploy_model` makes it, *monitored* the same with a sketch of each
input feature and of each output. *calls* are those of the model alone, without what a
pipeline checks: what is left of *off* to *calls* is not the watcher's.
"""

from __future__ import annotations

import itertools
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import save_case, zoo_cases
from benchmarks.common import quartiles
from benchmarks.rounds import Effort

# Calls that make the reference of the monitor.
N_REFERENCE = 64
#: Names of the zoo, and the share that watching may cost.
TARGETS = {"tabular_50": 0.05, "efficientnet_lite0_dynamo": 0.01, "minilm_dynamo": 0.01}
BLOCK_CALLS_S = 0.05


def tabular(folder: Path, *, n_features: int = 50, width: int = 256) -> Any:
    """A net of about 20 us: 50 features, three dense layers, two classes."""
    from onnx import TensorProto, helper, numpy_helper, save

    rng = np.random.default_rng(0)
    sizes = [n_features, width, width, width, 2]
    nodes, constants, name = [], [], "x"
    for i, (n, m) in enumerate(itertools.pairwise(sizes)):
        weights = (rng.standard_normal((n, m)) / n**0.5).astype(np.float32)
        constants.append(numpy_helper.from_array(weights, f"w{i}"))
        nodes.append(helper.make_node("MatMul", [name, f"w{i}"], [f"h{i}"]))
        name = f"h{i}"
        if m != 2:
            nodes.append(helper.make_node("Relu", [name], [f"a{i}"]))
            name = f"a{i}"
    graph = helper.make_graph(
        nodes,
        "tabular",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", n_features))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ("n", 2))],
        constants,
    )
    path = folder / "tabular_50.onnx"
    opsets = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    x = rng.standard_normal((1, n_features)).astype(np.float32)
    return save_case(folder, "tabular_50", path, {"x": x})


def _monitored(model: Any, feeds: Sequence[np.ndarray]) -> Any:
    """A deployment with a monitor as `monitor_model` makes it, thread and all."""
    import trimtab

    rng = np.random.default_rng(0)

    def near(array: np.ndarray) -> np.ndarray:
        if array.dtype.kind != "f":
            return array
        return (array + 0.05 * rng.standard_normal(array.shape)).astype(array.dtype)

    calls = [tuple(near(array) for array in feeds) for _ in range(N_REFERENCE)]
    reference = trimtab.Reference.from_model(model, calls)
    return trimtab.monitor_model(model, reference=reference).deployment


def _block(call: Callable[[], Any], n: int) -> float:
    begun = time.perf_counter()
    for _ in range(n):
        call()
    return (time.perf_counter() - begun) / n


def _ratios(
    ways: dict[str, Callable[[], Any]], n_rounds: int
) -> dict[str, list[float]]:
    """Seconds per call of each way in each round."""
    rng, one = random.Random(0), _block(ways["off"], 3)
    n = max(1, round(BLOCK_CALLS_S / max(one, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in ways}
    for call in ways.values():
        _block(call, n)
    for _ in range(n_rounds):
        names = list(ways)
        rng.shuffle(names)
        for name in names:
            times[name].append(_block(ways[name], n))
    return times


def measure_case(case: Any, n_rounds: int, target: float) -> dict[str, Any]:
    """Measure one model with one thread.

    Parameters
    ----------
    case : Case
    n_rounds : int
    target : float
        Share of the time that watching may cost.

    Returns
    -------
    entry : dict
        ``cost`` of each way as a share of *off* (median, quartiles), and which share of
        the rows was looked at.
    """
    import trimtab

    model = trimtab.load_model(case.path, threads=1)
    with np.load(case.feeds_path) as arrays:
        feeds = tuple(arrays[spec.name] for spec in model.inputs)
    off = trimtab.Pipeline([], model)
    counters, monitored = trimtab.deploy_model(model), _monitored(model, feeds)
    request = feeds if len(feeds) > 1 else feeds[0]
    times = _ratios(
        {
            "calls": lambda: model(*feeds),
            "off": lambda: off(request),
            "counters": lambda: counters(request),
            "monitored": lambda: monitored(request),
        },
        n_rounds,
    )
    cost = {}
    for name in ("calls", "counters", "monitored"):
        shares = [a / b - 1 for a, b in zip(times[name], times["off"], strict=True)]
        low, middle, high = quartiles(shares)
        cost[name] = {"median": middle, "low": low, "high": high}
    snapshot = monitored.snapshot()
    return {
        "model": case.name,
        "off_s": statistics.median(times["off"]),
        "cost": cost,
        "looked_share": snapshot["n_rows_looked"] / snapshot["n_rows"],
        "target": target,
        "met": cost["monitored"]["median"] <= target,
    }


def measure(folder: Path, effort: Effort) -> list[dict[str, Any]]:
    """Measure the three models of the issue.

    Parameters
    ----------
    folder : Path
        For files of this run.
    effort : Effort
        ``n_rounds``, times four: the differences are small.

    Returns
    -------
    entries : list of dict
        As `measure_case`; models that cannot be had are left out.
    """
    wanted = ",".join(name for name in TARGETS if name != "tabular_50")
    cases, _ = zoo_cases(folder, wanted)
    return [
        measure_case(case, 4 * effort.n_rounds, TARGETS[case.name])
        for case in [tabular(folder), *cases]
    ]


def lines(entries: Sequence[dict[str, Any]]) -> list[str]:
    """One line of text for each model."""
    return [
        f"{entry['model']:28s} off {entry['off_s'] * 1e6:9.1f} us   "
        f"counters {entry['cost']['counters']['median']:+.2%}   "
        f"monitored {entry['cost']['monitored']['median']:+.2%} "
        f"({entry['cost']['monitored']['low']:+.2%} to "
        f"{entry['cost']['monitored']['high']:+.2%}), looked at "
        f"{entry['looked_share']:.0%}, target {entry['target']:.0%}"
        for entry in entries
    ]
