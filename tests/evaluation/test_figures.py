"""Figures against scikit-learn, whatever the form of outputs; intervals that hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

import trimtab
from trimtab.errors import InputError
from trimtab.evaluate.choose import AUTO
from trimtab.metrics import METRICS, Metric

N = 240


def evaluate(outputs, labels, **options):
    """The outputs themselves are the data: the model gives them back."""
    options.setdefault("batch_size", 50)
    return trimtab.evaluate_model(
        lambda x: x, (np.asarray(outputs), labels), progress=False, **options
    )


def logits(k: int, n: int = N, seed: int = 0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    return 1.5 * np.eye(k)[y] + rng.normal(size=(n, k)), y


def softmax(scores):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def values(report) -> dict[str, float]:
    return {name: figure.value for name, figure in report.metrics.items()}


def close(found, expected):
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)


# ---- what scikit-learn gives --------------------------------------------------------


def test_many_classes_are_judged_as_scikit_learn_does():
    scores, y = logits(4)
    p, answer = softmax(scores), scores.argmax(axis=1)
    expected = {
        "accuracy": sk.accuracy_score(y, answer),
        "balanced_accuracy": sk.balanced_accuracy_score(y, answer),
        "precision_macro": sk.precision_score(y, answer, average="macro"),
        "recall_macro": sk.recall_score(y, answer, average="macro"),
        "f1_macro": sk.f1_score(y, answer, average="macro"),
        "log_loss": sk.log_loss(y, p),
    }
    for outputs in (scores, p):
        found = values(evaluate(outputs, y))
        close({name: found[name] for name in expected}, expected)
    assert set(values(evaluate(scores, y))) == set(AUTO["multiclass"])


@pytest.mark.parametrize("form", ["single", "column", "two", "logit", "two logits"])
def test_two_classes_are_judged_as_scikit_learn_does(form):
    scores, y = logits(2)
    p = softmax(scores)[:, 1]
    outputs = {
        "single": p,
        "column": p[:, None],
        "two": np.stack([1 - p, p], axis=1),
        "logit": scores[:, 1] - scores[:, 0],
        "two logits": scores,
    }[form]
    answer = (p > 0.5).astype(int)
    expected = {
        "accuracy": sk.accuracy_score(y, answer),
        "precision": sk.precision_score(y, answer),
        "recall": sk.recall_score(y, answer),
        "f1": sk.f1_score(y, answer),
        "matthews_corrcoef": sk.matthews_corrcoef(y, answer),
        "roc_auc": sk.roc_auc_score(y, p),
        "average_precision": sk.average_precision_score(y, p),
        "log_loss": sk.log_loss(y, p),
    }
    report = evaluate(outputs, y)
    assert report.task == "binary"
    assert ("logits" in report.why) == ("logit" in form)
    close({name: values(report)[name] for name in expected}, expected)
    assert set(values(report)) == set(AUTO["binary"])


def test_numbers_are_judged_as_scikit_learn_does():
    rng = np.random.default_rng(0)
    y = rng.normal(size=N)
    x = y + 0.3 * rng.normal(size=N)
    expected = {
        "root_mean_squared_error": sk.root_mean_squared_error(y, x),
        "mean_absolute_error": sk.mean_absolute_error(y, x),
        "median_absolute_error": sk.median_absolute_error(y, x),
        "r2": sk.r2_score(y, x),
    }
    for outputs in (x, x[:, None]):
        report = evaluate(outputs, y)
        assert report.task == "regression"
        close(values(report), expected)


def test_classes_may_be_texts():
    scores, y = logits(3)
    names = np.array(["ape", "bee", "cat"])
    plain = values(evaluate(scores, y))
    close(values(evaluate(scores, names[y], classes=names)), plain)
    hard = evaluate(names[scores.argmax(axis=1)], names[y])
    assert hard.task == "multiclass"
    assert "log_loss" not in hard.metrics
    assert hard.metrics["accuracy"].value == plain["accuracy"]
    assert hard.curves["confusion"]["labels"] == list(names)
    with pytest.raises(InputError, match="name the classes in the order"):
        evaluate(scores, names[y])
    with pytest.raises(InputError, match="'bee' is none of the classes"):
        evaluate(scores, names[y], classes=["ape", "dog", "cat"])


def test_answers_that_no_label_has_are_wrong():
    y = np.array(["ape", "bee"] * 60)
    answer = y.copy()
    answer[::10], answer[100] = "cow", "dog"
    assert not any("raised" in note for note in evaluate(answer, y).notes)
    report = evaluate(
        answer,
        y,
        metrics=["accuracy", "f1_macro"],
        baseline=lambda x: np.full(len(x), "eel"),
    )
    close(values(report)["accuracy"], sk.accuracy_score(y, answer))
    expected = sk.f1_score(y, answer, average="macro", zero_division=0)
    close(values(report)["f1_macro"], expected)
    assert report.curves["confusion"]["labels"] == ["ape", "bee", "cow", "dog"]
    assert report.comparison["accuracy"].baseline == 0


def test_several_classes_for_each_sample_are_judged_as_scikit_learn_does():
    rng = np.random.default_rng(0)
    y = (rng.random((N, 4)) < 0.4).astype(int)
    p = np.clip(0.4 * y + 0.6 * rng.random((N, 4)), 1e-3, 1 - 1e-3)
    expected = {
        "average_precision": sk.average_precision_score(y, p),
        "roc_auc": sk.roc_auc_score(y, p),
    }
    for outputs in (p, np.log(p / (1 - p))):
        report = evaluate(outputs, y)
        assert report.task == "multilabel"
        close(values(report), expected)


def test_masks_of_pictures_are_two_classes_for_each_pixel():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (20, 6, 5))
    p = np.clip(0.5 * y + 0.5 * rng.random((20, 6, 5)), 0, 1)
    for outputs in (p, p[..., None], np.stack([1 - p, p], axis=1)):
        report = evaluate(outputs, y, metrics=["accuracy", "roc_auc"])
        assert report.task == "binary"
        answer = p.ravel() > 0.5
        close(values(report)["accuracy"], sk.accuracy_score(y.ravel(), answer))
        close(values(report)["roc_auc"], sk.roc_auc_score(y.ravel(), p.ravel()))


def test_sentences_boxes_and_rankings_are_recognised_or_named():
    said = [f"sentence {i} of the speaker" for i in range(40)]
    heard = [
        text.replace("the", "a") if i % 4 == 0 else text for i, text in enumerate(said)
    ]
    report = trimtab.evaluate_model(lambda x: x, (heard, said), progress=False)
    assert report.task == "text"
    close(values(report)["word_error_rate"], 10 / 200)
    box = np.array([[0.0, 0.0, 10.0, 10.0]])
    truth = [{"boxes": box, "labels": np.array([1])} for _ in range(12)]
    found = [{**one, "scores": np.array([0.9])} for one in truth]
    report = trimtab.evaluate_model(lambda x: x, (found, truth), progress=False)
    assert report.task == "boxes"
    assert values(report)["mean_average_precision"] == 1
    rng = np.random.default_rng(0)
    relevance = rng.integers(0, 4, (50, 9))
    scores = relevance + rng.normal(size=(50, 9))
    report = evaluate(scores, relevance, task="ranking")
    close(values(report)["ndcg"], sk.ndcg_score(relevance, scores))


def test_names_of_classes_that_are_numbers_are_for_people():
    scores, y = logits(3)
    report = evaluate(scores, y, classes=["ape", "bee", "cat"])
    close(values(report), values(evaluate(scores, y)))
    assert report.curves["confusion"]["labels"] == ["ape", "bee", "cat"]


def test_one_hot_labels_are_classes():
    scores, y = logits(3)
    close(values(evaluate(scores, np.eye(3)[y])), values(evaluate(scores, y)))
    two, y = logits(2)
    close(values(evaluate(two, np.eye(2)[y])), values(evaluate(two, y)))


def test_every_position_of_a_sequence_counts_and_padding_does_not():
    scores, y = logits(5, 60 * 7)
    y[::9] = -100
    sequences, labels = scores.reshape(60, 7, 5), y.reshape(60, 7)
    report = evaluate(sequences, labels, ignore_label=-100)
    kept = y != -100
    assert report.n == 60
    assert report.metrics["accuracy"].n == kept.sum()
    expected = sk.log_loss(y[kept], softmax(scores[kept]), labels=range(5))
    close(values(report)["log_loss"], expected)
    assert "jackknife" in report.metrics["accuracy"].method
    pictures = sequences.transpose(0, 2, 1)  # classes before positions, as in torch
    moved = evaluate(pictures, labels, ignore_label=-100)
    close(values(moved), values(report))


@given(
    st.integers(2, 5), st.integers(1, 60), st.integers(1, 70), st.integers(0, 2**32 - 1)
)
@settings(max_examples=25, deadline=None)
def test_figures_do_not_depend_on_the_cut_into_batches(k, n, size, seed):
    scores, y = logits(k, n, seed)
    names = ["accuracy", "f1_macro", "log_loss"]
    cut = evaluate(scores, y, batch_size=size, metrics=names, n_resamples=10)
    whole = evaluate(scores, y, batch_size=n, metrics=names, n_resamples=10)
    assert values(cut) == pytest.approx(values(whole), rel=1e-12)
    answer = scores.argmax(axis=1)
    close(values(whole)["accuracy"], sk.accuracy_score(y, answer))


# ---- kinds of outputs ---------------------------------------------------------------


def test_the_kind_of_outputs_can_be_said():
    scores, y = logits(3)
    small = scores / 100 + 0.5  # look like shares, rows do not sum to 1
    assert "logits" in evaluate(small, y).why
    p = np.random.default_rng(0).random(N)
    y = (p > 0.5).astype(int)
    assert "probabilities" in evaluate(p, y).why
    told = evaluate(p, y, output_kind="logits")
    assert told.metrics["accuracy"].value == sk.accuracy_score(y, p > 0)


def test_metrics_of_scores_need_scores():
    scores, y = logits(3)
    with pytest.raises(InputError, match="gives classes only"):
        evaluate(scores.argmax(axis=1), y, metrics=["log_loss"])


def test_automatic_metrics_are_in_the_table():
    assert {name for names in AUTO.values() for name in names} <= set(METRICS)


# ---- functions of the user ----------------------------------------------------------


def test_a_function_gets_labels_and_outputs_as_they_come():
    scores, y = logits(3)

    def top_2_score(y_true, y_pred):
        assert y_pred.shape[1:] == (3,)
        return sk.top_k_accuracy_score(y_true, y_pred, k=2, labels=range(3))

    report = evaluate(scores, y, metrics=["accuracy", top_2_score])
    figure = report.metrics["top_2_score"]
    close(figure.value, sk.top_k_accuracy_score(y, scores, k=2))
    assert figure.low < figure.value < figure.high
    half = 1.96 * math.sqrt(figure.value * (1 - figure.value) / N)
    assert figure.high - figure.low == pytest.approx(2 * half, rel=0.3)
    assert report.directions["top_2_score"]


def test_a_function_that_raises_is_refused_at_the_first_batch():
    scores, y = logits(3)
    n_calls = 0

    def broken(y_true, y_pred):
        nonlocal n_calls
        n_calls += 1
        raise KeyError("weights")

    with pytest.raises(InputError, match=r"'broken' raised on the first 50.*weights"):
        evaluate(scores, y, metrics=[broken])
    assert n_calls == 1
    with pytest.raises(InputError, match="expected one number"):
        evaluate(scores, y, metrics=[lambda y_true, y_pred: y_pred])


def test_a_function_that_raises_at_the_end_costs_its_own_figure_only():
    scores, y = logits(3)

    def moody(y_true, y_pred):
        if len(y_true) > 50:
            raise ZeroDivisionError("too many")
        return 0.0

    report = evaluate(
        scores, y, metrics=["accuracy", moody], require={"moody": 0.0, "accuracy": 0.1}
    )
    assert report.metrics["accuracy"].value > 0.5
    assert math.isnan(report.metrics["moody"].value)
    assert any("'moody' raised ZeroDivisionError" in note for note in report.notes)
    assert report.reasons == ("moody could not be computed: 0 or more is not proven",)


def test_metrics_of_the_table_can_be_changed():
    scores, y = logits(3)
    from functools import partial

    base = METRICS["f1"]
    mine = Metric(
        "f1_of_2",
        base.needs,
        True,
        base.function,
        partial(base.accumulator, labels=(2,), average="macro"),
    )
    answer = scores.argmax(axis=1)
    expected = sk.f1_score(y, answer, labels=[2], average="macro")
    close(values(evaluate(scores, y, metrics=mine))["f1_of_2"], expected)


# ---- NaN ----------------------------------------------------------------------------


def test_predictions_that_are_no_numbers_are_counted_and_said():
    scores, y = logits(3)
    scores[[3, 60, 61]] = [[np.nan, 0, 0], [np.inf, 0, 0], [0, 0, -np.inf]]
    report = evaluate(scores, y, require={"accuracy": 0.1})
    good = np.isfinite(scores).all(axis=1)
    assert report.n_invalid == 3
    expected = sk.accuracy_score(y[good], scores[good].argmax(axis=1))
    close(values(report)["accuracy"], expected)
    assert not report.ok
    assert "3 predictions are NaN or infinite" in report.reasons[0]
    assert "3 of 240 predictions are NaN or infinite" in str(report)


def test_nothing_but_nan_is_a_report_too():
    scores, y = logits(3)
    report = evaluate(scores * np.nan, y, require={"accuracy": 0.5})
    assert report.n_invalid == N
    assert not report.ok
    assert math.isnan(report.metrics["accuracy"].value)
    assert trimtab.EvaluationReport.from_json(report.to_json()).n_invalid == N


# ---- intervals and the gate ---------------------------------------------------------


def test_the_bound_must_satisfy_what_is_required():
    y = np.repeat([0, 1], 100)
    answer = y.copy()
    answer[:4] = 1  # 98 %
    low = sk_wilson(196, 200)[0]
    for threshold, is_ok in ((low - 1e-6, True), (low + 1e-6, False)):
        report = evaluate(answer, y, require={"accuracy": threshold})
        assert report.ok is is_ok
        assert report.metrics["accuracy"].low == pytest.approx(low, abs=1e-9)
    assert "is not proven with 200 samples" in report.reasons[0]
    report = evaluate(answer, y, require={"accuracy": 0.99})
    assert report.reasons[0].endswith("0.99 or more is required")


def test_lower_is_better_for_errors():
    rng = np.random.default_rng(0)
    y = rng.normal(size=500)
    report = evaluate(y + 0.1, y, require={"mae": 0.11})
    assert report.ok
    assert report.require == {"mean_absolute_error": 0.11}
    assert not evaluate(y + 0.1, y, require={"mae": 0.09}).ok


def test_every_interval_holds_its_figure():
    for seed in range(5):
        scores, y = logits(3, seed=seed)
        for figure in evaluate(scores, y).metrics.values():
            assert figure.low <= figure.value <= figure.high


def test_all_right_of_few_samples_proves_little():
    y = np.arange(20) % 2
    for name in ("accuracy", "f1", "balanced_accuracy", "roc_auc"):
        p = y * 0.8 + 0.1
        report = evaluate(p, y, metrics=[name], require={name: 0.95})
        assert report.metrics[name].value == 1
        assert not report.ok, name


def sk_wilson(k: int, n: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    found = binomtest(k, n).proportion_ci(0.95, "wilson")
    return found.low, found.high


def test_groups_widen_intervals_and_cover_the_truth():
    """Samples of a group are alike: of 60 intervals about 3 may miss the truth."""
    missed = narrow = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        group = np.repeat(np.arange(60), 10)
        is_right = rng.random(60) < 0.7  # all of a group are right, or none
        y = rng.integers(0, 2, 600)
        answer = np.where(is_right[group], y, 1 - y)
        options = {"metrics": ["accuracy"], "batch_size": 600}
        plain = evaluate(answer, y, **options).metrics["accuracy"]
        wide = evaluate(answer, y, groups=group, **options).metrics["accuracy"]
        missed += not wide.low <= 0.7 <= wide.high
        narrow += not plain.low <= 0.7 <= plain.high
    assert missed <= 9  # P = 0.002 at 5 %
    assert narrow > 15
