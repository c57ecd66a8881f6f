"""A graph under construction, and the values that its nodes may read.

Every value has a concrete shape, so templates can make nodes that fit; what the model
declares of its inputs may be less (dims without a size). Two facts travel with a value:

exact : no engine may round it otherwise, so that comparing or rounding it cannot tip
    over; only such values go where a small error becomes a large one.
moved : made of the inputs' bits alone: even the signs of zeros must be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .choices import Choices

FLOATS = ("float32", "float64", "float16")
INTS = ("int32", "int64", "int8", "uint8", "int16", "uint16", "uint32", "uint64")
OPSETS = (13, 17, 18, 21)
_MAX_ELEMENTS = 4096
_SPECIAL = (np.nan, np.inf, -np.inf, -0.0, 0.0)


@dataclass(frozen=True)
class Value:
    """A tensor of the graph."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    exact: bool = False
    moved: bool = False

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def is_float(self) -> bool:
        return self.dtype in FLOATS


class Stuck(Exception):
    """No value fits the template."""


@dataclass
class Builder:
    """Nodes, inputs and constants so far."""

    choices: Choices
    opset: int
    nodes: list[Any] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    feeds: dict[str, Any] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    n_names: int = 0

    # ---- choosing --------------------------------------------------------------

    def chance(self, percent: int) -> bool:
        return self.choices.integer(1, 100) <= percent

    def name(self) -> str:
        self.n_names += 1
        return f"v{self.n_names}"

    def dim(self) -> int:
        """Small, with 0 and 1 more often than by chance."""
        return self.choices.pick((1, 2, 3, 4, 5, 7, 8, 16, 17, 1, 0, 2, 3))

    def shape(self, rank: int) -> tuple[int, ...]:
        return tuple(self.dim() for _ in range(rank))

    def find(self, fits: Callable[[Value], bool]) -> Value:
        """A value that fits, the youngest more often than others."""
        found = [v for v in self.values if fits(v)]
        if not found:
            raise Stuck
        return found[-1] if self.chance(50) else self.choices.pick(found)

    # ---- data ------------------------------------------------------------------

    def array(self, dtype: str, shape: tuple[int, ...], *, tame: bool = False) -> Any:
        """Random elements; unless `tame`, some are NaN, infinite, or the extremes."""
        rng = np.random.default_rng(self.choices.integer(0, 1 << 30))
        if dtype == "bool":
            return np.asarray(rng.random(shape) < 0.5)
        if dtype in INTS:
            info = np.iinfo(dtype)
            low, high = max(info.min, -9), min(info.max, 9)
            x = np.asarray(rng.integers(low, high + 1, shape)).astype(dtype)
            if not tame and self.chance(20) and x.size:
                x.flat[:: max(1, x.size // 3)] = info.max
                x.flat[0] = info.min
            return x
        x = np.asarray(rng.normal(0, 2, shape)).astype(dtype)
        if self.chance(40):  # halves: ties of roundings, equal elements
            x = np.asarray(np.round(x * 2) / 2)
        if not tame and self.chance(30) and x.size:
            at = rng.integers(0, x.size, max(1, x.size // 4))
            x.flat[at] = rng.choice(_SPECIAL, len(at))
        return np.asarray(x, dtype)

    def fresh(self, dtype: str, shape: tuple[int, ...], *, tame: bool = False) -> Value:
        """A new input of the graph, or a constant."""
        return self.given(self.array(dtype, shape, tame=tame), self.chance(30))

    def given(self, array: Any, is_constant: bool = True) -> Value:
        """These elements, as a constant or an input."""
        name = self.name()
        (self.constants if is_constant else self.feeds)[name] = array
        value = Value(name, array.dtype.name, array.shape, exact=True, moved=True)
        if not is_constant:
            self.values.append(value)
        return value

    def ints(self, items: Sequence[int]) -> Value:
        """A constant of int64."""
        return self.given(np.array(items, np.int64))

    # ---- nodes -----------------------------------------------------------------

    def add(
        self,
        op_type: str,
        inputs: Sequence[Value | None],
        *outputs: tuple[str, tuple[int, ...]],
        exact: bool = False,
        moved: bool = False,
        **attributes: Any,
    ) -> Value:
        """A node; its first output. `exact` and `moved` need those of all inputs."""
        present = [x for x in inputs if x is not None]
        names = [self.name() for _ in outputs]
        self.nodes.append(
            helper.make_node(
                op_type,
                [x.name if x else "" for x in inputs],
                names,
                name=f"n{len(self.nodes)}_{op_type}",
                **attributes,
            )
        )
        self.read.update(x.name for x in present)
        is_exact = exact and all(x.exact for x in present)
        is_moved = moved and all(x.moved for x in present)
        made = [
            Value(name, dtype, tuple(map(int, shape)), is_exact, is_moved)
            for name, (dtype, shape) in zip(names, outputs, strict=True)
        ]
        if any(v.size > _MAX_ELEMENTS for v in made):
            self.nodes.pop()
            raise Stuck
        self.values += made
        return made[0]

    # ---- the model -------------------------------------------------------------

    def model(self) -> onnx.ModelProto:
        """The graph; outputs are what nothing reads and some other values."""
        known = {x for node in self.nodes for x in node.output}
        made = [v for v in self.values if v.name in known]
        outputs = [v for v in made if v.name not in self.read or self.chance(15)]
        inputs = []
        for name, array in self.feeds.items():
            code = helper.np_dtype_to_tensor_dtype(array.dtype)
            dims: list[int | str] = [
                f"d{name}_{i}" if self.chance(30) else n
                for i, n in enumerate(array.shape)
            ]
            inputs.append(helper.make_tensor_value_info(name, code, dims))
        graph = helper.make_graph(
            self.nodes,
            "fuzz",
            inputs,
            [
                helper.make_tensor_value_info(
                    v.name, helper.np_dtype_to_tensor_dtype(np.dtype(v.dtype)), None
                )
                for v in outputs
            ],
            [numpy_helper.from_array(a, name) for name, a in self.constants.items()],
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=9
        )
