"""Calibration, search and guard: three parts of the data that share no sample.

Ranges are taken from the first, precisions are chosen on the second, and the third is
looked at once, to say what was reached. Equal samples always lie in the same part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.errors import InputError
from trimtab.optimize.samples import Samples
from trimtab.stats.paired import drop_upper_bound, power_table
from trimtab.stats.special import normal_quantile
from trimtab.types import Array

__all__ = [
    "Splits",
    "choose_guard_share",
    "least_guard",
    "power_text",
    "split_samples",
    "split_shares",
]

# Samples of calibration: ranges hardly move beyond (docs/optimize.md).
_N_CALIBRATION = 128
_N_GUARD_LEAST = 2
# What the guard takes of search and guard together, at least and at most.
_GUARD_SHARES = (0.5, 0.8)


@dataclass(frozen=True, eq=False)
class Splits:
    """Three sets of samples without a common one.

    Parameters
    ----------
    calibration, search, guard : Samples
    n_shared : int
        Samples of the validation data that calibration data hold too: what ranges
        were taken from proves nothing, so they are in neither search nor guard.
    is_split : bool
        They are most of them, and the validation data were split in three instead.
    """

    calibration: Samples
    search: Samples
    guard: Samples
    n_shared: int = 0
    is_split: bool = False


def split_shares(
    digests: Sequence[bytes],
    shares: Sequence[float],
    *,
    strata: Array | None = None,
    seed: int = 0,
) -> list[list[int]]:
    """Split numbers 0 ... n - 1 by shares.

    Parameters
    ----------
    digests : sequence of bytes
        Of each sample; those with equal ones stay together.
    shares : sequence of float
        Of each part; they add up to 1.
    strata : ndarray of shape (n,), optional
        Class of each sample: every part gets its share of every class.
    seed : int, default=0

    Returns
    -------
    parts : list of list of int
        Ascending, together all numbers, without a common one.

    Examples
    --------
    >>> split_shares([bytes([i]) for i in range(6)], (0.5, 0.5), seed=1)
    [[0, 1, 3], [2, 4, 5]]
    """
    rng = np.random.default_rng(seed)
    groups: dict[bytes, list[int]] = {}
    for i, digest in enumerate(digests):
        groups.setdefault(digest, []).append(i)
    members = list(groups.values())
    order = rng.permutation(len(members))
    if strata is not None:
        _, classes = np.unique(strata, return_inverse=True)
        kinds = np.asarray([classes.reshape(-1)[m[0]] for m in members])
        order = order[np.argsort(kinds[order], kind="stable")]
    # Walking through the classes, each group goes where most is missing.
    parts: list[list[int]] = [[] for _ in shares]
    wanted = np.zeros(len(shares))
    jitter = rng.random(len(shares)) * 1e-6
    for k in order:
        wanted += np.asarray(shares) * len(members[k])
        missing = wanted - [len(part) for part in parts] + jitter
        missing[np.asarray(shares) == 0] = -np.inf
        parts[int(missing.argmax())] += members[k]
    return [sorted(part) for part in parts]


def split_samples(
    calibration: Samples | None,
    validation: Samples | None,
    *,
    guard_share: float = 0.5,
    is_classes: bool = False,
    seed: int = 0,
) -> Splits:
    """Make the three sets.

    Parameters
    ----------
    calibration : Samples or None
        None: a part of the validation data.
    validation : Samples or None
        None: a part of the calibration data.
    guard_share : float, default=0.5
        Of the data that are not for calibration. 1: the search uses the calibration
        samples.
    is_classes : bool, default=False
        Labels are classes: every part gets its share of each.
    seed : int, default=0

    Returns
    -------
    splits : Splits

    Raises
    ------
    InputError
        There are too few samples.

    Examples
    --------
    >>> split_samples(None, samples, seed=3)               # doctest: +SKIP
    Splits(calibration=..., search=..., guard=..., n_shared=0)
    """
    if not 0 < guard_share <= 1:
        raise InputError(f"guard_share: expected a number in (0, 1], got {guard_share}")
    pool = validation if validation is not None else calibration
    if pool is None:
        raise InputError("expected calibration or validation data, got neither")
    digests = pool.digests()
    kept = list(range(len(pool)))
    share = min(0.2, _N_CALIBRATION / len(pool))  # for calibration
    n_shared, is_split = 0, False
    if calibration is not None and validation is not None:
        seen = set(calibration.digests())
        others = [i for i in kept if digests[i] not in seen]
        n_shared = len(digests) - len(others)
        # The same samples twice are one set, which is split in three.
        is_split = 2 * len(others) < len(digests)
        if not is_split:
            kept, share = others, 0.0
    rest = 1 - share
    parts = split_shares(
        [digests[i] for i in kept],
        (share, rest * (1 - guard_share), rest * guard_share),
        strata=pool.labels[kept] if is_classes and pool.labels is not None else None,
        seed=seed,
    )
    first, search, guard = (pool.take([kept[i] for i in part]) for part in parts)
    if share == 0 and calibration is not None:
        first = calibration
    if guard_share == 1:
        search = first
    _check_sizes(len(first), len(search), len(guard))
    return Splits(first, search, guard, n_shared, is_split)


def choose_guard_share(n: int, max_drop: float, alpha: float = 0.05) -> float:
    """Say how many of n samples prove, so that luck seldom spoils a good candidate.

    4 z^2 / max_drop samples, z the normal quantile of 1 - alpha, prove the budget with
    a probability of 1 - alpha where as many answers change as the budget allows to
    become worse, and either way alike. The search gets a fifth at least and, of many
    samples, half.

    Parameters
    ----------
    n : int
        Samples for search and guard.
    max_drop : float
        A share of them.
    alpha : float, default=0.05

    Returns
    -------
    share : float
        Of the guard, from 0.5 to 0.8.

    Examples
    --------
    >>> [round(choose_guard_share(n, 0.005), 2) for n in (1000, 3000, 10000)]
    [0.8, 0.72, 0.5]
    """
    least, most = _GUARD_SHARES
    wanted = 4 * normal_quantile(1 - alpha) ** 2 / max_drop
    return min(max(least, wanted / max(n, 1)), most)


def _check_sizes(*sizes: int) -> None:
    if min(sizes) < 1 or sizes[-1] < _N_GUARD_LEAST:
        raise InputError(
            f"too few different samples: {sum(sizes)} were split into "
            f"{' + '.join(map(str, sizes))}"
        )


def power_text(n: int, alpha: float = 0.05) -> str:
    """Say what n samples of the guard can prove.

    Parameters
    ----------
    n : int
    alpha : float, default=0.05

    Returns
    -------
    text : str

    Examples
    --------
    >>> print(power_text(500))
    with 500 guard samples the bound cannot be below 0.00598 at a discordance of 0 %, \
0.00711 at 0.2 %, 0.00965 at 1 %
    """
    rows = [
        f"{bound:.3g} at {'a discordance of ' if share == 0 else ''}{100 * share:g} %"
        for share, bound in power_table(n, alpha=alpha)
    ]
    return f"with {n} guard samples the bound cannot be below {', '.join(rows)}"


def least_guard(max_drop: float, alpha: float = 0.05) -> int:
    """Count the samples that prove a budget if none of them has become worse.

    Parameters
    ----------
    max_drop : float
    alpha : float, default=0.05

    Returns
    -------
    n : int

    Examples
    --------
    >>> least_guard(0.005)
    598
    """
    n = max(1, int(np.ceil(np.log(alpha) / np.log1p(-max_drop)))) if max_drop < 1 else 1
    while drop_upper_bound(0, 0, n, alpha=alpha, can_improve=False) > max_drop:
        n += 1
    return n
