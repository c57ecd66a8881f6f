"""Pipelines: steps around a model, stored and made again."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trimtab
from trimtab import steps
from trimtab.errors import InputError, ModelFormatError
from trimtab.pipeline import MAX_STEPS, Pipeline, _apply
from trimtab.processing import STEPS, make_step
from trimtab.processing.boxes import ssd_anchors
from trimtab.processing.step import Context, Step

from .conftest import reference

#: One of each kind that is defined here.
SAMPLES = [
    steps.DecodeImage("bgr", orient=True),
    steps.Resize(20, 30, "opencv-linear"),
    steps.ResizeShortest(20, max_size=40),
    steps.ResizeToMultiple(shortest=64),
    steps.Letterbox(32, 32, value=(1, 2, 3)),
    steps.CenterCrop(8, 9, "floor"),
    steps.CentralFraction(0.875),
    steps.Pad(1, 2, 3, 4),
    steps.PadToMultiple(16),
    steps.Normalize([1, 2, 3], (4, 5, 6), layout="CHW"),
    steps.Standardize(),
    steps.Gray("opencv"),
    steps.ReverseChannels(),
    steps.Layout("HWC"),
    steps.Cast("float16"),
    steps.AddBatch(),
    steps.Softmax(1),
    steps.Sigmoid(),
    steps.TopK(2, labels=["a", "b", "c"]),
    steps.ArgMax(labels=("x", "y")),
    steps.Threshold(0.3),
    steps.DecodeYolo(True),
    steps.ReadBoxes("yxyx", positions=(0, 2, 1), height=32, width=64),
    steps.DecodeAnchors(ssd_anchors([(2, 2)], [[(0.5, 0.5)]]).tobytes(), 64, 64),
    steps.DecodeWindows(),
    steps.SuppressBoxes(),
    steps.BoxesToOriginal(),
    steps.NameBoxes(["cat"]),
    steps.FindTextLines(),
]


def test_every_step_by_its_name() -> None:
    for place in STEPS.values():
        name = place.partition(":")[2]
        assert getattr(steps, name).kind in STEPS
        assert name in dir(steps)
    with pytest.raises(AttributeError, match="has no 'Nope'"):
        _ = steps.Nope


@pytest.mark.parametrize("step", SAMPLES, ids=lambda step: step.kind)
def test_a_step_survives_being_stored(step: Any) -> None:
    parameters, assets = step.config()
    again = make_step(step.kind, json.loads(json.dumps(parameters)), assets)
    assert again == step
    assert hash(again) == hash(step)
    assert STEPS[step.kind].endswith(type(step).__name__)


@pytest.mark.parametrize("step", SAMPLES, ids=lambda step: step.kind)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_hostile_parameters_are_refused_or_harmless(step: Any, data: Any) -> None:
    parameters, assets = step.config()
    if not parameters:
        return
    name = data.draw(st.sampled_from(sorted(parameters)))
    hostile: Any = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.lists(
            st.one_of(st.integers(), st.floats(), st.text(max_size=3)), max_size=4
        ),
        st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    )
    parameters[name] = data.draw(hostile)
    try:
        made = make_step(step.kind, parameters, assets)
    except ModelFormatError:
        return
    hash(made)
    repr(made)


def test_the_whole_way(model: trimtab.Model) -> None:
    pipeline = Pipeline(
        [
            lambda text: [float(word) for word in text.split()],
            steps.Cast(),
            steps.AddBatch(),
        ],
        model,
        [steps.Softmax(), steps.ArgMax()],
    )
    expected = reference(np.array([[1, 2, 3, 4]], np.float32))["y"].argmax()
    assert pipeline("1 2 3 4") == expected
    assert pipeline.not_portable == ["<lambda>"]
    with pytest.raises(InputError, match="cannot be stored"):
        pipeline.to_config()


def test_a_pipeline_survives_being_stored(model: trimtab.Model) -> None:
    half = len(SAMPLES) // 2
    pipeline = Pipeline(SAMPLES[:half], model, SAMPLES[half:])
    config, assets = pipeline.to_config()
    assert all(isinstance(content, bytes) for content in assets.values())
    again = Pipeline.from_config(json.loads(json.dumps(config)), assets, model)
    assert again == pipeline
    assert hash(again) == hash(pipeline)
    assert again.to_config() == (config, assets)
    assert again != Pipeline([], model)
    assert again != "a pipeline"


@pytest.mark.parametrize(
    ("config", "assets", "text"),
    [
        ([], {}, "expected a dict"),
        ({"before": []}, {}, "no stage 'before'"),
        ({"preprocess": {}}, {}, "expected a list"),
        (
            {"preprocess": [{"kind": "nope", "parameters": {}}]},
            {},
            r"\[0\]: there is no",
        ),
        ({"preprocess": [{"kind": ["x"], "parameters": {}}]}, {}, "expected kind"),
        ({"preprocess": [{"kind": "softmax", "parameters": []}]}, {}, "expected kind"),
        (
            {"preprocess": [{"kind": "softmax", "parameters": {"x": 1}}]},
            {},
            "no parameter 'x'",
        ),
        ({"preprocess": [{"kind": "resize", "parameters": {}}]}, {}, "missing"),
        ({"preprocess": []}, {"preprocess/0/x": b""}, "no step has the file"),
        (
            {"preprocess": [{"kind": "softmax", "parameters": {}}] * 65},
            {},
            "at most 64",
        ),
        ({"preprocess": [[[[[[[[[[[1]]]]]]]]]]]}, {}, "levels"),
        ({"postprocess": [{"x": "y" * (1 << 24)}]}, {}, "characters"),
        ({"postprocess": [{"x": list(range(1 << 20))}]}, {}, "values"),
    ],
)
def test_malformed_descriptions_are_refused(
    model: trimtab.Model, config: Any, assets: Any, text: str
) -> None:
    with pytest.raises(ModelFormatError, match=text):
        Pipeline.from_config(config, assets, model)


def test_errors_say_where_and_what(model: trimtab.Model) -> None:
    pipeline = Pipeline([steps.AddBatch(), steps.Resize(4, 4)], model)
    with pytest.raises(InputError, match=r"preprocess\[1\] \(resize\): expected a pic"):
        pipeline("x")
    pipeline = Pipeline([], model, [steps.TopK(labels=["a"])])
    with pytest.raises(InputError, match=r"postprocess\[0\] \(top_k\): .* 1"):
        pipeline(np.zeros((1, 4), np.float32))
    with pytest.raises(InputError, match=r"write Resize\(\.\.\.\)"):
        Pipeline([steps.Resize], model)
    with pytest.raises(InputError, match=r"preprocess\[0\]: .* got int"):
        Pipeline([5], model)  # type: ignore[list-item]
    with pytest.raises(InputError, match="preprocess must be"):
        Pipeline("abc", model)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at most"):
        Pipeline([steps.AddBatch()] * (MAX_STEPS + 1), model)


def test_an_error_of_a_function_stays_what_it_is(model: trimtab.Model) -> None:
    with pytest.raises(ZeroDivisionError):
        Pipeline(lambda x: 1 / 0, model)(1)


def test_it_shows_its_steps(model: trimtab.Model) -> None:
    pipeline = Pipeline([np.atleast_2d], model, [steps.TopK(labels=["<b>"] * 99)])
    lines = repr(pipeline).splitlines()
    assert lines[1:3] == ["  atleast_2d()", "  -> tiny.onnx"]
    assert lines[3] == "  TopK(k=5, labels=<99 items>)"
    few = Pipeline(
        [s for s in SAMPLES if s.kind == "decode_anchors"],
        model,
        steps.ArgMax(labels=["<b>"]),
    )
    assert "anchors=<64 bytes>" in repr(few)
    assert "&lt;b&gt;" in few._repr_html_()


def test_a_step_of_ones_own_is_not_portable(model: trimtab.Model) -> None:
    class Softmax(Step):
        kind = "softmax"

        def __call__(self, value: Any, context: Context) -> Any:
            return value

    pipeline = Pipeline([], model, [Softmax()])
    assert pipeline.not_portable == ["Softmax"]
    with pytest.raises(InputError, match="cannot be stored"):
        pipeline.to_config()


def test_a_batch_has_a_context_for_each_request() -> None:
    model = image_model()
    pipeline = Pipeline(
        [steps.Resize(4, 4), steps.Normalize(), steps.AddBatch()],
        model,
        [lambda y: float(y.sum())],
    )
    rng = np.random.default_rng(0)
    pictures = [
        rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((3, 5), (9, 8))
    ]
    single = [pipeline(picture) for picture in pictures]
    n_runs = model.stats["n_runs"]
    assert pipeline.predict_batch(iter(pictures)) == single
    assert model.stats["n_runs"] == n_runs + 1
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(pipeline, pictures * 20)) == single * 20


def image_model() -> trimtab.Model:
    from onnx import TensorProto, helper

    shape = ("n", "h", "w", 3)
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"], name="relu")],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    return trimtab.load_model(content.SerializeToString(), threads=1)


def test_a_stored_pipeline_is_deployed_by_default(model: trimtab.Model, x: Any) -> None:
    assert model.pipeline is None
    model.pipeline = Pipeline([steps.Cast()], model, [steps.ArgMax()])
    expected = model(x).argmax(axis=-1)
    deployment = trimtab.deploy_model(model)
    np.testing.assert_array_equal(deployment(x.astype(np.float64)), expected)
    assert repr(deployment) == "Deployment(cast -> tiny.onnx -> arg_max)"
    bare = trimtab.deploy_model(model, postprocess_output=[])
    np.testing.assert_array_equal(bare(x), model(x))
    own = trimtab.deploy_model(
        model, preprocess_input=[np.asarray, steps.Cast()], postprocess_output=np.copy
    )
    np.testing.assert_array_equal(own(x.tolist()), model(x))


def test_a_pickled_model_keeps_its_pipeline(model: trimtab.Model, x: Any) -> None:
    model.pipeline = Pipeline([steps.Cast()], model, [steps.ArgMax()])
    again = pickle.loads(pickle.dumps(model))
    assert again.pipeline.model is again
    assert again.pipeline.preprocess == model.pipeline.preprocess
    np.testing.assert_array_equal(again.pipeline(x), model.pipeline(x))


def odd_value(data: Any) -> Any:
    """Arrays of any shape and type, tuples of them, and things that are no arrays."""
    kind = data.draw(st.sampled_from(["array", "array", "array", "tuple", "other"]))
    if kind == "tuple":
        return tuple(odd_value(data) for _ in range(data.draw(st.integers(0, 3))))
    if kind == "other":
        return data.draw(
            st.sampled_from([None, 5, "x\0", b"", b"\x89PNG\r\n\x1a\n", [[1], [2, 3]]])
        )
    shape = data.draw(st.lists(st.integers(0, 6), max_size=4))
    dtype = data.draw(st.sampled_from("u1 i1 u2 i8 f2 f4 f8 c8 ? O U3 M8[s]".split()))
    array = np.zeros(shape, dtype)
    if array.dtype.kind == "f" and array.size:
        array.flat[0] = data.draw(st.sampled_from([0.0, np.nan, np.inf, 1e38, -1.0]))
    return array


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("step", SAMPLES, ids=lambda step: step.kind)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_comes_a_step_answers_or_says_why_not(step: Any, data: Any) -> None:
    message = f"({step.kind})"
    try:
        _apply("preprocess", [step], odd_value(data), {})
    except OSError:
        return
    except InputError as error:
        message = str(error)
    assert f"({step.kind})" in message
