"""The command line, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trimtab.cli import main

from .conftest import reference


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
    assert status == 1
    assert "Det" in out


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
    assert "y: float32[5, 3]" in out


def test_bench_profiles_on_random_values(capsys, path: Path) -> None:
    values = run_json(capsys, "bench", str(path), "--repeat", "3", "--size", "7")
    assert values["latency_ms"] > 0
    assert {node["op_type"] for node in values["nodes"]} >= {"Softmax"}
    status, out, _ = run(capsys, "bench", str(path), "--repeat", "3")
    assert status == 0
    assert "Profile:" in out


def test_doctor_describes_machine_and_build(capsys) -> None:
    values = run_json(capsys, "doctor")
    assert values["cpu"]["n_threads"] >= 1
    assert values["peaks"][0]["f32_gops"] > 0
    assert values["versions"]["onednn"].startswith("3.")
    assert values["gpu"]
    status, out, _ = run(capsys, "doctor")
    assert status == 0
    assert "GOP/s" in out


def test_doctor_lists_operators(capsys) -> None:
    rows = run_json(capsys, "doctor", "--ops")
    names = {row["name"] for row in rows}
    assert {"Conv", "MatMul", "Relu"} <= names
    assert all(row["summary"] for row in rows)
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
