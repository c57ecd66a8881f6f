"""What must hold of attributions, whatever the model: the axioms of the literature."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import InputError
from trimtab.explain import explain_model

RNG = np.random.default_rng(0)
COMPLETE = ("kernel_shap", "integrated_gradients")


def net(n: int, seed: int = 0):
    """A smooth function of n features with interactions."""
    rng = np.random.default_rng(seed)
    first, last = rng.normal(size=(n, 12)) / np.sqrt(n), rng.normal(size=(12, 1))
    return lambda x: np.tanh(np.asarray(x, np.float64) @ first) @ last


def explain(model, x, **options):
    """Without a bar."""
    return explain_model(model, x, progress=False, **options)


@pytest.mark.parametrize("method", COMPLETE)
@given(st.integers(1, 20), st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_values_add_up_to_the_answer(method: str, n: int, seed: int) -> None:
    model = net(n, seed)
    x = np.random.default_rng(seed).normal(size=n)
    found = explain(model, x, method=method, n_samples=64 * n, seed=seed)
    assert found.prediction == model(x[None])[0, 0]
    assert found.base == model(np.zeros((1, n)))[0, 0]
    gap = found.prediction - found.base - found.values.sum()
    assert abs(gap) < (1e-9 if method == "kernel_shap" else 2e-3)
    np.testing.assert_allclose(found.gap, gap, atol=1e-12)


@pytest.mark.parametrize("method", ["occlusion", *COMPLETE])
@pytest.mark.parametrize("n", [5, 14])
def test_a_feature_that_does_not_count_gets_nothing(method: str, n: int) -> None:
    model = net(n - 1)
    found = explain(
        lambda x: model(x[:, 1:]), RNG.normal(size=n), method=method, n_samples=4096
    )
    # least squares of sampled choices are exact only for linear functions
    is_sampled = method == "kernel_shap" and n > 11
    assert abs(found.values[0]) < (0.05 if is_sampled else 1e-9)


@pytest.mark.parametrize("method", ["occlusion", *COMPLETE])
def test_features_that_do_the_same_get_the_same(method: str) -> None:
    model = net(4)
    both = np.array([1, 1, 0, 0])

    def alike(x):
        mixed = x.copy()
        mixed[:, :2] = x[:, :2].mean(axis=1, keepdims=True)
        return model(mixed)

    found = explain(alike, RNG.normal(size=4) * (1 - both) + both, method=method)
    assert math.isclose(found.values[0], found.values[1], abs_tol=1e-9)


@pytest.mark.parametrize("method", ["occlusion", *COMPLETE])
@pytest.mark.parametrize("n", [6, 30])
def test_of_a_linear_model_it_is_weight_times_distance(method: str, n: int) -> None:
    weights, x, background = RNG.normal(size=(3, n))
    found = explain(
        lambda rows: rows @ weights, x, method=method, background=background
    )
    np.testing.assert_allclose(found.values, weights * (x - background), atol=1e-8)


def test_few_features_are_shared_out_as_shapley_says() -> None:
    """Against the mean over all orders, written from the definition."""
    model, n = net(5), 5
    x, background = RNG.normal(size=(2, n))
    truth = np.zeros(n)
    for order in itertools.permutations(range(n)):
        row = background.copy()
        before = model(row[None])[0, 0]
        for i in order:
            row[i] = x[i]
            now = model(row[None])[0, 0]
            truth[i] += (now - before) / math.factorial(n)
            before = now
    found = explain(model, x, method="kernel_shap", background=background)
    np.testing.assert_allclose(found.values, truth, atol=1e-10)


def test_many_features_come_near_the_exact_values(monkeypatch) -> None:
    from trimtab.explain import kernel_shap

    model, x = net(10), RNG.normal(size=10)
    exact = explain(model, x, method="kernel_shap").values
    monkeypatch.setattr(kernel_shap, "_MOST_EXACT", 4)
    errors = []
    for n in (64, 1024):
        found = explain(model, x, method="kernel_shap", n_samples=n, seed=3)
        errors.append(np.abs(found.values - exact).max())
    assert errors[1] < 0.02 * np.abs(exact).max() + 0.01
    assert errors[1] < errors[0]


def test_standard_errors_hold_what_they_say(monkeypatch) -> None:
    from trimtab.explain import kernel_shap

    model, x = net(12), RNG.normal(size=12)
    monkeypatch.setattr(kernel_shap, "_MOST_EXACT", 12)
    exact = explain(model, x, method="kernel_shap")
    assert exact.std is None
    monkeypatch.setattr(kernel_shap, "_MOST_EXACT", 4)
    scores = []
    for seed in range(40):
        found = explain(model, x, method="kernel_shap", n_samples=300, seed=seed)
        scores.append((found.values - exact.values) / found.std)
    # of 480 scores 95 % should be within 2; the estimate of the spread is a bit small
    assert 0.88 < np.mean(np.abs(scores) < 2) < 0.99
    assert abs(np.mean(scores)) < 0.15


def test_whole_sizes_are_taken_while_they_fit() -> None:
    from trimtab.explain.coalitions import draw_coalitions

    found = draw_coalitions(8, 254, np.random.default_rng(0))
    assert len({row.tobytes() for row in found.keep}) == 254
    assert not found.is_drawn.any()
    sizes = found.keep.sum(axis=1)
    kernel = np.array([7 / (math.comb(8, s) * s * (8 - s)) for s in sizes])
    np.testing.assert_allclose(found.weights, kernel / kernel.sum())
    found = draw_coalitions(8, 60, np.random.default_rng(0))
    kept = found.keep[~found.is_drawn]
    assert sorted(np.bincount(kept.sum(axis=1)).tolist()) == [0] * 6 + [8, 8]
    assert (found.keep[::2] == ~found.keep[1::2]).all()


def test_too_few_samples_are_not_taken() -> None:
    found = explain(
        lambda x: x.sum(axis=1), np.ones(30), method="kernel_shap", n_samples=5
    )
    np.testing.assert_allclose(found.values, 1, atol=1e-9)


def test_several_backgrounds_are_averaged() -> None:
    model = net(4)
    x, rows = RNG.normal(size=4), RNG.normal(size=(3, 4))
    found = explain(model, x, method="kernel_shap", background=rows).values
    each = [explain(model, x, method="kernel_shap", background=b).values for b in rows]
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-10)


def test_gradients_are_those_of_autograd() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(6, 16), torch.nn.Softplus(), torch.nn.Linear(16, 3)
    ).double()
    x, steps = RNG.normal(size=6), 2000
    path = torch.tensor(np.outer((np.arange(steps) + 0.5) / steps, x))
    path.requires_grad_()
    module(path)[:, 1].sum().backward()
    truth = path.grad.mean(dim=0).numpy() * x

    def answer(rows):
        return module(torch.tensor(rows)).detach().numpy()

    found = explain(
        answer, x, method="integrated_gradients", target=1, n_samples=100_000
    )
    np.testing.assert_allclose(found.values, truth, atol=2e-4)


@pytest.mark.parametrize("method", ["kernel_shap"])
def test_equal_seeds_give_equal_values(method: str) -> None:
    model, x = net(16), RNG.normal(size=16)
    a, b, c = (
        explain(model, x, method=method, n_samples=64, seed=seed).values
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "lime"}, "method"),
        ({"target": 7}, "target"),
        ({"target": "cat"}, "names none"),
        ({"background": np.zeros(3)}, "background"),
        ({"background": [np.nan] * 4}, "NaN"),
        ({"names": ["a"]}, "names"),
        ({"n_samples": 0}, "n_samples"),
        ({"n_samples": 10**9}, "n_samples"),
        ({"background": "grey"}, "background"),
        ({"background": [[1.0], [2.0, 3.0]]}, "background"),
        ({"background": np.zeros((1001, 4))}, "1000 at most"),
        ({"target": True}, "target"),
        ({"target": 1}, "target"),
        ({"n_parts": 0}, "n_parts"),
        ({"kind": "video"}, "kind"),
        ({"method": "attention_rollout"}, "load_model"),
        ({"method": "permutation_importance"}, "labels"),
    ],
)
def test_what_does_not_fit_is_refused(options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        explain(net(4), np.ones(4), **options)


def test_answers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        explain(lambda x: x[:, 0] * np.nan, np.ones(4))
    with pytest.raises(InputError, match="background"):
        explain(lambda x: np.where(x > 0, x, np.inf).sum(axis=1), np.ones(4))


def test_interrupts_go_through() -> None:
    def answer(x):
        if not x.any():
            raise KeyboardInterrupt
        return x[:, 0]

    with pytest.raises(KeyboardInterrupt):
        explain(answer, np.ones(4))
