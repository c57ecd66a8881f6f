"""SavedModels that TensorFlow made, loaded and compared with TensorFlow.

TensorFlow runs in a venv of its own, where trimtab of this checkout is loaded too;
see `tensorflow_worker.py`. Truth is what TensorFlow gives for the same inputs, without
its oneDNN (with it, it differs from itself more than trimtab from it).
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimtab.fetch import fetch_package_file
from trimtab.formats.saved_model_handlers import HANDLERS
from trimtab.formats.saved_model_ops import _UNSAFE, CONVERTIBLE
from trimtab.formats.saved_model_proto import MESSAGES

from .venvs import TENSORFLOW, make_venv, run_python

pytestmark = pytest.mark.tensorflow

WORKER = Path(__file__).with_name("tensorflow_worker.py")
TOLERANCE = 1e-5  # of the largest value: float32 sums in another order
REFUSED = {
    "reads_file": ("UnsafeModelError", "'ReadFile'"),
    "reads_file_used": ("UnsafeModelError", "'ReadFile'"),
    "writes_file": ("UnsafeModelError", "'WriteFile'"),
    "lists_files": ("UnsafeModelError", "'MatchingFiles'"),
    "runs_python": ("UnsafeModelError", "'PyFunc'"),
    "reads_records": ("UnsafeModelError", "Dataset'"),
    "table_of_a_file": ("UnsafeModelError", "'InitializeTableFromTextFileV2'"),
    "prints_to_file": ("UnsupportedOpError", "PrintV2"),
    "decomposes": ("UnsupportedOpError", r"Svd \(in "),
    "takes_text": ("UnsupportedOpError", "StringLength"),
    "table": ("UnsupportedOpError", "converting signature 'serving_default'.*lookup"),
}
BASIC_PITCH = {
    "saved_model.pb": (
        "eaa25c91c431c91100c416a2c018663f4c635f28fa19529c4ff5e14c18aa29c9"
    ),
    "variables/variables.data-00000-of-00001": (
        "f5d12cd7245fecea0c956c963751f3519c263615ea954b5948d5e8c9c3376f9b"
    ),
    "variables/variables.index": (
        "356aa1a00095cf2dba17386144e8b289cb04195ae090aa7f324312b08220115e"
    ),
}


@pytest.fixture(scope="session")
def python() -> Path:
    """Python with TensorFlow."""
    return make_venv("tensorflow-2.21.0", TENSORFLOW)


@pytest.fixture(scope="session")
def models(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the models of the worker, made once."""
    folder = tmp_path_factory.mktemp("saved_models")
    run_python(python, WORKER, "make", folder)
    return folder


@pytest.fixture(scope="session")
def facts(python: Path) -> dict[str, Any]:
    """What TensorFlow says of its messages and operators."""
    return json.loads(run_python(python, WORKER, "facts").splitlines()[-1])


def work(python: Path, *arguments: str | Path) -> dict[str, Any]:
    """The worker's answer."""
    lines = run_python(python, WORKER, *arguments).splitlines()
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer


def check(answer: dict[str, Any], tolerance: float = TOLERANCE) -> None:
    assert "error" not in answer, answer
    assert answer["n_fallbacks"] == 0
    assert answer["differences"]
    assert max(answer["differences"].values()) <= tolerance, answer


# ---- models ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "inputs", "outputs"),
    [
        ("keras3_image", ["picture: float32[?,20,24,3]"], ["output_0: float32[?,5]"]),
        ("keras3_sequence", ["words: int32[?,?]"], ["output_0: float32[?,3]"]),
        (
            "keras2_two_inputs",
            ["ant: float32[?,8,8,1]", "zebra: float32[?,4]"],
            ["dense_1: float32[?,7]", "dense_2: float32[?,2]"],
        ),
        (
            "control_flow",
            ["n: int32[]", "x: float32[?,3]"],
            ["y: float32[?,3]"],
        ),
        ("wide", ["x: float32[?,40]"], ["y: float32[?,50]"]),
    ],
)
def test_a_model_gives_what_tensorflow_gives(
    python: Path, models: Path, name: str, inputs: list[str], outputs: list[str]
) -> None:
    answer = work(python, "load", models, name)
    check(answer)
    assert (answer["inputs"], answer["outputs"]) == (inputs, outputs)


@pytest.mark.parametrize(
    ("signature", "inputs", "outputs"),
    [
        (
            "score",
            ["a: float32[?,3]", "z: float32[?,4]"],
            ["alpha: float32[?,3]", "same: float32[?,4]", "sum: float32[?,3]"],
        ),
        ("count", ["n: int64[?,?]"], ["total: int64[?]"]),
    ],
)
def test_a_signature_can_be_chosen(
    python: Path, models: Path, signature: str, inputs: list[str], outputs: list[str]
) -> None:
    answer = work(python, "load", models, "two_signatures", signature)
    check(answer)
    assert (answer["inputs"], answer["outputs"]) == (inputs, outputs)


def test_awkward_inputs_and_outputs_keep_names_and_order(
    python: Path, models: Path
) -> None:
    answer = work(python, "load", models, "awkward")
    check(answer)
    names = [spec.split(":")[0] for spec in answer["outputs"]]
    first = ["again", "and_again", "constant", "input", "mask_out"]
    assert names == first + [f"output_{i}" for i in range(12)]
    names = [spec.split(":")[0] for spec in answer["inputs"]]
    assert names == ["mask", "scalar", "unused", "x"]


def test_elementary_functions_are_near_float64(python: Path, models: Path) -> None:
    answer = work(python, "load", models, "elementary")
    check(answer, tolerance=1e-6)
    assert len(answer["differences"]) == 8


def test_large_models_keep_their_weights_in_a_file_of_their_own(
    python: Path, models: Path
) -> None:
    answer = work(python, "load_as_large", models, "wide")
    assert answer["weights_bytes"] == 4 * (40 * 60 + 60 * 50 * 2)
    assert max(answer["differences"].values()) <= TOLERANCE


@pytest.fixture(scope="session")
def basic_pitch(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Notes of audio: a SavedModel of Keras 2, out of a package."""
    folder = tmp_path_factory.mktemp("basic_pitch")
    for name, sha256 in BASIC_PITCH.items():
        inside = f"basic_pitch/saved_models/icassp_2022/nmp/{name}"
        path = folder / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(fetch_package_file("basic-pitch", "0.4.0", inside, sha256), path)
    run_python(python, WORKER, "record_audio", folder, TF_USE_LEGACY_KERAS="1")
    return folder


def test_basic_pitch_hears_the_note(python: Path, basic_pitch: Path) -> None:
    answer = work(python, "load_audio", basic_pitch)
    assert answer["inputs"] == ["input_2: float32[?,43844,1]"]
    assert [x.split(":")[0] for x in answer["outputs"]] == ["contour", "note", "onset"]
    assert answer["midi"] == 69
    assert max(answer["noise"].values()) <= TOLERANCE
    # The logarithm of near silence: TensorFlow itself gives other values with its
    # oneDNN, and trimtab is nearer to TensorFlow without it.
    for name, difference in answer["sine"].items():
        assert difference <= max(TOLERANCE, answer["tensorflow"][name]), name


# ---- refused -----------------------------------------------------------------


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_is_refused_by_what_is_in_it(
    python: Path, models: Path, name: str
) -> None:
    kind, text = REFUSED[name]
    answer = work(python, "load", models, name)
    assert answer["error"] == kind, answer
    assert re.search(text, answer["text"]), answer


@pytest.mark.parametrize("damage", ["shorter", "garbage", "gone", "index"])
def test_damaged_weights_are_one_error(
    python: Path, models: Path, tmp_path: Path, damage: str
) -> None:
    shutil.copytree(models / "wide", tmp_path / "wide")
    variables = tmp_path / "wide" / "model" / "variables"
    data = variables / "variables.data-00000-of-00001"
    if damage == "shorter":
        data.write_bytes(data.read_bytes()[:100])
    elif damage == "garbage":
        data.write_bytes(b"\xff" * len(data.read_bytes()))
    elif damage == "gone":
        data.unlink()
    else:
        (variables / "variables.index").write_bytes(b"\x00" * 64)
    answer = work(python, "load", tmp_path, "wide")
    assert answer["error"] == "ModelFormatError", answer
    assert "freezing signature 'serving_default' failed" in answer["text"]


# ---- our tables against TensorFlow's -----------------------------------------


def test_messages_are_numbered_as_tensorflow_numbers_them(facts) -> None:
    """Ours write a map as its entries: <Field>Entry there, a name of ours here."""
    theirs: dict[str, list[dict[str, int]]] = {}
    for message, numbers in facts["messages"]:
        theirs.setdefault(message, []).append(numbers)
    entries = {"key": 1, "value": 2}
    for message, fields in MESSAGES.items():
        if message.endswith("Entry"):
            assert all(entries[name] == number for number, name, _ in fields)
            continue
        ours = {name: number for number, name, _ in fields}
        # There are two messages ListValue.
        assert any(ours.items() <= those.items() for those in theirs[message]), message


def test_what_may_run_is_known_to_tensorflow(facts) -> None:
    assert sorted(CONVERTIBLE - facts["operators"].keys()) == []


def test_what_tf2onnx_translates_may_run_or_is_unsafe(facts) -> None:
    handled = {op for op in facts["handled"] if not op.startswith("TFL_")}
    left = handled & facts["operators"].keys() - CONVERTIBLE
    queues = {op for op in left if "Queue" in op}
    assert {op for op in left if not _UNSAFE.fullmatch(op)} - queues == {"CudnnRNN"}


def test_what_we_translate_is_not_translated_by_tf2onnx(facts) -> None:
    assert not HANDLERS.keys() & set(facts["handled"])
    assert HANDLERS.keys() <= CONVERTIBLE


def test_operators_that_take_a_path_are_unsafe(facts) -> None:
    takes_path = re.compile("file|path|url|address|directory")
    harmless = {"CTCBeamSearchDecoder", "Skipgram"}  # "merge_repeated", "filename"
    for op, arguments in facts["operators"].items():
        if any(takes_path.search(name) for name in arguments):
            assert op not in CONVERTIBLE, op
            assert _UNSAFE.fullmatch(op) or op in harmless or "Summary" in op, op


def test_the_tolerance_would_notice(python: Path, models: Path) -> None:
    """A weight changed by a thousandth is seen."""
    recorded = models / "wide" / "serving_default.npz"
    kept = recorded.read_bytes()
    arrays = dict(np.load(recorded))
    arrays["in x"] = arrays["in x"] * np.float32(1.001)
    np.savez(recorded, **arrays)
    try:
        answer = work(python, "load", models, "wide")
    finally:
        recorded.write_bytes(kept)
    assert answer["differences"]["y"] > TOLERANCE
