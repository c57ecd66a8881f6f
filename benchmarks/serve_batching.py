"""Eight callers with one row each: run together, and each alone."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.common import quartiles
from benchmarks.serve_models import request, versioned

N_CALLERS = 8
#: Name -> width of the hidden layers, and how many: weights of 0.3, 8 and 126 MB.
NETS = {"small": (256, 2), "middle": (1024, 3), "large": (2048, 9)}


def _throughput(deployment: Any, seconds: float) -> float:
    """Requests per second of all callers."""
    until = time.perf_counter() + seconds

    def ask(seed: int) -> int:
        x, n = request(seed), 0
        while time.perf_counter() < until:
            deployment(x)
            n += 1
        return n

    with ThreadPoolExecutor(N_CALLERS) as pool:
        begun = time.perf_counter()
        n = sum(pool.map(ask, range(N_CALLERS)))
        return n / (time.perf_counter() - begun)


def batching(*, quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Measure requests per second with and without batching, in turns.

    Parameters
    ----------
    quick : bool

    Returns
    -------
    entries : iterator of (str, dict)
    """
    import trimtab

    n_rounds, seconds = (2, 0.3) if quick else (9, 1.0)
    rng = random.Random(0)
    for name, (hidden, n_layers) in NETS.items():
        content = versioned(1, hidden=hidden, n_layers=n_layers)
        model = trimtab.load_model(content, threads=1)
        ways = {
            "alone": trimtab.deploy_model(model),
            "together": trimtab.deploy_model(model, max_batch=N_CALLERS),
        }
        found: dict[str, list[float]] = {way: [] for way in ways}
        for deployment in ways.values():
            _throughput(deployment, 0.1)
        for _ in range(n_rounds):
            for way in rng.sample([*ways], len(ways)):
                found[way].append(_throughput(ways[way], seconds))
        pairs = zip(found["together"], found["alone"], strict=True)
        low, middle, high = quartiles([a / b for a, b in pairs])
        batcher = ways["together"]._batcher
        yield (
            name,
            {
                "n_callers": N_CALLERS,
                "weights_bytes": model.stats["weights_bytes"],
                **{
                    f"{way}_per_s": quartiles(values)[1]
                    for way, values in found.items()
                },
                "ratio": {"median": middle, "low": low, "high": high},
                "rows_per_batch": batcher.n_requests / max(1, batcher.n_batches),
                "p99_s": {
                    way: deployment.stats["latency_s"]["p99"]
                    for way, deployment in ways.items()
                },
            },
        )
