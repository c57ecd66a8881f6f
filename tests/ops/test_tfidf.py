"""TfIdfVectorizer of integers against onnxruntime and a count by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ops.check import check_node, one_node_model

import trimtab


def attributes_of(grams, columns, *, sizes=(1, 2), skips=0, mode="TF", weights=None):
    """Attributes for n-grams by size: {1: [(5,), ..], 2: [(5, 6), ..]}."""
    counts, pool = [], []
    for size in range(1, max(grams) + 1):
        counts.append(len(pool))
        pool += [token for gram in grams.get(size, []) for token in gram]
    return {
        "mode": mode,
        "min_gram_length": sizes[0],
        "max_gram_length": sizes[1],
        "max_skip_count": skips,
        "ngram_counts": counts,
        "ngram_indexes": columns,
        "pool_int64s": pool,
        **({} if weights is None else {"weights": weights}),
    }


def count(x, grams, columns, *, sizes=(1, 2), skips=0, mode="TF", weights=None):
    rows = np.atleast_2d(x)
    out = np.zeros((len(rows), max(columns) + 1), np.float32)
    flat = [g for size in sorted(grams) for g in grams[size]]
    for row, (number, gram) in itertools.product(range(len(rows)), enumerate(flat)):
        column, n = columns[number], len(gram)
        weight = 1 if weights is None or mode == "TF" else np.float32(weights[number])
        if not sizes[0] <= n <= sizes[1]:
            continue
        for step in range(1, skips + 2 if n > 1 else 2):
            for start in range(rows.shape[1] - step * (n - 1)):
                tokens = rows[row, start : start + step * (n - 1) + 1 : step]
                if tuple(tokens) == gram:
                    before = 0 if mode == "IDF" else out[row, column]
                    out[row, column] = before + weight
    return out if x.ndim == 2 else out[0]


GRAMS = {1: [(2,), (3,), (5,), (4,)], 2: [(5, 6), (7, 8), (6, 7), (5, 5)]}


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize("sizes", [(1, 1), (2, 2), (1, 2)])
@pytest.mark.parametrize("skips", [0, 1, 5])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_counts_are_those_of_onnxruntime(rng, mode, sizes, skips, dtype):
    options = {"sizes": sizes, "skips": skips, "mode": mode}
    options["weights"] = None if mode == "TF" else list(rng.uniform(0.1, 2, 8))
    columns = [3, 0, 2, 1, 7, 4, 6, 5]
    attributes = attributes_of(GRAMS, columns, **options)
    for shape in [(12,), (3, 30), (2, 1)]:
        x = rng.integers(1, 9, shape).astype(dtype)
        check_node("TfIdfVectorizer", [x], attributes)
        expected = [count(x, GRAMS, columns, **options)]
        check_node("TfIdfVectorizer", [x], attributes, expected=expected)


@given(
    st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=20, unique=True),
    st.integers(0, 12),
    st.integers(0, 4),
    st.integers(0, 2**32 - 1),
)
def test_any_trigrams(trigrams, n_tokens, skips, seed):
    rng = np.random.default_rng(seed)
    columns = list(rng.permutation(len(trigrams)))
    x = rng.integers(0, 4, (2, n_tokens))
    grams = {3: trigrams}
    options = {"sizes": (1, 3), "skips": skips}
    attributes = attributes_of(grams, columns, **options)
    expected = [count(x, grams, columns, **options)]
    check_node("TfIdfVectorizer", [x], attributes, expected=expected)


def test_a_column_of_several_n_grams_and_one_of_none():
    attributes = attributes_of({1: [(1,), (2,)]}, [3, 3], sizes=(1, 1))
    x = np.array([[1, 2, 2], [9, 9, 9]])
    want = np.array([[0, 0, 0, 3], [0, 0, 0, 0]], np.float32)
    check_node("TfIdfVectorizer", [x], attributes, expected=[want])


GOOD = attributes_of(GRAMS, list(range(8)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "BM25"}, "expected TF"),
        ({"ngram_counts": [0, 5]}, "ngram_counts"),
        ({"ngram_counts": [4, 0]}, "ngram_counts"),
        ({"ngram_counts": [-1, 4]}, "ngram_counts"),
        ({"ngram_counts": [0, 2**60]}, "ngram_counts"),
        ({"ngram_indexes": [0, 1]}, "2 items for 8 n-grams"),
        ({"ngram_indexes": [-1, *range(7)]}, "item 0 of ngram_indexes"),
        ({"ngram_indexes": [2**62, *range(7)]}, "item 0 of ngram_indexes"),
        ({"max_gram_length": 3}, "up to 2"),
        ({"min_gram_length": 0}, "n-grams of 0"),
        ({"max_skip_count": -1}, "-1 skips"),
        ({"weights": [1.0]}, "1 weights for 8"),
        ({"pool_int64s": [2, 2, 5, 4, 5, 6, 7, 8, 6, 7, 5, 5]}, "occurs twice"),
    ],
)
def test_pools_that_do_not_fit_are_refused(change, message):
    x = np.zeros((2, 3), np.int64)
    model = one_node_model("TfIdfVectorizer", [x], {**GOOD, **change})
    with pytest.raises(trimtab.TrimtabError, match=message):
        loaded = trimtab.load_model(model.SerializeToString(), fallback=False)
        loaded.run({"x0": x})
