"""Artefacts to register, and what must hold of a registry whatever happened to it."""

from __future__ import annotations

import faulthandler
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import trimtab
from trimtab import Registry
from trimtab.registry.files import entries
from trimtab.registry.recover import sweep

_HANGS_S = 120


def linear(weights: np.ndarray) -> trimtab.Model:
    """y = x weights."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 4))],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(weights.astype(np.float32), "w")],
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    return trimtab.load_model(model.SerializeToString(), threads=1)


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five artefacts; number i gives x times i + 1."""
    folder = tmp_path_factory.mktemp("artefacts")
    paths = [folder / f"{i}.safetensors" for i in range(5)]
    for i, path in enumerate(paths):
        linear(np.eye(4) * (i + 1)).save(path)
    return paths


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """An empty one."""
    return Registry(tmp_path / "registry")


@pytest.fixture
def filled(registry: Registry, artefacts: list[Path]) -> Registry:
    """Three versions of digits; the champion was 1, then 2."""
    for i in range(3):
        registry.register("digits", artefacts[i], reason=f"number {i}")
    registry.promote("digits", 1)
    registry.promote("digits", 2)
    return registry


@pytest.fixture
def quick_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, if there can be: `kill` is not a loss of power, so that what
    a disk confirms, and how long that takes, is nothing to it."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(dir=memory))
    yield folder
    shutil.rmtree(folder)


def check_whole(path: str | os.PathLike[str]) -> Registry:
    """Open a registry: nothing lies about, and everything is what it is named by."""
    registry = Registry(path)
    assert entries(registry.store.folder("tmp")) == []
    swept = sweep(registry.store, is_dry=True)
    assert (swept.n_files, swept.is_complete) == (0, True)
    report = registry.verify(quarantine=False)
    assert report.ok, str(report)
    for name in registry.names():
        registry.history(name)
        for version in registry.versions(name):
            assert registry.get(f"{name}/{version}").version == version
    return registry


def in_child(action: Callable[[], object]) -> int:
    """Run it in a forked child; give how that ended: 0, 1 (raised), or a signal.

    One that hangs tells where, and has raised.
    """
    pid = os.fork()
    if pid == 0:
        faulthandler.dump_traceback_later(_HANGS_S, exit=True)
        try:
            action()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1]
