"""The command-line options that all benchmarks share."""

from __future__ import annotations

import argparse
import importlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.cases import select
from benchmarks.common import to_plain
from benchmarks.peers import engine_of
from benchmarks.rounds import QUICK, Effort

DEFAULT_ENGINES = "trimtab,onnxruntime,openvino,openvino_static,torch"
SECTIONS = ("latency", "overhead", "roofline", "load", "import", "threads")


@dataclass(frozen=True)
class Options:
    """What the user asked for.

    Attributes
    ----------
    models : str or None
        Comma-separated names, None for all.
    engines : list of str
        Worker labels in the order of a round.
    contender : str
        The label that ratios are formed for.
    threads : list of int
        Thread counts of one call.
    sections : list of str
        Parts of the comparison to run.
    quick : bool
        Few and short rounds.
    json : bool
        Print JSON instead of a table.
    """

    models: str | None
    engines: list[str]
    contender: str
    threads: list[int]
    sections: list[str]
    quick: bool
    json: bool

    @property
    def effort(self) -> Effort:
        """Rounds and their length."""
        return QUICK if self.quick else Effort()


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def parse(description: str | None, argv: Sequence[str] | None = None) -> Options:
    """Read the command line.

    Parameters
    ----------
    description : str or None
        Help text of the program.
    argv : sequence of str, optional
        Arguments, the process's own by default.

    Returns
    -------
    options : Options
    """
    n_cpus = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", help="comma-separated names (default: all)")
    parser.add_argument(
        "--engines",
        default=DEFAULT_ENGINES,
        help="comma-separated, in the order of a round; NAME#2 is a second process "
        "of the same engine (default: %(default)s)",
    )
    parser.add_argument(
        "--contender",
        default="trimtab",
        help="the engine that ratios are formed for; an engine against its own #2 "
        "shows the noise of the machine (default: %(default)s)",
    )
    parser.add_argument(
        "--threads",
        default="1,2" if n_cpus > 1 else "1",
        help="thread counts of one call (default: %(default)s)",
    )
    parser.add_argument(
        "--sections",
        default=",".join(SECTIONS),
        help="parts to run (default: %(default)s)",
    )
    parser.add_argument("--quick", action="store_true", help="few, short rounds")
    parser.add_argument("--json", action="store_true", help="print JSON, no table")
    given = parser.parse_args(argv)
    engines, sections = _names(given.engines), _names(given.sections)
    unknown = [name for name in sections if name not in SECTIONS]
    if unknown:
        parser.error(f"unknown section {unknown[0]!r}; known: {', '.join(SECTIONS)}")
    try:
        for label in engines:
            engine_of(label)
        threads = [int(text) for text in _names(given.threads)]
        if given.models:
            select(importlib.import_module("tests.zoo").MODELS, given.models)
    except ValueError as error:
        parser.error(str(error))
    if given.contender not in engines:
        parser.error(f"--contender {given.contender} is not among --engines")
    if not threads or min(threads) < 1:
        parser.error(f"--threads needs positive numbers, got {given.threads!r}")
    return Options(
        given.models,
        engines,
        given.contender,
        threads,
        sections,
        given.quick,
        given.json,
    )


def show(options: Options, document: dict[str, Any], rows: Sequence[str]) -> int:
    """Print a result as asked, and return the exit status."""
    if options.json:
        print(json.dumps(to_plain(document), indent=1))
    else:
        print("\n".join(rows))
    return 0
