"""Recurrent layers of Keras: options, masks, states, against Keras itself."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.keras_cases import Case, assert_close, keras, randomize
from tests.formats.keras_groups import Group

import trimtab
from trimtab.errors import ModelFormatError, UnsupportedOpError
from trimtab.fetch import FetchError, fetch_package_file
from trimtab.formats import read_model

L = keras.layers
STEPS = (None, 3)

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "sequences": {"return_sequences": True},
    "state": {"return_state": True},
    "both": {"return_sequences": True, "return_state": True},
    "backward": {"go_backwards": True, "return_sequences": True},
    "backward_state": {"go_backwards": True, "return_state": True},
    "no_bias": {"use_bias": False},
    "zeros": {"zero_output_for_mask": True, "return_sequences": True},
    "zeros_last": {"zero_output_for_mask": True},
    "relu": {"activation": "relu"},
    "linear": {"activation": None},
    "elu": {"activation": "elu"},
    "softsign": {"activation": "softsign"},
    # These no operator of ONNX knows: they become a Loop.
    "silu": {"activation": "silu", "return_sequences": True, "return_state": True},
    "gelu_backward": {"activation": "gelu", "go_backwards": True},
}
GATES: dict[str, dict[str, Any]] = {
    "hard": {"recurrent_activation": "hard_sigmoid"},
    "softplus": {"recurrent_activation": "softplus"},
    "silu_gate": {"recurrent_activation": "silu"},
}
GRU_ONLY: dict[str, dict[str, Any]] = {
    "before": {"reset_after": False},
    "before_silu": {"reset_after": False, "activation": "silu", "return_state": True},
    "after_no_bias_silu": {"use_bias": False, "activation": "silu"},
}
CELLS: dict[str, Any] = {
    "lstm": lambda: L.LSTMCell(4),
    "gru": lambda: L.GRUCell(5),
    "gru_before": lambda: L.GRUCell(3, reset_after=False),
    "rnn": lambda: L.SimpleRNNCell(2),
    "silu": lambda: L.LSTMCell(2, activation="silu"),
}


def recurrent_case(name: str, make: Any, is_masked: bool) -> Case:
    def build(x: Any) -> Any:
        return make()(L.Masking()(x) if is_masked else x)

    return Case(name, build, [STEPS], batch=4)


def recurrent_cases(is_masked: bool) -> list[Case]:
    layers: dict[str, Any] = {}
    for cls, extra in (
        (L.LSTM, GATES),
        (L.GRU, {**GATES, **GRU_ONLY}),
        (L.SimpleRNN, {}),
    ):
        for key, options in {**OPTIONS, **extra}.items():
            layers[f"{cls.__name__}_{key}"] = lambda c=cls, o=options: c(4, **o)
    for key, cell in CELLS.items():
        layers[f"cell_{key}"] = lambda c=cell: L.RNN(c(), return_state=True)
    for sequences, backward in itertools.product([False, True], [False, True]):
        layers[f"stack_{sequences}_{backward}"] = lambda s=sequences, b=backward: L.RNN(
            [cell() for cell in [*CELLS.values(), *CELLS.values()]],
            return_sequences=s,
            return_state=s,
            go_backwards=b,
        )
    return [recurrent_case(k, make, is_masked) for k, make in layers.items()]


NAMES = [case.name for case in recurrent_cases(False)]


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "masked"])
def results(request: Any, tmp_path_factory: Any) -> Any:
    folder = tmp_path_factory.mktemp("recurrent")
    group = Group(recurrent_cases(request.param), folder)
    return group.results(group.feeds(masked=request.param))


@pytest.mark.parametrize("name", NAMES)
def test_a_recurrent_layer_computes_what_keras_computes(
    results: Any, name: str
) -> None:
    assert_close(*results[name])


def test_one_model_takes_other_batches_and_lengths(tmp_path: Any) -> None:
    x = keras.Input(STEPS)
    masked = L.Masking()(x)
    outputs = [
        L.LSTM(4, return_sequences=True)(masked),
        *L.LSTM(4, return_state=True)(masked),
        L.GRU(3, activation="silu")(masked),
        L.LSTM(5)(x),
    ]
    model = keras.Model(x, outputs)
    randomize(model)
    model.save(tmp_path / "m.keras")
    loaded = trimtab.load_model(tmp_path / "m.keras")
    rng = np.random.default_rng(0)
    for batch, steps in ((1, 1), (1, 9), (5, 2), (3, 17)):
        value = rng.normal(size=(batch, steps, 3)).astype(np.float32)
        value *= rng.random((batch, steps, 1)) < 0.6
        want = [keras.ops.convert_to_numpy(y) for y in model(value)]
        assert_close(list(loaded.run(value).values()), want)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_states_that_a_call_begins_with(tmp_path: Any, suffix: str) -> None:
    x, h, c = keras.Input(STEPS), keras.Input((4,)), keras.Input((4,))
    outputs: list[Any] = []
    for y in (x, L.Masking()(x)):
        outputs += L.LSTM(4, return_sequences=True, return_state=True)(
            y, initial_state=[h, c]
        )
        outputs += [L.GRU(4)(y, initial_state=h)]
        outputs += L.GRU(4, activation="silu", return_state=True)(y, initial_state=[h])
        outputs += [L.SimpleRNN(4, go_backwards=True)(y, initial_state=h)]
        outputs += [L.RNN([L.GRUCell(4), L.LSTMCell(4)])(y, initial_state=[h, [h, c]])]
    model = keras.Model([x, h, c], outputs)
    randomize(model)
    model.save(tmp_path / f"m{suffix}")
    rng = np.random.default_rng(1)
    feeds = [rng.normal(size=s).astype(np.float32) for s in ((3, 5, 3), (3, 4), (3, 4))]
    feeds[0][0, :2], feeds[0][1, 3:] = 0, 0
    want = [keras.ops.convert_to_numpy(y) for y in model(feeds)]
    got = trimtab.load_model(tmp_path / f"m{suffix}").run(tuple(feeds))
    assert_close(list(got.values()), want)


@pytest.fixture(scope="module")
def masked_pair(tmp_path_factory: Any) -> Any:
    """A model that takes the mask as an input, and the same loaded."""
    x, mask = keras.Input(STEPS), keras.Input((None,), dtype="bool")
    outputs: list[Any] = []
    for cls in (L.LSTM, L.GRU, L.SimpleRNN):
        for zeros in (False, True):
            outputs += cls(
                3, return_sequences=True, return_state=True, zero_output_for_mask=zeros
            )(x, mask=mask)
            outputs += [
                cls(3, go_backwards=True, zero_output_for_mask=zeros)(x, mask=mask)
            ]
    both = L.Bidirectional(L.LSTM(3, return_sequences=True, return_state=True))
    outputs += both(x, mask=mask)
    model = keras.Model([x, mask], outputs)
    randomize(model)
    path = tmp_path_factory.mktemp("mask") / "m.keras"
    model.save(path)
    return model, trimtab.load_model(path)


@settings(max_examples=20, deadline=None)
@given(
    rows=st.integers(1, 9).flatmap(
        lambda n: st.lists(
            st.lists(st.booleans(), min_size=n, max_size=n), min_size=1, max_size=4
        )
    )
)
def test_any_mask_gives_what_keras_gives(masked_pair: Any, rows: Any) -> None:
    model, loaded = masked_pair
    mask = np.array(rows)
    value = np.random.default_rng(mask.size).normal(size=(*mask.shape, 3))
    feeds = [value.astype(np.float32), mask]
    want = [keras.ops.convert_to_numpy(y) for y in model(feeds)]
    assert_close(list(loaded.run(tuple(feeds)).values()), want)


@pytest.mark.parametrize(
    ("layer", "operator"),
    [
        (lambda: L.LSTM(4), "LSTM"),
        (lambda: L.GRU(4, return_sequences=True), "GRU"),
        (lambda: L.SimpleRNN(4), "RNN"),
        (lambda: L.Bidirectional(L.LSTM(4)), "LSTM"),
    ],
)
def test_a_layer_is_one_operator(tmp_path: Any, layer: Any, operator: str) -> None:
    x = keras.Input(STEPS)
    keras.Model(x, layer()(x)).save(tmp_path / "m.keras")
    nodes = [n.op_type for n in read_model(tmp_path / "m.keras").graph.nodes]
    assert nodes.count(operator) == 1
    assert not {"Loop", "MatMul", "TopK"} & set(nodes)


def conv_cases() -> list[Case]:
    found = []
    options: dict[str, dict[str, Any]] = {
        "valid": {},
        "same": {"padding": "same", "strides": 2, "return_sequences": True},
        "dilated": {"dilation_rate": 2, "return_state": True, "go_backwards": True},
        "first": {"data_format": "channels_first", "return_sequences": True},
        "gates": {"recurrent_activation": "hard_sigmoid", "use_bias": False},
    }
    for rank, cls in ((1, L.ConvLSTM1D), (2, L.ConvLSTM2D), (3, L.ConvLSTM3D)):
        for key, given_options in options.items():
            places = (7, 6, 5)[:rank]
            shape = (4, 2, *places) if key == "first" else (4, *places, 2)
            found.append(
                Case(
                    f"conv{rank}_{key}",
                    lambda x, c=cls, o=given_options: c(3, 3, **o)(x),
                    [shape],
                    batch=2,
                )
            )
    return found


@pytest.fixture(scope="module")
def conv_results(tmp_path_factory: Any) -> Any:
    group = Group(conv_cases(), tmp_path_factory.mktemp("conv"))
    return group.results(group.feeds())


@pytest.mark.parametrize("name", [case.name for case in conv_cases()])
def test_a_convolutional_lstm_computes_what_keras_computes(
    conv_results: Any, name: str
) -> None:
    assert_close(*conv_results[name])


def test_a_convolutional_lstm_obeys_masks(tmp_path: Any) -> None:
    x, mask = keras.Input((4, 5, 6, 2)), keras.Input((4,), dtype="bool")
    outputs: list[Any] = [
        *L.ConvLSTM2D(3, 3, return_sequences=True, return_state=True)(x, mask=mask),
        L.ConvLSTM2D(2, 3, go_backwards=True, zero_output_for_mask=True)(x, mask=mask),
    ]
    model = keras.Model([x, mask], outputs)
    randomize(model)
    model.save(tmp_path / "m.keras")
    value = np.random.default_rng(2).normal(size=(3, 4, 5, 6, 2)).astype(np.float32)
    rows = np.array([[1, 0, 1, 0], [0, 1, 1, 1], [0, 0, 0, 0]], bool)
    want = [keras.ops.convert_to_numpy(y) for y in model([value, rows])]
    got = trimtab.load_model(tmp_path / "m.keras").run((value, rows))
    assert_close(list(got.values()), want)


def test_a_layer_that_keeps_its_state_is_refused(tmp_path: Any) -> None:
    x = keras.Input(batch_shape=(2, 5, 3))
    keras.Model(x, L.LSTM(4, stateful=True)(x)).save(tmp_path / "m.keras")
    with pytest.raises(UnsupportedOpError, match=r"stateful=True .* stateful=False"):
        trimtab.load_model(tmp_path / "m.keras")


def _text(name: Any) -> str:
    return name if isinstance(name, str) else str(name.decode())


@pytest.mark.parametrize(("name", "n_gates"), [("LSTM", 4), ("GRU", 3)])
def test_layers_of_cudnn_in_old_files(tmp_path: Any, name: str, n_gates: int) -> None:
    """Their kernels hold cuDNN's matrices, [units, rows], gate by gate."""
    h5py = pytest.importorskip("h5py")
    x = keras.Input((6, 3))
    layer = getattr(L, name)(4, name="layer", return_sequences=True)
    model = keras.Model(x, layer(x))
    randomize(model)
    path = tmp_path / "m.h5"
    model.save(path)
    kernel, recurrent, bias = layer.get_weights()
    stored = [
        np.concatenate(
            [g.T.reshape(g.shape) for g in np.split(array, n_gates, 1)], axis=1
        )
        for array in (kernel, recurrent)
    ]
    both = bias if name == "GRU" else np.stack([0.25 * bias, 0.75 * bias])
    stored.append(both.reshape(-1))
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        entry = config["config"]["layers"][1]
        entry["class_name"] = f"CuDNN{name}"
        kept = ("name", "units", "return_sequences")
        entry["config"] = {key: entry["config"][key] for key in kept}
        entry["module"] = "keras.layers"
        file.attrs["model_config"] = json.dumps(config)
        group = file["model_weights"]["layer"]
        names = [
            n if isinstance(n, str) else n.decode() for n in group.attrs["weight_names"]
        ]
        for key, array in zip(names, stored, strict=True):
            del group[key]
            group[key] = array
    value = np.random.default_rng(8).normal(size=(2, 6, 3)).astype(np.float32)
    want = keras.ops.convert_to_numpy(model(value))
    assert_close(list(trimtab.load_model(path).run(value).values()), [want])


def test_a_cell_that_is_unknown_is_refused(tmp_path: Any) -> None:
    x = keras.Input((5, 3))
    model = keras.Model(x, L.RNN(L.LSTMCell(4))(x))
    config = model.get_config()
    config["layers"][1]["config"]["cell"]["class_name"] = "Dense"
    from trimtab.formats.keras.config import Config
    from trimtab.formats.keras.layer import LayerContext, Source, Tensor
    from trimtab.formats.keras.layers.recurrent import recurrent
    from trimtab.formats.keras.weights import FlatWeights

    layer = Config(config["layers"][1]["config"], "layer 'rnn' (RNN)")
    source = Source(trimtab.formats.builder.GraphBuilder("g"), trimtab.Limits(), "3")
    weights = FlatWeights({}, layer.where)
    given_x = Tensor("x", "float32", ("n", 5, 3))
    context = LayerContext(source, "rnn", "RNN", layer, weights, (given_x,))
    with pytest.raises(UnsupportedOpError, match="'Dense'; supported are LSTMCell"):
        recurrent(context)
    layer.values["cell"] = {"class_name": "StackedRNNCells", "config": {"cells": 3}}
    with pytest.raises(ModelFormatError, match="cells: expected a list"):
        recurrent(context)


def test_the_published_sentiment_model_is_read(tmp_path: Any) -> None:
    """sentitoolkit: two LSTMs over 100 left-padded word indices."""
    try:
        path = fetch_package_file(
            "sentitoolkit",
            "0.1.8",
            "SentiAnalyzer/SentiToolKit.keras",
            "d5e07f2fcbba374cfac0cdf4b2d91a362c201ceb00b0d6e1ae339140c1cb4033",
        )
    except FetchError as error:
        pytest.skip(f"the package cannot be had: {error}")
    model = keras.models.load_model(path, compile=False)
    rng = np.random.default_rng(4)
    words = np.zeros((5, 100), np.float32)
    for row, n in enumerate((100, 40, 7, 1, 0)):
        words[row, 100 - n :] = rng.integers(1, 5000, n)
    want = keras.ops.convert_to_numpy(model(words, training=False))
    assert_close(list(trimtab.load_model(path).run(words).values()), [want])
