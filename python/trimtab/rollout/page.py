"""A rollout as a page: what was decided and why, the timeline, the tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trimtab import html
from trimtab.rollout.picture import shares_over_time
from trimtab.svg.curves import Series, line

if TYPE_CHECKING:
    from trimtab.rollout.result import RolloutResult

__all__ = ["fragment_of", "page_of"]

_LEVELS = {"PROMOTED": "good", "REJECTED": "bad", "ROLLED_BACK": "bad"}
_EDGES = ("at", "from", "to", "share", "why")
_TESTS = ("test", "observations", "p-value", "alpha", "stops it")


def _decision(result: RolloutResult) -> html.Html:
    verdict = html.badge(result.state, _LEVELS.get(result.state, "warn"))
    reasons = "".join(html.paragraph(reason) for reason in result.reasons)
    return html.Html(f"<p>{verdict}</p>{reasons}")


def _timeline(result: RolloutResult) -> html.Html:
    times, shares, _ = shares_over_time(result)
    if len(times) < 2:
        return html.paragraph("Nothing has happened yet.", is_soft=True)
    curve = Series("answered by the candidate, %", times, [100 * s for s in shares])
    drawn = line(
        curve, x_label="seconds", y_range=(0.0, 105.0), width=640, title="timeline"
    )
    return html.figure(drawn, "Share of the requests that the candidate answered.")


def _tests(evidence: Mapping[str, Any]) -> html.Html:
    tests = evidence.get("tests")
    if not isinstance(tests, Mapping):
        return html.paragraph("No request was looked at.", is_soft=True)
    rows = [
        [
            str(name),
            str(test.get("n", "")),
            f"{test['p_value']:.3g}",
            f"{test['alpha']:.3g}",
            "yes" if test.get("is_rejected") else "no",
        ]
        for name, test in tests.items()
        if isinstance(test, Mapping) and "p_value" in test and "alpha" in test
    ]
    return html.table(_TESTS, rows)


def _sections(result: RolloutResult) -> list[tuple[str, object]]:
    return [
        ("Decision", _decision(result)),
        ("Timeline", [_timeline(result), html.table(_EDGES, result._rows())]),
        (
            "Tests",
            [
                _tests(result.evidence),
                html.paragraph(str(result.evidence.get("quality", "")), is_soft=True),
            ],
        ),
    ]


def fragment_of(result: RolloutResult) -> str:
    """Give it for a notebook.

    Parameters
    ----------
    result : RolloutResult

    Returns
    -------
    html : str

    Examples
    --------
    >>> fragment_of(result)                                # doctest: +SKIP
    """
    parts: list[object] = [_decision(result), _timeline(result)]
    parts += [html.table(_EDGES, result._rows()), _tests(result.evidence)]
    return html.fragment(*parts)


def page_of(result: RolloutResult) -> str:
    """Give it as a whole document.

    Parameters
    ----------
    result : RolloutResult

    Returns
    -------
    html : str

    Examples
    --------
    >>> page_of(result)                                    # doctest: +SKIP
    """
    title = f"Rollout {result.number}: {result.name}, version {result.version}"
    return html.page(title, _sections(result), subtitle=result.summary)
