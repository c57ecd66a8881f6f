"""States of TFLite models: variables, recurrent layers, and streams over them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trimtab
from trimtab import InputError, ModelFormatError, UnsupportedOpError
from trimtab.formats.builder import GraphBuilder

pytest.importorskip("tflite")
pytest.importorskip("ai_edge_litert")

from .tflite_files import Op, Subgraph, Tensor, make_file

RNG = np.random.default_rng(3)


def real(*shape: int) -> Any:
    return RNG.uniform(-0.6, 0.6, shape).astype(np.float32)


def interpreter_steps(
    data: bytes, frames: list[Any], *, reference: bool = True
) -> list[Any]:
    """Outputs of one interpreter, step by step, by its plain or its usual kernels."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=data,
        experimental_op_resolver_type=(
            OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
        ),
        num_threads=1,
    )
    interpreter.allocate_tensors()
    found = []
    for frame in frames:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], frame)
        interpreter.invoke()
        details = interpreter.get_output_details()
        found.append([interpreter.get_tensor(detail["index"]) for detail in details])
    return found


def accumulator(first: Any, dtype: str = "float32", **quant: Any) -> bytes:
    """y = state + x, kept in the state."""
    first = np.asarray(first, dtype)
    shape = first.shape

    def handle(out: int) -> Op:
        names = {"Container": "", "SharedName": "total"}
        return Op("VAR_HANDLE", [], [out], "VarHandle", names)

    main = Subgraph(
        [
            Tensor("x", shape, dtype, **quant),
            Tensor("handle", (), "resource"),
            Tensor("old", shape, dtype, **quant),
            Tensor("new", shape, dtype, **quant),
        ],
        [
            Op("CALL_ONCE", [], [], "CallOnce", {"InitSubgraphIndex": 1}),
            handle(1),
            Op("READ_VARIABLE", [1], [2]),
            Op("ADD", [2, 0], [3], "Add"),
            Op("ASSIGN_VARIABLE", [1, 3], []),
        ],
        [0],
        [3],
    )
    start = Subgraph(
        [Tensor("handle", (), "resource"), Tensor.of("first", first, **quant)],
        [handle(0), Op("ASSIGN_VARIABLE", [0, 1], [])],
        [],
        [],
    )
    return make_file(main, start)


def test_a_variable_is_an_input_and_an_output_with_its_first_value() -> None:
    model = trimtab.load_model(accumulator([1.0, 2.5, -3.0]))
    assert [spec.name for spec in model.inputs] == ["x", "total"]
    assert [spec.name for spec in model.outputs] == ["new", "total_next"]
    stream = model.stream()
    np.testing.assert_array_equal(stream.states["total"], np.float32([1, 2.5, -3]))
    one = np.ones(3, np.float32)
    np.testing.assert_array_equal(stream(one), [2, 3.5, -2])
    np.testing.assert_array_equal(stream(x=one), [3, 4.5, -1])
    stream.reset()
    np.testing.assert_array_equal(stream(one), [2, 3.5, -2])


def test_steps_equal_those_of_an_interpreter() -> None:
    data = accumulator([3, -4, 5], "int8", scale=0.1, zero=3)
    frames = [RNG.integers(-30, 30, 3).astype(np.int8) for _ in range(6)]
    stream = trimtab.load_model(data).stream()
    for frame, (expected,) in zip(frames, interpreter_steps(data, frames), strict=True):
        y = stream(frame)
        assert y.dtype == np.int8
        assert np.abs(y.astype(int) - expected).max() <= 1


def test_a_variable_that_no_call_changes_is_a_constant() -> None:
    main = Subgraph(
        [
            Tensor("x", (2,)),
            Tensor("h", (), "resource"),
            Tensor("v", (2,)),
            Tensor("y", (2,)),
        ],
        [
            Op("CALL_ONCE", [], [], "CallOnce", {"InitSubgraphIndex": 1}),
            Op("VAR_HANDLE", [], [1], "VarHandle", {"SharedName": "bias"}),
            Op("READ_VARIABLE", [1], [2]),
            Op("ADD", [0, 2], [3], "Add"),
        ],
        [0],
        [3],
    )
    start = Subgraph(
        [Tensor("h", (), "resource"), Tensor.of("first", np.float32([3, 4]))],
        [
            Op("VAR_HANDLE", [], [0], "VarHandle", {"SharedName": "bias"}),
            Op("ASSIGN_VARIABLE", [0, 1], []),
        ],
        [],
        [],
    )
    model = trimtab.load_model(make_file(main, start))
    np.testing.assert_array_equal(model(np.float32([1, 1])), [4, 5])
    with pytest.raises(InputError, match="does not say what it carries"):
        model.stream()


def test_a_variable_without_a_first_value_is_refused() -> None:
    main = Subgraph(
        [Tensor("h", (), "resource"), Tensor("v", (2,))],
        [
            Op("VAR_HANDLE", [], [0], "VarHandle", {"SharedName": "bias"}),
            Op("READ_VARIABLE", [0], [1]),
        ],
        [],
        [1],
    )
    with pytest.raises(ModelFormatError, match="no first value"):
        trimtab.load_model(make_file(main))


def test_a_first_value_that_is_computed_is_refused() -> None:
    main = Subgraph(
        [Tensor("x", (2,)), Tensor("y", (2,))],
        [
            Op("CALL_ONCE", [], [], "CallOnce", {"InitSubgraphIndex": 1}),
            Op("RELU", [0], [1]),
        ],
        [0],
        [1],
    )
    start = Subgraph(
        [Tensor.of("a", real(2)), Tensor("b", (2,))], [Op("RELU", [0], [1])], [], []
    )
    with pytest.raises(UnsupportedOpError, match="RELU"):
        trimtab.load_model(make_file(main, start))


# ---- recurrent layers ----------------------------------------------------------


def lstm_file(
    kind: str,
    *,
    batch: int = 2,
    time: int = 5,
    n_input: int = 3,
    n_cell: int = 4,
    n_output: int = 0,
    cifg: bool = False,
    peephole: bool = False,
    norm: bool = False,
    projection_bias: bool = False,
    **options: Any,
) -> tuple[bytes, list[Any]]:
    projected = n_output > 0
    n_output = n_output or n_cell
    shape = (batch, n_input)
    if kind != "LSTM":
        shape = (time, *shape) if options.get("TimeMajor") else (batch, time, n_input)
    tensors = [Tensor("x", shape)]
    inputs = [0]

    def add(array: Any | None) -> None:
        if array is None:
            inputs.append(-1)
            return
        inputs.append(len(tensors))
        tensors.append(Tensor.of(f"w{len(inputs)}", array))

    for first, columns in ((1, n_input), (5, n_output)):
        for gate in range(4):
            add(None if cifg and gate == 0 else real(n_cell, columns))
        assert len(inputs) == first + 4
    for gate in range(3):
        add(real(n_cell) if peephole and not (cifg and gate == 0) else None)
    for gate in range(4):
        add(None if cifg and gate == 0 else real(n_cell))
    add(real(n_output, n_cell) if projected else None)
    add(real(n_output) if projected and projection_bias else None)
    for name, n in (("hidden", n_output), ("cell", n_cell)):
        inputs.append(len(tensors))
        tensors.append(Tensor(name, (batch, n), variable=True))
    for gate in range(4 if norm else 0):
        add(None if cifg and gate == 0 else real(n_cell) + 1)
    y = len(tensors)
    tensors.append(Tensor("y", (*shape[:-1], n_output)))
    table = "LSTM" if kind == "LSTM" else "UnidirectionalSequenceLSTM"
    options = {"FusedActivationFunction": 4, **options}
    op = Op(kind, inputs, [y], table, options)
    frames = [real(*shape) for _ in range(3)]
    return make_file(Subgraph(tensors, [op], [0], [y])), frames


def rnn_file(kind: str, **options: Any) -> tuple[bytes, list[Any]]:
    shape = (2, 3) if kind == "RNN" else (2, 5, 3)
    if options.get("TimeMajor"):
        shape = (5, 2, 3)
    tensors = [
        Tensor("x", shape),
        Tensor.of("w", real(4, 3)),
        Tensor.of("r", real(4, 4)),
        Tensor.of("b", real(4)),
        Tensor("hidden", (2, 4), variable=True),
        Tensor("y", (*shape[:-1], 4)),
    ]
    table = "RNN" if kind == "RNN" else "SequenceRNN"
    op = Op(kind, range(5), [5], table, options)
    frames = [real(*shape) for _ in range(3)]
    return make_file(Subgraph(tensors, [op], [0], [5])), frames


def svdf_file(rank: int) -> tuple[bytes, list[Any]]:
    tensors = [
        Tensor("x", (2, 3)),
        Tensor.of("feature", real(4, 3)),
        Tensor.of("time", real(4, 5)),
        Tensor.of("bias", real(4 // rank)),
        Tensor("memory", (2, 20), variable=True),
        Tensor("y", (2, 4 // rank)),
    ]
    op = Op("SVDF", range(5), [5], "SVDF", {"Rank": rank, "FusedActivationFunction": 1})
    return make_file(Subgraph(tensors, [op], [0], [5])), [real(2, 3) for _ in range(7)]


def bidirectional_file(merge: bool, first: bool) -> tuple[bytes, list[Any]]:
    """`first`: time comes first. (Merged with batches first, the interpreter's result
    is not all written.)
    """
    lead = (5, 2) if first else (2, 5)
    tensors, inputs = [Tensor("x", (*lead, 3))], [0]
    for _ in range(2):
        shapes: list[Any] = [(4, 3)] * 4 + [(4, 4)] * 4 + [None] * 3 + [(4,)] * 4
        for shape in [*shapes, None, None]:
            inputs.append(-1 if shape is None else len(tensors))
            if shape is not None:
                tensors.append(Tensor.of(f"w{len(inputs)}", real(*shape)))
    for name in ("fw_h", "fw_c", "bw_h", "bw_c"):
        inputs.append(len(tensors))
        tensors.append(Tensor(name, (2, 4), variable=True))
    inputs += [-1] * 9
    n = len(tensors)
    outputs = [n] if merge else [n, n + 1]
    tensors += [
        Tensor(f"y{i}", (*lead, 8 if merge else 4)) for i in range(len(outputs))
    ]
    options = {"FusedActivationFunction": 4, "MergeOutputs": merge, "TimeMajor": first}
    table = "BidirectionalSequenceLSTM"
    op = Op("BIDIRECTIONAL_SEQUENCE_LSTM", inputs, outputs, table, options)
    return make_file(Subgraph(tensors, [op], [0], outputs)), [real(*lead, 3)] * 2


SEQUENCE = "UNIDIRECTIONAL_SEQUENCE_LSTM"
RECURRENT: dict[str, Callable[[], tuple[bytes, list[Any]]]] = {
    "lstm": lambda: lstm_file(SEQUENCE),
    "lstm time major": lambda: lstm_file(SEQUENCE, TimeMajor=True),
    "lstm cifg": lambda: lstm_file(SEQUENCE, cifg=True),
    "lstm peephole": lambda: lstm_file(SEQUENCE, peephole=True),
    "lstm cifg peephole": lambda: lstm_file(SEQUENCE, cifg=True, peephole=True),
    "lstm projection": lambda: lstm_file(SEQUENCE, n_output=2, projection_bias=True),
    "lstm clipped": lambda: lstm_file(SEQUENCE, n_output=3, CellClip=0.2, ProjClip=0.1),
    "lstm norm": lambda: lstm_file(SEQUENCE, norm=True),
    "lstm norm cifg": lambda: lstm_file(SEQUENCE, norm=True, cifg=True),
    "lstm relu": lambda: lstm_file(SEQUENCE, FusedActivationFunction=1),
    "lstm step": lambda: lstm_file("LSTM"),
    "lstm step unusual": lambda: lstm_file(
        "LSTM", cifg=True, peephole=True, n_output=2, CellClip=0.3
    ),
    "bidirectional": lambda: bidirectional_file(False, False),
    "bidirectional merged": lambda: bidirectional_file(True, True),
    "rnn": lambda: rnn_file("RNN", FusedActivationFunction=4),
    "rnn sequence": lambda: rnn_file(
        "UNIDIRECTIONAL_SEQUENCE_RNN", FusedActivationFunction=1
    ),
    "rnn time major": lambda: rnn_file(
        "UNIDIRECTIONAL_SEQUENCE_RNN", FusedActivationFunction=4, TimeMajor=True
    ),
    "svdf": lambda: svdf_file(1),
    "svdf rank 2": lambda: svdf_file(2),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_a_recurrent_layer_steps_as_the_interpreter_does(name: str) -> None:
    data, frames = RECURRENT[name]()
    stream = trimtab.load_model(data).stream()
    for frame, expected in zip(frames, interpreter_steps(data, frames), strict=True):
        found = stream(frame)
        found = found if isinstance(found, tuple) else (found,)
        for y, y_true in zip(found, expected, strict=True):
            np.testing.assert_allclose(y, y_true, rtol=1e-5, atol=1e-5)


def test_the_old_lstm_with_one_matrix() -> None:
    n = 4
    tensors = [
        Tensor("x", (2, 3)),
        Tensor("h", (2, n)),
        Tensor.of("w", real(4 * n, 3 + n)),
        Tensor.of("b", real(4 * n)),
        Tensor("c", (2, n)),
        *[Tensor(f"y{i}", (2, size)) for i, size in enumerate((n, n, 3 + n, 4 * n))],
    ]
    op = Op(
        "LSTM",
        range(5),
        range(5, 9),
        "LSTM",
        {"KernelType": 1, "FusedActivationFunction": 4},
        version=2,
    )
    x, h, c = real(2, 3), real(2, n), real(2, n)
    data = make_file(Subgraph(tensors, [op], [0, 1, 4], [5, 6]))
    gates = np.concatenate([x, h], 1) @ tensors[2].data.T + tensors[3].data
    i, g, f, o = np.split(gates.astype(np.float64), 4, axis=1)

    def sigmoid(v: Any) -> Any:
        return 1 / (1 + np.exp(-v))

    cell = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    y, new = trimtab.load_model(data)(x, h, c)
    np.testing.assert_allclose(new, cell, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(y, sigmoid(o) * np.tanh(cell), rtol=1e-5, atol=1e-6)


# ---- streams -------------------------------------------------------------------


def counter(metadata: dict[str, str] | None = None) -> trimtab.Model:
    """y = x * state; the state counts up. No file says so unless `metadata` does."""
    b = GraphBuilder("counter")
    x, s = b.input("x", "float32", (1,)), b.input("s", "float32", ("n",))
    b.output(b.op("Mul", [x, s]), "y")
    b.output(b.op("Add", [s, b.constant([1.0], "", "float32")]), "s_next")
    return load_graph(b.build("example", metadata))


def load_graph(graph: Any) -> trimtab.Model:
    """A model of a graph that no file holds."""
    from trimtab.limits import Limits
    from trimtab.load import make_model
    from trimtab.options import Options
    from trimtab.source import Source

    options = Options(1, "cpu", True, Limits(), -1, True, False, "off", False, {})
    return make_model(graph, Source(None, b""), options)


ONE = np.ones(1, np.float32)


def test_states_are_named_by_the_user_where_the_file_does_not() -> None:
    stream = counter().stream({"s": "s_next"}, initial={"s": [5.0]})
    assert [float(stream(ONE)[0]) for _ in range(3)] == [5, 6, 7]
    assert repr(stream) == "Stream('bytes', s <- s_next)"
    zeros = counter().stream({"s": "s_next"})
    assert float(zeros(ONE)[0]) == 0


def test_states_can_be_kept_and_put_back() -> None:
    stream = counter().stream({"s": "s_next"})
    for _ in range(3):
        stream(ONE)
    kept = stream.states
    kept["s"][0] = 40  # a copy
    assert float(stream(ONE)[0]) == 3
    stream.states = {"s": [10]}
    assert float(stream(ONE)[0]) == 10


def test_a_step_that_fails_changes_no_state() -> None:
    stream = counter().stream({"s": "s_next"})
    stream(ONE)
    with pytest.raises(InputError):
        stream(np.ones((2, 2), np.float32))
    assert float(stream(ONE)[0]) == 1


def test_streams_share_a_model_and_not_their_states() -> None:
    model = counter()
    found: dict[int, list[float]] = {}

    def run(seed: int) -> None:
        stream = model.stream({"s": "s_next"}, initial={"s": [100.0 * seed]})
        found[seed] = [float(stream(ONE)[0]) for _ in range(50)]

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {s: [100.0 * s + i for i in range(50)] for s in range(4)}


@pytest.mark.parametrize(
    ("states", "initial", "message"),
    [
        (None, None, "does not say what it carries"),
        ({}, None, "does not say what it carries"),
        ({"t": "s_next"}, None, "state 't'"),
        ({"s": "t"}, None, "from 't'"),
        ({"s": "s_next", "x": "s_next"}, None, "same output"),
        ({"s": "s_next"}, {"x": [1]}, "no state 'x'"),
        ({"s": "s_next"}, {"s": [[1]]}, "shape"),
    ],
)
def test_states_that_do_not_fit_are_refused(
    states: Any, initial: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        counter().stream(states, initial=initial)


@pytest.mark.parametrize(
    "call",
    [lambda s: s(ONE, ONE), lambda s: s(ONE, x=ONE), lambda s: s(s=ONE), lambda s: s()],
)
def test_inputs_of_a_step_are_checked(call: Any) -> None:
    with pytest.raises(InputError):
        call(counter().stream({"s": "s_next"}))


STATE = '[{"input": "s", "output": "s_next"'


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "3",
        '[{"input": "s"}]',
        f"{STATE}}}]",
        f'{STATE}, "dtype": "O", "shape": [1], "fill": 0}}]',
        f'{STATE}, "dtype": "f4", "shape": [1e20], "fill": 0}}]',
        f'{STATE}, "dtype": "f4", "shape": [-1], "fill": 0}}]',
        f'{STATE}, "dtype": "f4", "shape": [1], "fill": "x"}}]',
        f'{STATE}, "dtype": "f4", "shape": [1], "base64": "?"}}]',
        f'{STATE}, "dtype": "f4", "shape": [2], "base64": "AAAA"}}]',
        "[" * 100000,
    ],
)
def test_what_a_file_says_of_states_is_checked(text: str) -> None:
    with pytest.raises(ModelFormatError):
        counter({"states": text}).stream()


def test_first_values_that_differ_are_kept_as_bytes() -> None:
    entry = json.loads(trimtab.load_model(accumulator([1.0, 2.0])).metadata["states"])[
        0
    ]
    assert entry["base64"] == "AACAPwAAAEA="


@pytest.mark.parametrize("n_loads", [1, 2])  # the second goes by the cache
def test_an_artefact_keeps_the_states(n_loads: int, tmp_path: Any) -> None:
    path = tmp_path / "m.safetensors"
    trimtab.load_model(accumulator([1.0, 2.0])).save(path, golden="random")
    for _ in range(n_loads):
        model = trimtab.load_model(path)
    stream = model.stream()
    x = np.array([1.0, 1.0], np.float32)
    assert stream(x).tolist() == [2.0, 3.0]
    assert stream(x).tolist() == [3.0, 4.0]
