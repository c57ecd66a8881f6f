"""A window against its reference, feature by feature: `detect`.

A feature has drifted where a test finds an effect above its threshold that is also
significant among all tests of the check (Benjamini and Hochberg), and where it is gone
or is no longer what the reference counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from trimtab.errors import InputError
from trimtab.monitor.drift.detector import Detector, DriftScore, Measured
from trimtab.monitor.drift.detectors import AUTO, DETECTORS
from trimtab.monitor.drift.report import DriftReport, FeatureDrift
from trimtab.monitor.feature import FeatureSketch
from trimtab.report import count_text
from trimtab.stats.multiplicity import benjamini_hochberg

__all__ = ["detect"]

_Test = tuple[str, Detector, Measured, tuple[int, int]]


def detect(
    reference: Sequence[FeatureSketch],
    window: Sequence[FeatureSketch],
    *,
    methods: str | Sequence[str] = "auto",
    alpha: float = 0.05,
    thresholds: Mapping[str, float] | None = None,
    embedding: tuple[Any, Any] | None = None,
) -> DriftReport:
    """Tell which features of a window have drifted from the reference.

    What the features hold is never an exception: a feature that is gone, of another
    kind, all NaN or constant is shown as what it is.

    Parameters
    ----------
    reference : sequence of FeatureSketch
    window : sequence of FeatureSketch
        In the reference's bins; features are matched by name.
    methods : "auto", str or sequence of str
        Names of `DETECTORS`; each is applied to the features it can read. By default
        the population stability index, Kolmogorov-Smirnov for numbers, Jensen-Shannon
        for categories, and the share of missing values.
    alpha : float, default=0.05
        False discovery rate over all tests of this check.
    thresholds : mapping of str to float, optional
        Of effects, by method, instead of the detectors' own.
    embedding : tuple of two Embedding, optional
        Of reference and window, for "mmd".

    Returns
    -------
    report : DriftReport

    Raises
    ------
    InputError
        A method is unknown, a name stands twice, or alpha or a threshold is no such
        thing.

    Examples
    --------
    >>> edges = [-1, 0, 1]
    >>> a = FeatureSketch.from_values("x", [-2, -0.5, 0.5, 2] * 100, edges=edges)
    >>> b = FeatureSketch.from_values("x", [0.5, 2] * 100, edges=edges)
    >>> detect([a], [b]).drifted, detect([a], [a]).drifted
    (('x',), ())
    """
    names = _method_names(methods)
    limits = dict(thresholds or {})
    _check(alpha, limits, reference, window)
    now = {sketch.name: sketch for sketch in window}
    is_empty = not any(sketch.n_values for sketch in window)
    states: dict[str, str] = {}
    tests: list[_Test] = []
    fitting = {kind: _fitting(names, kind) for kind in AUTO}
    with np.errstate(all="ignore"):
        for before in reference:
            after = now.get(before.name)
            state = _state(before, after, is_empty)
            states[before.name] = state
            if after is None or state:
                continue
            n = before.n, after.n
            tests += [
                (before.name, detector, detector.measure(before, after), n)
                for detector in fitting[before.kind]
            ]
    if embedding is not None:
        a, b = embedding
        mmd = DETECTORS["mmd"]
        tests.append(("embedding", mmd, mmd.measure(a, b), (int(a.n), int(b.n))))
        states["embedding"] = ""
    scores = tuple(_judge(tests, limits, alpha))
    return DriftReport(
        features=tuple(_features(reference, now, states, scores)),
        scores=scores,
        alpha=alpha,
        reference=tuple(reference),
        window=tuple(window),
    )


def _method_names(methods: str | Sequence[str]) -> tuple[str, ...] | None:
    """None: what `AUTO` has for the kind."""
    if methods == "auto":
        return None
    names = (methods,) if isinstance(methods, str) else tuple(methods)
    unknown = [name for name in names if name not in DETECTORS]
    if unknown or not names:
        raise InputError(
            f"methods: expected 'auto' or some of {list(DETECTORS)}, got "
            f"{unknown[0] if unknown else names!r}"
        )
    return tuple(dict.fromkeys(names))


def _check(
    alpha: float,
    limits: Mapping[str, float],
    reference: Sequence[FeatureSketch],
    window: Sequence[FeatureSketch],
) -> None:
    if not 0 < alpha < 1:
        raise InputError(f"alpha: expected a number between 0 and 1, got {alpha!r}")
    for name, limit in limits.items():
        if name not in DETECTORS or not limit > 0:
            raise InputError(
                f"thresholds: expected numbers above 0 for some of {list(DETECTORS)}, "
                f"got {name!r}: {limit!r}"
            )
    for what, sketches in (("reference", reference), ("window", window)):
        seen = [sketch.name for sketch in sketches]
        if len(set(seen)) < len(seen):
            twice = next(name for name in seen if seen.count(name) > 1)
            raise InputError(
                f"{what}: the feature {twice!r} stands twice; expected once"
            )


def _state(before: FeatureSketch, after: FeatureSketch | None, is_empty: bool) -> str:
    """What keeps a feature from being tested, in a word; "" where nothing does."""
    if is_empty or not before.n_values:
        return "empty"
    if after is None or not after.n_values:
        return "vanished"
    return "" if after.has_bins_of(before) else "changed"


def _fitting(names: tuple[str, ...] | None, kind: str) -> list[Detector]:
    found = [DETECTORS[name] for name in (AUTO[kind] if names is None else names)]
    return [detector for detector in found if kind in detector.kinds]


def _judge(
    tests: Sequence[_Test], limits: Mapping[str, float], alpha: float
) -> Iterator[DriftScore]:
    adjusted = benjamini_hochberg([measured.p_value for _, _, measured, _ in tests])
    for (name, detector, measured, n), p in zip(tests, adjusted.tolist(), strict=True):
        limit = limits.get(detector.name)
        yield detector.judge(name, measured, p, threshold=limit, alpha=alpha, n=n)


def _features(
    reference: Sequence[FeatureSketch],
    now: Mapping[str, FeatureSketch],
    states: Mapping[str, str],
    scores: Sequence[DriftScore],
) -> Iterator[FeatureDrift]:
    by_name: dict[str, list[DriftScore]] = {name: [] for name in states}
    for score in scores:
        by_name[score.feature].append(score)
    before = {sketch.name: sketch for sketch in reference}
    for name, state in states.items():
        own = tuple(by_name[name])
        sketch, after = before.get(name), now.get(name)
        notes = _notes(sketch, after) if sketch and after and not state else ()
        kind = sketch.kind if sketch else "embedding"
        yield FeatureDrift(name, kind, state or _verdict(own), own, notes)
    for name, sketch in now.items():
        if name not in before:
            yield FeatureDrift(name, sketch.kind, "new", ())


def _verdict(scores: Sequence[DriftScore]) -> str:
    if any(score.is_drift for score in scores):
        return "drift"
    has_test = any(score.statistic == score.statistic for score in scores)
    return "stable" if has_test else "untested"


def _notes(before: FeatureSketch, after: FeatureSketch) -> tuple[str, ...]:
    """What a person wants to know beside the numbers."""
    found = []
    if not after.n:
        found.append("no finite value in the window")
    if after.n_infinite and not before.n_infinite:
        found.append(count_text(after.n_infinite, "infinite value"))
    if before.kind == "numeric":
        if before.n and before.minimum == before.maximum:
            found.append(f"the reference is constant: {before.minimum:g}")
        is_under = before.counts[0] == 0 and after.counts[0] > 0
        is_over = before.counts[-1] == 0 and after.counts[-1] > 0
        n_outside = is_under * int(after.counts[0]) + is_over * int(after.counts[-1])
        if n_outside:
            what = count_text(n_outside, "value")
            found.append(f"{what} outside of the reference's range")
    elif after.counts[-1] and not before.counts[-1]:
        what = count_text(int(after.counts[-1]), "value")
        found.append(f"{what} of unseen categories")
    return tuple(found)
