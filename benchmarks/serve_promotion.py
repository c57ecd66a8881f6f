"""What changing an alias takes, and how long it is until a follower serves it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serve_models import filled_registry

N_VERSIONS = 4


def _summary(seconds: list[float]) -> dict[str, Any]:
    return {
        "n": len(seconds),
        "p50_s": float(np.quantile(seconds, 0.5)),
        "p99_s": float(np.quantile(seconds, 0.99)),
        "max_s": max(seconds),
    }


def promotion(*, quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Measure `set_alias`, and the way from there to the first answer.

    Parameters
    ----------
    quick : bool

    Returns
    -------
    entries : iterator of (str, dict)
    """
    import trimtab

    n_aliases, n_followed = (50, 5) if quick else (1000, 50)
    with tempfile.TemporaryDirectory() as folder:
        registry = filled_registry(Path(folder) / "registry", N_VERSIONS)
        seconds = []
        for i in range(n_aliases):
            begun = time.perf_counter()
            registry.set_alias("net", "challenger", i % N_VERSIONS + 1)
            seconds.append(time.perf_counter() - begun)
        yield "set_alias", _summary(seconds)
        with trimtab.deploy_model("net", registry=registry) as deployment:
            seconds = []
            for i in range(n_followed):
                version = (i + 1) % N_VERSIONS + 1
                registry.promote("net", version)
                begun = time.perf_counter()
                while deployment.version != version:
                    time.sleep(0.001)
                seconds.append(time.perf_counter() - begun)
        yield "until_served", _summary(seconds)
