"""The section of RESULTS.md on optimised models, from a result of bench_optimize."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.common import quartiles
from benchmarks.optimize_measure import PAIRS, VARIANTS
from benchmarks.report import number, table, target_table
from benchmarks.sections import heading

SLACK = 1.0  # a node may take at most so much of its f32 twin's time

Document = dict[str, Any]


def node_figures(path: Path) -> dict[str, Any]:
    """Which int8 and bf16 nodes of a saved report are slower than they were in f32."""
    document = json.loads(path.read_text(encoding="utf-8"))
    low = [layer for layer in document["layers"] if layer["precision"] != "f32"]
    slower = [
        layer["name"]
        for layer in low
        if layer["latency_us"][layer["precision"]] > SLACK * layer["latency_us"]["f32"]
    ]
    return {"n": len(low), "slower": slower}


def section(document: Document, source: Path) -> str:
    """The whole section.

    Parameters
    ----------
    document : dict
        A result of bench_optimize.
    source : Path
        The file that it stands in.
    """
    parts = [
        heading(
            "optimize",
            document,
            source,
            "Calibration on 32 samples (Whisper: 8), judged on others; `drop` is the "
            "loss of accuracy against f32 on labelled samples that no tool has seen, "
            "`bound` the upper end of its paired one-sided 95 % interval (Tango 1998)",
            threads=f"{document['threads']} thread(s) a call, batch 1",
        ),
        "## Targets of optimised models",
        target_table(document["targets"]),
    ]
    parts += ["## Latency and quality", _models(document)]
    parts += ["## Ratios within the rounds", _ratios(document)]
    parts += ["## Cost of making them", _build(document)]
    if document.get("proof"):
        parts += ["## Does the guard's promise hold?", _proof(document)]
    parts += ["## Remarks on optimised models", _remarks(document)]
    return "\n\n".join(parts)


def _models(document: Document) -> str:
    head = ["model", "variant", "ms", "SQNR dB", "agreement", "cosine, worst"]
    head += ["accuracy", "drop pp", "bound pp"]
    rows = []
    for model, entry in document.get("latency", {}).items():
        judged = document.get("quality", {}).get(model, {"engines": {}})["engines"]
        for label in VARIANTS:
            if label in entry["engines"]:
                cells = [model, label]
                rounds = entry["engines"][label]["rounds_s"]
                cells.append(number(quartiles(rounds)[1] * 1e3))
                rows.append(cells + _quality_cells(judged.get(label, {})))
    return table(head, rows, left=2)


def _quality_cells(found: Mapping[str, Any]) -> list[str]:
    cells = [
        _fixed(found.get("sqnr_db"), 1),
        _fixed(found.get("agreement"), 3),
        _fixed(found.get("cosine_min"), 4),
    ]
    drop = found.get("accuracy")
    if drop is None:
        return [*cells, "", "", ""]
    return [
        *cells,
        _fixed(drop["accuracy"], 4),
        _fixed(100 * drop["drop"], 2),
        _fixed(100 * drop["bound"], 2),
    ]


def _fixed(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _ratios(document: Document) -> str:
    pairs = [f"{contender} / {base}" for contender, base in PAIRS]
    rows = []
    for i, pair in enumerate(pairs):
        cells = [pair]
        for entry in document.get("latency", {}).values():
            found = {(x["contender"], x["base"]): x["ratio"] for x in entry["ratios"]}
            value = found.get(PAIRS[i])
            flag = " (noisy)" if value and value["noisy"] else ""
            cells.append(f"{value['median']:.3f}{flag}" if value else "")
        rows.append(cells)
    return table(["contender / base", *document.get("latency", {})], rows)


def _build(document: Document) -> str:
    rows = [
        [
            model,
            tool,
            number(answer["seconds"]),
            number(answer["growth_mb"]),
            number(answer["bytes"] / 1e6) if tool != "trimtab_calibration" else "",
        ]
        for model, tools in document.get("build", {}).items()
        for tool, answer in tools.items()
        if "error" not in answer
    ]
    return table(["model", "tool", "s", "MB over the model", "file MB"], rows, left=2)


def _proof(document: Document) -> str:
    head = ["model", "trial", "splits", "optimised", "budget pp", "over budget"]
    rows = []
    for model, entry in document["proof"].items():
        for trial, x in entry.items():
            cells = [model, trial, str(x["splits"]), str(x["returned"])]
            cells += [f"{100 * x['max_drop']:g}", str(x["violations"])]
            rows.append([*cells, f"{100 * x['largest_drop']:.2f}"])
    return table([*head, "largest drop pp"], rows, left=2)


def _remarks(document: Document) -> str:
    lines = [f"- {x}: not measured: {y}" for x, y in document["missing_models"].items()]
    lines += [f"- {x}" for x in document.get("unavailable_engines", {}).values()]
    for stage in ("build", "latency", "quality"):
        for model, entry in document.get(stage, {}).items():
            failed = (
                {x: y["error"] for x, y in entry.items() if "error" in y}
                if stage == "build"
                else entry["errors"]
            )
            lines += [f"- {model}, {x}: {reason[:160]}" for x, reason in failed.items()]
    return "\n".join(dict.fromkeys(lines)) or "None."
