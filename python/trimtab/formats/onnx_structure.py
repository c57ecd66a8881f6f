"""ONNX: what a file consists of, without its weights.

The reading is that of `read_onnx`; files beside the model are not opened, their weights
are zeros that take no memory until someone looks at them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from trimtab.formats.external import ExternalFiles
from trimtab.formats.onnx import Reading, open_onnx, read_onnx_file
from trimtab.graph import Model
from trimtab.limits import Limits
from trimtab.types import Array

__all__ = ["count_operators", "read_onnx_structure"]

# Nodes that are data, not work.
_CONSTANT = ("", "Constant")


class _UnopenedFiles(ExternalFiles):
    """Zeros in place of what lies in other files."""

    def read(self, tensor: str, entries: Mapping[str, str], n_bytes: int) -> Array:
        """Give zeros; memory for them is had when they are looked at."""
        return np.zeros(n_bytes, np.uint8)


def count_operators(proto: Any) -> Counter[tuple[str, str]]:
    """Count the nodes of a model by domain and operator.

    Parameters
    ----------
    proto : onnx.ModelProto
        Bodies are counted, the model's own functions are not.

    Returns
    -------
    counts : Counter of (str, str)

    Examples
    --------
    >>> count_operators(onnx.load("model.onnx"))           # doctest: +SKIP
    Counter({('', 'Conv'): 53, ...})
    """
    counts: Counter[tuple[str, str]] = Counter()
    graphs = [proto.graph]
    while graphs:
        for node in graphs.pop().node:
            domain = "" if node.domain == "ai.onnx" else str(node.domain)
            counts[domain, str(node.op_type)] += 1
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    graphs.append(attribute.g)
                graphs.extend(attribute.graphs)
    del counts[_CONSTANT]
    return counts


def read_onnx_structure(
    source: str | bytes | bytearray | memoryview, limits: Limits
) -> tuple[Model, Counter[tuple[str, str]]]:
    """Read an ONNX model without its weights.

    Parameters
    ----------
    source : str or bytes-like
        Path of a file, or its content.
    limits : Limits

    Returns
    -------
    model : Model
        Large weights lie in the file, those of other files are zeros.
    written : Counter of (str, str)
        Nodes of the file by domain and operator.

    Examples
    --------
    >>> read_onnx_structure("model.onnx", Limits())        # doctest: +SKIP
    """
    written: Counter[tuple[str, str]] = Counter()
    file, folder = open_onnx(source, limits)
    reading = Reading(
        files=_UnopenedFiles(folder),
        look=lambda proto: written.update(count_operators(proto)),
    )
    return read_onnx_file(file, limits, reading), written
