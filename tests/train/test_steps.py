"""A hundred updates of four networks against PyTorch, loss by loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trimtab.graph import Constant
from trimtab.train import SGD, Adam, AdamW, Cosine, Trainer, WarmUp, learnable

from .networks import NETWORKS

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # its threads wait for each other on a busy machine

# Name -> ours and PyTorch's, of a learning rate.
OPTIMIZERS: dict[str, tuple[Any, Any]] = {
    "sgd": (lambda r: SGD(r), lambda p, r: torch.optim.SGD(p, r)),
    "nesterov": (
        lambda r: SGD(r, momentum=0.9, nesterov=True, weight_decay=1e-3),
        lambda p, r: torch.optim.SGD(
            p, r, momentum=0.9, nesterov=True, weight_decay=1e-3
        ),
    ),
    "adam": (lambda r: Adam(r), lambda p, r: torch.optim.Adam(p, r)),
    "adamw": (
        lambda r: AdamW(r, weight_decay=0.05),
        lambda p, r: torch.optim.AdamW(p, r, weight_decay=0.05),
    ),
}

# Corners of ReLU and max pools make float32 leave float64 in PyTorch alone: by 2.8 %
# after 100 updates of the CNN by Adam at 1e-3. These rates keep a run well determined.
RATES = {"sgd": 5e-3, "nesterov": 1e-3, "adam": 1e-4, "adamw": 1e-4}


def _losses(
    network: str, optimizer: str, rate: float, dtype: Any, size: int
) -> tuple[list[float], list[float]]:
    """A hundred losses, ours and PyTorch's."""
    make, function, inputs = NETWORKS[network]
    ours, theirs = OPTIMIZERS[optimizer]
    model = make()
    x, y = inputs(100 * size)
    if x.dtype == np.float32:
        x = x.astype(dtype)
        model.graph.inputs[0].dtype = np.dtype(dtype).name
    constants = model.graph.constants
    for name, constant in constants.items():
        if constant.dtype == "float32":
            constants[name] = Constant.of(constant.numpy().astype(dtype))
    weights = {
        name: torch.tensor(constants[name].numpy(), requires_grad=True)
        for name in learnable(model)
    }
    trainer = Trainer(model, "cross_entropy", optimizer=ours(rate), threads=1)
    other = theirs(list(weights.values()), rate)
    found, truth = [], []
    for begin in range(0, len(x), size):
        rows = slice(begin, begin + size)
        found.append(trainer.step(x[rows], y[rows]))
        other.zero_grad()
        loss = torch.nn.functional.cross_entropy(
            function(weights, torch.tensor(x[rows])), torch.tensor(y[rows])
        )
        loss.backward()
        other.step()
        truth.append(float(loss.detach()))
    trainer.close()
    return found, truth


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_hundred_losses_are_those_of_torch(network: str, optimizer: str) -> None:
    found, truth = _losses(network, optimizer, RATES[optimizer], np.float32, 16)
    np.testing.assert_allclose(found, truth, rtol=1e-4)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_hundred_losses_in_double_precision_at_a_large_rate(network: str) -> None:
    found, truth = _losses(network, "adam", 1e-3, np.float64, 2)
    np.testing.assert_allclose(found, truth, rtol=1e-7)


def test_clipping_and_a_schedule_are_those_of_torch() -> None:
    make, function, inputs = NETWORKS["mlp"]
    model, (x, y) = make(), inputs(64)
    weights = {
        name: torch.tensor(model.graph.constants[name].numpy(), requires_grad=True)
        for name in learnable(model)
    }
    schedule = WarmUp(5, Cosine(30, 0.1))
    trainer = Trainer(
        model, "cross_entropy", optimizer=SGD(0.1), schedule=schedule, clip_norm=0.5
    )
    other = torch.optim.SGD(list(weights.values()), 0.1)
    rates = torch.optim.lr_scheduler.LambdaLR(other, schedule)
    for _ in range(40):
        ours = trainer.step(x, y)
        other.zero_grad()
        loss = torch.nn.functional.cross_entropy(
            function(weights, torch.tensor(x)), torch.tensor(y)
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 0.5)
        other.step()
        rates.step()
        assert abs(ours - float(loss.detach())) < 1e-4 * ours
