"""The logistic solver against scikit-learn and SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trimtab.errors import InputError
from trimtab.update.logistic import fit_logistic


def data(seed: int, n: int = 200, d: int = 12, k: int = 4) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(k, d))
    y = rng.integers(0, k, n)
    return centres[y] + 1.5 * rng.normal(size=(n, d)), y


@pytest.mark.parametrize("penalty", [0.01, 1.0, 30.0])
def test_with_no_prior_it_is_the_regression_of_scikit_learn(penalty: float) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    x, y = data(0)
    ours = fit_logistic(x, np.eye(4)[y], penalty=penalty, tolerance=1e-10)
    theirs = linear.LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=10_000)
    theirs.fit(x, y)
    assert ours.is_converged
    scores = x @ ours.weight + ours.bias
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    # lbfgs stops at about 1e-6 of the gradient, so weights agree to five digits
    np.testing.assert_allclose(ours.weight.T, theirs.coef_, atol=2e-5)
    np.testing.assert_allclose(p, theirs.predict_proba(x), atol=1e-5)


def test_a_sigmoid_output_is_a_binary_regression_each() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    x, y = data(1)
    targets = np.stack([y == 0, y % 2 == 0], axis=1).astype(float)
    ours = fit_logistic(x, targets, penalty=0.5, link="sigmoid", tolerance=1e-10)
    for j in range(2):
        theirs = linear.LogisticRegression(C=2.0, tol=1e-10, max_iter=10_000)
        theirs.fit(x, targets[:, j])
        np.testing.assert_allclose(ours.weight[:, j], theirs.coef_[0], atol=2e-5)
        assert ours.bias[j] == pytest.approx(theirs.intercept_[0], abs=2e-5)


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_prior_metric_and_row_weights_agree_with_a_general_minimiser(
    link: str,
) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    x, y = data(2, n=60, d=5, k=3)
    rng = np.random.default_rng(3)
    weight, bias = rng.normal(size=(5, 3)), rng.normal(size=3)
    rows = rng.uniform(0.2, 3.0, 60)
    old = np.hstack([rng.normal(size=(40, 5)), np.ones((40, 1))])
    metric = 0.1 * old.T @ old
    targets = np.eye(3)[y]

    def objective(theta: Any) -> float:
        theta = theta.reshape(6, 3)
        scores = x @ theta[:5] + theta[5]
        if link == "softmax":
            losses = np.log(np.exp(scores).sum(axis=1)) - scores[range(60), y]
        else:
            losses = (np.log1p(np.exp(scores)) - targets * scores).sum(axis=1)
        moved = theta - np.vstack([weight, bias])
        drawn = 0.7 * (moved[:5] ** 2).sum() + np.trace(moved.T @ metric @ moved)
        return float((rows * losses).sum() + 0.5 * drawn)

    theirs = optimize.minimize(objective, np.zeros(18), options={"gtol": 1e-7})
    ours = fit_logistic(
        x, targets, weight=weight, bias=bias, penalty=0.7, metric=metric,
        row_weight=rows, link=link, tolerance=1e-10,
    )  # fmt: skip
    found = np.vstack([ours.weight, ours.bias])
    np.testing.assert_allclose(found, theirs.x.reshape(6, 3), atol=1e-4)
    assert ours.loss <= theirs.fun + 1e-8
    assert ours.loss == pytest.approx(objective(found), rel=1e-12)


def test_soft_labels_count_as_repeated_rows_of_hard_ones() -> None:
    x, _ = data(4, n=30, d=3, k=2)
    soft = np.tile([0.25, 0.75], (30, 1))
    ours = fit_logistic(x, soft, penalty=0.3, tolerance=1e-10)
    twice = np.concatenate([x, x])
    hard = np.eye(2)[np.repeat([0, 1], 30)]
    weights = np.repeat([0.25, 0.75], 30)
    theirs = fit_logistic(twice, hard, penalty=0.3, row_weight=weights, tolerance=1e-10)
    np.testing.assert_allclose(ours.weight, theirs.weight, atol=1e-8)


def test_a_large_penalty_leaves_the_weights_where_they_were() -> None:
    x, y = data(5)
    weight = np.random.default_rng(0).normal(size=(12, 4))
    ours = fit_logistic(x, np.eye(4)[y], weight=weight, penalty=1e9)
    np.testing.assert_allclose(ours.weight, weight, atol=1e-5)


def test_separable_classes_and_large_scores_stay_finite() -> None:
    x = 1e4 * np.array([[-1.0], [1.0]] * 10)
    y = np.eye(2)[[0, 1] * 10]
    wrong_way = np.array([[1e3, -1e3]])
    for weight in (None, wrong_way):
        ours = fit_logistic(x, y, weight=weight, penalty=1e-6)
        assert np.isfinite(ours.weight).all()
        assert np.isfinite(ours.loss)
        assert (x @ ours.weight).argmax(axis=1).tolist() == [0, 1] * 10


def test_a_thousand_rows_of_1280_features_take_a_few_newton_steps() -> None:
    x, y = data(6, n=1000, d=1280, k=10)
    ours = fit_logistic(x, np.eye(10)[y], penalty=10.0)
    assert ours.is_converged
    assert ours.n_steps < 15


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": np.ones((3, 2))}, "as many rows"),
        ({"link": "probit"}, "softmax, sigmoid"),
        ({"penalty": -1.0}, "penalty"),
        ({"weight": np.ones((2, 2))}, "weight: expected the shape"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    given = {"features": np.ones((4, 3)), "targets": np.ones((4, 2)), **change}
    with pytest.raises(InputError, match=message):
        fit_logistic(given.pop("features"), given.pop("targets"), **given)
