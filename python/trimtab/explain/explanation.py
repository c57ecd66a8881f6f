"""What `explain_model` found, as numbers, table, picture and page."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.report import text_table
from trimtab.types import Array

__all__ = ["Explanation"]

Floats = npt.NDArray[np.float64]
# Rows of a printed table.
_MOST_ROWS = 20


@dataclass(frozen=True, eq=False)
class Explanation:
    """How much each part of an input adds to one answer.

    Parameters
    ----------
    method : str
        Key of `trimtab.explain.METHODS`.
    reason : str
        Why this method.
    kind : str
        "image", "audio", "tokens", "vector", "text" or "table".
    values : ndarray of shape (parts,)
        Above zero: it speaks for the answer. Of attention_rollout shares of attention,
        of permutation_importance means over repeats.
    names : tuple of str
        Of the parts.
    model : str
    target : tuple of int
        Which number of the answer is explained.
    target_name : str
        Its class, where the model names classes; else "".
    prediction, base : float
        The answer to the whole input, and to the background; NaN where the method has
        none.
    std : ndarray of shape (parts,) or None
        Over the repeats of permutation_importance; standard errors of kernel_shap
        where choices of parts were drawn.
    n_inputs : int
        Inputs that the model answered.
    x : ndarray or None
        The divided tensor, without a dim of samples.
    labels : ndarray of int or None
        Part of each element of x.
    grid : (int, int) or None
        Rows and columns of parts, of an image.
    notes : tuple of str

    Examples
    --------
    >>> Explanation("occlusion", "asked for", "vector", np.array([0.5, -1.0]),
    ...             ("age", "income"), "model", (0,), prediction=1.5, base=2.0)
    occlusion of model: 1.5 at (0,), 2 for the background
    part    value
    income     -1
    age       0.5
    """

    method: str
    reason: str
    kind: str
    values: Floats
    names: tuple[str, ...]
    model: str
    target: tuple[int, ...] = ()
    target_name: str = ""
    prediction: float = float("nan")
    base: float = float("nan")
    std: Floats | None = None
    n_inputs: int = 0
    x: Array | None = field(default=None, repr=False)
    labels: npt.NDArray[np.int64] | None = field(default=None, repr=False)
    grid: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()

    @property
    def gap(self) -> float:
        """The answer, minus that of the background, minus the sum of the values.

        Zero for methods that share the answer out completely; NaN where there is no
        background.
        """
        return self.prediction - self.base - float(self.values.sum())

    @property
    def attribution(self) -> Floats:
        """The value of each element's part, in the shape of x."""
        if self.labels is None or self.kind == "text":
            return self.values
        return np.asarray(self.values[self.labels])

    @property
    def order(self) -> npt.NDArray[np.int64]:
        """Parts by the size of their values, the largest first."""
        return np.argsort(-np.abs(self.values), kind="stable")

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain data for JSON, without the input.

        Returns
        -------
        plain : dict
        """
        return {
            "method": self.method,
            "reason": self.reason,
            "kind": self.kind,
            "model": self.model,
            "target": list(self.target),
            "target_name": self.target_name,
            "prediction": _number(self.prediction),
            "base": _number(self.base),
            "gap": _number(self.gap),
            "names": list(self.names),
            "values": self.values.tolist(),
            "std": None if self.std is None else self.std.tolist(),
            "grid": None if self.grid is None else list(self.grid),
            "n_inputs": self.n_inputs,
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Give `to_dict` as text.

        Returns
        -------
        text : str
        """
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False)

    def save(self, path: str | Path) -> None:
        """Write it: ``.json``, ``.html`` (needs nothing but itself) or ``.png``.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        InputError
            Another suffix.
        """
        path = Path(path)
        if path.suffix == ".json":
            path.write_text(self.to_json() + "\n", encoding="utf-8")
        elif path.suffix == ".html":
            from trimtab.explain.page import explanation_page

            path.write_text(explanation_page(self), encoding="utf-8")
        elif path.suffix == ".png":
            figure = self.plot().figure
            figure.savefig(path, dpi=120, bbox_inches="tight")
        else:
            raise InputError(
                f"path: expected .json, .html or .png, got {path.suffix!r}"
            )

    def plot(self, ax: Any = None) -> Any:
        """Draw it: over the image, under the recording, words in colour, or bars.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        ax : matplotlib Axes

        Raises
        ------
        ImportError
            Matplotlib is missing.
        """
        from trimtab.explain.picture import draw

        return draw(self, ax)

    def _repr_html_(self) -> str:
        from trimtab.explain.page import explanation_fragment

        return explanation_fragment(self)

    def __repr__(self) -> str:
        """Give the largest values as a table."""
        what = self.target_name or str(self.target)
        head = f"{self.method} of {self.model}"
        if np.isfinite(self.prediction):
            head += f": {self.prediction:.4g} at {what}"
        if np.isfinite(self.base):
            head += f", {self.base:.4g} for the background"
        rows = [
            [
                self.names[i],
                f"{self.values[i]:.4g}",
                *([] if self.std is None else [f"{self.std[i]:.2g}"]),
            ]
            for i in self.order[:_MOST_ROWS]
        ]
        width = max([len(row[1]) for row in rows], default=0)
        for row in rows:
            row[1] = row[1].rjust(max(width, len("value")))
        titles = ["part", "value".rjust(width), *([] if self.std is None else ["std"])]
        lines = [head, text_table(titles, rows)]
        if len(self.values) > _MOST_ROWS:
            lines.append(f"... and {len(self.values) - _MOST_ROWS} smaller ones")
        return "\n".join([*lines, *self.notes])


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
