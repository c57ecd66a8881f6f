"""What a task asks training to make small: the output to judge, a loss, its targets.

Enters: a graph and the task. Leaves: the graph cut at its scores (before a softmax or
a sigmoid, where losses are exact), the loss over them, and labels as its targets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trimtab.errors import InputError
from trimtab.evaluate.task import Task
from trimtab.graph import Model, Node, Value
from trimtab.train.emitter import Emitter, Tensor
from trimtab.train.losses import BinaryCrossEntropy, Loss, MeanSquaredError
from trimtab.types import Array

__all__ = ["Objective", "SoftCrossEntropy", "objective_of"]

# Last operator -> what it makes of scores.
_ACTIVATIONS = {"Softmax": "softmax", "LogSoftmax": "softmax", "Sigmoid": "sigmoid"}


@dataclass(frozen=True)
class SoftCrossEntropy:
    """Cross-entropy of logits with labels that are shares of classes.

    Rows whose labels are mixed, smoothed or another model's have no single class.

    Parameters
    ----------
    from_logits : bool
        Are predictions logits? Probabilities if not, of at least 1e-12.

    Examples
    --------
    >>> SoftCrossEntropy()
    SoftCrossEntropy(from_logits=True)
    """

    from_logits: bool = True

    def label_value(self, name: str, prediction: Value, dtype: str) -> Value:
        """Declare labels of the shape of the prediction.

        Parameters
        ----------
        name : str
        prediction : Value
        dtype : str

        Returns
        -------
        labels : Value
        """
        return Value(name, dtype, prediction.shape)

    def emit(self, e: Emitter, prediction: Tensor, labels: Tensor) -> Tensor:
        """Add the nodes that compute the loss: the mean over rows.

        Parameters
        ----------
        e : Emitter
        prediction, labels : Tensor

        Returns
        -------
        loss : Tensor
        """
        if self.from_logits:
            logs = e.emit("LogSoftmax", prediction, axis=-1)
        else:
            logs = e.emit("Log", e.emit("Max", prediction, e.number(1e-12)))
        rows = e.emit("ReduceSum", labels * logs, e.ints([-1]), keepdims=0)
        return -e.emit("ReduceMean", rows, keepdims=0)


@dataclass(frozen=True)
class Objective:
    """What training makes small.

    Parameters
    ----------
    graph : trimtab.graph.Model
        Its only output is what the loss judges.
    loss : Loss
    targets : callable
        Labels -> what the loss compares with, float32, one row for each label.
    answers : callable
        What the graph gives -> what is right or wrong of it: classes, or numbers.
    truth : callable
        Targets -> what answers are compared with.
    is_classes : bool
        Are answers classes?
    """

    graph: Model
    loss: Loss
    targets: Callable[[Array], Array]
    answers: Callable[[Array], Array]
    truth: Callable[[Array], Array]
    is_classes: bool


def objective_of(graph: Model, task: Task, output: str = "") -> Objective:
    """Say what learning a task makes small.

    Parameters
    ----------
    graph : trimtab.graph.Model
        Is not changed.
    task : trimtab.evaluate.task.Task
        Labels of classes are their numbers.
    output : str, optional
        The one that is judged; the first by default.

    Returns
    -------
    objective : Objective

    Raises
    ------
    InputError
        The task has no loss that labels of single rows decide.

    Examples
    --------
    >>> from trimtab.graph import Graph
    >>> nodes = [Node("Softmax", ["scores"], ["y"])]
    >>> graph = Graph("g", [Value("scores")], [Value("y", "float32", ("n", 3))], nodes)
    >>> task = Task("multiclass", "probabilities", "three classes", classes=(0, 1, 2))
    >>> objective = objective_of(Model(graph, {"": 18}), task)
    >>> objective.graph.graph.outputs[0].name, objective.loss
    ('scores', SoftCrossEntropy(from_logits=True))
    """
    make = _KINDS.get(task.kind)
    if make is None or (task.kind != "regression" and not task.has_scores):
        raise InputError(
            f"a {task.kind} model that gives {task.output} has no loss to learn from: "
            f"expected one of {', '.join(_KINDS)} with scores; pass train_fn to learn "
            "it in another framework"
        )
    chosen = graph.copy()
    if output:
        chosen.graph.outputs[:] = [v for v in graph.graph.outputs if v.name == output]
    if not chosen.graph.outputs:
        raise InputError(f"the model has no output {output!r}")
    return make(chosen, task)


def _classes(graph: Model, task: Task) -> Objective:
    if task.kind == "binary" and task.is_single:
        return _yes_or_no(graph, task)
    cut, activation = _at_scores(graph, task)
    is_logit = activation == "softmax" or task.output == "logits"
    n_classes = _n_columns(graph, task)

    def targets(labels: Array) -> Array:
        return _one_hot(labels, n_classes)

    def answers(scores: Array) -> Array:
        return np.asarray(scores.argmax(axis=-1))

    return Objective(cut, SoftCrossEntropy(is_logit), targets, answers, answers, True)


def _one_hot(labels: Array, n_classes: int) -> Array:
    codes = np.asarray(labels).astype(np.int64).reshape(-1)
    if codes.size and not 0 <= codes.min() <= codes.max() < n_classes:
        raise InputError(
            f"labels from {codes.min()} to {codes.max()}: expected classes from 0 to "
            f"{n_classes - 1}"
        )
    return np.eye(n_classes, dtype=np.float32)[codes]


def _yes_or_no(graph: Model, task: Task) -> Objective:
    cut, activation = _at_scores(graph, task)
    is_logit = activation == "sigmoid" or task.output == "logits"
    shape = _row_shape(graph)
    middle = 0.0 if is_logit else 0.5

    def targets(labels: Array) -> Array:
        return np.asarray(labels, np.float32).reshape(len(labels), *shape)

    def answers(scores: Array) -> Array:
        return np.asarray(scores > middle)

    def truth(targets: Array) -> Array:
        return np.asarray(targets > 0.5)

    return Objective(cut, BinaryCrossEntropy(is_logit), targets, answers, truth, True)


def _numbers(graph: Model, task: Task) -> Objective:
    shape = _row_shape(graph)

    def targets(labels: Array) -> Array:
        return np.asarray(labels, np.float32).reshape(len(labels), *shape)

    cut = _with_output(graph, graph.graph.outputs[0].name)
    return Objective(cut, MeanSquaredError(), targets, np.asarray, np.asarray, False)


_KINDS: dict[str, Callable[[Model, Task], Objective]] = {
    "binary": _classes,
    "multiclass": _classes,
    "multilabel": _yes_or_no,
    "regression": _numbers,
}


def _at_scores(graph: Model, task: Task) -> tuple[Model, str]:
    """Cut the graph before its last softmax or sigmoid."""
    name = graph.graph.outputs[0].name
    makers = {out: node for node in graph.graph.nodes for out in node.outputs}
    node: Node | None = makers.get(name)
    while node is not None and node.op_type == "Identity":
        name = node.inputs[0]
        node = makers.get(name)
    if node is None or node.domain or task.output != "probabilities":
        return _with_output(graph, name), "none"
    activation = _ACTIVATIONS.get(node.op_type, "none")
    if activation == "softmax" and not _is_over_last(node, graph):
        activation = "none"
    if activation != "none":
        name = node.inputs[0]
    return _with_output(graph, name), activation


def _is_over_last(node: Node, graph: Model) -> bool:
    default = 1 if graph.opsets.get("", 13) < 13 else -1
    return node.attributes.get("axis", default) in (-1, _rank(graph) - 1)


def _rank(graph: Model) -> int:
    shape = graph.graph.outputs[0].shape
    return 2 if shape is None else len(shape)


def _with_output(graph: Model, name: str) -> Model:
    """Copy the graph with one output, of the shape that its first one declares."""
    old = graph.graph.outputs[0]
    cut = graph.copy()
    cut.graph.outputs[:] = [Value(name, old.dtype, old.shape)]
    return cut


def _row_shape(graph: Model) -> tuple[int, ...]:
    value = graph.graph.outputs[0]
    rest = () if value.shape is None else value.shape[1:]
    sizes = [size for size in rest if isinstance(size, int)]
    if value.shape is None or len(sizes) != len(rest):
        raise InputError(
            f"output {value.name!r}: its shape {value.shape} leaves open how many "
            "numbers a row has; only models that declare it can be fine-tuned"
        )
    return tuple(sizes)


def _n_columns(graph: Model, task: Task) -> int:
    """How many scores a row has; rows of more than one axis are refused."""
    shape = graph.graph.outputs[0].shape
    if shape is not None and len(shape) != 2:
        raise InputError(
            f"output {graph.graph.outputs[0].name!r} has the shape {shape}: expected "
            "(rows, classes), one label for each row"
        )
    declared = None if shape is None else shape[1]
    n = declared if isinstance(declared, int) else len(task.classes)
    if not 2 <= n <= 1 << 20:
        raise InputError("the number of classes is not known: pass task=")
    return n
