"""Threads that ask while versions are swapped: what is lost, mixed, late or kept?"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serve_models import filled_registry, request

N_THREADS = 8
N_VERSIONS = 4


def resident_bytes() -> int:
    """What of this process is in memory."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def _ask(deployment: Any, x: np.ndarray, unit: np.ndarray, n: int) -> dict[str, Any]:
    """Ask `n` times; each answer must be of one version, the one that it says."""
    seconds = np.empty(n)
    errors: list[str] = []
    n_mixed = 0
    for i in range(n):
        begun = time.perf_counter()
        try:
            response = deployment.respond(x)
        except Exception as error:
            errors.append(repr(error))
            continue
        finally:
            seconds[i] = time.perf_counter() - begun
        y, who = response.answer
        by_y = float(np.median(y / unit))
        is_one = abs(by_y - response.version) < 1e-3 and who.item() == response.version
        n_mixed += not is_one
    return {"seconds": seconds, "errors": errors, "n_mixed": n_mixed}


def _load(deployment: Any, n: int) -> dict[str, Any]:
    """All threads at once."""
    inputs = [request(i) for i in range(N_THREADS)]
    units = [deployment.model(x)[0] / deployment.version for x in inputs]
    with ThreadPoolExecutor(N_THREADS) as pool:
        parts = list(
            pool.map(lambda xu: _ask(deployment, *xu, n), zip(inputs, units))  # noqa: B905
        )
    seconds = np.concatenate([part["seconds"] for part in parts])
    return {
        "n_requests": len(seconds),
        "n_errors": sum(len(part["errors"]) for part in parts),
        "first_error": next((e for part in parts for e in part["errors"]), ""),
        "n_mixed": sum(part["n_mixed"] for part in parts),
        "p50_s": float(np.quantile(seconds, 0.5)),
        "p99_s": float(np.quantile(seconds, 0.99)),
        "max_s": float(seconds.max()),
    }


class _Swapper:
    """Swaps on a thread of its own, evenly over the time that the requests take."""

    def __init__(self, deployment: Any, n_swaps: int, pause_s: float) -> None:
        self._deployment = deployment
        self._n_swaps = n_swaps
        self._pause_s = pause_s
        self.seconds: list[float] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        for i in range(self._n_swaps):
            swapped = self._deployment.swap(i % N_VERSIONS + 1)
            self.seconds.append(swapped.seconds)
            time.sleep(self._pause_s)

    def __enter__(self) -> _Swapper:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._thread.join()


def swap(*, quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Measure requests before and during swaps, and memory before and after.

    Parameters
    ----------
    quick : bool

    Returns
    -------
    entries : iterator of (str, dict)
    """
    import trimtab

    n_each, n_swaps = (500, 10) if quick else (5000, 100)
    with tempfile.TemporaryDirectory() as folder:
        registry = filled_registry(Path(folder) / "registry", N_VERSIONS)
        with trimtab.deploy_model("net", registry=registry, follow=False) as deployment:
            _load(deployment, n_each // 10)
            begun = time.perf_counter()
            before = _load(deployment, n_each)
            pause_s = (time.perf_counter() - begun) / n_swaps / 2
            with _Swapper(deployment, n_swaps, pause_s) as swapper:
                during = _load(deployment, n_each)
            yield (
                "requests",
                {
                    "n_threads": N_THREADS,
                    "n_swaps": len(swapper.seconds),
                    "swap_p50_s": float(np.quantile(swapper.seconds, 0.5)),
                    "before": before,
                    "during": during,
                    "p99_ratio": during["p99_s"] / before["p99_s"],
                },
            )
            yield "memory", _memory(deployment, 20 if quick else 100)


def _memory(deployment: Any, n_swaps: int) -> dict[str, Any]:
    x = request(0)

    def swaps() -> int:
        for i in range(n_swaps):
            deployment.swap(i % N_VERSIONS + 1)
            deployment(x)
        return resident_bytes()

    before, after = swaps(), swaps()
    return {
        "n_swaps": n_swaps,
        "before_bytes": before,
        "after_bytes": after,
        "growth": after / before - 1,
    }
