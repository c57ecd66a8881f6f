"""Full disks, read-only folders, and files that others have put there."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trimtab import Registry, RegistryError

from .conftest import check_whole, in_child
from .test_crash import ACTIONS, fresh, snapshot, template  # noqa: F401

# ---- full disks ---------------------------------------------------------------------


def limited(
    path: Path, n_bytes: int, act: Callable[[Registry], object]
) -> Callable[[], None]:
    """Act where files may not be larger; errors are ours, or there is none."""

    def run() -> None:
        registry = Registry(path)
        old = snapshot(registry)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))
        try:
            act(registry)
        except RegistryError as error:
            assert "File too large" in str(error), error  # noqa: PT017
            assert snapshot(registry) == old
        registry.get("digits@champion").load(threads=1)  # it goes on serving

    return run


@pytest.mark.parametrize("action", ["publish", "publish another", "promote", "gc"])
def test_where_files_cannot_grow_nothing_changes(
    action: str,
    template: Path,  # noqa: F811
    artefacts: list[Path],
    tmp_path: Path,
) -> None:
    path = tmp_path / "r"
    for n_bytes in [*range(0, 1500, 100), 1900, 2500, 5000]:
        fresh(template, path)
        act = ACTIONS[action]
        assert in_child(limited(path, n_bytes, lambda r: act(r, artefacts))) == 0  # noqa: B023
        check_whole(path)


def test_a_failing_fsync_is_a_failing_change(
    filled: Registry, artefacts: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(filled)
    for name in ("fsync", "fdatasync"):
        with monkeypatch.context() as patch:

            def fail(fd: int) -> None:
                raise OSError(5, "Input/output error")

            patch.setattr(os, name, fail)
            with pytest.raises(RegistryError, match="Input/output"):
                filled.register("digits", artefacts[4])
            with pytest.raises(RegistryError, match="Input/output"):
                filled.promote("digits", 3)
        assert snapshot(check_whole(filled.path)) == before


# ---- read-only ----------------------------------------------------------------------


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users reach."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


def test_a_registry_that_cannot_be_written_to_is_read(
    open_folder: Path, artefacts: list[Path]
) -> None:
    registry = Registry(open_folder / "r")
    for file in artefacts[:2]:
        registry.register("digits", file)
    registry.promote("digits", 1)
    (open_folder / "r/tmp/1-left").mkdir()  # of someone who was killed
    for path in [open_folder / "r", *(open_folder / "r").rglob("*")]:
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)

    def read() -> None:
        if os.geteuid() == 0:
            os.setuid(65534)  # nobody: root may write anywhere
        found = Registry(open_folder / "r")
        found.get("digits@champion").load(threads=1)
        assert found.verify(quarantine=False).n_versions == 2
        assert found.gc(dry_run=True).versions == {}
        assert found.watch("digits").poll().version == 1
        for change in (
            lambda: found.promote("digits", 2),
            lambda: found.register("digits", artefacts[0]),
            lambda: found.gc(),
        ):
            with pytest.raises(RegistryError, match=r"Permission|Read-only"):
                change()

    for file in artefacts:
        file.parent.chmod(0o755)
    assert in_child(read) == 0


def test_what_cannot_be_made_or_is_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("x")
    with pytest.raises(RegistryError, match=r"thesis\.tex"):
        Registry(tmp_path / "mine")
    assert os.listdir(tmp_path / "mine") == ["thesis.tex"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(RegistryError):
        Registry(tmp_path / "file")
    with pytest.raises(RegistryError, match="No such file"):
        Registry(tmp_path / "nothing", create=False)
    assert not (tmp_path / "nothing").exists()


# ---- hostile ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"{",
        b"[]",
        b'{"format":2}',
        b'{"format":true}',
        b'{"format":1,"format":1}',
        b"[" * 10**6,
        b" " * (5 << 20),
    ],
    ids=["empty", "torn", "list", "later", "bool", "twice", "deep", "long"],
)
def test_a_head_that_is_none_is_refused(head: bytes, filled: Registry) -> None:
    (Path(filled.path) / "registry.json").unlink()
    (Path(filled.path) / "registry.json").write_bytes(head)
    with pytest.raises(RegistryError):
        Registry(filled.path)


LINKED = [
    "registry.json",
    "models",
    "models/digits",
    "models/digits/versions",
    "models/digits/versions/2",
    "models/digits/aliases",
    "models/digits/aliases/champion",
    "models/digits/journal.ndjson",
    "manifests",
    "manifests/sha256",
    "blobs",
    "blobs/sha256",
    "locks",
    "tmp",
    "quarantine",
]


@pytest.mark.parametrize("name", LINKED)
def test_links_are_not_followed(
    name: str, filled: Registry, artefacts: list[Path], tmp_path: Path
) -> None:
    """Not even to what would be right: something else could be there tomorrow."""
    inside, outside = Path(filled.path) / name, tmp_path / "outside"
    inside.rename(outside)
    inside.symlink_to(outside)
    before = sorted((str(p), p.lstat().st_size) for p in [outside, *outside.rglob("*")])

    def everything() -> None:
        registry = Registry(filled.path)
        registry.get("digits@champion").load(threads=1)
        registry.promote("digits", 3)
        registry.history("digits")
        registry.verify()
        registry.register("digits", artefacts[4])
        registry.gc(keep=1)

    with pytest.raises(RegistryError):
        everything()
    found = sorted((str(p), p.lstat().st_size) for p in [outside, *outside.rglob("*")])
    assert found == before


@pytest.mark.parametrize(
    "kind", ["manifests/sha256/*.json", "blobs/sha256/*/*"], ids=["manifest", "blob"]
)
def test_links_in_place_of_objects_are_not_followed(
    kind: str, filled: Registry, tmp_path: Path
) -> None:
    for number, path in enumerate(Path(filled.path).glob(kind)):
        path.rename(tmp_path / str(number))
        path.symlink_to(tmp_path / str(number))
    with pytest.raises(RegistryError, match="link"):
        filled.get("digits/1").load()
    assert len(filled.verify().set_aside) == 3


def test_a_pipe_or_a_folder_in_place_of_a_file_does_not_hang(filled: Registry) -> None:
    for make in (os.mkfifo, os.mkdir):
        for name in ("aliases/champion", "versions/1", "journal.ndjson"):
            path = Path(filled.path) / "models/digits" / name
            kept = path.read_bytes()
            path.unlink()
            make(path)
            with pytest.raises(RegistryError):
                filled.history("digits"), filled.get("digits/1"), filled.get("digits")
            with pytest.raises(RegistryError):
                filled.get("digits/1"), filled.promote("digits", 1, expected=3)
            path.rmdir() if path.is_dir() else path.unlink()
            path.write_bytes(kept)


ALIASES = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b'{"alias":"champion","version":-1}',
    b'{"version":1e400}',
    b"{" * 60_000,
    b" " * 70_000,
    b'{"alias":"champion","version":2,"digest":"../../x","generation":1,"by":"","at":"",'
    b'"reason":"","before":[]}',
    b'{"alias":"champion","version":2,"digest":"sha256:'
    + b"0" * 64
    + b'","generation":'
    b'1,"by":"","at":"","reason":"","before":[[1]]}',
    b'{"alias":"other","version":2,"digest":"sha256:' + b"0" * 64 + b'","generation":1,'
    b'"by":"","at":"","reason":"","before":[]}',
]


@pytest.mark.parametrize("content", ALIASES, ids=range(len(ALIASES)))
def test_an_alias_that_is_none_is_refused_and_can_be_set_again(
    content: bytes, filled: Registry
) -> None:
    path = Path(filled.path) / "models/digits/aliases/champion"
    path.unlink()
    path.write_bytes(content)
    with pytest.raises(RegistryError):
        filled.get("digits@champion")
    with pytest.raises(RegistryError):
        filled.watch("digits@champion").poll()
    assert not filled.verify(quarantine=False).ok
    filled.promote("digits", 3)
    check_whole(filled.path)


@pytest.mark.parametrize(
    "line", [b"", b"sha256:../../../etc/passwd\n", b"sha256:" + b"A" * 64, b"x" * 999]
)
def test_a_version_that_names_no_digest_is_refused(
    line: bytes, filled: Registry
) -> None:
    path = Path(filled.path) / "models/digits/versions/1"
    path.unlink()
    path.write_bytes(line)
    with pytest.raises(RegistryError):
        filled.get("digits/1")
    assert filled.verify().set_aside == ("digits/1",)
    assert filled.get("digits/2").load(threads=1) is not None


def test_manifests_are_exchanged_to_no_avail(filled: Registry) -> None:
    a, b = filled.get("digits/1"), filled.get("digits/2")
    path = Path(filled.store.manifest_path(a.digest))
    path.unlink()
    shutil.copy(filled.store.manifest_path(b.digest), path)
    with pytest.raises(RegistryError, match="digest"):
        filled.get("digits/1")


def test_names_that_are_none_are_passed_over(filled: Registry) -> None:
    root = Path(filled.path)
    for name in (".hidden", "a b", "-x", "a..b"):
        (root / "models" / name).mkdir()
        (root / "models/digits/aliases" / name).write_text("{}")
    for name in ("0", "01", "x", "1.5", "9" * 30):
        (root / "models/digits/versions" / name).write_text("x")
    assert filled.names() == ["digits"]
    assert filled.versions("digits") == [1, 2, 3]
    assert [*filled.aliases("digits")] == ["champion"]
    check_whole(root)


def test_what_lies_in_the_folder_of_work_is_removed_not_followed(
    filled: Registry, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("x")
    tmp = Path(filled.path) / "tmp"
    (tmp / "a").symlink_to(precious)
    (tmp / "b/c/d").mkdir(parents=True)
    (tmp / "b/c/link").symlink_to(precious)
    (tmp / "f").write_text("x")
    check_whole(filled.path)
    assert (precious / "thesis.tex").read_text() == "x"
