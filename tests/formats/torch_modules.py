"""Small torch modules of every kind, with inputs; what the tests of torch convert."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Case:
    """A module and inputs for a batch of n; what the loaded model must look like."""

    make: Callable[[], nn.Module]
    inputs: Callable[[int], Any]  # tuple, or dict by name
    outputs: tuple[str, ...] = ("output",)
    options: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-5


class Classifier(nn.Module):
    """A dict of outputs, one of them nested."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(6, 5)
        self.register_buffer("scale", torch.linspace(1, 2, 5))
        self.shift = torch.ones(5)  # a constant that is neither parameter nor buffer

    def forward(self, x: Tensor) -> dict[str, Any]:
        y = torch.relu(self.body(x)) * self.scale + self.shift
        return {"logits": y, "hidden": (y.sum(1), y * 2)}


class Tied(nn.Module):
    """An embedding whose weights are those of the last layer too."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(900, 24)
        self.head = nn.Linear(24, 900, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.embedding(tokens).mean(1))


class NeuMF(nn.Module):
    """Two ways to combine users and items, as in He et al. 2017."""

    def __init__(self) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(20, 8), nn.Embedding(30, 8)
        self.mlp = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4))
        self.last = nn.Linear(12, 1)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        u, i = self.users(user), self.items(item)
        both = torch.cat([u * i, self.mlp(torch.cat([u, i], 1))], 1)
        return torch.sigmoid(self.last(both)).squeeze(1)


class Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(40, 6, mode="mean")

    def forward(self, tokens: Tensor) -> Tensor:
        return self.bag(tokens)


class Recurrent(nn.Module):
    """An LSTM or GRU that gives its last state too."""

    def __init__(self, cell: type[nn.RNNBase]) -> None:
        super().__init__()
        self.cell = cell(5, 7, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, state = self.cell(x)
        return y, state[0] if isinstance(state, tuple) else state


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(16, 48)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        n, length, _ = x.shape
        q, k, v = self.qkv(x).view(n, length, 3, 2, 8).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        return y.transpose(1, 2).reshape(n, length, 16)


class Conditional(nn.Module):
    """A branch that depends on the data."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(x.sum() > 0, torch.sin, torch.neg, (x,))


class Named(nn.Module):
    """Arguments that are given by name, one of them left out."""

    def forward(
        self, x: Tensor, *, weight: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        y = x * weight
        return y if bias is None else y + bias


class Collides(nn.Module):
    """A dict key that is what the exporter calls a tensor inside."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"mul": torch.relu(x * 2) + 1, "relu": x - 1, "x": x}


class Half(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)).to(dtype)
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x.to(self.dtype)).float()


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(8, 4),
    )


def encoder() -> nn.Module:
    return nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)


def ints(high: int, *shape: int) -> Tensor:
    return torch.randint(0, high, shape)


_DIM = torch.export.Dim

CASES: dict[str, Case] = {
    "mlp": Case(
        lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)),
        lambda n: (torch.randn(n, 6),),
    ),
    "cnn": Case(cnn, lambda n: (torch.randn(n, 3, 16, 16),)),
    "lstm": Case(
        lambda: Recurrent(nn.LSTM),
        lambda n: (torch.randn(n, 4, 5),),
        ("output_0", "output_1"),
    ),
    "gru": Case(
        lambda: Recurrent(nn.GRU),
        lambda n: (torch.randn(n, 4, 5),),
        ("output_0", "output_1"),
    ),
    "attention": Case(
        Attention, lambda n: (torch.randn(n, 6, 16), torch.rand(n, 6) > 0.2)
    ),
    "neumf": Case(NeuMF, lambda n: (ints(20, n), ints(30, n))),
    "bag": Case(Bag, lambda n: (ints(40, n, 5),)),
    "tied": Case(Tied, lambda n: (ints(900, n, 5),)),
    "dict": Case(
        Classifier, lambda n: (torch.randn(n, 6),), ("logits", "hidden_0", "hidden_1")
    ),
    "collides": Case(Collides, lambda n: (torch.randn(n, 6),), ("mul", "relu", "x_1")),
    "named": Case(
        Named, lambda n: {"x": torch.randn(n, 3), "weight": torch.randn(n, 3)}
    ),
    "cond": Case(Conditional, lambda n: (torch.randn(n, 3),)),
    "sequence": Case(
        encoder,
        lambda n: (torch.randn(n, 3 + n, 16),),
        options={"dynamic_shapes": ({0: _DIM("rows"), 1: _DIM("time", max=64)},)},
    ),
    "f16": Case(
        lambda: Half(torch.float16), lambda n: (torch.randn(n, 8),), tolerance=2e-2
    ),
    "bf16": Case(
        lambda: Half(torch.bfloat16), lambda n: (torch.randn(n, 8),), tolerance=2e-1
    ),
}
