"""Explanations as pictures; needs Matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trimtab.explain.parts import channel_axis
from trimtab.report import pyplot
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.explain.explanation import Explanation

__all__ = ["as_picture", "draw", "largest"]

# Blue speaks against the answer, red for it; both are told apart by the colour-blind.
_COLOURS = "RdBu_r"
_MOST_BARS = 20


def as_picture(x: Array) -> npt.NDArray[np.float64]:
    """Bring an image to gray or colours between 0 and 1, however it was normalised.

    Parameters
    ----------
    x : ndarray
        (h, w), (channels, h, w) or (h, w, channels).

    Returns
    -------
    picture : ndarray of shape (h, w) or (h, w, 3)

    Examples
    --------
    >>> as_picture(np.array([[-1.0, 0.0], [1.0, 3.0]])).tolist()
    [[0.0, 0.25], [0.5, 1.0]]
    """
    axis = channel_axis(x.shape)
    image = np.asarray(x, np.float64)
    if axis is not None:
        image = np.moveaxis(image, axis, -1)
        image = image[..., :3] if image.shape[-1] >= 3 else image[..., 0]
    low, high = float(image.min()), float(image.max())
    return np.asarray((image - low) / (high - low if high > low else 1.0))


def largest(values: npt.NDArray[np.float64]) -> float:
    """Give the end of a colour scale that is even around zero.

    Parameters
    ----------
    values : ndarray

    Returns
    -------
    end : float
        Above zero.

    Examples
    --------
    >>> largest(np.array([0.5, -2.0]))
    2.0
    """
    top = float(np.abs(values).max()) if values.size else 0.0
    return top if top > 0 else 1.0


def draw(found: Explanation, ax: Any = None) -> Any:
    """Draw an explanation.

    Parameters
    ----------
    found : Explanation
    ax : matplotlib Axes, optional

    Returns
    -------
    ax : matplotlib Axes

    Raises
    ------
    ImportError
        Matplotlib is missing.

    Examples
    --------
    >>> draw(found)                                        # doctest: +SKIP
    """
    plt = pyplot("Explanation.plot")
    if ax is None:
        height = (
            4.2
            if found.kind in ("image", "audio")
            else 0.8 + 0.28 * min(len(found.values), _MOST_BARS)
        )
        _, ax = plt.subplots(figsize=(6.4, height), layout="constrained")
    {"image": _image, "audio": _audio}.get(found.kind, _bars)(found, ax)
    what = found.target_name or (str(found.target) if found.target else "")
    ax.set_title(f"{found.method}{f' of {what}' if what else ''}", fontsize=10)
    return ax


def _image(found: Explanation, ax: Any) -> None:
    assert found.x is not None
    picture = as_picture(found.x)
    gray = picture if picture.ndim == 2 else picture.mean(axis=-1)
    ax.imshow(gray, cmap="gray", vmin=-0.3, vmax=1.3)
    heat = found.attribution
    axis = channel_axis(heat.shape)
    if axis is not None:
        heat = np.take(heat, 0, axis=axis)
    end = largest(heat)
    shown = ax.imshow(
        heat, cmap=_COLOURS, vmin=-end, vmax=end, alpha=np.abs(heat) / end * 0.75
    )
    ax.figure.colorbar(shown, ax=ax, shrink=0.8, label="adds to the answer")
    ax.set_xticks([])
    ax.set_yticks([])


def _audio(found: Explanation, ax: Any) -> None:
    assert found.x is not None
    heat = found.attribution
    end = largest(heat)
    top = float(np.abs(found.x).max()) or 1.0
    shown = ax.imshow(
        heat[None],
        cmap=_COLOURS,
        vmin=-end,
        vmax=end,
        aspect="auto",
        extent=(0, len(heat), -top, top),
        alpha=0.6,
    )
    ax.plot(found.x, linewidth=0.4, color="0.2")
    ax.figure.colorbar(shown, ax=ax, shrink=0.8, label="adds to the answer")
    ax.set_xlabel("sample")


def _bars(found: Explanation, ax: Any) -> None:
    is_sequence = found.kind in ("tokens", "text")
    chosen = found.order[:_MOST_BARS]
    if is_sequence:
        chosen = np.sort(chosen)
    values = found.values[chosen]
    places = np.arange(len(chosen))[::-1]
    colours = np.where(values > 0, "#b2182b", "#2166ac")
    error = None if found.std is None else found.std[chosen]
    ax.barh(places, values, color=colours, xerr=error)
    ax.set_yticks(places, [found.names[i] for i in chosen], fontsize=8)
    ax.axvline(0, color="0.4", linewidth=0.8)
    ax.margins(y=0.02)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.set_xlabel("importance" if found.kind == "table" else "adds to the answer")
