"""Every way to learn, by name, in the order in which "auto" tries them."""

from __future__ import annotations

from trimtab.errors import InputError
from trimtab.update import (
    delegate,
    fine_tune,
    head_logistic,
    head_ridge,
    normalization,
    prototypes,
    recalibrate,
)
from trimtab.update.context import Learner

__all__ = ["LEARNERS", "find_learners"]

#: Name -> learner: the cheap and safe ones first.
LEARNERS: dict[str, Learner] = {
    "recalibrate": Learner(
        recalibrate.learn, "a temperature, new shares of the classes, or a line"
    ),
    "head_ridge": Learner(
        head_ridge.learn, "the last layer in closed form, drawn to the old one"
    ),
    "head_logistic": Learner(
        head_logistic.learn, "the last layer by its likelihood, drawn to the old one"
    ),
    "prototypes": Learner(
        prototypes.learn, "the nearest mean of a class in place of the last layer"
    ),
    "normalization": Learner(
        normalization.learn, "statistics of BatchNormalization from today's rows"
    ),
    "fine_tune": Learner(
        fine_tune.learn, "gradients through all layers, with old rows mixed in"
    ),
    "delegate": Learner(delegate.learn, "the user's own train_fn"),
}


def find_learners(method: str, *, has_train_fn: bool = False) -> dict[str, Learner]:
    """Look learners up.

    Parameters
    ----------
    method : str
        "auto" or a key of `LEARNERS`.
    has_train_fn : bool, default=False
        Is there a function of the user's?

    Returns
    -------
    learners : dict of str to Learner

    Raises
    ------
    InputError
        There is none of this name, or it lacks its function.

    Examples
    --------
    >>> list(find_learners("auto"))[:2]
    ['recalibrate', 'head_ridge']
    """
    if method == "auto":
        return {
            name: learner
            for name, learner in LEARNERS.items()
            if learner.is_auto and (name != "delegate" or has_train_fn)
        }
    if method not in LEARNERS:
        raise InputError(
            f"method: expected 'auto' or one of {list(LEARNERS)}, got {method!r}"
        )
    if method == "delegate" and not has_train_fn:
        raise InputError("method='delegate': expected train_fn=, a function")
    return {method: LEARNERS[method]}
