"""Tables for people: in a terminal and in a notebook."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

__all__ = [
    "bytes_text",
    "count_text",
    "html_table",
    "pyplot",
    "text_table",
    "write_report",
]

Cell = str | int | float


def _text(cell: Cell) -> str:
    if isinstance(cell, float):
        return f"{cell:.1f}" if abs(cell) < 1000 else f"{cell:.0f}"
    return str(cell)


def text_table(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Lay out columns: numbers to the right, texts to the left.

    Parameters
    ----------
    headers : sequence of str
    rows : sequence of sequence of str, int or float
        As many cells as headers each.

    Returns
    -------
    text : str

    Examples
    --------
    >>> print(text_table(["node", "us"], [["conv", 12.5], ["relu", 3.0]]))
    node    us
    conv  12.5
    relu   3.0
    """
    lines = [list(headers), *([_text(cell) for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headers))]
    right = [
        bool(rows) and all(not isinstance(row[i], str) for row in rows)
        for i in range(len(headers))
    ]
    texts = []
    for line in lines:
        cells = [
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right, strict=True)
        ]
        texts.append("  ".join(cells).rstrip())
    return "\n".join(texts)


def html_table(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Give the same table as HTML; all texts are escaped but those of `trimtab.html`.

    Parameters
    ----------
    headers : sequence of str
    rows : sequence of sequence of str, int or float
        As many cells as headers each.

    Returns
    -------
    html : str

    Examples
    --------
    >>> html_table(["a"], [["<b>"]])
    '<table><tr><th>a</th></tr><tr><td>&lt;b&gt;</td></tr></table>'
    """
    head = "".join(f"<th>{_markup(text)}</th>" for text in headers)
    body = "".join(
        "<tr>" + "".join(f"<td>{_markup(c)}</td>" for c in row) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _markup(cell: Cell) -> str:
    """A cell as HTML: texts that are HTML already have ``__html__``."""
    import html

    ready = getattr(cell, "__html__", None)
    return str(ready()) if ready else html.escape(_text(cell))


def bytes_text(n_bytes: int) -> str:
    """Give a size as a person says it.

    Parameters
    ----------
    n_bytes : int

    Returns
    -------
    text : str

    Examples
    --------
    >>> bytes_text(1536)
    '1.5 KiB'
    """
    value = float(n_bytes)
    for unit in ("B", "KiB", "MiB"):
        if abs(value) < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def count_text(n: int, noun: str) -> str:
    """Give a number of things.

    Parameters
    ----------
    n : int
    noun : str
        What one of them is called; more of them take an s.

    Returns
    -------
    text : str

    Examples
    --------
    >>> count_text(1, "thread"), count_text(2, "thread")
    ('1 thread', '2 threads')
    """
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def write_report(
    path: str | os.PathLike[str], page: Callable[[], str], text: Callable[[], str]
) -> None:
    """Write a report, as JSON, or as HTML where the name says so.

    Parameters
    ----------
    path : path
        Ends with ``.json`` or ``.html``.
    page, text : callable
        Give the HTML, and the JSON.

    Raises
    ------
    OSError
        The file cannot be written.

    Examples
    --------
    >>> write_report("r.json", lambda: "<p>", lambda: "{}")
    >>> open("r.json").read()
    '{}\\n'
    """
    is_page = os.fsdecode(path).endswith((".html", ".htm"))
    written = page() if is_page else text()
    with open(path, "w", encoding="utf-8") as file:
        file.write(written + "\n")


def pyplot(who: str) -> Any:
    """Import what draws.

    Parameters
    ----------
    who : str
        That needs it.

    Returns
    -------
    module : matplotlib.pyplot

    Raises
    ------
    ImportError
        It is not installed; the message says how to get it.

    Examples
    --------
    >>> plt = pyplot("Profile.plot")                       # doctest: +SKIP
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{who} needs matplotlib: pip install 'trimtab[plot]'"
        ) from error
    return plt
