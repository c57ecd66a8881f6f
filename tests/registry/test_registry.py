"""Registering, naming, taking back, comparing, setting aside, collecting."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

import trimtab
from trimtab import InputError, Registry, RegistryConflict, RegistryError
from trimtab.registry import fingerprint
from trimtab.registry.history import iso_time

from .conftest import check_whole, linear

X = np.arange(8, dtype=np.float32).reshape(2, 4)


def test_a_version_gives_the_model_that_was_registered(filled: Registry) -> None:
    for number in (1, 2, 3):
        version = filled.get(f"digits/{number}")
        np.testing.assert_array_equal(version.load(threads=1)(X), X * number)


def test_lineage_says_where_a_version_comes_from(
    registry: Registry, artefacts: list[Path]
) -> None:
    clock = iter(range(100, 10**6))
    registry = Registry(registry.path, clock=lambda: float(next(clock)))
    first = registry.register("digits", artefacts[0])
    second = registry.register(
        "digits",
        artefacts[1],
        parent=first,
        data_fingerprint=fingerprint(X),
        metrics={"accuracy": {"value": 0.97, "low": 0.95, "high": 0.98}},
        metadata={"ticket": "17"},
        reason="more data",
        by="ann",
    )
    again = registry.get("digits/2")
    assert again == second
    assert again.parent == first.digest
    assert again.data_fingerprint == fingerprint(X)
    assert again.metrics["accuracy"]["low"] == 0.95
    assert (again.by, again.reason, again.metadata) == (
        "ann",
        "more data",
        {"ticket": "17"},
    )
    assert again.created.startswith("1970-01-01T00:01:4")
    assert again.engine["trimtab"] == trimtab.__version__
    assert again.engine["isa"]
    assert again.signature["inputs"][0]["name"] == "x"
    assert pickle.loads(pickle.dumps(again)).load(threads=1) is not None


def test_a_model_is_saved_on_the_way(registry: Registry) -> None:
    version = registry.register("net", linear(np.eye(4) * 7))
    np.testing.assert_array_equal(version.load(threads=1)(X), X * 7)
    check_whole(registry.path)


def test_reports_are_taken_as_metrics(registry: Registry, artefacts) -> None:
    class Report:
        def to_dict(self):
            return {"ok": True}

    assert registry.register("n", artefacts[0], metrics=Report()).metrics["ok"] is True


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"metrics": {"a": float("nan")}}, RegistryError),
        ({"metrics": 3}, InputError),
        ({"metadata": {"a": 1}}, RegistryError),
        ({"reason": "x" * 5000}, RegistryError),
        ({"parent": "digits/1"}, RegistryError),
        ({"by": 3}, RegistryError),
    ],
)
def test_what_is_said_is_checked_and_nothing_changes(
    said, error, registry: Registry, artefacts: list[Path]
) -> None:
    with pytest.raises(error):
        registry.register("digits", artefacts[0], **said)
    assert registry.names() == []
    check_whole(registry.path)


def test_what_is_no_artefact_is_refused(registry: Registry, tmp_path: Path) -> None:
    other = tmp_path / "m.onnx"
    other.write_bytes(b"\x08\x07")
    for model in (other, tmp_path / "nothing", tmp_path, 3):
        with pytest.raises((RegistryError, InputError)):
            registry.register("digits", model)
    assert registry.names() == []
    check_whole(registry.path)


# ---- aliases ------------------------------------------------------------------------


def test_references_lead_to_versions(filled: Registry) -> None:
    for reference, number in {
        "digits": 2,
        "digits@champion": 2,
        "models:/digits@previous": 1,
        "digits@latest": 3,
        "models:/digits/3": 3,
    }.items():
        assert filled.get(reference).version == number, reference
    for reference in ("digits@challenger", "digits/4", "other@champion"):
        with pytest.raises(RegistryError, match="there is no"):
            filled.get(reference)


def test_promotions_are_taken_back_one_by_one(filled: Registry) -> None:
    filled.promote("digits", 3)
    assert filled.rollback("digits", reason="slow").version == 2
    assert filled.get("digits@previous").version == 1
    assert filled.rollback("digits").version == 1
    with pytest.raises(RegistryError, match="nothing before"):
        filled.rollback("digits")
    assert filled.promote("digits", 3).before[0][0] == 1
    check_whole(filled.path)


def test_an_alias_remembers_eight_versions(filled: Registry) -> None:
    for i in range(30):
        filled.promote("digits", i % 3 + 1)
    alias = filled.alias("digits")
    assert alias is not None
    assert [v for v, _ in alias.before] == [2, 1, 3, 2, 1, 3, 2, 1]


def test_naming_the_same_version_again_forgets_nothing(filled: Registry) -> None:
    before = filled.alias("digits")
    after = filled.promote("digits", 2)
    assert after.generation > before.generation
    assert after.before == before.before


def test_who_expects_something_else_gets_a_conflict(filled: Registry) -> None:
    seen = filled.alias("digits")
    filled.promote("digits", 3, expected=2)
    for expected in (2, None, seen, 17):
        with pytest.raises(RegistryConflict, match="names version 3"):
            filled.promote("digits", 1, expected=expected)
    filled.promote("digits", 2)
    with pytest.raises(RegistryConflict):  # the version is as seen, the alias is not
        filled.promote("digits", 1, expected=seen)
    filled.set_alias("digits", "challenger", 1, expected=None)
    with pytest.raises(RegistryConflict):
        filled.set_alias("digits", "challenger", 2, expected=None)
    check_whole(filled.path)


def test_an_alias_of_an_alias_is_its_version(filled: Registry) -> None:
    filled.set_alias("digits", "challenger", 3)
    assert filled.promote("digits", "digits@challenger").version == 3
    assert filled.promote("digits", filled.get("digits/1")).version == 1
    with pytest.raises(RegistryError, match="expected one of 'digits'"):
        filled.promote("digits", "other/1")
    for version in (0, -1, True, 2.0):
        with pytest.raises(RegistryError):
            filled.promote("digits", version)


def test_a_removed_alias_is_gone_and_its_generation_is_not_given_again(
    filled: Registry,
) -> None:
    first = filled.set_alias("digits", "challenger", 3)
    filled.remove_alias("digits", "challenger")
    assert filled.alias("digits", "challenger") is None
    with pytest.raises(RegistryError, match="there is no alias"):
        filled.remove_alias("digits", "challenger")
    second = filled.set_alias("digits", "challenger", 1, expected=None)
    assert second.generation > first.generation
    check_whole(filled.path)


def test_a_watch_tells_each_change_once(filled: Registry) -> None:
    watch = filled.watch("digits@champion")
    assert watch.poll().version == 2
    assert watch.poll() is None
    for number in (3, 1, 2, 3):  # quicker than the clock of the file system ticks
        filled.promote("digits", number)
        assert watch.poll().version == number
        assert watch.poll() is None
    with pytest.raises(RegistryError, match="name@alias"):
        filled.watch("digits/1")


def test_a_watch_sees_changes_under_a_clock_that_goes_back(filled: Registry) -> None:
    watch = filled.watch("digits@champion")
    path = Path(filled.path) / "models/digits/aliases/champion"
    os.utime(path, ns=(2**62, 2**62))
    watch.poll()
    filled.promote("digits", 3)
    assert path.stat().st_mtime_ns > 2**62 - 10**9
    assert watch.poll().version == 3


def test_a_watch_waits_for_what_is_not_there_yet(
    registry: Registry, artefacts: list[Path]
) -> None:
    registry.register("digits", artefacts[0])
    watch = registry.watch("digits@champion")
    assert watch.poll() is None
    registry.promote("digits", 1)
    assert watch.poll().version == 1


# ---- history and differences --------------------------------------------------------


def test_history_tells_who_did_what_when_and_why(filled: Registry) -> None:
    filled.rollback("digits", reason="slow", by="ann")
    events = filled.history("digits")
    kinds = ["register"] * 3 + ["alias"] * 3
    assert [event.kind for event in events] == kinds
    assert [event.seq for event in events] == list(range(1, 7))
    last = events[-1]
    assert (last.by, last.reason, last.details["version"]) == ("ann", "slow", 1)
    assert last.at <= iso_time(4e9)
    assert last.to_dict()["kind"] == "alias"


def test_a_difference_names_tensors_and_figures(
    registry: Registry, artefacts: list[Path]
) -> None:
    registry.register("n", artefacts[0], metrics={"accuracy": 0.9}, by="a", reason="r")
    registry.register("n", artefacts[1], metrics={"accuracy": 0.8}, by="a", reason="r")
    diff = registry.diff("n/1", "n/2")
    assert diff.is_same_graph
    assert diff.tensors == {"w": "changed"}
    assert diff.fields["metrics.accuracy"] == (0.9, 0.8)
    assert "by" not in diff.fields
    assert "0.9 -> 0.8" in str(diff)
    same = registry.diff("n/1", "n/1")
    assert (same.fields, same.tensors, same.n_same) == ({}, {}, 1)


# ---- verification -------------------------------------------------------------------


def damage(path: str | Path) -> None:
    """Flip a bit in the middle."""
    os.chmod(path, 0o644)
    data = bytearray(Path(path).read_bytes())
    data[len(data) // 2] ^= 1
    Path(path).write_bytes(data)


def test_a_damaged_artefact_is_set_aside_and_comes_back_when_it_is_whole(
    filled: Registry, artefacts: list[Path]
) -> None:
    damage(filled.get("digits/2").path)
    with pytest.raises(RegistryError, match="digest"):
        filled.get("digits/2").load()
    dry = filled.verify(quarantine=False)
    assert not dry.ok
    assert filled.get("digits/2")
    report = filled.verify()
    assert report.set_aside == ("digits/2",)
    assert "digits@champion" in {problem.where for problem in report.problems}
    with pytest.raises(RegistryError, match="set aside"):
        filled.get("digits@champion")
    with pytest.raises(RegistryError, match="set aside"):
        filled.promote("digits", 2)
    assert filled.get("digits@latest").version == 3
    assert filled.rollback("digits").version == 1  # the way out
    filled.register("digits", artefacts[1])  # the same content, whole again
    assert filled.verify().released == ("digits/2",)
    assert filled.get("digits/2").load(threads=1) is not None
    check_whole(filled.path)


def test_a_rollback_passes_over_what_is_set_aside(filled: Registry) -> None:
    filled.promote("digits", 3)  # before it: 2, 1
    damage(filled.get("digits/2").path)
    filled.verify()
    assert filled.get("digits@previous").version == 1
    assert filled.rollback("digits").version == 1


@pytest.mark.parametrize("what", ["manifest", "version", "alias", "journal", "gone"])
def test_whatever_is_damaged_is_found(what: str, filled: Registry) -> None:
    root = Path(filled.path)
    version = filled.get("digits/2")
    paths = {
        "manifest": root / f"manifests/sha256/{version.digest[7:]}.json",
        "version": root / "models/digits/versions/2",
        "alias": root / "models/digits/aliases/champion",
        "journal": root / "models/digits/journal.ndjson",
    }
    if what == "gone":
        os.unlink(version.path)
    else:
        damage(paths[what])
    report = filled.verify(quarantine=False)
    assert not report.ok
    assert "NOT" in str(report)
    assert report.to_dict()["ok"] is False
    assert filled.get("digits/1").load(threads=1) is not None
    assert filled.get("digits/3").load(threads=1) is not None


def test_a_damaged_alias_is_known_from_the_journal(filled: Registry) -> None:
    path = Path(filled.path) / "models/digits/aliases/champion"
    path.chmod(0o644)
    path.write_bytes(b"\0" * 100)
    with pytest.raises(RegistryError):
        filled.get("digits@champion")
    with pytest.raises(RegistryConflict):
        filled.promote("digits", 3, expected=1)
    assert filled.promote("digits", 3, expected=2).before[0][0] == 2
    check_whole(filled.path)


# ---- collection ---------------------------------------------------------------------


def test_the_collector_keeps_what_is_named_or_gone_back_to_or_new(
    registry: Registry, artefacts: list[Path]
) -> None:
    for _ in range(2):
        for artefact in artefacts:
            registry.register("digits", artefact)
    registry.set_alias("digits", "challenger", 5)
    registry.promote("digits", 1)
    registry.promote("digits", 2)
    registry.promote("digits", 4)
    told = registry.gc(keep=1, dry_run=True)
    assert registry.versions("digits") == list(range(1, 11))
    found = registry.gc(keep=1)
    assert (told.versions, told.n_files) == (found.versions, found.n_files)
    assert registry.versions("digits") == [2, 4, 5, 10]
    assert found.n_files == 6 + 2  # manifests, and blobs of artefacts 0 and 2
    assert registry.get("digits@previous").version == 2
    assert registry.register("digits", artefacts[0]).version == 11
    check_whole(registry.path)


def test_no_number_is_given_twice(registry: Registry, artefacts: list[Path]) -> None:
    seen = set()
    for _ in range(6):
        number = registry.register("digits", artefacts[0]).version
        assert number not in seen
        seen.add(number)
        registry.gc(keep=0)
    assert registry.versions("digits") == [6]


def test_a_model_whose_alias_cannot_be_read_loses_nothing(filled: Registry) -> None:
    path = Path(filled.path) / "models/digits/aliases/champion"
    path.chmod(0o644)
    path.write_bytes(b"{")
    assert filled.gc(keep=1).versions == {}
    assert filled.versions("digits") == [1, 2, 3]


def test_a_manifest_that_cannot_be_read_keeps_all_blobs(filled: Registry) -> None:
    filled.promote("digits", 3)
    damage(filled.store.manifest_path(filled.get("digits/2").digest))
    found = filled.gc(keep=1)
    assert not found.is_complete
    assert found.n_files == 0


def test_caches_go_with_their_blob(filled: Registry) -> None:
    version = filled.get("digits/1")
    version.load(threads=1, cache=True)
    beside = [p for p in Path(version.path).parent.iterdir() if str(p) != version.path]
    filled.promote("digits", 3)
    filled.gc(keep=1)
    assert filled.versions("digits") == [2, 3]
    assert not any(path.exists() for path in beside)


def test_keep_is_checked(filled: Registry) -> None:
    with pytest.raises(InputError):
        filled.gc(keep=-1)


def test_fingerprints_are_of_content() -> None:
    assert fingerprint(X) == fingerprint(X.copy(order="F"))
    assert fingerprint(X) == fingerprint(X.astype(">f4"))
    assert len({fingerprint(X), fingerprint(X.T), fingerprint(X, X)}) == 3
    with pytest.raises(InputError):
        fingerprint(np.array([object()]))
