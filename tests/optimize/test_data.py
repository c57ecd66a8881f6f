"""Data of the user: what is taken, split, scored, and what is refused and how."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import InputError, InputTypeError
from trimtab.optimize.guard import Scored, bound_drop, drop_of, predict_bound, score
from trimtab.optimize.metrics import (
    METRICS,
    check_labels,
    default_metric,
    find_metric,
)
from trimtab.optimize.samples import (
    Samples,
    check_calibration,
    run_samples,
    take_samples,
)
from trimtab.optimize.splits import (
    choose_guard_share,
    least_guard,
    power_text,
    split_samples,
)
from trimtab.signature import TensorSpec
from trimtab.stats.paired import clopper_pearson_upper, drop_upper_bound

RNG = np.random.default_rng(0)


class Doubler:
    """Gives twice its input; counts its calls."""

    def __init__(self, *specs: TensorSpec) -> None:
        self.inputs = specs or (TensorSpec("x", "float32", ("N", 3)),)
        self.outputs = (TensorSpec("y", "float32", None),)
        self.sizes: list[int] = []

    def run(self, inputs):
        x = inputs[self.inputs[0].name]
        self.sizes.append(len(x))
        return {"y": 2 * x}


def data(n: int = 40) -> np.ndarray:
    return RNG.standard_normal((n, 3)).astype(np.float32)


# ---- samples ------------------------------------------------------------------------


def test_arrays_tuples_mappings_and_lists_are_the_same_samples() -> None:
    model, x = Doubler(), data()
    for given_data in (x, (x,), {"x": x}, [x[:15], {"x": x[15:]}]):
        samples = take_samples(model, given_data, what="calibration")
        assert len(samples) == 40
        assert np.array_equal(run_samples(model, samples), 2 * x)
    assert max(model.sizes) == 32


@pytest.mark.parametrize("size", [1, 4, 7])
def test_a_fixed_batch_is_filled_up(size: int) -> None:
    model, x = Doubler(TensorSpec("x", "float32", (size, 3))), data()
    samples = take_samples(model, x, what="validation")
    assert np.array_equal(run_samples(model, samples), 2 * x)
    assert set(model.sizes) == {size}


def test_calls_of_different_shapes_are_run_one_after_the_other() -> None:
    model = Doubler(TensorSpec("x", "float32", ("N", "T")))
    calls = [RNG.standard_normal((1, n)).astype(np.float32) for n in (3, 5, 5, 2)]
    outputs = run_samples(model, take_samples(model, calls, what="validation"))
    assert outputs.dtype == object
    assert all(np.array_equal(a, 2 * b[0]) for a, b in zip(outputs, calls, strict=True))


def test_models_without_a_batch_take_a_stack_of_calls() -> None:
    model, x = Doubler(TensorSpec("x", "float32", (3,))), data()
    samples = take_samples(model, x, what="validation")
    assert not samples.is_batched
    assert np.array_equal(run_samples(model, samples), 2 * x)


NAN = np.full((4, 3), np.nan, np.float32)
BAD = [
    ([], "there are no samples"),
    (np.zeros((0, 3), np.float32), "there are no samples"),
    (np.zeros((4, 2), np.float32), r"calibration: .*3"),
    (np.array([["a"] * 3]), "calibration"),
    ({"z": np.zeros((4, 3), np.float32)}, r"the inputs are \['x'\], got \['z'\]"),
    ((data(), data()), "has 1 inputs"),
    (NAN, "sample 0, input 'x' holds NaN"),
    ("x.npy", "expected arrays"),
    (3.0, "expected arrays"),
]


@pytest.mark.parametrize(("bad", "message"), BAD, ids=[m for _, m in BAD])
def test_data_that_do_not_fit_are_refused(bad, message: str) -> None:
    with pytest.raises(InputError, match=message):
        take_samples(Doubler(), bad, what="calibration")


def test_a_wrong_dtype_is_said_to_be_one() -> None:
    with pytest.raises(InputTypeError, match="calibration"):
        take_samples(Doubler(), np.array([["a"] * 3]), what="calibration")


def test_labels_that_do_not_match_are_refused() -> None:
    x = data()
    for labels in (np.zeros(39, int), 7):
        with pytest.raises(InputError, match="expected one for each sample"):
            take_samples(Doubler(), x, what="validation", labels=labels)
    with pytest.raises(InputError, match="label 3 is nan"):
        y = np.zeros(40)
        y[3] = np.nan
        take_samples(Doubler(), x, what="validation", labels=y)


def test_constant_calibration_data_are_refused() -> None:
    model = Doubler()
    with pytest.raises(InputError, match=r"is 1\.0 in all of 5 samples"):
        check_calibration(take_samples(model, np.ones((5, 3), np.float32), what="x"))
    check_calibration(take_samples(model, data(), what="x"))


# ---- splits -------------------------------------------------------------------------


def numbered(n: int, labels: np.ndarray | None = None) -> Samples:
    return Samples([{"x": np.array([[i]])} for i in range(n)], labels)


def ids(samples: Samples) -> set[int]:
    return {int(item["x"][0, 0]) for item in samples.items}


@settings(max_examples=60, deadline=None)
@given(
    st.integers(12, 300),
    st.integers(0, 2**32),
    st.sampled_from([0.3, 0.5, 0.8, 1.0]),
    st.booleans(),
)
def test_splits_share_no_sample_and_lose_none(n, seed, share, is_classes) -> None:
    labels = np.arange(n) % 3
    pool = numbered(n, labels)
    splits = split_samples(
        None, pool, guard_share=share, is_classes=is_classes, seed=seed
    )
    parts = [ids(splits.calibration), ids(splits.guard)]
    parts += [] if share == 1 else [ids(splits.search)]
    assert sum(map(len, parts)) == n
    assert set.union(*parts) == set(range(n))
    again = split_samples(
        None, pool, guard_share=share, is_classes=is_classes, seed=seed
    )
    assert ids(again.guard) == ids(splits.guard)


def test_labels_stay_with_their_samples() -> None:
    splits = split_samples(None, numbered(50, np.arange(50) * 2), seed=3)
    for part in (splits.calibration, splits.search, splits.guard):
        numbers = [int(item["x"][0, 0]) for item in part.items]
        assert part.labels is not None
        assert part.labels.tolist() == [2 * i for i in numbers]


def test_every_part_gets_its_share_of_every_class() -> None:
    labels = np.repeat([0, 1, 2], [300, 80, 20])
    splits = split_samples(None, numbered(400, labels), is_classes=True, seed=5)
    for part in (splits.search, splits.guard):
        counts = np.bincount(part.labels)
        assert counts == pytest.approx(len(part) * np.array([0.75, 0.2, 0.05]), abs=1.5)


def test_equal_samples_never_lie_in_two_parts() -> None:
    items = [{"x": np.array([[i % 40]])} for i in range(200)]
    splits = split_samples(None, Samples(items), seed=2)
    parts = [ids(part) for part in (splits.calibration, splits.search, splits.guard)]
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]


def test_what_ranges_were_taken_from_proves_nothing() -> None:
    pool = numbered(100)
    splits = split_samples(numbered(30), pool, seed=1)
    assert splits.n_shared == 30
    assert not ids(splits.guard) & set(range(30))
    assert not ids(splits.search) & set(range(30))
    # The same samples twice are split in three.
    splits = split_samples(pool, pool, seed=1)
    parts = [ids(part) for part in (splits.calibration, splits.search, splits.guard)]
    assert splits.is_split
    assert sum(map(len, parts)) == len(set.union(*parts)) == 100


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(InputError, match="too few"):
        split_samples(None, numbered(3))
    with pytest.raises(InputError, match="guard_share"):
        split_samples(None, numbered(30), guard_share=0)
    with pytest.raises(InputError, match="neither"):
        split_samples(None, None)


@pytest.mark.parametrize("budget", [0.001, 0.005, 0.02, 0.3])
def test_the_least_guard_proves_the_budget_and_one_less_does_not(budget: float) -> None:
    n = least_guard(budget)
    assert clopper_pearson_upper(0, n) <= budget < clopper_pearson_upper(0, n - 1)
    assert f"{n} guard samples" in power_text(n)


@pytest.mark.parametrize("budget", [0.002, 0.005, 0.02, 0.1])
def test_the_guard_proves_what_changes_as_much_as_its_budget(budget: float) -> None:
    """Answers that change either way alike, as many as may become worse."""
    pool = round(15 / budget)
    n = round(pool * choose_guard_share(pool, budget))
    assert pool / 2 < n < 0.8 * pool
    chances = [budget / 2, budget / 2, 1 - budget]
    counts = np.random.default_rng(1).multinomial(n, chances, size=400)
    proven = [drop_upper_bound(*map(int, x[:2]), n) <= budget for x in counts]
    assert 0.92 < np.mean(proven) < 0.99


@given(st.integers(1, 10**7), st.floats(1e-5, 2), st.floats(0.001, 0.4))
def test_the_search_keeps_a_fifth_and_the_guard_half(n, budget, alpha) -> None:
    share = choose_guard_share(n, budget, alpha)
    assert 0.5 <= share <= 0.8
    assert choose_guard_share(n, budget / 2, alpha) >= share


# ---- metrics ------------------------------------------------------------------------


def test_scores_are_what_their_names_say() -> None:
    logits = RNG.standard_normal((50, 4))
    labels = RNG.integers(0, 4, 50)
    right = METRICS["accuracy"].score(labels, logits)
    assert right.mean() == (logits.argmax(1) == labels).mean()
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    want = np.log(p[np.arange(50), labels])
    for outputs in (logits, p):
        got = METRICS["cross_entropy"].score(labels, outputs)
        assert got == pytest.approx(want, rel=1e-9)
    noisy = logits + 0.1
    got = METRICS["cosine"].score(logits, noisy)
    lengths = np.linalg.norm(logits, axis=1) * np.linalg.norm(noisy, axis=1)
    assert got == pytest.approx((logits * noisy).sum(1) / lengths)
    got = METRICS["sqnr"].score(logits, noisy)
    assert -got == pytest.approx(0.04 / (logits**2).sum(1))
    assert METRICS["mse"].score(logits, noisy) == pytest.approx(-0.01)
    agree = METRICS["top_1_agreement"].score(logits, -logits)
    assert agree.sum() == 0


def test_how_far_a_probability_moves_does_not_depend_on_its_form() -> None:
    logits = RNG.standard_normal((50, 6)) * 3
    moved = logits + RNG.standard_normal(logits.shape) * 0.2
    p, q = (np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (logits, moved))
    top = logits.argmax(1)
    want = 1 - np.abs(p - q)[np.arange(50), top]
    score = METRICS["top_1_probability"].score
    assert score(logits, moved) == pytest.approx(want)
    assert score(p, q) == pytest.approx(want)
    steps = score(logits.reshape(10, 5, 6), moved.reshape(10, 5, 6))
    assert steps == pytest.approx(want.reshape(10, 5).mean(1))
    with pytest.raises(InputError, match="two classes or more"):
        check_labels(METRICS["top_1_probability"], None, np.zeros((4, 1)))


@pytest.mark.parametrize("size", [0.05, 0.3, 1.0])
def test_changes_of_answers_are_forecast_from_margins(size: float) -> None:
    rng = np.random.default_rng(3)
    scores = rng.standard_normal((20000, 5)) * 2
    moved = scores + rng.standard_normal(scores.shape) * size
    metric = METRICS["top_1_agreement"]
    expected = metric.forecast(scores, moved)
    seen = 1 - metric.score(scores, moved).mean()
    # only the second largest score counts, where more of them can win
    assert 0.75 * seen < expected < 1.1 * seen
    assert metric.forecast(scores, scores) == 0
    one = rng.random((20000, 1))
    shaken = one + rng.standard_normal(one.shape) * 0.05
    expected = metric.forecast(one, shaken)
    assert expected == pytest.approx(1 - metric.score(one, shaken).mean(), rel=0.15)


def test_a_forecast_counts_samples_that_did_not_change_by_luck() -> None:
    metric, same = METRICS["top_1_agreement"], Scored(np.ones(500))
    lucky = Scored(np.ones(500), expected=0.012)
    few, more = (predict_bound(metric, same, x, 500) for x in (same, lucky))
    assert few == pytest.approx(clopper_pearson_upper(0, 500))
    assert more == pytest.approx(clopper_pearson_upper(6, 500))


def test_a_single_score_is_a_class_too() -> None:
    scores = np.array([[0.2], [0.7], [0.4]])
    labels = np.array([0, 1, 1])
    assert METRICS["accuracy"].score(labels, scores).tolist() == [1, 1, 0]
    assert METRICS["accuracy"].score(labels, labels).tolist() == [1, 1, 1]


def test_the_usual_metric_follows_from_what_there_is() -> None:
    logits = RNG.standard_normal((8, 4))
    unit = logits / np.linalg.norm(logits, axis=1, keepdims=True)
    classes = np.zeros(8, int)

    def name(labels, outputs, is_classifier=False):
        return default_metric(labels, outputs, is_classifier=is_classifier)[0].name

    assert name(classes, logits) == "accuracy"
    assert name(np.zeros((8, 4)), logits) == "mse"
    assert name(None, logits, True) == "top_1_agreement"
    assert name(None, unit) == "cosine"
    assert name(None, logits) == "sqnr"
    with pytest.raises(InputError, match="no usual one"):
        name(np.array(["cat"] * 8), logits)


def test_labels_out_of_range_are_refused() -> None:
    logits, accuracy = np.zeros((3, 4)), METRICS["accuracy"]
    check_labels(accuracy, np.array([0, 3, 1]), logits)
    with pytest.raises(InputError, match="from 0 to 4, but the model has 4 classes"):
        check_labels(accuracy, np.array([0, 4, 1]), logits)
    with pytest.raises(InputError, match="numbers of classes"):
        check_labels(accuracy, np.array([0.5, 1, 2]), logits)
    with pytest.raises(InputError, match="needs labels"):
        check_labels(accuracy, None, logits)
    with pytest.raises(InputError, match="mse"):
        check_labels(METRICS["mse"], np.zeros((3, 2)), logits)


def test_metrics_that_fail_are_named() -> None:
    def broken(y_true, y_pred):
        raise ValueError("no such column")

    x = np.zeros((3, 2))
    with pytest.raises(InputError, match=r"'broken' raised ValueError .*no such col"):
        score(find_metric(broken), x, x, whose="f32")
    with pytest.raises(InputError, match="NaN or infinite for f32"):
        score(find_metric(lambda a, b: float("nan")), x, x, whose="f32")
    with pytest.raises(InputError, match="NaN or infinite for sample 1"):
        score(find_metric(lambda a, b: [1, np.nan, 2]), x, x, whose="f32")
    with pytest.raises(InputError, match=r"gave \(2,\) for 3 samples"):
        score(find_metric(lambda a, b: [1, 2]), x, x, whose="f32")
    with pytest.raises(InputError, match="expected one of"):
        find_metric("accuraci")


# ---- bounds -------------------------------------------------------------------------


def test_right_and_wrong_are_counted_in_pairs() -> None:
    before, after = np.ones(600), np.ones(600)
    after[:3] = 0
    before[5] = 0
    bound = bound_drop(METRICS["accuracy"], Scored(before), Scored(after))
    assert (bound.n10, bound.n01, bound.method) == (3, 1, "exact")
    assert bound.drop == pytest.approx(2 / 600)
    assert bound.drop < bound.upper < 0.014


def test_agreement_has_nothing_to_gain() -> None:
    after = np.ones(600)
    after[:3] = 0
    bound = bound_drop(METRICS["top_1_agreement"], Scored(np.ones(600)), Scored(after))
    assert bound.upper == clopper_pearson_upper(3, 600)


def test_rare_large_losses_are_not_averaged_away() -> None:
    """1 of 300 samples loses everything: a bootstrap of the mean would say 0.01."""
    after = np.full(300, 0.999)
    after[7] = 0.0
    bound = bound_drop(METRICS["cosine"], Scored(np.ones(300)), Scored(after))
    # 1 % of samples like this one would show as one of 300 in one try of five
    assert bound.upper > 0.01
    same = bound_drop(METRICS["cosine"], Scored(np.ones(300)), Scored(np.ones(300)))
    assert same.upper == pytest.approx(3 / 300, rel=0.02)


def test_a_metric_of_one_number_is_resampled() -> None:
    def f1(y_true, y_pred):
        hit = float((y_true & y_pred).sum())
        return 2 * hit / max(float(y_true.sum() + y_pred.sum()), 1.0)

    labels = RNG.random(800) < 0.3
    old, new = labels ^ (RNG.random(800) < 0.05), labels ^ (RNG.random(800) < 0.09)
    metric = find_metric(f1)
    before = score(metric, labels, old, whose="f32")
    after = score(metric, labels, new, whose="a candidate")
    bound = bound_drop(metric, before, after)
    assert bound.method == "BCa bootstrap"
    assert bound.drop == pytest.approx(f1(labels, old) - f1(labels, new))
    assert bound.drop < bound.upper < bound.drop + 0.1
    assert predict_bound(metric, before, after, 800) == pytest.approx(
        bound.upper, abs=0.02
    )
    few, many = (predict_bound(metric, before, after, n) for n in (200, 5000))
    assert few > many > bound.drop
    # Equal answers are not proof of an equal model.
    assert bound_drop(metric, before, before).upper > 0.003


def test_answers_that_are_not_numbers_are_an_infinite_drop() -> None:
    bad = Scored(np.array([1.0, -np.inf]))
    assert bound_drop(METRICS["cosine"], Scored(np.ones(2)), bad).upper == np.inf
    assert drop_of(Scored(np.ones(2)), bad) == np.inf
    assert predict_bound(METRICS["cosine"], Scored(np.ones(2)), bad, 9) == np.inf
