"""Following an alias: every process serves what the registry says."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import trimtab
from trimtab import Registry

from .conftest import X, factor_of, until, versioned


def test_a_promotion_is_served_and_a_rollback_too(registry: Registry) -> None:
    with trimtab.deploy_model("digits", registry=registry) as deployment:
        follower = deployment.follower
        assert follower is not None
        assert follower.is_alive
        for version in (3, 2, 5):
            registry.promote("digits", version)
            begun = time.monotonic()
            assert until(lambda v=version: deployment.version == v)
            assert time.monotonic() - begun < 5
            assert factor_of(deployment(X)) == version
        registry.rollback("digits")
        assert until(lambda: deployment.version == 2)
        assert follower.troubles == {}
        assert follower.n_swaps == 4
        assert follower.alias is not None
        assert follower.alias.version == 2
    assert not follower.is_alive


def test_requests_meet_promotions_by_another_thread(registry: Registry) -> None:
    with (
        trimtab.deploy_model("digits", registry=registry) as deployment,
        ThreadPoolExecutor(4) as pool,
    ):
        over = threading.Event()

        def ask() -> list[Any]:
            wrong = []
            while not over.is_set():
                response = deployment.respond(X)
                if factor_of(response.answer) != response.version:
                    wrong.append(response)
                time.sleep(0.0005)  # or nobody else gets a turn
            return wrong

        asking = [pool.submit(ask) for _ in range(4)]
        try:
            for version in (2, 3, 4, 5):
                registry.promote("digits", version)
                assert until(lambda v=version: deployment.version == v)
        finally:
            over.set()
        assert [future.result() for future in asking] == [[]] * 4


def test_another_alias_can_be_followed(registry: Registry, tmp_path: Path) -> None:
    registry.set_alias("digits", "night", 4)
    for model, alias in (("digits@night", "champion"), ("digits", "night")):
        path = registry.path
        with trimtab.deploy_model(model, registry=path, alias=alias) as deployment:
            assert (deployment.version, deployment.alias) == (4, "night")
            assert deployment.registry is not None
            registry.set_alias("digits", "night", 5)
            assert until(lambda d=deployment: d.version == 5)
        registry.set_alias("digits", "night", 4)


@pytest.mark.parametrize("model", ["digits/2", "digits@latest"])
def test_a_number_stays_and_so_does_what_follows_from_others(
    registry: Registry, model: str
) -> None:
    with trimtab.deploy_model(model, registry=registry) as deployment:
        assert deployment.follower is None
        registry.promote("digits", 3)
        assert deployment.version in (2, 5)


def write_and_wait(path: Path, holds: Callable[[], bool]) -> None:
    path.write_bytes(b"{")
    assert until(holds)


def test_a_damaged_alias_is_told_of_and_the_champion_serves(registry: Registry) -> None:
    with trimtab.deploy_model("digits", registry=registry) as deployment:
        follower = deployment.follower
        assert follower is not None
        alias = Path(registry.path) / "models/digits/aliases/champion"
        alias.chmod(0o644)
        with pytest.warns(RuntimeWarning, match="reading the alias"):
            write_and_wait(alias, lambda: "reading the alias" in follower.troubles)
        assert factor_of(deployment(X)) == 1
        registry.promote("digits", 2)
        assert until(lambda: deployment.version == 2)


def test_a_deployment_that_nobody_holds_ends_its_thread(registry: Registry) -> None:
    deployment = trimtab.deploy_model("digits", registry=registry)
    follower = deployment.follower
    gone = weakref.ref(deployment)
    assert follower is not None
    worker = follower._worker
    del deployment, follower
    gc.collect()
    assert until(lambda: gone() is None)
    assert until(lambda: not worker.is_alive)


def test_a_forked_child_follows_too(registry: Registry) -> None:
    with (
        trimtab.deploy_model("digits", registry=registry, max_batch=4) as deployment,
        ThreadPoolExecutor(1) as pool,
    ):
        assert pool.submit(deployment, X).result()
        readable, writable = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                assert factor_of(deployment(X)) == 1
                os.write(writable, b"x")
                assert until(lambda: deployment.version == 3)
                assert factor_of(deployment(X)) == 3
                code = 0
            finally:
                os._exit(code)
        os.read(readable, 1)
        registry.promote("digits", 3)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert until(lambda: deployment.version == 3)


# ---- deploying into a registry -------------------------------------------------------


def test_a_model_becomes_the_first_version_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "models"
    model = versioned(7)
    with trimtab.deploy_model(model, name="seven", registry=path) as deployment:
        assert deployment.version == 1
        registry = Registry(path)
        assert registry.get("seven@champion").version == 1
        registry.register("seven", versioned(8))
        registry.promote("seven", 2)
        assert until(lambda: deployment.version == 2)
    with pytest.raises(trimtab.InputError, match="is version 2 already"):
        trimtab.deploy_model(model, name="seven", registry=path)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"model": "digits"}, "there is no registry"),
        ({"model": 5}, "expected what load_model returned"),
        ({"model": versioned(1), "registry": "r"}, "needs one"),
        ({"model": "digits", "registry": 5}, "registry: expected"),
    ],
)
def test_what_cannot_be_deployed_is_said(
    arguments: dict[str, Any], text: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(trimtab.InputError, match=text):
        trimtab.deploy_model(**arguments)


def test_a_name_that_is_not_there_is_the_registrys_error(registry: Registry) -> None:
    for model in ("letters", "digits/99", "digits@nobody"):
        with pytest.raises(trimtab.RegistryError):
            trimtab.deploy_model(model, registry=registry)
