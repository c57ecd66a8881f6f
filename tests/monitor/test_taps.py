"""Tensors in the middle of a model as features: chosen by name, stored, drifting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.monitor.test_monitor_serving import X, hidden_model

import trimtab
from trimtab.errors import InputError
from trimtab.monitor.reference import Reference


@pytest.fixture
def model(tmp_path: Path) -> trimtab.Model:
    return hidden_model(tmp_path / "h.onnx")


def test_taps_are_features_of_the_reference(model: trimtab.Model) -> None:
    reference = Reference.from_model(model, X, taps=["h", "z"], embedding="h")
    names = [feature.name for feature in reference.features]
    assert {"h.norm", "h.mean", "h.zero_share", "z.norm"} <= set(names)
    assert reference.inside == ("h", "z")
    assert reference.inner is not None
    h = model.run(X, outputs=["h"])["h"].astype(np.float64)
    by_name = {feature.name: feature for feature in reference.features}
    norms = np.linalg.norm(h, axis=1)
    assert by_name["h.norm"].mean == pytest.approx(norms.mean(), rel=1e-5)
    assert by_name["h.zero_share"].mean == pytest.approx((h == 0).mean(), rel=1e-5)
    assert Reference.from_json(reference.to_json()).to_json() == reference.to_json()


def test_columns_of_a_tap_are_told_apart(model: trimtab.Model) -> None:
    reference = Reference.from_model(model, X, taps=["h"], kinds={"h": "columns"})
    names = [feature.name for feature in reference.features]
    assert [f"h[{i}]" for i in range(16)] == [n for n in names if n.startswith("h[")]
    assert reference.inner is None


def test_drift_inside_is_found_in_service(model: trimtab.Model, tmp_path: Path) -> None:
    reference = Reference.from_model(model, X, taps=["h"])
    path = tmp_path / "h.safetensors"
    model.save(path, reference=reference)
    deployment = trimtab.deploy_model(trimtab.load_model(path))
    options: dict[str, Any] = {"window": 640, "budget": None, "background": False}
    with trimtab.monitor_model(deployment, **options) as watching:
        for i in range(20):
            deployment(X[32 * i : 32 * i + 32])
        status = watching.check()
        assert status.state == "ok"
        window = status.window
        assert window is not None
        counted = {feature.name: feature for feature in window.features}
        assert counted["h.norm"].n == 640
        assert window.n_rows == 640  # taps bring no rows of their own
        for i in range(20):
            deployment(X[32 * i : 32 * i + 32] * 3)
        window = watching.check().window
        assert window is not None
        assert "h.norm" in window.drifted
        assert watching.troubles == {}


def test_what_somebody_else_ran_may_hold_taps(model: trimtab.Model) -> None:
    reference = Reference.from_model(model, X, taps=["h"])
    with trimtab.monitor_model(
        reference=reference, window=500, background=False
    ) as watching:
        found = model.run(X[:500], outputs=["p", "h"])
        watching.observe({"x": X[:500]}, found)
        window = watching.check().window
        assert window is not None
        counted = {feature.name: feature for feature in window.features}
        assert counted["h.norm"].n == 500
        watching.observe({"x": X[:500]}, {"p": found["p"]})  # without: nothing missing
        window = watching.check().window
        assert window is not None
        assert "absent" not in window.faults


@pytest.mark.filterwarnings("ignore:monitoring")
def test_a_version_without_the_tap_is_told_and_served(
    model: trimtab.Model, tmp_path: Path
) -> None:
    from tests.monitor.test_reference import softmax_model

    deployment = trimtab.deploy_model(model)
    reference = Reference.from_model(model, X, taps=["h"])
    with trimtab.monitor_model(
        deployment, reference=reference, budget=None, background=False
    ) as watching:
        deployment(X[:32])
        deployment.swap(softmax_model(tmp_path / "other.onnx"))
        for _ in range(3):
            assert deployment(X[:32]).shape == (32, 3)
        watching.check()
        assert any("in the middle" in what for what in watching.troubles)


@pytest.mark.parametrize(
    ("taps", "message"),
    [
        (["nothing"], "no tensor 'nothing'"),
        (["h", "h"], "twice"),
        ("h", "a list"),
        ([3], "a list"),
    ],
)
def test_what_is_no_tap_is_refused(
    model: trimtab.Model, taps: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Reference.from_model(model, X, taps=taps)


def test_a_reference_of_other_taps_is_refused(
    model: trimtab.Model, tmp_path: Path
) -> None:
    from tests.monitor.test_reference import softmax_model

    reference = Reference.from_model(model, X, taps=["h"])
    other = softmax_model(tmp_path / "other.onnx")
    with pytest.raises(InputError, match="no tap 'h'"):
        trimtab.monitor_model(other, reference=reference, background=False)
