"""Labels that come late, out of order, twice, for nobody, or never."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle
from tests.monitor.clocks import FakeClock

from trimtab.errors import InputError
from trimtab.metrics.metric import Metric
from trimtab.metrics.scores import ScoresAccumulator
from trimtab.monitor.fold import CHUNK
from trimtab.monitor.labels import STATUSES, LabelStore

CLASSES = ["accuracy", "f1_macro", "balanced_accuracy"]
NUMBERS = ["mean_absolute_error", "root_mean_squared_error", "r2"]
AUC = Metric(
    "roc_auc",
    "scores",
    True,
    oracle.roc_auc_score,
    lambda: ScoresAccumulator("roc_auc"),
)


def store(metrics: Any = "accuracy", **options: Any) -> LabelStore:
    return LabelStore(metrics, **{"clock": FakeClock(), **options})


def one_hot(places: np.ndarray, n_classes: int = 3) -> np.ndarray:
    return np.eye(n_classes)[places]


def test_each_label_is_counted_by_what_became_of_it() -> None:
    clock = FakeClock()
    kept = store(clock=clock, horizon_s=100, early_s=10)
    kept.predicted("a", [0.9, 0.1])
    kept.predicted("b", [0.2, 0.8])
    kept.predicted("b", [0.9, 0.1])
    assert kept.label("a", 0) == "matched"
    assert kept.label("a", 0) == "duplicate"
    assert kept.label("a", 1) == "conflicting"
    assert kept.label("z", 1) == "early"
    assert kept.label("z", 1) == "duplicate"
    assert kept.label("y", 1) == "early"
    assert (kept.n_pending, kept.n_early) == (1, 2)
    kept.predicted("z", [0.4, 0.6])  # its label was there before it
    clock.pass_(11)
    assert kept.counts["unmatched"] == 1
    clock.pass_(90)
    assert kept.label("b", 1) == "late"
    assert kept.label("a", 0) == "duplicate"
    assert kept.label("z", 1) == "duplicate"
    assert kept.counts == {
        "predicted": 3,
        "matched": 2,
        "late": 1,
        "duplicate": 4,
        "conflicting": 1,
        "unmatched": 1,
        "invalid": 0,
        "expired": 1,
        "evicted": 0,
        "repeated": 1,
    }
    assert kept.counts.keys() == STATUSES.keys()
    assert kept.metrics()["accuracy"][::3] == (1.0, 2)
    assert kept.n_pending == 0


def test_without_patience_a_label_for_nobody_is_unmatched_at_once() -> None:
    kept = store(early_s=0)
    assert kept.label("nobody", 1) == "unmatched"
    kept.predicted("nobody", [0.0, 1.0])
    assert kept.metrics()["accuracy"].n == 0


@pytest.mark.parametrize(
    "wrong",
    [None, float("nan"), 0.5, "dog", 2, -1, 1 << 80, 1e300, [], [0, 1], {}, "x" * 9999],
)
def test_what_is_no_label_never_reaches_the_metrics(wrong: Any) -> None:
    kept = store(CLASSES)
    for i in range(4):
        kept.predicted(i, [0.2, 0.8])
    assert kept.label(0, wrong) == "invalid"
    assert kept.label(0, 1) == "matched"  # the right one may follow
    assert kept.label("early", wrong) in ("invalid", "early")
    kept.predicted("early", [0.2, 0.8])
    assert kept.metrics()["accuracy"][::3] == (1.0, 1)


def test_predictions_that_are_none_are_counted() -> None:
    kept = store()
    kept.predicted_rows([1, 2, 3], [[0.1, np.nan], [np.inf, 0], [0.1, 0.9]])
    assert kept.counts["invalid"] == 2
    assert kept.label(1, 0) == "early"
    with pytest.raises(InputError, match="2 classes as before"):
        kept.predicted(4, [0.1, 0.2, 0.7])
    with pytest.raises(InputError, match="hashable"):
        kept.predicted([], [0.1, 0.9])
    with pytest.raises(InputError, match="one for each row"):
        kept.predicted_rows([1], [[0.1, 0.9]] * 2)
    assert kept.label([], 1) == "invalid"


def test_classes_may_be_given_by_name_or_be_texts() -> None:
    named = store(classes=["cat", "dog"])
    named.predicted(1, [3.0, -1.0])
    assert named.label(1, "cat") == "matched"
    texts = store()
    texts.predicted_rows([1, 2], np.array(["cat", "dog"]))
    assert (texts.label(1, "cat"), texts.label(2, "cow")) == ("matched", "matched")
    assert texts.metrics()["accuracy"].value == 0.5
    single = store("f1", threshold=0.3)
    single.predicted_rows([1, 2], np.array([[0.31], [0.29]], np.float32))
    assert (single.label(1, np.int64(1)), single.label(2, True)) == ("matched",) * 2
    assert single.metrics()["f1"].value == pytest.approx(2 / 3)


def test_numbers_that_are_no_classes_do_not_take_the_memory() -> None:
    kept = store()
    kept.predicted_rows(range(5000), np.arange(5000))
    assert kept.counts["invalid"] == 5000 - 1024
    assert kept.label(3, 123456) == "invalid"


def test_memory_is_bounded() -> None:
    kept = store(max_pending=100, early_s=1e9)
    for i in range(1000):
        kept.predicted(i, [0.2, 0.8])
        kept.label(-1 - i, 1)
    assert kept.counts["evicted"] == 900
    assert kept.n_pending == kept.n_early == 100
    assert len(kept._gone) <= 100
    assert kept.counts["unmatched"] == 900
    assert kept.label(899, 1) == "late"
    scores = store(AUC, max_bytes=100_000)
    scores.predicted_rows(range(100), np.full((100, 1000), 1e-3))
    assert scores._n_bytes <= 100_000
    long = store()
    long.predicted("x" * 1_000_000, [0.1, 0.9])
    assert max(len(key) for key in long._held) == 16
    assert long.label("x" * 1_000_000, 1) == "matched"


def test_a_clock_that_goes_back_lets_nothing_go_twice() -> None:
    clock = FakeClock()
    kept = store(clock=clock, horizon_s=10)
    kept.predicted(1, [0.1, 0.9])
    clock.pass_(-50)
    kept.predicted(2, [0.1, 0.9])
    assert (kept.label(1, 1), kept.label(2, 1)) == ("matched", "matched")
    clock.pass_(61)
    assert kept.label(2, 1) == "duplicate"
    assert kept.n_pending == 0


# ---- against all at once -------------------------------------------------------------


@st.composite
def traffic(draw: Any) -> dict[str, Any]:
    """Predictions, and labels in some order, some twice, some never, some early."""
    n = draw(st.integers(1, 60))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    events = [("predicted", i) for i in range(n)]
    for i in range(n):
        events += [("label", i)] * int(random.integers(0, 4))
    events += [("label", -1 - i) for i in range(int(random.integers(0, 5)))]
    order = random.permutation(len(events)).tolist()
    mixed = [events[i] for i in order]
    # Predictions keep their order among each other.
    ids = iter(range(n))
    mixed = [(w, next(ids)) if w == "predicted" else (w, i) for w, i in mixed]
    return {"n": n, "random": random, "events": mixed}


def played(kept: LabelStore, events: Any, outputs: Any, truths: Any) -> list[int]:
    for what, i in events:
        if what == "predicted":
            kept.predicted(i, outputs[i])
        else:
            kept.label(i, truths[i % len(truths)])
    return sorted({i for what, i in events if what == "label" and i >= 0})


@settings(max_examples=60, deadline=None)
@given(traffic())
def test_any_order_of_labels_gives_what_all_at_once_gives(case: Any) -> None:
    n, random = case["n"], case["random"]
    places, truths = random.integers(0, 3, n), random.integers(0, 3, n)
    kept = store(CLASSES)
    came = played(kept, case["events"], one_hot(places), truths)
    found = kept.metrics()
    assert kept.counts["matched"] == len(came) == found["accuracy"].n
    if not came:
        assert np.isnan(found["accuracy"].value)
        return
    y, p = truths[came], places[came]
    assert found["accuracy"].value == oracle.accuracy_score(y, p)
    labels = np.unique(np.concatenate([y, p]))
    f1 = oracle.f1_score(y, p, average="macro", labels=labels)
    assert found["f1_macro"].value == pytest.approx(f1, abs=1e-12)
    whole = store(CLASSES)
    whole.predicted_rows(came, one_hot(p))
    for i in came:
        whole.label(i, truths[i])
    assert whole.metrics() == found  # to the last bit, intervals too


@settings(max_examples=40, deadline=None)
@given(traffic(), st.integers(1, 100))
def test_numbers_do_not_depend_on_the_order_to_the_last_bit(
    case: Any, max_pending: int
) -> None:
    n, random = case["n"], case["random"]
    outputs = random.normal(size=n) * 10.0 ** random.integers(-8, 8, n)
    truths = outputs + random.normal(size=n)
    kept = store(NUMBERS)
    came = played(kept, case["events"], outputs, truths)
    found = kept.metrics()
    whole = store(NUMBERS, max_pending=max_pending)
    for i in came:  # at once; letting go early changes nothing
        whole.predicted(i, outputs[i])
        whole.label(i, truths[i])
    again = whole.metrics()
    for name in NUMBERS:
        np.testing.assert_array_equal(again[name], found[name])
    if came:
        mae = oracle.mean_absolute_error(truths[came], outputs[came])
        assert found["mean_absolute_error"].value == pytest.approx(mae, rel=1e-12)


def test_looking_changes_nothing_and_chunks_do_not_show() -> None:
    n = 2 * CHUNK + 37
    random = np.random.default_rng(1)
    outputs = random.normal(size=n)
    truths = outputs + random.normal(size=n)
    looked, quiet = store(NUMBERS, max_pending=50), store(NUMBERS)
    for i in range(n):
        looked.predicted(i, outputs[i])
        looked.label(i, truths[i])
        if i % 100 == 0:
            looked.metrics(), looked.windows()
    quiet.predicted_rows(range(n), outputs)
    for i in random.permutation(n).tolist():
        quiet.label(i, truths[i])
    assert looked.metrics() == quiet.metrics()
    r2 = oracle.r2_score(truths, outputs)
    assert quiet.metrics()["r2"].value == pytest.approx(r2, rel=1e-12)


def test_areas_under_curves_are_of_what_is_still_held() -> None:
    random = np.random.default_rng(2)
    y = random.integers(0, 2, 300)
    scores = np.clip(random.normal(0.3 + 0.3 * y, 0.2), 0, 1)
    kept = store([AUC, "accuracy"], max_pending=200)
    for i in range(300):
        kept.predicted(i, [1 - scores[i], scores[i]])
        kept.label(i, y[i])
    found = kept.metrics()
    auc = oracle.roc_auc_score(y[100:], scores[100:])
    assert found["roc_auc"].value == pytest.approx(auc, abs=1e-12)
    assert found["roc_auc"].low < auc < found["roc_auc"].high
    assert found["accuracy"].n == 300


def test_a_metric_that_is_not_defined_says_why_and_spares_the_others() -> None:
    kept = store(["precision", "accuracy"])
    kept.predicted_rows(range(3), one_hot(np.arange(3)))
    for i in range(3):
        kept.label(i, i)
    found = kept.metrics()
    assert np.isnan(found["precision"].value)
    assert found["accuracy"].value == 1.0
    assert "average" in kept.notes["precision"]


# ---- windows -------------------------------------------------------------------------


@pytest.mark.parametrize("horizon_s", [25.0, 1e9])
def test_labels_belong_to_the_window_of_their_prediction(horizon_s: float) -> None:
    clock = FakeClock()
    kept = store(clock=clock, window=100, horizon_s=horizon_s, history=5)
    for i in range(450):
        kept.predicted(i, [0.0, 1.0])
        clock.pass_(0.1)
        if i >= 100 and i % 2:
            kept.label(i - 100, int(i >= 300))
    windows = kept.windows()
    assert [w.index for w in windows] == [0, 1, 2, 3, 4]
    assert [w.n_predictions for w in windows] == [100, 100, 100, 100, 50]
    assert [w.n_labels for w in windows] == [50, 50, 50, 25, 0]
    values = [w.metrics["accuracy"].value for w in windows[:4]]
    assert values == [0.0, 0.0, 1.0, 1.0]
    assert [w.is_final for w in windows[:2]] == [horizon_s < 1e6, False]


def test_windows_may_be_of_time() -> None:
    clock = FakeClock()
    kept = store(clock=clock, window="1m")
    for i in range(5):
        kept.predicted(i, [0.0, 1.0])
        kept.label(i, 1)
        clock.pass_(30)
    assert [w.n_labels for w in kept.windows()] == [1, 2, 2]


# ---- many threads and processes ------------------------------------------------------


def test_threads_lose_nothing() -> None:
    kept = LabelStore()

    def predict(k: int) -> None:
        for i in range(300):
            kept.predicted((k, i), [0.0, 1.0])

    def label(k: int) -> None:
        for i in reversed(range(300)):
            kept.label((k, i), i % 2)
            if i % 50 == 0:
                kept.metrics()

    threads = [
        threading.Thread(target=work, args=(k,))
        for k in range(4)
        for work in (predict, label, label)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept.counts["matched"] == 1200 == kept.counts["duplicate"]
    assert kept.metrics()["accuracy"][::3] == (0.5, 1200)


@settings(max_examples=30, deadline=None)
@given(traffic(), st.integers(1, 5))
def test_stores_of_processes_merge_to_one_that_saw_everything(
    case: Any, n_stores: int
) -> None:
    n, random = case["n"], case["random"]
    outputs = one_hot(random.integers(0, 3, n))
    truths = random.integers(0, 3, n)
    one = store(CLASSES, early_s=1e9)
    many = [store(CLASSES, early_s=1e9) for _ in range(n_stores)]
    for what, i in case["events"]:
        # A label may come to another process than the prediction.
        here = many[i % n_stores] if what == "predicted" else many[-i % n_stores]
        for kept in (one, here):
            if what == "predicted":
                kept.predicted(i, outputs[i])
            else:
                kept.label(i, truths[i % len(truths)])
    merged = store(CLASSES, early_s=1e9)
    for kept in many:
        merged.merge(pickle.loads(pickle.dumps(kept)))
    assert merged.metrics() == one.metrics() or one.metrics()["accuracy"].n == 0
    assert merged.counts == one.counts
    assert (merged.n_pending, merged.n_early) == (one.n_pending, one.n_early)
    assert all(kept.counts["predicted"] <= n for kept in many)  # they are as they were


def test_what_was_folded_merges_too() -> None:
    random = np.random.default_rng(3)
    outputs = random.normal(size=400)
    truths = outputs + random.normal(size=400)
    many = [store(NUMBERS, max_pending=10) for _ in range(4)]
    for i in range(400):
        many[i % 4].predicted(i, outputs[i])
        many[i % 4].label(i, truths[i])
    merged = store(NUMBERS)
    for kept in many:
        merged.merge(kept)
    found = merged.metrics()
    r2 = oracle.r2_score(truths, outputs)
    assert found["r2"].value == pytest.approx(r2, rel=1e-12)
    assert found["r2"].n == 400
    with pytest.raises(InputError, match="known here already"):
        merged.merge(many[0])
    with pytest.raises(InputError, match="same labels"):
        merged.merge(merged)
    with pytest.raises(InputError, match="accuracy"):
        merged.merge(store())


def test_a_forked_child_begins_with_nothing() -> None:
    kept = store()
    kept.predicted(1, [0.0, 1.0])
    kept.label(1, 1)
    kept.renew()
    assert kept.counts["predicted"] == 0
    assert kept.metrics()["accuracy"].n == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"metrics": []},
        {"metrics": ["astrology"]},
        {"metrics": ["accuracy", "mean_squared_error"]},
        {"horizon_s": 0},
        {"max_pending": 0},
        {"alpha": 1},
        {"window": "soon"},
    ],
)
def test_wrong_arguments_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        LabelStore(**wrong)
