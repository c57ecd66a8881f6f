"""Versions whose answers a request decides, and a deployment whose times a test does.

A request is (champion's two scores, candidate's two scores): "left" answers with the
first two, "right" with the last two, so that who errs on what is up to the test.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.registry.conftest import quick_path  # noqa: F401 (a fixture)

import trimtab
from trimtab import Registry
from trimtab.deploy.arm import Arm
from trimtab.errors import SwapError
from trimtab.rollout import Rollout

LEFT = np.eye(4)[:, :2]
RIGHT = np.eye(4)[:, 2:]

#: As quick as can be; each test changes what it is about.
QUICK = {
    "shadow_requests": 20,
    "canary": (0.25, 0.5),
    "min_requests": 10,
    "max_duration_s": 30.0,
    "bake_s": 0.05,
    "check_s": 0.005,
    "latency_factor": 1e6,
}


def selecting(weights: np.ndarray, *, hole: bool = False) -> trimtab.Model:
    """s = x weights; with a hole, NaN where that is 7, which is hard to find."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["s" if hole else "y"])]
    constants = [numpy_helper.from_array(weights.astype(np.float32), "w")]
    if hole:
        constants.append(numpy_helper.from_array(np.float32([7.0]), "c"))
        nodes += [
            helper.make_node("Sub", ["s", "c"], ["d"]),
            helper.make_node("Abs", ["d"], ["a"]),
            helper.make_node("Div", ["d", "a"], ["e"]),
            helper.make_node("Abs", ["e"], ["f"]),
            helper.make_node("Mul", ["s", "f"], ["y"]),
        ]
    graph = helper.make_graph(
        nodes,
        "selecting",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 4))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 2))],
        constants,
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    return trimtab.load_model(model.SerializeToString(), threads=1)


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The first version answers left, the second right, the third is NaN at times."""
    folder = tmp_path_factory.mktemp("artefacts")
    models = [selecting(LEFT), selecting(RIGHT), selecting(RIGHT, hole=True)]
    paths = [folder / f"{i}.safetensors" for i in range(len(models))]
    for path, model in zip(paths, models, strict=True):
        model.save(path)
    return paths


@pytest.fixture
def registry(tmp_path: Path, artefacts: list[Path]) -> Registry:
    """Three versions of digits; the champion is the first one."""
    registry = Registry(tmp_path / "registry")
    for path in artefacts:
        registry.register("digits", path)
    registry.promote("digits", 1)
    return registry


@pytest.fixture
def dep(registry: Registry) -> Iterator[trimtab.Deployment]:
    """The champion in service."""
    with trimtab.deploy_model("digits", registry=registry) as deployment:
        yield deployment


def request_of(champion: int, candidate: int) -> np.ndarray:
    """A request that each answers with a class of its own."""
    x = np.zeros((1, 4), np.float32)
    x[0, champion] = x[0, 2 + candidate] = 1.0
    return x


class Clients:
    """Threads that send requests until they are told to stop.

    `make` gives (request, label) of a number; labels go to `label` at once.
    """

    def __init__(
        self,
        dep: Any,
        make: Callable[[int], tuple[Any, Any]],
        *,
        label: Callable[[Any, Any], None] | None = None,
        n_threads: int = 2,
        pause_s: float = 0.0002,
    ) -> None:
        self.errors: list[BaseException] = []
        self.n_answered = 0
        self._stop = threading.Event()
        self._numbers = itertools.count()
        self._label = label
        self._args = (dep, make, pause_s)
        self._threads = [
            threading.Thread(target=self._run, daemon=True) for _ in range(n_threads)
        ]

    def _run(self) -> None:
        dep, make, pause_s = self._args
        while not self._stop.is_set():
            number = next(self._numbers)
            request, label = make(number)
            try:
                dep(request, request_id=number)
                self.n_answered += 1
            except BaseException as error:
                self.errors.append(error)
            if self._label is not None and label is not None:
                self._label(number, label)
            time.sleep(pause_s)

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)


class FakeArm(Arm):
    """An arm without an engine."""

    __slots__ = ()

    def __init__(self, version: int) -> None:
        self.version = version
        self.digest = f"sha256:{version}"


class FakeDeployment:
    """Serves as a deployment does, on the caller's thread; `answers` says what.

    Parameters
    ----------
    registry : Registry
    answers : callable
        (version, number of the request) -> (result or exception, seconds).
    """

    def __init__(
        self,
        registry: Registry,
        answers: Callable[[int, int], tuple[Any, float]],
        *,
        name: str = "digits",
        bad: tuple[int, ...] = (),
    ) -> None:
        self.registry, self.name, self.alias = registry, name, "champion"
        self.registered_name = name
        self.bad = set(bad)
        alias = registry.alias(name)
        assert alias is not None
        self.champion = FakeArm(alias.version)
        self.traffic: Any = None
        self.stats: dict[str, Any] = {"n_requests": 0, "errors": {}}
        self.served: list[int] = []
        self.n_swaps = 0
        self._answers = answers

    @property
    def version(self) -> int:
        return self.champion.version

    def prepare(self, wanted: Any, *, verify: bool = True) -> FakeArm:
        if isinstance(wanted, FakeArm):
            return wanted
        text = f"{self.name}/{wanted}" if isinstance(wanted, int) else str(wanted)
        version = self.registry.get(text).version
        if version in self.bad:
            error = SwapError(f"version {version} cannot be loaded")
            error.reasons = (str(error),)
            raise error
        return FakeArm(version)

    def swap(self, wanted: Any, *, verify: bool = True) -> None:
        self.champion = self.prepare(wanted)
        self.n_swaps += 1

    def set_traffic(self, traffic: Any) -> None:
        self.traffic = traffic

    def __call__(self, number: int, *, request_id: Any = None) -> Any:
        traffic, champion = self.traffic, self.champion
        listener = None if traffic is None else traffic.listener
        self.stats["n_requests"] += 1
        result, seconds = self._answers(champion.version, number)
        is_canary = traffic is not None and traffic.mode == "canary"
        if is_canary and traffic.takes(request_id):
            other, other_s = self._answers(traffic.candidate.version, number)
            if isinstance(other, Exception) or not np.isfinite(other).all():
                error = other if isinstance(other, Exception) else None
                listener.failed(request_id, other_s, error)
            else:
                listener.served("candidate", request_id, other, other_s, None)
                self.served.append(traffic.candidate.version)
                return other
        elif is_canary:
            error = result if isinstance(result, Exception) else None
            told = None if error else result
            listener.served("champion", request_id, told, seconds, error)
        self.served.append(champion.version)
        if isinstance(result, Exception):
            kind = type(result).__name__
            errors = self.stats["errors"]
            self.stats["errors"] = {**errors, kind: errors.get(kind, 0) + 1}
            raise result
        if traffic is not None and traffic.mode == "shadow":
            other, other_s = self._answers(traffic.candidate.version, number)
            error = other if isinstance(other, Exception) else None
            other = None if error else other
            listener.compared(request_id, {}, result, other, seconds, other_s, error)
        return result


def quick(**options: Any) -> Rollout:
    return Rollout(**{**QUICK, **options})
