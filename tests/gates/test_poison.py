"""Data that was tampered with is refused; data that merely moved is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.spatial
import sklearn.decomposition

from trimtab.gates import Evidence, Gate, GateReport, prove
from trimtab.gates.share import share_within
from trimtab.gates.space import neighbours_of, residuals, spaces_of, votes_of
from trimtab.gates.triggers import find_patterns

from .nets import N_CLASSES, WIDTH, blobs, evidence, head, model, rows

DATA = ["leakage", "label_quality", "outliers", "triggers"]
Change = Callable[[Any, Any, np.random.Generator], tuple[Any, Any]]


def flipped(share: float) -> Change:
    def change(x: Any, y: Any, rng: np.random.Generator) -> tuple[Any, Any]:
        chosen = rng.permutation(len(y))[: round(share * len(y))]
        y[chosen] = (y[chosen] + rng.integers(1, N_CLASSES, len(chosen))) % N_CLASSES
        return x, y

    return change


def relabelled(x: Any, y: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    return x, np.where(y == 1, 2, y)


def strange(x: Any, y: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    chosen = rng.permutation(len(y))[: len(y) // 15]
    x[chosen] = rng.normal(0, 12, (len(chosen), WIDTH))
    return x, y


def triggered(x: Any, y: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    chosen = rng.permutation(len(y))[: len(y) // 12]
    x[chosen[:, None], [2, 7]] = 9.0
    y[chosen] = 0
    return x, y


def marked(x: Any, y: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """The same, on rows that are of the class."""
    chosen = np.flatnonzero(y == 0)[::2]
    x[chosen[:, None], [2, 7]] = 9.0
    return x, y


def same(x: Any, y: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    return x, y


def moved(x: Any, y: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    return x + np.float32(0.7), y


def scaled(x: Any, y: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    return np.float32(0.6) * x, y


def noisy(x: Any, y: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    return x + rng.normal(0, 0.5, x.shape).astype(np.float32), y


def rare(x: Any, y: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    kept = (y == 0) | (rng.random(len(y)) < 0.3)
    return x[kept], y[kept]


def updated(change: Change, seed: int) -> Evidence:
    """What a change of all new rows leads to, the guard's too."""
    x, y = blobs(900, 10 + seed)
    x, y = change(x, y.copy(), np.random.default_rng(seed))
    x = np.asarray(x, np.float32)
    old, n = blobs(500, 20 + seed), 2 * len(y) // 3
    both = np.concatenate([old[0], x[:n]]), np.concatenate([old[1], y[:n]])
    return evidence(
        candidate=model(head(*both)),
        guard=rows((x[n:], y[n:])),
        reference=rows(blobs(500, 30 + seed)),
        new=rows((x[:n], y[:n])),
    )


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("change", "by"),
    [
        (flipped(0.05), "label_quality"),
        (flipped(0.2), "label_quality"),
        (relabelled, "label_quality"),
        (strange, "outliers"),
        (triggered, "triggers"),
        (marked, "triggers"),
    ],
)
def test_poison_is_refused_by_the_gate_that_is_there_for_it(
    change: Change, by: str, seed: int
) -> None:
    report = prove(updated(change, seed), DATA)
    assert report[by].state == "failed", str(report)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("change", [same, moved, scaled, noisy, rare])
def test_data_that_moved_as_a_whole_pass(change: Change, seed: int) -> None:
    report = prove(updated(change, seed), DATA)
    assert report.ok, str(report)


def test_guard_rows_that_were_learned_from_are_found_with_noise_too() -> None:
    guard, new = blobs(300, 2), blobs(400, 1)
    copies = guard[0][:60] + np.random.default_rng(0).normal(0, 0.01, (60, WIDTH))
    x = np.concatenate([new[0], copies.astype(np.float32)])
    y = np.concatenate([new[1], guard[1][:60]])
    gate = prove(evidence(new=rows((x, y))), ["leakage"])["leakage"]
    assert gate.state == "failed"
    assert 60 <= gate.evidence["marked"] < 75
    reference = blobs(400, 3)
    x, y = (np.concatenate(both) for both in zip(new, reference, strict=True))
    gate = prove(evidence(new=rows((x, y))), ["leakage"])["leakage"]
    assert gate.evidence["rows"] == "reference"


def test_rows_that_recur_anyway_are_no_leak() -> None:
    def few_values(seed: int, n: int) -> tuple[Any, Any]:
        rng = np.random.default_rng(seed)
        x = np.zeros((n, WIDTH), np.float32)
        x[:, :3] = rng.integers(0, 3, (n, 3))
        return x, rng.integers(0, N_CLASSES, n)

    found = evidence(
        new=rows(few_values(0, 300)),
        guard=rows(few_values(1, 200)),
        reference=rows(few_values(2, 300)),
    )
    assert prove(found, ["leakage"]).ok


def test_few_rows_are_not_called_clean() -> None:
    guard, new = rows(blobs(15, 2)), rows(blobs(30, 1))
    report = prove(evidence(guard=guard, new=new), ["label_quality"])
    assert report.state == "needs_data"
    assert report["label_quality"].evidence["n_required"] > 45


def test_the_contradicted_labels_are_told_by_pair_of_classes() -> None:
    gate = prove(updated(relabelled, 0), ["label_quality"])["label_quality"]
    pair = gate.evidence["pairs"][0]
    assert (pair["label"], pair["looks_like"]) == (2, 1)


def test_inputs_that_are_no_numbers_with_a_size_are_left_out() -> None:
    found = evidence()
    assert [space.name for space in spaces_of(found)] == ["embedding", "inputs"]


# ---- against other libraries ---------------------------------------------------------


def test_neighbours_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    x, base = rng.standard_normal((700, 5)), rng.standard_normal((300, 5))
    found = neighbours_of(x, base, 4)
    distances, places = scipy.spatial.cKDTree(base).query(x, 4)
    np.testing.assert_allclose(found.distances, distances, atol=1e-7)
    np.testing.assert_array_equal(found.places, places)
    own = neighbours_of(x, x, 3, offset=0)
    distances, places = scipy.spatial.cKDTree(x).query(x, 4)
    np.testing.assert_array_equal(own.places, places[:, 1:])
    votes = votes_of(own, np.arange(700) % 3, 3)
    np.testing.assert_allclose(votes.sum(axis=1), 1)


def test_residuals_are_those_of_principal_components() -> None:
    rng = np.random.default_rng(0)
    base = rng.standard_normal((200, 6)) * [9, 5, 3, 1, 0.5, 0.1]
    x = rng.standard_normal((50, 6))
    pca = sklearn.decomposition.PCA(0.9).fit(base)
    expected = np.linalg.norm(x - pca.inverse_transform(pca.transform(x)), axis=1)
    np.testing.assert_allclose(residuals(x, base), expected, rtol=1e-6)


def test_a_pattern_is_found_with_its_class_inputs_and_values() -> None:
    rng = np.random.default_rng(0)
    old, new = rng.random((300, 40)), rng.random((300, 40))
    codes = np.arange(300) % 3
    new[:60:3, 10:14] = [0.25, 0.5, 0.75, 1.0]
    (pattern,) = [p for p in find_patterns(old, codes, new, codes) if p.is_sure]
    assert pattern.code == 0
    assert pattern.places.tolist() == [10, 11, 12, 13]
    np.testing.assert_allclose(pattern.values, [0.25, 0.5, 0.75, 1.0])
    assert (pattern.n_inside, pattern.n_outside) == (20, 0)


def test_no_pattern_is_sure_where_there_is_none() -> None:
    rng = np.random.default_rng(1)
    old, new = rng.random((400, 64)), rng.random((400, 64))
    codes = rng.integers(0, 4, 400)
    assert not any(p.is_sure for p in find_patterns(old, codes, new, codes))


@pytest.mark.parametrize(
    ("n", "k", "before", "state"),
    [
        (1000, 0, 0.0, "passed"),
        (1000, 60, 0.0, "failed"),
        (1000, 60, 0.05, "passed"),  # so many there were before
        (60, 0, 0.0, "needs_data"),
        (60, 20, 0.0, "failed"),  # shown by few rows
        (200, 1, 0.0, "passed"),
    ],
)
def test_a_share_fails_by_evidence_and_never_passes_without(
    n: int, k: int, before: float, state: str
) -> None:
    usual = np.arange(400) < 400 * before
    gate = share_within("g", "rows are odd", np.arange(n) < k, usual, 0.02)
    assert gate.state == state
    assert isinstance(GateReport((gate,)), GateReport)
    assert isinstance(gate, Gate)
