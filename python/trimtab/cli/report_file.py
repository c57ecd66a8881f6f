"""``--report``: which names are taken, and writing to them."""

from __future__ import annotations

from typing import Any

import numpy as np

from trimtab.errors import InputError

__all__ = ["check_report", "write_report_file"]

_PICTURES = (".png", ".svg", ".pdf")


def check_report(path: str | None) -> None:
    """Refuse a name before the work, not after it.

    Parameters
    ----------
    path : str or None

    Raises
    ------
    InputError
        Nothing is written under such a name.

    Examples
    --------
    >>> check_report("r.html")
    """
    known = (".html", ".htm", ".json", *_PICTURES)
    if path is not None and not path.endswith(known):
        raise InputError(f"--report {path}: expected a name in {', '.join(known)}")


def write_report_file(report: Any, path: str, **options: Any) -> None:
    """Write a report as a picture, or as it writes itself.

    Parameters
    ----------
    report : object
        With ``save`` and ``plot``.
    path : str
    **options : object
        Of `matplotlib.figure.Figure.savefig`.

    Examples
    --------
    >>> write_report_file(report, "r.png", dpi=110)        # doctest: +SKIP
    """
    if not path.endswith(_PICTURES):
        report.save(path)
        return
    axes = np.ravel(report.plot())[0]
    axes.figure.savefig(path, **options)
