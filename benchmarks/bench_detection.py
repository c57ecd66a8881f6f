"""Does the monitor find what changed, and is it silent otherwise?

``python -m benchmarks.bench_detection`` runs 30 streams with a change (means, scales,
category mixes, priors, damaged images at three strengths, noise in audio) and 30 quiet
ones through reference, sketches, detectors and alert rule with their defaults; with
``--peers`` also evidently's and nannyml's defaults, each in a venv of its own that is
made in the cache. A peer is given the same rule as ours (an alert is two of three
windows) and each of its windows alone, so that both can be read.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detection_cases import Case, quiet_cases, shifted_cases

WINDOW = 500
N_WITHIN = 2000
#: Each with what a fresh installation of it lacks to be imported.
PEERS = {
    "evidently": ("evidently==0.7.23", "pandas<3"),
    "nannyml": ("nannyml==0.13.1", "statsmodels"),
}

Flags = list[bool]


def our_alerts(case: Case) -> tuple[list[Flags], list[float]]:
    """Windows with drift, windows with a new alert, and seconds of each check."""
    from trimtab.monitor.alert import AlertPolicy
    from trimtab.monitor.drift import detect
    from trimtab.monitor.reference import Reference

    reference = Reference.from_data(
        case.reference, names=case.names, categorical=case.categorical
    )
    policy = AlertPolicy()
    drifts, alerts, seconds = [], [], []
    for start in range(0, len(case.rows), WINDOW):
        sketch = reference.table_sketch()
        sketch.update(case.rows[start : start + WINDOW])
        window = reference.read(sketch)
        begin = time.perf_counter()
        report = detect(reference.features, window)
        seconds.append(time.perf_counter() - begin)
        drifts.append(not report.ok)
        found = policy.observe(report, time=0)
        alerts.append(any(alert.state == "raised" for alert in found))
    return [drifts, alerts], seconds


def sustained(flags: Flags) -> Flags:
    """Two of the last three, at the window where it begins to hold."""
    holds = [sum(flags[max(i - 2, 0) : i + 1]) >= 2 for i in range(len(flags))]
    return [now and not (i and holds[i - 1]) for i, now in enumerate(holds)]


def summary(shifted: dict[str, Flags], quiet: dict[str, Flags]) -> dict[str, Any]:
    """Shifts found within the limit, and false alarms per 100 windows."""
    first = {
        name: (flags.index(True) + 1) * WINDOW if any(flags) else None
        for name, flags in shifted.items()
    }
    n_windows = sum(map(len, quiet.values()))
    n_false = sum(sum(flags) for flags in quiet.values())
    delays = [n for n in first.values() if n is not None and n <= N_WITHIN]
    return {
        "n_shifts": len(shifted),
        "n_found": len(delays),
        "median_samples": float(np.median(delays)) if delays else None,
        "missed": [name for name, n in first.items() if n is None or n > N_WITHIN],
        "n_quiet_windows": n_windows,
        "n_false": n_false,
        "false_per_100": 100 * n_false / max(n_windows, 1),
    }


def measure(n_quiet: int = 20) -> dict[str, Any]:
    """Run ours.

    Parameters
    ----------
    n_quiet : int, default=20
        Windows of each quiet stream.

    Returns
    -------
    result : dict
        Of "alert" (the rule) and "window" (each window alone), as `summary`.
    """
    streams: list[dict[str, list[Flags]]] = [{}, {}]
    seconds: list[float] = []
    for place, cases in enumerate(
        (shifted_cases(N_WITHIN, WINDOW), quiet_cases(n_quiet * WINDOW, WINDOW))
    ):
        for case in cases:
            streams[place][case.name], spent = our_alerts(case)
            seconds += spent
    by = {
        name: summary(*({k: v[i] for k, v in part.items()} for part in streams))
        for i, name in enumerate(("window", "alert"))
    }
    return {**by, "check_ms": 1e3 * float(np.median(seconds))}


# ---- peers -------------------------------------------------------------------------


def peer_python(name: str) -> Path:
    """The Python of a peer's own venv, in the cache, made once."""
    from trimtab.fetch import cache_folder

    wanted = PEERS[name]
    folder = cache_folder() / "venvs" / wanted[0].replace("==", "-")
    python, ready = folder / "bin" / "python", folder / "ready"
    if not ready.is_file() or ready.read_text() != "\n".join(wanted):
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        command = [python, "-m", "pip", "install", "-q", "--no-input", *wanted]
        subprocess.run(command, check=True)
        ready.write_text("\n".join(wanted))
    return python


def ask_peer(name: str, cases: Iterable[Case], path: Path) -> dict[str, Any]:
    """Run a peer over streams; what its child printed."""
    given = list(cases)
    arrays: dict[str, Any] = {}
    for i, case in enumerate(given):
        arrays |= {f"reference{i}": case.reference, f"rows{i}": case.rows}
    about = {
        "size": WINDOW,
        "streams": [
            {"name": c.name, "names": c.names, "categorical": c.categorical}
            for c in given
        ],
    }
    np.savez(path, about=json.dumps(about), **arrays)
    script = Path(__file__).with_name("detection_peer.py")
    done = subprocess.run(
        [peer_python(name), script, name, path],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [x for x in done.stdout.splitlines() if x.startswith("RESULT")]
    if not lines:
        raise RuntimeError(f"{name}: {done.stderr.strip().splitlines()[-1:]}")
    found: dict[str, Any] = json.loads(lines[-1][7:])
    return found


def measure_peer(name: str, n_quiet: int = 8) -> dict[str, Any]:
    """Run a peer.

    Parameters
    ----------
    name : {"evidently", "nannyml"}
    n_quiet : int, default=8
        Windows of each quiet stream.

    Returns
    -------
    result : dict
        Of "any column", "most columns" (half of them: what evidently calls a drifted
        data set) and both sustained, as `summary`; "check_ms" of a window.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "streams.npz"
        shifted = ask_peer(name, shifted_cases(N_WITHIN, WINDOW), path)
        quiet = ask_peer(name, quiet_cases(n_quiet * WINDOW, WINDOW), path)

    def flags(of: Callable[[Any], bool]) -> list[dict[str, Flags]]:
        return [
            {k: [of(window) for window in v] for k, v in part["found"].items()}
            for part in (shifted, quiet)
        ]

    views = {
        "any column": flags(lambda w: w[0] > 0),
        "most columns": flags(lambda w: w[1]),
    }
    result: dict[str, Any] = {}
    for view, parts in views.items():
        result[view] = summary(*parts)
        twice = [{k: sustained(v) for k, v in part.items()} for part in parts]
        result[f"{view}, sustained"] = summary(*twice)
    n_windows = sum(len(v) for p in (shifted, quiet) for v in p["found"].values())
    result["check_ms"] = 1e3 * (shifted["seconds"] + quiet["seconds"]) / n_windows
    return result


def rows_of(engine: str, result: dict[str, Any]) -> list[str]:
    """Lines for people."""
    return [
        f"{engine:10s} {view:24s} found {part['n_found']:2d} of {part['n_shifts']}   "
        f"false alarms per 100 windows {part['false_per_100']:6.2f} "
        f"({part['n_false']} of {part['n_quiet_windows']})   "
        f"missed: {', '.join(part['missed'][:6]) or '-'}"
        for view, part in result.items()
        if isinstance(part, dict)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=[])
    parser.add_argument("--json", type=Path, help="write the result there")
    options = parser.parse_args(argv)
    results = {"trimtab": measure()}
    for peer in options.peers:
        results[peer] = measure_peer(peer)
    for engine, result in results.items():
        print(*rows_of(engine, result), sep="\n")
        print(f"{engine:10s} {result['check_ms']:.1f} ms a window")
    if options.json:
        options.json.write_text(json.dumps({"detection": results}, indent=1) + "\n")
    ours = results["trimtab"]["alert"]
    return 0 if ours["n_found"] >= 28 and ours["false_per_100"] <= 1 else 1


if __name__ == "__main__":
    raise SystemExit(main())
