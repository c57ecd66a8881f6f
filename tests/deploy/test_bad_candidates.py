"""Twenty candidates that must not serve; not one request sees them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

import trimtab
from trimtab import Registry
from trimtab.registry.version import ModelVersion

from .conftest import F, X, factor_of, onnx_bytes, scaling, until, versioned

N = ("n", 4)


def model_of(
    nodes: list[Any],
    *,
    inputs: Any = (("x", F, N),),
    outputs: Any = (("y", F, N), ("z", F, N)),
    constants: dict[str, Any] | None = None,
) -> trimtab.Model:
    content = onnx_bytes(nodes, list(inputs), list(outputs), constants or {})
    return trimtab.load_model(content, threads=1)


def node(kind: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), [output], name=output, **attributes)


def through(*nodes: Any, **constants: Any) -> Callable[[], trimtab.Model]:
    """A model with the usual tensors; what is missing is x itself."""
    made = {output for each in nodes for output in each.output}
    rest = [node("Identity", "x", name) for name in ("y", "z") if name not in made]
    arrays = {name: np.asarray(value) for name, value in constants.items()}
    return lambda: model_of([*nodes, *rest], constants=arrays)


def slow() -> trimtab.Model:
    """Six products of 3,000 x 3,000, which leave the cache."""
    n = 3000
    big = np.eye(n, dtype=np.float32)
    wide = np.zeros((4, n), np.float32)
    nodes = [node("MatMul", "x wide", "h0")]
    nodes += [node("MatMul", f"h{i} big", f"h{i + 1}") for i in range(6)]
    nodes += [node("MatMul", "h6 back", "y"), node("Identity", "x", "z")]
    constants = {"wide": wide, "big": big, "back": wide.T.copy()}
    return model_of(nodes, constants=constants)


FEW = np.float32
#: What it is -> model that is swapped in.
MODELS: dict[str, Callable[[], trimtab.Model]] = {
    "NaN for everything": through(node("Sub", "x x", "o"), node("Div", "o o", "y")),
    "infinity for everything": through(
        node("Exp", "x", "e"),
        node("Mul", "e huge", "f"),
        node("Mul", "f huge", "y"),
        huge=FEW(3e38),
    ),
    "NaN for negative numbers": through(node("Sqrt", "x", "y")),
    "NaN for zeros": through(node("Div", "x x", "y")),
    "infinity for large numbers": through(node("Exp", "x", "y")),
    "another width": lambda: versioned(2, width=5),
    "another name of the input": lambda: model_of(
        [node("Identity", "a", "y"), node("Identity", "a", "z")],
        inputs=[("a", F, N)],
    ),
    "two inputs": lambda: model_of(
        [node("Identity", "x", "y"), node("Identity", "b", "z")],
        inputs=[("x", F, N), ("b", F, N)],
    ),
    "one output": lambda: model_of([node("Identity", "x", "y")], outputs=[("y", F, N)]),
    "outputs in another order": lambda: model_of(
        [node("Identity", "x", "y"), node("Identity", "x", "z")],
        outputs=[("z", F, N), ("y", F, N)],
    ),
    "another dtype of the input": lambda: model_of(
        [node("Cast", "x", "y", to=F), node("Cast", "x", "z", to=F)],
        inputs=[("x", 11, N)],
    ),
    "another dtype of an output": lambda: model_of(
        [node("Identity", "x", "y"), node("Cast", "x", "z", to=6)],
        outputs=[("y", F, N), ("z", 6, N)],
    ),
    "a batch of two only": lambda: model_of(
        [node("Identity", "x", "y"), node("Identity", "x", "z")],
        inputs=[("x", F, (2, 4))],
        outputs=[("y", F, (2, 4)), ("z", F, (2, 4))],
    ),
    "another rank of an output": lambda: model_of(
        [node("Identity", "x", "y"), node("ReduceSum", "x", "z", keepdims=0)],
        outputs=[("y", F, N), ("z", F, ())],
    ),
    "fifty times as slow": slow,
}


def damage(data: bytearray) -> bytes:
    data[len(data) // 2] ^= 0x40
    return bytes(data)


#: What it is -> what happens to the artefact that a registry holds.
FILES: dict[str, Callable[[bytearray], bytes]] = {
    "a flipped bit": damage,
    "half of the file": lambda data: bytes(data[: len(data) // 2]),
    "an empty file": lambda data: b"",
    "something else": lambda data: os.urandom(len(data)),
}


@pytest.mark.parametrize("what", [*MODELS])
def test_a_bad_model_does_not_serve(what: str) -> None:
    deployment = trimtab.deploy_model(versioned(1))
    with pytest.raises(trimtab.SwapError, match="serves on") as refused:
        deployment.swap(MODELS[what]())
    assert refused.value.reasons
    assert factor_of(deployment(X)) == 1
    assert deployment.stats["n_requests"] == 1


def spoil(version: ModelVersion, change: Callable[[bytearray], bytes]) -> None:
    path = Path(version.path)
    data = bytearray(path.read_bytes())
    path.chmod(0o644)
    path.write_bytes(change(data))


def promote_and_wait(registry: Registry, deployment: trimtab.Deployment) -> None:
    registry.promote("digits", 2)
    assert deployment.follower is not None
    assert until(lambda: bool(deployment.follower.troubles))


@pytest.mark.parametrize("what", [*FILES])
def test_a_broken_file_is_neither_swapped_in_nor_followed(
    registry: Registry, what: str
) -> None:
    with trimtab.deploy_model("digits", registry=registry) as deployment:
        spoil(registry.get("digits/2"), FILES[what])
        with pytest.raises(trimtab.SwapError, match="cannot be loaded"):
            deployment.swap(2)
        with pytest.warns(RuntimeWarning, match="following"):
            promote_and_wait(registry, deployment)
        assert deployment.version == 1
        assert factor_of(deployment(X)) == 1
        registry.promote("digits", 3)  # the next one is tried
        assert until(lambda: deployment.version == 3)


@pytest.mark.parametrize(
    "error", [RuntimeError("crash"), MemoryError(), OSError(5, "x")]
)
def test_a_loader_that_crashes_leaves_the_champion(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def load(self: ModelVersion, **options: Any) -> trimtab.Model:
        raise error

    deployment = trimtab.deploy_model("digits", registry=registry, follow=False)
    monkeypatch.setattr(ModelVersion, "load", load)
    with pytest.raises(trimtab.SwapError, match=type(error).__name__):
        deployment.swap(2)
    assert factor_of(deployment(X)) == 1


def test_a_loader_that_hangs_keeps_no_request_waiting(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    load = ModelVersion.load

    def slow_load(self: ModelVersion, **options: Any) -> trimtab.Model:
        begun.set()
        assert go_on.wait(20)
        return load(self, **options)

    with trimtab.deploy_model("digits", registry=registry) as deployment:
        monkeypatch.setattr(ModelVersion, "load", slow_load)
        registry.promote("digits", 2)
        assert begun.wait(20)
        start = time.monotonic()
        assert {factor_of(deployment(X)) for _ in range(200)} == {1}
        assert time.monotonic() - start < 5
        go_on.set()
        assert until(lambda: deployment.version == 2)


def test_golden_pairs_are_replayed_where_loading_did_not(
    registry: Registry, tmp_path: Path
) -> None:
    """An artefact whose weights and golden pairs are of two models."""
    path = tmp_path / "wrong.safetensors"
    good = {"y": X * 7, "z": X + 7}
    model = versioned(7)
    model.save(path, golden=[({"x": X}, good)])
    data = path.read_bytes()
    seven, eight = (np.full(4, v, np.float32).tobytes() for v in (7, 8))
    assert data.count(seven) == 1, "the constant of z"
    path.write_bytes(data.replace(seven, eight))
    deployment = trimtab.deploy_model("digits", registry=registry, follow=False)
    with pytest.raises(trimtab.GoldenMismatch):
        trimtab.load_model(path)
    unverified = trimtab.load_model(path, verify="off")
    with pytest.raises(trimtab.SwapError, match="golden pair 0"):
        deployment.swap(unverified)


def test_new_classes_may_follow_the_old_ones() -> None:
    def classifier(n: int, names: list[str] | None) -> trimtab.Model:
        content = onnx_bytes(
            [node("MatMul", "x w", "y")],
            [("x", F, N)],
            [("y", F, ("n", n))],
            {"w": np.ones((4, n), np.float32)},
        )
        model = trimtab.load_model(content, threads=1)
        model.class_names = names
        return model

    deployment = trimtab.deploy_model(classifier(2, ["cat", "dog"]))
    for names, text in (
        (None, "class_names"),
        (["dog", "cat", "emu"], "first classes"),
    ):
        with pytest.raises(trimtab.SwapError, match=text):
            deployment.swap(classifier(3, names))
    deployment.swap(classifier(3, ["cat", "dog", "emu"]))
    assert deployment(X).shape == (1, 3)
    with pytest.raises(trimtab.SwapError, match="expected"):
        deployment.swap(classifier(2, ["cat", "dog"]))


def test_there_are_at_least_twenty() -> None:
    assert len(MODELS) + len(FILES) + 3 >= 20
    assert scaling(1) != scaling(2)
