"""The main job in one command: real models, a real file, what they saw, how fast.

trimtab demo                       read a photographed page
trimtab demo --model speech        tell speech from silence in a recording
trimtab demo --model files         tell files by their bytes
trimtab demo --input photo.png     the same on a file of yours
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.demo_jobs import FILES, JOBS, Answer, Job, Worker
from trimtab.errors import TrimtabError
from trimtab.fetch import cache_folder
from trimtab.report import text_table

if TYPE_CHECKING:
    from trimtab.profile import Profile

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``trimtab demo`` and return its exit code.

    Parameters
    ----------
    argv : sequence of str, default=None
        Arguments after ``demo``; those of the process by default.

    Returns
    -------
    code : int
        0, or 1 when something could not be fetched, read or run; the reason is
        printed.

    Examples
    --------
    >>> from trimtab import demo
    >>> demo.main(["--model", "speech"])  # doctest: +SKIP
    0
    """
    args = _parser().parse_args(argv)
    names = list(JOBS) if args.model == "all" else [args.model]
    told: list[dict[str, Any]] = []
    for name in names:
        if not args.json:
            _say_what_is_fetched(JOBS[name])
        try:
            answer = JOBS[name].run(args.input)
            profiles = [_profile(worker) for worker in answer.workers]
        except (TrimtabError, ImportError, OSError) as error:
            print(f"trimtab demo: {error}", file=sys.stderr)
            return 1
        if args.json:
            told.append({"job": name, **_as_dict(answer, profiles)})
        else:
            print(_as_text(answer, profiles), end="\n\n")
    if args.json:
        print(json.dumps(told, indent=1, ensure_ascii=False))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trimtab demo",
        description="Run a real model on a real file and show what it saw, how fast.",
    )
    parser.add_argument(
        "--model",
        choices=[*JOBS, "all"],
        default="page",
        help="page: read a photo; speech: hear a recording; files: tell file types",
    )
    parser.add_argument(
        "--input",
        type=Path,
        help="a file of yours: a photo (PNG), a recording (WAV), or any file",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _say_what_is_fetched(job: Job) -> None:
    folder = cache_folder() / "files"
    missing = [name for name in job.files if not (folder / FILES[name][3]).is_dir()]
    if missing:
        packages = {f"{FILES[name][0]}=={FILES[name][1]}" for name in missing}
        print(f"Fetching {', '.join(missing)} once, into {folder}")
        print(f"  out of {', '.join(sorted(packages))} ...", flush=True)


def _profile(worker: Worker) -> Profile:
    profile: Profile = worker.model.profile(worker.inputs)
    return profile


def _as_text(answer: Answer, profiles: Sequence[Profile]) -> str:
    blocks = [answer.title]
    blocks += [f"  {line}" for line in answer.picture]
    rows = [[f"{s.probability:.3f}", s.label, s.detail] for s in answer.sights]
    blocks += (
        _indented(text_table(["sure", "saw", ""], rows)) if rows else ["  nothing"]
    )
    for worker, profile in zip(answer.workers, profiles, strict=True):
        blocks += ["", _speed(worker, profile)]
        if profile.nodes:
            blocks += _indented(_slowest(profile))
    return "\n".join(line.rstrip() for line in blocks)


def _speed(worker: Worker, profile: Profile) -> str:
    shapes = ", ".join(
        "x".join(map(str, x.shape)) or "0-d" for x in worker.inputs.values()
    )
    text = f"{worker.role} on {shapes}: {profile.latency_ms:.3g} ms"
    if not math.isnan(profile.percent_of_peak):
        text += f", {profile.percent_of_peak:.0f} % of this machine's peak"
    return f"{text}; slowest nodes:" if profile.nodes else text


def _slowest(profile: Profile, n: int = 5) -> str:
    total = sum(node.time_us for node in profile.nodes) or 1.0
    slowest = sorted(profile.nodes, key=lambda node: -node.time_us)[:n]
    rows: list[list[str | int | float]] = [
        [
            _short(node.name),
            _chain(node.op_type),
            node.time_us,
            100 * node.time_us / total,
            node.gops,
            node.gbps,
            node.percent_of_peak,
            node.implementation,
        ]
        for node in slowest
    ]
    headers = ["node", "op", "us", "% of time", "GOP/s", "GB/s", "% of peak", "runs as"]
    return text_table(headers, rows)


def _short(name: str, n: int = 32) -> str:
    return name if len(name) <= n else "..." + name[3 - n :]


def _chain(op_type: str) -> str:
    """A fused chain of many operators, by its ends."""
    parts = op_type.split("+")
    return op_type if len(parts) < 4 else f"{parts[0]}+...+{parts[-1]} ({len(parts)})"


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]


def _as_dict(answer: Answer, profiles: Sequence[Profile]) -> dict[str, Any]:
    return {
        "title": answer.title,
        "saw": [asdict(sight) for sight in answer.sights],
        "models": [
            {
                "role": worker.role,
                "inputs": {name: list(x.shape) for name, x in worker.inputs.items()},
                **json.loads(profile.to_json()),
            }
            for worker, profile in zip(answer.workers, profiles, strict=True)
        ],
    }
