"""References: bins by quantiles, categories, what is stored, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper

import trimtab
from trimtab.errors import InputError, ModelFormatError
from trimtab.monitor.binning import MAX_EDGES, UNSEEN, choose_edges, encode
from trimtab.monitor.reference import Reference
from trimtab.monitor.schema import class_scores, plan_tables, scores_of
from trimtab.monitor.tally import Tally

columns = hnp.arrays(
    np.float64, st.integers(1, 200), elements=st.floats(-1e6, 1e6, width=32)
)


def softmax_model(path: Path, n: int = 3) -> trimtab.Model:
    """x [N, 4] -> softmax(x w)."""
    w = np.random.default_rng(0).normal(size=(4, n)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["z"]),
            helper.make_node("Softmax", ["z"], ["p"], axis=1),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", n])],
        [onnx.numpy_helper.from_array(w, "w")],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return trimtab.load_model(path)


# ---- bins ---------------------------------------------------------------------------


@settings(deadline=None)
@given(columns, st.integers(2, 40))
def test_edges_ascend_and_hold_the_reference_inside(x: np.ndarray, n: int) -> None:
    edges = choose_edges(x, n)
    assert np.all(np.diff(edges) > 0)
    assert len(edges) <= MAX_EDGES
    assert edges[0] == x.min()
    assert edges[-1] > x.max()
    counts = np.bincount(np.searchsorted(edges, x, side="right"))
    assert counts[0] == 0
    if len(np.unique(x)) <= n:  # few values have a bin each
        assert (counts > 0).sum() == len(np.unique(x))
    else:  # no bin holds much more than its share, but for one value's own
        for i in np.flatnonzero(counts > 2 * len(x) / n + 2):
            inside = x[np.searchsorted(edges, x, side="right") == i]
            assert len(np.unique(inside)) == 1


def test_a_constant_reference_tells_equal_from_less_and_more() -> None:
    reference = Reference.from_data(np.full((50, 1), 7.0))
    [feature] = reference.features
    assert len(feature.counts) == 3
    sketch = reference.table_sketch()
    sketch.update(np.array([[7.0], [7.0], [6.999], [7.001]], np.float32))
    [now] = reference.read(sketch)
    assert now.counts.tolist() == [1, 2, 1]


def test_a_spike_has_a_bin_of_its_own() -> None:
    random = np.random.default_rng(0)
    x = np.concatenate([np.zeros(5000), random.exponential(size=5000)])
    edges = choose_edges(x, 32)
    counts = np.bincount(np.searchsorted(edges, x, side="right"))
    assert counts.max() == 5000
    assert np.sort(counts)[-2] < 1000


@pytest.mark.parametrize("x", [[], [np.nan], [np.inf, -np.inf, np.nan]])
def test_a_column_without_numbers_has_one_bin(x: list[float]) -> None:
    assert len(choose_edges(x)) == 0
    reference = Reference.from_data(
        {"x": np.array([*x, np.nan]), "y": np.arange(len(x) + 1)}
    )
    assert reference.features[0].n == 0
    assert reference.features[0].n_values == len(x) + 1


def test_extreme_numbers_are_counted() -> None:
    x = np.array([-1.7e308, -1e-320, 0.0, 5e-324, 1.7e308, np.inf])
    reference = Reference.from_data({"x": x})
    assert reference.features[0].n == 5
    assert reference.features[0].n_infinite == 1


# ---- tables -------------------------------------------------------------------------


def test_texts_numbers_and_gaps_are_told_apart() -> None:
    data = {
        "age": [30, None, 50, 41],
        "city": ["Rome", "Oslo", None, "Rome"],
        "floor": [1, 2, 2, 1],
    }
    reference = Reference.from_data(data, categorical=["floor"])
    age, city, floor = reference.features
    assert (age.kind, age.n, age.n_missing) == ("numeric", 3, 1)
    assert city.categories == ("Oslo", "Rome")
    assert city.counts.tolist() == [1, 2, 0]
    assert city.n_missing == 1
    assert floor.categories == ("1", "2")
    assert floor.counts.tolist() == [2, 2, 0]


def test_a_data_frame_is_a_table() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"a": [1.0, 2.0, None], "b": pandas.Series(["x", None, "y"], dtype="string")}
    )
    a, b = Reference.from_data(frame).features
    assert (a.n, a.n_missing) == (2, 1)
    assert (b.n, b.n_missing, b.kind) == (2, 1, "categorical")


def test_unseen_categories_are_counted_as_such() -> None:
    codes = encode(np.array(["a", "q", None, np.nan], object), ["a"], None)
    np.testing.assert_array_equal(codes, [0, UNSEEN, np.nan, np.nan])
    reference = Reference.from_data({"n": np.array([1, 2, 2])}, categorical=["n"])
    sketch = reference.table_sketch()
    reference.table().count(np.array([[2], [9], [1]]), sketch)
    assert reference.read(sketch)[0].counts.tolist() == [1, 1, 1]


def test_batches_make_the_reference_of_the_whole() -> None:
    x = np.random.default_rng(0).normal(size=(500, 3))
    whole = Reference.from_data(x)
    parts = Reference.from_batches(np.array_split(x, 7))
    assert parts.to_json() == whole.to_json()
    few = Reference.from_batches(np.array_split(x, 7), max_rows=100)
    assert few.n_rows == 100


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((3, 2, 2)),
        np.zeros((3, 0)),
        np.zeros((3, 600)),
        {"a": [1, 2], "b": [1]},
        {},
        [[1, 2], [3]],
        {"a": [[1, 2]]},
    ],
)
def test_what_is_no_table_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError):
        Reference.from_data(wrong)


def test_wrong_names_are_refused() -> None:
    x = np.zeros((3, 2))
    for options in (
        {"names": ["a"]},
        {"names": ["a", "a"]},
        {"categorical": ["q"]},
        {"n_bins": 1},
        {"n_bins": 1000},
    ):
        with pytest.raises(InputError):
            Reference.from_data(x, **options)
    for batches in ([], [x, np.zeros((3, 3))]):
        with pytest.raises(InputError):
            Reference.from_batches(batches)


# ---- models -------------------------------------------------------------------------


def test_scores_become_class_confidence_and_entropy() -> None:
    logits = np.array([[0.0, np.log(3.0)], [50.0, 0.0], [np.nan, 1.0]])
    rows = class_scores(logits)
    np.testing.assert_array_equal(rows[:2, 0], [1, 0])
    np.testing.assert_allclose(
        rows[0, 1:], [0.75, -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))]
    )
    assert np.isnan(rows[2]).all()
    np.testing.assert_allclose(scores_of(logits)[:2].sum(axis=1), 1)


@pytest.mark.parametrize(
    ("name", "array", "kind"),
    [
        ("x", np.zeros((2, 30), np.float32), "columns"),
        ("x", np.zeros((2, 3, 32, 32), np.float32), "image"),
        ("x", np.zeros((2, 32, 32, 3), np.uint8), "image"),
        ("input_ids", np.zeros((2, 128), np.int64), "text"),
        ("audio", np.zeros((2, 16000), np.float32), "audio"),
        ("x", np.zeros((2, 50, 40), np.float32), "vector"),
        ("attention_mask", np.zeros((2, 128), np.int64), None),
        ("rate", np.float32(1), None),
    ],
)
def test_inputs_are_told_by_their_shape(
    name: str, array: Any, kind: str | None
) -> None:
    tables = plan_tables({name: array}, {})
    assert [table.kind for table in tables] == ([kind] if kind else [])


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (np.full((4, 3), 1 / 3, np.float32), "class"),
        (np.array([[4.0, -2.0], [1.0, 7.0]]), "class"),
        (np.zeros((4, 1), np.float32), "value"),
        (np.zeros(4, np.float32), "value"),
        (np.zeros(4, np.int64), "label"),
        (
            np.eye(4, 8, dtype=np.float32) * 0.5 + np.eye(4, 8, 4) * np.sqrt(0.75),
            "vector",
        ),
        (np.zeros((4, 5, 5), np.float32), "vector"),
    ],
)
def test_outputs_are_told_by_shape_and_values(array: np.ndarray, kind: str) -> None:
    [table] = plan_tables({}, {"y": array})
    assert table.kind == kind


def test_kinds_and_names_can_be_said() -> None:
    x = np.zeros((4, 2), np.float32)
    [table] = plan_tables({"x": x}, {}, names=["a", "b"], categorical=["b"])
    assert (table.features, table.categorical) == (("a", "b"), ("b",))
    assert plan_tables({"x": x}, {}, kinds={"x": "ignore"}) == ()
    for wrong in (
        {"kinds": {"q": "image"}},
        {"kinds": {"x": "smell"}},
        {"categorical": ["q"]},
        {"names": "ab"},
    ):
        with pytest.raises(InputError):
            plan_tables({"x": x}, {}, **wrong)


def test_the_reference_travels_in_the_artefact(tmp_path: Path) -> None:
    model = softmax_model(tmp_path / "m.onnx")
    assert model.reference is None
    x = np.random.default_rng(1).normal(size=(300, 4)).astype(np.float32)
    reference = Reference.from_model(model, x, names=["a", "b", "c", "d"])
    path = tmp_path / "m.safetensors"
    model.save(path, reference=reference)
    loaded = trimtab.load_model(path)
    assert loaded.reference is not None
    assert loaded.reference.to_json() == reference.to_json()
    again = tmp_path / "again.safetensors"
    loaded.save(again)  # its own by default
    assert again.read_bytes().count(b'"reference"') == path.read_bytes().count(
        b'"reference"'
    )
    kept = trimtab.load_model(again).reference
    assert kept is not None
    assert kept.to_json() == reference.to_json()
    with pytest.raises(InputError, match="Reference"):
        model.save(path, reference=x)  # type: ignore[arg-type]


def test_a_damaged_reference_in_an_artefact_is_refused(tmp_path: Path) -> None:
    model = softmax_model(tmp_path / "m.onnx")
    x = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)
    path = tmp_path / "m.safetensors"
    model.save(path, reference=Reference.from_model(model, x))
    data = path.read_bytes()
    bad = data.replace(b'"n_missing":0', b'"n_missing":x', 1)
    assert bad != data
    path.write_bytes(bad)
    loaded = trimtab.load_model(path, verify="off")
    with pytest.raises(ModelFormatError):
        _ = loaded.reference


def test_class_names_name_the_predicted_classes(tmp_path: Path) -> None:
    model = softmax_model(tmp_path / "m.onnx")
    model.class_names = ["cat", "dog", "eel"]
    x = np.random.default_rng(1).normal(size=(300, 4)).astype(np.float32)
    reference = Reference.from_model(model, x)
    [feature] = [f for f in reference.features if f.name == "p.class"]
    assert set(feature.categories) <= {"cat", "dog", "eel"}


# ---- storing ------------------------------------------------------------------------

REFERENCE = Reference.from_data(
    {"x": np.arange(40.0), "c": ["a", "b"] * 20, "n": np.arange(40) % 3},
    categorical=["n"],
)


def test_json_and_back_is_the_same() -> None:
    again = Reference.from_json(REFERENCE.to_json())
    assert again.to_json() == REFERENCE.to_json()
    tally, other = Tally(REFERENCE), Tally(again)
    for name, sketch in tally.sketches.items():
        assert sketch.to_bytes() == other.sketches[name].to_bytes()


def _mutate(plain: Any, path: list[int], value: Any) -> Any:
    """Replace what a path through lists and dicts leads to."""
    if not path:
        return value
    if isinstance(plain, dict) and plain:
        key = sorted(plain)[path[0] % len(plain)]
        return {**plain, key: _mutate(plain[key], path[1:], value)}
    if isinstance(plain, list) and plain:
        i = path[0] % len(plain)
        return [*plain[:i], _mutate(plain[i], path[1:], value), *plain[i + 1 :]]
    return value


junk = st.sampled_from(
    [None, -1, 2**70, 1.5, "x", "x" * 500, [], {}, True, [1, 2], {"a": 1}, float("nan")]
)


@settings(deadline=None)
@given(st.lists(st.integers(0, 60), max_size=6), junk)
def test_hostile_descriptions_are_refused_or_usable(
    path: list[int], value: Any
) -> None:
    plain = _mutate(json.loads(REFERENCE.to_json()), path, value)
    try:
        found = Reference.from_dict(plain)
    except InputError:
        return
    tally = Tally(found)  # whatever was accepted counts
    tally.count({name: np.zeros(3) for name in "xcn"}, None)


@pytest.mark.parametrize("text", ["", "[", "[]", "{}", '{"version": 1}', "[" * 10_000])
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        Reference.from_json(text)


def test_golden_pairs_and_a_reference_go_together(tmp_path: Path) -> None:
    model = softmax_model(tmp_path / "m.onnx")
    x = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)
    path = tmp_path / "m.safetensors"
    model.save(path, golden=x[:2], reference=Reference.from_model(model, x))
    loaded = trimtab.load_model(path)
    assert loaded.verification is not None
    assert loaded.verification.n_pairs == 1
    assert loaded.reference is not None


def test_descriptors_that_say_nothing_are_left_out(tmp_path: Path) -> None:
    x = np.random.default_rng(1).random((50, 1, 8, 8)).astype(np.float32)
    reference = Reference.from_runs([({"x": x}, {"y": x.mean(axis=(1, 2, 3))})])
    names = [feature.name for feature in reference.features]
    assert "brightness" in names  # channel_0_mean is the same, of others there is none
    assert not any(name.startswith("channel") for name in names)
    again = Reference.from_json(reference.to_json())
    tally = Tally(again)
    tally.count({"x": x}, {"y": x.mean(axis=(1, 2, 3))})
    for a, b in zip(tally.features(), reference.features, strict=True):
        np.testing.assert_array_equal(a.counts, b.counts)
