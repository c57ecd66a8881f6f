"""Pages and figures of reports: escaped, bounded, alone, whatever they are made of.

The oracle of what is well formed is Python's XML parser (figures) and its HTML parser.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trimtab import html
from trimtab.report import html_table
from trimtab.svg import (
    Series,
    bars,
    confusion_matrix,
    histogram_pair,
    line,
    reliability_diagram,
    sparkline,
)

HOSTILE = '<script>alert(\'x\')</script>" onload="y" \udc80\x00&\u202e'
VOID = {"meta", "br", "hr"}

FIGURES: dict[str, Callable[[np.ndarray, str], html.Html]] = {
    "histogram_pair": lambda x, t: histogram_pair(
        x, x[::-1], ticks=[(0, t)], names=(t, t), title=t
    ),
    "line": lambda x, t: line(
        [Series(t, np.arange(len(x)), x, x - 1, x + 1)] * 7, threshold=1, x_label=t
    ),
    "bars": lambda x, t: bars([t] * len(x), x, low=x - 1, high=x, threshold=0.5),
    "sparkline": lambda x, t: sparkline(x, threshold=0.2, title=t),
    "confusion_matrix": lambda x, t: confusion_matrix(
        np.abs(x)[:, None] * np.abs(x), [t] * len(x), title=t
    ),
    "reliability_diagram": lambda x, t: reliability_diagram(
        x, x, np.abs(x), low=x, high=x, title=t
    ),
}


class Strict(HTMLParser):
    """Every element is closed in its turn; tags and their attributes are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(document: str) -> Strict:
    parser = Strict()
    parser.feed(document)
    parser.close()
    assert not parser.open
    return parser


@pytest.mark.parametrize("name", FIGURES)
@settings(max_examples=25, deadline=None)
@given(
    x=hnp.arrays(np.float64, st.integers(0, 90), elements=st.floats()),
    text=st.text(max_size=60),
)
def test_a_figure_of_anything_is_well_formed_and_bounded(
    name: str, x: np.ndarray, text: str
) -> None:
    with np.errstate(all="ignore"):
        svg = FIGURES[name](x, text)
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert not re.search(r'="[^"]*\b(nan|inf)\b', svg.split("</title>")[1])


@pytest.mark.parametrize("name", FIGURES)
def test_the_size_of_a_figure_is_bounded(name: str) -> None:
    x = np.random.default_rng(0).random(3000)
    assert len(FIGURES[name](x, "n" * 3000)) < 110_000


@pytest.mark.parametrize("name", FIGURES)
def test_hostile_names_stay_texts(name: str) -> None:
    svg = FIGURES[name](np.array([0.5, 0.2, 0.9]), HOSTILE)
    tags = {element.tag.split("}")[1] for element in ElementTree.fromstring(svg).iter()}
    assert tags <= {"svg", "title", "path", "text", "rect", "circle"}
    svg.encode("utf-8")


def test_a_page_of_hostile_texts_is_read_as_texts_again() -> None:
    rows = [[HOSTILE, 0.123456, 3], [html.badge(HOSTILE, HOSTILE), float("nan"), 1e300]]
    document = html.page(
        HOSTILE,
        [
            (HOSTILE, [HOSTILE, html.table([HOSTILE, "p", "n"], rows)]),
            ("more", html.details(HOSTILE, html.paragraph(HOSTILE, is_soft=True))),
            ("figures", html.grid([html.figure(sparkline([1, 2]), HOSTILE), HOSTILE])),
        ],
        subtitle=HOSTILE,
    )
    parser = read(document)
    assert "script" not in parser.tags
    assert not any(name.startswith("on") for name in parser.attributes)
    assert parser.text.count("<script>alert('x')</script>") == 12
    document.encode("utf-8")


def test_a_page_loads_nothing_and_knows_light_and_dark() -> None:
    document = html.page("t", [("s", html.grid([sparkline([1, 2])]))])
    assert not re.search(r"<(link|img|script|iframe|object)|@import|url\(", document)
    links = set(re.findall(r"https?://[^\"'\s]+", document))
    assert links <= {"http://www.w3.org/2000/svg"}
    assert "prefers-color-scheme:dark" in document
    assert "default-src 'none'" in document


def test_every_colour_of_figures_is_in_the_sheet() -> None:
    x = np.linspace(0, 1, 5)
    figures = "".join(draw(x, "t") for draw in FIGURES.values())
    classes = set(re.findall(r'class="([^"]+)"', figures))
    sheet = html.page("t", [])
    for style in {part for text in classes for part in text.split()}:
        assert f".tt svg .{style}{{" in sheet, style


def test_a_report_of_fifty_features_is_below_200_kb() -> None:
    rng = np.random.default_rng(1)
    rows, figures = [], []
    for i in range(50):
        course = sparkline(rng.random(100), threshold=0.5)
        rows.append([f"feature_{i}", 0.1, 0.01, course, html.badge("stable")])
        histogram = histogram_pair(rng.random(64), rng.random(64), ticks=[(3, "0.1")])
        figures.append(html.figure(histogram, f"feature_{i}"))
    table = html.table(["feature", "PSI", "p", "course", "state"], rows)
    document = html.page("r", [("All", table), ("Each", html.grid(figures))])
    assert len(document.encode()) < 200_000


def test_counts_of_many_bins_are_merged_not_lost() -> None:
    few = histogram_pair([0, 0, 5], [0, 5, 0])
    many = histogram_pair(np.repeat([0, 0, 5], 100), np.repeat([0, 5, 0], 100))
    tops = [set(re.findall(r"V([\d.]+)", svg)) for svg in (few, many)]
    assert many.count("V") > few.count("V")
    assert len(many) < 6000
    assert len(tops[0]) == 2
    assert len(tops[1]) < 5  # bins at the seams hold parts


def test_the_worst_classes_are_drawn_and_the_rest_merged() -> None:
    matrix = np.eye(100) * 50
    matrix[70, 3] = 9
    svg = confusion_matrix(matrix, [f"c{i}" for i in range(100)])
    assert ">c70<" in svg
    assert ">c3<" in svg
    assert ">77 others<" in svg


def test_cells_of_tables_that_are_html_already_stay_so() -> None:
    assert html_table(["a"], [[html.Html("<hr>")]]).count("<hr>") == 1
    assert "<hr>" not in html_table(["<hr>"], [["<hr>"]])
