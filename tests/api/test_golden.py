"""Golden pairs: made by the framework, replayed at each load, and what a miss says."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

import trimtab
from trimtab import _core, blame, golden
from trimtab.formats.native import Artefact
from trimtab.formats.tensor_file import TensorFile, write_file, write_tensors
from trimtab.limits import Limits
from trimtab.load import load_source
from trimtab.source import Source

from .conftest import serialize

RNG = np.random.default_rng(11)
N = 5


def stack(depth: int = 6, width: int = 16) -> bytes:
    """Depth layers of MatMul, Add, Tanh with the names m0, a0, t0, m1, ..."""
    nodes, constants, last = [], {}, "x"
    for i in range(depth):
        w = RNG.standard_normal((width, width)) / np.sqrt(width)
        constants[f"w{i}"] = w.astype(np.float32)
        constants[f"b{i}"] = RNG.standard_normal(width).astype(np.float32)
        nodes += [
            helper.make_node("MatMul", [last, f"w{i}"], [f"m{i}"], name=f"mul{i}"),
            helper.make_node("Add", [f"m{i}", f"b{i}"], [f"a{i}"], name=f"add{i}"),
            helper.make_node("Tanh", [f"a{i}"], [f"t{i}"], name=f"tanh{i}"),
        ]
        last = f"t{i}"
    inputs = [("x", TensorProto.FLOAT, ("n", width))]
    return serialize(nodes, inputs, [last], constants)


@pytest.fixture(scope="module")
def content() -> bytes:
    return stack()


@pytest.fixture
def x() -> np.ndarray:
    return RNG.standard_normal((N, 16)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.safetensors"


def flip(path: Path, tensor: str) -> None:
    """Change one weight of a tensor in the file."""
    data = bytearray(path.read_bytes())
    place = TensorFile(bytes(data), Limits()).tensors[tensor]
    data[place.offset + 7] ^= 0x41  # exponent of the second element
    path.write_bytes(data)


# ---- making them -------------------------------------------------------------------


def test_outputs_come_from_onnxruntime_and_are_replayed(
    content: bytes, path: Path, x: np.ndarray
) -> None:
    import onnxruntime

    trimtab.load_model(content).save(path, golden=[x, {"x": x[:1]}, (x * 2,)])
    model = trimtab.load_model(path)
    assert model.verification is not None
    assert model.verification.n_pairs == 3
    assert model.verification.n_replayed >= 1
    assert model.verification.reference == f"onnxruntime {onnxruntime.__version__}"
    assert model.verification.difference < 1e-5
    want = onnxruntime.InferenceSession(content).run(None, {"x": x})[0]
    artefact = Artefact(TensorFile(str(path), Limits()), Limits())
    pair = golden.read_pairs(artefact)[0][0]()
    assert pair.outputs["t5"].tobytes() == want.tobytes()


def test_random_inputs_fit_the_signature(content: bytes, path: Path) -> None:
    trimtab.load_model(content).save(path, golden="random")
    verification = trimtab.load_model(path).verification
    assert verification is not None
    assert verification.n_pairs == 2


def test_outputs_may_be_given(content: bytes, path: Path, x: np.ndarray) -> None:
    model = trimtab.load_model(content)
    y = model(x)
    model.save(path, golden=(x, {"t5": y.tolist()}))
    verification = trimtab.load_model(path).verification
    assert verification is not None
    assert verification.reference == "the caller"
    assert verification.difference == 0
    with pytest.raises(trimtab.GoldenMismatch, match=r"differs by .* tolerance="):
        model.save(path, golden=(x, {"t5": y + 0.01}))
    model.save(path, golden=(x, {"t5": y + 0.01}), tolerance={"float32": 0.1})
    verification = trimtab.load_model(path).verification
    assert verification is not None
    assert 0.005 < verification.difference < 0.1


def test_without_a_framework_the_plain_plan_is_the_reference(
    content: bytes, path: Path, x: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.reference.REFERENCES", {})
    trimtab.load_model(content).save(path, golden=x)
    verification = trimtab.load_model(path).verification
    assert verification is not None
    assert verification.reference == "trimtab without optimisations"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("all", "expected 'random'"),
        ([], "empty list"),
        (np.zeros((2, 3), np.float32), "expected 16 on axis 1"),
        ({"z": np.zeros((2, 16))}, "no input 'z'"),
        ((1, 2, 3), "the model has 1 inputs"),
        ((np.zeros((2, 16)), {"q": 1}), "no output 'q'"),
    ],
)
def test_pairs_that_do_not_fit_are_refused(
    content: bytes, path: Path, given: Any, text: str
) -> None:
    with pytest.raises(trimtab.InputError, match=text):
        trimtab.load_model(content).save(path, golden=given)
    assert not path.exists()


def test_pairs_stay_when_an_artefact_is_saved_again(
    content: bytes, path: Path, x: np.ndarray
) -> None:
    trimtab.load_model(content).save(path, golden=[x, x * 2])
    trimtab.load_model(path).save(path, class_names=["a"])
    verification = trimtab.load_model(path).verification
    assert verification is not None
    assert verification.n_pairs == 2
    flip(path, "w3")
    with pytest.raises(trimtab.GoldenMismatch, match="'w3'"):
        trimtab.load_model(path)


def test_integers_must_be_equal(path: Path, x: np.ndarray) -> None:
    content = serialize(
        [helper.make_node("ArgMax", ["x"], ["y"], axis=-1, keepdims=0)],
        [("x", TensorProto.FLOAT, ("n", 16))],
        ["y"],
    )
    model = trimtab.load_model(content)
    model.save(path, golden=x)
    assert trimtab.load_model(path).verification is not None
    wrong = model(x)
    wrong[0] += 2
    with pytest.raises(trimtab.GoldenMismatch, match=r"differs by 2 .* most 0 is"):
        model.save(path, golden=(x, {"y": wrong}))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64"])
def test_integers_may_be_a_number_apart_if_that_is_said(path: Path, dtype: str) -> None:
    """At the ends of their type, where a difference does not fit it."""
    kind = getattr(TensorProto, dtype.upper())
    content = serialize(
        [helper.make_node("Identity", ["x"], ["y"])], [("x", kind, ("n",))], ["y"]
    )
    model, ends = trimtab.load_model(content), np.iinfo(dtype)
    x = np.array([ends.min, 1, ends.max], dtype)
    near, far = x.copy(), x.copy()
    near[1] += 2
    far[2] = ends.min
    model.save(path, golden=(x, {"y": near}), tolerance={dtype: 2})
    verification = trimtab.load_model(path).verification
    assert verification is not None
    assert verification.difference == pytest.approx(2 / max(ends.max, -ends.min))
    for wrong, allowed in ((near, 1), (far, 3)):
        amount = abs(int(wrong[1]) - 1) or int(ends.max) - int(ends.min)
        with pytest.raises(trimtab.GoldenMismatch, match=f"differs by {amount} from"):
            model.save(path, golden=(x, {"y": wrong}), tolerance={dtype: allowed})


# ---- replaying ---------------------------------------------------------------------


def test_one_pair_is_replayed_and_more_within_the_budget(
    content: bytes, path: Path, x: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    trimtab.load_model(content).save(path, golden=[x + i for i in range(4)])
    monkeypatch.setattr(golden, "BUDGET_S", 0.0)
    verification = trimtab.load_model(path, cache=False).verification
    assert verification is not None
    assert (verification.n_pairs, verification.n_replayed) == (4, 1)
    monkeypatch.setattr(golden, "BUDGET_S", 60.0)
    verification = trimtab.load_model(path, cache=False).verification
    assert verification is not None
    assert verification.n_replayed == 4


def test_plans_for_odd_shapes_do_not_stay(path: Path) -> None:
    """A pair with another sequence length than the calls to come."""
    content = serialize(
        [helper.make_node("Softmax", ["x"], ["y"], axis=-1)],
        [("x", TensorProto.FLOAT, ("n", "t"))],
        ["y"],
    )
    model = trimtab.load_model(content)
    model.save(path, golden=np.ones((3, 77), np.float32))
    loaded = trimtab.load_model(path)
    assert loaded.verification is not None
    assert loaded.stats["n_plans"] == 0
    fixed = serialize(
        [helper.make_node("Softmax", ["x"], ["y"], axis=-1)],
        [("x", TensorProto.FLOAT, ("n", 7))],
        ["y"],
    )
    trimtab.load_model(fixed).save(path, golden=np.ones((1, 7), np.float32))
    assert trimtab.load_model(path).stats["n_plans"] == 1


def test_verification_can_warn_or_be_off(
    content: bytes, path: Path, x: np.ndarray
) -> None:
    trimtab.load_model(content).save(path, golden=x)
    flip(path, "w2")
    with pytest.warns(trimtab.GoldenWarning, match="'w2' differs, which MatMul 'mul2'"):
        trimtab.load_model(path, verify="warn")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = trimtab.load_model(path, verify="off")
    assert model.verification is None
    for wrong in (True, "always", None):
        with pytest.raises(trimtab.InputError, match="expected one of"):
            trimtab.load_model(path, verify=wrong)  # type: ignore[arg-type]


# ---- whose fault -------------------------------------------------------------------


@pytest.mark.parametrize("tensor", ["w0", "b2", "w5"])
def test_a_changed_weight_is_named_with_its_first_reader(
    content: bytes, path: Path, x: np.ndarray, tensor: str
) -> None:
    trimtab.load_model(content).save(path, golden=x)
    flip(path, tensor)
    number = tensor[1]
    kind = "MatMul 'mul" if tensor[0] == "w" else "Add 'add"
    for source in (path, path.read_bytes()):
        with pytest.raises(trimtab.GoldenMismatch) as caught:
            trimtab.load_model(source)
        assert caught.value.cause == "content"
        assert caught.value.operator == f"{kind}{number}'"
        assert f"{tensor!r} differs" in str(caught.value)
    assert isinstance(caught.value, ValueError)


def edited(path: Path, edit: Any, *, honest: bool) -> None:
    """The artefact with another graph, with the digest of the old one or the new."""
    from trimtab.formats.native_write import text_digest

    file = TensorFile(path.read_bytes(), Limits())
    texts = dict(file.metadata)
    graph = json.loads(texts["trimtab.graph"])
    edit(graph)
    texts["trimtab.graph"] = json.dumps(graph)
    if honest:
        digests = json.loads(texts["trimtab.digests"])
        digests[""] = text_digest(texts["trimtab.graph"])
        texts["trimtab.digests"] = json.dumps(digests)
    tensors = [
        (name, place.dtype, place.shape, file.read(name))
        for name, place in file.tensors.items()
    ]
    write_file(str(path), write_tensors(texts, tensors))


def as_sigmoid(graph: Any) -> None:
    graph["graphs"][0]["nodes"][8]["op"] = "Sigmoid"


def test_a_changed_graph_is_noticed(content: bytes, path: Path, x: np.ndarray) -> None:
    trimtab.load_model(content).save(path, golden=x)
    edited(path, as_sigmoid, honest=False)
    with pytest.raises(trimtab.GoldenMismatch, match="graph in the file is not"):
        trimtab.load_model(path)


def test_an_engine_that_computes_something_else_is_located(
    content: bytes, path: Path, x: np.ndarray
) -> None:
    """As if the kernel of the third Tanh had a defect on this machine: the file is
    what was saved, and so are its digests."""
    trimtab.load_model(content).save(path, golden=x)
    edited(path, as_sigmoid, honest=True)
    with pytest.raises(trimtab.GoldenMismatch) as caught:
        trimtab.load_model(path)
    assert caught.value.cause == "engine"
    assert caught.value.tensor == "t2"
    assert caught.value.operator == "Sigmoid 'tanh2'"


def test_a_wrong_optimisation_is_told_from_wrong_weights(
    content: bytes, path: Path, x: np.ndarray
) -> None:
    """A pass with a defect: with it, everything behind the fourth layer is off."""
    trimtab.load_model(content).save(path, golden=x)
    bad_bit = _core.PASSES["fuse"][0]

    class Wrong:
        """The model as if the pass `fuse` broke the operator add3."""

        precision = "f32"

        def __init__(self, bits: int | None) -> None:
            options = trimtab.load_model(path, verify="off")._options
            self._right = load_source(Source.of(path), options)
            self.outputs = self._right.outputs
            self._is_bad = bits is None or bool(bits & bad_bit)
            self.taps = self

        def __iter__(self) -> Any:
            return iter(self._right.taps)

        def __contains__(self, name: object) -> bool:
            return name in self._right.taps

        def _bent(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            names = list(self._right.taps)
            bad = names[names.index("a3") :]
            return {
                k: v * np.float32(1.01) if self._is_bad and k in bad else v
                for k, v in arrays.items()
            }

        def trim(self) -> None:
            """Nothing to give back."""

        def run(self, inputs: Any, names: Any = None) -> dict[str, np.ndarray]:
            if names is None:
                return self._bent(self._right.run(inputs))
            return self._bent(self._right.taps.run(inputs, names))

    artefact = Artefact(TensorFile(str(path), Limits()), Limits())
    pair = golden.read_pairs(artefact)[0][0]()
    error = blame.explain_mismatch(artefact, pair, 0, "t5", 0.01, Wrong)  # type: ignore[arg-type]
    assert error.cause == "optimisation"
    assert error.operator == "Add 'add3'"
    assert error.tensor == "a3"
    assert "an optimisation is wrong, fuse (load without it: passes=)" in str(error)
