"""What a check of a window costs, and what a window holds.

A window of 50 columns is compared with its reference by the monitor's defaults; the
same rows are counted by eight processes and merged, which must give the same bytes.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

N_COLUMNS, N_ROWS, N_PROCESSES = 50, 20_000, 8


def _rows(seed: int, n: int) -> np.ndarray:
    """Columns of different scales, some of them skewed."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(n, N_COLUMNS)).astype(np.float32)
    table[:, ::3] = np.exp(table[:, ::3])
    return table * np.logspace(-2, 2, N_COLUMNS, dtype=np.float32)


def _part(data: tuple[bytes, int, int]) -> bytes:
    """Count one process' share."""
    from trimtab import _core

    empty, first, last = data
    sketch = _core.TableSketch.from_bytes(empty)
    sketch.update(_rows(1, N_ROWS)[first:last])
    return sketch.to_bytes()


def _merged(empty: bytes) -> bytes:
    from trimtab import _core

    cuts = np.linspace(0, N_ROWS, N_PROCESSES + 1).astype(int).tolist()
    jobs = [(empty, cuts[i], cuts[i + 1]) for i in range(N_PROCESSES)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        parts = pool.map(_part, jobs)
    whole = _core.TableSketch.from_bytes(empty)
    for part in parts[::-1]:
        whole.merge(_core.TableSketch.from_bytes(part))
    return whole.to_bytes()


def check(*, quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """The stage: one entry.

    Parameters
    ----------
    quick : bool
        Few rounds.

    Yields
    ------
    name, entry : str, dict
    """
    from trimtab.monitor.drift import detect
    from trimtab.monitor.reference import Reference

    reference = Reference.from_data(_rows(0, N_ROWS))
    sketch = reference.table_sketch()
    empty = sketch.to_bytes()
    sketch.update(_rows(1, N_ROWS))
    seconds = []
    for _ in range(20 if quick else 200):
        begin = time.perf_counter()
        detect(reference.features, reference.read(sketch))
        seconds.append(time.perf_counter() - begin)
    yield (
        "50_features",
        {
            "n_features": len(reference.features),
            "median_ms": 1e3 * float(np.median(seconds)),
            "best_ms": 1e3 * min(seconds),
            "sketch_bytes": sketch.nbytes,
            "n_processes": N_PROCESSES,
            "merge_is_exact": _merged(empty) == sketch.to_bytes(),
        },
    )
