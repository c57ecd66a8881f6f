"""Decoding of sequences against brute force over everything that could be said."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import trimtab
from trimtab.errors import InputError, ModelFormatError
from trimtab.processing import make_step
from trimtab.processing.decode_class import softmax
from trimtab.processing.decode_ctc import decode_ctc
from trimtab.processing.decode_ctc_beam import decode_ctc_beam
from trimtab.processing.decode_sequence import Decoding, decode_sequence
from trimtab.processing.decoder_model import DecoderModel, DecoderState

# ---- CTC ----------------------------------------------------------------------


def every_text(steps: np.ndarray, blank: int) -> dict[tuple[int, ...], float]:
    """Probability of each text: the sum over all paths that spell it."""
    total: dict[tuple[int, ...], float] = defaultdict(float)
    n_steps, n_classes = steps.shape
    for path in itertools.product(range(n_classes), repeat=n_steps):
        merged = [c for c, _ in itertools.groupby(path)]
        text = tuple(c for c in merged if c != blank)
        total[text] += math.prod(steps[i, c] for i, c in enumerate(path))
    return total


@settings(max_examples=80, deadline=None)
@given(
    n_steps=st.integers(0, 6),
    n_classes=st.integers(1, 4),
    seed=st.integers(0, 10**6),
    data=st.data(),
)
def test_a_wide_beam_finds_every_text_with_its_probability(
    n_steps: int, n_classes: int, seed: int, data: st.DataObject
) -> None:
    blank = data.draw(st.integers(-n_classes, n_classes - 1))
    rng = np.random.default_rng(seed)
    steps = softmax(2 * rng.standard_normal((n_steps, n_classes)))
    want = every_text(steps, blank % n_classes)
    found = decode_ctc_beam(steps, blank=blank, n_beams=5000)
    assert {h.classes for h in found} == set(want)
    for hypothesis in found:
        probability = math.exp(hypothesis.log_probability)
        assert probability == pytest.approx(want[hypothesis.classes], rel=1e-9)
    ranks = [h.log_probability for h in found]
    assert ranks == sorted(ranks, reverse=True)


def test_long_recordings_do_not_underflow() -> None:
    steps = np.tile([0.4, 0.35, 0.25], (3000, 1))
    best = decode_ctc_beam(steps, n_beams=4)[0]
    assert math.isfinite(best.log_probability)
    assert best.log_probability < -700  # smaller than a float64 can hold


def test_a_narrow_beam_finds_the_sharp_text() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 50, 200)
    steps = softmax(12 * np.eye(50)[classes] + rng.standard_normal((200, 50)))
    labels = [chr(0x4E00 + i) for i in range(50)]
    greedy = decode_ctc(steps, labels).text
    best = decode_ctc_beam(steps, n_beams=4, min_probability=1e-3)[0]
    assert "".join(labels[c] for c in best.classes) == greedy


def test_only_the_likeliest_classes_are_followed() -> None:
    steps = [[0.1, 0.5, 0.4]] * 2
    found = decode_ctc_beam(steps, max_classes=1, n_beams=100)
    assert {h.classes for h in found} == {(), (1,)}
    found = decode_ctc_beam(steps, min_probability=0.45, n_beams=100)
    assert {h.classes for h in found} == {(), (1,)}


@pytest.mark.parametrize(
    ("steps", "match"),
    [
        (np.zeros(3), "steps of classes"),
        ([[-1.0, 2.0]], "apply a softmax"),
        ([[float("nan"), 0.5]], "apply a softmax"),
    ],
)
def test_what_is_no_probability_is_refused(steps: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        decode_ctc_beam(steps)


def test_impossible_steps_give_no_text() -> None:
    assert decode_ctc_beam([[0.0, 0.0]]) == []
    assert make_step("ctc_beam", {"labels": ["", "a"]}, {})([[0.0, 0.0]], {}) == ""


@pytest.mark.parametrize("kind", ["ctc_greedy", "ctc_beam"])
def test_ctc_steps_read_text(kind: str) -> None:
    step = make_step(
        kind, {"labels": ["a", "b", ""], "blank": -1, "from_logits": True}, {}
    )
    logits = 20 * np.eye(3)[[0, 0, 2, 0, 1]]
    context: dict[str, Any] = {}
    assert step(logits[None], context) == "aab"
    assert context["ctc"]
    assert make_step(kind, *step.config()) == step
    with pytest.raises(InputError, match="steps of 3 classes"):
        step(np.zeros((2, 5, 3)), {})


# ---- token by token -----------------------------------------------------------

END = 0


class Table:
    """Scores that depend on all tokens so far, reproducibly; remembers its rows."""

    def __init__(self, n_classes: int, seed: int) -> None:
        self.n_classes, self.seed = n_classes, seed
        self.rows: list[tuple[int, ...]] = [()]
        self.n_calls = 0

    def logits(self, tokens: tuple[int, ...]) -> np.ndarray:
        rng = np.random.default_rng([self.seed, *tokens])
        return 2 * rng.standard_normal(self.n_classes)

    def __call__(self, tokens: np.ndarray, parents: np.ndarray) -> np.ndarray:
        self.n_calls += 1
        self.rows = [
            (*self.rows[parent], *new)
            for parent, new in zip(parents.tolist(), tokens.tolist(), strict=True)
        ]
        return np.stack([self.logits(row) for row in self.rows])


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())


def log_probability(
    table: Table, prompt: tuple[int, ...], tokens: tuple[int, ...]
) -> float:
    return sum(
        log_softmax(table.logits((*prompt, *tokens[:i])))[token]
        for i, token in enumerate(tokens)
    )


def everything_said(
    table: Table, prompt: tuple[int, ...], rules: Decoding
) -> dict[tuple[int, ...], float]:
    """Every sequence that ends, or is as long as allowed, with its score."""
    found = {}
    others = [c for c in range(table.n_classes) if c != rules.end]
    for length in range(rules.max_tokens + 1):
        for tokens in itertools.product(others, repeat=length):
            said = (*tokens, rules.end) if length < rules.max_tokens else tokens
            total = log_probability(table, prompt, said)
            found[tokens] = total / max(1, len(said)) ** rules.length_penalty
    return found


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_classes=st.integers(2, 3),
    max_tokens=st.integers(1, 4),
    penalty=st.sampled_from([0.0, 0.6, 1.0, 2.0, -0.5]),
)
def test_a_wide_beam_finds_the_best_of_everything(
    seed: int, n_classes: int, max_tokens: int, penalty: float
) -> None:
    rules = Decoding(
        END, max_tokens, n_beams=100, length_penalty=penalty, is_thorough=True
    )
    table, prompt = Table(n_classes, seed), (1, 1)
    want = everything_said(table, prompt, rules)
    got = decode_sequence(table, prompt, rules)
    assert {s.tokens for s in got} == set(want)
    for sequence in got:
        assert sequence.score == pytest.approx(want[sequence.tokens], abs=1e-5)
    assert got[0].tokens == max(want, key=lambda tokens: want[tokens])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_beams=st.integers(2, 6),
    penalty=st.sampled_from([0.0, 1.0]),
)
def test_beams_tell_the_truth_about_their_sequences(
    seed: int, n_beams: int, penalty: float
) -> None:
    rules = Decoding(END, 8, n_beams=n_beams, length_penalty=penalty)
    table = Table(7, seed)
    found = decode_sequence(table, [3], rules)
    assert 1 <= len(found) <= n_beams
    assert len({(s.tokens, s.has_ended) for s in found}) == len(found)
    for sequence in found:
        said = (*sequence.tokens, END) if sequence.has_ended else sequence.tokens
        want = log_probability(table, (3,), said)
        assert sequence.log_probability == pytest.approx(want, abs=1e-5)
        assert sequence.has_ended or len(sequence.tokens) == 8
    assert found == sorted(found, key=lambda s: -s.score)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), n_classes=st.integers(2, 9))
def test_one_beam_takes_the_best_token_each_time(seed: int, n_classes: int) -> None:
    table, tokens, total = Table(n_classes, seed), [1], 0.0
    while len(tokens) < 13:
        logs = log_softmax(table.logits(tuple(tokens)))
        best = int(logs.argmax())
        total += logs[best]
        if best == END:
            break
        tokens.append(best)
    (got,) = decode_sequence(table, [1], Decoding(END, 12))
    assert list(got.tokens) == tokens[1:]
    assert got.log_probability == pytest.approx(total, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), n_beams=st.integers(1, 4))
def test_suppressed_tokens_never_come(seed: int, n_beams: int) -> None:
    rules = Decoding(
        END, 6, n_beams=n_beams, suppress=(2, 99), suppress_first=(END, 3), no_repeat=2
    )
    for found in decode_sequence(Table(5, seed), [1], rules):
        assert 2 not in found.tokens
        assert found.tokens[0] not in (END, 3)
        pairs = list(itertools.pairwise(found.tokens))
        assert len(set(pairs)) == len(pairs)


@pytest.mark.parametrize("n_beams", [1, 3])
def test_nothing_is_said_where_everything_is_suppressed(n_beams: int) -> None:
    rules = Decoding(END, 5, n_beams=n_beams, suppress=(0, 1, 2))
    (got,) = decode_sequence(Table(3, 0), [1], rules)
    assert (got.tokens, got.has_ended) == ((), False)


def test_drawn_tokens_have_the_softmaxs_frequencies() -> None:
    rules = Decoding(END, 1, temperature=0.7)
    table, rng = Table(4, 5), np.random.default_rng(0)
    counts = np.zeros(4)
    for _ in range(4000):
        (got,) = decode_sequence(table, [1], rules, rng=rng)
        counts[got.tokens[0] if got.tokens else END] += 1
        table.rows = [()]
    want = softmax(table.logits((1,)) / 0.7)
    # four deviations of a frequency of 4,000 draws: at most 4 * .5 / 63
    assert np.abs(counts / 4000 - want).max() < 0.032
    best = {
        decode_sequence(
            Table(9, i), [1], Decoding(END, 1, temperature=9, top_k=1), rng=rng
        )[0].tokens
        == decode_sequence(Table(9, i), [1], Decoding(END, 1))[0].tokens
        for i in range(20)
    }
    assert best == {True}
    with pytest.raises(InputError, match="rng: needed"):
        decode_sequence(table, [1], rules)


def test_a_settled_search_stops_early() -> None:
    def sure(tokens: np.ndarray, parents: np.ndarray) -> np.ndarray:
        calls.append(len(tokens))
        return np.tile(np.eye(5)[END] * 50, (len(tokens), 1))

    calls: list[int] = []
    for penalty in (0.0, 1.0):
        calls.clear()
        rules = Decoding(END, 1000, n_beams=3, length_penalty=penalty)
        assert decode_sequence(sure, [1], rules)[0].tokens == ()
        assert len(calls) < 5


@pytest.mark.parametrize(
    ("scores", "match"),
    [
        (np.zeros((2, 3)), "scores of 1 rows"),
        (np.zeros(3), "scores of 1 rows"),
        (np.full((1, 3), np.nan), "not numbers"),
        (np.full((1, 3), np.inf), "not numbers"),
    ],
)
def test_scores_without_sense_are_refused(scores: np.ndarray, match: str) -> None:
    with pytest.raises(InputError, match=match):
        decode_sequence(lambda tokens, parents: scores, [1], Decoding(END))
    with pytest.raises(InputError, match="at least one token"):
        decode_sequence(Table(3, 0), [], Decoding(END))


# ---- models with and without memory --------------------------------------------


def without_memory() -> bytes:
    """logits (rows, n, 8) of position i: table[token i] + running sum of tokens."""
    rng = np.random.default_rng(4)
    table = numpy_helper.from_array(
        rng.standard_normal((8, 8)).astype(np.float32) * 2, "table"
    )
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["rows"]),
        helper.make_node("CumSum", ["rows", "axis"], ["sums"]),
        helper.make_node("Add", ["sums", "heard"], ["logits"]),
    ]
    return _model(
        nodes,
        [table, numpy_helper.from_array(np.int64(1), "axis")],
        {"tokens": (TensorProto.INT64, ["n", "t"]), "heard": (1, ["n", 1, 8])},
        {"logits": (1, ["n", "t", 8])},
    )


def with_memory() -> bytes:
    """The same; `sum` remembers the running sum."""
    rng = np.random.default_rng(4)
    table = numpy_helper.from_array(
        rng.standard_normal((8, 8)).astype(np.float32) * 2, "table"
    )
    axes = numpy_helper.from_array(np.array([1]), "axes")
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["rows"]),
        helper.make_node("ReduceSum", ["rows", "axes"], ["added"], keepdims=0),
        helper.make_node("Add", ["added", "sum"], ["new_sum"]),
        helper.make_node("Squeeze", ["heard", "axes"], ["flat"]),
        helper.make_node("Add", ["new_sum", "flat"], ["logits"]),
    ]
    return _model(
        nodes,
        [table, axes],
        {
            "tokens": (TensorProto.INT64, ["n", "t"]),
            "sum": (1, ["n", 8]),
            "heard": (1, ["n", 1, 8]),
        },
        {"logits": (1, ["n", 8]), "new_sum": (1, ["n", 8])},
    )


def with_slots() -> bytes:
    """The same; `past` has 12 slots for rows of the table, the rest is zero."""
    rng = np.random.default_rng(4)
    table = numpy_helper.from_array(
        rng.standard_normal((8, 8)).astype(np.float32) * 2, "table"
    )
    one = numpy_helper.from_array(np.array([1]), "one")
    zero = numpy_helper.from_array(np.float32(0), "zero")
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["fresh"]),
        helper.make_node("ReduceSum", ["fresh", "one"], ["added"], keepdims=0),
        helper.make_node("ReduceSum", ["past", "one"], ["before"], keepdims=0),
        helper.make_node("Cast", ["position"], ["count"], to=1),
        helper.make_node("Mul", ["count", "zero"], ["nothing"]),
        helper.make_node("Add", ["added", "before"], ["sum"]),
        helper.make_node("Squeeze", ["heard", "one"], ["flat"]),
        helper.make_node("Add", ["sum", "flat"], ["heard_sum"]),
        helper.make_node("Add", ["heard_sum", "nothing"], ["logits"]),
    ]
    return _model(
        nodes,
        [table, one, zero],
        {
            "tokens": (TensorProto.INT64, ["n", "t"]),
            "past": (1, ["n", 12, 8]),
            "position": (TensorProto.INT64, [1]),
            "heard": (1, ["n", 1, 8]),
        },
        {"logits": (1, ["n", 8]), "fresh": (1, ["n", "t", 8])},
    )


def _model(nodes: Any, weights: Any, inputs: Any, outputs: Any) -> bytes:
    graph = helper.make_graph(
        nodes,
        "decoder",
        [helper.make_tensor_value_info(k, *v) for k, v in inputs.items()],
        [helper.make_tensor_value_info(k, *v) for k, v in outputs.items()],
        weights,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()


HEARD = np.random.default_rng(8).standard_normal((1, 1, 8)).astype(np.float32)
DECODERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "without_memory": (without_memory, {}),
    "with_memory": (with_memory, {"states": (DecoderState("sum", "new_sum"),)}),
    "with_slots": (
        with_slots,
        {
            "states": (DecoderState("past", "fresh", slot_axis=1),),
            "position": "position",
        },
    ),
}


def in_numpy(heard: np.ndarray) -> Any:
    """The same decoder in five lines."""
    table = np.random.default_rng(4).standard_normal((8, 8)).astype(np.float32) * 2
    rows: list[np.ndarray] = [heard.reshape(8)]

    def net(tokens: np.ndarray, parents: np.ndarray) -> np.ndarray:
        rows[:] = [rows[p] + table[t].sum(0) for p, t in zip(parents, tokens)]  # noqa: B905
        return np.stack(rows)

    return net


@pytest.mark.parametrize("n_beams", [1, 4])
@pytest.mark.parametrize("name", DECODERS)
def test_a_models_memory_follows_its_beams(name: str, n_beams: int) -> None:
    make, options = DECODERS[name]
    net = DecoderModel(
        trimtab.load_model(make(), threads=1),
        constants={"heard": (HEARD, 0)},
        **options,
    )
    rules = Decoding(7, 9, n_beams=n_beams, length_penalty=1.0, no_repeat=1)
    got = decode_sequence(net, [1, 2], rules)
    want = decode_sequence(in_numpy(HEARD), [1, 2], rules)
    assert [s.tokens for s in got] == [s.tokens for s in want]
    np.testing.assert_allclose(
        [s.score for s in got], [s.score for s in want], atol=1e-4
    )


def test_slots_run_out_with_a_message() -> None:
    make, options = DECODERS["with_slots"]
    net = DecoderModel(
        trimtab.load_model(make()), constants={"heard": (HEARD, 0)}, **options
    )
    rules = Decoding(7, 30, suppress=(7,))
    with pytest.raises(InputError, match="slots for 12 tokens only"):
        decode_sequence(net, [1, 2], rules)


def test_names_that_a_model_lacks_are_refused() -> None:
    model = trimtab.load_model(with_memory())
    with pytest.raises(InputError, match="expected tokens, states"):
        DecoderModel(model)
    memory = DecoderState("sum", "old_sum")
    constants = {"heard": (HEARD, 0)}
    with pytest.raises(InputError, match="no output 'old_sum'"):
        DecoderModel(model, states=[memory], constants=constants)
    memory = DecoderState("sum", "new_sum", slot_axis=5)
    with pytest.raises(InputError, match="no axis 5"):
        DecoderModel(model, states=[memory], constants=constants)


def test_a_stored_step_holds_its_decoder() -> None:
    step = make_step(
        "decode_sequence",
        {
            "prompt": [1, 2],
            "end": 7,
            "constants": [["heard", 0]],
            "states": [["past", "fresh", 0, 1]],
            "position": "position",
            "max_tokens": 9,
            "n_beams": 3,
            "threads": 1,
        },
        {"decoder": with_slots()},
    )
    again = make_step("decode_sequence", *step.config())
    assert again == step
    assert "decoder" not in repr(step)
    context: dict[str, Any] = {}
    tokens = again(HEARD, context)
    want = decode_sequence(in_numpy(HEARD), [1, 2], Decoding(7, 9, n_beams=3))[0]
    assert tokens == want.tokens == context["decoded"].tokens
    with pytest.raises(InputError, match="expected 1 outputs"):
        step((HEARD, HEARD), {})


GOOD: dict[str, Any] = {"prompt": [1], "end": 7}


@pytest.mark.parametrize(
    "bad",
    [
        {"prompt": []},
        {"prompt": [-1]},
        {"prompt": "1"},
        {"end": -1},
        {"end": 1.0},
        {"max_tokens": 0},
        {"max_tokens": 10**12},
        {"n_beams": 0},
        {"n_beams": 10**9},
        {"length_penalty": float("nan")},
        {"suppress": [10**30]},
        {"states": [["a", "b", 0]]},
        {"states": [["a", "b", 0, 10**9]]},
        {"states": "past"},
        {"constants": [["a"]]},
        {"constants": [["a", -1]]},
        {"tokens": 3},
        {"no_repeat": -1},
        {"threads": -1},
        {"decoder": "x"},
    ],
)
def test_hostile_parameters_are_refused(bad: dict[str, Any]) -> None:
    assets = {} if "decoder" in bad else {"decoder": b"x"}
    with pytest.raises(ModelFormatError, match="expected"):
        make_step("decode_sequence", {**GOOD, **bad}, assets)


@pytest.mark.parametrize("kind", ["ctc_greedy", "ctc_beam"])
@pytest.mark.parametrize(
    "bad",
    [
        {"labels": []},
        {"labels": [1]},
        {"labels": "ab"},
        {"blank": 2},
        {"blank": -3},
        {"from_logits": 1},
    ],
)
def test_hostile_ctc_parameters_are_refused(kind: str, bad: dict[str, Any]) -> None:
    with pytest.raises(ModelFormatError, match="expected"):
        make_step(kind, {"labels": ["", "a"], **bad}, {})


def test_a_decoder_that_is_no_model_is_refused() -> None:
    step = make_step(
        "decode_sequence", {**GOOD, "constants": [["heard", 0]]}, {"decoder": b"x"}
    )
    with pytest.raises(ModelFormatError):
        step(HEARD, {})
