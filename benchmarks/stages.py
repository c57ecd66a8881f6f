"""A benchmark of several stages, each of which can be run alone and again."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import (
    RESULTS,
    commit,
    environment,
    machine_id,
    to_plain,
    write_json,
)
from benchmarks.sections import PAGE, put_section
from trimtab.fetch import cache_folder

__all__ = ["Benchmark", "Stage", "note"]

#: A stage gives named entries; `quick` asks for few and short rounds.
Stage = Callable[..., Iterator[tuple[str, dict[str, Any]]]]
# Too long to be printed.
_LONG = ("rounds_s",)


def note(text: str) -> None:
    """Tell the user how far the run is, without touching standard output."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Benchmark:
    """``python -m benchmarks.bench_<name> [STAGE ...] [--quick]``.

    It prints a JSON line per figure and writes ``results/<date>-<kind of
    machine>-<name>.json``, ``-partial`` unless every stage has run in full, and then
    its section of RESULTS.md. A stage leaves its figures in the cache, so that the next
    can be run alone and again.

    Parameters
    ----------
    name : str
    text : str
        For ``--help``.
    packages : sequence of str
        Whose versions are noted.
    stages : mapping of str to Stage
    section : callable
        (document, source) -> the section of RESULTS.md.
    """

    name: str
    text: str
    packages: Sequence[str]
    stages: Mapping[str, Stage]
    section: Callable[[Mapping[str, Any], Path], str]

    def run_stage(self, name: str, document: dict[str, Any], *, quick: bool) -> None:
        """Run one stage, print its entries and put them into the document.

        Parameters
        ----------
        name : str
        document : dict
        quick : bool
        """
        note(f"== {name}")
        begin = time.monotonic()
        entries = document[name] = {}
        for key, entry in self.stages[name](quick=quick):
            entries[key] = entry
            short = {k: v for k, v in entry.items() if k not in _LONG}
            line = {"stage": name, "name": key, **short}
            print(json.dumps(to_plain(line)), flush=True)
        document.setdefault("stages", {})[name] = {
            "whole": not quick,
            "commit": commit(),
            "minutes": (time.monotonic() - begin) / 60,
        }

    def write_result(self, document: dict[str, Any], page: Path = PAGE) -> Path:
        """Write the result file, and the section where it is whole.

        Parameters
        ----------
        document : dict
        page : Path, default=PAGE

        Returns
        -------
        path : Path
        """
        runs = document["stages"]
        is_whole = all(runs.get(name, {}).get("whole") for name in self.stages)
        document["is_partial"] = not is_whole
        where = f"{document['date']}-{machine_id(document['machine'])}"
        partial = "" if is_whole else "-partial"
        path = RESULTS / f"{where}{partial}-{self.name}.json"
        write_json(path, document)
        if is_whole:
            put_section(self.name, self.section(document, path), page)
        return path

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Run the stages that were named, or all.

        Parameters
        ----------
        argv : sequence of str, optional

        Returns
        -------
        status : int
        """
        program = f"python -m benchmarks.bench_{self.name}"
        parser = argparse.ArgumentParser(
            prog=program,
            description=self.text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("stages", nargs="*", metavar="STAGE", help="default: all")
        parser.add_argument("--quick", action="store_true", help="few, short rounds")
        args = parser.parse_args(argv)
        if unknown := [name for name in args.stages if name not in self.stages]:
            known = ", ".join(self.stages)
            parser.error(f"unknown stages {', '.join(unknown)}; known: {known}")
        kept = cache_folder() / f"bench_{self.name}" / "document.json"
        document: dict[str, Any] = {}
        if kept.exists():
            document = json.loads(kept.read_text(encoding="utf-8"))
        document |= environment(self.packages) | {"command": program}
        for name in args.stages or self.stages:
            self.run_stage(name, document, quick=args.quick)
            write_json(kept, document)
        note(f"wrote {self.write_result(document)}")
        return 0
