"""Reports: the same facts as text, data, page and picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trimtab.rollout import RolloutResult
from trimtab.rollout.log import Edge

from .conftest import Clients, quick
from .test_rollout import same


def taken_back() -> RolloutResult:
    edges = (
        Edge(0.0, "SHADOW", "CANARY", ("no labels",)),
        Edge(1.0, "CANARY", "CANARY", (), {"share": 0.05}),
        Edge(3.0, "CANARY", "CANARY", (), {"share": 0.5}),
        Edge(4.0, "CANARY", "ROLLING_BACK", ("latency: <slow>",)),
        Edge(4.1, "ROLLING_BACK", "ROLLED_BACK"),
    )
    return RolloutResult("digits", 4, 3, 7, "ROLLED_BACK", edges, {}, {})


def test_reasons_are_those_of_the_turn() -> None:
    result = taken_back()
    assert not result.ok
    assert result.reasons == ("latency: <slow>",)
    assert "version 3 -> 4: ROLLED_BACK" in str(result)
    assert [s["share"] for s in result.stages] == [None, 0.05, 0.5, None, None]
    assert result.stages[1]["seconds"] == 2.0


def test_a_page_escapes_what_people_wrote(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    taken_back().save(path)
    page = path.read_text()
    assert page.startswith("<!doctype html>")
    assert "&lt;slow&gt;" in page
    assert "<slow>" not in page
    assert "<svg" in page
    assert "5 %" in taken_back()._repr_html_()


def test_the_picture_shows_the_share_over_time() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    ax = taken_back().plot()
    x, y = ax.lines[0].get_data()
    assert max(y) == 50.0
    assert y[-1] == 0.0
    assert list(x) == sorted(x)
    import matplotlib.pyplot as plt

    plt.close("all")


def test_a_whole_rollout_is_plain_json(dep: Any, tmp_path: Path) -> None:
    with Clients(dep, same):
        result = quick().run(dep, 2)
    plain = json.loads(result.to_json())
    assert plain["state"] == "PROMOTED"
    assert plain["ok"] is True
    assert set(plain["evidence"]["tests"]) >= {"quality", "latency", "failures"}
    result.save(tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text()) == plain
    assert "Share of the requests" in result._repr_html_()
