"""Reports as one HTML file: texts, tables, figures, light and dark.

Enters: texts of anybody, and `Html` made here or by `svg`. Leaves: a page without
scripts that loads nothing. What is no `Html` is a text and is escaped.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from trimtab.report import Cell, html_table

__all__ = [
    "Html",
    "badge",
    "details",
    "escape",
    "figure",
    "fragment",
    "grid",
    "number_text",
    "page",
    "paragraph",
    "short_text",
    "table",
]

#: What no document may hold, or cannot be written as UTF-8.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]"
)

# Colours by what they mean: (light, dark). a to e are those of curves and bars.
_COLOURS = {
    "paper": ("#ffffff", "#16191d"),
    "card": ("#f5f6f8", "#20252b"),
    "ink": ("#1d2329", "#e4e8ec"),
    "soft": ("#5d6873", "#9aa5b1"),
    "rule": ("#d5dae0", "#3a424b"),
    "a": ("#1f5fa8", "#6aa9f0"),
    "b": ("#c8501e", "#f08a55"),
    "c": ("#23805a", "#5fc49a"),
    "d": ("#8146a8", "#c493e6"),
    "e": ("#7d6a00", "#d6bf4a"),
    "good": ("#1b7a3d", "#5ccf85"),
    "warn": ("#8a6100", "#e8b84a"),
    "bad": ("#b3261e", "#ff8a80"),
}

_RULES = """
.tt{color:var(--ink);background:var(--paper);font:14px/1.5 system-ui,sans-serif}
.tt h1{font-size:24px;margin:0 0 4px}.tt h2{font-size:18px;margin:32px 0 8px}
.tt p{margin:8px 0;max-width:75ch}.tt .soft{color:var(--soft)}
.tt .wide{overflow-x:auto}.tt table{border-collapse:collapse;margin:8px 0}
.tt th,.tt td{padding:3px 10px;border-bottom:1px solid var(--rule);text-align:left;
vertical-align:middle;color:var(--ink);background:none;
font-variant-numeric:tabular-nums}
.tt th{color:var(--soft);font-weight:600}
.tt figure{margin:0;padding:8px;background:var(--card);border-radius:6px}
.tt figcaption{font-size:13px;overflow-wrap:anywhere}
.tt .grid{display:grid;gap:12px;
grid-template-columns:repeat(auto-fill,minmax(300px,1fr));align-items:start}
.tt details{margin:8px 0}.tt summary{cursor:pointer}
.tt .badge{padding:1px 8px;border-radius:9px;border:1px solid;font-size:12px;
font-weight:600;white-space:nowrap}
.tt .good{color:var(--good)}.tt .warn{color:var(--warn)}.tt .bad{color:var(--bad)}
.tt svg{display:block;max-width:100%;height:auto}
.tt svg text{fill:var(--ink);font:11px system-ui,sans-serif}
.tt svg .q{fill:var(--soft)}.tt svg .r{text-anchor:end}.tt svg .m{text-anchor:middle}
.tt svg .n{fill:none}.tt svg .g{stroke:var(--rule);fill:none}
.tt svg .l{stroke:var(--bad);stroke-dasharray:4 3;fill:none}
.tt svg .k{stroke:var(--ink);fill:none}
"""
_CURVE = (
    ".tt svg .f{0}{{fill:var(--{0})}}.tt svg .s{0}{{stroke:var(--{0});fill:none;"
    "stroke-width:1.5}}.tt svg .h{0}{{fill:var(--{0});fill-opacity:.22}}"
    ".tt svg .o{0}{{stroke:var(--{0});fill:var(--{0});fill-opacity:.22}}"
)


def _style() -> str:
    """The sheet; every rule is below the class tt, so notebooks keep their looks."""
    light, dark = (
        "".join(f"--{name}:{pair[i]};" for name, pair in _COLOURS.items())
        for i in (0, 1)
    )
    return (
        f"<style>.tt{{{light}}}@media(prefers-color-scheme:dark){{.tt{{{dark}}}}}"
        f"{_RULES}{''.join(_CURVE.format(name) for name in 'abcde')}</style>"
    )


class Html(str):
    """Text that is HTML already; every other text is escaped where it is put."""

    __slots__ = ()

    def __html__(self) -> str:
        """Give it to those who ask (`report.html_table`, Jinja)."""
        return self


def escape(text: object) -> Html:
    """Make a text safe between tags and inside of quotes; HTML stays as it is.

    What HTML must not hold and what UTF-8 cannot, is shown as U+FFFD.

    Parameters
    ----------
    text : object
        Its ``str``.

    Returns
    -------
    html : Html

    Examples
    --------
    >>> escape("<a & b>"), escape(Html("<hr>"))
    ('&lt;a &amp; b&gt;', '<hr>')
    """
    if isinstance(text, Html):
        return text
    return Html(html.escape(_UNPRINTABLE.sub("\ufffd", str(text))))


def short_text(text: object, length: int = 40) -> str:
    """Cut a text that would not fit.

    Parameters
    ----------
    text : object
    length : int
        Characters left, with the one that tells of the cut.

    Returns
    -------
    text : str

    Examples
    --------
    >>> short_text("abcdef", 4)
    'abc…'
    """
    whole = str(text)
    return whole if len(whole) <= length else whole[: max(length - 1, 0)] + "…"


def number_text(value: float) -> str:
    """Give a number with four digits that count, as people write them.

    Parameters
    ----------
    value : float

    Returns
    -------
    text : str
        "-" for NaN.

    Examples
    --------
    >>> [number_text(x) for x in (0.12345, 1234567, 2, float("nan"))]
    ['0.1235', '1.235e+06', '2', '-']
    """
    if value != value:
        return "-"
    is_whole = abs(value) < 1e5 and value == int(value)
    return str(int(value)) if is_whole else f"{value:.4g}"


def paragraph(text: object, *, is_soft: bool = False) -> Html:
    """Give a paragraph.

    Parameters
    ----------
    text : object
    is_soft : bool
        A remark, in the colour of labels.

    Returns
    -------
    html : Html

    Examples
    --------
    >>> paragraph("1 < 2")
    '<p>1 &lt; 2</p>'
    """
    return Html(f"<p{' class=soft' if is_soft else ''}>{escape(text)}</p>")


def badge(text: object, level: str = "good") -> Html:
    """Give a word in a frame, in the colour of what it says.

    Parameters
    ----------
    text : object
    level : {"good", "warn", "bad"}

    Returns
    -------
    html : Html

    Examples
    --------
    >>> badge("drift", "bad")
    '<span class="badge bad">drift</span>'
    """
    return Html(f'<span class="badge {escape(level)}">{escape(text)}</span>')


def table(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Html:
    """Give a table; a cell may be `Html`.

    Parameters
    ----------
    headers : sequence of str
    rows : sequence of sequence of str, int or float
        Floats with four digits that count.

    Returns
    -------
    html : Html

    Examples
    --------
    >>> table(["p"], [[0.01234567]])
    '<div class=wide><table><tr><th>p</th></tr><tr><td>0.01235</td></tr></table></div>'
    """
    texts = [
        [escape(number_text(c) if isinstance(c, float) else c) for c in row]
        for row in rows
    ]
    return Html(
        f"<div class=wide>{html_table([escape(h) for h in headers], texts)}</div>"
    )


def figure(svg: Html, caption: object = "") -> Html:
    """Give a figure on a card, with its caption.

    Parameters
    ----------
    svg : Html
        Of `trimtab.svg`, or other HTML.
    caption : object

    Returns
    -------
    html : Html

    Examples
    --------
    >>> figure(Html("<svg/>"), "brightness")
    '<figure><figcaption>brightness</figcaption><svg/></figure>'
    """
    head = f"<figcaption>{escape(caption)}</figcaption>" if str(caption) else ""
    return Html(f"<figure>{head}{escape(svg)}</figure>")


def grid(items: Sequence[object]) -> Html:
    """Set figures side by side, as many as fit.

    Parameters
    ----------
    items : sequence of Html

    Returns
    -------
    html : Html

    Examples
    --------
    >>> grid([Html("<svg/>")])
    '<div class=grid><svg/></div>'
    """
    return Html(f"<div class=grid>{''.join(escape(item) for item in items)}</div>")


def details(summary: object, body: object) -> Html:
    """Give what opens when asked for.

    Parameters
    ----------
    summary : object
    body : object

    Returns
    -------
    html : Html

    Examples
    --------
    >>> details("all", paragraph("x"))
    '<details><summary>all</summary><p>x</p></details>'
    """
    return Html(
        f"<details><summary>{escape(summary)}</summary>{escape(body)}</details>"
    )


def fragment(*parts: object) -> Html:
    """Give a piece of a page with its own style, for notebooks (``_repr_html_``).

    Parameters
    ----------
    *parts : object
        Texts become paragraphs.

    Returns
    -------
    html : Html

    Examples
    --------
    >>> fragment("x")[-16:]
    '\\n<p>x</p>\\n</div>'
    """
    inner = "\n".join(p if isinstance(p, Html) else paragraph(p) for p in parts)
    return Html(f"<div class=tt>{_style()}\n{inner}\n</div>")


def page(
    title: str,
    sections: Sequence[tuple[str, object]],
    *,
    subtitle: object = "",
) -> str:
    """Give a whole document that needs nothing but itself.

    Parameters
    ----------
    title : str
    sections : sequence of (str, object)
        Heading and body: `Html`, a text, or a list of both.
    subtitle : object
        Shown under the title.

    Returns
    -------
    html : str

    Examples
    --------
    >>> document = page("Drift of <m>", [("Summary", ["fine", badge("ok")])])
    >>> "Drift of &lt;m&gt;" in document, "<script" in document
    (True, False)
    """
    head = (
        '<meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        '<meta http-equiv="Content-Security-Policy" content="default-src '
        "'none'; style-src 'unsafe-inline'; img-src data:\">"
        f"<title>{escape(title)}</title>"
    )
    parts: list[object] = [Html(f"<h1>{escape(title)}</h1>")]
    if str(subtitle):
        parts.append(paragraph(subtitle, is_soft=True))
    for heading, body in sections:
        parts.append(Html(f"<h2>{escape(heading)}</h2>"))
        parts.extend(body if isinstance(body, list | tuple) else [body])
    frame = (
        "<style>body{margin:0}body>.tt{min-height:100vh;box-sizing:border-box;"
        "padding:24px max(24px,calc(50vw - 560px))}</style>"
    )
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}{frame}</head>\n'
        f"<body>{fragment(*parts)}</body></html>\n"
    )
