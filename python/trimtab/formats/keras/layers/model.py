"""Models: a graph or a list of layers, at the top or as a layer of another model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.errors import ModelFormatError
from trimtab.formats.keras.apply import apply_layer, check_layer
from trimtab.formats.keras.calls import Ref, replace_refs
from trimtab.formats.keras.layer import LayerContext, Tensor
from trimtab.formats.keras.network import Entry, Network, read_layers, read_network
from trimtab.graph import DTYPES, Dims

__all__ = ["functional", "sequential"]

_MAX_RANK = 12


def functional(context: LayerContext) -> list[Tensor]:
    """Functional, Model: layers wired by name.

    Parameters
    ----------
    context : LayerContext
        Without arguments for the model of a file, whose inputs are then made.

    Returns
    -------
    outputs : list of Tensor

    Raises
    ------
    ModelFormatError
        The wiring is malformed.

    Examples
    --------
    >>> functional(context)                                # doctest: +SKIP
    """
    network = read_network(context.config.values, context.where, context.source.limits)
    values = _inputs(context, network)

    def tensor(ref: Ref) -> Tensor:
        found = values.get((ref.layer, ref.node))
        if found is None or ref.tensor >= len(found):
            raise context.error(
                f"layer {ref.layer[:80]!r} has no output {ref.tensor} of call "
                f"{ref.node}"
            )
        return found[ref.tensor]

    for key in network.order:
        call = network.calls[key]
        args = tuple(replace_refs(arg, tensor) for arg in call.args)
        kwargs = replace_refs(call.kwargs, tensor)
        entry = network.layers[key[0]]
        values[key] = _apply(context, entry, args, kwargs)
    refs = network.outputs
    return [tensor(r) for r in (refs.values() if isinstance(refs, dict) else refs)]


def _inputs(
    context: LayerContext, network: Network
) -> dict[tuple[str, int], list[Tensor]]:
    """The tensors of the InputLayers: made at the top, else the call's arguments."""
    refs = network.inputs
    named = refs if isinstance(refs, dict) else {ref.layer: ref for ref in refs}
    given: Any = context.args[0] if context.args else None
    if not context.args and not context.kwargs:
        tensors = [
            _make_input(context, _entry(context, network, ref))
            for ref in named.values()
        ]
    elif isinstance(given, Mapping) and set(named) <= set(given):
        tensors = [given[name] for name in named]
    else:
        tensors = context.inputs
    if len(tensors) != len(named):
        raise context.error(f"expected {len(named)} inputs, got {len(tensors)}")
    return {
        (ref.layer, ref.node): [tensor]
        for ref, tensor in zip(named.values(), tensors, strict=True)
    }


def _entry(context: LayerContext, network: Network, ref: Ref) -> Entry:
    if ref.layer not in network.layers:
        raise context.error(f"input {ref.layer[:80]!r} is no layer")
    return network.layers[ref.layer]


def _make_input(context: LayerContext, entry: Entry) -> Tensor:
    """Add an input of the graph for an InputLayer."""
    class_name, config = check_layer(entry.serialised, context.where)
    if class_name != "InputLayer":
        raise context.error(f"input {entry.name[:80]!r} is a {class_name}")
    key = "batch_shape" if config.has("batch_shape") else "batch_input_shape"
    for option in ("sparse", "ragged"):
        if config.has(option) and config.flag(option):
            raise context.unsupported(f"input {entry.name!r} is {option}")
    shape = config.value(key)
    dtype = config.text("dtype", "float32")
    return _input(context, entry.name, shape, dtype)


def _input(context: LayerContext, name: str, given: Any, dtype: str) -> Tensor:
    if (
        not isinstance(given, list)
        or not 0 < len(given) <= _MAX_RANK
        or not all(_is_dim(dim) for dim in given)
    ):
        raise context.error(f"input {name[:80]!r}: its shape is {given!r:.80}")
    if dtype not in DTYPES:
        raise context.error(f"input {name[:80]!r}: unknown dtype {dtype[:80]!r}")
    symbols = ["batch", *(f"{name}_dim{axis}" for axis in range(1, len(given)))]
    shape: Dims = tuple(
        symbol if dim is None else dim
        for dim, symbol in zip(given, symbols, strict=True)
    )
    return Tensor(context.source.builder.input(name, dtype, shape), dtype, shape)


def _is_dim(dim: Any) -> bool:
    return dim is None or (
        isinstance(dim, int) and not isinstance(dim, bool) and 0 < dim < 1 << 31
    )


def sequential(context: LayerContext) -> list[Tensor]:
    """Sequential: one layer after the other.

    Parameters
    ----------
    context : LayerContext
        Without arguments for the model of a file, whose input is then made.

    Returns
    -------
    outputs : list of Tensor

    Raises
    ------
    ModelFormatError
        A layer has several outputs, or the input's shape is not in the file.

    Examples
    --------
    >>> sequential(context)                                # doctest: +SKIP
    """
    limits = context.source.limits
    layers = read_layers(context.config.values.get("layers"), context.where, limits)
    starts = bool(layers) and layers[0].serialised.get("class_name") == "InputLayer"
    if context.args or context.kwargs:
        tensors = context.inputs
    elif starts:
        tensors = [_make_input(context, layers[0])]
    else:
        tensors = [_first_input(context, layers)]
    for entry in layers[starts:]:
        if len(tensors) != 1:
            raise context.error(
                f"layer {entry.name[:80]!r} gets {len(tensors)} inputs; in a "
                "Sequential every layer has one"
            )
        tensors = _apply(context, entry, (tensors[0],), {})
    return tensors


def _first_input(context: LayerContext, layers: list[Entry]) -> Tensor:
    """The input of a Sequential that has no InputLayer: its shape is elsewhere."""
    candidates: list[Mapping[str, Any]] = [context.config.values]
    name = f"{layers[0].name}_input" if layers else "input"
    dtype = "float32"
    item: Any = layers[0].serialised if layers else {}
    while isinstance(item, dict) and isinstance(config := item.get("config"), dict):
        candidates.append(config)
        build = item.get("build_config")
        if isinstance(build, dict):
            candidates.append({"build_input_shape": build.get("input_shape")})
        if item.get("class_name") == "InputLayer" and isinstance(
            config.get("dtype"), str
        ):
            dtype = config["dtype"]
        inner = config.get("layers")
        item = inner[0] if isinstance(inner, list) and inner else None
    for key in ("batch_shape", "batch_input_shape", "build_input_shape"):
        for each in candidates:
            if each.get(key):
                return _input(context, name, each[key], dtype)
    raise ModelFormatError(
        f"{context.where}: the file does not say the shape of the input: the model was "
        "never built. Call it once, or give it keras.Input(shape), and save it again"
    )


def _apply(
    context: LayerContext, entry: Entry, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[Tensor]:
    """Call a layer of the model."""
    class_name, config = check_layer(entry.serialised, context.where)
    config.where = f"layer {entry.name[:80]!r} ({class_name[:80]})"
    name = f"{context.name}/{entry.name}" if context.name else entry.name
    inside = LayerContext(
        context.source,
        name,
        class_name,
        config,
        context.weights.inside(entry.part, config.where, entry.name),
        args,
        kwargs,
        context.depth + 1,
    )
    outputs = apply_layer(inside)
    inside.weights.check_all_taken()
    return outputs
