"""References of live objects: what a framework gives is stored, and met.

Each test takes the pair out of the artefact and compares it, to the bit, with what
the framework gives outside of trimtab.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trimtab
from trimtab import golden
from trimtab.formats.native import Artefact
from trimtab.formats.tensor_file import TensorFile
from trimtab.limits import Limits

from .conftest import serialize

RNG = np.random.default_rng(17)
PLAIN = "trimtab without optimisations"


def real(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def stored(path: Path) -> tuple[str, list[golden.Pair]]:
    """Who computed the pairs of an artefact that loads, and the pairs."""
    verification = trimtab.load_model(path).verification
    assert verification is not None
    artefact = Artefact(TensorFile(str(path), Limits()), Limits())
    pairs = [read() for read in golden.read_pairs(artefact)[0]]
    return verification.reference, pairs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.safetensors"


# ---- torch -------------------------------------------------------------------------


def two_inputs(torch: Any) -> Any:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = torch.nn.Linear(4, 3)
            self.drop = torch.nn.Dropout(0.5)

        def forward(self, x: Any, *, factors: Any) -> Any:
            y = self.drop(torch.tanh(self.body(x)))
            return {"scaled": y * factors["by"], "sum": y.sum(-1)}

    return Net()


def expected_of_torch(torch: Any, net: Any, x: Any, by: Any) -> list[Any]:
    net.eval()
    with torch.no_grad():
        found = net(torch.from_numpy(x), factors={"by": torch.from_numpy(by)})
    return [found["scaled"].numpy(), found["sum"].numpy()]


def test_a_torch_module_in_training_mode_with_named_and_nested_inputs(
    path: Path,
) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    net, x, by = two_inputs(torch).train(), real(5, 4), real(5, 3)
    example = {"x": real(2, 4), "factors": {"by": real(2, 3)}}
    model = trimtab.load_model(net, example_inputs=example)
    model.save(path, golden=(x, by))
    assert net.training
    assert net.drop.training
    reference, (pair,) = stored(path)
    assert reference == f"torch {torch.__version__}"
    want = expected_of_torch(torch, net, x, by)
    for array, y in zip(pair.outputs.values(), want, strict=True):
        assert array.tobytes() == y.tobytes()


def test_an_exported_program_with_named_and_nested_inputs(path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    net, x, by = two_inputs(torch).eval(), real(2, 4), real(2, 3)
    program = torch.export.export(
        net,
        (torch.from_numpy(real(2, 4)),),
        {"factors": {"by": torch.from_numpy(real(2, 3))}},
    )
    trimtab.load_model(program).save(path, golden=(x, by))
    reference, (pair,) = stored(path)
    assert reference == f"torch {torch.__version__}"
    want = expected_of_torch(torch, net, x, by)
    for array, y in zip(pair.outputs.values(), want, strict=True):
        assert array.tobytes() == y.tobytes()


# ---- Keras -------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_a_keras_model(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip("torch")
    keras = pytest.importorskip("keras")
    a, b = keras.Input((6,), name="a"), keras.Input((4,), name="b")
    hidden = keras.layers.Dense(5, activation="gelu")(a)
    joined = keras.layers.Concatenate()([hidden, keras.layers.Dropout(0.5)(b)])
    outputs = [keras.layers.Dense(3, activation="softmax")(joined), hidden]
    net = keras.Model([a, b], outputs)
    x = (real(3, 6), real(3, 4))
    trimtab.load_model(net).save(path, golden=[x])
    reference, (pair,) = stored(path)
    assert reference == f"keras {keras.__version__}"
    want = [keras.ops.convert_to_numpy(y) for y in net([*x])]
    for array, y in zip(pair.outputs.values(), want, strict=True):
        assert array.tobytes() == y.tobytes()


# ---- scikit-learn ------------------------------------------------------------------


def test_a_classifier_gives_labels_and_probabilities(path: Path) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    sklearn = pytest.importorskip("sklearn")
    pytest.importorskip("skl2onnx")
    x = real(60, 5)
    words = np.array(["cat", "dog", "owl"])[np.argmax(x[:, :3], axis=1)]
    estimator = linear.LogisticRegression().fit(x, words)
    trimtab.load_model(estimator).save(path, golden=x)
    reference, (pair,) = stored(path)
    assert reference == f"scikit-learn {sklearn.__version__}"
    assert set(pair.outputs) == {"label", "probabilities"}
    names = np.asarray(trimtab.load_model(path).class_names)
    assert (names[pair.outputs["label"]] == estimator.predict(x)).all()
    want = estimator.predict_proba(x).astype(np.float32)
    assert pair.outputs["probabilities"].tobytes() == want.tobytes()


@pytest.mark.parametrize("kind", ["forest", "scaler"])
def test_a_regressor_and_a_transformer_give_their_variable(
    path: Path, kind: str
) -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    pytest.importorskip("skl2onnx")
    x = real(60, 5)
    if kind == "forest":
        forest = ensemble.RandomForestRegressor(4, random_state=0)
        estimator = forest.fit(x, x.sum(axis=1))
        want = estimator.predict(x)
    else:
        estimator = preprocessing.StandardScaler().fit(x)
        want = estimator.transform(x)
    trimtab.load_model(estimator).save(path, golden=x)
    reference, (pair,) = stored(path)
    assert reference.startswith("scikit-learn ")
    found = pair.outputs["variable"]
    assert found.ravel().tobytes() == want.astype(np.float32).tobytes()


# ---- none --------------------------------------------------------------------------


def test_a_rewritten_model_is_not_compared_with_its_source(path: Path) -> None:
    """Its graph is another one: the source's outputs are not what it must give."""
    from onnx import TensorProto, helper

    content = serialize(
        [helper.make_node("Tanh", ["x"], ["y"])],
        [("x", TensorProto.FLOAT, ("n", 3))],
        ["y"],
    )

    def as_sin(graph: Any) -> Any:
        graph.graph.nodes[0].op_type = "Sin"
        return graph

    model = trimtab.load_model(content).rewritten(as_sin)
    assert model is not None
    x = real(2, 3)
    model.save(path, golden=x)
    reference, (pair,) = stored(path)
    assert reference == PLAIN
    np.testing.assert_allclose(pair.outputs["y"], np.sin(x), rtol=1e-6)


@pytest.mark.parametrize("kind", [ImportError, trimtab.UnsupportedOpError])
def test_a_framework_that_turns_out_unable_is_no_reference(
    path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    from onnx import TensorProto, helper

    from trimtab.reference import Reference

    def fail(calls: Any) -> Any:
        raise kind("it lacks an operator")

    unable = Reference("unable 1.0", fail)
    monkeypatch.setattr("trimtab.artefact.find_reference", lambda *given: unable)
    content = serialize(
        [helper.make_node("Tanh", ["x"], ["y"])],
        [("x", TensorProto.FLOAT, ("n", 3))],
        ["y"],
    )
    trimtab.load_model(content).save(path, golden=real(2, 3))
    assert stored(path)[0] == PLAIN
