"""Descriptors of token ids and vectors, the table of kinds, and guessing the kind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trimtab import steps
from trimtab.errors import InputError
from trimtab.monitor.descriptors import (
    DESCRIPTORS,
    describe,
    guess_kind,
    guess_options,
    names,
)
from trimtab.pipeline import Pipeline
from trimtab.signature import TensorSpec

TEXT, VECTOR = names("text"), names("vector")


@given(
    hnp.arrays(
        np.int64,
        st.tuples(st.integers(1, 4), st.integers(1, 30)),
        elements=st.integers(0, 9),
    ),
    st.sampled_from([0, 3, None]),
)
def test_numbers_of_ids_are_those_of_the_definition(
    ids: np.ndarray, padding: int | None
) -> None:
    rows = describe("text", ids, padding_id=padding, unknown_id=5)
    many = describe("text", np.tile(ids, (600, 1)), padding_id=padding, unknown_id=5)
    np.testing.assert_array_equal(many, np.tile(rows, (600, 1)))
    for row, given_ids in zip(rows, ids.tolist(), strict=True):
        tokens = [i for i in given_ids if i != padding]
        n = len(tokens)
        want = [
            n,
            tokens.count(5) / n if n else np.nan,
            1 - n / len(given_ids),
            len(set(tokens)) / n if n else np.nan,
            np.mean(tokens) if n else np.nan,
        ]
        np.testing.assert_allclose(row, want, rtol=1e-6, atol=1e-7)


def test_ids_without_a_known_unknown_have_no_share_of_it() -> None:
    row = describe("text", [5, 6, 0, 0])[0]
    assert np.isnan(row[TEXT.index("unknown_share")])
    assert row[TEXT.index("length")] == 2


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.integers(1, 50)),
        elements=st.floats(-1e3, 1e3, width=32),
    )
)
def test_numbers_of_vectors_are_those_of_numpy(x: np.ndarray) -> None:
    rows = describe("vector", x)
    y = x.astype(np.float64)
    want = [
        np.linalg.norm(y, axis=1),
        y.mean(axis=1),
        y.std(axis=1),
        (y == 0).mean(axis=1),
        np.abs(y).max(axis=1),
    ]
    np.testing.assert_allclose(rows, np.stack(want, axis=1), rtol=1e-4, atol=1e-3)


def test_long_vectors_are_sampled() -> None:
    x = np.random.default_rng(0).normal(2, 3, (2, 200_000)).astype(np.float32)
    rows = describe("vector", x)
    norms = np.linalg.norm(x, axis=1)
    np.testing.assert_allclose(rows[:, VECTOR.index("norm")], norms, rtol=0.02)
    np.testing.assert_allclose(rows[:, VECTOR.index("std")], 3, rtol=0.05)


def test_vectors_that_are_not_finite_give_no_exception() -> None:
    row = describe("vector", [[np.nan, np.inf, 1.0]])[0]
    assert np.isnan(row[VECTOR.index("mean")])
    assert describe("vector", np.zeros((0, 3))).shape == (0, 5)
    assert np.isnan(describe("vector", np.zeros((2, 0)))).all()


@pytest.mark.parametrize("kind", sorted(DESCRIPTORS))
def test_every_kind_describes_zeros_and_names_its_columns(kind: str) -> None:
    shape = (2, 3, 8, 8) if kind == "image" else (2, 300)
    dtype = np.int64 if kind == "text" else np.float32
    rows = describe(kind, np.zeros(shape, dtype))
    assert rows.dtype == np.float32
    assert rows.shape == (2, len(names(kind)))
    assert all(DESCRIPTORS[kind].features.values())
    with pytest.raises(InputError):
        describe(kind, object())
    with pytest.raises(InputError):
        describe(kind, [["a", "b"]])
    with pytest.raises(InputError):
        describe(kind, [[1.0], [1.0, 2.0]])


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="audio, image, text, vector"):
        describe("video", np.zeros(3))
    with pytest.raises(InputError, match="'video'"):
        names("video")


class _Any:
    """Stands for a model: pipelines ask nothing of it before they are called."""

    inputs = ()


def pipeline(*given_steps: object) -> Pipeline:
    """Make one of steps before a model."""
    return Pipeline(list(given_steps), _Any(), None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (TensorSpec("images", "float32", (1, 3, 640, 640)), "image"),
        (TensorSpec("input", "uint8", ("n", None, None, 3)), "image"),
        (TensorSpec("Input3", "float32", (1, 1, 28, 28)), "image"),
        (TensorSpec("input_ids", "int64", ("N", "T")), "text"),
        (TensorSpec("input_ids", "int32", (1, 128)), "text"),
        (TensorSpec("attention_mask", "int64", ("N", "T")), "vector"),
        (TensorSpec("token_type_ids", "int64", ("N", "T")), "vector"),
        (TensorSpec("input", "float32", (None, 576)), "vector"),
        (TensorSpec("input_1", "float32", ("n", 144160)), "audio"),
        (TensorSpec("input_2", "float32", ("n", 43844, 1)), "audio"),
        (TensorSpec("waveform", "float32", ("n", "samples")), "audio"),
        (TensorSpec("mel", "float32", (1, 80, 3000)), "vector"),
        (TensorSpec("x", "float32", ("N", 30)), "vector"),
        (TensorSpec("x", None, None), "vector"),
        (TensorSpec("sr", "int64", ()), "vector"),
    ],
)
def test_kinds_are_guessed_by_the_signature(spec: TensorSpec, kind: str) -> None:
    assert guess_kind(spec) == kind


def test_kinds_are_guessed_by_the_steps_before_the_model() -> None:
    plain = TensorSpec("x", "float32", (None, None))
    grid = TensorSpec("x", "float32", (None, None, None))
    words = steps.IndexWords(b'{"the": 1, "<oov>": 2}', length=8, unknown="<oov>")
    texts = pipeline(words)
    assert guess_kind(plain, texts) == "text"
    assert guess_options("text", plain, texts) == {"padding_id": 0, "unknown_id": 2}
    sound = pipeline(steps.ReadWav(), steps.Resample(22050))
    assert guess_kind(plain, sound) == "audio"
    assert guess_options("audio", plain, sound) == {"sample_rate": 22050.0}
    spectra = pipeline(steps.ReadWav(), steps.WhisperLogMel())
    assert guess_kind(grid, spectra) == "vector"
    photos = pipeline(steps.DecodeImage(), *steps.imagenet())
    spec = TensorSpec("x", "float32", (None, None, None, None))
    assert guess_kind(spec, photos) == "image"
    assert guess_kind(plain, pipeline(lambda x: x)) == "vector"
    # a second input of a model that takes images is judged by its own dims
    assert guess_kind(TensorSpec("size", "float32", (1,)), photos) == "vector"
