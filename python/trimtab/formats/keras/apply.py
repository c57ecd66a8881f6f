"""One call of one layer: its rule is found, checked and run.

Enters: a serialised layer (class_name, config) or a `LayerContext`. Leaves: the
outputs of the call.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from trimtab.errors import ModelFormatError, ModelLimitError, UnsupportedOpError
from trimtab.formats.keras.config import Config
from trimtab.formats.keras.layer import LayerContext, Rule, Tensor
from trimtab.formats.keras.safety import check_registration
from trimtab.formats.keras.table import LAYERS

__all__ = ["apply_layer", "check_layer", "find_rule", "open_layer"]

_MAX_DEPTH = 16  # models and wrappers inside each other
_OPERATION_MODULES = ("keras.src.ops", "keras.ops", "keras.src.activations")


def check_layer(serialised: Mapping[str, Any], where: str) -> tuple[str, Config]:
    """Check a serialised layer: its class is Keras' own, its config an object.

    Parameters
    ----------
    serialised : mapping
    where : str
        What it is part of, for messages.

    Returns
    -------
    class_name : str
        Of a layer, or "ops." and that of an operation of keras.ops.
    config : Config

    Raises
    ------
    ModelFormatError
        It is malformed.
    UnsafeModelError
        Its class is not Keras' own.

    Examples
    --------
    >>> layer = {"class_name": "Dense", "config": {"name": "d", "units": 2}}
    >>> check_layer(layer, "model 'm'")[1].where
    "layer 'd' (Dense)"
    """
    config = serialised.get("config")
    if not isinstance(config, dict):
        raise ModelFormatError(
            f"{where}: a layer's config is no object: {config!r:.80}"
        )
    name = config.get("name", serialised.get("name", ""))
    if not isinstance(name, str):
        raise ModelFormatError(f"{where}: a layer's name is no text: {name!r:.80}")
    class_name = serialised.get("class_name")
    here = f"layer {name[:80]!r} ({class_name!s:.80})"
    check_registration(serialised, here)
    if _is_operation(serialised, config):
        class_name = f"ops.{class_name}"
    return str(class_name), Config(config, here)


def _is_operation(serialised: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Is it an operation of keras.ops, whose class may be called as a layer's is?

    HDF5 files do not say the module; operations have no ``trainable``.
    """
    module = serialised.get("module")
    if module:
        return bool(module.startswith(_OPERATION_MODULES))
    if "trainable" in config:
        return False
    from trimtab.formats.keras.layers.operations import OPERATIONS

    return serialised.get("class_name") in OPERATIONS


def find_rule(class_name: str, where: str) -> Rule:
    """Find the rule of a class.

    Parameters
    ----------
    class_name : str
    where : str
        Opens the message.

    Returns
    -------
    rule : callable

    Raises
    ------
    UnsupportedOpError
        There is none.

    Examples
    --------
    >>> find_rule("Dense9", "layer 'd' (Dense9)")
    Traceback (most recent call last):
        ...
    trimtab.errors.UnsupportedOpError: layer 'd' (Dense9): trimtab has no rule for \
Keras' class 'Dense9'
    """
    rule_name = LAYERS.get(class_name, "")
    if class_name.startswith("ops."):
        rule_name = "operations:operation"
    if not rule_name:
        raise UnsupportedOpError(
            f"{where}: trimtab has no rule for Keras' class {class_name[:80]!r}"
        )
    module, _, function = rule_name.partition(":")
    rule: Rule = getattr(
        importlib.import_module(f"trimtab.formats.keras.layers.{module}"), function
    )
    return rule


def open_layer(
    outer: LayerContext, serialised: Mapping[str, Any], part: str
) -> LayerContext:
    """Prepare a call of a layer inside another.

    Parameters
    ----------
    outer : LayerContext
    serialised : mapping
        class_name and config of the inner layer.
    part : str
        Its path in the weights.

    Returns
    -------
    context : LayerContext
        Without arguments.

    Raises
    ------
    ModelFormatError
        It is malformed.
    UnsafeModelError
        Its class is not Keras' own.

    Examples
    --------
    >>> open_layer(context, {"class_name": "GRU", "config": {}}, "layer")
    ...                                                    # doctest: +SKIP
    """
    class_name, config = check_layer(serialised, outer.where)
    config.where = f"{outer.where}: {part} ({class_name[:80]})"
    return LayerContext(
        outer.source,
        f"{outer.name}/{part}",
        class_name,
        config,
        outer.weights.inside(part, config.where),
        depth=outer.depth + 1,
    )


def apply_layer(context: LayerContext) -> list[Tensor]:
    """Run the rule of a layer.

    Parameters
    ----------
    context : LayerContext

    Returns
    -------
    outputs : list of Tensor

    Raises
    ------
    ModelFormatError
        Config, weights or inputs do not fit the layer.
    UnsupportedOpError
        No rule for it, or not for these options.
    ModelLimitError
        It is nested too deeply.

    Examples
    --------
    >>> apply_layer(context)                               # doctest: +SKIP
    [Tensor(name='d/Add', dtype='float32', shape=('batch', 2), mask=None)]
    """
    if context.depth > _MAX_DEPTH:
        raise ModelLimitError(f"{context.where}: more than {_MAX_DEPTH} layers deep")
    _check_precision(context)
    outputs = find_rule(context.class_name, context.where)(context)
    return [outputs] if isinstance(outputs, Tensor) else outputs


def _check_precision(context: LayerContext) -> None:
    """Quantised layers compute otherwise."""
    policy = context.config.values.get("dtype")
    while isinstance(policy, dict):
        policy = policy.get("config", policy.get("name", ""))
        policy = policy.get("name", "") if isinstance(policy, dict) else policy
    if isinstance(policy, str) and "_from_" in policy:
        raise context.unsupported(f"quantised weights ({policy[:80]!r}) are not read")
