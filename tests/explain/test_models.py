"""Explanations of models that run in the engine: pictures, tokens, tables."""

from __future__ import annotations

import json

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import trimtab
from trimtab.cli import main
from trimtab.errors import InputError
from trimtab.explain import Explanation, explain_model

RNG = np.random.default_rng(1)


def model_of(nodes, inputs, constants, output="y"):
    """A model of the engine out of nodes."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, t, s) for n, t, s in inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(v, n) for n, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", 23)]
    return trimtab.load_model(
        helper.make_model(graph, opset_imports=opsets, ir_version=10)
    )


@pytest.fixture(scope="module")
def corner():
    """Answers by the brightness of the upper left quarter, and of the whole."""
    weights = np.zeros((3, 32, 32), np.float32)
    weights[:, :16, :16] = 1 / 768
    whole = np.full_like(weights, 1 / 3072)
    table = np.stack([weights.ravel(), whole.ravel()], axis=1)
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    inputs = [("x", TensorProto.FLOAT, ["n", 3, 32, 32])]
    return model_of(nodes, inputs, {"w": table})


@pytest.mark.parametrize("method", ["occlusion", "kernel_shap", "integrated_gradients"])
def test_a_picture_is_explained_by_the_quarter_that_counts(corner, method) -> None:
    x = RNG.uniform(0.5, 1, (1, 3, 32, 32)).astype(np.float32)
    found = explain_model(
        corner, x, method=method, target=0, n_parts=4, background=0.0, progress=False
    )
    assert found.kind == "image"
    assert found.grid == (4, 4)
    heat = found.attribution[0]
    assert heat.shape == (32, 32)
    assert np.abs(heat[16:]).max() < 1e-6
    assert heat[:16, :16].min() > 0
    np.testing.assert_allclose(found.values.sum(), corner(x)[0, 0], rtol=1e-5)


def test_a_pipeline_is_explained_in_its_own_pixels(corner) -> None:
    dark = trimtab.deploy_model(
        corner,
        preprocess_input=lambda image: (
            np.transpose(image, (2, 0, 1))[None].astype(np.float32) / 255
        ),
    )
    image = RNG.integers(100, 255, (32, 32, 3)).astype(np.uint8)
    found = explain_model(dark, image, target=0, background=0, progress=False)
    heat = found.attribution[..., 0]
    assert heat.shape == (32, 32)
    # 7 parts a side do not fall on the middle: its row of parts counts half
    assert np.abs(heat[19:]).max() < 1e-6
    assert heat[:13, :13].min() > 0


def transformer(op: str):
    """Two layers of attention over embedded tokens, with or without the operator."""
    constants = {
        "table": RNG.normal(size=(20, 8)).astype(np.float32),
        "split": np.array([0, 0, 2, 4], np.int64),
        "join": np.array([0, 0, -1], np.int64),
        "scale": np.float32(0.5),
        "axis": np.array([1], np.int64),
    }
    nodes = [helper.make_node("Gather", ["table", "ids"], ["h0"])]
    for i in range(2):
        before, names = f"h{i}", []
        for part in "qkv":
            constants[f"{part}{i}"] = RNG.normal(size=(8, 8)).astype(np.float32)
            nodes += [
                helper.make_node("MatMul", [before, f"{part}{i}"], [f"m{part}{i}"]),
                helper.make_node("Reshape", [f"m{part}{i}", "split"], [f"r{part}{i}"]),
                helper.make_node(
                    "Transpose",
                    [f"r{part}{i}"],
                    [f"t{part}{i}"],
                    perm=[0, 2, 3, 1]
                    if part == "k" and op == "Softmax"
                    else [0, 2, 1, 3],
                ),
            ]
            names.append(f"t{part}{i}")
        if op == "Attention":
            nodes.append(helper.make_node("Attention", names, [f"a{i}"]))
        else:
            nodes += [
                helper.make_node("MatMul", names[:2], [f"s{i}"]),
                helper.make_node("Mul", [f"s{i}", "scale"], [f"z{i}"]),
                helper.make_node("Softmax", [f"z{i}"], [f"p{i}"], axis=-1),
                helper.make_node("MatMul", [f"p{i}", names[2]], [f"a{i}"]),
            ]
        nodes += [
            helper.make_node("Transpose", [f"a{i}"], [f"b{i}"], perm=[0, 2, 1, 3]),
            helper.make_node("Reshape", [f"b{i}", "join"], [f"c{i}"]),
            helper.make_node("Add", [f"c{i}", before], [f"h{i + 1}"]),
        ]
    nodes.append(helper.make_node("ReduceMean", ["h2", "axis"], ["y"], keepdims=0))
    return model_of(nodes, [("ids", TensorProto.INT64, ["n", "t"])], constants)


def rolled_out(model, ids, n: int = 6):
    """By the definition, from the engine's own queries and keys."""
    total = np.eye(n)
    names = [f"t{part}{i}" for i in range(2) for part in "qk"]
    seen = model.taps.run({"ids": ids}, names)
    for i in range(2):
        query, key = seen[f"tq{i}"], seen[f"tk{i}"]
        key = key if key.shape[2] != n or key.shape[3] == n else key.swapaxes(2, 3)
        if key.shape[2] == n and key.shape[3] != n:
            key = key.swapaxes(2, 3)
        scores = query @ key / 2
        e = np.exp(scores - scores.max(axis=-1, keepdims=True))
        layer = (e / e.sum(axis=-1, keepdims=True))[0].mean(axis=0)
        total = (0.5 * layer + 0.5 * np.eye(n)) @ total
    return total


@pytest.mark.parametrize("op", ["Attention", "Softmax"])
def test_rollout_is_what_its_paper_says(op: str) -> None:
    model, ids = transformer(op), np.array([[3, 5, 7, 9, 11, 13]])
    truth = rolled_out(model, ids)
    found = explain_model(model, ids, method="attention_rollout", progress=False)
    np.testing.assert_allclose(found.values, truth.mean(axis=0), rtol=1e-4)
    one = explain_model(
        model, ids, method="attention_rollout", target=2, names=list("abcdef")
    )
    np.testing.assert_allclose(one.values, truth[2], rtol=1e-4)
    assert one.names == tuple("abcdef")
    assert np.isclose(one.values.sum(), 1)


def test_tokens_are_left_out_one_by_one() -> None:
    model, ids = transformer("Attention"), np.array([[3, 5, 7, 9, 11, 13]])
    found = explain_model(model, ids, target=1, progress=False)
    assert (found.method, found.kind) == ("occlusion", "tokens")
    truth = []
    for i in range(6):
        without = ids.copy()
        without[0, i] = 0
        truth.append((model(ids) - model(without))[0, 1])
    np.testing.assert_allclose(found.values, truth, atol=1e-6)
    with pytest.raises(InputError, match="blended"):
        explain_model(model, ids, target=1, method="integrated_gradients")


def test_left_out_tokens_are_hidden_by_the_mask() -> None:
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["m", "last"], ["m1"]),
        helper.make_node("Mul", ["rows", "m1"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "axis"], ["y"], keepdims=0),
    ]
    table = RNG.normal(size=(20, 3)).astype(np.float32)
    constants = {
        "table": table,
        "axis": np.array([1], np.int64),
        "last": np.array([-1], np.int64),
    }
    inputs = [("ids", TensorProto.INT64, ["n", "t"])]
    inputs.append(("attention_mask", TensorProto.INT64, ["n", "t"]))
    model = model_of(nodes, inputs, constants)
    ids = np.array([[3, 5, 7, 9]])
    x = {"ids": ids, "attention_mask": np.array([[1, 1, 1, 0]])}
    found = explain_model(model, x, target=2, progress=False)
    truth = [*table[ids[0, :3], 2], 0.0]  # id 0 has a row too, but is not read
    np.testing.assert_allclose(found.values, truth, atol=1e-6)
    assert any("hidden in attention_mask" in note for note in found.notes)
    given = explain_model(model, x, target=2, background=0, progress=False)
    truth = table[ids[0], 2] - table[0, 2]
    np.testing.assert_allclose(given.values[:3], truth[:3], atol=1e-6)


@pytest.mark.parametrize("is_served", ["model", "deployment"])
def test_integrated_gradients_are_those_of_autograd(is_served: str) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(4),
        torch.nn.Flatten(),
        torch.nn.Linear(8 * 64, 5),
        torch.nn.Softmax(dim=1),
    ).eval()
    x = torch.rand(1, 3, 32, 32)
    n = 144
    shares = (torch.arange(n) + 0.5) / n
    path = (shares[:, None, None, None] * x).requires_grad_()
    module(path)[:, 3].sum().backward()
    truth = (path.grad.mean(dim=0) * x[0]).numpy()
    truth = truth.reshape(3, 8, 4, 8, 4).sum(axis=(0, 2, 4))
    model = trimtab.load_model(module, example_inputs=(x,))
    if is_served == "deployment":
        model = trimtab.deploy_model(model)
    found = explain_model(
        model,
        x.numpy(),
        method="integrated_gradients",
        target=3,
        n_parts=8,
        background=0,
        progress=False,
    )
    assert any(note.startswith("gradients at") for note in found.notes)
    np.testing.assert_allclose(
        found.values.reshape(8, 8), truth, atol=0.02 * np.abs(truth).max()
    )
    assert abs(found.gap) < 0.01 * abs(found.prediction - found.base) + 1e-5


def test_what_has_no_gradients_is_explained_by_differences(corner) -> None:
    x = np.ones((3, 32, 32), np.float32)
    options = {"method": "integrated_gradients", "background": 0, "progress": False}
    exact = explain_model(corner, x, target=0, **options)
    assert exact.notes[-1] == "gradients at 16 steps"
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Flatten", ["d"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    weights = np.zeros((3, 32, 32, 1), np.float32)
    weights[:, :16, :16] = 1 / 768
    constants = {
        "w": weights.reshape(-1, 1),
        "s": np.float32(1 / 255),
        "z": np.uint8(0),
    }
    model = model_of(nodes, [("x", TensorProto.FLOAT, ["n", 3, 32, 32])], constants)
    found = explain_model(model, x, target=0, **options)
    assert any("QuantizeLinear" in note for note in found.notes)
    np.testing.assert_allclose(found.values, exact.values, atol=0.01)


def test_a_model_without_attention_says_so(corner) -> None:
    with pytest.raises(InputError, match="no Attention"):
        explain_model(
            corner, np.zeros((3, 32, 32), np.float32), method="attention_rollout"
        )


def test_one_of_several_inputs_is_divided() -> None:
    nodes = [
        helper.make_node("Mul", ["a", "b"], ["m"]),
        helper.make_node("ReduceSum", ["m", "axis"], ["y"], keepdims=0),
    ]
    model = model_of(
        nodes,
        [("a", TensorProto.FLOAT, ["n", 4]), ("b", TensorProto.FLOAT, ["n", 4])],
        {"axis": np.array([1], np.int64)},
    )
    a, b = np.array([1, 2, 3, 4], np.float32), np.array([1, 0, 1, 0], np.float32)
    found = explain_model(model, {"a": a, "b": b}, progress=False)
    np.testing.assert_allclose(found.values, a * b, atol=1e-6)
    assert "'a' is divided" in found.notes[0]
    found = explain_model(model, (a, b), input="b", progress=False)
    np.testing.assert_allclose(found.values, a * b, atol=1e-6)
    with pytest.raises(InputError, match="input"):
        explain_model(model, {"a": a, "b": b}, input="c")


def test_texts_are_explained_word_by_word() -> None:
    good = {"fine": 2.0, "not": -3.0}

    def answer(texts):
        return np.array([sum(good.get(w, 0) for w in t.split()) for t in texts])

    found = explain_model(answer, "it is not fine", method="occlusion", progress=False)
    assert dict(zip(found.names, found.values, strict=True)) == {
        "it": 0,
        "is": 0,
        "not": -3,
        "fine": 2,
    }


@pytest.mark.parametrize("kind", ["linear", "trees"])
def test_shap_agrees(kind: str) -> None:
    """Its explainers for linear models and trees, on models out of scikit-learn."""
    shap = pytest.importorskip("shap")
    sklearn = pytest.importorskip("sklearn")
    from sklearn.datasets import load_diabetes
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import LinearRegression

    assert sklearn
    x, y = load_diabetes(return_X_y=True)
    # on a grid, so that no value falls on a threshold that is kept in float32
    x = np.round(x, 2)
    rows = x[:20]
    if kind == "linear":
        fitted = LinearRegression().fit(x, y)
        truth = shap.LinearExplainer(fitted, rows).shap_values(x[40:41])[0]
    else:
        fitted = RandomForestRegressor(5, max_depth=4, random_state=0).fit(x, y)
        explainer = shap.TreeExplainer(
            fitted, rows, feature_perturbation="interventional"
        )
        truth = explainer.shap_values(x[40:41])[0]
    found = explain_model(
        fitted.predict, x[40], background=rows, method="kernel_shap", progress=False
    )
    np.testing.assert_allclose(found.values, truth, atol=1e-4 * np.abs(truth).max())


def test_importances_are_those_of_scikit_learn() -> None:
    pytest.importorskip("sklearn")
    from sklearn.datasets import load_iris
    from sklearn.inspection import permutation_importance
    from sklearn.linear_model import LogisticRegression

    x, y = load_iris(return_X_y=True)
    fitted = LogisticRegression(max_iter=1000).fit(x, y)
    theirs = permutation_importance(fitted, x, y, n_repeats=50, random_state=0)
    found = explain_model(fitted, x, y, n_repeats=50, progress=False)
    assert found.method == "permutation_importance"
    assert found.std is not None
    np.testing.assert_allclose(found.values, theirs.importances_mean, atol=0.02)
    np.testing.assert_allclose(found.std, theirs.importances_std, atol=0.02)


def found_of(kind: str) -> Explanation:
    """One of each kind, without a model."""
    values = RNG.normal(size=9)
    shapes = {"image": (3, 30, 30), "audio": (900,), "vector": (9,), "tokens": (9,)}
    labels = grid = x = None
    if kind in shapes:
        from trimtab.explain.parts import make_parts

        x = RNG.normal(size=shapes[kind])
        parts = make_parts(x, kind, n_parts=3 if kind == "image" else 9)
        labels, grid = parts.labels, parts.grid
    return Explanation(
        "occlusion",
        "asked for",
        kind,
        values,
        tuple(f"<b>{i}" for i in range(9)),
        "m",
        (1,),
        "cat",
        1.0,
        0.0,
        x=x,
        labels=labels,
        grid=grid,
        notes=("a note",),
    )


@pytest.mark.parametrize("kind", ["image", "audio", "vector", "tokens", "text"])
def test_it_is_written_as_page_picture_and_numbers(kind: str, tmp_path) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    found = found_of(kind)
    for suffix in ("html", "json", "png"):
        found.save(tmp_path / f"e.{suffix}")
    page = (tmp_path / "e.html").read_text()
    assert "<b>0" not in page
    assert "a note" in page
    assert len(page) < 200_000
    plain = json.loads((tmp_path / "e.json").read_text())
    assert plain["values"] == found.values.tolist()
    assert "cat" in repr(found)
    assert "<script" not in found._repr_html_()
    with pytest.raises(InputError, match="expected"):
        found.save(tmp_path / "e.txt")


def test_the_command_explains(corner, tmp_path, capsys) -> None:
    path, data = tmp_path / "m.safetensors", tmp_path / "x.npz"
    corner.save(path)
    np.savez(data, x=np.ones((1, 3, 32, 32), np.float32))
    report = tmp_path / "r.html"
    words = ["explain", str(path), "--data", str(data), "--target", "0", "--json"]
    assert main([*words, "--report", str(report)]) == 0
    assert json.loads(capsys.readouterr().out)["method"] == "occlusion"
    assert report.stat().st_size > 1000
    assert main([*words, "--target", "9"]) == 1
