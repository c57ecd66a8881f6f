"""How many samples a claim needs, and how likely so many are to support it."""

from __future__ import annotations

import math

from trimtab.errors import InputError
from trimtab.stats.special import normal_cdf, normal_quantile

__all__ = ["paired_power", "required_samples", "required_samples_per_arm"]


def _check(**shares: float) -> None:
    """Each is in (0, 1)."""
    for name, value in shares.items():
        if not 0 < value < 1:
            raise InputError(f"{name}: expected a number in (0, 1), got {value}")


def _spread(discordance: float, difference: float, margin: float) -> float:
    """Variance of one pair's difference, where the design makes sense."""
    if abs(difference) > discordance:
        raise InputError(
            f"difference: models that differ on {discordance:.4g} of the samples "
            f"cannot be {difference:.4g} apart"
        )
    if margin + difference <= 0:
        raise InputError(
            f"difference: {difference:.4g} is no better than -margin {-margin:.4g}; "
            "no number of samples shows the opposite"
        )
    return discordance - difference * difference


def required_samples(
    margin: float,
    *,
    discordance: float,
    difference: float = 0.0,
    alpha: float = 0.05,
    power: float = 0.8,
) -> int:
    """Labels needed to show that a new model is at most `margin` less accurate.

    Both models answer the same samples (paired, one-sided, normal approximation).

    Parameters
    ----------
    margin : float
        Drop of accuracy that is borne, as a share.
    discordance : float
        Share of samples that only one of the models gets right.
    difference : float, default=0.0
        True accuracy of the new model less that of the old one.
    alpha : float, default=0.05
    power : float, default=0.8
        Chance that the claim is made when it is true.

    Returns
    -------
    n : int

    References
    ----------
    Liu, Hsueh, Hsieh, Chen (2002). Tests for equivalence or non-inferiority for paired
    binary data. Statistics in Medicine 21, 231-245.

    Examples
    --------
    >>> required_samples(0.01, discordance=0.05)
    3092
    """
    _check(margin=margin, discordance=discordance, alpha=alpha, power=power)
    z = normal_quantile(1 - alpha) + normal_quantile(power)
    spread = _spread(discordance, difference, margin)
    return max(1, math.ceil(z * z * spread / (margin + difference) ** 2))


def paired_power(
    n: int,
    margin: float,
    *,
    discordance: float,
    difference: float = 0.0,
    alpha: float = 0.05,
) -> float:
    """Chance that n paired labels show a drop to be below `margin`.

    Parameters
    ----------
    n : int
    margin, discordance, difference, alpha : float
        As in `required_samples`.

    Returns
    -------
    power : float

    Raises
    ------
    InputError
        n is below 1.

    Examples
    --------
    >>> round(paired_power(3092, 0.01, discordance=0.05), 3)
    0.8
    """
    _check(margin=margin, discordance=discordance, alpha=alpha)
    if n < 1:
        raise InputError(f"n: expected at least 1 sample, got {n}")
    spread = _spread(discordance, difference, margin)
    if spread <= 0:
        return 1.0
    shift = (margin + difference) * math.sqrt(n / spread)
    return normal_cdf(shift - normal_quantile(1 - alpha))


def required_samples_per_arm(
    rate: float, margin: float, *, alpha: float = 0.05, power: float = 0.8
) -> int:
    """Labels that each arm of a split needs to show a drop below `margin`.

    The models answer different samples; both are right at `rate`.

    Parameters
    ----------
    rate : float
        Accuracy of both.
    margin : float
    alpha : float, default=0.05
    power : float, default=0.8

    Returns
    -------
    n : int

    Examples
    --------
    >>> required_samples_per_arm(0.9, 0.01)
    11129
    """
    _check(rate=rate, margin=margin, alpha=alpha, power=power)
    z = normal_quantile(1 - alpha) + normal_quantile(power)
    return math.ceil(2 * z * z * rate * (1 - rate) / margin**2)
