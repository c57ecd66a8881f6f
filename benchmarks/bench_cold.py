"""From nothing to the first result: new processes, the artefact against the ONNX file.

``python -m benchmarks.bench_cold`` starts a process per model, contender and round.
Each imports NumPy, reads the inputs (not counted), imports its engine, loads the model
and runs it once; clocks are those of the system, so the parent knows when the process
was started. An artefact has golden pairs, which are replayed as they are by default.

`total` is from the start of the process to the result, `engine` the same without the
interpreter and NumPy, which every contender needs: importing, loading, running.
"""

from __future__ import annotations

import compileall
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import Case, zoo_cases
from benchmarks.common import ROOT, quartiles, ratio_of_rounds, to_plain

PROGRAM = """\
import sys, time
started = time.perf_counter()
import numpy
path, feeds_path, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
numpy_there = time.perf_counter()
with numpy.load(feeds_path) as arrays:
    feeds = {name: arrays[name] for name in arrays.files}
fed = time.perf_counter()
"""
END = """
done = time.perf_counter()
print(started, numpy_there, fed, imported, loaded, done)
import os, sys; sys.stdout.flush(); os._exit(0)
"""
ONNXRUNTIME = """\
import onnxruntime
imported = time.perf_counter()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
options.inter_op_num_threads = 1
options.log_severity_level = 3
session = onnxruntime.InferenceSession(
    path, options, providers=["CPUExecutionProvider"])
loaded = time.perf_counter()
known = {value.name for value in session.get_inputs()}
session.run(None, {name: x for name, x in feeds.items() if name in known})
"""
TRIMTAB = """\
import trimtab
imported = time.perf_counter()
model = trimtab.load_model(path, threads=threads)
loaded = time.perf_counter()
model.run(feeds)
"""
PROGRAMS = {
    "onnxruntime": ONNXRUNTIME,
    "trimtab_onnx": TRIMTAB,
    "trimtab_artefact": TRIMTAB,
}
SMALL = (
    "magika,mnist_cnn,mtcnn_pnet,silero_vad,ppocr_cls,basic_pitch,dnsmos_p808,"
    "efficientnet_lite0_dynamo,minilm_dynamo,whisper_encoder"
)


def run_once(contender: str, path: str, case: Case, threads: int) -> dict[str, float]:
    """Seconds of one fresh process."""
    begin = time.perf_counter()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            PROGRAM + PROGRAMS[contender] + END,
            path,
            case.feeds_path,
            str(threads),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{contender} {case.name}: {done.stderr[-500:]}")
    started, numpy_there, fed, imported, loaded, end = map(float, done.stdout.split())
    return {
        "total": end - begin - (fed - numpy_there),
        "engine": end - fed,
        "start": started - begin,
        "numpy": numpy_there - started,
        "import": imported - fed,
        "load": loaded - imported,
        "first": end - loaded,
    }


def measure(cases: Sequence[Case], threads: int, n_rounds: int) -> list[dict[str, Any]]:
    """Medians of every part, and ratios to onnxruntime of paired rounds."""
    entries = []
    for case in cases:
        paths = dict.fromkeys(PROGRAMS, case.path)
        paths["trimtab_artefact"] = case.artefact()
        rounds: dict[str, list[dict[str, float]]] = {x: [] for x in PROGRAMS}
        for i in range(n_rounds + 1):
            for contender, path in paths.items():
                found = run_once(contender, path, case, threads)
                if i:  # the first one warms caches
                    rounds[contender].append(found)
        entry: dict[str, Any] = {"model": case.name, "threads": threads}
        for contender, found_rounds in rounds.items():
            entry[contender] = {
                key: quartiles([x[key] for x in found_rounds])[1]
                for key in found_rounds[0]
            }
        entry["ratios"] = {
            f"{contender} {key}": ratio_of_rounds(
                [x[key] for x in rounds[contender]],
                [x[key] for x in rounds["onnxruntime"]],
            )
            for contender in PROGRAMS
            if contender != "onnxruntime"
            for key in ("total", "engine")
        }
        entries.append(to_plain(entry))
    return entries


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: rounds, then models as in the other benchmarks."""
    words = list(sys.argv[1:] if argv is None else argv)
    n_rounds = int(words[0]) if words else 11
    compileall.compile_dir(ROOT / "python", quiet=1)  # as pip leaves it
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        cases, _ = zoo_cases(folder, words[1] if len(words) > 1 else SMALL)
        entries = measure(cases, 1, n_rounds)
    for entry in entries:
        for contender in PROGRAMS:
            parts = "  ".join(
                f"{k} {v * 1e3:6.1f}" for k, v in entry[contender].items()
            )
            print(f"{entry['model']:26s} {contender:17s} {parts}")
        for name, ratio in entry["ratios"].items():
            print(f"{'':26s} {name:26s} {json.dumps(ratio)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
