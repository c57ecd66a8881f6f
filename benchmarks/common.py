"""Statistics, machine description and JSON shared by every benchmark.

Latencies are compared by ratios taken inside one round (the contenders run one
after the other within a fraction of a second), and a figure is the median of
those ratios: a disturbance that lasts longer than a round cancels, a shorter
one is an outlier that a median ignores.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import math
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"
SCHEMA = 1

# A ratio whose middle half spreads over more than this share of its median is
# measured again, and flagged when it still does.
NOISE_LIMIT = 0.08


@dataclass(frozen=True)
class Ratio:
    """Median of per-round ratios with the spread that it was taken from.

    Attributes
    ----------
    median : float
        The figure to report; below 1 the contender is faster.
    low, high : float
        First and third quartile.
    best : float
        Ratio of the two fastest observations of all rounds: what is left when
        nothing else ran on the machine.
    spread : float
        ``(high - low) / median``.
    noisy : bool
        True if `spread` exceeds the limit or `best` disagrees with `median`
        by more than twice the limit.
    """

    median: float
    low: float
    high: float
    best: float
    spread: float
    noisy: bool


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """First quartile, median and third quartile, inclusive method.

    Examples
    --------
    >>> quartiles([1.0, 2.0, 3.0, 4.0, 5.0])
    (2.0, 3.0, 4.0)
    """
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def ratio_of_rounds(
    contender_s: Sequence[float],
    base_s: Sequence[float],
    contender_best_s: float | None = None,
    base_best_s: float | None = None,
    *,
    limit: float = NOISE_LIMIT,
) -> Ratio:
    """Compare two contenders round by round.

    Parameters
    ----------
    contender_s, base_s : sequence of float
        Typical seconds per call, one number per round, same rounds in both.
    contender_best_s, base_best_s : float, optional
        Fastest call of all rounds; default is the fastest round.
    limit : float, default=NOISE_LIMIT
        Spread above which the ratio is called noisy.

    Returns
    -------
    ratio : Ratio
        Contender over base, so less than 1 is faster.

    Examples
    --------
    >>> ratio_of_rounds([1.0, 1.1, 9.0], [2.0, 2.2, 18.0]).median
    0.5
    """
    if len(contender_s) != len(base_s) or not contender_s:
        raise ValueError(
            f"need equally many rounds of both, got {len(contender_s)} and "
            f"{len(base_s)}"
        )
    ratios = [a / b for a, b in zip(contender_s, base_s, strict=True)]
    low, middle, high = quartiles(ratios)
    best = (contender_best_s or min(contender_s)) / (base_best_s or min(base_s))
    spread = (high - low) / middle
    noisy = spread > limit or abs(best / middle - 1) > 2 * limit
    return Ratio(middle, low, high, best, spread, noisy)


def geometric_mean(values: Iterable[float]) -> float:
    """Geometric mean of positive numbers; NaN of none.

    Examples
    --------
    >>> geometric_mean([0.5, 2.0])
    1.0
    """
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed.

    Examples
    --------
    >>> percentile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.0
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def resident_bytes(pid: int | str = "self") -> int:
    """VmRSS of a process in bytes (Linux)."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    match = re.search(r"^VmRSS:\s+(\d+) kB", text, re.MULTILINE)
    if match is None:
        raise RuntimeError(f"no VmRSS in /proc/{pid}/status")
    return int(match.group(1)) * 1024


def _cpu_fields() -> dict[str, str]:
    fields: dict[str, str] = {}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").split("\n\n")[0].splitlines():
            key, _, value = line.partition(":")
            fields[key.strip()] = value.strip()
    return fields


def widest_isa(flags: Iterable[str]) -> str:
    """Name of the widest vector instruction set among CPU flags.

    Examples
    --------
    >>> widest_isa(["sse4_2", "avx2", "avx512f", "avx512_vnni"])
    'avx512_vnni'
    """
    present = set(flags)
    for isa in ("amx_tile", "avx512_bf16", "avx512_vnni", "avx512f", "avx2", "asimd"):
        if isa in present:
            return isa
    return "scalar"


def machine() -> dict[str, Any]:
    """Describe the machine without naming the host.

    Returns
    -------
    description : dict
        Processor model, family, cores this process may use, widest vector
        instruction set, memory, kernel and Python.
    """
    cpu = _cpu_fields()
    flags = cpu.get("flags", cpu.get("Features", "")).split()
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": cpu.get("model name", platform.processor() or platform.machine()),
        "vendor": cpu.get("vendor_id", platform.machine()),
        "family": cpu.get("cpu family", ""),
        "model": cpu.get("model", ""),
        "n_cpus": len(os.sched_getaffinity(0)),
        "isa": widest_isa(flags),
        "cache": cpu.get("cache size", ""),
        "memory_gib": round(pages / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def machine_id(description: dict[str, Any]) -> str:
    """Short name of a kind of machine: equal for equal hardware, not per host.

    Examples
    --------
    >>> machine_id({"vendor": "AuthenticAMD", "family": "26", "model": "2",
    ...             "n_cpus": 2, "isa": "avx512_bf16"})
    'amd-26-2-avx512-bf16-2cpu'
    """
    vendor = str(description["vendor"]).lower()
    vendor = {"authenticamd": "amd", "genuineintel": "intel"}.get(vendor, vendor)
    parts = [vendor, description.get("family"), description.get("model")]
    parts += [description["isa"], f"{description['n_cpus']}cpu"]
    text = "-".join(str(part) for part in parts if part not in (None, ""))
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def versions(names: Iterable[str]) -> dict[str, str]:
    """Installed versions of distributions; those not installed are left out."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Short id of the commit that was measured, ``+`` if files differ from it."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=10"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def environment(packages: Iterable[str]) -> dict[str, Any]:
    """What a result depends on besides the code: machine, versions, load."""
    return {
        "schema": SCHEMA,
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(packages),
        "load_average": round(os.getloadavg()[0], 2),
    }


def to_plain(value: Any) -> Any:
    """Turn dataclasses and non-finite numbers into what JSON can carry."""
    if hasattr(value, "__dataclass_fields__"):
        return to_plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a result file: six significant digits, one list of numbers a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(to_plain(document), indent=1, ensure_ascii=False)
    text = re.sub(
        r"\[\s+([-\d.e+,\s]+?)\s+\]",
        lambda match: "[" + re.sub(r"\s+", " ", match.group(1)) + "]",
        text,
    )
    path.write_text(text + "\n", encoding="utf-8")


OPTIMIZE = "-optimize"  # ends the name of a result of bench_optimize
TRAIN = "-train"  # of bench_train
_NAMES = ("optimize", "monitor", "train", "serve", "rollout", "update")
_ENDS = {f"bench_{name}": f"-{name}" for name in _NAMES}


def latest_result(folder: Path = RESULTS, *, of: str = "compare") -> Path:
    """The newest full result file of a program, by the date in its name.

    Parameters
    ----------
    folder : Path, default=RESULTS
    of : str
        "compare" or the name of another benchmark, such as "bench_optimize".
    """
    files = [
        path
        for path in sorted(folder.glob("*.json"))
        if "-partial" not in path.stem
        and next((x for x, end in _ENDS.items() if path.stem.endswith(end)), "compare")
        == of
    ]
    if not files:
        raise FileNotFoundError(
            f"no full result in {folder}; run `python -m benchmarks.{of}` first"
        )
    return files[-1]
