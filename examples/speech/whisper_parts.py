"""Whisper tiny.en as two ONNX files that share no work.

    python examples/speech/whisper_parts.py listen.onnx --part listen
    python examples/speech/whisper_parts.py write.onnx --part write

`listen` hears once: the encoder, and the keys and values that every step of the
decoder attends to. `write` takes the tokens after `position` others, whose keys and
values lie in the first slots of `past`; it returns the scores of the next token and
what belongs into the following slots. All shapes but the batch and the count of new
tokens are fixed, so the engine plans twice: for the prompt and for single tokens.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "export"))

from common import arguments, export
from whisper_tiny import N_HEADS, N_LAYERS, WIDTH, Attention, Decoder, Encoder, load

HEAD = WIDTH // N_HEADS
N_SLOTS = 224
PARTS = ("listen", "write")


class Listen(nn.Module):
    """mel (batch, 80, 3000) -> heard (4, 2, batch, 6, 1500, 64)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, decoder = Encoder(), Decoder()
        load(self.encoder, "encoder")
        load(decoder, "decoder")
        self.maps = nn.ModuleList(layer.attention.linear_1 for layer in decoder.layer)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        features = self.encoder(mel)
        layers = []
        for linear in self.maps:
            k, v = linear(features).chunk(2, dim=-1)
            layers.append(torch.stack([Attention.heads(k), Attention.heads(v)]))
        return torch.stack(layers)


class Write(nn.Module):
    """tokens, position, past and heard -> logits (batch, 51864) and new slots."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = Decoder()
        load(self.decoder, "decoder")

    def forward(self, tokens, position, past, heard):
        net, n = self.decoder, tokens.shape[1]
        place = torch.arange(n, device=tokens.device)
        x = net.embeddings(tokens) + net.position_encodings(position + place)
        is_filled = (torch.arange(N_SLOTS) < position).expand(n, N_SLOTS)
        is_seen = torch.cat([is_filled, place <= place[:, None]], dim=1)
        mask = torch.where(is_seen, 0.0, -1e9)
        fresh = []
        for i, layer in enumerate(net.layer):
            x, new = self.attend(layer.self_attention, x, past[i], mask)
            fresh.append(new)
            x = self.listen(layer.attention, x, heard[i])
            x = layer.ffn(x)
        last = net.layer_norm(x[:, -1])
        return last @ net.embeddings.weight.T, torch.stack(fresh)

    @staticmethod
    def attend(part: Attention, x, past, mask):
        """Scores of old and new keys side by side, so that no cache is copied."""
        h = part.linear_0(part.layer_norm(x))
        q, k, v = (part.heads(p) for p in h.chunk(3, dim=-1))
        q = q * HEAD**-0.5
        scores = torch.cat([q @ past[0].mT, q @ k.mT], dim=-1) + mask
        old, new = scores.softmax(-1).split([N_SLOTS, x.shape[1]], dim=-1)
        mixed = old @ past[1] + new @ v
        return x + part.linear_1(mixed.transpose(1, 2).flatten(2)), torch.stack([k, v])

    @staticmethod
    def listen(part: Attention, x, heard):
        q = part.heads(part.linear_0(part.layer_norm(x)))
        mixed = F.scaled_dot_product_attention(q, heard[0], heard[1])
        return x + part.linear_2(mixed.transpose(1, 2).flatten(2))


def module(part: str) -> nn.Module:
    """Make a part with its weights."""
    return {"listen": Listen, "write": Write}[part]().eval()


def main() -> None:
    args = arguments(__doc__ or "", parts=PARTS)
    torch.manual_seed(1)
    if args.part == "listen":
        example, inputs = [torch.randn(2, 80, 3000)], ["mel"]
        outputs, dynamic = ["heard"], {"mel": {0: "batch"}, "heard": {2: "batch"}}
    else:
        example = [
            torch.arange(50, 56).reshape(2, 3),
            torch.tensor([5]),
            torch.randn(N_LAYERS, 2, 2, N_HEADS, N_SLOTS, HEAD),
            torch.randn(N_LAYERS, 2, 2, N_HEADS, 1500, HEAD),
        ]
        inputs, outputs = ["tokens", "position", "past", "heard"], ["logits", "fresh"]
        dynamic = {
            "tokens": {0: "batch", 1: "n_new"},
            "past": {2: "batch"},
            "heard": {2: "batch"},
            "logits": {0: "batch"},
            "fresh": {2: "batch", 4: "n_new"},
        }
    export(
        module(args.part),
        example,
        args.out,
        inputs=inputs,
        outputs=outputs,
        dynamic=dynamic,
        exporter=args.exporter,
        opset=args.opset,
    )


if __name__ == "__main__":
    main()
