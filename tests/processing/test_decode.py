"""Answers of nets: classes, CTC text and lines of text on a page."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from trimtab.errors import InputError
from trimtab.processing.decode_class import decode_class, softmax
from trimtab.processing.decode_ctc import decode_ctc
from trimtab.processing.text_lines import (
    TextLine,
    cut_text_line,
    find_text_lines,
    find_word_gaps,
    label_regions,
)


def test_the_best_classes_come_first() -> None:
    seen = decode_class([[0.2, 0.5, 0.3]], labels=["a", "b", "c"], top=2)
    assert [(s.label, s.index) for s in seen] == [("b", 1), ("c", 2)]


def test_logits_become_probabilities() -> None:
    scores = np.array([1.0, 2.0, 3.0, 900.0])
    seen = decode_class(scores, top=4, from_logits=True)
    assert sum(s.probability for s in seen) == pytest.approx(1)
    np.testing.assert_allclose(softmax(scores[:3]), np.exp(scores[:3] - 3) / 1.50321472)


def test_labels_must_fit() -> None:
    with pytest.raises(InputError, match="expected 2 labels, got 1"):
        decode_class([0.5, 0.5], labels=["a"])
    with pytest.raises(InputError, match="scores of one sample"):
        decode_class(np.zeros((2, 3)))


def test_ctc_drops_repeats_and_blanks_but_not_doubles() -> None:
    steps = np.full((7, 3), 0.05)
    for i, best in enumerate([1, 1, 0, 1, 2, 2, 0]):
        steps[i, best] = 0.9
    decoded = decode_ctc(steps, ["", "l", "y"])
    assert decoded.text == "lly"
    assert decoded.steps == (0, 3, 4)
    assert decoded.probability == pytest.approx(0.9)
    assert decode_ctc(steps[2:3], ["", "l", "y"]).probability == 0


@settings(max_examples=100, deadline=None)
@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_regions_are_those_of_a_flood_fill(mask: np.ndarray) -> None:
    labels = label_regions(mask)
    assert np.array_equal(labels > 0, mask)
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    n_regions = 0
    while left:
        front, region = [left.pop()], set()
        while front:
            y, x = front.pop()
            region.add(labels[y, x])
            for near in [(y + a, x + b) for a in (-1, 0, 1) for b in (-1, 0, 1)]:
                if near in left:
                    left.remove(near)
                    front.append(near)
        assert len(region) == 1
        n_regions += 1
    assert len(np.unique(labels[mask])) == n_regions


def test_a_bent_line_is_cut_out_straight() -> None:
    """A dark stripe along a parabola becomes rows of one colour."""
    y, x = np.mgrid[:80, :200]
    middle = 40 + 0.001 * (x - 100.0) ** 2
    core = (np.abs(y - middle) < 4).astype(float)
    (line,) = find_text_lines(core)
    page = np.repeat(np.abs(y - middle)[..., None], 3, axis=-1)
    strip = cut_text_line(page, line, height=24)[..., 0]
    assert line.curve[0] == pytest.approx(0.001, rel=0.05)
    assert strip[:, 10:-10].std(axis=1).max() < 0.4
    assert strip.mean(axis=1).argmin() in (11, 12)


def test_lines_are_read_from_top_to_bottom_and_left_to_right() -> None:
    page = np.zeros((100, 300))
    for top, left, right in ((60, 10, 290), (10, 160, 290), (12, 10, 140)):
        page[top : top + 8, left:right] = 0.95
    found = find_text_lines(page)
    assert [round(line.left + 6.4) // 10 * 10 for line in found] == [10, 160, 10]
    assert found[0].middle(50.0) < found[2].middle(50.0)


def test_specks_and_doubtful_regions_are_dropped() -> None:
    page = np.zeros((40, 80))
    page[5:7, 5:60] = 0.9
    page[20:30, 5:60] = 0.4
    assert find_text_lines(page) == []
    assert find_text_lines(np.zeros((4, 4))) == []


@settings(max_examples=50, deadline=None)
@given(st.floats(0.2, 5), st.floats(0.2, 5))
def test_a_line_scales_with_its_picture(down: float, across: float) -> None:
    line = TextLine(3.0, 50.0, 10.0, (0.01, -0.2, 20.0), 0.9)
    scaled = line.scaled(down, across)
    x = np.linspace(3, 50, 9)
    np.testing.assert_allclose(scaled.middle(x * across), line.middle(x) * down)
    assert scaled.height == pytest.approx(10 * down)


def test_words_are_told_from_letters_by_the_wider_gap() -> None:
    strip = np.ones((40, 200, 3))
    for left in (4, 14, 24, 60, 70, 80, 120, 130):  # letters of 6, three words
        strip[10:30, left : left + 6] = 0
    np.testing.assert_allclose(find_word_gaps(strip), [45, 103])
    assert find_word_gaps(np.ones((40, 50, 3))).size == 0
