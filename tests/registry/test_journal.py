"""The journal says what there is, wherever it was torn."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab import Registry, RegistryError
from trimtab.registry.journal import Journal, JournalRecords, Standing, replay
from trimtab.registry.quarantine import quarantined
from trimtab.registry.recover import journal_path

from .conftest import check_whole

DIGEST = "sha256:" + "0" * 64

KINDS = st.one_of(
    st.builds(
        lambda v: ("register", {"version": v, "digest": DIGEST}), st.integers(1, 5)
    ),
    st.builds(
        lambda a, v: ("alias", {"alias": a, "version": v, "digest": DIGEST}),
        st.sampled_from("abc"),
        st.integers(1, 5),
    ),
    st.builds(lambda a: ("remove_alias", {"alias": a}), st.sampled_from("abc")),
    st.builds(lambda vs: ("collect", {"versions": vs}), st.lists(st.integers(1, 5))),
    st.builds(lambda v: ("quarantine", {"version": v}), st.integers(1, 5)),
    st.builds(lambda v: ("release", {"version": v}), st.integers(1, 5)),
    st.just(("undone", {})),
)


def expected_of(records: list[dict]) -> tuple:
    """By the definition: a record that the next one says is undone did not happen."""
    versions: set[int] = set()
    aside: set[int] = set()
    aliases: dict[str, int] = {}
    for number, record in enumerate(records):
        after = records[number + 1] if number + 1 < len(records) else {}
        if after.get("kind") == "undone" and after["of"] == record["seq"]:
            continue
        kind = record["kind"]
        if kind == "register":
            versions.add(record["version"])
        elif kind == "alias":
            aliases[record["alias"]] = record["version"]
        elif kind == "remove_alias":
            aliases.pop(record["alias"], None)
        elif kind == "collect":
            versions -= set(record["versions"])
            aside -= set(record["versions"])
        elif kind == "quarantine":
            aside.add(record["version"])
        elif kind == "release":
            aside.discard(record["version"])
    return versions, aside, aliases


def told(standing: Standing) -> tuple:
    aliases = {name: record["version"] for name, record in standing.aliases.items()}
    return set(standing.versions), standing.quarantined, aliases


@given(steps=st.lists(KINDS, max_size=12), cut=st.integers(0, 10**6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_journal_cut_anywhere_replays_to_its_whole_records(
    steps, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.ndjson"
    records: list[dict] = []
    ends = [0]
    for kind, fields in steps:
        fields = (
            {"of": records[-1]["seq"] if records else 0} if kind == "undone" else fields
        )
        with Journal(str(path)) as journal:
            seq = journal.append(1.0, kind, 0, fields)
        records.append({"seq": seq, "kind": kind, **fields})
        ends.append(path.stat().st_size)
    assert [record["seq"] for record in records] == list(range(1, len(steps) + 1))
    assert told(replay(JournalRecords(str(path)))) == expected_of(records)
    if not steps:
        return
    cut %= ends[-1] + 1
    with open(path, "r+b") as file:
        file.truncate(cut)
    n_whole = max(i for i, end in enumerate(ends) if end <= cut)
    whole = records[:n_whole]
    assert told(replay(JournalRecords(str(path)))) == expected_of(whole)
    with Journal(str(path)) as journal:  # the tear is cut off, and writing goes on
        assert path.stat().st_size == ends[n_whole]
        assert (journal.last or {"seq": 0})["seq"] == n_whole
        assert journal.append(2.0, "release", 0, {"version": 9}) == n_whole + 1
    assert len(list(JournalRecords(str(path)))) == n_whole + 1


def state_of(registry: Registry, name: str) -> tuple:
    """What the files say."""
    aliases = {a: alias.version for a, alias in registry.aliases(name).items()}
    aside = quarantined(registry.store, name)
    return set(registry.versions(name)), aside, aliases


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["register", "promote", "challenge", "rollback", "drop", "gc"]),
        st.integers(0, 4),
    ),
    max_size=10,
)


@given(steps=STEPS)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=25,
)
def test_the_journal_of_a_registry_replays_to_what_its_files_say(
    steps, artefacts: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    registry = Registry(tmp_path_factory.mktemp("any") / "r")
    registry.register("n", artefacts[0])
    actions = {
        "register": lambda i: registry.register("n", artefacts[i]),
        "promote": lambda i: registry.promote("n", i + 1),
        "challenge": lambda i: registry.set_alias("n", "challenger", i + 1),
        "rollback": lambda i: registry.rollback("n"),
        "drop": lambda i: registry.remove_alias("n", "challenger"),
        "gc": lambda i: registry.gc(keep=i),
    }
    for action, i in steps:
        with contextlib.suppress(RegistryError):
            actions[action](i)
        path = journal_path(registry.store, "n")
        assert told(replay(JournalRecords(path))) == state_of(registry, "n")
    check_whole(registry.path)


def test_a_journal_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.ndjson"
    path.write_bytes(b"what is this?\n" * 100)
    with pytest.raises(RegistryError, match="no journal"):
        Journal(str(path))
    assert path.read_bytes() == b"what is this?\n" * 100


def test_a_record_that_lacks_its_fields_is_told() -> None:
    with pytest.raises(RegistryError, match="record 1 \\(register\\)"):
        replay([{"seq": 1, "kind": "register"}])


def test_records_of_later_layouts_are_passed_over() -> None:
    assert replay([{"seq": 1, "kind": "something new"}]).seq == 1
