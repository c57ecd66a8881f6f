"""What bench_rollout runs: simulated labels, whole rollouts, processes that are killed.

A request of the rollouts is (two scores, two scores): the champion answers with the
first two, the candidate with the last two, so that how often either errs is drawn.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import trimtab
from trimtab import Registry
from trimtab.rollout import Rollout, read_rollout, resume
from trimtab.rollout.states import FINAL
from trimtab.stats import PairedTest

NAME = "digits"
#: (share on which only the candidate errs, only the champion), and what that is.
CASES = {
    "equal": (0.025, 0.025),
    "0.5 points worse": (0.030, 0.025),
    "1 point worse": (0.035, 0.025),
    "3 points worse": (0.050, 0.020),
}
_QUICKLY = {"bake_s": 0.0, "check_s": 0.001, "latency_factor": 1e6}


# ---- labels -------------------------------------------------------------------------


def simulate(
    worse: float, better: float, *, n_runs: int, n_most: int, seed: int
) -> dict[str, Any]:
    """Stop at the first look that rejects; look after every labelled request.

    Parameters
    ----------
    worse, better : float
    n_runs, n_most : int
        Runs, and requests of each at most.
    seed : int

    Returns
    -------
    entry : dict
    """
    rng = np.random.default_rng(seed)
    ends = []
    for _ in range(n_runs):
        test, draws = PairedTest(), rng.random(n_most)
        for i in np.flatnonzero(draws < worse + better):
            test.update(1.0 if draws[i] < worse else -1.0)
            if test.is_rejected:
                ends.append(int(i) + 1)
                break
    return {
        "n_runs": n_runs,
        "n_most": n_most,
        "stopped": len(ends) / n_runs,
        "median_requests": float(np.median(ends)) if ends else None,
        "p90_requests": float(np.quantile(ends, 0.9)) if ends else None,
    }


# ---- whole rollouts -----------------------------------------------------------------


def _model(columns: np.ndarray) -> trimtab.Model:
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "selecting",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 4))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 2))],
        [numpy_helper.from_array(columns.astype(np.float32), "w")],
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    return trimtab.load_model(model.SerializeToString(), threads=1)


def make_registry(folder: Path) -> Path:
    """A registry of two versions; the first one is the champion."""
    registry = Registry(folder / "registry")
    for i, columns in enumerate((np.eye(4)[:, :2], np.eye(4)[:, 2:])):
        path = folder / f"{i}.safetensors"
        _model(columns).save(path)
        registry.register(NAME, path)
    registry.promote(NAME, 1)
    return folder / "registry"


class _Clients:
    """A thread that asks, and knows the answers."""

    def __init__(self, dep: Any, worse: float, better: float, seed: int) -> None:
        self.labels: dict[int, int] = {}
        self.errors = 0
        self._args = (dep, worse, better, np.random.default_rng(seed))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> _Clients:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        dep, worse, better, rng = self._args
        number = 0
        while not self._stop.is_set():
            right, draw = number % 2, rng.random()
            x = np.zeros((1, 4), np.float32)
            x[0, 1 - right if worse <= draw < worse + better else right] = 1.0
            x[0, 2 + (1 - right if draw < worse else right)] = 1.0
            self.labels[number] = right
            try:
                dep(x, request_id=number)
            except Exception:
                self.errors += 1
            number += 1
            if number % 32 == 0:  # the shadow keeps up: every request is compared
                self._stop.wait(0.002)


def roll(path: Path, case: str, seed: int) -> dict[str, Any]:
    """One rollout with labels of every request; version 1 is champion again then."""
    registry = Registry(path)
    policy = Rollout(canary=(0.1, 0.5), min_requests=50, **_QUICKLY)
    with trimtab.deploy_model(NAME, registry=registry) as dep:
        with _Clients(dep, *CASES[case], seed) as clients:
            begun = time.perf_counter()
            result = policy.run(dep, 2, labels=clients.labels)
            seconds = time.perf_counter() - begun
        turned = next((e for e in result.edges if e.after == "ROLLING_BACK"), None)
        serves = dep.version
    if registry.alias(NAME).version != 1:  # type: ignore[union-attr]
        registry.promote(NAME, 1)
    return {
        "state": result.state,
        "serves": serves,
        "n_labels": int(result.evidence["n_labels"]),
        "has_answered": any(e.after == "CANARY" for e in result.edges),
        "undone_s": result.edges[-1].time - turned.time if turned else None,
        "n_errors": clients.errors,
        "seconds": seconds,
    }


# ---- killed -------------------------------------------------------------------------


def _serve_and_roll(path: Path) -> None:
    """In a child: a deployment, clients, a rollout that passes, or is taken back."""
    registry = Registry(path)
    options = {**_QUICKLY, "bake_s": 0.05}
    policy = Rollout(shadow_requests=5, canary=(0.5,), min_requests=5, **options)
    with (
        trimtab.deploy_model(NAME, registry=registry) as dep,
        _Clients(dep, 0.0, 0.0, 0),
    ):
        policy.run(dep, 2)


def _child(path: Path) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            _serve_and_roll(path)
        finally:
            os._exit(0)
    return pid


def _settled(path: Path) -> tuple[str, int]:
    registry = Registry(path)
    alias = registry.alias(NAME)
    if alias is None or alias.version not in (1, 2):
        raise AssertionError(f"the alias names {alias}")
    resume(registry, NAME)
    found = read_rollout(registry, NAME)
    state = "nothing" if found is None else found.state
    now = registry.alias(NAME)
    if now is None or (state not in FINAL and state != "nothing"):
        raise AssertionError(f"left in {state}, the alias names {now}")
    if now.version != (2 if state == "PROMOTED" else 1):
        raise AssertionError(f"{state}, but the alias names version {now.version}")
    if not registry.verify(quarantine=False).ok:
        raise AssertionError("the registry is damaged")
    return state, now.version


def kills(n_kills: int, *, seed: int) -> dict[str, Any]:
    """Kill processes at random instants of a rollout, resume twice, compare.

    Parameters
    ----------
    n_kills : int
    seed : int

    Returns
    -------
    entry : dict

    Raises
    ------
    AssertionError
        Something was neither old nor new.
    """
    rng = np.random.default_rng(seed)
    counts: dict[str, int] = {}
    left: dict[str, int] = {}
    n_killed = n_different = 0
    with tempfile.TemporaryDirectory() as folder:
        template = make_registry(Path(folder))
        paths = [Path(folder) / name for name in ("work", "first", "second")]
        begun = time.monotonic()
        os.waitpid(_child(_fresh(template, paths[0])), 0)
        whole_s = time.monotonic() - begun
        while n_killed < n_kills:
            pid = _child(_fresh(template, paths[0]))
            time.sleep(rng.uniform(0, whole_s))
            os.kill(pid, signal.SIGKILL)
            if not os.WIFSIGNALED(os.waitpid(pid, 0)[1]):
                continue  # it had ended
            n_killed += 1
            found = read_rollout(Registry(_fresh(paths[0], paths[1])), NAME)
            was = "nothing" if found is None else found.state
            left[was] = left.get(was, 0) + 1
            ends = [_settled(_fresh(paths[0], copy)) for copy in paths[1:]]
            n_different += ends[0] != ends[1]
            counts[ends[0][0]] = counts.get(ends[0][0], 0) + 1
    return {
        "n_kills": n_killed,
        "n_different": n_different,
        "left_in": left,
        "ended_in": counts,
        "whole_s": whole_s,
    }


def _fresh(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


# ---- stages -------------------------------------------------------------------------


def labels(*, quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """How often, and when, the test of quality stops a candidate.

    Parameters
    ----------
    quick : bool

    Returns
    -------
    entries : iterator of (str, dict)
    """
    n_runs = 100 if quick else 1000
    for seed, (name, shares) in enumerate(CASES.items()):
        yield name, simulate(*shares, n_runs=n_runs, n_most=20_000, seed=seed)


def rollouts(*, quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Whole rollouts of equal and of worse candidates.

    Parameters
    ----------
    quick : bool

    Returns
    -------
    entries : iterator of (str, dict)
    """
    n = 3 if quick else 40
    with tempfile.TemporaryDirectory() as folder:
        path = make_registry(Path(folder))
        for name in ("equal", "3 points worse"):
            runs = [roll(path, name, seed) for seed in range(n)]
            promoted = [run["state"] == "PROMOTED" for run in runs]
            undone = [run["undone_s"] for run in runs if run["undone_s"] is not None]
            yield (
                name,
                {
                    "n_runs": n,
                    "promoted": sum(promoted) / n,
                    "rolled_back": sum(r["state"] == "ROLLED_BACK" for r in runs) / n,
                    "answered": sum(r["has_answered"] for r in runs) / n,
                    "median_labels": float(np.median([r["n_labels"] for r in runs])),
                    "undone_s": max(undone) if undone else None,
                    "n_errors": sum(r["n_errors"] for r in runs),
                    "n_misplaced": sum(
                        run["serves"] != (2 if is_in else 1)
                        for run, is_in in zip(runs, promoted, strict=True)
                    ),
                    "seconds": sum(r["seconds"] for r in runs),
                },
            )


def killed(*, quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Processes killed at random instants.

    Parameters
    ----------
    quick : bool

    Returns
    -------
    entries : iterator of (str, dict)
    """
    yield "rollout", kills(20 if quick else 200, seed=0)
