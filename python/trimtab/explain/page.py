"""Explanations as HTML that needs nothing but itself."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import numpy as np

from trimtab import html
from trimtab.explain.parts import channel_axis
from trimtab.explain.picture import as_picture, largest
from trimtab.png import encode_png
from trimtab.svg.counts import bars

if TYPE_CHECKING:
    from trimtab.explain.explanation import Explanation

__all__ = ["explanation_fragment", "explanation_page"]

_RED, _BLUE = np.array([178.0, 24.0, 43.0]), np.array([33.0, 102.0, 172.0])
# Pixels of the longer side of a picture.
_MOST_PIXELS = 320
_MOST_BARS = 30


def explanation_page(found: Explanation) -> str:
    """Give a whole document.

    Parameters
    ----------
    found : Explanation

    Returns
    -------
    html : str

    Examples
    --------
    >>> explanation_page(found)                            # doctest: +SKIP
    '<!doctype html>...
    """
    title = f"Explanation of {found.model}"
    return html.page(title, [("What the answer rests on", _body(found))])


def explanation_fragment(found: Explanation) -> str:
    """Give it for a notebook.

    Parameters
    ----------
    found : Explanation

    Returns
    -------
    html : str

    Examples
    --------
    >>> explanation_fragment(found)                        # doctest: +SKIP
    '<div ...
    """
    return html.fragment(*_body(found))


def _body(found: Explanation) -> list[html.Html]:
    what = found.target_name or str(found.target)
    facts = [f"{found.method} ({found.reason})"]
    if np.isfinite(found.prediction):
        facts.append(f"{html.number_text(found.prediction)} at {what}")
    if np.isfinite(found.base):
        facts.append(f"{html.number_text(found.base)} for the background")
        facts.append(f"{html.number_text(found.gap)} not shared out")
    parts = [html.paragraph("; ".join(facts))]
    if found.kind == "image":
        parts.append(html.figure(_picture(found), "red adds to the answer, blue takes"))
    elif found.kind in ("text", "tokens"):
        parts.append(_words(found))
    else:
        chosen = found.order[:_MOST_BARS]
        std = None if found.std is None else found.std[chosen]
        values = found.values[chosen]
        parts.append(
            html.figure(
                bars(
                    [found.names[i] for i in chosen],
                    values,
                    low=None if std is None else values - std,
                    high=None if std is None else values + std,
                    title=found.method,
                )
            )
        )
    return [*parts, *(html.paragraph(note, is_soft=True) for note in found.notes)]


def _words(found: Explanation) -> html.Html:
    end = largest(found.values)
    spans = []
    for name, value in zip(found.names, found.values, strict=True):
        colour = _RED if value > 0 else _BLUE
        share = abs(value) / end * 0.7
        rgb = ",".join(str(int(c)) for c in colour)
        spans.append(
            f'<span title="{html.number_text(float(value))}" style="padding:2px 3px;'
            f'border-radius:3px;background:rgba({rgb},{share:.2f})">'
            f"{html.escape(name)}</span>"
        )
    return html.Html(f'<p style="line-height:2">{" ".join(spans)}</p>')


def _picture(found: Explanation) -> html.Html:
    assert found.x is not None
    picture = as_picture(found.x)
    gray = picture if picture.ndim == 2 else picture.mean(axis=-1)
    heat = found.attribution
    axis = channel_axis(heat.shape)
    if axis is not None:
        heat = np.take(heat, 0, axis=axis)
    step = max(1, -(-max(gray.shape) // _MOST_PIXELS))
    gray, heat = gray[::step, ::step], heat[::step, ::step]
    share = np.abs(heat)[..., None] / largest(found.values) * 0.75
    tint = np.where(heat[..., None] > 0, _RED, _BLUE)
    mixed = (1 - share) * (gray[..., None] * 220 + 30) + share * tint
    data = encode_png(mixed.clip(0, 255).astype(np.uint8))
    height, width = gray.shape
    scale = max(1, _MOST_PIXELS // max(gray.shape))
    return html.Html(
        f'<img alt="heat map" width="{width * scale}" height="{height * scale}" '
        f'src="data:image/png;base64,{base64.b64encode(data).decode()}">'
    )
