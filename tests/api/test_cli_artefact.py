"""trimtab convert, verify and info on artefacts, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import trimtab
from trimtab.cli import main
from trimtab.formats.tensor_file import TensorFile
from trimtab.limits import Limits


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(list(words))
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "m.safetensors"


def test_convert_stores_what_it_is_given(
    capsys, path: Path, target: Path, x: np.ndarray, tmp_path: Path
) -> None:
    np.savez(tmp_path / "a.npz", x=x)
    np.savez(tmp_path / "b.npz", x=x * 2)
    (tmp_path / "classes.txt").write_text("cat\ndog\nowl\n")
    words = ["convert", str(path), str(target), "--classes"]
    words += [str(tmp_path / "classes.txt"), "--metadata", "author=me=you"]
    words += ["--golden", str(tmp_path / "a.npz"), "--golden", str(tmp_path / "b.npz")]
    words += ["--tolerance", "float32=1e-3", "--created", "2026-11-27"]
    status, out, err = run(capsys, *words)
    assert (status, err) == (0, "")
    assert "2 golden pairs replayed" in out
    model = trimtab.load_model(target)
    assert model.class_names == ["cat", "dog", "owl"]
    assert model(x).tobytes() == trimtab.load_model(path)(x).tobytes()
    values = json.loads(run(capsys, "info", str(target), "--json")[1])["artefact"]
    assert values["metadata"]["author"] == "me=you"
    assert values["golden"]["n_pairs"] == 2
    assert values["golden"]["tolerances"] == {"float32": 1e-3}
    assert values["golden"]["reference"].startswith("onnxruntime ")
    assert values["golden"]["has_trace"]
    assert values["provenance"]["created"] == "2026-11-27"
    assert values["tensors"]["w"] == {"dtype": "F32", "shape": [4, 3]}
    out = run(capsys, "info", str(target))[1]
    for text in ("x: float32[n,4]", "3: cat, dog, owl", "name tiny.onnx", "me=you"):
        assert text in out


def test_verify_says_what_was_compared(capsys, path: Path, target: Path) -> None:
    assert run(capsys, "convert", str(path), str(target), "--golden", "random")[0] == 0
    status, out, _ = run(capsys, "verify", str(target))
    assert status == 0
    assert "tensors are what was saved" in out
    assert "2 of 2 golden pairs" in out
    values = json.loads(run(capsys, "verify", str(target), "--json")[1])
    assert values["golden"]["n_replayed"] == 2
    status, out, _ = run(capsys, "verify", str(path))  # of other formats too
    assert status == 0
    assert "no golden pairs" in out


def test_verify_finds_a_changed_byte(capsys, path: Path, target: Path) -> None:
    run(capsys, "convert", str(path), str(target), "--golden", "random")
    data = bytearray(target.read_bytes())
    data[TensorFile(bytes(data), Limits()).tensors["w"].offset] ^= 1
    target.write_bytes(data)  # the last bit: no golden pair would notice
    assert trimtab.load_model(target).verification is not None
    status, _, err = run(capsys, "verify", str(target))
    assert status == 1
    assert "the file is not what was saved: w differ" in err


def test_a_miss_can_be_a_warning(capsys, path: Path, target: Path) -> None:
    run(capsys, "convert", str(path), str(target), "--golden", "random")
    data = bytearray(target.read_bytes())
    place = TensorFile(bytes(data), Limits()).tensors["w"]
    data[place.offset : place.offset + place.n_bytes] = bytes(place.n_bytes)
    target.write_bytes(data)
    assert run(capsys, "run", str(target))[0] == 1
    status, _, err = run(capsys, "run", str(target), "--verify", "warn")
    assert status == 0
    assert "MatMul 'linear'" in err
    assert run(capsys, "run", str(target), "--verify", "off")[2] == ""


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--golden", "no.npz"], "there is no file"),
        (["--golden", "random", "--golden", "no.npz"], "stands alone"),
        (["--metadata", "word"], "expected NAME=VALUE"),
        (["--tolerance", "float32=x"], "--tolerance"),
        (["--tolerance", "f9=1"], "tolerance"),
        (["--classes", "no.txt"], "no.txt"),
    ],
)
def test_wrong_options_are_named(
    capsys, path: Path, target: Path, words: list[str], text: str
) -> None:
    status, _, err = run(capsys, "convert", str(path), str(target), *words)
    assert status == 1 or not words
    assert text in err
    assert not target.exists()


def test_a_file_that_is_no_npz_is_named(
    capsys, path: Path, target: Path, tmp_path: Path
) -> None:
    for name, content in (("a.npz", b"no"), ("b.npz", b""), ("c.npz", b"PK\3\4")):
        (tmp_path / name).write_bytes(content)
        words = ["convert", str(path), str(target), "--golden", str(tmp_path / name)]
        status, _, err = run(capsys, *words)
        assert status == 1
        assert name in err
    np.save(tmp_path / "d.npy", np.ones(3))
    words = ["convert", str(path), str(target), "--golden", str(tmp_path / "d.npy")]
    assert run(capsys, *words)[0] == 1
