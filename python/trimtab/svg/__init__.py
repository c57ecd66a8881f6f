"""Figures of reports as inline SVG: coloured by the sheet of `trimtab.html`.

Enters: arrays and texts of anybody; what is not finite is left out. Leaves: `Html` of
bounded size, whatever the size of the arrays.
"""

from __future__ import annotations

from trimtab.svg.classes import confusion_matrix, reliability_diagram
from trimtab.svg.counts import bars, histogram_pair
from trimtab.svg.curves import Series, line, sparkline

__all__ = [
    "Series",
    "bars",
    "confusion_matrix",
    "histogram_pair",
    "line",
    "reliability_diagram",
    "sparkline",
]
