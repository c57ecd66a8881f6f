"""Dropout: nothing when predicting; in training mode what onnx.reference draws."""

import numpy as np
import pytest
from tests.ops.check import check_node, feeds_of, one_node_model

import trimtab

TRUE, FALSE = np.array(True), np.array(False)


def half(value):
    return np.array(value, np.float32)


@pytest.mark.parametrize("ratio", [None, 0.1, 0.5, 0.75])
@pytest.mark.parametrize("seed", [0, 1, 7, 2**32 - 1])
@pytest.mark.parametrize("opset", [12, 13, 22])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_a_seed_gives_the_numbers_of_the_reference(rng, ratio, seed, opset, dtype):
    x = rng.standard_normal((3, 7, 150)).astype(dtype)
    p = 0.5 if ratio is None else float(np.float32(ratio))
    keeps = np.random.RandomState(seed).uniform(0, 1, x.shape) >= p
    want = [np.where(keeps, x.astype(np.float64) / (1 - p), 0).astype(dtype), keeps]
    inputs = [x, None if ratio is None else half(ratio), TRUE]
    check_node("Dropout", inputs, {"seed": seed}, opset, outputs=2, expected=want)
    check_node("Dropout", inputs, {"seed": seed}, opset, expected=want[:1])
    check_node(
        "Dropout", inputs, {"seed": seed}, opset, outputs=["", "m"], expected=want[1:]
    )


def test_without_a_seed_every_call_draws_anew(rng):
    x = np.ones((1000, 1000), np.float32)
    model = one_node_model("Dropout", [x, half(0.3), TRUE], outputs=2)
    loaded = trimtab.load_model(model.SerializeToString(), threads=2)
    feeds = feeds_of([x, half(0.3), TRUE], ())
    (y, keeps), (_, again) = (tuple(loaded.run(feeds).values()) for _ in range(2))
    np.testing.assert_allclose(y, keeps / np.float32(0.7), rtol=1e-6)
    # a million coins: five deviations of their mean
    assert abs(keeps.mean() - 0.7) < 5 * np.sqrt(0.3 * 0.7 / x.size)
    assert abs((keeps & again).mean() - 0.49) < 5 * np.sqrt(0.49 * 0.51 / x.size)
    # neighbours do not depend on each other, in any row or column
    apart = np.corrcoef(keeps[:, :-1].ravel(), keeps[:, 1:].ravel())[0, 1]
    assert abs(apart) < 5 / np.sqrt(x.size)
    assert (keeps.mean(0).std() / np.sqrt(0.21 / 1000) - 1) ** 2 < 0.05


@pytest.mark.parametrize("inputs", [[half(0.0), TRUE], [half(0.4), FALSE], []])
def test_ratio_zero_or_no_training_keeps_everything(rng, inputs):
    x = rng.standard_normal((4, 5)).astype(np.float32)
    want = [x, np.ones_like(x, bool)]
    check_node("Dropout", [x, *inputs], outputs=2, expected=want)


def test_what_is_dropped_is_zero_whatever_it_was():
    x = np.full(64, np.nan, np.float32)
    keeps = np.random.RandomState(3).uniform(0, 1, 64) >= 0.5
    want = [np.where(keeps, x, 0), keeps]
    check_node("Dropout", [x, None, TRUE], {"seed": 3}, outputs=2, expected=want)


@pytest.mark.parametrize("ratio", [1.0, -0.1, np.nan, 2.0])
def test_a_ratio_outside_is_refused(ratio):
    x = np.ones(5, np.float32)
    with pytest.raises(trimtab.InputError, match=r"outside \[0, 1\)"):
        check_node("Dropout", [x, half(ratio), TRUE], expected=[x])


def test_a_node_that_trains_is_not_folded_away():
    x = np.ones(1000, np.float32)
    model = one_node_model("Dropout", [x, half(0.5), TRUE], constants=(0, 1, 2))
    loaded = trimtab.load_model(model.SerializeToString())
    first, second = (loaded.run({})["y0"] for _ in range(2))
    assert (first != second).any()


def test_empty():
    x = np.empty((0, 3), np.float32)
    check_node("Dropout", [x, None, TRUE], outputs=2, expected=[x, x.astype(bool)])
