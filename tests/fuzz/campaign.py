"""Many random graphs, by number; what is wrong is written to a folder.

    python -m tests.fuzz.campaign 20000 [--first SEED] [--out FOLDER]

Each graph follows from its number, so any can be had again: `1 --first 4711`. They run
in a child process that is started anew when one ends it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnx

from .check import Verdict, check, narrow
from .choices import Seeded
from .generate import Sample, generate

_CHUNK = 200


def run_one(seed: int, out: Path | None) -> Verdict:
    """One graph; when it is wrong, its smallest wrong part goes to the folder."""
    sample = generate(Seeded(seed))
    verdict = check(sample)
    if verdict.kind == "wrong" and out is not None:
        part, small = narrow(sample)
        save(part if small.kind == "wrong" else sample, out / str(seed))
        verdict = small if small.kind == "wrong" else verdict
        text = f"{verdict.text}\n{describe(part)}\n"
        (out / str(seed) / "wrong.txt").write_text(text)
    return verdict


def save(sample: Sample, folder: Path) -> None:
    """model.onnx and inputs.npz, as `trimtab run` takes them."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(sample.model, folder / "model.onnx")
    np.savez(folder / "inputs.npz", **sample.feeds)


def describe(sample: Sample) -> str:
    """The nodes as text, the inputs' dtypes and shapes."""
    lines = [f"{n}: {x.dtype}{list(x.shape)}" for n, x in sample.feeds.items()]
    lines += [
        f"{t.name}: constant {list(t.dims)}" for t in sample.model.graph.initializer
    ]
    for node in sample.model.graph.node:
        attributes = ", ".join(
            f"{a.name}={onnx.helper.get_attribute_value(a)}"
            for a in node.attribute
            if not a.HasField("g")
        )
        lines.append(
            f"{', '.join(node.output)} = {node.op_type}({', '.join(node.input)})"
            f" {attributes}"
        )
    return "\n".join(lines)


def _child(first: int, n: int, out: Path) -> None:
    for seed in range(first, first + n):
        print(f"> {seed}", flush=True)
        verdict = run_one(seed, out)
        print(f"{seed}\t{verdict.kind}\t{' '.join(verdict.text.split())}", flush=True)


def _run_chunk(first: int, n: int, out: Path) -> list[tuple[int, str, str]]:
    """Verdicts of a chunk; a graph that ends the process is wrong."""
    rows: list[tuple[int, str, str]] = []
    end = first + n
    while first < end:
        words = ["-m", "tests.fuzz.campaign", str(end - first), "--first", str(first)]
        done = subprocess.run(
            [sys.executable, *words, "--out", str(out), "--child"],
            capture_output=True,
            text=True,
            check=False,
        )
        lines = done.stdout.splitlines()
        parts = [line.split("\t", 2) for line in lines if not line.startswith(">")]
        rows += [(int(p[0]), p[1], p[2]) for p in parts]
        first = rows[-1][0] + 1 if rows and rows[-1][0] >= first else first
        if done.returncode != 0:
            begun = [int(line[2:]) for line in lines if line.startswith(">")]
            seed = begun[-1] if begun else first
            last = (done.stderr.strip().splitlines() or [""])[-1]
            rows.append((seed, "ended", f"status {done.returncode}: {last}"))
            first = seed + 1
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description="Random graphs against two oracles.")
    parser.add_argument("n_graphs", type=int)
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--out", type=Path, default=Path("fuzz-out"))
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        _child(arguments.first, arguments.n_graphs, arguments.out)
        return 0
    counts: Counter[str] = Counter()
    texts: Counter[tuple[str, str]] = Counter()
    begin, end = arguments.first, arguments.first + arguments.n_graphs
    started = time.monotonic()
    for first in range(begin, end, _CHUNK):
        for seed, kind, text in _run_chunk(
            first, min(_CHUNK, end - first), arguments.out
        ):
            counts[kind] += 1
            texts[kind, text] += kind in ("refused", "known")
            if kind in ("wrong", "ended"):
                print(f"{seed}: {kind}: {text}", flush=True)
    for (kind, text), n in texts.most_common():
        print(f"{n:6} {kind}: {text}")
    print(f"{dict(counts)} in {time.monotonic() - started:.0f} s")
    return 1 if counts["wrong"] or counts["ended"] else 0


if __name__ == "__main__":
    sys.exit(main())
