"""Reading tensors in the middle of a model, without editing the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from trimtab import _core
from trimtab.errors import InputError
from trimtab.types import Array

__all__ = ["Tap", "Taps"]


class Tap:
    """One tensor of a model as something to call: ``model.taps["name"](x)``."""

    def __init__(self, name: str, program: _core.Program) -> None:
        self.name = name
        self._program = program

    def __call__(self, *inputs: Any, **named: Any) -> Array:
        """Run what the tensor depends on, and return it."""
        value: Array = self._program(*inputs, **named)
        return value

    def __repr__(self) -> str:
        """Give the tensor's name."""
        return f"Tap({self.name!r})"


class Taps(Sequence[str]):
    """All tensors that nodes of the model compute: a sequence of their names.

    ``model.taps["name"]`` is a `Tap`; `run` reads several in one go. Only the
    nodes that the tensors depend on run.

    Examples
    --------
    >>> model.taps["conv1"](x).shape                       # doctest: +SKIP
    (1, 64, 112, 112)
    >>> model.taps.run(x, ["conv1", "pool5"])              # doctest: +SKIP
    {'conv1': array(...), 'pool5': array(...)}
    """

    def __init__(
        self,
        names: Sequence[str],
        program: Callable[[tuple[str, ...]], _core.Program],
        arguments: Callable[[Any], list[Any]],
    ) -> None:
        self._names = tuple(names)
        self._known = frozenset(names)
        self._program = program
        self._arguments = arguments

    def _check(self, name: str) -> None:
        if name in self._known:
            return
        near = [known for known in self._names if name.lower() in known.lower()][:5]
        hint = f"; near: {near}" if near else ""
        raise InputError(f"the model has no tensor {name!r} that a node computes{hint}")

    def __getitem__(self, key: Any) -> Any:
        """Tap of a tensor, by its name; by number: the name."""
        if not isinstance(key, str):
            return self._names[key]
        self._check(key)
        return Tap(key, self._program((key,)))

    def __len__(self) -> int:
        """Give the number of tensors."""
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        """Names in the order in which nodes compute them."""
        return iter(self._names)

    def __contains__(self, name: object) -> bool:
        """Is there a tensor of this name?"""
        return name in self._known

    def run(self, inputs: Any, names: Sequence[str]) -> dict[str, Array]:
        """Compute several tensors in one run.

        Parameters
        ----------
        inputs : array, tuple of arrays, or mapping of str to array
            As in `Model.run`.
        names : sequence of str
            Tensors to read.

        Returns
        -------
        tensors : dict of str to ndarray
        """
        for name in names:
            self._check(name)
        program = self._program(tuple(names))
        return dict(zip(names, program.run(*self._arguments(inputs)), strict=True))

    def __repr__(self) -> str:
        """Give the names, the middle left out when there are many."""
        names = list(self._names)
        if len(names) > 12:
            names = [*names[:6], "...", *names[-5:]]
        return f"Taps({len(self._names)}: {', '.join(names)})"
