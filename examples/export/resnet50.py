"""Export a network of ResNet-50's shape, with random weights, to ONNX.

For measurements of speed, where the weights do not matter: He et al. 2016 with the
stride in the 3x3 convolution. Weights are He-normal; the batch norms' statistics are
those of noise that went through the net, so activations have the usual ranges and
quantisation something to do.

    python examples/export/resnet50.py resnet50.onnx
"""

from __future__ import annotations

import torch
from common import arguments, export
from torch import nn

STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # width, blocks, stride
WIDER = 4  # channels behind a block over those inside


def conv(n_in: int, n_out: int, k: int, stride: int = 1) -> nn.Sequential:
    """A convolution without bias and its batch norm."""
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, k, stride, k // 2, bias=False), nn.BatchNorm2d(n_out)
    )


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1, plus the input or its projection."""

    def __init__(self, n_in: int, width: int, stride: int) -> None:
        super().__init__()
        n_out = width * WIDER
        self.layers = nn.Sequential(
            conv(n_in, width, 1),
            nn.ReLU(),
            conv(width, width, 3, stride),
            nn.ReLU(),
            conv(width, n_out, 1),
        )
        same = n_in == n_out and stride == 1
        self.skip = nn.Identity() if same else conv(n_in, n_out, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.layers(x) + self.skip(x))


def build() -> nn.Sequential:
    """The net of 25.6 million parameters."""
    layers: list[nn.Module] = [conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    n_in = 64
    for width, n_blocks, stride in STAGES:
        for i in range(n_blocks):
            layers.append(Bottleneck(n_in, width, stride if i == 0 else 1))
            n_in = width * WIDER
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n_in, 1000)]
    return nn.Sequential(*layers)


def settle(net: nn.Sequential) -> None:
    """Give the convolutions weights, and the batch norms statistics of noise."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # a plain mean over the batches
    net.train()
    with torch.no_grad():
        for _ in range(2):
            coarse = torch.randn(4, 3, 28, 28)
            net(nn.functional.interpolate(coarse, scale_factor=8.0, mode="bilinear"))
    net.eval()


def main() -> None:
    args = arguments(__doc__ or "")
    torch.manual_seed(0)
    net = build()
    settle(net)
    export(
        net,
        [torch.zeros(2, 3, 224, 224)],
        args.out,
        inputs=["image"],
        outputs=["logits"],
        dynamic={"image": {0: "batch"}, "logits": {0: "batch"}},
        exporter=args.exporter,
        opset=args.opset,
    )


if __name__ == "__main__":
    main()
