"""The streams of benchmarks/shifts.py: the same at every draw, and what descriptors and
embeddings see of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

pytest.importorskip("sklearn")
shifts = pytest.importorskip("benchmarks.shifts")
corruptions = pytest.importorskip("benchmarks.corruptions")

from trimtab.monitor.descriptors import describe, names  # noqa: E402
from trimtab.monitor.embedding import Embedding  # noqa: E402

ALL = {**shifts.SHIFTS, **shifts.QUIET}
N_REFERENCE, N = 1500, 500
ZOO = [
    pytest.param(name, marks=pytest.mark.zoo if stream.kind != "table" else ())
    for name, stream in shifts.SHIFTS.items()
]


def features(stream: object, samples: np.ndarray) -> np.ndarray:
    """Columns of a table, descriptors of the rest."""
    if stream.kind == "table":  # type: ignore[attr-defined]
        return samples
    return describe(stream.kind, samples)  # type: ignore[attr-defined]


def largest_step(reference: np.ndarray, window: np.ndarray) -> float:
    """Kolmogorov and Smirnov's statistic of the feature that moved most."""
    found = [
        stats.ks_2samp(a[np.isfinite(a)], b[np.isfinite(b)]).statistic
        for a, b in zip(reference.T, window.T, strict=True)
        if np.isfinite(a).any() and np.nanstd(a) > 0
    ]
    return max(found)


def test_there_are_thirty_of_each() -> None:
    assert len(shifts.SHIFTS) == len(shifts.QUIET) == 30
    kinds = [stream.kind for stream in shifts.SHIFTS.values()]
    assert [kinds.count(k) for k in ("table", "image", "audio")] == [9, 18, 3]


@pytest.mark.parametrize("name", ["mean 0.3", "prior 5", "category mix 0.3", "quiet 1"])
def test_a_stream_is_the_same_at_every_draw(name: str) -> None:
    stream = ALL[name]
    np.testing.assert_array_equal(stream.reference(50), stream.reference(50))
    np.testing.assert_array_equal(stream.window(50), stream.window(50))
    other = stream.window(50, index=1)
    assert not np.array_equal(stream.window(50), other)


@pytest.mark.parametrize("name", ZOO)
def test_descriptors_see_every_shift_more_than_a_quiet_stream(name: str) -> None:
    stream = shifts.SHIFTS[name]
    quiet = shifts.QUIET[f"quiet {[*shifts.SHIFTS].index(name) + 1}"]
    reference = features(stream, stream.reference(N_REFERENCE))
    seen = largest_step(reference, features(stream, stream.window(N)))
    by_chance = largest_step(reference, features(quiet, quiet.window(N)))
    assert seen > by_chance
    # what chance allows one feature of 64 in 10,000 windows
    limit = np.sqrt(np.log(2 * 64 * 1e4) / 2 * (1 / N + 1 / N_REFERENCE))
    assert by_chance < limit


def test_an_embedding_sees_a_prior_that_moved_on_digits() -> None:
    stream, quiet = shifts.SHIFTS["prior 5"], shifts.QUIET["quiet 9"]
    assert quiet.source == stream.source
    reference = Embedding.from_data(stream.reference(1000))
    moved, still = reference.empty(), reference.empty()
    moved.update(stream.window(300))
    still.update(quiet.window(300))
    assert reference.score(moved).p_value < 1e-6
    assert reference.score(still).p_value > 1e-3


@pytest.mark.parametrize("name", sorted(corruptions.CORRUPTIONS))
def test_corruptions_grow_with_their_strength(name: str) -> None:
    from sklearn.datasets import load_sample_images

    image = np.ascontiguousarray(load_sample_images().images[1][100:228, 200:328])
    damage = [
        float(
            np.abs(corruptions.corrupt(image[None], name, k) - image.astype(int)).mean()
        )
        for k in (1, 2, 3)
    ]
    assert 0 < damage[0] < damage[1] < damage[2]
    seen = describe("image", image)[0]
    worst = describe("image", corruptions.corrupt(image[None], name, 3))[0]
    column = {
        "gaussian_noise": "noise",
        "blur": "blur",
        "brightness": "brightness",
        "contrast": "contrast",
        "jpeg": "noise",
        "pixelate": "edge_density",
    }[name]
    i = names("image").index(column)
    assert abs(worst[i] - seen[i]) > 0.2 * abs(seen[i])


@pytest.mark.parametrize("snr_db", corruptions.SNRS_DB)
def test_noise_has_the_ratio_that_was_asked_for(snr_db: float) -> None:
    tone = np.sin(np.arange(20000) * 0.1).astype(np.float32)[None]
    noise = corruptions.add_noise(tone, snr_db) - tone
    ratio = 10 * np.log10(np.mean(tone**2) / np.mean(noise**2))
    assert ratio == pytest.approx(snr_db, abs=0.2)
