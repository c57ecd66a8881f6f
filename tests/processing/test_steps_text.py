"""Steps for text against Hugging Face's tokenizers, torch and their definitions."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import InputError, ModelFormatError, ModelLimitError
from trimtab.processing import make_step
from trimtab.processing.text import (
    KERAS_FILTERS,
    decode_byte_level,
    index_words,
    l2_normalize,
    mean_pool,
    pad_rows,
)
from trimtab.processing.tokenizer_file import check_tokenizer, read_tokenizer

WORDS = (
    "[PAD] [UNK] [CLS] [SEP] ever tried failed no matter try again better . ,".split()
)


def tokenizer_json(**parts: Any) -> bytes:
    """A small tokenizer in the style of BERT."""
    special = [
        {
            "id": i,
            "content": WORDS[i],
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i in range(4)
    ]
    cls, sep = ({"SpecialToken": {"id": t, "type_id": 0}} for t in ("[CLS]", "[SEP]"))
    config = {
        "version": "1.0",
        "truncation": {
            "max_length": 3,
            "strategy": "LongestFirst",
            "stride": 0,
            "direction": "Right",
        },
        "padding": {
            "strategy": {"Fixed": 1 << 50},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "[PAD]",
        },
        "added_tokens": special,
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [cls, {"Sequence": {"id": "A", "type_id": 0}}, sep],
            "pair": [
                cls,
                {"Sequence": {"id": "A", "type_id": 0}},
                sep,
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {
                t: {"id": t, "ids": [WORDS.index(t)], "tokens": [t]}
                for t in ("[CLS]", "[SEP]")
            },
        },
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {w: i for i, w in enumerate(WORDS)},
            "unk_token": "[UNK]",
        },
        **parts,
    }
    return json.dumps(config).encode()


def tokenize(**parameters: Any) -> Any:
    step = make_step("tokenize", parameters, {"tokenizer": tokenizer_json()})
    again = make_step("tokenize", *step.config())
    assert again == step
    assert "vocab" not in repr(step)
    return again


# ---- tokens ---------------------------------------------------------------------


def test_texts_become_padded_ids_and_a_mask() -> None:
    pytest.importorskip("tokenizers")
    names = ["input_ids", "attention_mask", "token_type_ids"]
    context: dict[str, Any] = {}
    got = tokenize(outputs=names)(["Ever tried, ever failed.", "Try"], context)
    assert list(got) == names
    assert got["input_ids"].tolist() == [
        [2, 4, 5, 13, 4, 6, 12, 3],
        [2, 9, 3] + 5 * [0],
    ]
    assert got["attention_mask"].tolist() == [[1] * 8, [1] * 3 + [0] * 5]
    assert got["token_type_ids"].tolist() == [[0] * 8] * 2
    assert {m.dtype for m in got.values()} == {np.dtype(np.int64)}
    assert context["attention_mask"].tolist() == got["attention_mask"].tolist()
    assert context["n_tokens"] == [8, 3]


def test_truncation_keeps_special_tokens_and_padding_has_a_side() -> None:
    pytest.importorskip("tokenizers")
    cut = tokenize(max_tokens=4)("ever tried ever failed", {})
    assert cut["input_ids"].tolist() == [[2, 4, 5, 3]]
    left = tokenize(max_tokens=6, pad="max", pad_side="pre", pad_id=9)("try", {})
    assert left["input_ids"].tolist() == [[9, 9, 9, 2, 9, 3]]
    assert left["attention_mask"].tolist() == [[0, 0, 0, 1, 1, 1]]
    bare = tokenize(special_tokens=False, dtype="int32")("try", {})
    assert bare["input_ids"].tolist() == [[9]]
    assert bare["input_ids"].dtype == np.int32


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_any_text_is_tokenized_as_the_library_does(texts: list[str]) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    texts = [t.encode("utf-8", "ignore").decode() for t in texts]
    library = tokenizers.Tokenizer.from_buffer(tokenizer_json())
    library.no_truncation()
    library.enable_padding()
    want = library.encode_batch(texts)
    got = tokenize()(texts, {})
    assert got["input_ids"].tolist() == [e.ids for e in want]
    assert got["attention_mask"].tolist() == [e.attention_mask for e in want]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r"pip install 'trimtab\[text\]'"):
        tokenize()("try", {})


@pytest.mark.parametrize("value", [3, b"try", [b"try"], None, ["try", 3]])
def test_what_is_no_text_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="expected"):
        tokenize()(value, {})


def test_lone_surrogates_are_refused_with_a_message() -> None:
    pytest.importorskip("tokenizers")
    with pytest.raises(InputError, match="tokenizers failed"):
        tokenize()("\ud800", {})


def replace(content: str, pattern: str | None = "a") -> dict[str, Any]:
    kind = {"Regex": "."} if pattern is None else {"String": pattern}
    return {"type": "Replace", "pattern": kind, "content": content}


@pytest.mark.parametrize("part", ["normalizer", "decoder"])
def test_replacements_that_multiply_a_text_are_refused(part: str) -> None:
    bomb = {"type": "Sequence", f"{part}s": [replace("a" * 1000)] * 4}
    with pytest.raises(ModelLimitError, match="times as long"):
        check_tokenizer(tokenizer_json(**{part: bomb}))
    doubling = {"type": "Sequence", f"{part}s": [replace("a", "")] * 40}
    with pytest.raises(ModelLimitError, match="times as long"):
        check_tokenizer(tokenizer_json(**{part: doubling}))
    usual = {"type": "Sequence", f"{part}s": [replace("a", "b")] * 40}
    check_tokenizer(tokenizer_json(**{part: usual}))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b'{"model": 3}',
        b'{"model": {}}',
        b"\xff\xfe",
        tokenizer_json(normalizer={"type": "NoSuchThing"}),
        tokenizer_json(normalizer=replace("a", None) | {"pattern": {"Regex": "(("}}),
        tokenizer_json(added_tokens=3),
    ],
)
def test_a_malformed_tokenizer_is_refused(content: bytes) -> None:
    pytest.importorskip("tokenizers")
    with pytest.raises(ModelFormatError, match="tokenizer"):
        read_tokenizer(content)


def test_a_huge_tokenizer_is_refused_unread() -> None:
    with pytest.raises(ModelLimitError, match="at most"):
        check_tokenizer(bytes((64 << 20) + 1))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_mutated_tokenizer_works_or_is_refused(data: st.DataObject) -> None:
    pytest.importorskip("tokenizers")
    content = bytearray(tokenizer_json())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.sampled_from(b'09{}[]",:-e\\\x00a'))
    try:
        step = make_step("tokenize", {}, {"tokenizer": bytes(content)})
        step("Ever tried", {})
    except (InputError, ModelFormatError):
        pass


@pytest.mark.parametrize(
    "bad",
    [
        {"max_tokens": 0},
        {"max_tokens": 1 << 40},
        {"pad": "all"},
        {"pad_id": -1},
        {"pad_side": "left"},
        {"outputs": ["ids"]},
        {"outputs": "input_ids"},
        {"special_tokens": 1},
        {"dtype": "uint8"},
    ],
)
def test_hostile_tokenizing_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ModelFormatError, match="expected"):
        make_step("tokenize", bad, {"tokenizer": tokenizer_json()})


# ---- words --------------------------------------------------------------------------


def keras_sequences(text: str, words: dict[str, int], n: int, oov: int) -> list[int]:
    """The loop of Keras's Tokenizer, spelled out."""
    text = text.lower()
    for character in KERAS_FILTERS:
        text = text.replace(character, " ")
    out = []
    for word in [w for w in text.split(" ") if w]:
        index = words.get(word)
        if index is not None and not (n and index >= n):
            out.append(index)
        elif oov:
            out.append(oov)
    return out


INDEX = {"<oov>": 1, "good": 2, "bad": 3, "very": 4, "ich": 5}


@settings(max_examples=200, deadline=None)
@given(
    words=st.lists(st.sampled_from(["Good", "bad!", "very", "x", "", "\t", "(ICH)"])),
    n_words=st.integers(0, 6),
    unknown=st.sampled_from([0, 1]),
)
def test_words_are_indexed_as_keras_does(
    words: list[str], n_words: int, unknown: int
) -> None:
    text = " ".join(words)
    got = index_words(text, INDEX, n_words=n_words, unknown=unknown)
    assert got == keras_sequences(text, INDEX, n_words, unknown)


def test_words_are_indexed_as_keras_itself_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    theirs = pytest.importorskip(
        "keras.src.legacy.preprocessing.text", exc_type=ImportError
    )
    texts = ["It's good, very GOOD!", "bad\tbad (x_y)", "", "d'ich - ich ich"]
    for n_words, unknown in ((None, None), (3, None), (4, "<oov>")):
        tokenizer = theirs.Tokenizer(num_words=n_words, oov_token=unknown)
        tokenizer.fit_on_texts(texts)
        index = tokenizer.word_index
        for text in [*texts, "never seen good"]:
            got = index_words(
                text, index, n_words=n_words or 0, unknown=index.get(unknown, 0)
            )
            assert got == tokenizer.texts_to_sequences([text])[0]


def index_step(**parameters: Any) -> Any:
    step = make_step(
        "index_words", parameters, {"word_index": json.dumps(INDEX).encode()}
    )
    assert make_step("index_words", *step.config()) == step
    return step


def test_rows_of_words_are_padded_and_cut_before() -> None:
    step = index_step(length=3, dtype="float32")
    got = step(["very very good", "bad", "good bad very good"], {})
    assert got.dtype == np.float32
    assert got.tolist() == [[4, 4, 2], [0, 0, 3], [3, 4, 2]]
    after = index_step(length=3, pad="post", cut="post", unknown="<oov>", n_words=4)
    assert after("so bad, very good", {}).tolist() == [[1, 3, 1]]
    assert index_step()("", {}).shape == (1, 0)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 99), max_size=9), max_size=4),
    st.integers(0, 12),
    st.sampled_from(["pre", "post"]),
    st.sampled_from(["pre", "post"]),
)
def test_rows_are_padded_by_definition(
    rows: list[list[int]], length: int, pad: str, cut: str
) -> None:
    got = pad_rows(rows, length=length, value=-1, pad=pad, cut=cut)
    size = length or max(map(len, rows), default=0)
    for to, row in zip(got.tolist(), rows, strict=True):
        kept = row
        while len(kept) > size:
            kept = kept[1:] if cut == "pre" else kept[:-1]
        while len(kept) < size:
            kept = [-1, *kept] if pad == "pre" else [*kept, -1]
        assert to == kept


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"a": 0}',
        b'{"a": true}',
        b'{"a": "1"}',
        b'{"a": 1e9}',
        b"[" * 9999,
    ],
)
def test_a_word_index_without_sense_is_refused(content: bytes) -> None:
    with pytest.raises(ModelFormatError, match="word_index"):
        make_step("index_words", {}, {"word_index": content})


@pytest.mark.parametrize(
    "bad",
    [{"split": ""}, {"split": "ab"}, {"unknown": "none"}, {"dtype": "object"}],
)
def test_hostile_indexing_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ModelFormatError, match=r"expected|not in the word index"):
        index_step(**bad)


def test_texts_are_normalized() -> None:
    step = make_step(
        "normalize_text", {"form": "NFKC", "lower": True, "one_space": True}, {}
    )
    assert step(" ﬁne\n\tDAY ", {}) == "fine day"
    assert step(["A", "B"], {}) == ["a", "b"]
    with pytest.raises(ModelFormatError, match="form"):
        make_step("normalize_text", {"form": "NF"}, {})


# ---- back to text ------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_byte_level_tokens_are_the_librarys(text: str) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    text = text.encode("utf-8", "ignore").decode()
    splitter = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens = [token for token, _ in splitter.pre_tokenize_str(text)]
    assert decode_byte_level(tokens) == text


def test_all_bytes_have_a_character() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    decoded = {decode_byte_level([c]) for c in alphabet}
    assert {chr(b) for b in range(128)} <= decoded
    assert decode_byte_level(["<|\u65e5|>"]) == "<|\u65e5|>"  # an added token


def test_tokens_become_text_by_a_vocabulary() -> None:
    vocabulary = "Try\n\u0120again\n.\n<|end|>\n".encode()
    step = make_step("decode_bytes", {"n_tokens": 3}, {"vocabulary": vocabulary})
    assert make_step("decode_bytes", *step.config()) == step
    assert step([1, 0, 1, 2, 3, 99], {}) == "againTry again."
    assert step(np.array([[0, 2]]), {}) == "Try."
    assert step((), {}) == ""
    with pytest.raises(InputError, match="vector of token ids"):
        step([-1], {})
    with pytest.raises(InputError, match="vector of token ids"):
        step([0.5], {})
    with pytest.raises(ModelFormatError, match="UTF-8"):
        make_step("decode_bytes", {}, {"vocabulary": b"\xff"})
    with pytest.raises(ModelFormatError, match="vocabulary"):
        make_step("decode_bytes", {"vocabulary": 3}, {})


def test_tokens_become_text_by_a_tokenizer() -> None:
    pytest.importorskip("tokenizers")
    step = make_step("detokenize", {}, {"tokenizer": tokenizer_json()})
    assert step([2, 4, 5, 3], {}) == "ever tried"
    everything = make_step(
        "detokenize", {"skip_special": False}, {"tokenizer": tokenizer_json()}
    )
    assert everything([2, 4], {}) == "[CLS] ever"
    with pytest.raises(InputError):
        step([1 << 40], {})


# ---- vectors ------------------------------------------------------------------------


def test_pooling_and_norm_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    states = rng.standard_normal((3, 7, 16)).astype(np.float32)
    mask = (rng.random((3, 7)) < 0.6).astype(np.int64)
    mask[2] = 0
    x, keep = torch.from_numpy(states), torch.from_numpy(mask)[..., None].float()
    pooled = (x * keep).sum(1) / keep.sum(1).clamp(min=1e-9)
    np.testing.assert_allclose(mean_pool(states, mask), pooled.numpy(), atol=1e-6)
    want = torch.nn.functional.normalize(pooled, dim=-1).numpy()
    pool, norm = make_step("mean_pool", {}, {}), make_step("l2_normalize", {}, {})
    got = norm(pool((states,), {"attention_mask": mask}), {})
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_pooling_needs_the_mask_and_the_output() -> None:
    pool = make_step("mean_pool", {"output": 1}, {})
    with pytest.raises(InputError, match="no step before"):
        pool(np.zeros((1, 2, 3)), {})
    with pytest.raises(InputError, match="1 outputs, no 1"):
        pool((np.zeros((1, 2, 3)),), {"attention_mask": np.ones((1, 2))})
    with pytest.raises(InputError, match="states of each token"):
        pool(np.zeros((1, 2, 3)), {"attention_mask": np.ones((1, 3))})


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5), st.integers(0, 10**6))
def test_unit_vectors_have_length_1(n: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).standard_normal((n, 9))
    np.testing.assert_allclose(
        np.linalg.norm(l2_normalize(vectors), axis=-1), 1, rtol=1e-5
    )
    assert l2_normalize(np.zeros(4)).tolist() == [0] * 4


def test_a_head_is_a_matrix_and_a_bias() -> None:
    rng = np.random.default_rng(2)
    weights, bias = rng.standard_normal((3, 5)), rng.standard_normal(3)
    assets = {
        "weights": weights.astype("<f4").tobytes(),
        "bias": bias.astype("<f4").tobytes(),
    }
    head = make_step("linear", {}, assets)
    assert make_step("linear", *head.config()) == head
    vectors = rng.standard_normal((4, 5))
    np.testing.assert_allclose(head(vectors, {}), vectors @ weights.T + bias, atol=1e-5)
    with pytest.raises(InputError, match="vectors of 5 numbers"):
        head(np.zeros((2, 4)), {})
    for broken in (b"", b"123", bytes(16)):
        with pytest.raises(ModelFormatError):
            make_step("linear", {}, {**assets, "weights": broken})


def test_the_best_label_is_named() -> None:
    step = make_step("best_label", {"labels": ["bad", "good"]}, {})
    best = step([[0.3, 0.7], [0.9, 0.1]], {})
    assert [(b.label, b.probability) for b in best] == [("good", 0.7), ("bad", 0.9)]
    with pytest.raises(ModelFormatError, match="labels"):
        make_step("best_label", {"labels": [1]}, {})
