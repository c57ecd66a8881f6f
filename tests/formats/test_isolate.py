"""A reader in a child: what it gives, how it may end, and what it cannot do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import trimtab
from trimtab import errors
from trimtab.formats.isolate import run_isolated
from trimtab.formats.landlock import restrict

ROOT = Path(__file__).parents[2]
PACKAGE = Path(trimtab.__file__).parents[1]  # of the trimtab that is tested
WHAT = "the file 'm.bin'"
DOCUMENTED = sorted(set(errors.__all__) - {"TrimtabError"})


def has_landlock() -> bool:
    """Asked of a child: what is given up is given up for good."""
    child = os.fork()
    if child == 0:
        os._exit(0 if restrict(["/"]) else 1)
    return os.waitpid(child, 0)[1] == 0


HAS_LANDLOCK = has_landlock()
needs_landlock = pytest.mark.skipif(not HAS_LANDLOCK, reason="no Landlock here")


@pytest.fixture(autouse=True)
def scratch(tmp_path_factory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for temporary files of its own, empty again at the end."""
    folder = tmp_path_factory.mktemp("scratch")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    assert list(folder.iterdir()) == []


def run(task: str, *, options: dict[str, Any] | None = None, **arguments: Any) -> dict:
    with run_isolated(
        f"tests.formats.isolate_tasks:{task}", arguments, what=WHAT, **options or {}
    ) as child:
        return child.result


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def waits_for(condition: Any, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


# ---- what it gives -----------------------------------------------------------


def test_the_result_and_the_files_come_back(scratch: Path) -> None:
    with run_isolated(
        "tests.formats.isolate_tasks:echo", {"a": [1, "ü"]}, what=WHAT
    ) as child:
        assert child.result["arguments"] == {"a": [1, "ü"]}
        assert child.result["cwd"] == child.result["folder"] == child.folder
        assert Path(child.path("out.bin")).read_bytes() == b"weights"
        assert Path(child.folder).is_relative_to(scratch)
        with pytest.raises(errors.ModelFormatError, match="left no file 'other"):
            child.path("other.bin")


def test_a_file_that_is_open_outlives_the_folder() -> None:
    with run_isolated("tests.formats.isolate_tasks:echo", {}, what=WHAT) as child:
        file = open(child.path("out.bin"), "rb")  # noqa: SIM115
    assert not os.path.exists(child.folder)
    with file:
        assert file.read() == b"weights"


def test_tasks_of_the_package_go_by_short_names(tmp_path: Path) -> None:
    with (
        pytest.raises(errors.ModelFormatError, match="cannot be opened"),
        run_isolated(
            "saved_model_child:convert",
            {"path": str(tmp_path), "files": {"saved_model.pb": 1}, "signature": None},
            what=WHAT,
        ),
    ):
        pass


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s")
    with (
        pytest.raises(errors.ModelFormatError, match="left no file"),
        run_isolated(
            "tests.formats.isolate_tasks:link", {"target": str(secret)}, what=WHAT
        ) as child,
    ):
        child.path("out.bin")


# ---- how it may end ----------------------------------------------------------


@pytest.mark.parametrize("kind", DOCUMENTED)
def test_documented_errors_keep_their_class_and_text(kind: str) -> None:
    with pytest.raises(getattr(errors, kind)) as caught:
        run("fail", kind=kind, text="what is wrong and what to do")
    assert type(caught.value).__name__ == kind
    assert str(caught.value) == "what is wrong and what to do"


def test_an_error_of_a_library_becomes_one_line() -> None:
    with pytest.raises(errors.ModelFormatError) as caught:
        run("fail", kind="RuntimeError", text="bad\n   thing")
    assert str(caught.value) == f"{WHAT} cannot be read: RuntimeError: bad thing"


def test_a_long_text_is_cut() -> None:
    with pytest.raises(errors.ModelFormatError) as caught:
        run("fail", kind="ModelFormatError", text="x" * 1_000_000)
    assert len(str(caught.value)) < 10_000


def test_a_missing_package_is_an_import_error() -> None:
    with pytest.raises(ImportError, match="a_package_that_nobody_has"):
        run("missing")


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL", "SIGILL", "SIGBUS"])
def test_a_signal_is_named_with_the_last_words(name: str) -> None:
    with pytest.raises(errors.ModelFormatError) as caught:
        run("die", signal=int(signal.Signals[name]))
    assert f"died ({name})" in str(caught.value)
    assert "It said:\n  last words" in str(caught.value)


def test_a_real_crash_is_one_error() -> None:
    with pytest.raises(errors.ModelFormatError, match=r"died \(SIGSEGV\)"):
        run("crash")


@pytest.mark.parametrize("status", [0, 3])
def test_leaving_without_an_answer_is_an_error(status: int) -> None:
    with pytest.raises(errors.ModelFormatError, match=f"exit status {status}"):
        run("leave", status=status)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "{",
        "7",
        "[]",
        "{}",
        '{"result": 7}',
        "\x00\xff",
        "[" * 100_000,
    ],
    ids=["empty", "open", "number", "list", "nothing", "result", "bytes", "deep"],
)
def test_a_false_answer_is_an_error(answer: str) -> None:
    with pytest.raises(errors.ModelFormatError, match="died"):
        run("lie", answer=answer)


@pytest.mark.parametrize("kind", ["OSError", "__all__", "Any", "annotations", "7", ""])
def test_a_false_name_of_an_error_makes_no_other_error(kind: str) -> None:
    with pytest.raises(errors.ModelFormatError, match="cannot be read"):
        run("lie", answer=f'{{"error": "{kind}", "text": "t"}}')


def test_time_on_the_clock_is_bounded() -> None:
    start = time.monotonic()
    with pytest.raises(errors.ModelLimitError, match="more than 2 s"):
        run("sleep", options={"seconds": 2.0})
    assert time.monotonic() - start < 10


def test_time_on_processors_is_bounded_and_named() -> None:
    with pytest.raises(errors.ModelLimitError, match="too much time on processors"):
        run("spin")


def test_memory_is_bounded() -> None:
    options = {"memory_bytes": 512 << 20}
    assert run("eat", n_bytes=1 << 20, options=options) == {"n": 1 << 20}
    with pytest.raises(errors.ModelLimitError, match="more memory"):
        run("eat", n_bytes=1 << 30, options=options)


def test_a_c_library_out_of_memory_is_told_as_that() -> None:
    with pytest.raises(errors.ModelLimitError, match="more memory"):
        run("die_of_memory")


def test_disk_is_bounded() -> None:
    with pytest.raises(errors.ModelLimitError, match="disk"):
        run("fill_disk", n_bytes=3 << 30, options={"memory_bytes": 1 << 30})


def test_a_huge_result_is_refused() -> None:
    assert len(run("long_result", n_bytes=1 << 20)["text"]) == 1 << 20
    with pytest.raises(errors.ModelLimitError, match="too long"):
        run("long_result", n_bytes=65 << 20)


def test_a_result_that_is_no_json_is_an_error() -> None:
    with pytest.raises(errors.ModelFormatError, match="not JSON serializable"):
        run("no_json")


# ---- what it says ------------------------------------------------------------


def test_chatter_stays_in_the_error(capfd) -> None:
    with pytest.raises(errors.ModelFormatError) as caught:
        run("chat", n_lines=3)
    said = str(caught.value)
    assert all(x in said for x in ("to stdout", "to stderr", "line 2", "KeyError"))
    assert capfd.readouterr() == ("", "")


def test_only_the_end_of_much_chatter_is_shown() -> None:
    with pytest.raises(errors.ModelFormatError) as caught:
        run("chat", n_lines=100_000)
    assert "line 99999" in str(caught.value)
    assert len(str(caught.value)) < 5_000


def test_a_documented_error_needs_no_chatter() -> None:
    with pytest.raises(errors.UnsafeModelError) as caught:
        run("chat", n_lines=3, is_refused=True)
    assert str(caught.value) == "no"


# ---- nothing is left ---------------------------------------------------------


def marked(token: str) -> list[int]:
    """Living processes with this in their environment, whoever their parent is."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"ISOLATE_TEST={token}".encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue  # ended, or not ours
    return [pid for pid in found if is_alive(pid)]


def test_a_timeout_ends_what_the_child_started() -> None:
    environment = {"ISOLATE_TEST": "timeout"}
    with pytest.raises(errors.ModelLimitError):
        run(
            "sleep",
            with_child=True,
            options={"seconds": 3.0, "environment": environment},
        )
    assert waits_for(lambda: not marked("timeout"))


def test_ctrl_c_ends_the_child() -> None:
    def interrupt() -> None:
        assert waits_for(lambda: len(marked("ctrl-c")) == 2)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        environment = {"ISOLATE_TEST": "ctrl-c"}
        run("sleep", with_child=True, options={"environment": environment})
    thread.join()
    assert waits_for(lambda: not marked("ctrl-c"))


def python(code: str, *flags: str, cwd: Path | None = None, **variables: str) -> str:
    """What a new Python prints that finds this checkout."""
    head = f"import sys; sys.path[:0] = {[str(PACKAGE), str(ROOT)]!r}\n"
    done = subprocess.run(
        [sys.executable, *flags, "-c", head + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        env={**os.environ, **variables},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_killed_parent_takes_the_child_along(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path[:0] = {[str(PACKAGE), str(ROOT)]!r}\n"
            "from trimtab.formats.isolate import run_isolated\n"
            "with run_isolated('tests.formats.isolate_tasks:sleep',"
            " {'pid_file': True}, what='x'): pass",
        ],
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert waits_for(lambda: list(tmp_path.glob("trimtab-*/*/pid")))
    (path,) = tmp_path.glob("trimtab-*/*/pid")
    assert waits_for(path.read_text)
    child = int(path.read_text())
    assert is_alive(child)
    parent.kill()
    parent.wait()
    assert waits_for(lambda: not is_alive(child))


# ---- where it runs -----------------------------------------------------------


LOOK = """
from trimtab.formats.isolate import run_isolated
with run_isolated("tests.formats.isolate_tasks:look", {}, what="x") as child:
    print(child.result["trimtab"], *child.result["path"], sep="\\n")
"""


@pytest.mark.parametrize("flags", [(), ("-I",), ("-E",), ("-s",), ("-O",)], ids=str)
def test_it_finds_what_the_caller_finds(flags: tuple[str, ...]) -> None:
    trimtab, *path = python(LOOK, *flags).splitlines()
    assert trimtab == str(PACKAGE / "trimtab/__init__.py")
    assert path[:2] == [str(PACKAGE), str(ROOT)]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="-P is new in 3.11")
def test_it_works_with_a_safe_path() -> None:
    assert python(LOOK, "-P").startswith(str(PACKAGE))


def test_modules_in_the_working_folder_do_not_come_first(tmp_path: Path) -> None:
    """-c puts the working folder first; with -I the caller's is not on the path."""
    for name in ("json", "ctypes", "trimtab", "resource"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken over')")
    assert python(LOOK, "-I", cwd=tmp_path, PYTHONPATH=str(tmp_path))


def test_variables_that_the_caller_ignored_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('taken over')")
    assert python(LOOK, "-E", PYTHONPATH=str(tmp_path))


def test_it_has_no_input_no_home_and_a_temporary_folder_of_its_own() -> None:
    seen = run("look", options={"environment": {"EXTRA": "1"}})
    assert seen["stdin"] == ""
    assert seen["environment"]["EXTRA"] == "1"
    assert seen["environment"]["HOME"] != os.environ.get("HOME")
    assert seen["environment"]["TMPDIR"].endswith("/work")


def test_it_works_in_many_threads_at_once() -> None:
    results: list[Any] = [None] * 4

    def work(index: int) -> None:
        results[index] = run("echo", index=index)["arguments"]["index"]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [0, 1, 2, 3]


def test_it_works_after_a_fork() -> None:
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if run("echo", a=1)["arguments"] == {"a": 1} else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_it_works_in_a_bare_venv(tmp_path: Path) -> None:
    """Without site-packages of its own; NumPy comes by the path."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    packages = [p for p in sys.path if p.endswith("-packages")]
    code = f"import sys; sys.path += {packages!r}\n" + LOOK
    head = f"import sys; sys.path[:0] = {[str(PACKAGE), str(ROOT)]!r}\n"
    out = subprocess.run(
        [venv / "bin/python", "-c", head + code],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert out.startswith(str(PACKAGE))


def test_without_a_python_to_start_the_error_says_so(monkeypatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(errors.InternalError, match=r"sys\.executable"):
        run("echo")


# ---- what it cannot do -------------------------------------------------------


@needs_landlock
def test_it_writes_nowhere_else(tmp_path: Path) -> None:
    with pytest.raises(errors.ModelFormatError, match="Permission denied"):
        run("write_file", path=str(tmp_path / "x"))
    assert not (tmp_path / "x").exists()


@needs_landlock
def test_it_reads_only_what_was_named(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "w").write_text("weights")
    (tmp_path / "secret").write_text("secret")
    options = {"readable": [str(tmp_path / "model")]}
    named = str(tmp_path / "model" / "w")
    assert run("read_file", path=named, options=options) == {"content": "weights"}
    assert run("read_file", path=str(tmp_path / "secret")) == {"content": "secret"}
    with pytest.raises(errors.ModelFormatError, match="Permission denied"):
        run("read_file", path=str(tmp_path / "secret"), options=options)
    (tmp_path / "model" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(errors.ModelFormatError, match="Permission denied"):
        run("read_file", path=str(tmp_path / "model" / "link"), options=options)


@needs_landlock
def test_packages_still_work_when_reading_is_restricted() -> None:
    names = ["numpy", "onnx", "ssl", "sqlite3", "trimtab.model", "zoneinfo"]
    assert run("import_all", names=names, options={"readable": []}) == {}


def test_it_has_no_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if not (HAS_LANDLOCK or os.geteuid() == 0):
            pytest.skip("neither Landlock nor the right to leave the network")
        with pytest.raises(errors.ModelFormatError, match="cannot be read: "):
            run("connect", port=port)


@needs_landlock
def test_it_cannot_signal_its_parent() -> None:
    major, minor = (int(x) for x in os.uname().release.split(".")[:2])
    if (major, minor) < (6, 12):
        pytest.skip("Landlock holds signals back from Linux 6.12 on")
    with pytest.raises(errors.ModelFormatError, match="Operation not permitted"):
        run("signal_parent")
