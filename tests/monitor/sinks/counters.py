"""A snapshot as the watcher of a deployment gives it, records as the monitor does."""

from __future__ import annotations

from typing import Any

import numpy as np


def snapshot() -> dict[str, Any]:
    stage = {"n": 10, "sum_s": 0.5, "max_s": 0.2, "p50_s": 0.04}
    odd = {"n_rows": 40, "n_values": 400, "n_nan": 3, "n_infinite": 0, "n_below": 1}
    cells = np.array([1.2e-5, 9.9e-4, 1e-3, 1.01e-3, np.inf]), np.array([1, 2, 3, 3, 1])
    return {
        "model": "net",
        "version": "7",
        "n_calls": 10,
        "n_rows": 40,
        "errors": {},
        "n_requests": 12,
        "request_errors": {"InputError": 2, "OSError": 0},
        "stages": {"request": stage, "compute": stage},
        "histograms": {"request": cells, "compute": cells},
        "inputs": [odd],
        "outputs": [odd, odd],
        "output_names": ["logits", "boxes"],
        "n_calls_looked": 5,
        "look_s": 0.001,
        "n_processes": 2,
        "clipping": {"conv1": (5, 100), "conv2": (0, 0)},
        "info": {"digest": "sha256:ab", "precision": "int8", "isa": "avx512"},
        "classes": {"cat": 3, "dog": 4},
    }


def window(i: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "time": 1000.0 + i,
        "kind": "window",
        "model": "net",
        "version": "7",
        "window": i,
        "n_rows": 50,
        "drift_share": 0.5,
        "drifted": ["age"],
        "faults": {"missing": {"age": 3, "sex": 4}},
        "estimates": {
            "accuracy": {"value": 0.9, "low": 0.8, "high": 0.95, "is_estimate": True}
        },
        "features": {
            "age": {
                "mean": 41.5,
                "population_stability_index": 0.3,
                "kolmogorov_smirnov": 0.2,
                "counts": [1, 5, 4, 0],
                "edges": [10.0, 20.0, 30.0],
                "minimum": 5.0,
                "maximum": 28.0,
            },
            "sex": {
                "jensen_shannon": 0.01,
                "counts": [30, 20, 0],
                "categories": ["f", "m"],
            },
        },
        **more,
    }
