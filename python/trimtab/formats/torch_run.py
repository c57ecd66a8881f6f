"""Running torch's own programs and modules on arrays, for reference outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trimtab.types import Array

__all__ = ["run_module", "run_program"]


def _to_tensor(torch: Any, array: Array) -> Any:
    """A copy, of bfloat16 or a float of 8 bits too."""
    if array.dtype.kind != "V":
        return torch.from_numpy(np.array(array))
    bits = np.array(array).view(f"u{array.dtype.itemsize}")
    return torch.from_numpy(bits).view(getattr(torch, array.dtype.name))


def _to_array(torch: Any, tensor: Any) -> Array:
    """A copy in memory of NumPy."""
    tensor = tensor.detach().cpu().contiguous()
    try:
        return np.array(tensor.numpy())
    except TypeError:  # a type that NumPy lacks
        import ml_dtypes

        name = str(tensor.dtype).removeprefix("torch.")
        bits = tensor.view(getattr(torch, f"uint{8 * tensor.element_size()}"))
        return np.array(bits.numpy()).view(getattr(ml_dtypes, name))


def _call_with(torch: Any, example: Any, arrays: Sequence[Array]) -> Any:
    """Arrays in the places of an example's tensors."""
    leaves, tree = torch.utils._pytree.tree_flatten(example)
    is_tensor = [isinstance(leaf, (np.ndarray, torch.Tensor)) for leaf in leaves]
    if sum(is_tensor) != len(arrays):
        raise ValueError(f"{len(arrays)} inputs for {sum(is_tensor)} tensors")
    left = iter(arrays)
    filled = [
        _to_tensor(torch, next(left)) if is_one else leaf
        for leaf, is_one in zip(leaves, is_tensor, strict=True)
    ]
    return torch.utils._pytree.tree_unflatten(filled, tree)


def run_program(torch: Any, program: Any, arrays: Sequence[Array]) -> list[Array]:
    """Run an exported program.

    Parameters
    ----------
    torch : module
    program : torch.export.ExportedProgram
    arrays : sequence of ndarray
        Its inputs that are tensors, in order.

    Returns
    -------
    outputs : list of ndarray
        Those that are tensors, in order.

    Raises
    ------
    ValueError
        There are more or fewer inputs.

    Examples
    --------
    >>> run_program(torch, program, [x])                   # doctest: +SKIP
    [array(...)]
    """
    pytree = torch.utils._pytree
    wanted = program.graph_signature.user_inputs
    if sum(isinstance(name, str) for name in wanted) != len(arrays):
        raise ValueError(f"{len(arrays)} inputs for {list(wanted)}")
    left = iter(arrays)
    leaves = [
        _to_tensor(torch, next(left)) if isinstance(name, str) else name
        for name in wanted
    ]
    positional, named = pytree.tree_unflatten(leaves, program.call_spec.in_spec)
    with torch.no_grad():
        results = program.module()(*positional, **named)
    return [
        _to_array(torch, leaf)
        for leaf in pytree.tree_leaves(results)
        if isinstance(leaf, torch.Tensor)
    ]


def run_module(
    torch: Any, module: Any, example: Any, arrays: Sequence[Array]
) -> list[Array]:
    """Run a module in evaluation mode, as it was traced.

    Parameters
    ----------
    torch : module
    module : torch.nn.Module
    example : sequence, mapping, array or tensor
        Arguments that it was traced with.
    arrays : sequence of ndarray
        What to put in the places of their tensors.

    Returns
    -------
    outputs : list of ndarray

    Examples
    --------
    >>> run_module(torch, net, (x,), [x])                  # doctest: +SKIP
    [array(...)]
    """
    from trimtab.formats.torch_module import evaluating, keeping_buffers

    if isinstance(example, (np.ndarray, torch.Tensor)):
        example = (example,)
    given = _call_with(torch, example, arrays)
    tensor = next(iter([*module.parameters(), *module.buffers()]), None)
    if tensor is not None:
        given = torch.utils._pytree.tree_map_only(
            torch.Tensor, lambda leaf: leaf.to(tensor.device), given
        )
    positional, named = ((), given) if isinstance(given, Mapping) else (given, {})
    with evaluating(module), torch.no_grad(), keeping_buffers(torch, module):
        results = module(*positional, **named)
    return [
        _to_array(torch, leaf)
        for leaf in torch.utils._pytree.tree_leaves(results)
        if isinstance(leaf, torch.Tensor)
    ]
