"""RESULTS.md and its plot, from a result file.

``python -m benchmarks.report [RESULT.json]`` makes both again from the newest
full result, or from the one that is named. No number is computed here but
counts and unit changes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, latest_result
from benchmarks.plot import plot_ratios
from benchmarks.targets import compute

# Benchmarks whose sections follow, by what stands behind "bench_" and before "_report".
_OTHERS = ("train", "update", "rollout", "serve", "monitor", "optimize")

Document = dict[str, Any]
PAGE = RESULTS.parent / "RESULTS.md"
WORDS = {True: "yes", False: "**no**", None: "not measured"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; columns after the first `left` ones align right.

    Examples
    --------
    >>> print(table(["a", "b"], [["x", "1"]]))
    | a | b |
    |---|--:|
    | x | 1 |
    """
    rule = ["---" if i < left else "--:" for i in range(len(head))]
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join(rule)}|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits and no exponent.

    Examples
    --------
    >>> number(0.012345), number(1234.5), number(None)
    ('0.0123', '1234', '')
    """
    if value is None:
        return ""
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e" in text else text


def target_lines(targets: Iterable[Document]) -> list[str]:
    """The targets as lines for a terminal."""
    lines = []
    for row in targets:
        threads = f" [{row['threads']} threads]" if row["threads"] else ""
        word = {True: "met ", False: "MISS", None: "  - "}[row["met"]]
        lines.append(
            f"{word} {number(row['value']) + row['unit']:>9s}  "
            f"(target {row['relation']} {row['limit']:g}{row['unit']})  "
            f"{row['figure']}{threads}: {row['detail']}"
        )
    return lines


def target_table(targets: Iterable[Document]) -> str:
    """The targets as a Markdown table."""
    rows = [
        [
            row["figure"],
            str(row["threads"] or ""),
            f"{row['relation']} {row['limit']:g}{row['unit']}",
            number(row["value"]) + (row["unit"] if row["value"] is not None else ""),
            WORDS[row["met"]],
            row["detail"],
        ]
        for row in targets
    ]
    head = ["figure", "threads", "target", "measured", "met", "of which"]
    return table(head, rows, left=6)


def _latency(document: Document, threads: int) -> str:
    entries = [x for x in document["latency"] if x["threads"] == threads]
    labels = [
        label
        for label in document["engines_measured"]
        if any(label in entry["engines"] for entry in entries)
    ]
    rows = []
    for entry in entries:
        cells = [entry["model"]]
        for label in labels:
            times = entry["engines"].get(label)
            cells.append(number(times["plain"]["median_s"] * 1e3) if times else "-")
        ratio = entry["ratios"].get(entry["better"])
        if ratio is None:
            cells += ["-", "-"]
        else:
            plain, flag = ratio["plain"], " (noisy)" if entry["noisy"] else ""
            cells.append(f"{plain['median']:.3f}{flag}")
            cells.append(f"{plain['low']:.3f} to {plain['high']:.3f}")
        rows.append(cells)
    return table(["model", *labels, "over the better", "middle half"], rows)


def _calls(document: Document) -> str:
    rows = [
        [
            entry["model"],
            label,
            number(times["plain"]["median_s"] * 1e6),
            number(times["bound"]["median_s"] * 1e6) if "bound" in times else "-",
        ]
        for entry in document["overhead"]
        for label, times in entry["engines"].items()
    ]
    return table(["model", "engine", "plain us", "bound us"], rows, left=2)


def _load(document: Document) -> str:
    labels = [
        label
        for label in document["engines_measured"]
        if any(label in entry["engines"] for entry in document["load"])
    ]
    head = ["model"] + [f"{x} {unit}" for x in labels for unit in ("ms", "MiB")]
    rows = []
    for entry in document["load"]:
        cells = [entry["model"]]
        for label in labels:
            found = entry["engines"].get(label)
            cells += (
                [
                    number(found["first_result_s"] * 1e3),
                    number(found["growth_bytes"] / 2**20),
                ]
                if found
                else ["-", "-"]
            )
        rows.append(cells)
    return table(head, rows)


def _threads(document: Document) -> str:
    rows = [
        [
            entry["model"],
            label,
            number(x["one_calls_per_s"]),
            number(x["many_calls_per_s"]),
            f"{x['throughput']:.2f}",
            number(x["p50_s"] * 1e3),
            number(x["p99_s"] * 1e3),
            f"{x['p99_over_p50']:.2f}",
        ]
        for entry in document["threads"]
        for label, x in entry["engines"].items()
    ]
    head = ["model", "engine", "calls/s, 1", "calls/s, 4", "4 over 1"]
    return table([*head, "p50 ms", "p99 ms", "p99/p50"], rows, left=2)


def _remarks(document: Document) -> str:
    lines = [
        f"- {name} was not measured: {reason}"
        for name, reason in document["missing_models"].items()
    ]
    lines += [f"- {x}" for x in document.get("unavailable_engines", {}).values()]
    seen = set()
    for entry in document.get("latency", []):
        for label, reason in entry["errors"].items():
            text = reason.removeprefix(f"{label}: ")
            # A long C++ trace says where it was thrown before it says why.
            line = f"- {entry['model']}, {label}: {text[:160]}"
            if line not in seen:
                seen.add(line)
                lines.append(line)
        if reason := entry["unbound"].get(document["contender"]):
            line = f"- {entry['model']} cannot be bound: {reason[:160]}"
            if line not in seen:
                seen.add(line)
                lines.append(line)
        for label, error in entry["difference"].items():
            line = (
                f"- {entry['model']}, {label}: differs from onnxruntime by {error:.1e}"
            )
            if error > 1e-5 and line not in seen:
                seen.add(line)
                lines.append(f"{line} of the output's range")
    return "\n".join(lines) or "None."


def _heading(document: Document, source: Path) -> str:
    machine, effort = document["machine"], document["effort"]
    versions = ", ".join(f"{k} {v}" for k, v in document["versions"].items())
    plural = "s" if machine["n_cpus"] > 1 else ""
    return f"""\
# Results

Made by `{document["command"]}` on {document["date"]} at commit {document["commit"]}
(`python -m benchmarks.report` makes this page again from \
[{source.name}](results/{source.name})).
Method and options: [README.md](README.md).

- Machine: {machine["cpu"]}, family {machine["family"]} model {machine["model"]},
  {machine["n_cpus"]} core{plural}, {machine["isa"]}, \
{machine["memory_gib"]} GiB, {machine["system"]}
- Python {machine["python"]}; {versions}
- {effort["n_rounds"]} to {effort["max_rounds"]} interleaved rounds of \
{effort["block_s"] * 1e3:.0f} ms per engine; load average at the start \
{document["load_average"]}; {document["minutes"]:.0f} minutes in all"""


def markdown(document: Document, source: Path, picture: Path | None) -> str:
    """The whole page."""
    parts = [
        _heading(document, source),
        "## Targets",
        target_table(document["targets"]),
    ]
    if picture is not None:
        text = "Latency of the contender over that of other engines, per model"
        parts.append(f"![{text}](results/{picture.name})")
    for threads in document["threads_measured"]:
        if document.get("latency"):
            plural = "s" if threads > 1 else ""
            parts += [
                f"## Latency, {threads} thread{plural} (ms per call)",
                _latency(document, threads),
            ]
    sections = (
        ("overhead", "One node, 16 floats (one thread)", _calls),
        ("load", "Load to first result, and resident growth after 100 runs", _load),
        ("threads", "Four Python threads on one model", _threads),
    )
    for key, title, make in sections:
        if document.get(key):
            parts += [f"## {title}", make(document)]
    parts += ["## Remarks", _remarks(document)]
    others = (section_of(name) for name in _OTHERS)
    parts += [section for section in others if section is not None]
    return "\n\n".join(parts) + "\n"


def section_of(name: str) -> str | None:
    """The section of ``benchmarks.bench_<name>``, if there is a result of it."""
    module = import_module(f"benchmarks.{name}_report")
    try:
        source = latest_result(of=f"bench_{name}")
    except FileNotFoundError:
        return None
    section: str = module.section(json.loads(source.read_text("utf-8")), source)
    return section


def write_report(document: Document, source: Path, page: Path = PAGE) -> list[Path]:
    """Write the page, and the plot beside the result.

    Parameters
    ----------
    document : dict
        A result of compare.py.
    source : Path
        The file that it stands in.
    page : Path, default=PAGE
        The Markdown file to write.

    Returns
    -------
    paths : list of Path
        What was written.
    """
    picture = plot_ratios(document, source.with_suffix(".png"))
    page.write_text(markdown(document, source, picture), encoding="utf-8")
    return [page] if picture is None else [page, picture]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("result", nargs="?", type=Path, help="default: the newest")
    parser.add_argument("--page", type=Path, default=PAGE, help="default: RESULTS.md")
    options = parser.parse_args(argv)
    try:
        source = options.result or latest_result()
        document = json.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        parser.error(str(error))
    document["targets"] = compute(document)
    for path in write_report(document, source, options.page):
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
