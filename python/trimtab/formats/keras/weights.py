"""The weights of one layer, in the order in which its rule asks for them.

Two layouts. Keras 3 files are a tree: a layer's own weights are ``<path>/vars/0``,
``1``..., those of an object inside it ``<path>/<part>/vars/0``. Files before that, and
live objects, have one flat list per layer: its trainable weights, then the others. A
rule that asks in the order in which Keras makes the weights fits both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.errors import ModelFormatError
from trimtab.graph import Constant

__all__ = ["FlatWeights", "LayerWeights", "TreeWeights"]


class LayerWeights(ABC):
    """Weights of a layer that have not been taken yet.

    Parameters
    ----------
    where : str
        Opens every message: "layer 'conv' (Conv2D)".
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self._skips = False

    def take(
        self, name: str, shape: Sequence[int | None] | None = None, *, part: str = ""
    ) -> Constant:
        """Give the next weight.

        Parameters
        ----------
        name : str
            What it is, for messages: "kernel".
        shape : sequence of (int or None), optional
            Sizes that it must have; None for any.
        part : str, default=""
            Path of the object inside the layer that owns it: "cell", "query_dense".

        Returns
        -------
        weight : Constant

        Raises
        ------
        ModelFormatError
            There is none left, or it has another shape.

        Examples
        --------
        >>> weights = FlatWeights({"k": Constant.of([1.0])}, "layer 'd'")
        >>> weights.take("kernel", (1,)).shape
        (1,)
        """
        key, found = self._next(part)
        if found is None:
            raise ModelFormatError(
                f"{self.where}: the file has no weight for {part and part + '/'}{name}"
            )
        if shape is not None and not _fits(found.shape, shape):
            raise ModelFormatError(
                f"{self.where}: {part and part + '/'}{name}: expected shape "
                f"{tuple(shape)}, got {found.shape} (weight {key!r})"
            )
        return found

    @abstractmethod
    def _next(self, part: str) -> tuple[str, Constant | None]:
        """Key and value of the next weight of a part."""

    @abstractmethod
    def _inside(self, part: str, where: str, name: str) -> LayerWeights:
        """What `inside` gives."""

    @abstractmethod
    def _left_over(self) -> list[tuple[str, Constant]]:
        """Weights that the layer's rule should have taken."""

    def inside(self, part: str, where: str, name: str = "") -> LayerWeights:
        """Give the weights of a layer inside this one, taken on their own.

        Parameters
        ----------
        part : str
            Its path in the tree.
        where : str
            Opens the messages.
        name : str, optional
            Name of a layer of a nested model, by which a flat list is searched.

        Returns
        -------
        weights : LayerWeights

        Examples
        --------
        >>> weights.inside("forward_layer", "layer 'lstm'")    # doctest: +SKIP
        """
        return self._inside(part, where, name)

    def skip_rest(self) -> None:
        """Leave the rest: only training needs it.

        Examples
        --------
        >>> FlatWeights({"u": Constant.of([1.0])}, "layer 'd'").skip_rest()
        """
        self._skips = True

    def check_all_taken(self) -> None:
        """Complain about weights that the layer's rule did not take.

        Raises
        ------
        ModelFormatError
            There are some.

        Examples
        --------
        >>> FlatWeights({}, "layer 'd'").check_all_taken()
        """
        for key, left in [] if self._skips else self._left_over():
            raise ModelFormatError(
                f"{self.where}: weight {key!r} {left.shape} is one more than the "
                "layer's config asks for"
            )


class TreeWeights(LayerWeights):
    """Weights by paths, as Keras 3 stores them.

    Parameters
    ----------
    store : mapping of str to Constant
        All weights of the file.
    path : str
        Of the layer, without "/vars".
    where : str
        Opens every message.

    Examples
    --------
    >>> store = {"layers/dense/vars/0": Constant.of([1.0])}
    >>> TreeWeights(store, "layers/dense", "layer 'd'").take("kernel").shape
    (1,)
    """

    def __init__(self, store: Mapping[str, Constant], path: str, where: str) -> None:
        super().__init__(where)
        self._store = store
        self.path = path
        self._n_taken: dict[str, int] = {}

    def _next(self, part: str) -> tuple[str, Constant | None]:
        number = self._n_taken.get(part, 0)
        self._n_taken[part] = number + 1
        inner = f"{part}/vars/{number}" if part else f"vars/{number}"
        key = f"{self.path}/{inner}" if self.path else inner
        return key, self._store.get(key)

    def _inside(self, part: str, where: str, name: str) -> TreeWeights:
        path = f"{self.path}/{part}" if self.path else part
        return TreeWeights(self._store, path, where)

    def _left_over(self) -> list[tuple[str, Constant]]:
        found = []
        for part in ["", *self._n_taken]:
            number = self._n_taken.get(part, 0)
            key, left = self._next(part)
            self._n_taken[part] = number
            if left is not None:
                found.append((key, left))
        return found


class FlatWeights(LayerWeights):
    """A list of named weights, as files before Keras 3 and live objects have it.

    Parameters
    ----------
    weights : mapping of str to Constant, or pairs
        In their order.
    where : str
        Opens every message.

    Examples
    --------
    >>> weights = FlatWeights({"d/kernel:0": Constant.of([1.0])}, "layer 'd'")
    >>> weights.take("kernel", (2,))
    Traceback (most recent call last):
        ...
    trimtab.errors.ModelFormatError: layer 'd': kernel: expected shape (2,), got (1,) \
(weight 'd/kernel:0')
    """

    def __init__(
        self,
        weights: Mapping[str, Constant] | Sequence[tuple[str, Constant]],
        where: str,
    ) -> None:
        super().__init__(where)
        pairs = weights.items() if isinstance(weights, Mapping) else weights
        self._left: list[tuple[str, Constant]] = list(pairs)[::-1]

    def _next(self, part: str) -> tuple[str, Constant | None]:
        return self._left.pop() if self._left else ("", None)

    def _inside(self, part: str, where: str, name: str) -> FlatWeights:
        inner = FlatWeights({}, where)
        if not name:
            inner._left = self._left  # one list: what one takes, the other has not
            return inner
        mine = [entry for entry in self._left if _is_of(entry[0], name)]
        # In place: the layer outside shares the list.
        self._left[:] = [e for e in self._left if not _is_of(e[0], name)]
        inner._left = mine
        return inner

    def _left_over(self) -> list[tuple[str, Constant]]:
        # Others than numbers are states of random generators.
        return [entry for entry in self._left if "float" in entry[1].dtype]


def _is_of(key: str, layer: str) -> bool:
    """Does a weight belong to the layer? Names are ``[model/]layer/kernel:0``."""
    return layer in key.split("/")[:-1]


def _fits(found: Sequence[int], expected: Sequence[Any]) -> bool:
    return len(found) == len(expected) and all(
        want is None or have == want for have, want in zip(found, expected, strict=True)
    )
