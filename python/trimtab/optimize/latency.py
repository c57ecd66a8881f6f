"""How long each layer takes in each precision, and whole models beside each other.

Models are timed in turns on the same input, so that a machine that is busy with
something else slows all of them down; what counts are ratios.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.graph import Graph, Node
from trimtab.types import Array

__all__ = ["LayerTime", "Timer", "Timing", "layer_times"]

# Seconds that the calls of a round may take.
_ROUND_S = 0.5
# Nodes that are there because of a precision: their time is that of the layers.
_GLUE = frozenset(["QuantizeLinear", "DequantizeLinear", "Cast", "Identity", "none"])
# What a tensor passes through on its way from glue to the layer that reads it.
_THROUGH = frozenset(
    [*_GLUE, "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze"]
)


@dataclass(frozen=True)
class LayerTime:
    """What a layer takes.

    Parameters
    ----------
    time_us : float
        With the conversions that its precision costs.
    implementation : str
        oneDNN's name of the primitive.
    """

    time_us: float
    implementation: str = ""


@dataclass(frozen=True)
class Timing:
    """A model's time beside another one's.

    Parameters
    ----------
    latency_ms : float
        Median.
    ratio, ratio_low, ratio_high : float
        To the first model's, by round: median and quartiles.
    """

    latency_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float


class Timer:
    """Times models of this process.

    Parameters
    ----------
    repeat : int, default=10
        Calls of each round, at most.
    n_rounds : int, default=5
        Rounds, in each of which every model has its turn.
    clock : callable
        Seconds.
    """

    def __init__(
        self,
        repeat: int = 10,
        n_rounds: int = 5,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._repeat = repeat
        self._n_rounds = n_rounds
        self._clock = clock

    def layers(
        self,
        models: Mapping[str, Any],
        names: Sequence[str],
        inputs: Mapping[str, Array],
    ) -> dict[str, dict[str, LayerTime]]:
        """Time each layer in each of the models.

        Parameters
        ----------
        models : mapping of str to Model
            By whatever tells them apart, as their precision.
        names : sequence of str
            Of the layers.
        inputs : mapping of str to ndarray

        Returns
        -------
        times : dict of str to dict of str to LayerTime
            By model, then by layer: the least of the rounds' medians. Layers of a model
            whose steps cannot be timed one by one get equal shares of the whole.
        """
        graphs = {key: model._graph_again().graph for key, model in models.items()}
        found: dict[str, list[dict[str, LayerTime]]] = {key: [] for key in models}
        repeat = self._affordable(models, inputs)
        for _ in range(self._n_rounds):
            for key, model in models.items():
                profile = model.profile(inputs, repeat=repeat)
                times = layer_times(profile.nodes, graphs[key], names)
                if not times and names:
                    share = profile.latency_ms * 1e3 / len(names)
                    times = {name: LayerTime(share) for name in names}
                found[key].append(times)
        return {
            key: {name: _least([times[name] for times in rounds]) for name in rounds[0]}
            for key, rounds in found.items()
        }

    def _affordable(
        self, models: Mapping[str, Any], inputs: Mapping[str, Array]
    ) -> int:
        """Calls of a round: fewer where one takes long."""
        slowest = 0.0
        for model in models.values():
            model.run(inputs)  # compiles
            start = self._clock()
            model.run(inputs)
            slowest = max(slowest, self._clock() - start)
        return max(3, min(self._repeat, int(_ROUND_S / max(slowest, 1e-9))))

    def models(
        self,
        models: Sequence[Any],
        inputs: Mapping[str, Array],
        *,
        seconds: float = 2.0,
    ) -> list[Timing]:
        """Time whole models beside each other.

        Parameters
        ----------
        models : sequence of Model
            The first is what the others are compared with.
        inputs : mapping of str to ndarray
        seconds : float, default=2.0
            About how long it may take.

        Returns
        -------
        timings : list of Timing
        """
        for model in models:
            for _ in range(3):
                model.run(inputs)
        begin = self._clock()
        rounds: list[list[float]] = []
        while len(rounds) < 7 or (
            self._clock() - begin < seconds and len(rounds) < 500
        ):
            times = [0.0] * len(models)
            for i in range(len(models)):
                k = (i + len(rounds)) % len(models)  # nobody is always first
                start = self._clock()
                models[k].run(inputs)
                times[k] = self._clock() - start
            rounds.append(times)
        table = np.maximum(np.asarray(rounds), 1e-9)
        ratios = np.quantile(table / table[:, :1], [0.25, 0.5, 0.75], axis=0)
        medians = np.median(table, axis=0)
        return [
            Timing(float(medians[k]) * 1e3, *map(float, (half, low, high)))
            for k, (low, half, high) in enumerate(ratios.T)
        ]


def _least(times: Sequence[LayerTime]) -> LayerTime:
    """The round that others disturbed least: what they take can only be added."""
    return min(times, key=lambda one: one.time_us)


def layer_times(
    steps: Sequence[Any], graph: Graph, names: Sequence[str]
) -> dict[str, LayerTime]:
    """Share the times of a plan's steps out among the layers.

    A step that holds a layer is the layer's. One that only converts belongs to the
    layers that read what it gives, in equal shares; else to the one that made what it
    reads. What is neither is nobody's.

    Parameters
    ----------
    steps : sequence of NodeProfile
    graph : trimtab.graph.Graph
        That was run.
    names : sequence of str
        Of the layers.

    Returns
    -------
    times : dict of str to LayerTime
        Empty where no step is known.

    Examples
    --------
    >>> layer_times([], Graph("g"), ["conv1"])
    {}
    """
    if not steps:
        return {}
    wanted = set(names)
    by_name: dict[str, Node] = {}
    for node in graph.nodes:
        for name in (*node.outputs, node.name):
            by_name[name] = node
    layer_of = {id(by_name[name]): name for name in names if name in by_name}
    readers, makers = _edges(graph)
    times = dict.fromkeys(names, 0.0)
    implementations = dict.fromkeys(names, "")
    for step in steps:
        members = [by_name[n] for n in (step.name, *step.fused) if n in by_name]
        own = [layer_of[id(node)] for node in members if id(node) in layer_of]
        own += [name for name in (step.name,) if name in wanted and name not in own]
        if own:
            implementations[own[0]] = step.implementation
        elif step.op_type in _GLUE and members:
            own = _near(members[-1], layer_of, readers) or _near(
                members[0], layer_of, makers
            )
        for name in own:
            times[name] += step.time_us / len(own)
    nodes = {name: by_name[name] for name in names if name in by_name}
    _share_merged(times, implementations, nodes, graph)
    return {name: LayerTime(times[name], implementations[name]) for name in names}


def _share_merged(
    times: dict[str, float],
    implementations: dict[str, str],
    nodes: Mapping[str, Node],
    graph: Graph,
) -> None:
    """Share out what products of one tensor take that run as one.

    The step goes by the name of the first of them (query, key and value, say); each
    gets the share that its weights have.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for name, node in nodes.items():
        groups.setdefault((node.op_type, node.inputs[0]), []).append(name)
    for group in groups.values():
        hidden = [name for name in group if not implementations[name]]
        shown = [name for name in group if implementations[name]]
        if not hidden or not shown:
            continue
        # Only the first can have taken others in.
        merged = [shown[0], *hidden]
        sizes = [_n_weights(nodes[name], graph) for name in merged]
        total = sum(times[name] for name in merged)
        for name, size in zip(merged, sizes, strict=True):
            times[name] = total * size / sum(sizes)
            implementations[name] = implementations[shown[0]]


def _n_weights(node: Node, graph: Graph) -> int:
    """Elements of the weights, behind what converts them; 1 where nobody knows."""
    makers = {name: maker for maker in graph.nodes for name in maker.outputs}
    name = node.inputs[1] if len(node.inputs) > 1 else ""
    for _ in range(4):
        if name in makers and makers[name].op_type in _GLUE:
            name = makers[name].inputs[0]
    constant = graph.constants.get(name)
    return 1 if constant is None else max(1, int(np.prod(constant.shape)))


def _edges(graph: Graph) -> tuple[dict[int, list[Node]], dict[int, list[Node]]]:
    """Nodes that read each node, and that each node reads."""
    maker = {name: node for node in graph.nodes for name in node.outputs if name}
    readers: dict[int, list[Node]] = {id(node): [] for node in graph.nodes}
    makers: dict[int, list[Node]] = {id(node): [] for node in graph.nodes}
    for node in graph.nodes:
        for name in node.inputs:
            if name in maker:
                readers[id(maker[name])].append(node)
                makers[id(node)].append(maker[name])
    return readers, makers


def _near(
    node: Node, layer_of: Mapping[int, str], edges: Mapping[int, list[Node]]
) -> list[str]:
    """Layers next to a node, with nothing but conversions and views in between."""
    found: list[str] = []
    queue, seen = [node], {id(node)}
    for here in queue:  # grows while it is walked
        for other in edges[id(here)]:
            if id(other) in layer_of:
                found.append(layer_of[id(other)])
            elif id(other) not in seen and other.op_type in _THROUGH:
                seen.add(id(other))
                queue.append(other)
    return sorted(set(found))
