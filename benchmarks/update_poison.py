"""Do the gates stop updates that were tampered with, and let the others pass?

``python -m benchmarks.update_poison`` makes a champion for each seed and data set (the
digits of scikit-learn, MNIST), has it learn from ten poisoned and ten clean sets of new
rows, and asks all gates about each candidate. The digits' candidates are a last layer
refit, MNIST's a net fine-tuned throughout. Prints one line for each update, and how
many of each kind were promoted.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.poison_cases import CLEAN, POISONED, SIZES, Pair, parts_of, split
from benchmarks.poison_learn import LEARNERS, as_model, champion
from trimtab.gates import Evidence, GateReport, Rows, prove

#: Drops that are borne on the guard and on the reference: what so many rows can show.
BUDGETS = {
    "mnist": {"margin": 0.03, "forget": 0.03},
    "digits": {"margin": 0.04, "forget": 0.04},
}
#: Share of poisoned updates to be blocked, and of clean ones to be promoted.
TARGET = 0.9


def rows(pair: Pair) -> Rows:
    """Images and labels as gates take them."""
    return Rows({"image": pair[0]}, pair[1])


def judge(
    name: str, models: tuple[Any, Any], reference: Pair, new: tuple[Pair, Pair]
) -> GateReport:
    """All gates about one candidate; new rows are those learned from and the guard."""
    old, candidate = models
    fit, guard = new
    evidence = Evidence(
        as_model(old),
        as_model(candidate),
        rows(guard),
        reference=rows(reference),
        new=rows(fit),
        latency_factor=3.0,  # of equal nets, on a machine that does other things
        **BUDGETS[name],
    )
    return prove(evidence)


def run(name: str, seed: int, cases: Sequence[str]) -> list[dict[str, Any]]:
    """Judge updates of one champion."""
    parts = split(name, seed)
    old = champion(parts["train"], seed)
    found = []
    for case in cases:
        fit, guard = parts_of(case, parts["new"], seed, SIZES[name].guard)
        candidate = LEARNERS[name](old, fit, parts["train"], seed)
        begin = time.perf_counter()
        report = judge(name, (old, candidate), parts["reference"], (fit, guard))
        seconds = time.perf_counter() - begin
        against = [f"{gate.name} {gate.state}" for gate in report.gates if not gate.ok]
        found.append(
            {
                "data": name,
                "seed": seed,
                "case": case,
                "is_poisoned": case in POISONED,
                "is_promoted": report.ok,
                "against": against,
                "seconds": round(seconds, 2),
                "report": report.to_dict(),
            }
        )
        verdict = "promoted" if report.ok else "blocked"
        print(
            f"{name} {seed} {case:12} {verdict:8} {', '.join(against)} "
            f"({seconds:.1f} s)",
            flush=True,
        )
    return found


def summary(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Blocked of the poisoned and promoted of the clean, by data set and seed."""
    table = {}
    for name, seed in sorted({(one["data"], one["seed"]) for one in found}):
        mine = [one for one in found if (one["data"], one["seed"]) == (name, seed)]
        poisoned = [one for one in mine if one["is_poisoned"]]
        clean = [one for one in mine if not one["is_poisoned"]]
        table[f"{name}, seed {seed}"] = {
            "poisoned": len(poisoned),
            "blocked": sum(not one["is_promoted"] for one in poisoned),
            "clean": len(clean),
            "promoted": sum(one["is_promoted"] for one in clean),
        }
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Judge all updates and print what was stopped; 1 where a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="*", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--cases", nargs="*", default=[*POISONED, *CLEAN])
    parser.add_argument("--json", type=Path, help="write the reports there")
    options = parser.parse_args(argv)
    found = [
        one
        for name in options.data
        for seed in options.seeds
        for one in run(name, seed, options.cases)
    ]
    table = summary(found)
    for key, counts in table.items():
        print(
            f"{key}: {counts['blocked']} of {counts['poisoned']} poisoned blocked, "
            f"{counts['promoted']} of {counts['clean']} clean promoted"
        )
    if options.json:
        text = json.dumps({"summary": table, "updates": found}, indent=1)
        options.json.write_text(text + "\n")
    is_met = all(
        one["blocked"] >= TARGET * one["poisoned"]
        and one["promoted"] >= TARGET * one["clean"]
        for one in table.values()
    )
    return 0 if is_met else 1


if __name__ == "__main__":
    raise SystemExit(main())
