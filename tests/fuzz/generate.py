"""A whole random graph: some inputs, then templates until there are nodes enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx

from . import elementwise, layers, shaping
from .builder import FLOATS, OPSETS, Builder, Stuck
from .choices import Choices

_TEMPLATES = (*elementwise.TEMPLATES, *shaping.TEMPLATES, *layers.TEMPLATES)
_FIRST = (*["float32"] * 6, *FLOATS, "int64", "int32", "uint8", "bool")
_MAX_NODES = 12
_MAX_TRIES = 60


@dataclass(frozen=True)
class Sample:
    """A model, what goes in, and which outputs must come bit by bit."""

    model: onnx.ModelProto
    feeds: dict[str, Any]
    moved: frozenset[str]


def generate(choices: Choices) -> Sample:
    """A graph of at least one node."""
    b = Builder(choices, choices.pick(OPSETS))
    for _ in range(b.choices.integer(1, 3)):
        shape = b.shape(b.choices.integer(0, 4))
        b.fresh(b.choices.pick(_FIRST), shape, tame=b.chance(60))
    n_nodes = b.choices.integer(2, _MAX_NODES)
    for _ in range(_MAX_TRIES):
        if len(b.nodes) >= n_nodes:
            break
        try:
            b.choices.pick(_TEMPLATES)(b)
        except Stuck:
            continue
    if not b.nodes:
        x = b.fresh("float32", (2, 3))
        b.add("Relu", [x], ("float32", (2, 3)), exact=True)
    moved = frozenset(v.name for v in b.values if v.moved and v.is_float)
    return Sample(b.model(), dict(b.feeds), moved)
