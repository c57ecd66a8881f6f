"""What `trimtab.optimize_model` gains and loses, beside onnxruntime and OpenVINO/NNCF.

``python -m benchmarks.bench_optimize`` makes every model smaller with every tool, times
the results in interleaved rounds, compares their answers with those of f32 on samples
that no tool has seen, tries the promise of the guard on 200 splits, and writes
``results/<date>-<kind of machine>-optimize.json``, its section of RESULTS.md and the
picture of docs/optimize.md. The stages can be run alone, in this order:

    build      every tool on every model; the files stay in the cache
    latency    interleaved rounds
    quality    SQNR, agreement, accuracy
    proof      how often a returned model loses more than it may
    picture    the curve of a report, docs/images/optimize_report.png
    report     the JSON and RESULTS.md from what the stages have left
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import optimize_measure, optimize_proof
from benchmarks.common import (
    OPTIMIZE,
    RESULTS,
    ROOT,
    commit,
    environment,
    machine_id,
    to_plain,
    write_json,
)
from benchmarks.optimize_build import ONLY, TOOLS
from benchmarks.optimize_cases import CASES, Case
from benchmarks.optimize_measure import VARIANTS
from benchmarks.optimize_report import node_figures, section
from benchmarks.optimize_targets import TARGETS
from benchmarks.report import target_lines
from benchmarks.rounds import QUICK, Effort, crew
from benchmarks.sections import put_section
from benchmarks.targets import compute
from benchmarks.worker import one_line
from trimtab.fetch import cache_folder

PACKAGES = ("trimtab", "onnxruntime", "openvino", "nncf", "numpy")
PICTURE = ROOT / "docs" / "images" / "optimize_report.png"
BUILD_TIMEOUT_S = 3600
QUICK_POOL = 400
MEASURED = ("build", "latency", "quality", "proof")
PROOF_CASES = ("mnist_cnn", "minilm_sentiment")


@dataclass(frozen=True)
class Run:
    """What was asked for, and the document that the stages fill."""

    models: list[str]
    tools: list[str]
    threads: int
    quick: bool
    whole: bool
    folder: Path
    document: dict[str, Any]

    @property
    def effort(self) -> Effort:
        """How long a model is timed."""
        return QUICK if self.quick else Effort()

    @property
    def n_pool(self) -> int | None:
        """Labelled samples of a quick run; all when None."""
        return QUICK_POOL if self.quick else None

    def cases(self, names: Iterable[str] | None = None) -> Iterable[Case]:
        """The wanted models that can be had here, one at a time."""
        for name in self.models:
            if names is not None and name not in names:
                continue
            try:
                yield CASES[name]()
            except Exception as error:  # a package index, torch, an exporter
                self.document["missing_models"][name] = one_line(error)
                note(f"{name}: not measured: {one_line(error)}")

    def part(self, key: str) -> dict[str, Any]:
        """A stage's own part of the document."""
        found: dict[str, Any] = self.document.setdefault(key, {})
        return found


def note(text: str) -> None:
    """Tell the user how far the run is, without touching standard output."""
    print(text, file=sys.stderr, flush=True)


def build(run: Run) -> None:
    """Every tool on every model, each in a process of its own."""
    for name in run.models:
        answers = run.part("build").setdefault(name, {})
        for tool in run.tools:
            if name not in ONLY.get(tool, CASES):
                continue
            command = [sys.executable, "-m", "benchmarks.optimize_build", tool, name]
            command += [str(run.folder / name / tool), "--threads", str(run.threads)]
            answers[tool] = _answer(command)
            note(f"{name:20s} {tool:20s} {json.dumps(to_plain(answers[tool]))[:160]}")


def _answer(command: list[str]) -> dict[str, Any]:
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer in {BUILD_TIMEOUT_S} s"}
    lines = done.stdout.strip().splitlines()
    if not lines:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"error": f"the process ended with {done.returncode}: {last[:200]}"}
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer


def latency(run: Run) -> None:
    """Interleaved rounds of all variants of a model."""
    _measured(run, ["latency"])


def quality(run: Run) -> None:
    """All variants' answers against those of f32."""
    _measured(run, ["quality"])


def _measured(run: Run, parts: Sequence[str]) -> None:
    with crew(list(VARIANTS)) as workers, tempfile.TemporaryDirectory() as scratch:
        run.document["unavailable_engines"] = workers.unavailable
        folder = Path(scratch)
        for case in run.cases():
            built = run.part("build").get(case.name, {})
            threads = run.threads
            loaded = optimize_measure.load(workers, case, built, threads, folder)
            for part in parts:
                if part == "latency":
                    entry = optimize_measure.latency(workers, loaded, run.effort)
                else:
                    entry = optimize_measure.quality(
                        workers, case, loaded, folder, n_pool=run.n_pool
                    )
                run.part(part)[case.name] = entry
                note(f"{case.name:20s} {part}: {_short(part, entry)}")
            for label in loaded.ready:
                workers[label].ask("unload")


def _short(part: str, entry: dict[str, Any]) -> str:
    if part == "latency":
        cells = {x: y["rounds_s"] for x, y in entry["engines"].items()}
        return "  ".join(f"{x} {min(y) * 1e3:.3g}" for x, y in cells.items())
    return "  ".join(f"{x} {y['sqnr_db']}" for x, y in entry["engines"].items())


def proof(run: Run) -> None:
    """How often a returned model loses more than its budget on unseen data."""
    for case in run.cases(PROOF_CASES):
        n_splits = 20 if run.quick else optimize_proof.N_SPLITS
        entry = optimize_proof.proof(case, n_splits=n_splits, n_pool=run.n_pool)
        run.part("proof")[case.name] = entry
        for trial, x in entry.items():
            text = f"{x['violations']} of {x['splits']} over budget"
            note(f"{case.name:20s} {trial}: {text}, {x['returned']} optimised")


def picture(run: Run) -> None:
    """Show the report of the first model that has one in the documentation."""
    for name in run.models:
        drawn = run.folder / name / "trimtab" / "report.png"
        if drawn.exists():
            PICTURE.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(drawn, PICTURE)
            note(f"wrote {PICTURE}")
            return
    note("no report to show: run the stage `build` first")


def _without_paths(built: dict[str, Any]) -> dict[str, Any]:
    """What the tools answered, but for where this machine keeps their files."""
    return {
        model: {
            tool: {key: value for key, value in answer.items() if key != "path"}
            for tool, answer in answers.items()
        }
        for model, answers in built.items()
    }


def report(run: Run) -> None:
    """The result file, and the section of RESULTS.md unless the run is partial."""
    document = run.document
    document["nodes"] = {
        name: node_figures(run.folder / name / "trimtab" / "report.json")
        for name in run.models
        if (run.folder / name / "trimtab" / "report.json").exists()
    }
    document["targets"] = compute(document, TARGETS)
    runs = document["stages"]
    document["is_partial"] = not all(runs.get(x, {}).get("whole") for x in MEASURED)
    name = f"{document['date']}-{machine_id(document['machine'])}"
    partial = "-partial" if document["is_partial"] else ""
    path = RESULTS / f"{name}{partial}{OPTIMIZE}.json"
    write_json(path, document | {"build": _without_paths(document["build"])})
    note(f"wrote {path}")
    print("\n".join(target_lines(document["targets"])))
    if not document["is_partial"]:
        note(f"wrote {put_section('optimize', section(document, path))}")


STAGES: dict[str, Callable[[Run], None]] = {
    "build": build,
    "latency": latency,
    "quality": quality,
    "proof": proof,
    "picture": picture,
    "report": report,
}


def parse(argv: Sequence[str] | None) -> tuple[list[str], Run]:
    """The command line: stages, and what they work on."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_optimize",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="default: all")
    parser.add_argument("--models", help=f"of {','.join(CASES)}")
    parser.add_argument("--tools", help=f"of {','.join(TOOLS)}")
    parser.add_argument("--threads", type=int, default=1, help="threads of one call")
    parser.add_argument("--quick", action="store_true", help="few rounds and samples")
    args = parser.parse_args(argv)
    chosen = {
        "stages": (args.stages or list(STAGES), STAGES),
        "models": (args.models.split(",") if args.models else list(CASES), CASES),
        "tools": (args.tools.split(",") if args.tools else list(TOOLS), TOOLS),
    }
    for what, (names, known) in chosen.items():
        if unknown := [name for name in names if name not in known]:
            parser.error(
                f"unknown {what} {', '.join(unknown)}; known: {', '.join(known)}"
            )
    folder = cache_folder() / "bench_optimize"
    document = _document(folder / "document.json")
    models, tools = chosen["models"][0], chosen["tools"][0]
    whole = len(models) == len(CASES) and len(tools) == len(TOOLS) and not args.quick
    document |= environment(PACKAGES) | {
        "command": "python -m benchmarks.bench_optimize",
        "threads": args.threads,
        "missing_models": {},
    }
    run = Run(models, tools, args.threads, args.quick, whole, folder, document)
    return [name for name in STAGES if name in chosen["stages"][0]], run


def _document(path: Path) -> dict[str, Any]:
    """What earlier stages have left."""
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _is_built(run: Run) -> bool:
    """Has every tool been given every model that it is for?"""
    built = run.part("build")
    return all(
        tool in built.get(name, {})
        for name in CASES
        for tool in TOOLS
        if name in ONLY.get(tool, CASES)
    )


def _is_complete(run: Run, stage: str) -> bool:
    """Has the stage been through all models, if not in one run?"""
    if stage == "build":
        return _is_built(run)
    names = PROOF_CASES if stage == "proof" else tuple(CASES)
    return stage in MEASURED and all(name in run.part(stage) for name in names)


def _commits(run: Run, stage: str) -> str:
    """That of this run, behind those of the models that it leaves as they are; nothing
    where nothing is measured."""
    if stage not in MEASURED:
        return ""
    before = run.part("stages").get(stage, {}).get("commit", "")
    if run.whole or not before:
        return commit()
    return ", ".join(dict.fromkeys([*before.split(", "), commit()]))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stages; each leaves the document in the cache for the next."""
    stages, run = parse(argv)
    for stage in stages:
        note(f"== {stage}")
        begin = time.monotonic()
        run.part("stages")[stage] = {"commit": _commits(run, stage)}
        STAGES[stage](run)
        # what was measured earlier is there still
        whole = run.whole or (not run.quick and _is_complete(run, stage))
        run.document["stages"][stage]["whole"] = whole
        run.document["stages"][stage]["minutes"] = (time.monotonic() - begin) / 60
        write_json(run.folder / "document.json", run.document)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
