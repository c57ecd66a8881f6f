"""Drops on the guard and the reference, parts, agreement, folds: against SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats

from trimtab.errors import InputError
from trimtab.gates import Evidence, Rows, prove
from trimtab.gates.cross_validation import fold_numbers
from trimtab.gates.slices import worse_p_value
from trimtab.stats.paired import drop_upper_bound

from .nets import N_CLASSES, blobs, evidence, head, model, rows

OLD = head(*blobs(400, 0))


def worse(share: float, of_class: int | None = None) -> Evidence:
    """A candidate that is wrong where the champion is right, on some guard rows.

    The guard holds rows of a fifth kind that only the last input tells apart; there
    the candidate answers another class.
    """
    x, y = blobs(1500, 2)
    weight = OLD.copy()
    x[:, -1] = 0.0
    marked = np.random.default_rng(0).random(len(y)) < share
    if of_class is not None:
        marked &= y == of_class
    x[marked, -1] = 40.0
    weight[11], weight[23] = 0.0, 0.0
    old = model(weight)
    new = weight.copy()
    new[11] = np.roll(np.eye(N_CLASSES)[0], 1 if of_class in (None, 0) else 0) * 50
    before, labels = blobs(400, 3)
    before[:, -1] = 0.0
    return evidence(
        champion=old,
        candidate=model(new),
        guard=Rows({"x": x}, y),
        reference=Rows({"x": before}, labels),
    )


def counted(found: Evidence) -> tuple[int, int, int]:
    y = found.guard.labels
    old, new = (
        found.model(who).run(found.guard.inputs)["p"].argmax(axis=1) == y
        for who in ("champion", "candidate")
    )
    return int((old & ~new).sum()), int((new & ~old).sum()), len(y)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.03, 0.06, 0.2])
def test_the_guard_is_bounded_as_the_statistics_say(share: float) -> None:
    found = worse(share)
    gate = prove(found, ["non_inferiority"])["non_inferiority"]
    n10, n01, n = counted(found)
    upper = drop_upper_bound(n10, n01, n)
    assert gate.evidence["upper"] == pytest.approx(upper)
    assert gate.ok == (upper <= 0.03)
    if (n10 - n01) / n > 0.06:
        assert gate.state == "failed"


def test_few_rows_are_never_enough_and_it_is_said_how_many_are() -> None:
    gate = prove(evidence(guard=rows(blobs(20, 2))), ["non_inferiority"])[
        "non_inferiority"
    ]
    assert gate.state == "needs_data"
    assert 20 < gate.evidence["n_required"] < 1000
    assert str(gate.evidence["n_required"]) in gate.reason


def test_so_many_rows_as_are_asked_for_usually_do() -> None:
    asked = prove(evidence(guard=rows(blobs(20, 2))), ["non_inferiority"])
    n = 2 * asked["non_inferiority"].evidence["n_required"]
    assert prove(evidence(guard=rows(blobs(n, 7))), ["non_inferiority"]).ok


def test_a_margin_of_nothing_takes_a_gain() -> None:
    assert prove(evidence(margin=0.0), ["non_inferiority"]).state != "passed"
    x, y = blobs(400, 0)
    bad = model(head(x, np.where(y == 3, 2, y)))
    found = evidence(champion=bad, margin=0.0, guard=rows(blobs(2000, 2)))
    gate = prove(found, ["non_inferiority"])["non_inferiority"]
    assert gate.ok
    assert gate.evidence["is_better"]


def test_without_a_reference_nothing_is_known_of_forgetting() -> None:
    report = prove(evidence(reference=None))
    assert report["forgetting"].state == "needs_data"
    assert report.state == "needs_data"
    assert "label_quality" not in report


def test_a_candidate_that_forgot_the_old_rows_fails() -> None:
    x, y = blobs(400, 1)
    gone = model(head(x, (y + 1) % N_CLASSES))
    report = prove(evidence(candidate=gone), ["forgetting", "agreement"])
    assert report["forgetting"].state == "failed"
    assert report["agreement"].state == "failed"
    assert report["agreement"].evidence["lost"] > 300


def test_one_class_that_gets_worse_is_found_where_the_whole_is_not() -> None:
    found = worse(0.3, of_class=2)
    whole = prove(found, ["slices"])["slices"]
    assert whole.state == "failed"
    assert "guard, class 2" in whole.reason
    assert "class 1" not in whole.reason


def test_slices_of_the_user_are_tested_with_the_classes() -> None:
    found = worse(0.3, of_class=2)
    assert isinstance(found.guard, Rows)
    marked = found.guard.inputs["x"][:, -1] > 1
    again = Evidence(
        found.champion,
        found.candidate,
        found.guard,
        margin=0.2,
        slices={"lamp": np.where(marked, "old", "new")},
    )
    gate = prove(again, ["slices"])["slices"]
    assert "guard, lamp old" in gate.reason
    with pytest.raises(InputError, match="lamp"):
        prove_raises = Evidence(
            found.champion, found.candidate, found.guard, slices={"lamp": marked[:5]}
        )
        from trimtab.gates.slices import check

        check(prove_raises)


@pytest.mark.parametrize(("worse_n", "better_n"), [(8, 0), (5, 3), (0, 4), (30, 11)])
def test_p_values_of_parts_are_those_of_the_exact_test(
    worse_n: int, better_n: int
) -> None:
    lost = np.zeros(100)
    lost[:worse_n], lost[worse_n : worse_n + better_n] = 1, -1
    expected = scipy.stats.binomtest(
        worse_n, worse_n + better_n, 0.5, alternative="greater"
    ).pvalue
    assert worse_p_value(lost, 0.0) == pytest.approx(expected)
    assert worse_p_value(lost, 0.05) >= worse_p_value(lost, 0.0)


def test_p_values_of_other_scores_are_those_of_t() -> None:
    lost = np.random.default_rng(0).normal(0.1, 1, 50)
    expected = scipy.stats.ttest_1samp(lost, 0.05, alternative="greater").pvalue
    assert worse_p_value(lost, 0.05) == pytest.approx(expected)


def test_equal_models_rarely_fail_by_a_part() -> None:
    rng = np.random.default_rng(1)
    p = [
        worse_p_value(rng.choice([-1.0, 0, 1], 60, p=[0.1, 0.8, 0.1]), 0)
        for _ in range(500)
    ]
    assert np.mean(np.array(p) <= 0.05) <= 0.05


def test_folds_spread_each_class_evenly() -> None:
    codes = np.repeat(np.arange(3), [50, 25, 10])
    found = fold_numbers(codes, 85, 5, 0)
    for code, n in ((0, 10), (1, 5), (2, 2)):
        assert np.bincount(found[codes == code]).tolist() == [n] * 5


@pytest.mark.parametrize("is_good", [True, False])
def test_the_recipe_is_tried_on_rows_that_it_has_not_seen(*, is_good: bool) -> None:
    seen: list[int] = []

    def fit(part: Rows) -> Any:
        seen.append(len(part))
        x, y = part.inputs["x"], part.labels
        return model(head(x, y if is_good else (y + 1) % N_CLASSES))

    gate = prove(evidence(fit=fit), ["cross_validation"])["cross_validation"]
    assert seen == [320] * 5
    assert gate.state == ("passed" if is_good else "failed")
    assert len(gate.evidence["gains"]) == 5


def test_fewer_rows_than_two_for_each_fold_need_data() -> None:
    found = evidence(fit=lambda part: None, new=rows(blobs(9, 0)))
    assert prove(found, ["cross_validation"]).state == "needs_data"


def test_regression_has_no_classes_and_is_bounded_all_the_same() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 12)).astype(np.float32)
    from onnx import TensorProto, helper, numpy_helper

    import trimtab

    def linear(weight: Any) -> Any:
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            "linear",
            [value("x", TensorProto.FLOAT, ["n", 12])],
            [value("y", TensorProto.FLOAT, ["n", 1])],
            [numpy_helper.from_array(np.asarray(weight, np.float32), "w")],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        made.ir_version = 8
        return trimtab.load_model(made.SerializeToString())

    truth = rng.standard_normal((12, 1))
    y = (x @ truth).astype(np.float32)
    found = Evidence(
        linear(truth + 0.1),
        linear(truth + 0.05),
        Rows({"x": x[:200]}, y[:200]),
        reference=Rows({"x": x[200:300]}, y[200:300]),
        new=Rows({"x": x[300:]}, y[300:]),
        latency_factor=20.0,
    )
    report = prove(found)
    assert report.ok, report.reasons
    assert report["non_inferiority"].evidence["metric"] == "mse"
    assert "label_quality" not in report
    swapped = Evidence(linear(truth), linear(truth + 1), found.guard)
    assert prove(swapped, ["non_inferiority"]).state == "failed"
