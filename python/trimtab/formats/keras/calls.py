"""How layers are called in a functional model: inbound nodes, both styles.

Enters: ``inbound_nodes`` out of the config. Leaves: a `Call` for each, whose arguments
hold a `Ref` where a tensor belongs. Keras 3 writes args and kwargs; files before that
nested lists ``[layer, node, tensor, kwargs]``. Functions here recurse as deep as
`read_json` allows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trimtab.errors import ModelFormatError, UnsafeModelError, UnsupportedOpError

__all__ = ["Call", "Ref", "read_call", "read_refs", "refs_in", "replace_refs"]

_CONSTANT = "_CONSTANT_VALUE"


@dataclass(frozen=True)
class Ref:
    """An output of a call of a layer.

    Parameters
    ----------
    layer : str
    node : int
        Which call of the layer.
    tensor : int
        Which output of it.
    """

    layer: str
    node: int
    tensor: int


@dataclass(frozen=True)
class Call:
    """Arguments of a call, with `Ref` for tensors.

    Parameters
    ----------
    args : tuple
    kwargs : mapping
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def read_call(node: Any, where: str) -> Call:
    """Read one inbound node.

    Parameters
    ----------
    node : object
        Out of JSON.
    where : str
        Opens every message.

    Returns
    -------
    call : Call

    Raises
    ------
    ModelFormatError
        It is malformed.
    UnsafeModelError
        An argument is code.
    UnsupportedOpError
        An argument is of a kind that has no meaning here.

    Examples
    --------
    >>> read_call([["a", 0, 0, {}], ["b", 0, 0, {}]], "layer 'add'").args
    ([Ref(layer='a', node=0, tensor=0), Ref(layer='b', node=0, tensor=0)],)
    """
    if isinstance(node, dict) and "args" in node:
        args, kwargs = node["args"], node.get("kwargs") or {}
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise ModelFormatError(f"{where}: args and kwargs: {node!r:.80}")
        return Call(
            tuple(_value(item, where) for item in args),
            {key: _value(item, where) for key, item in kwargs.items()},
        )
    kwargs = {}
    first = _nested(node, where, kwargs)
    if isinstance(first, list) and len(first) == 1:
        first = first[0]
    return Call((first,), kwargs)


def _is_leaf(item: Any) -> bool:
    """Is it ``[layer, node, tensor]``, perhaps with kwargs?"""
    return (
        isinstance(item, list)
        and len(item) in (3, 4)
        and isinstance(item[0], str)
        and _is_index(item[1])
        and _is_index(item[2])
        and (len(item) == 3 or isinstance(item[3], dict))
    )


def _is_index(item: Any) -> bool:
    return isinstance(item, int) and not isinstance(item, bool) and 0 <= item < 1 << 31


def _nested(item: Any, where: str, kwargs: dict[str, Any]) -> Any:
    """The first argument in the style of nested lists; collects the kwargs."""
    if isinstance(item, list) and item and item[0] == _CONSTANT and len(item) > 2:
        _collect(item[3] if len(item) > 3 else {}, where, kwargs)
        return _old_value(item[2], where)
    if _is_leaf(item):
        _collect(item[3] if len(item) > 3 else {}, where, kwargs)
        return Ref(item[0], item[1], item[2])
    if isinstance(item, list):
        return [_nested(each, where, kwargs) for each in item]
    if isinstance(item, dict):
        return {key: _nested(each, where, kwargs) for key, each in item.items()}
    raise ModelFormatError(f"{where}: expected a call, got {item!r:.80}")


def _collect(found: dict[str, Any], where: str, kwargs: dict[str, Any]) -> None:
    for key, item in found.items():
        kwargs[key] = _old_value(item, where)


def _old_value(item: Any, where: str) -> Any:
    """An argument by name in the style of nested lists."""
    if _is_leaf(item):
        return Ref(item[0], item[1], item[2])
    if isinstance(item, list) and item and item[0] == _CONSTANT and len(item) > 2:
        return _old_value(item[2], where)
    if isinstance(item, list):
        return [_old_value(each, where) for each in item]
    return _value(item, where)


def _tuple(item: dict[str, Any], where: str) -> Any:
    items = item.get("items", item.get("config", []))
    if not isinstance(items, list):
        raise ModelFormatError(f"{where}: a tuple without items")
    return [_value(each, where) for each in items]


def _slice(item: dict[str, Any], where: str) -> Any:
    config = _config(item, where)
    return slice(*(_value(config.get(key), where) for key in ("start", "stop", "step")))


def _keras_tensor(item: dict[str, Any], where: str) -> Any:
    history = _config(item, where).get("keras_history")
    if not _is_leaf(history) or history is None:
        raise ModelFormatError(f"{where}: a tensor of no layer: {item!r:.80}")
    return Ref(history[0], history[1], history[2])


def _array(item: dict[str, Any], where: str) -> Any:
    config = _config(item, where)
    try:
        return np.array(config.get("value"), np.dtype(str(config.get("dtype"))))
    except (TypeError, ValueError) as error:
        raise ModelFormatError(f"{where}: a constant: {error!s:.200}") from None


def _config(item: dict[str, Any], where: str) -> dict[str, Any]:
    config = item.get("config")
    if not isinstance(config, dict):
        raise ModelFormatError(f"{where}: {item!r:.80} has no config")
    return config


_KINDS: dict[str, Callable[[dict[str, Any], str], Any]] = {
    "__tuple__": _tuple,
    "__slice__": _slice,
    "slice": _slice,
    "__ellipsis__": lambda item, where: Ellipsis,
    "__keras_tensor__": _keras_tensor,
    "__numpy__": _array,
    "__tensor__": _array,
}


def _value(item: Any, where: str) -> Any:
    """An argument in the style of Keras 3."""
    if isinstance(item, list):
        return [_value(each, where) for each in item]
    if not isinstance(item, dict):
        return item
    kind = item.get("class_name")
    if set(item) == {"start", "stop", "step"}:
        return _slice({"config": item}, where)
    if kind is None:
        return {key: _value(each, where) for key, each in item.items()}
    if kind == "__lambda__":
        raise UnsafeModelError(f"{where}: an argument holds Python bytecode")
    if kind in _KINDS:
        return _KINDS[kind](item, where)
    if kind == "DTypePolicy":
        return _config(item, where).get("name")
    raise UnsupportedOpError(f"{where}: an argument is a {kind!s:.80}")


def refs_in(value: Any) -> list[Ref]:
    """Find the tensors of an argument.

    Parameters
    ----------
    value : object

    Returns
    -------
    refs : list of Ref

    Examples
    --------
    >>> refs_in([Ref("a", 0, 0), 3])
    [Ref(layer='a', node=0, tensor=0)]
    """
    found: list[Ref] = []

    def note(ref: Ref) -> Ref:
        found.append(ref)
        return ref

    replace_refs(value, note)
    return found


def replace_refs(value: Any, replacement: Callable[[Ref], Any]) -> Any:
    """Replace the tensors of an argument.

    Parameters
    ----------
    value : object
    replacement : callable
        Takes a `Ref`.

    Returns
    -------
    value : object

    Examples
    --------
    >>> replace_refs({"mask": Ref("a", 0, 0)}, lambda ref: ref.layer)
    {'mask': 'a'}
    """
    if isinstance(value, Ref):
        return replacement(value)
    if isinstance(value, list | tuple):
        return type(value)(replace_refs(item, replacement) for item in value)
    if isinstance(value, Mapping):
        return {key: replace_refs(item, replacement) for key, item in value.items()}
    return value


def read_refs(value: Any, where: str) -> dict[str, Ref] | list[Ref]:
    """Read input_layers or output_layers.

    Parameters
    ----------
    value : object
        ``[layer, node, tensor]``, or lists or a dict of such.
    where : str
        Opens every message.

    Returns
    -------
    refs : dict or list

    Raises
    ------
    ModelFormatError
        It is malformed.

    Examples
    --------
    >>> read_refs(["a", 0, 0], "model 'm'")
    [Ref(layer='a', node=0, tensor=0)]
    """
    if isinstance(value, dict):
        named = {key: refs_in(_nested(item, where, {})) for key, item in value.items()}
        if all(len(refs) == 1 for refs in named.values()):
            return {key: refs[0] for key, refs in named.items()}
        return [ref for refs in named.values() for ref in refs]
    return refs_in(_nested(value, where, {}))
