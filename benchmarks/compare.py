"""Compare trimtab with onnxruntime, OpenVINO and torch on real models.

``python -m benchmarks.compare`` measures everything that the targets name,
writes ``results/<date>-<kind of machine>.json`` and makes RESULTS.md and its
plot from it. README.md describes the method. A run that leaves out models or
sections, or is quick, does not replace a full result: its file name says
``partial``, and RESULTS.md stays as it is.
"""

from __future__ import annotations

import compileall
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import bench_load, bench_overhead, bench_roofline, bench_threads
from benchmarks.cases import Case, zoo_cases
from benchmarks.common import (
    NOISE_LIMIT,
    RESULTS,
    ROOT,
    environment,
    machine_id,
    to_plain,
    write_json,
)
from benchmarks.compare_case import Comparison, measure_case
from benchmarks.options import SECTIONS, Options, parse
from benchmarks.peers import ENGINES, engine_of
from benchmarks.report import target_lines, write_report
from benchmarks.rounds import Crew, crew
from benchmarks.targets import compute

BASES = ("onnxruntime", "openvino")


def note(text: str) -> None:
    """Tell the user how far the run is, without touching standard output."""
    print(text, file=sys.stderr, flush=True)


def comparison_of(options: Options) -> Comparison:
    """The contender over each onnxruntime and OpenVINO among the engines."""
    bases = [x for x in options.engines if engine_of(x) in BASES]
    return Comparison(options.contender, [x for x in bases if x != options.contender])


def measure_latency(
    cases: Sequence[Case], workers: Crew, options: Options
) -> list[dict[str, Any]]:
    """Every case at every thread count, on every engine, in rounds."""
    entries = []
    comparison = comparison_of(options)
    for threads in options.threads:
        for case in cases:
            entry = measure_case(workers, case, threads, options.effort, comparison)
            entries.append(entry)
            note(f"{threads} threads  {latency_line(entry)}")
    return entries


def latency_line(entry: dict[str, Any]) -> str:
    """One model's plain latencies in a line."""
    parts = [
        f"{label} {times['plain']['median_s'] * 1e3:.3f}"
        for label, times in entry["engines"].items()
    ]
    ratio = entry["ratios"].get(entry["better"])
    if ratio is not None:
        parts.append(f"x{ratio['plain']['median']:.3f}")
    if entry["noisy"]:
        parts.append("(noisy)")
    parts += [f"[{reason[:70]}]" for reason in entry["errors"].values()]
    return f"{entry['model']:24s} " + "  ".join(parts)


def run(options: Options) -> dict[str, Any]:
    """Measure the wanted sections.

    Parameters
    ----------
    options : Options

    Returns
    -------
    document : dict
        The result, with the targets computed from it.
    """
    begin = time.monotonic()
    # as pip leaves a package: imports do not compile it anew
    compileall.compile_dir(ROOT / "python", quiet=1)
    document: dict[str, Any] = environment(
        [distribution for _, _, distribution in ENGINES.values()] + ["numpy"]
    )
    document |= {
        "command": "python -m benchmarks.compare",
        "contender": options.contender,
        "engines_measured": options.engines,
        "threads_measured": options.threads,
        "sections": options.sections,
        "is_partial": is_partial(options),
        "effort": options.effort,
        "noise_limit": NOISE_LIMIT,
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        cases, document["missing_models"] = zoo_cases(folder, options.models)
        for name, reason in document["missing_models"].items():
            note(f"{name}: not measured: {reason}")
        with crew(options.engines) as workers:
            document["unavailable_engines"] = workers.unavailable
            for reason in workers.unavailable.values():
                note(reason)
            present = list(workers)
            if options.contender not in present:
                note(f"{options.contender} is not available: no ratios")
            if "latency" in options.sections:
                document["latency"] = measure_latency(cases, workers, options)
        measure_rest(document, options, cases, present)
    document["minutes"] = (time.monotonic() - begin) / 60
    document = to_plain(document)
    document["targets"] = to_plain(compute(document))
    return document


def measure_rest(
    document: dict[str, Any],
    options: Options,
    cases: Sequence[Case],
    present: Sequence[str],
) -> None:
    """Everything but latency, each part by its own program."""
    quick, contender = options.quick, options.contender
    names = {case.name for case in cases}
    few = [x for x in present if engine_of(x) in (*BASES, engine_of(contender))]
    if "overhead" in options.sections:
        note("one-node calls")
        onnx_engines = [x for x in present if engine_of(x) != "torch"]
        document["overhead"] = bench_overhead.measure(
            onnx_engines, options.effort, contender=contender
        )
    if "roofline" in options.sections and "trimtab" in present:
        note("roofline")
        wanted = [case for case in cases if case.name in bench_roofline.MODELS]
        document["roofline"] = bench_roofline.measure(
            wanted, options.threads, n_rounds=2 if quick else 5
        )
    if "load" in options.sections:
        note("load to first result, resident growth")
        document["load"] = bench_load.measure_load(
            cases,
            few,
            contender=contender,
            threads=max(options.threads),
            n_rounds=1 if quick else 3,
            n_calls=10 if quick else bench_load.N_CALLS,
        )
    if "import" in options.sections:
        note("import")
        document["import"] = bench_load.import_times(present, 5 if quick else 21)
    if "threads" in options.sections:
        note("Python threads")
        wanted_names = bench_threads.MODELS if names & set(bench_threads.MODELS) else ()
        wanted = [case for case in cases if case.name in wanted_names]
        document["threads"] = bench_threads.measure(
            wanted or cases[:1],
            few,
            n_rounds=2 if quick else 5,
            seconds=0.3 if quick else 1.0,
        )


def is_partial(options: Options) -> bool:
    """Whether the options leave out something that a full result has."""
    return bool(
        options.models
        or options.quick
        or options.contender != "trimtab"
        or set(options.sections) != set(SECTIONS)
    )


def result_path(document: dict[str, Any]) -> Path:
    """Where a result goes: one file per day and kind of machine."""
    name = f"{document['date']}-{machine_id(document['machine'])}"
    if document["is_partial"]:
        name += "-partial"
    return RESULTS / f"{name}.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    options = parse(__doc__, argv)
    document = run(options)
    path = result_path(document)
    write_json(path, document)
    note(f"wrote {path}")
    if options.json:
        print(json.dumps(document, indent=1))
    else:
        print("\n".join(target_lines(document["targets"])))
    if not document["is_partial"]:
        for written in write_report(document, path):
            note(f"wrote {written}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
