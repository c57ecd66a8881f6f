"""`detect` and its report: false discoveries, bad features, tables, pages, pictures."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
from tests.api.test_html import read

from trimtab.errors import InputError
from trimtab.monitor import FeatureSketch
from trimtab.monitor.drift import DETECTORS, DriftReport, detect
from trimtab.monitor.embedding import Embedding
from trimtab.stats.multiplicity import benjamini_hochberg

EDGES = np.array([-3.0, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 3.0])


def numbers(name: str, values: object) -> FeatureSketch:
    return FeatureSketch.from_values(name, values, edges=EDGES)


def words(name: str, values: list) -> FeatureSketch:
    return FeatureSketch.from_values(name, values, categories=["a", "b"])


def table(
    rng: np.random.Generator, n: int, shift: dict[int, float] | None = None, k: int = 50
) -> list[FeatureSketch]:
    rows = rng.normal(size=(n, k))
    for column, by in (shift or {}).items():
        rows[:, column] += by
    return [numbers(f"x{i}", rows[:, i]) for i in range(k)]


@pytest.fixture(scope="module")
def report() -> DriftReport:
    rng = np.random.default_rng(0)
    return detect(table(rng, 5000), table(rng, 1000, {3: 0.4, 7: 1.0}))


def test_what_moved_is_named_the_strongest_first(report: DriftReport) -> None:
    assert report.drifted == ("x7", "x3")
    assert not report.ok
    assert report["x7"].is_severe
    assert report["x0"].state == "stable"
    with pytest.raises(KeyError):
        report["y"]


def test_p_values_are_adjusted_over_all_tests(report: DriftReport) -> None:
    p = [score.p_value for score in report.scores]
    expected = benjamini_hochberg(p)
    found = [score.adjusted_p_value for score in report.scores]
    np.testing.assert_array_equal(found, expected)
    for score in report.scores:
        is_drift = score.effect > score.threshold and score.adjusted_p_value <= 0.05
        assert score.is_drift == is_drift


def test_false_discoveries_are_rare_where_effects_do_not_protect() -> None:
    """Windows of 60 values have effects by chance; the false discovery rate holds."""
    rng = np.random.default_rng(1)
    reference = table(rng, 3000, k=20)
    n_false = sum(
        bool(detect(reference, table(rng, 60, k=20)).drifted) for _ in range(60)
    )
    assert n_false <= 9  # of Bin(60, 0.05): P(more) is 1e-3


FEATURES = {
    # name: reference, window, state, part of a note
    "all NaN": ([0.1, -0.2] * 50, [math.nan] * 90, "drift", "no finite value"),
    "infinite": ([0.1, -0.2] * 50, [math.inf] * 90, "drift", "90 infinite"),
    "constant, stays": ([2.0] * 99, [2.0] * 99, "stable", "constant"),
    "constant, moves": ([2.0] * 99, [1.2] * 99, "drift", "constant"),
    "constant, moves in its bin": ([2.0] * 99, [2.1] * 99, "drift", "constant"),
    "constant, spreads": ([0.1] * 999, [0.1] * 60 + [9.0] * 40, "drift", "outside"),
    "too few": ([0.1, -0.2, 1.1] * 50, [0.1], "stable", ""),
    "out of range": (np.linspace(-2.9, 2.9, 300), [4.0] * 50, "drift", "50 values"),
}


@pytest.mark.parametrize("name", FEATURES)
def test_bad_features_are_told(name: str) -> None:
    before, after, state, note = FEATURES[name]
    report = detect([numbers(name, before)], [numbers(name, after)])
    assert report[name].state == state
    assert note in "; ".join(report[name].notes)
    json.loads(report.to_json())
    assert name in str(report)
    read(report._repr_html_())


def test_features_that_vanish_change_or_come_are_told() -> None:
    some = np.linspace(-2, 2, 200)
    other_bins = FeatureSketch.from_values("binned", some, edges=[0.0])
    before = [numbers(n, some) for n in ("same", "gone", "silent", "typed", "binned")]
    after = [numbers("same", some), numbers("silent", []), words("typed", ["a"] * 9)]
    report = detect(before, [*after, other_bins, numbers("more", some)])
    states = {feature.name: feature.state for feature in report.features}
    assert states == {
        "same": "stable",
        "gone": "vanished",
        "silent": "vanished",
        "typed": "changed",
        "binned": "changed",
        "more": "new",
    }
    assert set(report.drifted) == {"gone", "silent", "typed", "binned"}
    assert report["gone"].is_severe
    json.loads(report.to_json())
    assert "vanished" in report._repr_html_()


def test_unseen_categories_are_counted_and_drift() -> None:
    before = words("x", ["a", "b"] * 200)
    report = detect([before], [words("x", ["a", "b"] * 40 + ["z"] * 30 + [None])])
    assert report["x"].state == "drift"
    assert report["x"].notes == ("30 values of unseen categories",)


@pytest.mark.parametrize("window", [[], [numbers("x", [])]], ids=["none", "empty"])
def test_an_empty_window_is_no_drift(window: list[FeatureSketch]) -> None:
    report = detect([numbers("x", [0.1, 0.9] * 50)], window)
    assert report.ok
    assert report["x"].state == "empty"
    assert detect([], []).ok
    read(detect([], [])._repr_html_())


def test_a_reference_without_values_is_no_drift() -> None:
    report = detect([numbers("x", [])], [numbers("x", [0.1] * 50)])
    assert report["x"].state == "empty"


def test_methods_are_applied_to_what_they_can_read() -> None:
    pair = [numbers("n", [0.1, 0.9] * 50), words("c", ["a", "b"] * 50)]
    report = detect(pair, pair, methods=["chi_square", "wasserstein"])
    assert [(s.feature, s.method) for s in report.scores] == [
        ("n", "chi_square"),
        ("n", "wasserstein"),
        ("c", "chi_square"),
    ]
    report = detect(pair, pair, methods="wasserstein")
    assert report["c"].state == "untested"


def test_thresholds_can_be_moved() -> None:
    rng = np.random.default_rng(3)
    a, b = table(rng, 4000, k=1), table(rng, 4000, {0: 0.35}, k=1)
    method = "population_stability_index"
    assert detect(a, b, methods=method).drifted
    strict = detect(a, b, methods=method, thresholds={method: 0.5})
    assert strict.ok
    assert strict.scores[0].threshold == 0.5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"methods": "psi"}, "population_stability_index"),
        ({"methods": []}, "methods"),
        ({"alpha": 1.5}, "alpha"),
        ({"thresholds": {"mmd": -1}}, "thresholds"),
        ({"thresholds": {"mmd": math.nan}}, "thresholds"),
    ],
)
def test_mistakes_of_the_caller_are_refused(arguments: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        detect([], [], **arguments)
    with pytest.raises(InputError, match="twice"):
        detect([numbers("x", [1]), numbers("x", [1])], [])


def test_embeddings_take_part() -> None:
    rng = np.random.default_rng(4)
    reference = Embedding.from_data(rng.normal(size=(2000, 40)))
    for gap, drifted in ((0.0, ()), (0.6, ("embedding",))):
        window = reference.empty()
        window.update(rng.normal(gap, 1, size=(500, 40)))
        report = detect([], [], embedding=(reference, window))
        assert report.drifted == drifted
        assert report.scores[0].method == "mmd"
        assert (report.scores[0].n_reference, report.scores[0].n_window) == (2000, 500)
    assert detect([], [], embedding=(reference, reference.empty())).ok


def test_every_detector_names_its_source() -> None:
    for name, detector in DETECTORS.items():
        assert detector.name == name
        assert 0 < detector.threshold < detector.severe
        assert detector.source
        assert detector.effect_name


def test_the_page_of_fifty_features_is_small(report: DriftReport, tmp_path) -> None:
    report.save(tmp_path / "r.html")
    document = (tmp_path / "r.html").read_text()
    assert len(document.encode()) < 200_000
    read(document)
    report.save(tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["drifted"] == ["x7", "x3"]


def test_hostile_names_stay_texts() -> None:
    name = "<script>alert(1)</script>\udc80"
    report = detect([numbers(name, [0.1] * 9)], [numbers(name, [2.0] * 9)])
    assert "script" not in read(report._repr_html_()).tags
    report.to_json().encode()


def test_pictures_are_drawn(report: DriftReport) -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    ax = report.plot()
    assert ax.get_yticklabels()[0].get_text() == "x7"
    ax = report.plot(feature="x7")
    assert len(ax.patches) == 4
    with pytest.raises(KeyError):
        report.plot(feature="y")
    detect([], []).plot()
    plt.close("all")


def test_a_check_of_fifty_features_is_fast(report: DriftReport) -> None:
    """Time of this thread, the least of many: whatever else the machine does."""
    best = math.inf
    for _ in range(60):
        start = time.thread_time()
        detect(report.reference, report.window)
        best = min(best, time.thread_time() - start)
    assert best < 5e-3


def test_a_check_imports_no_scipy() -> None:
    import subprocess
    import sys

    code = (
        "import sys, numpy as np\n"
        "from trimtab.monitor import FeatureSketch\n"
        "from trimtab.monitor.drift import DETECTORS, detect\n"
        "a = FeatureSketch.from_values('x', [0, 1, 2] * 9, edges=[1, 2])\n"
        "str(detect([a], [a], methods=[m for m in DETECTORS if m != 'mmd']))\n"
        "assert not {'scipy', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
