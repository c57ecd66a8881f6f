"""Operators of ai.onnx.ml -> plain ones, so that the engine runs them.

Enters: the main graph of an ONNX file, not yet sorted. Leaves: the same graph with
every node that `REWRITES` knows replaced by operators of ai.onnx that mean the same;
others stay, for the fallback.

Tensors of strings are not supported, but classes often have names. Where a file gives
names as labels, the label becomes the number of the class (int64), and the names go,
in that order, into the model's metadata as JSON text under `CLASS_NAMES`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from trimtab.errors import ModelFormatError
from trimtab.graph import Constant, Graph, Node
from trimtab.types import Array

__all__ = ["CLASS_NAMES", "DOMAIN", "REWRITES", "MlRewriter", "drop_zip_maps"]

DOMAIN = "ai.onnx.ml"
#: Key of the metadata that holds the names of the classes.
CLASS_NAMES = "class_names"

_FLOAT, _INT64, _STRING = 1, 7, 8  # TensorProto.DataType


class _Keep(Exception):
    """The node is of a kind that stays as it is."""


class MlRewriter:
    """Replaces the nodes of one graph.

    Parameters
    ----------
    opset : int
        Of ai.onnx, whose operators are written.
    metadata : dict of str to str
        `CLASS_NAMES` is added.

    Examples
    --------
    >>> node = Node("Scaler", ["x"], ["y"], "s", DOMAIN)
    >>> node.attributes = {"offset": [1.0], "scale": [2.0]}
    >>> graph = Graph("g", nodes=[node])
    >>> MlRewriter(18, {}).rewrite(graph)
    >>> [node.op_type for node in graph.nodes]
    ['Cast', 'Sub', 'Mul']
    """

    def __init__(self, opset: int, metadata: dict[str, str]) -> None:
        self.opset = opset
        self._metadata = metadata
        self._graph = Graph("")
        self._taken: set[str] = set()
        self._nodes: list[Node] = []
        self._classes: list[str] | None = None

    def rewrite(self, graph: Graph) -> None:
        """Replace what `REWRITES` knows.

        Parameters
        ----------
        graph : Graph
            Changed in place.
        """
        self._graph = graph
        self._taken = set(graph.constants) | {value.name for value in graph.inputs}
        self._taken.update(name for node in graph.nodes for name in node.outputs)
        for node in graph.nodes:
            self._number_labels(node)
            self._rewrite_node(node)
        graph.nodes, self._nodes = self._nodes, []
        if self._classes is None:
            return
        self._metadata[CLASS_NAMES] = json.dumps(self._classes)
        for value in graph.outputs:
            if value.dtype == "string":
                value.dtype = "int64"

    def _rewrite_node(self, node: Node) -> None:
        rewrite = REWRITES.get(node.op_type) if node.domain == DOMAIN else None
        if node.op_type == "Cast" and node.attributes.get("to") == _STRING:
            rewrite = _cast_to_string if self._classes is not None else None
        before = len(self._nodes)
        needed = _MIN_OPSETS.get(node.op_type, 1)
        if rewrite is not None and self.opset >= needed:
            try:
                rewrite(self, node)
                return
            except _Keep:
                del self._nodes[before:]
        self._nodes.append(node)

    # ---- labels --------------------------------------------------------------------

    def _number_labels(self, node: Node) -> None:
        """Numbers for the labels that a classifier gives as strings."""
        names = node.attributes.get("classlabels_strings")
        if node.domain == DOMAIN and names and self.note_classes(list(names)):
            del node.attributes["classlabels_strings"]
            node.attributes["classlabels_int64s"] = list(range(len(names)))

    def note_classes(self, names: list[str]) -> bool:
        """Keep the names of the classes; False when the graph has other ones.

        Parameters
        ----------
        names : list of str
            In the order of the numbers that stand for them.

        Returns
        -------
        is_kept : bool
        """
        if self._classes is None:
            self._classes = names
        return self._classes == names

    def names_of(self, tensor: str) -> list[str] | None:
        """Strings of a constant that holds some.

        Parameters
        ----------
        tensor : str

        Returns
        -------
        names : list of str or None
        """
        constant = self._graph.constants.get(tensor)
        if constant is None or constant.dtype != "string":
            return None
        items = constant.elements().reshape(-1).tolist()
        return [
            item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)
            for item in items
        ]

    def rank_of(self, tensor: str) -> int | None:
        """Number of dims of a constant or an input, where it is known.

        Parameters
        ----------
        tensor : str

        Returns
        -------
        rank : int or None
        """
        if tensor in self._graph.constants:
            return len(self._graph.constants[tensor].shape)
        for value in self._graph.inputs:
            if value.name == tensor and value.shape is not None:
                return len(value.shape)
        return None

    # ---- writing -------------------------------------------------------------------

    def _free(self, wanted: str) -> str:
        found, number = wanted, 0
        while found in self._taken:
            number += 1
            found = f"{wanted}_{number}"
        self._taken.add(found)
        return found

    def constant(self, node: Node, value: Array) -> str:
        """Add a constant for a node.

        Parameters
        ----------
        node : Node
        value : ndarray

        Returns
        -------
        tensor : str
        """
        name = self._free(f"{node.name}.constant")
        self._graph.constants[name] = Constant.of(value)
        return name

    def op(
        self, node: Node, op_type: str, inputs: list[str], output: str = "", **more: Any
    ) -> str:
        """Add a node in place of another, which names it.

        Parameters
        ----------
        node : Node
        op_type : str
        inputs : list of str
        output : str, optional
            Tensor that it gives; a new one by default.
        **more : object
            Attributes.

        Returns
        -------
        tensor : str
        """
        found = output or self._free(f"{node.name}.{op_type}")
        self._nodes.append(
            Node(op_type, inputs, [found], f"{node.name}.{op_type}", "", more)
        )
        return found

    def reduce(self, node: Node, op_type: str, tensor: str, output: str = "") -> str:
        """Reduce over the last dim, which stays with size 1.

        Parameters
        ----------
        node : Node
        op_type : str
        tensor : str
        output : str, optional

        Returns
        -------
        tensor : str
        """
        if self.opset >= 18:
            axes = self.constant(node, np.array([-1], np.int64))
            return self.op(node, op_type, [tensor, axes], output, keepdims=1)
        return self.op(node, op_type, [tensor], output, axes=[-1], keepdims=1)

    def floats(self, node: Node, tensor: str) -> str:
        """Convert to float32, as all of ai.onnx.ml computes.

        Parameters
        ----------
        node : Node
        tensor : str

        Returns
        -------
        tensor : str
        """
        return self.op(node, "Cast", [tensor], to=_FLOAT)


def _attribute(node: Node, name: str, dtype: str = "float32") -> Array:
    return np.asarray(node.attributes.get(name, []), dtype).reshape(-1)


def _post_transform(
    w: MlRewriter, node: Node, scores: str, output: str, n_columns: int
) -> None:
    kind = node.attributes.get("post_transform", "NONE")
    if kind == "NONE":
        w.op(node, "Identity", [scores], output)
    elif kind == "LOGISTIC":
        w.op(node, "Sigmoid", [scores], output)
    elif kind == "SOFTMAX" and n_columns > 1:
        w.op(node, "Softmax", [scores], output, axis=1)
    else:
        raise _Keep


# ---- features ----------------------------------------------------------------------


def _scaler(w: MlRewriter, node: Node) -> None:
    offset, scale = _attribute(node, "offset"), _attribute(node, "scale")
    x = w.floats(node, node.inputs[0])
    if offset.size:
        x = w.op(node, "Sub", [x, w.constant(node, offset)])
    factor = scale if scale.size else np.ones(1, np.float32)
    w.op(node, "Mul", [x, w.constant(node, factor)], node.outputs[0])


_NORMS = {"L1": "ReduceL1", "L2": "ReduceL2", "MAX": "ReduceMax"}


def _normalizer(w: MlRewriter, node: Node) -> None:
    """Rows of norm 0 stay as they are."""
    reduce = _NORMS.get(node.attributes.get("norm", "MAX"))
    if reduce is None:
        raise _Keep
    x = w.floats(node, node.inputs[0])
    source = w.op(node, "Abs", [x]) if reduce == "ReduceMax" else x
    norm = w.reduce(node, reduce, source)
    zero = w.constant(node, np.zeros(1, np.float32))
    one = w.constant(node, np.ones(1, np.float32))
    is_zero = w.op(node, "Equal", [norm, zero])
    divisor = w.op(node, "Where", [is_zero, one, norm])
    w.op(node, "Div", [x, divisor], node.outputs[0])


def _binarizer(w: MlRewriter, node: Node) -> None:
    threshold = np.float32(node.attributes.get("threshold", 0.0)).reshape(1)
    x = w.floats(node, node.inputs[0])
    above = w.op(node, "Greater", [x, w.constant(node, threshold)])
    w.op(node, "Cast", [above], node.outputs[0], to=_FLOAT)


def _imputer(w: MlRewriter, node: Node) -> None:
    values = _attribute(node, "imputed_value_floats")
    if not values.size:
        raise _Keep
    replaced = float(node.attributes.get("replaced_value_float", 0.0))
    x = w.floats(node, node.inputs[0])
    if math.isnan(replaced):
        is_missing = w.op(node, "IsNaN", [x])
    else:
        wanted = w.constant(node, np.full(1, replaced, np.float32))
        is_missing = w.op(node, "Equal", [x, wanted])
    value = w.constant(node, values)
    w.op(node, "Where", [is_missing, value, x], node.outputs[0])


def _feature_vectorizer(w: MlRewriter, node: Node) -> None:
    parts = [w.floats(node, name) for name in node.inputs if name]
    w.op(node, "Concat", parts, node.outputs[0], axis=1)


def _array_feature_extractor(w: MlRewriter, node: Node) -> None:
    """The chosen columns; of a vector, as one row."""
    tensor, indices = node.inputs
    rank = w.rank_of(tensor)
    names = w.names_of(tensor)
    if names is not None:
        if not w.note_classes(names):
            raise _Keep
        tensor = w.constant(node, np.arange(len(names)))
    everything = w.constant(node, np.array([-1], np.int64))
    flat = w.op(node, "Reshape", [indices, everything])
    if rank == 1:
        row = w.op(node, "Gather", [tensor, flat], axis=0)
        shape = w.constant(node, np.array([1, -1], np.int64))
        w.op(node, "Reshape", [row, shape], node.outputs[0])
    else:
        w.op(node, "Gather", [tensor, flat], node.outputs[0], axis=-1)


def _matches(w: MlRewriter, node: Node, keys: Array) -> str:
    """[..., 1] == [keys]: a bool for each element and key."""
    last = w.constant(node, np.array([-1], np.int64))
    if w.opset >= 13:
        column = w.op(node, "Unsqueeze", [node.inputs[0], last])
    else:
        column = w.op(node, "Unsqueeze", [node.inputs[0]], axes=[-1])
    return w.op(node, "Equal", [column, w.constant(node, keys)])


def _keys(node: Node) -> Array:
    for name, dtype in (("keys_int64s", "int64"), ("keys_floats", "float32")):
        found = _attribute(node, name, dtype)
        if found.size and not np.isnan(found).any():
            return found
    raise _Keep


def _label_encoder(w: MlRewriter, node: Node) -> None:
    """A table of numbers; what is not in it becomes the default."""
    keys = _keys(node)
    attributes = node.attributes
    if attributes.get("values_strings"):
        names = list(attributes["values_strings"])
        if not w.note_classes(list(dict.fromkeys(names))):
            raise _Keep
        numbers = {name: i for i, name in enumerate(dict.fromkeys(names))}
        values = np.array([numbers[name] for name in names], np.int64)
        default = np.array([-1], np.int64)
    elif len(ints := _attribute(node, "values_int64s", "int64")):
        values, default = ints, np.array([attributes.get("default_int64", -1)])
    elif len(floats := _attribute(node, "values_floats")):
        default = np.array([attributes.get("default_float", -0.0)], np.float32)
        values = floats
    else:
        raise _Keep
    if len(values) != len(keys):
        raise ModelFormatError(
            f"LabelEncoder {node.name!r}: {len(keys)} keys, {len(values)} values"
        )
    # A last column that is always there stands for the default.
    table = np.concatenate([values, default])
    found = w.op(node, "Cast", [_matches(w, node, keys)], to=_FLOAT)
    weights = np.eye(len(keys), len(keys) + 1, dtype=np.float32)
    bias = np.zeros(len(keys) + 1, np.float32)
    bias[-1] = 0.5
    spread = w.op(node, "MatMul", [found, w.constant(node, weights)])
    scores = w.op(node, "Add", [spread, w.constant(node, bias)])
    position = w.op(node, "ArgMax", [scores], axis=-1, keepdims=0)
    w.op(node, "Gather", [w.constant(node, table), position], node.outputs[0], axis=0)


def _one_hot_encoder(w: MlRewriter, node: Node) -> None:
    """Of numbers; one that is no category gives zeros, whatever `zeros` says."""
    categories = _attribute(node, "cats_int64s", "int64")
    if not categories.size:
        raise _Keep
    x = w.op(node, "Cast", [node.inputs[0]], to=_INT64)
    numbers = Node("", [x], [], node.name)
    found = _matches(w, numbers, categories)
    w.op(node, "Cast", [found], node.outputs[0], to=_FLOAT)


def _cast_to_string(w: MlRewriter, node: Node) -> None:
    """Labels that are class numbers here stay numbers."""
    w.op(node, "Cast", [node.inputs[0]], node.outputs[0], to=_INT64)


# ---- linear models and kernels -----------------------------------------------------


def _affine(w: MlRewriter, node: Node, n_rows: int) -> str:
    """X W^T + b of the attributes coefficients and intercepts."""
    weights = _attribute(node, "coefficients")
    if not n_rows or weights.size % n_rows or not weights.size:
        raise ModelFormatError(
            f"{node.op_type} {node.name!r}: {weights.size} coefficients for {n_rows} "
            "targets"
        )
    matrix = np.ascontiguousarray(weights.reshape(n_rows, -1).T)
    x = w.floats(node, node.inputs[0])
    y = w.op(node, "MatMul", [x, w.constant(node, matrix)])
    bias = _attribute(node, "intercepts")
    return w.op(node, "Add", [y, w.constant(node, bias)]) if bias.size else y


def _linear_regressor(w: MlRewriter, node: Node) -> None:
    targets = int(node.attributes.get("targets", 1))
    scores = _affine(w, node, targets)
    _post_transform(w, node, scores, node.outputs[0], targets)


def _linear_classifier(w: MlRewriter, node: Node) -> None:
    labels = _attribute(node, "classlabels_ints", "int64")
    if not labels.size:
        labels = _attribute(node, "classlabels_int64s", "int64")
    n_scores = len(_attribute(node, "intercepts"))
    if n_scores != len(labels) or n_scores < 2:
        raise _Keep
    scores = _affine(w, node, n_scores)
    _label(w, node, scores, labels)
    if len(node.outputs) > 1 and node.outputs[1]:
        _post_transform(w, node, scores, node.outputs[1], n_scores)


def _label(w: MlRewriter, node: Node, scores: str, labels: Array) -> None:
    if not node.outputs[0]:
        return
    best = w.op(node, "ArgMax", [scores], axis=1, keepdims=0)
    table = w.constant(node, labels)
    w.op(node, "Gather", [table, best], node.outputs[0], axis=0)


def _svm_regressor(w: MlRewriter, node: Node) -> None:
    """sum of coefficients times kernel(x, support vectors), plus rho."""
    vectors = _attribute(node, "support_vectors")
    weights = _attribute(node, "coefficients")
    rho = _attribute(node, "rho")
    n_supports = int(node.attributes.get("n_supports", 0))
    is_plain = node.attributes.get("post_transform", "NONE") == "NONE"
    if not n_supports or node.attributes.get("one_class", 0) or not is_plain:
        raise _Keep
    if vectors.size % n_supports or len(weights) != n_supports or len(rho) != 1:
        raise ModelFormatError(f"SVMRegressor {node.name!r}: sizes contradict")
    x = w.floats(node, node.inputs[0])
    kernel = _kernel(w, node, x, vectors.reshape(n_supports, -1))
    column = w.constant(node, weights.reshape(-1, 1))
    y = w.op(node, "MatMul", [kernel, column])
    w.op(node, "Add", [y, w.constant(node, rho)], node.outputs[0])


def _kernel(w: MlRewriter, node: Node, x: str, vectors: Array) -> str:
    gamma, coef0, degree = [*_attribute(node, "kernel_params"), 0, 0, 0][:3]
    kind = node.attributes.get("kernel_type", "LINEAR")

    def number(value: float) -> str:
        return w.constant(node, np.full(1, value, np.float32))

    if kind == "RBF":
        return w.op(
            node,
            "Exp",
            [w.op(node, "Mul", [_distances(w, node, x, vectors), number(-gamma)])],
        )
    product = w.op(node, "MatMul", [x, w.constant(node, vectors.T.copy())])
    if kind == "LINEAR":
        return product
    scaled = w.op(node, "Mul", [product, number(gamma)])
    shifted = w.op(node, "Add", [scaled, number(coef0)])
    if kind == "POLY":
        return w.op(node, "Pow", [shifted, number(degree)])
    if kind == "SIGMOID":
        return w.op(node, "Tanh", [shifted])
    raise _Keep


def _distances(w: MlRewriter, node: Node, x: str, vectors: Array) -> str:
    """Squared distances, by one product; around the mean, where it cancels least."""
    mean = vectors.mean(0, dtype=np.float64)
    centred = (vectors - mean).astype(np.float32)
    x = w.op(node, "Sub", [x, w.constant(node, mean.astype(np.float32))])
    square = w.op(node, "Mul", [x, x])
    ones = w.constant(node, np.ones((vectors.shape[1], 1), np.float32))
    norms = w.op(node, "MatMul", [square, ones])
    theirs = w.constant(node, (centred.astype("f8") ** 2).sum(1).astype("f4"))
    both = w.op(node, "Add", [norms, theirs])
    minus_twice = w.constant(node, np.ascontiguousarray(-2 * centred.T))
    product = w.op(node, "MatMul", [x, minus_twice])
    return w.op(node, "Add", [both, product])


#: Operator of ai.onnx.ml -> what writes it in plain ones.
REWRITES: dict[str, Callable[[MlRewriter, Node], None]] = {
    "ArrayFeatureExtractor": _array_feature_extractor,
    "Binarizer": _binarizer,
    "FeatureVectorizer": _feature_vectorizer,
    "Imputer": _imputer,
    "LabelEncoder": _label_encoder,
    "LinearClassifier": _linear_classifier,
    "LinearRegressor": _linear_regressor,
    "Normalizer": _normalizer,
    "OneHotEncoder": _one_hot_encoder,
    "SVMRegressor": _svm_regressor,
    "Scaler": _scaler,
}

# What these are written with came later than Where (9): Equal of floats.
_MIN_OPSETS = {"Imputer": 11, "LabelEncoder": 11, "Normalizer": 11, "OneHotEncoder": 11}


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
