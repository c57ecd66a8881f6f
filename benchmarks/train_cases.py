"""The networks whose fine-tuning is timed: as a graph, and as a module of PyTorch.

Both begin with the same weights and see the same batch, so their first losses agree.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.torch_twins import SCRIPTS
from trimtab.fetch import cache_folder
from trimtab.graph import Model

Arrays = dict[str, npt.NDArray[Any]]

WIDTHS = (64, 128, 256, 512)  # of ResNet-18's stages, two blocks each


@dataclass(frozen=True)
class TrainCase:
    """A network, one batch, and how it learns.

    Attributes
    ----------
    about : str
        For the reader of the results.
    graph : callable
        Gives our graph.
    module : callable
        Gives PyTorch's module, in training mode, with the same weights.
    batch : callable
        Gives the inputs by name and the labels.
    optimizer : {"sgd", "adam", "adamw"}
        Of `OPTIMIZERS`, with the same parameters on both sides.
    frozen : tuple of str
        Parts of the module whose parameters do not learn.
    frozen_constants : tuple of str
        The same of the graph, as starts of names.
    """

    about: str
    graph: Callable[[], Model]
    module: Callable[[], Any]
    batch: Callable[[], tuple[Arrays, npt.NDArray[np.int64]]]
    optimizer: str
    frozen: tuple[str, ...] = ()
    frozen_constants: tuple[str, ...] = ()


#: Optimizer -> its parameters, named as PyTorch names them.
OPTIMIZERS: Mapping[str, Mapping[str, float]] = {
    "sgd": {"lr": 1e-3, "momentum": 0.9},
    "adam": {"lr": 1e-4},
    "adamw": {"lr": 1e-5, "weight_decay": 0.01},
}


def _script(name: str) -> Any:
    if str(SCRIPTS) not in sys.path:
        sys.path.insert(0, str(SCRIPTS))
    return importlib.import_module(name)


def _read(path: Path) -> Model:
    from trimtab.formats import read_model
    from trimtab.limits import Limits

    return read_model(str(path), Limits())


# ---- MNIST ---------------------------------------------------------------------------


def _mnist_path() -> Path:
    from tests.zoo.exports import export

    return export("mnist_cnn", "--part", "few")


def _mnist_module() -> Any:
    import torch

    net = _script("mnist_cnn").build()
    constants = _read(_mnist_path()).graph.constants
    net.load_state_dict(
        {name: torch.tensor(constants[name].numpy()) for name in net.state_dict()}
    )
    return net.train()


def _digits() -> tuple[Arrays, npt.NDArray[np.int64]]:
    from benchmarks.labelled import mnist

    rows = mnist().rows(slice(64))
    return dict(rows.inputs), rows.labels.astype(np.int64)


# ---- a network of ResNet-18's shape --------------------------------------------------


def resnet18() -> Any:
    """Give PyTorch's module: two 3x3 convolutions a block, 11.7 million parameters."""
    import torch
    from torch import nn

    conv = _script("resnet50").conv

    class Block(nn.Module):
        def __init__(self, n_in: int, n_out: int, stride: int) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                conv(n_in, n_out, 3, stride), nn.ReLU(), conv(n_out, n_out, 3)
            )
            same = n_in == n_out and stride == 1
            self.skip = nn.Identity() if same else conv(n_in, n_out, 1, stride)

        def forward(self, x: Any) -> Any:
            return torch.relu(self.layers(x) + self.skip(x))

    torch.manual_seed(0)
    layers: list[Any] = [conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    n_in = WIDTHS[0]
    for i, width in enumerate(WIDTHS):
        layers += [Block(n_in, width, 1 + (i > 0)), Block(width, width, 1)]
        n_in = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n_in, 1000)]
    net = nn.Sequential(*layers)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):  # the exporter merges equal constants
            for each, low in ((part.weight, 0.9), (part.bias, -0.1)):
                nn.init.uniform_(each, low, low + 0.2)
            part.running_mean.uniform_(-0.1, 0.1)
            part.running_var.uniform_(0.9, 1.1)
    return net.train()


def _resnet_graph() -> Model:
    """Export with the batch norms apart, as one does to go on learning."""
    import torch

    folder = cache_folder() / "exports"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"resnet18-{torch.__version__}.onnx"
    torch.onnx.export(
        resnet18().eval(),
        (torch.zeros(2, 3, 112, 112),),
        path,
        dynamo=False,
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
    )
    return _read(path)


def _pictures() -> tuple[Arrays, npt.NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(8, 3, 112, 112)).astype(np.float32)
    return {"image": pixels}, rng.integers(0, 1000, 8)


# ---- MiniLM --------------------------------------------------------------------------


def _minilm_path() -> Path:
    from benchmarks.optimize_cases import CASES

    return CASES["minilm_sentiment"]().path


def _minilm_module() -> Any:
    import torch
    from torch import nn

    script = _script("minilm")
    constants = _read(_minilm_path()).graph.constants

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = script.MiniLM()
            script.load(self.encoder)
            self.head = nn.Linear(384, 2)
            with torch.no_grad():
                weight, bias = (
                    torch.tensor(constants[f"head.{part}"].numpy())
                    for part in ("weight", "bias")
                )
                self.head.weight.copy_(weight.T)
                self.head.bias.copy_(bias)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.head(self.encoder(input_ids, attention_mask))

    return Classifier().train()


def _passages() -> tuple[Arrays, npt.NDArray[np.int64]]:
    from benchmarks.labelled import prose

    return dict(prose(8)), np.arange(8) % 2


CASES: dict[str, TrainCase] = {
    "mnist_cnn": TrainCase(
        "2 convolutions, 2 dense layers, 207,000 weights; 64 digits; Adam",
        lambda: _read(_mnist_path()),
        _mnist_module,
        _digits,
        "adam",
    ),
    "resnet18": TrainCase(
        "ResNet-18's shape, 11.7 million weights, batch norms of the batch; "
        "8 pictures of 112 x 112; SGD with momentum",
        _resnet_graph,
        resnet18,
        _pictures,
        "sgd",
    ),
    "minilm": TrainCase(
        "MiniLM with a head, 6 layers of 384, frozen embeddings, 10.6 million weights; "
        "8 passages of 128 tokens; AdamW",
        lambda: _read(_minilm_path()),
        _minilm_module,
        _passages,
        "adamw",
        frozen=("encoder.words.", "encoder.positions.", "encoder.segments."),
        frozen_constants=("words.", "positions.", "segments.", "select"),
    ),
}
