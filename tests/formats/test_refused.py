"""Files that are no models, or that would run code: refused by name, nothing run.

Every file of the table is loaded in a process of its own with an audit hook: what it
imports, opens, compiles or executes beyond Python's and this package's own files is
reported.
"""

from __future__ import annotations

import functools
import gzip
import io
import json
import os
import pickle
import socket
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trimtab
from trimtab import ModelFormatError, UnsafeModelError
from trimtab.errors import InputTypeError

MARK = "trimtab_evil_module"


class Evil:
    """Unpickled, it imports and runs a module that lies beside the file."""

    def __reduce__(self) -> Any:
        return (exec, (f"import {MARK}",))


def pickled(protocol: int, value: Any = None) -> bytes:
    return pickle.dumps([Evil()] if value is None else value, protocol=protocol)


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def npy(value: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, value, allow_pickle=True)
    return file.getvalue()


def npz(value: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, a=value, allow_pickle=True)
    return file.getvalue()


def safetensors() -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})
    return len(header).to_bytes(8, "little") + header.encode() + bytes(4)


OBJECTS = np.array([Evil()], dtype=object)
# What torch.save wrote before 1.6: four pickles, the first a magic number.
OLD_TORCH = b"".join(
    pickled(2, part) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
) + pickled(2)
PMML = b'<?xml version="1.0"?>\n<PMML version="4.4"><DataDictionary/></PMML>'
COREML = b"\x08\x04\x12\x10\x0a\x05image\x12\x07\x2a\x05\x08\xe0\x01"  # a proto too

#: name of the file -> (content, is it unsafe, words of the message)
FILES: dict[str, tuple[bytes, bool, str]] = {
    **{
        f"protocol{n}.pkl": (pickled(n), True, "pickle")
        for n in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "system.pkl": (b"cos\nsystem\n(S'true'\ntR.", True, "pickle"),
    "marked.pkl": (b"(cos\nsystem\nS'true'\no.", True, "pickle"),
    "instance.pkl": (b"(S'true'\nios\nsystem\n.", False, "no known format"),
    "model.onnx": (pickled(4), True, "pickle"),
    "model.h5": (pickled(2), True, "pickle"),
    "sklearn.joblib": (pickled(5), True, "pass the object to load_model"),
    "new.pth": (zipped({"a/data.pkl": pickled(2)}), True, "torch.save"),
    "new.pt2": (zipped({"a/data.pkl": pickled(2)}), True, "torch.save"),
    "old.pth": (OLD_TORCH, True, "pickle"),
    "script.pt": (
        zipped({"s/constants.pkl": pickled(2), "s/code/__torch__.py": b"import os"}),
        True,
        "TorchScript",
    ),
    "any.zip": (zipped({"x/steps.pkl": pickled(4)}), True, "pickle"),
    "objects.npy": (npy(OBJECTS), False, "NumPy"),
    "objects.npz": (npz(OBJECTS), False, "a.npy"),
    "numbers.npy": (npy(np.zeros(3)), False, "NumPy"),
    "model.ort": (b"\x1c\0\0\0ORTM" + bytes(64), False, r"\.ort"),
    "model.gguf": (b"GGUF\x03\0\0\0" + bytes(64), False, "GGUF"),
    "model.mlmodel": (COREML, False, "not an ONNX file"),
    "model.pmml": (PMML, False, "no known format"),
    "page.html": (b"<!DOCTYPE html><html><body>404", False, "no known format"),
    "image.gif": (b"GIF89a" + bytes(30), False, "no known format"),
    "readme.txt": (b"weights: see the other file\n", False, "no known format"),
    "script.py": (b"import os\nos.system('true')\n", False, "no known format"),
    "empty.onnx": (b"", False, "ONNX"),
    "empty": (b"", False, "no known format"),
    "packed.gz": (gzip.compress(b"text"), False, "gzip"),
    "packed.joblib": (zlib.compress(pickled(4)), True, "pickle"),
    "packed.pkl.gz": (gzip.compress(pickled(4)), True, "pickle"),
    "cut.gz": (b"\x1f\x8b\x08\x00", False, "gzip"),
    "library.so": (b"\x7fELF\x02\x01\x01" + bytes(50), False, "no known format"),
    "weights.safetensors": (safetensors(), False, ""),
    "cut.zip": (zipped({"a": b"x" * 50})[:60], False, "not a zip archive"),
}


# ---- in this process: the class and the text ---------------------------------------


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["path", "bytes"])
def test_a_file_is_refused_by_what_it_is(name: str, how: str, tmp_path: Path) -> None:
    content, is_unsafe, words = FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    matched = words if words and (content or how == "path") else None
    with pytest.raises(ModelFormatError, match=matched) as caught:
        trimtab.load_model(path if how == "path" else content)
    assert isinstance(caught.value, UnsafeModelError) == is_unsafe
    assert len(str(caught.value)) < 1200
    assert MARK not in sys.modules


@pytest.mark.parametrize("name", [n for n, entry in FILES.items() if entry[1]])
def test_unsafe_files_say_what_to_do(name: str) -> None:
    with pytest.raises(UnsafeModelError, match="Load it with the framework that wrote"):
        trimtab.load_model(FILES[name][0])


def test_there_is_no_flag_that_unpickles() -> None:
    with pytest.raises(TypeError):
        trimtab.load_model(FILES["new.pth"][0], allow_pickle=True)  # type: ignore


# ---- paths that are no files -------------------------------------------------------


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.onnx")
    return folder / "pipe.onnx"


def bound_socket(folder: Path) -> Path:
    path = folder / "socket.onnx"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))
    return path


def link_to_device(folder: Path) -> Path:
    (folder / "link.onnx").symlink_to("/dev/zero")
    return folder / "link.onnx"


SPECIAL: dict[str, Callable[[Path], Path]] = {
    "fifo": fifo,
    "socket": bound_socket,
    "zero": lambda _: Path("/dev/zero"),
    "random": lambda _: Path("/dev/urandom"),
    "null": lambda _: Path("/dev/null"),
    "link": link_to_device,
}


@pytest.mark.parametrize("name", SPECIAL)
def test_a_path_that_is_no_file_is_refused_at_once(name: str, tmp_path: Path) -> None:
    path = SPECIAL[name](tmp_path)
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, trimtab\n"
            "try: trimtab.load_model(sys.argv[1])\n"
            "except trimtab.UnsafeModelError as error: print(error)",
            str(path),
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "a pipe, a socket or a device" in result.stdout


def test_a_folder_that_is_no_model_says_what_is_in_it(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="holds nothing"):
        trimtab.load_model(tmp_path)
    (tmp_path / "readme.md").write_text("x")
    with pytest.raises(ModelFormatError, match=r"it holds 'readme\.md'"):
        trimtab.load_model(tmp_path)
    (tmp_path / "data.pkl").write_bytes(pickled(2))
    with pytest.raises(UnsafeModelError):
        trimtab.load_model(tmp_path)


def test_what_is_no_path_and_no_model_is_a_type_error() -> None:
    for value in (None, 3, object(), [1], {"a": 1}):
        with pytest.raises(InputTypeError):
            trimtab.load_model(value)


def test_a_missing_file_is_told_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing-here"):
        trimtab.load_model(tmp_path / "nothing-here.onnx")


# ---- nothing is run ----------------------------------------------------------------

WATCH = """
import sys, json
import trimtab, trimtab.formats, trimtab.formats.archive, trimtab.formats.onnx
trimtab.formats.onnx._model_class()
import google.protobuf.message, tempfile, traceback
folder, names = sys.argv[1], json.loads(sys.argv[2])
found, current = [], [None]
ALLOWED = tuple(set(filter(None, [sys.prefix, sys.base_prefix, *sys.path[1:]])))

def hook(event, args):
    if current[0] is None:
        return
    if event == "import" and "evil" in str(args[0]):
        found.append([current[0], event, str(args[0])])
    elif event == "open":
        path = args[0]
        if isinstance(path, int):
            return
        path = str(path)
        if path.endswith(".cache") and ".safetensors." in path:
            return  # what an earlier load may have left of an artefact
        if path != current[0] and not path.startswith(ALLOWED):
            found.append([current[0], event, path])
    elif event in ("compile", "exec"):
        source = args[0]
        where = getattr(source, "co_filename", None) or str(args[-1])
        if not where.startswith(ALLOWED) and not where.startswith("<frozen"):
            found.append([current[0], event, where])
    elif event.split(".")[0] in ("pickle", "subprocess", "socket", "ctypes", "shutil"):
        found.append([current[0], event, repr(args)[:80]])
    elif event in ("os.system", "os.exec", "os.fork", "os.posix_spawn", "os.remove"):
        found.append([current[0], event, repr(args)[:80]])

sys.path.insert(1, folder)  # what a pickle would import is there
sys.addaudithook(hook)
refused = 0
for name in names:
    current[0] = folder + "/" + name
    try:
        trimtab.load_model(current[0])
    except trimtab.ModelFormatError:
        refused += 1
    finally:
        current[0] = None
print(json.dumps({"found": found, "refused": refused}))
"""


@functools.cache
def watched() -> dict[str, Any]:
    """All files of the table, loaded in one process with an audit hook."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for name, (content, _, _) in FILES.items():
            (Path(folder) / name).write_bytes(content)
        evil = Path(folder) / f"{MARK}.py"
        evil.write_text(f"open({folder + '/was-run'!r}, 'w')")
        result = subprocess.run(
            [sys.executable, "-c", WATCH, folder, json.dumps(list(FILES))],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert result.returncode == 0, result.stderr
        answer: dict[str, Any] = json.loads(result.stdout)
        answer["was_run"] = (Path(folder) / "was-run").exists()
        return answer


def test_all_files_are_refused_under_the_watch() -> None:
    assert watched()["refused"] == len(FILES)


def test_nothing_of_a_file_is_imported_compiled_or_run_and_no_other_file_opened() -> (
    None
):
    assert watched()["found"] == []
    assert not watched()["was_run"]


def test_the_watch_sees_a_pickle_that_is_loaded(tmp_path: Path) -> None:
    """The hook itself: with a loader that unpickles it must report."""
    (tmp_path / "bad.pkl").write_bytes(pickled(4))
    (tmp_path / f"{MARK}.py").write_text("x = 1")
    careless = WATCH.replace(
        "trimtab.load_model(current[0])",
        "__import__('pickle').load(open(current[0], 'rb'))",
    )
    result = subprocess.run(
        [sys.executable, "-c", careless, str(tmp_path), json.dumps(["bad.pkl"])],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    events = {event for _, event, _ in json.loads(result.stdout)["found"]}
    assert {"import", "pickle.find_class", "exec"} <= events
