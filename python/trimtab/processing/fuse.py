"""Normalisation of pictures as part of the model: it then takes the bytes themselves.

``(x / divisor - mean) / std`` is ``a (x - m)`` with ``a = 1 / (divisor std)`` and
``m = mean divisor``. The factor goes into the weights of the first convolution. The
shift goes into its bias where nothing is padded; a padded 0 stands for 0 after
normalisation, so with padding the subtraction stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trimtab.graph import Constant, Graph, Model, Node, Value
from trimtab.processing.steps_decode import DecodeImage
from trimtab.processing.steps_image import (
    Letterbox,
    Resize,
    ResizeShortest,
    ResizeToMultiple,
)
from trimtab.processing.steps_tensor import (
    AddBatch,
    Cast,
    Gray,
    Layout,
    Normalize,
    Standardize,
)

if TYPE_CHECKING:
    from trimtab.pipeline import Pipeline

__all__ = ["FoldPicture", "fuse_pipeline"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class FoldPicture:
    """Rewrites a graph so that its input is a batch of pictures (n, h, w, c) of uint8.

    Parameters
    ----------
    mean, std : tuple of float
        For all channels, or for each.
    divisor : float
    planar : bool
        The graph's input is (n, c, h, w), else (n, h, w, c).
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    divisor: float
    planar: bool

    def fits(self, model: Model) -> bool:
        """Can the graph be rewritten?

        Parameters
        ----------
        model : trimtab.graph.Model

        Returns
        -------
        fits : bool
            One input of float32 with four dims, and a known number of channels.
        """
        inputs = model.graph.inputs
        if len(inputs) != 1 or model.opsets.get("", 1) < 9:
            return False
        value = inputs[0]
        if value.dtype != "float32" or value.shape is None or len(value.shape) != 4:
            return False
        channels = value.shape[1 if self.planar else 3]
        sizes = {len(self.mean), len(self.std)} - {1}
        return isinstance(channels, int) and sizes <= {channels}

    def __call__(self, model: Model) -> Model:
        """Rewrite it in place.

        Parameters
        ----------
        model : trimtab.graph.Model

        Returns
        -------
        model : trimtab.graph.Model
        """
        graph = model.graph
        value = graph.inputs[0]
        name, shape = value.name, value.shape
        assert shape is not None
        if self.planar:
            shape = (shape[0], shape[2], shape[3], shape[1])
        assert isinstance(shape[3], int)
        factor = np.broadcast_to(1 / (self.divisor * np.array(self.std)), shape[3])
        shift = np.broadcast_to(np.array(self.mean) * self.divisor, shape[3])
        has_shift = bool(shift.any())
        conv = _first_conv(graph, name, planar=self.planar)
        if conv is not None and _has_channels(graph, conv, shape[3]):
            has_shift = not _fold(graph, conv, factor, shift) and has_shift
            factor = np.ones(shape[3])
        fresh = _fresh_names(graph, name)
        nodes, last = [Node("Cast", [name], [fresh()], attributes={"to": 1})], 0
        for op, needed, operand in (
            ("Sub", has_shift, shift),
            ("Mul", bool((factor != 1).any()), factor),
        ):
            if needed:
                constant = fresh()
                graph.constants[constant] = Constant.of(operand.astype(np.float32))
                nodes.append(Node(op, [nodes[last].outputs[0], constant], [fresh()]))
                last += 1
        made = nodes[last].outputs[0]
        if self.planar:
            order = {"perm": [0, 3, 1, 2]}
            nodes.append(Node("Transpose", [made], [fresh()], attributes=order))
            made = nodes[-1].outputs[0]
        for node in graph.nodes:
            node.inputs = [made if x == name else x for x in node.inputs]
        for node in nodes:
            node.name = node.outputs[0]
        graph.nodes[:0] = nodes
        graph.inputs[0] = Value(name, "uint8", shape)
        return model


def _fresh_names(graph: Graph, base: str) -> Any:
    taken = {x for node in graph.nodes for x in [*node.inputs, *node.outputs]}
    taken |= graph.constants.keys() | {base}
    counter = 0

    def fresh() -> str:
        nonlocal counter
        while f"{base}_picture_{counter}" in taken:
            counter += 1
        taken.add(f"{base}_picture_{counter}")
        return f"{base}_picture_{counter}"

    return fresh


def _only_reader(graph: Graph, name: str) -> Node | None:
    """The node that alone reads a tensor; bodies and outputs count as readers."""
    readers = [node for node in graph.nodes if name in node.inputs]
    if any(name in body.captures for node in graph.nodes for body in node.bodies):
        return None
    if len(readers) != 1 or any(value.name == name for value in graph.outputs):
        return None
    return readers[0] if readers[0].inputs.count(name) == 1 else None


def _first_conv(graph: Graph, name: str, *, planar: bool) -> Node | None:
    """The convolution that alone reads the picture, its weights known."""
    node = _only_reader(graph, name)
    if not planar:  # channels come last, so a transposition comes first
        if node is None or node.op_type != "Transpose" or node.domain:
            return None
        if list(node.attributes.get("perm", [])) != [0, 3, 1, 2]:
            return None
        node = _only_reader(graph, node.outputs[0])
        name = "" if node is None else node.inputs[0]
    if node is None or (node.op_type, node.domain) != ("Conv", ""):
        return None
    weights = graph.constants.get(node.inputs[1])
    if node.inputs[0] != name and planar:
        return None
    if weights is None or weights.dtype != "float32" or len(weights.shape) != 4:
        return None
    return node


def _has_channels(graph: Graph, conv: Node, channels: int) -> bool:
    """Do weights and groups agree with the picture's channels?"""
    n_dst, n_group = graph.constants[conv.inputs[1]].shape[:2]
    n_groups = conv.attributes.get("group", 1)
    is_whole = n_group * n_groups == channels and n_groups > 0
    return bool(is_whole and n_dst % n_groups == 0)


def _fold(graph: Graph, conv: Node, factor: Array, shift: Array) -> bool:
    """Put the factor into the weights and, if possible, the shift into the bias."""
    weights = graph.constants[conv.inputs[1]].numpy().astype(np.float64)
    n_dst, n_group = weights.shape[:2]
    n_groups = len(factor) // n_group
    first = np.arange(n_dst) // (n_dst // n_groups) * n_group
    channel = first[:, None] + np.arange(n_group)  # of each (dst, src) pair
    weights *= factor[channel][..., None, None]
    fresh = _fresh_names(graph, conv.inputs[1])
    inputs = [conv.inputs[0], fresh(), *conv.inputs[2:3]]
    graph.constants[inputs[1]] = Constant.of(weights.astype(np.float32))
    bias_name = inputs[2] if len(inputs) == 3 else ""
    bias = graph.constants.get(bias_name)
    pads = np.any(np.asarray(conv.attributes.get("pads", [0]), np.int64))
    is_padded = conv.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
    can_shift = not pads and not is_padded and (not bias_name or bias is not None)
    if can_shift and shift.any():
        old = np.zeros(n_dst) if bias is None else bias.numpy().astype(np.float64)
        new = old - (weights.sum(axis=(2, 3)) * shift[channel]).sum(axis=1)
        inputs = [*inputs[:2], fresh()]
        graph.constants[inputs[2]] = Constant.of(new.astype(np.float32))
    conv.inputs = inputs
    return can_shift


def _gives_other_than_bytes(step: Any) -> bool:
    """May a picture be no (h, w, c) of uint8 after this step?"""
    if isinstance(step, Resize | ResizeShortest | ResizeToMultiple | Letterbox):
        return step.method.startswith("tf-") and step.method != "tf-nearest"
    if isinstance(step, DecodeImage):
        return step.colour == "gray"
    if isinstance(step, Gray):
        return not step.repeat
    return isinstance(step, Cast | Standardize | Normalize | Layout | AddBatch)


def fuse_pipeline(pipeline: Pipeline) -> Pipeline:
    """Move the last steps before a model into it; see `Pipeline.fuse`.

    Parameters
    ----------
    pipeline : Pipeline

    Returns
    -------
    pipeline : Pipeline

    Examples
    --------
    >>> fuse_pipeline(pipeline).model.inputs               # doctest: +SKIP
    (TensorSpec(name='x', dtype='uint8', shape=('n', 224, 224, 3)),)
    """
    steps = list(pipeline.preprocess)
    after: list[Any] = []
    while steps and isinstance(steps[-1], AddBatch | Layout):
        after.append(steps.pop())
    if not steps or not isinstance(steps[-1], Normalize):
        return pipeline
    last = steps.pop()
    assert isinstance(last, Normalize)
    layouts = [step.layout for step in after if isinstance(step, Layout)]
    turns = [layout for layout in [last.layout, *layouts] if layout == "CHW"]
    batches = [step for step in after if isinstance(step, AddBatch)]
    if "HWC" in layouts or len(turns) > 1 or any(map(_gives_other_than_bytes, steps)):
        return pipeline
    fold = FoldPicture(
        tuple(np.atleast_1d(last.mean).tolist()),
        tuple(np.atleast_1d(last.std).tolist()),
        last.divisor,
        planar=bool(turns),
    )
    model = pipeline.model.rewritten(fold, fits=fold.fits)
    if model is None:
        return pipeline
    return type(pipeline)([*steps, *batches], model, pipeline.postprocess)
