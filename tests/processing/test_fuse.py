"""Normalisation inside of the model: equal answers, fewer steps."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import trimtab
from trimtab import steps


def conv_model(
    *,
    pads: int = 0,
    bias: bool = True,
    group: int = 1,
    channels: int = 3,
    last: bool = False,
    twice: bool = False,
    auto_pad: str = "NOTSET",
) -> trimtab.Model:
    """Conv over NCHW, or over NHWC behind a Transpose."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = rng.standard_normal((6, channels // group, 3, 3)).astype(np.float32)
    attributes: dict[str, Any] = {"group": group}
    if auto_pad == "NOTSET":
        attributes["pads"] = [pads] * 4
    else:
        attributes["auto_pad"] = auto_pad
    source = "t" if last else "x"
    nodes = [
        helper.make_node(
            "Conv", [source, "w", "b"] if bias else [source, "w"], ["y"], **attributes
        )
    ]
    if last:
        nodes.insert(0, helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]))
    outputs = ["y"]
    if twice:
        nodes.append(helper.make_node("Relu", ["x"], ["z"]))
        outputs.append("z")
    shape = ("n", "h", "w", channels) if last else ("n", channels, "h", "w")
    constants = [numpy_helper.from_array(weights, "w")]
    if bias:
        constants.append(numpy_helper.from_array(rng.random(6).astype(np.float32), "b"))
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        constants,
    )
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    return trimtab.load_model(content.SerializeToString(), threads=1)


def operators(model: trimtab.Model) -> list[str]:
    return [n.op_type for n in model._graph_again().graph.nodes]


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("pads", [0, 1])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("group", [1, 3])
@pytest.mark.parametrize("mean", [MEAN, 0.0, 0.5])
def test_answers_are_equal(
    last: bool, pads: int, bias: bool, group: int, mean: Any
) -> None:
    model = conv_model(pads=pads, bias=bias, group=group, last=last)
    layout = "HWC" if last else "CHW"
    pipeline = trimtab.Pipeline(
        [steps.Normalize(mean, STD, layout=layout), steps.AddBatch()], model
    )
    fused = pipeline.fuse()
    assert [step.kind for step in fused.preprocess] == ["add_batch"]
    assert fused.model.inputs[0].dtype == "uint8"
    assert fused.model.inputs[0].shape == ("n", "h", "w", 3)
    found = operators(fused.model)
    assert "Mul" not in found
    assert ("Sub" in found) == (pads > 0 and mean != 0.0)
    image = np.random.default_rng(1).integers(0, 256, (17, 23, 3), dtype=np.uint8)
    expected = pipeline(image)
    # weights are rounded after scaling, values before: 27 products of float32
    atol = 3e-6 * np.abs(expected).max()
    np.testing.assert_allclose(fused(image), expected, atol=atol)
    assert fused.fuse() is fused


@pytest.mark.parametrize(
    "options", [{"auto_pad": "SAME_UPPER"}, {"twice": True}, {"auto_pad": "VALID"}]
)
def test_what_cannot_be_folded_stays_in_front(options: Any) -> None:
    model = conv_model(**options)
    pipeline = trimtab.Pipeline(
        [steps.Normalize(MEAN, STD), steps.Layout(), steps.AddBatch()], model
    )
    fused = pipeline.fuse()
    found = operators(fused.model)
    assert ("Sub" in found) == ("VALID" not in options.values())
    assert ("Mul" in found) == ("twice" in options)
    image = np.random.default_rng(1).integers(0, 256, (17, 23, 3), dtype=np.uint8)
    for ours, theirs in zip(fused(image), pipeline(image), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


def test_a_batch_and_a_pickle_of_a_fused_pipeline() -> None:
    pipeline = trimtab.Pipeline(
        [
            steps.Resize(8, 8),
            steps.Normalize(MEAN, STD, layout="CHW"),
            steps.AddBatch(),
        ],
        conv_model(),
    ).fuse()
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (n, 9, 3), dtype=np.uint8) for n in (5, 12)]
    answers = pipeline.predict_batch(images)
    again = pickle.loads(pickle.dumps(pipeline.model))
    for image, answer in zip(images, answers, strict=True):
        np.testing.assert_array_equal(pipeline(image), answer)
        np.testing.assert_array_equal(again(*pipeline._values(image, {})), answer)


@pytest.mark.parametrize(
    "before",
    [
        [],
        [steps.AddBatch()],
        [steps.Gray(), steps.Normalize(layout="CHW"), steps.AddBatch()],
        [steps.Resize(8, 8, "tf-bilinear"), steps.Normalize(layout="CHW")],
        [steps.Cast(), steps.Normalize(layout="CHW"), steps.AddBatch()],
        [steps.Normalize(layout="CHW"), steps.Layout("HWC"), steps.AddBatch()],
        [steps.Normalize((1, 2), layout="CHW"), steps.AddBatch()],
    ],
)
def test_other_rows_of_steps_stay_as_they_are(before: Any) -> None:
    pipeline = trimtab.Pipeline(before, conv_model())
    assert pipeline.fuse() is pipeline
