"""Export all-MiniLM-L6-v2 without its pooling: a state for each token.

python examples/text/minilm_states.py states.onnx
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "export"))

from common import arguments, export
from minilm import MiniLM, load
from torch import nn


class States(nn.Module):
    """input_ids and attention_mask (batch, tokens) -> states (batch, tokens, 384)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = MiniLM()
        load(self.net)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor):
        net = self.net
        place = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = net.words(input_ids) + net.positions(place) + net.segments.weight[0]
        x = net.norm(x)
        hidden = (1 - attention_mask.to(x.dtype)) * torch.finfo(x.dtype).min
        mask = hidden[:, None, None, :].expand(-1, -1, input_ids.shape[1], -1)
        for layer in net.layers:
            x = layer(x, mask)
        return x


def main() -> None:
    args = arguments(__doc__ or "")
    ids = torch.arange(2000, 2034).reshape(2, 17)
    axes = {0: "batch", 1: "tokens"}
    export(
        States(),
        [ids, torch.ones_like(ids)],
        args.out,
        inputs=["input_ids", "attention_mask"],
        outputs=["states"],
        dynamic={"input_ids": axes, "attention_mask": axes, "states": axes},
        exporter=args.exporter,
        opset=args.opset,
    )


if __name__ == "__main__":
    main()
