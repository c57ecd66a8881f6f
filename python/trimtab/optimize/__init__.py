"""Making a model faster, with proof that its answers stay.

Enters: a loaded model and data. Leaves: a model whose layers run in the precisions
that were measured to pay, and a report that says why.
"""

from __future__ import annotations

from trimtab.optimize.layers import find_layers
from trimtab.optimize.prepare import prepare_graph
from trimtab.optimize.quantize import quantize_graph

__all__ = ["find_layers", "prepare_graph", "quantize_graph"]
