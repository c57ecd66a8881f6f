"""The command line, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trimtab.cli import main

from .conftest import reference, serialize


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(list(words))
    out, err = capsys.readouterr()
    return status, out, err


def run_json(capsys: pytest.CaptureFixture[str], *words: str):
    status, out, _ = run(capsys, *words, "--json")
    assert status == 0
    return json.loads(out)


def test_info_shows_the_signature(capsys, path: Path) -> None:
    status, out, _ = run(capsys, "info", str(path))
    assert status == 0
    assert "x: float32[n,4]" in out
    values = run_json(capsys, "info", str(path))
    assert values["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["n", 4]}]
    assert values["n_tensors"] == 3


def test_info_support_shows_who_runs_what(capsys, path: Path, rare, tmp_path) -> None:
    values = run_json(capsys, "info", str(path), "--support")
    assert values["is_complete"]
    file = tmp_path / "rare.onnx"
    file.write_bytes(rare)
    status, out, _ = run(capsys, "info", str(file), "--support")
    assert (status, "Cast" in out) == (0, True)  # slowly, but it runs
    status, out, _ = run(capsys, "info", str(file), "--support", "--no-fallback")
    assert (status, "Cast" in out) == (1, True)


@pytest.mark.parametrize("prefix", ["", "x="])
def test_run_reads_and_writes_npy(capsys, path: Path, x, tmp_path, prefix) -> None:
    np.save(tmp_path / "x.npy", x)
    words = ["run", str(path), "--input", f"{prefix}{tmp_path / 'x.npy'}"]
    values = run_json(capsys, *words)
    np.testing.assert_allclose(values["y"]["values"], reference(x)["y"], atol=1e-6)
    for target in ("y.npy", "folder"):
        values = run_json(capsys, *words, "--output", str(tmp_path / target))
        y = np.load(values["y"]["file"])
        np.testing.assert_allclose(y, reference(x)["y"], atol=1e-6)
    status, out, _ = run(capsys, *words)
    assert status == 0
    assert "y: float32[5,3]" in out


def test_bench_profiles_on_random_values(capsys, path: Path) -> None:
    values = run_json(capsys, "bench", str(path), "--repeat", "3", "--size", "7")
    assert values["latency_ms"] > 0
    assert values["inputs"] == {"x": [1, 4]}
    assert {node["op_type"] for node in values["nodes"]} >= {"Softmax"}
    status, out, _ = run(capsys, "bench", str(path), "--repeat", "3")
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == "inputs  x: float32[1,4] (random values)"
    assert lines[1].startswith("Profile: ")
    assert "% of peak" in lines[1]


@pytest.fixture(scope="module")
def windowed() -> bytes:
    """A convolution whose window of 12 does not fit the smallest inputs."""
    from onnx import TensorProto, helper

    return serialize(
        [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")],
        [("x", TensorProto.FLOAT, ("n", 1, "t"))],
        ["y"],
        {"w": np.ones((1, 1, 12), np.float32)},
    )


def test_random_values_get_the_first_size_that_fits(capsys, windowed, tmp_path) -> None:
    file = tmp_path / "windowed.onnx"
    file.write_bytes(windowed)
    values = run_json(capsys, "bench", str(file), "--repeat", "1")
    assert values["inputs"] == {"x": [1, 1, 16]}
    values = run_json(capsys, "bench", str(file), "--repeat", "1", "--size", "20")
    assert values["inputs"] == {"x": [1, 1, 20]}
    status, _, err = run(capsys, "bench", str(file), "--size", "3")
    assert status == 1
    assert "window of 12" in err


def test_a_run_describes_large_outputs(capsys, tmp_path) -> None:
    from onnx import TensorProto, helper

    content = serialize(
        [helper.make_node("Log", ["x"], ["y"], name="log")],
        [("x", TensorProto.FLOAT, (1, 20))],
        ["y"],
    )
    (tmp_path / "log.onnx").write_bytes(content)
    x = np.arange(1, 21, dtype=np.float32)[None]
    np.save(tmp_path / "x.npy", x)
    words = ["run", str(tmp_path / "log.onnx"), "--input", str(tmp_path / "x.npy")]
    _, out, _ = run(capsys, *words)
    assert "inputs  x: float32[1,20]\n" in out
    assert "from 0 to 2.99573" in out
    assert "largest: [19] 2.99573, [18] " in out
    x[0, :3] = [0, -1, np.inf]
    np.save(tmp_path / "x.npy", x)
    values = run_json(capsys, *words)
    assert values["y"]["values"][0][:3] == ["-inf", "nan", "inf"]
    _, out, _ = run(capsys, *words)
    assert "not all are finite" in out


def test_inputs_that_cannot_be_read_are_named(capsys, path: Path, tmp_path) -> None:
    text = tmp_path / "x.txt"
    text.write_text("1 2 3")
    np.savez(tmp_path / "x.npz", x=np.ones(3))
    for words, said in [
        ([str(text)], "no .npy file of numbers"),
        ([str(tmp_path / "x.npz")], "got an .npz archive"),
        ([str(tmp_path / "none.npy")], "there is no file"),
        (["z=none.npy"], "the inputs are x"),
    ]:
        status, out, err = run(capsys, "run", str(path), "--input", *words)
        assert (status, out) == (1, "")
        assert said in err
        assert len(err.splitlines()) == 1


def test_a_warning_is_one_line(capsys, rare, tmp_path) -> None:
    file = tmp_path / "rare.onnx"
    file.write_bytes(rare)
    status, _, err = run(capsys, "run", str(file))
    assert status == 0
    assert err.startswith("trimtab: 2 nodes run in Python")
    assert len(err.splitlines()) == 1


def test_a_closed_pipe_is_no_error(path: Path) -> None:
    command = f"{sys.executable} -m trimtab doctor --ops | head -1"
    out = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True
    )
    assert out.returncode == 0
    assert out.stderr == ""


def test_doctor_describes_machine_and_build(capsys) -> None:
    values = run_json(capsys, "doctor")
    assert values["cpu"]["n_threads"] >= 1
    assert values["peaks"][0]["f32_gops"] > 0
    assert values["versions"]["onednn"].startswith("3.")
    assert "ONEDNN_ROOT" in values["gpu"] or values["dnnl"]["gpu_runtime"] != "none"
    assert set(values["versions"]) == {"trimtab", "python", "numpy", "onednn"}
    status, out, _ = run(capsys, "doctor")
    assert status == 0
    assert "GOP/s" in out


def test_doctor_lists_operators(capsys) -> None:
    rows = run_json(capsys, "doctor", "--ops")
    names = {row["name"] for row in rows}
    assert {"Conv", "MatMul", "Relu"} <= names
    assert all(row["summary"] and row["runs"] for row in rows)
    _, out, _ = run(capsys, "doctor", "--ops")
    assert "Softmax" in out


def test_version_names_both(capsys) -> None:
    values = run_json(capsys, "version")
    assert set(values) == {"trimtab", "onednn"}


def test_failures_are_one_line_and_a_status(capsys, tmp_path: Path) -> None:
    status, out, err = run(capsys, "info", str(tmp_path / "absent.onnx"))
    assert (status, out) == (1, "")
    assert err.startswith("trimtab: ")
    assert len(err.splitlines()) == 1
    status, out, _ = run(capsys, "info", str(tmp_path / "absent.onnx"), "--json")
    assert status == 1
    assert json.loads(out)["error"] == "FileNotFoundError"
    with pytest.raises(SystemExit) as usage:
        main(["fly"])
    assert usage.value.code == 2


def test_python_m_trimtab_is_the_command() -> None:
    out = subprocess.run(
        [sys.executable, "-m", "trimtab", "version", "--json"],
        capture_output=True,
        check=True,
    )
    assert "trimtab" in json.loads(out.stdout)
    out = subprocess.run(
        [sys.executable, "-m", "trimtab", "--help"], capture_output=True, check=True
    )
    for command in ("info", "run", "bench", "doctor", "demo", "version"):
        assert command.encode() in out.stdout
