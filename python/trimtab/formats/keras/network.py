"""A functional model's layers and calls, in an order in which they can run.

Enters: the config of a functional model. Leaves: `Network`. Layers that are called
several times have several calls; a cycle, or a tensor of no layer, is an error.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from trimtab.errors import ModelFormatError, ModelLimitError
from trimtab.formats.keras.calls import Call, Ref, read_call, read_refs, refs_in
from trimtab.limits import Limits

__all__ = ["Entry", "Network", "read_layers", "read_network", "sequential_config"]

_GRAPHS = ("Functional", "Model")
_MODELS = (*_GRAPHS, "Sequential")

# Classes that Keras exports by another name than their own, by which weights go.
_OWN_NAMES = {"GroupQueryAttention": "GroupedQueryAttention"}


@dataclass(frozen=True)
class Entry:
    """A layer of a model.

    Parameters
    ----------
    name : str
        Unique in the model.
    part : str
        Where its weights are in a tree: "layers/conv2d_1".
    serialised : dict
        class_name and config.
    """

    name: str
    part: str
    serialised: dict[str, Any]


@dataclass(frozen=True)
class Network:
    """A functional model.

    Parameters
    ----------
    layers : dict of str to Entry
    order : list of (str, int)
        Calls, (layer, number), each after those that it needs. Inputs have none.
    calls : dict of (str, int) to Call
    inputs, outputs : dict or list of Ref
    """

    layers: dict[str, Entry]
    order: list[tuple[str, int]]
    calls: dict[tuple[str, int], Call]
    inputs: dict[str, Ref] | list[Ref]
    outputs: dict[str, Ref] | list[Ref]


def read_layers(value: Any, where: str, limits: Limits) -> list[Entry]:
    """Read the list of layers of a model.

    Parameters
    ----------
    value : object
        Out of JSON.
    where : str
        Opens every message.
    limits : Limits

    Returns
    -------
    layers : list of Entry

    Raises
    ------
    ModelFormatError
        It is malformed, or two layers have one name.

    Examples
    --------
    >>> layer = {"class_name": "Dense", "config": {"name": "d"}}
    >>> read_layers([layer], "model 'm'", Limits())[0].part
    'layers/dense'
    """
    if not isinstance(value, list):
        raise ModelFormatError(f"{where}: layers: expected a list, got {value!r:.80}")
    if len(value) > limits.max_nodes:
        raise ModelLimitError(f"{where} has more than {limits.max_nodes} layers")
    used: dict[str, int] = {}
    found: list[Entry] = []
    names: set[str] = set()
    for item in value:
        if isinstance(item, dict) and isinstance(item.get("config"), list):
            item = {**item, "config": sequential_config(item)}
        config = item.get("config") if isinstance(item, dict) else None
        if not isinstance(config, dict):
            raise ModelFormatError(f"{where}: expected a layer, got {item!r:.80}")
        name = item.get("name") or config.get("name")
        if not isinstance(name, str) or not name:
            raise ModelFormatError(f"{where}: a layer without a name: {item!r:.80}")
        if name in names:
            raise ModelFormatError(f"{where}: two layers are named {name[:80]!r}")
        names.add(name)
        class_name = str(item.get("class_name"))
        snake = _snake_case(_OWN_NAMES.get(class_name, class_name))
        number = used[snake] = used.get(snake, -1) + 1
        part = f"layers/{snake}_{number}" if number else f"layers/{snake}"
        found.append(Entry(name, part, item))
    return found


def sequential_config(serialised: Mapping[str, Any]) -> Any:
    """Give the config of a model; that of a Sequential before 2.2.3 was a list.

    Parameters
    ----------
    serialised : mapping

    Returns
    -------
    config : object

    Examples
    --------
    >>> sequential_config({"class_name": "Sequential", "config": []})
    {'name': 'sequential', 'layers': []}
    """
    config = serialised.get("config")
    if isinstance(config, list) and serialised.get("class_name") == "Sequential":
        return {"name": serialised.get("name", "sequential"), "layers": config}
    return config


def _snake_case(name: str) -> str:
    """As Keras 3 names the groups of layers: Conv2D -> conv2d."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def read_network(config: Mapping[str, Any], where: str, limits: Limits) -> Network:
    """Read the config of a functional model.

    Parameters
    ----------
    config : mapping
        layers, input_layers, output_layers.
    where : str
        Opens every message.
    limits : Limits

    Returns
    -------
    network : Network

    Raises
    ------
    ModelFormatError
        It is malformed.

    Examples
    --------
    >>> read_network({"layers": []}, "model 'm'", Limits())
    Traceback (most recent call last):
        ...
    trimtab.errors.ModelFormatError: model 'm': no output_layers
    """
    layers = read_layers(config.get("layers"), where, limits)
    for key in ("output_layers", "input_layers"):
        if not config.get(key):
            raise ModelFormatError(f"{where}: no {key}")
    inputs = read_refs(config["input_layers"], f"{where}: input_layers")
    outputs = read_refs(config["output_layers"], f"{where}: output_layers")
    found: dict[str, list[Call]] = {}
    n_calls = 0
    is_new = False
    for entry in layers:
        nodes = entry.serialised.get("inbound_nodes", [])
        if not isinstance(nodes, list):
            raise ModelFormatError(f"{where}: inbound_nodes of {entry.name[:80]!r}")
        n_calls += len(nodes)
        if n_calls > limits.max_nodes:
            raise ModelLimitError(f"{where} has more than {limits.max_nodes} calls")
        here = f"{where}: layer {entry.name[:80]!r}"
        is_new = is_new or any(isinstance(n, dict) and "args" in n for n in nodes)
        found[entry.name] = [read_call(node, here) for node in nodes if node]
    by_name = {entry.name: entry for entry in layers}
    if is_new:
        outputs = _from_zero(outputs, by_name)
    calls = _number(layers, found, _refs(outputs), is_new)
    order = _sort(by_name, calls, where)
    return Network(by_name, order, calls, inputs, outputs)


def _refs(refs: dict[str, Ref] | list[Ref]) -> Iterable[Ref]:
    return refs.values() if isinstance(refs, dict) else refs


def _from_zero(
    refs: dict[str, Ref] | list[Ref], layers: dict[str, Entry]
) -> dict[str, Ref] | list[Ref]:
    """Number calls of functional models among the outputs from 0.

    Keras 3 counts their own making as call 0 there, and not in the calls' arguments.
    """

    def moved(ref: Ref) -> Ref:
        entry = layers.get(ref.layer)
        is_graph = entry is not None and entry.serialised.get("class_name") in _GRAPHS
        return replace(ref, node=ref.node - 1) if is_graph and ref.node else ref

    if isinstance(refs, dict):
        return {key: moved(ref) for key, ref in refs.items()}
    return [moved(ref) for ref in refs]


def _number(
    layers: list[Entry],
    found: dict[str, list[Call]],
    ends: Iterable[Ref],
    is_new: bool,
) -> dict[tuple[str, int], Call]:
    """Number the calls. Before Keras 3 a model's own making counts as its call 0."""
    refs = [r for c in found.values() for call in c for r in _call_refs(call)]
    referred = {(ref.layer, ref.node) for ref in [*refs, *ends]}
    numbered = {}
    for entry in layers:
        is_model = entry.serialised.get("class_name") in _MODELS and not is_new
        first = int(is_model and (entry.name, 0) not in referred)
        for number, call in enumerate(found[entry.name], first):
            numbered[entry.name, number] = call
    return numbered


def _call_refs(call: Call) -> list[Ref]:
    return [*refs_in(call.args), *refs_in(call.kwargs)]


def _sort(
    layers: dict[str, Entry], calls: dict[tuple[str, int], Call], where: str
) -> list[tuple[str, int]]:
    """Order the calls: the file's order, each after what it needs."""
    waits: dict[tuple[str, int], int] = {}
    users: dict[tuple[str, int], list[tuple[str, int]]] = {}
    for key, call in calls.items():
        needs = {(ref.layer, ref.node) for ref in _call_refs(call)}
        for need in needs:
            if need[0] not in layers:
                raise ModelFormatError(
                    f"{where}: layer {key[0][:80]!r} takes a tensor of "
                    f"{need[0][:80]!r}, which is no layer"
                )
        needs = {need for need in needs if need in calls or not _is_input(layers, need)}
        waits[key] = len(needs)
        for need in needs:
            users.setdefault(need, []).append(key)
    ready = deque(key for key, n_waits in waits.items() if n_waits == 0)
    order = []
    while ready:
        key = ready.popleft()
        order.append(key)
        for user in users.get(key, ()):
            waits[user] -= 1
            if waits[user] == 0:
                ready.append(user)
    if len(order) != len(calls):
        stuck = next(key[0] for key, n_waits in waits.items() if n_waits)
        raise ModelFormatError(
            f"{where}: layer {stuck[:80]!r} waits for a tensor that no call gives, or "
            "for itself"
        )
    return order


def _is_input(layers: dict[str, Entry], key: tuple[str, int]) -> bool:
    return key[1] == 0 and layers[key[0]].serialised.get("class_name") == "InputLayer"
