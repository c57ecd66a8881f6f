"""Older graphs in the words of opset 13, the first that quantises by channel."""

from __future__ import annotations

from trimtab.graph import Model

__all__ = ["OPSET", "raise_opset"]

#: The first opset whose QuantizeLinear has an axis.
OPSET = 13


def raise_opset(model: Model) -> Model:
    return model
