"""Operators of ai.onnx.ml -> plain ones, where that is as good as one of their own.

Enters: the main graph of an ONNX file, not yet sorted. Leaves: the same graph with
every node that `REWRITES` knows replaced by operators of ai.onnx that mean the same
and fuse with others; trees and support vectors stay, for the core, as do the rest,
for the fallback.

Nothing here computes with strings, but classes often have names. Where a file gives
names as labels, the label becomes the number of the class (int64), and the names go,
in that order, into the model's metadata as JSON text under `CLASS_NAMES`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from trimtab.formats import onnx_ml_features as features
from trimtab.formats import onnx_ml_models as models
from trimtab.formats.onnx_ml_write import CORE_DOMAIN, DOMAIN, Keep, MlWriter
from trimtab.graph import Graph, Node

__all__ = [
    "CLASS_NAMES",
    "CORE_DOMAIN",
    "DOMAIN",
    "REWRITES",
    "drop_zip_maps",
    "is_stable",
    "rewrite_ml",
]

#: Key of the metadata that holds the names of the classes.
CLASS_NAMES = "class_names"

_STRING = 8  # TensorProto.DataType

#: Operator of ai.onnx.ml -> what writes it in plain ones.
REWRITES: dict[str, Callable[[MlWriter, Node], None]] = {
    "ArrayFeatureExtractor": features.write_array_feature_extractor,
    "Binarizer": features.write_binarizer,
    "FeatureVectorizer": features.write_feature_vectorizer,
    "Imputer": features.write_imputer,
    "LabelEncoder": features.write_label_encoder,
    "LinearClassifier": models.write_linear_classifier,
    "LinearRegressor": models.write_linear_regressor,
    "Normalizer": features.write_normalizer,
    "OneHotEncoder": features.write_one_hot_encoder,
    "Scaler": features.write_scaler,
}

# What these are written with came later than Where (9): Equal of floats, LessOrEqual.
_MIN_OPSETS = {
    "Imputer": 11,
    "Normalizer": 11,
    "OneHotEncoder": 11,
}

# Operators that mean the same from opset 9 on, as converters of such models use them.
_STABLE = frozenset(
    "Abs Add ArgMax ArgMin Cast Concat Div Exp Flatten Gather Identity Log MatMul Mul "
    "Neg Not Pow Relu Reshape Shape Sigmoid Sqrt Sub Tanh Transpose Where".split()
)


def is_stable(graph: Graph) -> bool:
    """Do all operators of ai.onnx mean the same in newer opsets?

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    is_stable : bool

    Examples
    --------
    >>> is_stable(Graph("g", nodes=[Node("Cast", ["x"], ["y"])]))
    True
    """
    return all(node.domain or node.op_type in _STABLE for node in graph.nodes)


def rewrite_ml(graph: Graph, opset: int, metadata: dict[str, str]) -> None:
    """Replace what `REWRITES` knows.

    Parameters
    ----------
    graph : Graph
        Changed in place.
    opset : int
        Of ai.onnx, whose operators are written.
    metadata : dict of str to str
        `CLASS_NAMES` is added.

    Examples
    --------
    >>> node = Node("Scaler", ["x"], ["y"], "s", DOMAIN)
    >>> node.attributes = {"offset": [1.0], "scale": [2.0]}
    >>> graph = Graph("g", nodes=[node])
    >>> rewrite_ml(graph, 18, {})
    >>> [node.op_type for node in graph.nodes]
    ['Cast', 'Sub', 'Mul']
    """
    w = MlWriter(graph, opset)
    for node in graph.nodes:
        _number_labels(w, node)
        _rewrite_node(w, node)
    graph.nodes = w.nodes
    if w.classes is None:
        return
    metadata[CLASS_NAMES] = json.dumps(w.classes)
    for value in graph.outputs:
        if value.dtype == "string":
            value.dtype = "int64"


def _number_labels(w: MlWriter, node: Node) -> None:
    """Numbers for the labels that a classifier gives as strings."""
    names = node.attributes.get("classlabels_strings")
    if node.domain == DOMAIN and names and w.note_classes(list(names)):
        del node.attributes["classlabels_strings"]
        is_tree = node.op_type == "TreeEnsembleClassifier"
        numbers = "classlabels_int64s" if is_tree else "classlabels_ints"
        node.attributes[numbers] = list(range(len(names)))


def _rewrite_node(w: MlWriter, node: Node) -> None:
    rewrite = REWRITES.get(node.op_type) if node.domain == DOMAIN else None
    if node.op_type == "Cast" and node.attributes.get("to") == _STRING:
        rewrite = features.write_cast_to_string if w.classes is not None else None
    before = len(w.nodes)
    if rewrite is not None and w.opset >= _MIN_OPSETS.get(node.op_type, 1):
        try:
            rewrite(w, node)
            return
        except Keep:
            del w.nodes[before:]
    w.nodes.append(node)


def drop_zip_maps(proto: Any) -> None:
    """Have probabilities come as a tensor, not as a list of dicts.

    Parameters
    ----------
    proto : onnx.GraphProto
        Changed in place: ZipMap becomes Identity, its output a tensor.

    Examples
    --------
    >>> drop_zip_maps(proto.graph)                         # doctest: +SKIP
    """
    made: set[str] = set()
    for node in proto.node:
        if node.domain == DOMAIN and node.op_type == "ZipMap":
            node.op_type, node.domain = "Identity", ""
            node.ClearField("attribute")
            made.update(node.output)
    for value in proto.output:
        if value.name in made:
            value.ClearField("type")
