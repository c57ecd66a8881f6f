"""torch.nn.Module -> `Model`: traced with example inputs, then converted.

Enters: a module of the user's, which is left as it was. Tried in turn: torch.export
with dim 0 of every input free, with all dims fixed, and the older exporter that
records TorchScript.
"""

from __future__ import annotations

import inspect
import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from trimtab.errors import InputError, UnsupportedOpError
from trimtab.formats.naming import name_dims
from trimtab.formats.onnx import read_onnx
from trimtab.formats.torch_onnx import (
    convert_program,
    finish,
    import_torch,
    input_names,
    output_names,
    silence,
    silence_native,
    why,
)
from trimtab.graph import Model
from trimtab.limits import Limits

__all__ = ["evaluating", "keeping_buffers", "read_torch_module"]

_BATCH = "batch"
_OPSET = 18  # of the TorchScript exporter, which knows no newer one well


def read_torch_module(
    module: Any,
    limits: Limits,
    *,
    example_inputs: Any = None,
    dynamic_shapes: Any = None,
) -> Model:
    """Convert a module.

    Parameters
    ----------
    module : torch.nn.Module
        Converted in evaluation mode; its weights are copied, its mode is restored.
    limits : Limits
    example_inputs : sequence or mapping
        What ``forward`` takes: arrays or tensors, by position or by name.
    dynamic_shapes : object, optional
        As `torch.export.export` takes them; by default dim 0 of every tensor may
        vary as far as the module allows it.

    Returns
    -------
    model : Model

    Raises
    ------
    InputError
        There are no example inputs, or ``forward`` does not take them.
    UnsupportedOpError
        It cannot be traced or expressed in ONNX.

    Examples
    --------
    >>> read_torch_module(net, Limits(), example_inputs=(x,))  # doctest: +SKIP
    Model('main_graph': x -> output, 12 nodes)
    """
    torch = import_torch(needs_exporter=False)
    if example_inputs is None:
        raise InputError(
            f"a torch module ({type(module).__name__}) is traced to be converted: pass "
            f"load_model(module, example_inputs=({_arguments_text(module)},)), arrays "
            "or tensors of typical shape and dtype, as forward takes them"
        )
    arguments, named = _examples(torch, module, example_inputs)
    traced = _Traced(torch, module, arguments, named, limits)
    with evaluating(module), torch.no_grad():
        model = traced.convert(dynamic_shapes)
    for note in traced.notes:
        warnings.warn(note, stacklevel=7)  # where load_model is called
    model.format = "torch"
    return model


# ---- what goes in ------------------------------------------------------------------


def _arguments_text(module: Any) -> str:
    try:
        names = list(inspect.signature(module.forward).parameters)
    except (TypeError, ValueError):
        return "x"
    return ", ".join(names) or "x"


def _examples(
    torch: Any, module: Any, given: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and named arguments as tensors where the module is."""
    tensor = next(iter([*module.parameters(), *module.buffers()]), None)
    tree_map = torch.utils._pytree.tree_map
    device = "cpu" if tensor is None else tensor.device

    def convert(leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray):
            leaf = torch.from_numpy(np.array(leaf))
        if isinstance(leaf, torch.Tensor):
            return leaf.detach().to(device)
        return leaf

    if isinstance(given, (np.ndarray, torch.Tensor)):
        given = (given,)
    if not isinstance(given, (Sequence, Mapping)) or isinstance(given, (str, bytes)):
        raise InputError(
            "example_inputs: expected a tuple of arrays or tensors, or a dict of them "
            f"by the names of forward's arguments, got {type(given).__name__}"
        )
    if isinstance(given, Mapping):
        return (), tree_map(convert, dict(given))
    return tuple(tree_map(convert, list(given))), {}


@contextmanager
def evaluating(module: Any) -> Iterator[None]:
    """Evaluation mode; the mode of each part is restored.

    Parameters
    ----------
    module : torch.nn.Module

    Returns
    -------
    context : context manager

    Examples
    --------
    >>> with evaluating(net):                              # doctest: +SKIP
    ...     net(x)
    """
    modes = [(part, part.training) for part in module.modules()]
    try:
        module.eval()
        yield
    finally:
        for part, training in modes:
            part.training = training


def _check_call(
    torch: Any, module: Any, arguments: tuple[Any, ...], named: dict[str, Any]
) -> None:
    with keeping_buffers(torch, module):
        try:
            module(*arguments, **named)
        except Exception as error:
            raise InputError(
                f"example_inputs: {type(module).__name__}.forward does not take them: "
                f"{type(error).__name__}: {error}"
            ) from error


@contextmanager
def keeping_buffers(torch: Any, module: Any) -> Iterator[None]:
    """Buffers that ``forward`` writes to get their values back.

    Parameters
    ----------
    torch : module
    module : torch.nn.Module

    Returns
    -------
    context : context manager

    Examples
    --------
    >>> with keeping_buffers(torch, net):                  # doctest: +SKIP
    ...     net(x)
    """
    before = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, value in before:
            if buffer.shape == value.shape and not torch.equal(buffer, value):
                buffer.copy_(value)


# ---- torch.export ------------------------------------------------------------------


class _Traced:
    """One module and its arguments; `notes` are what the user should know."""

    def __init__(
        self,
        torch: Any,
        module: Any,
        arguments: tuple[Any, ...],
        named: dict[str, Any],
        limits: Limits,
    ) -> None:
        self._torch = torch
        self._module = module
        self._arguments = arguments
        self._named = named
        self._limits = limits
        self._tree_map: Any = torch.utils._pytree.tree_map
        self.notes: list[str] = []

    def convert(self, dynamic_shapes: Any) -> Model:
        """By the first way that works.

        ``forward`` runs once before: its own error is clearer than a tracer's, and
        tracers accept dtypes that do not go together.
        """
        _check_call(self._torch, self._module, self._arguments, self._named)
        problems: list[str] = []
        for attempt in self._ways(dynamic_shapes):
            self.notes = []
            try:
                return attempt()
            except ImportError:
                raise
            except Exception as error:  # tracing runs code of the user's and torch's
                problems.append(why(error))
        told = "\n".join(f"- {text}" for text in dict.fromkeys(problems))
        raise UnsupportedOpError(
            f"{type(self._module).__name__} cannot be converted:\n{told}"
        )

    def _ways(self, dynamic_shapes: Any) -> list[Callable[[], Model]]:
        is_scripted = isinstance(self._module, self._torch.jit.ScriptModule)
        if dynamic_shapes is not None:
            if is_scripted:
                raise InputError(
                    "dynamic_shapes= does not apply to TorchScript: dim 0 of every "
                    "input may vary"
                )
            return [lambda: self._by_export(dynamic_shapes)]
        ways: list[Callable[[], Model]] = []
        if not is_scripted:
            ways = [self._with_two_rows, self._with_free_dims, self._fixed]
        if not self._named:
            ways.append(self._by_torchscript)
        return ways

    def _with_two_rows(self) -> Model:
        """Each dim 0 is free; a size of 1, which torch.export fixes, becomes 2."""
        return self._free(self._widen)

    def _with_free_dims(self) -> Model:
        """Each dim 0 is free as far as the module allows it."""
        return self._free(lambda leaf: leaf)

    def _free(self, change: Callable[[Any], Any]) -> Model:
        arguments = self._tree_map(change, self._arguments)
        named = self._tree_map(change, self._named)
        shapes = self._tree_map(self._free_dims, named or arguments)
        model = self._by_export(shapes, arguments, named)
        fixed = [
            f"{value.name!r} ({value.shape[0]})"
            for value in model.graph.inputs
            if value.shape and isinstance(value.shape[0], int)
        ]
        if fixed:
            self.notes.append(
                f"{type(self._module).__name__} fixes dim 0 of {', '.join(fixed)} to "
                "what it is in example_inputs; dynamic_shapes= says which dims may vary"
            )
        return model

    def _fixed(self) -> Model:
        """All dims as they are in the examples."""
        model = self._by_export(None)
        self.notes.append(
            f"{type(self._module).__name__} cannot be traced with a free dim 0: the "
            "model takes inputs of the shapes of example_inputs only; dynamic_shapes= "
            "says which dims may vary"
        )
        return model

    def _is_free(self, leaf: Any) -> bool:
        return isinstance(leaf, self._torch.Tensor) and leaf.dim() > 0

    def _widen(self, leaf: Any) -> Any:
        is_single = self._is_free(leaf) and leaf.shape[0] == 1
        return self._torch.cat([leaf, leaf]) if is_single else leaf

    def _free_dims(self, leaf: Any) -> Any:
        return {0: self._torch.export.Dim.AUTO} if self._is_free(leaf) else None

    def _by_export(
        self, dynamic_shapes: Any, arguments: Any = None, named: Any = None
    ) -> Model:
        torch = import_torch()
        with silence():
            program = torch.export.export(
                self._module,
                self._arguments if arguments is None else arguments,
                (self._named if named is None else named) or None,
                dynamic_shapes=dynamic_shapes,
                strict=False,
            )
        model, notes = convert_program(torch, program, self._limits)
        self.notes += notes
        name_dims(model, _dim_names(torch, model, dynamic_shapes))
        return finish(model, input_names(program), output_names(torch, program))

    def _by_torchscript(self) -> Model:
        """The exporter that records one run: control flow is that of the examples."""
        names = _names_of_leaves(self._torch, self._module, self._arguments)
        file = io.BytesIO()
        keeping = keeping_buffers(self._torch, self._module)
        with silence(), silence_native(), keeping:
            self._torch.onnx.export(
                self._module,
                self._arguments,
                file,
                dynamo=False,
                input_names=names,
                dynamic_axes={name: {0: _BATCH} for name in names},
                opset_version=_OPSET,
            )
        self.notes.append(
            f"{type(self._module).__name__} was converted by torch's older exporter, "
            "which records one run: where forward depends on values or sizes, the "
            "model does what it did for example_inputs"
        )
        model = read_onnx(file.getvalue(), self._limits)
        n = len(model.graph.outputs)
        outputs = ["output"] if n == 1 else [f"output_{i}" for i in range(n)]
        return finish(model, names, outputs)


def _dim_names(torch: Any, model: Model, dynamic_shapes: Any) -> dict[str, str]:
    """Symbols of the inputs -> names of the user's torch.export.Dim."""

    def is_spec(item: Any) -> bool:
        """Does it speak of the dims of one tensor?"""
        if isinstance(item, (dict, list, tuple)):
            inner = item.values() if isinstance(item, dict) else item
            return not any(isinstance(part, (dict, list, tuple)) for part in inner)
        return True

    specs = torch.utils._pytree.tree_leaves(dynamic_shapes, is_leaf=is_spec)
    names: dict[str, str] = {}
    if len(specs) != len(model.graph.inputs):
        return names
    for value, spec in zip(model.graph.inputs, specs, strict=True):
        axes = dict(spec.items() if isinstance(spec, dict) else enumerate(spec or ()))
        for axis, symbol in enumerate(value.shape or ()):
            name = getattr(axes.get(axis), "__name__", "")
            if isinstance(symbol, str) and name.isidentifier():
                names[symbol] = name
    return names


def _names_of_leaves(torch: Any, module: Any, arguments: tuple[Any, ...]) -> list[str]:
    try:
        words = list(inspect.signature(module.forward).parameters)
    except (TypeError, ValueError):
        words = []
    names: list[str] = []
    for position, argument in enumerate(arguments):
        word = words[position] if position < len(words) else f"input_{position}"
        leaves = torch.utils._pytree.tree_leaves(argument)
        n = sum(isinstance(leaf, torch.Tensor) for leaf in leaves)
        names += [word] if n == 1 else [f"{word}_{i}" for i in range(n)]
    return names
