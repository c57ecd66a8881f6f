"""Preprocessing of pictures beside Pillow, OpenCV and torch: one thread each.

``python -m benchmarks.bench_preprocess`` resizes noise and normalises it, the
contenders in turn within each round, and prints the median ratios. Both sides start
from an array and end with one; the answers of "pillow" and "opencv" rows are equal to
the bit but for cubic and area.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.common import to_plain
from benchmarks.turns import Call, in_turns

#: Sizes (height, width) from and to: a video frame, a web photo, enlarging, a crop.
SIZES = (
    ((1080, 1920), (256, 455)),
    ((375, 500), (256, 341)),
    ((224, 224), (640, 640)),
    ((256, 341), (224, 224)),
)
TURN_S = 0.02


def resize_calls(
    image: Any, size: tuple[int, int]
) -> dict[str, tuple[str, Call, Call]]:
    """Row -> contender's name, our call and theirs."""
    import cv2
    import torch
    from PIL import Image

    from trimtab.processing.resample import resample

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    height, width = size
    floats = image.astype(np.float32)
    planes = torch.from_numpy(np.ascontiguousarray(floats.transpose(2, 0, 1)[None]))

    def ours(method: str, picture: Any = image) -> Call:
        return lambda: resample(picture, height, width, method)

    def pillow(kind: Any) -> Call:
        return lambda: np.asarray(Image.fromarray(image).resize((width, height), kind))

    def opencv(kind: int) -> Call:
        return lambda: cv2.resize(image, (width, height), interpolation=kind)

    def torched(mode: str, *, antialias: bool) -> Call:
        resize = torch.nn.functional.interpolate
        return lambda: resize(planes, size, mode=mode, antialias=antialias)

    filters = Image.Resampling
    return {
        **{
            f"pillow-{name}": (
                "pillow",
                ours(f"pillow-{name}"),
                pillow(filters[name.upper()]),
            )
            for name in ("nearest", "bilinear", "bicubic", "lanczos")
        },
        **{
            f"opencv-{name}": (
                "opencv",
                ours(f"opencv-{name}"),
                opencv(getattr(cv2, f"INTER_{name.upper()}")),
            )
            for name in ("nearest", "linear", "area", "cubic")
        },
        **{
            f"torch-{mode}{'-antialias' * antialias}": (
                "torch",
                ours(f"torch-{mode}{'-antialias' * antialias}", floats),
                torched(mode, antialias=antialias),
            )
            for mode in ("bilinear", "bicubic")
            for antialias in (False, True)
        },
    }


def normalize_calls(image: Any) -> dict[str, tuple[str, Call, Call]]:
    """Bytes (h, w, 3) to normalised planes of float32."""
    import torch

    from trimtab import steps

    step = steps.imagenet()[2]
    mean = torch.tensor(step.mean)[:, None, None]  # type: ignore[attr-defined]
    std = torch.tensor(step.std)[:, None, None]  # type: ignore[attr-defined]

    def theirs() -> Any:
        planes = torch.from_numpy(image).permute(2, 0, 1).contiguous()
        return planes.float().div_(255).sub_(mean).div_(std)

    return {"normalize": ("torch", lambda: step(image, {}), theirs)}


def measure(n_rounds: int) -> list[dict[str, Any]]:
    """Ratios of every row at every size.

    Parameters
    ----------
    n_rounds : int
        Turns of each side.

    Returns
    -------
    entries : list of dict
        ``method``, ``from``, ``to``, ``peer``, seconds of both and ``ratio`` (below 1:
        trimtab is faster).
    """
    rng = np.random.default_rng(0)
    entries = []
    for source, target in SIZES:
        image = rng.integers(0, 256, (*source, 3), dtype=np.uint8)
        calls = {**resize_calls(image, target), **normalize_calls(image)}
        for method, (peer, ours, theirs) in calls.items():
            ours(), theirs()
            mine, other, ratio = in_turns(ours, theirs, n_rounds, TURN_S)
            entries.append(
                {
                    "method": method,
                    "from": source,
                    "to": source if method == "normalize" else target,
                    "peer": peer,
                    "trimtab_s": mine,
                    "peer_s": other,
                    "ratio": ratio,
                }
            )
    plain: list[dict[str, Any]] = to_plain(entries)
    return plain


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    from benchmarks.options import parse, show

    options = parse(__doc__, argv)
    entries = measure(3 if options.quick else 9)
    rows = [
        f"{'x'.join(map(str, e['from'])):>9} to {'x'.join(map(str, e['to'])):9} "
        f"{e['method']:24s} {e['trimtab_s'] * 1e3:7.3f} ms {e['peer']:7s}"
        f"{e['peer_s'] * 1e3:8.3f} ms   {e['ratio']['median']:.2f}"
        for e in entries
    ]
    return show(options, {"preprocess": entries}, rows)


if __name__ == "__main__":
    raise SystemExit(main())
