"""Where things lie, what they are named by, and what a name or a document may be."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab import Registry, RegistryError
from trimtab.registry.canonical import canonical, parse_canonical, parse_object
from trimtab.registry.manifest import EMPTY, EMPTY_DIGEST
from trimtab.registry.names import (
    check_alias,
    digest_hex,
    is_name,
    parse_reference,
)

from .conftest import check_whole

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=20,
)


def test_a_registry_is_the_folder_that_its_document_draws(filled: Registry) -> None:
    root = Path(filled.path)
    assert json.loads((root / "registry.json").read_text()) == {"format": 1}
    digits = root / "models/digits"
    assert sorted(p.name for p in (digits / "versions").iterdir()) == ["1", "2", "3"]
    digest = (digits / "versions/2").read_text().strip()
    manifest = root / "manifests/sha256" / f"{digest.removeprefix('sha256:')}.json"
    blob = json.loads(manifest.read_text())["layers"][0]["digest"][7:]
    assert (root / "blobs/sha256" / blob[:2] / blob).is_file()
    assert json.loads((digits / "aliases/champion").read_text())["version"] == 2
    assert (digits / "journal.ndjson").read_text().count("\n") == 5
    check_whole(root)


def test_every_object_has_the_digest_that_it_is_named_by(filled: Registry) -> None:
    root = Path(filled.path)
    objects = [*root.glob("blobs/sha256/*/*"), *root.glob("manifests/sha256/*.json")]
    assert len(objects) == 6
    for path in objects:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem


def test_what_never_changes_can_be_read_only(filled: Registry) -> None:
    root = Path(filled.path)
    for pattern in ("blobs/sha256/*/*", "manifests/sha256/*", "models/*/versions/*"):
        for path in root.glob(pattern):
            assert stat.S_IMODE(path.stat().st_mode) == 0o444, path


def test_the_same_artefact_is_stored_once(
    registry: Registry, artefacts: list[Path]
) -> None:
    a = registry.register("a", artefacts[0])
    b = registry.register("b", artefacts[0])
    assert a.layer == b.layer
    assert a.path == b.path
    assert len(list(Path(registry.path).glob("blobs/sha256/*/*"))) == 1


def test_a_manifest_is_one_of_oci_with_the_empty_configuration(
    filled: Registry,
) -> None:
    """By the image specification 1.1: required members, and its empty descriptor."""
    manifest = filled.get("digits/1").manifest
    assert manifest["schemaVersion"] == 2
    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert manifest["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert manifest["config"]["digest"] == EMPTY_DIGEST
    assert hashlib.sha256(EMPTY).hexdigest() == EMPTY_DIGEST[7:]
    for layer in manifest["layers"]:
        assert set(layer) >= {"mediaType", "digest", "size"}
    assert all(isinstance(text, str) for text in manifest["annotations"].values())


# ---- documents ----------------------------------------------------------------------


@given(st.dictionaries(st.text(), PLAIN, max_size=5))
def test_a_document_is_read_as_it_was_written_and_written_in_one_way(value) -> None:
    try:
        data = canonical(value)
    except RegistryError:  # half of a pair of surrogates is no text
        assert "\\ud" in json.dumps(value)
        return
    assert json.loads(data) == value
    assert canonical(parse_canonical(data, "x")) == data
    backwards = dict(reversed(value.items()))
    assert canonical(backwards) == data


@pytest.mark.parametrize("value", [{1: 2}, {"x": math.nan}, {"x": {1, 2}}, {"x": b""}])
def test_what_json_does_not_know_is_refused(value) -> None:
    with pytest.raises(RegistryError, match="plain values"):
        canonical(value)


def test_a_document_that_holds_itself_is_refused() -> None:
    value: dict = {}
    value["self"] = value
    with pytest.raises(RegistryError):
        canonical(value)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_document_or_refused(data: bytes) -> None:
    try:
        found = parse_object(data, "x")
    except RegistryError:
        return
    assert isinstance(found, dict)


@pytest.mark.parametrize(
    "data",
    [b"[" * 100_000, b'{"a":1,"a":2}', b'{"a":NaN}', b"{" + b" " * (5 << 20), b"[]"],
    ids=["deep", "twice", "nan", "long", "list"],
)
def test_hostile_documents_are_refused(data: bytes) -> None:
    with pytest.raises(RegistryError):
        parse_object(data, "x")


def test_documents_of_others_are_not_canonical() -> None:
    with pytest.raises(RegistryError, match="canonical"):
        parse_canonical(b'{ "a":1}', "x")


# ---- names --------------------------------------------------------------------------


@given(st.text(max_size=120))
def test_a_name_leads_nowhere_else(text: str) -> None:
    if is_name(text):
        assert text.isascii()
        assert 1 <= len(text) <= 100
        assert os.path.basename(os.path.normpath(text)) == text
        assert not text.startswith((".", "-"))


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a/b", "../a", "a..b", "a\n", "a\0", "é", "-a", ".a", "a" * 101],
)
def test_hostile_names_are_refused_everywhere(
    text: str, filled: Registry, artefacts: list[Path]
) -> None:
    before = sorted(str(p) for p in Path(filled.path).parent.rglob("*"))
    for action in (
        lambda: filled.register(text, artefacts[0]),
        lambda: filled.set_alias(text, "a", 1),
        lambda: filled.set_alias("digits", text, 1),
        lambda: filled.get(f"{text}@champion"),
        lambda: filled.get(f"digits@{text}"),
        lambda: filled.get(f"digits/{text}"),
        lambda: filled.versions(text),
        lambda: filled.aliases(text),
        lambda: filled.history(text),
        lambda: filled.watch(f"{text}@x"),
        lambda: filled.verify(text),
    ):
        with pytest.raises(RegistryError):
            action()
    assert sorted(str(p) for p in Path(filled.path).parent.rglob("*")) == before


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        found = parse_reference(text)
    except RegistryError:
        return
    assert is_name(found.name)
    assert (found.version is None) != (found.alias is None)


@pytest.mark.parametrize("text", ["digits/0", "digits/01", "digits/-1", "a@b@c", "/1"])
def test_references_that_are_none(text: str) -> None:
    with pytest.raises(RegistryError, match=r"name@alias"):
        parse_reference(text)


def test_derived_aliases_and_numbers_cannot_be_set() -> None:
    for alias in ("previous", "latest", "7"):
        with pytest.raises(RegistryError):
            check_alias(alias)


@pytest.mark.parametrize("digest", [None, "", "sha256:", "sha512:" + "0" * 64, "../x"])
def test_digests_that_are_none(digest) -> None:
    with pytest.raises(RegistryError, match="sha256"):
        digest_hex(digest)
