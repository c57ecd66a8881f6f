"""Many tests at once: p-values adjusted for how many there were.

Enters: p-values, in any order, of one family of tests; NaN where a test could not be
made. Leaves: adjusted p-values in the same order, to be held against alpha.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.stats.special import Floats

__all__ = ["benjamini_hochberg", "holm"]


def _checked(p: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.intp]]:
    """The p-values, and the places of those that are no NaN, ascending by value."""
    values: Floats = np.array(p, np.float64)
    outside = (values < 0) | (values > 1)
    if values.ndim != 1 or outside.any():
        found = values[outside][:1] if values.ndim == 1 else values.shape
        raise InputError(
            f"p: expected a list of p-values from 0 to 1 (NaN: no test), got {found}"
        )
    places = np.argsort(values, kind="stable")
    return values, places[: int((~np.isnan(values)).sum())]


def benjamini_hochberg(p: npt.ArrayLike) -> Floats:
    """Adjust p-values to control the false discovery rate.

    Rejecting where the adjusted value is at most alpha keeps the expected share of
    false rejections among all rejections at alpha or below, for independent and for
    positively dependent tests.

    Parameters
    ----------
    p : array-like of shape (m,)
        NaN is left NaN and does not count as a test.

    Returns
    -------
    adjusted : ndarray of shape (m,)

    Raises
    ------
    InputError
        A value is no probability.

    References
    ----------
    Benjamini, Hochberg (1995). Controlling the false discovery rate: a practical and
    powerful approach to multiple testing. Journal of the Royal Statistical Society B
    57, 289-300.

    Benjamini, Yekutieli (2001). The control of the false discovery rate in multiple
    testing under dependency. Annals of Statistics 29, 1165-1188.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03, 0.5]).round(4).tolist()
    [0.04, 0.0533, 0.0533, 0.5]
    """
    values, places = _checked(p)
    m = len(places)
    scaled = values[places] * m / np.arange(1, m + 1)
    values[places] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return values


def holm(p: npt.ArrayLike) -> Floats:
    """Adjust p-values to control the chance of a single false rejection.

    Holds whatever the dependence of the tests, and rejects all that Bonferroni's
    correction rejects.

    Parameters
    ----------
    p : array-like of shape (m,)
        NaN is left NaN and does not count as a test.

    Returns
    -------
    adjusted : ndarray of shape (m,)

    Raises
    ------
    InputError
        A value is no probability.

    References
    ----------
    Holm (1979). A simple sequentially rejective multiple test procedure. Scandinavian
    Journal of Statistics 6, 65-70.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03, 0.5]).round(4).tolist()
    [0.04, 0.09, 0.09, 0.5]
    """
    values, places = _checked(p)
    scaled = values[places] * np.arange(len(places), 0, -1)
    values[places] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return values
