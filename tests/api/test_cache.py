"""The cache beside an artefact: used when it fits, rebuilt silently when not."""

from __future__ import annotations

import os
import signal
import stat
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import trimtab
from trimtab import _core, load
from trimtab.cache import CacheFile

from .conftest import serialize

RNG = np.random.default_rng(8)


def convolutions() -> bytes:
    """Layers whose weights are packed: convolutions, joined and plain matmuls."""
    w = {
        "k": RNG.standard_normal((32, 8, 3, 3)),
        "k2": RNG.standard_normal((64, 32, 1, 1)),
        "q": RNG.standard_normal((64, 256)),
        "v": RNG.standard_normal((64, 256)),
        "p": RNG.standard_normal((256, 300)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("Conv", ["r", "k2"], ["d"], name="conv2"),
        helper.make_node("GlobalAveragePool", ["d"], ["g"], name="pool"),
        helper.make_node("Flatten", ["g"], ["f"], name="flat"),
        helper.make_node("MatMul", ["f", "q"], ["fq"], name="mq"),
        helper.make_node("MatMul", ["f", "v"], ["fv"], name="mv"),
        helper.make_node("Mul", ["fq", "fv"], ["m"], name="mul"),
        helper.make_node("MatMul", ["m", "p"], ["y"], name="mp"),
    ]
    return serialize(
        nodes,
        [("x", TensorProto.FLOAT, ("n", 8, 20, 20))],
        ["y"],
        {name: a.astype(np.float32) for name, a in w.items()},
    )


X = RNG.standard_normal((2, 8, 20, 20)).astype(np.float32)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("cache") / "m.safetensors"
    trimtab.load_model(convolutions()).save(path, golden=X)
    return path.read_bytes()


@pytest.fixture
def path(saved: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "m.safetensors"
    path.write_bytes(saved)
    return path


@pytest.fixture(autouse=True)
def user_folder(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path_factory.mktemp("user")))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each load was done by the cache."""
    found: list[bool] = []
    real = load._from_cache

    def spy(source: Any, options: Any) -> Any:
        model = real(source, options)
        found.append(model is not None)
        return model

    monkeypatch.setattr(load, "_from_cache", spy)
    return found


def cache_of(path: Path) -> Path:
    (found,) = path.parent.glob("*.cache")
    return found


def answer(path: Path, **more: Any) -> bytes:
    result: np.ndarray = trimtab.load_model(path, threads=1, **more)(X)
    return result.tobytes()


# ---- when it fits ------------------------------------------------------------------


def test_the_second_load_is_by_the_cache_and_equal_bit_by_bit(
    path: Path, reads: list[bool]
) -> None:
    first = trimtab.load_model(path, threads=1)
    second = trimtab.load_model(path, threads=1)
    assert reads == [False, True]
    assert first(X).tobytes() == second(X).tobytes()
    assert (first.inputs, first.outputs) == (second.inputs, second.outputs)
    assert first.verification is not None
    assert second.verification is not None
    assert second.verification.reference == first.verification.reference
    assert second.provenance == first.provenance
    assert second.stats["packed_bytes"] == first.stats["packed_bytes"] > 0


def test_weights_come_out_of_the_cache(path: Path) -> None:
    """The plain ones are gone from the artefact, as far as the engine can see."""
    want = answer(path)
    model = trimtab.load_model(path, threads=1, verify="off")
    os.truncate(path, path.stat().st_size)  # its time changes: it is not read again
    assert model(X).tobytes() == want


def test_names_and_steps_are_read_when_they_are_asked_for(path: Path) -> None:
    trimtab.load_model(path).save(path, class_names=["a", "b"])
    trimtab.load_model(path)
    model = trimtab.load_model(path)
    assert model.class_names == ["a", "b"]
    assert model.pipeline is None
    model.save(path.with_name("again.safetensors"))
    again = trimtab.load_model(path.with_name("again.safetensors"))
    assert again(X).tobytes() == model(X).tobytes()


def test_other_threads_have_another_cache(path: Path) -> None:
    for threads in (1, 2, 1):
        trimtab.load_model(path, threads=threads)
    assert len(list(path.parent.glob("*.cache"))) == 2


@pytest.mark.parametrize(
    "more", [{"cache": False}, {"staging": True}, {"passes": []}, {"verify": "off"}]
)
def test_unusual_loads_leave_no_cache(path: Path, more: dict[str, Any]) -> None:
    trimtab.load_model(path, **more)
    assert list(path.parent.iterdir()) == [path]


def test_a_model_without_golden_pairs_is_cached_too(
    tmp_path: Path, reads: list[bool]
) -> None:
    path = tmp_path / "m.safetensors"
    trimtab.load_model(convolutions()).save(path)
    answers = [answer(path), answer(path), answer(path, verify="off")]
    assert reads == [False, True, True]
    assert len(set(answers)) == 1


def test_a_costly_pair_is_remembered(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.remember._CHEAP_S", 0.0)
    first = trimtab.load_model(path)
    second = trimtab.load_model(path)
    assert first.verification is not None
    assert second.verification is not None
    assert not first.verification.is_remembered
    assert second.verification.is_remembered
    assert second.verification.n_replayed == first.verification.n_replayed
    assert second.verification.difference == first.verification.difference
    assert second.stats["n_runs"] == 0


# ---- when it does not --------------------------------------------------------------


def test_a_changed_artefact_is_not_taken_for_the_old_one(
    path: Path, reads: list[bool]
) -> None:
    from trimtab.formats.tensor_file import TensorFile
    from trimtab.limits import Limits

    trimtab.load_model(path)
    data = bytearray(path.read_bytes())
    place = TensorFile(bytes(data), Limits()).tensors["p"]
    data[place.offset : place.offset + place.n_bytes] = bytes(place.n_bytes)
    path.write_bytes(data)
    with pytest.raises(trimtab.GoldenMismatch, match="'p' differs"):
        trimtab.load_model(path)
    with pytest.warns(trimtab.GoldenWarning):
        trimtab.load_model(path, verify="warn")
    with pytest.raises(trimtab.GoldenMismatch):  # a miss is never remembered
        trimtab.load_model(path)
    assert reads == [False, False, False, False]


def test_a_cache_of_another_machine_or_build_is_rebuilt(
    path: Path, reads: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    want = answer(path)
    cache = cache_of(path)
    info = {**_core.cpu_info(), "brand": "another"}
    monkeypatch.setattr("trimtab.cache._core.cpu_info", lambda: info)
    assert answer(path) == want
    names = {p.name for p in path.parent.glob("*.cache")}
    assert len(names) == 2
    # even under the name of the first one
    (other,) = names - {cache.name}
    (path.parent / other).rename(cache)
    monkeypatch.undo()
    assert answer(path) == want


def test_a_cache_is_rebuilt_at_every_length(
    path: Path, reads: list[bool], saved: bytes
) -> None:
    want = answer(path)
    cache = cache_of(path)
    whole = cache.read_bytes()
    ends = {*range(0, 40), *(int(x) for x in np.linspace(0, len(whole) - 1, 60))}
    for end in sorted(ends):
        cache.write_bytes(whole[:end])
        assert answer(path) == want, end
    assert len(list(path.parent.iterdir())) == 2


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_a_damaged_cache_gives_the_right_answer(
    path: Path, data: st.DataObject
) -> None:
    if not list(path.parent.glob("*.cache")):
        answer(path)
    cache = cache_of(path)
    whole = bytearray(cache.read_bytes())
    want = answer(path, cache=False)
    for _ in range(data.draw(st.integers(1, 3))):
        near = data.draw(st.sampled_from([100, 5_000, 400_000]))
        whole[data.draw(st.integers(0, near - 1))] ^= data.draw(st.integers(1, 255))
    cache.write_bytes(whole)
    assert answer(path) == want


def forged(cache: Path, body: bytes, packed: bytes) -> None:
    """A cache whose digest is right, whatever it says."""
    head = struct.pack("<8s16sQ", b"TTCACHE1", _core.digest(body), len(body))
    padding = b"\0" * (-(len(head) + len(body)) % 64)
    cache.write_bytes(head + body + padding + packed)


def parts(cache: Path) -> tuple[bytes, bytes]:
    whole = cache.read_bytes()
    length = struct.unpack_from("<Q", whole, 24)[0]
    return whole[32 : 32 + length], whole[-(-(32 + length) // 64) * 64 :]


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_a_hostile_cache_breaks_nothing(path: Path, data: st.DataObject) -> None:
    """With right digests: the engine validates its bytes, sizes must fit, and what
    does not work falls back to the artefact."""
    if not list(path.parent.glob("*.cache")):
        answer(path)
    cache = cache_of(path)
    whole = cache.read_bytes()
    body, packed = map(bytearray, parts(cache))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0xFF, body[at] ^ 1]))
    forged(cache, bytes(body), bytes(packed))
    try:
        answer(path)
    except trimtab.TrimtabError:
        pass  # a graph that was altered within what is valid
    finally:
        cache.write_bytes(whole)


@pytest.mark.parametrize("field", ["n", "offset", "bytes", "all"])
def test_a_table_of_packed_weights_that_lies_is_not_used(
    path: Path, field: str
) -> None:
    want = answer(path)
    cache = cache_of(path)
    body, packed = parts(cache)
    (n,) = struct.unpack_from("<Q", packed, 8)
    assert n >= 3
    table = bytearray(packed[32 : 32 + 48 * n])
    for i in range(n):
        if field in ("offset", "all"):
            struct.pack_into("<Q", table, 48 * i + 32, 1 << 63)
        if field in ("bytes", "all"):
            struct.pack_into("<Q", table, 48 * i + 40, (1 << 64) - 64)
    count = 1 << 40 if field == "n" else n
    # tests/c gives such tables the right hash
    forged(cache, body, packed[:8] + struct.pack("<Q", count) + packed[16:32] + table)
    assert answer(path) == want


# ---- where it lies -----------------------------------------------------------------


def test_where_the_folder_is_read_only_the_user_folder_is_taken(
    path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    reads: list[bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("TRIMTAB_CACHE", str(own))
    real = os.open

    def refusing(name: Any, flags: int, *mode: Any, **more: Any) -> int:
        if flags & os.O_CREAT and str(name).startswith(str(path.parent)):
            raise PermissionError(13, "read-only", str(name))
        return real(name, flags, *mode, **more)

    monkeypatch.setattr(os, "open", refusing)
    want = answer(path)
    assert list(path.parent.iterdir()) == [path]
    (cache,) = (own / "packed").iterdir()
    assert stat.S_IMODE((own / "packed").stat().st_mode) == 0o700
    assert answer(path) == want
    assert reads == [False, True]
    monkeypatch.setenv("TRIMTAB_CACHE", "/proc/nowhere")  # nowhere at all
    assert answer(path) == want
    assert cache.exists()


def test_a_cache_that_is_no_file_is_not_waited_for(path: Path) -> None:
    want = answer(path)
    cache = cache_of(path)
    cache.unlink()
    os.mkfifo(cache)
    assert answer(path) == want
    cache.unlink()
    cache.symlink_to("/dev/zero")
    assert answer(path) == want
    assert not cache.is_symlink()  # replaced by a file
    cache.unlink()
    cache.mkdir()
    assert answer(path) == want


def test_writers_at_once_leave_one_whole_cache(path: Path) -> None:
    code = f"import sys, trimtab\ntrimtab.load_model({str(path)!r}, threads=1)\n"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert len(list(path.parent.iterdir())) == 2
    assert answer(path) == answer(path, cache=False)


def test_a_writer_that_is_killed_leaves_nothing_that_is_used(
    path: Path, reads: list[bool]
) -> None:
    """Killed in the middle of the packed weights."""
    code = (
        "import os, signal, sys\n"
        "from trimtab import load_model\n"
        "from trimtab.cache import CacheFile\n"
        "real = os.replace\n"
        "def kill(a, b):\n"
        "    os.truncate(a, os.path.getsize(a) // 2)\n"
        "    if sys.argv[1] == 'after': real(a, b)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.replace = kill\n"
        f"load_model({str(path)!r}, threads=1)\n"
    )
    for when in ("before", "after"):
        done = subprocess.run([sys.executable, "-c", code, when], check=False)
        assert done.returncode == -signal.SIGKILL
        assert answer(path) == answer(path, cache=False)
        cache_of(path).unlink()
    left = list(path.parent.glob("*.tmp"))
    assert len(left) == 1
    os.utime(left[0], (1, time.time() - 7200))
    answer(path)  # the next writer removes what is hours old
    assert list(path.parent.glob("*.tmp")) == []


def test_a_full_disk_is_no_reason_to_fail(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: CacheFile, *arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trimtab.cache.os.replace", full)
    monkeypatch.setenv("TRIMTAB_CACHE", str(path.parent / "other"))
    want = answer(path, cache=False)
    assert answer(path) == want
    assert [p for p in path.parent.rglob("*") if p.suffix in (".cache", ".tmp")] == []


def test_memory_may_run_out_anywhere_on_the_way(path: Path) -> None:
    want = answer(path)
    whole = cache_of(path).read_bytes()
    failures = 0
    for k in range(1, 400, 3):
        cache_of(path).write_bytes(whole)
        _core.fail_alloc(k)
        try:
            got = answer(path)
        except trimtab.OutOfMemoryError:
            failures += 1
        else:
            assert got == want
        finally:
            _core.fail_alloc(0)
    assert answer(path) == want
    assert failures < 133  # what fails once is tried again without the cache


@pytest.mark.parametrize("verify", ["error", "off"])
def test_replaying_leaves_no_memory_behind(tmp_path: Path, verify: str) -> None:
    """Of a model of 64 MB whose pair has an odd shape."""
    path = tmp_path / "m.safetensors"
    w = RNG.standard_normal((2048, 8192)).astype(np.float32)
    content = serialize(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [("x", TensorProto.FLOAT, ("n", "t", 2048))],
        ["y"],
        {"w": w},
    )
    x = RNG.standard_normal((1, 7, 2048)).astype(np.float32)
    trimtab.load_model(content).save(path, golden=x)
    code = (
        "import gc, trimtab\n"
        "def resident():\n"
        "    gc.collect()\n"
        "    return int(open('/proc/self/statm').read().split()[1]) * 4096\n"
        "before = resident()\n"
        f"model = trimtab.load_model({str(path)!r}, threads=1, cache=False, "
        f"verify={verify!r})\n"
        "print(resident() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 16 << 20
