"""How a candidate is let in: the options of a rollout."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from trimtab.errors import InputError
from trimtab.stats.intervals import check_alpha

if TYPE_CHECKING:
    from trimtab.rollout.handle import RolloutHandle
    from trimtab.rollout.result import RolloutResult

__all__ = ["APPROVALS", "Rollout"]

#: Who lets the candidate become the champion.
APPROVALS = ("auto", "manual")
Labels = Callable[[Any], Any] | Mapping[Any, Any]


@dataclass(frozen=True)
class Rollout:
    """How a candidate is tried and let in; `run` does it.

    Parameters
    ----------
    shadow_requests : int, default=200
        Requests that both have answered before any answer of the candidate's is given
        out; with labels as many more as the proof takes.
    canary : sequence of float
        Shares of the requests that the candidate answers, growing. Empty: none.
    min_requests : int, default=100
        That the candidate must answer in each step of the canary.
    max_duration_s : float
        Of the shadow, of each step of the canary, and of waiting for a person or for
        late labels.
    bake_s : float, default=3600
        How long the old version stays beside the new one, ready to take over.
    check_s : float, default=1
        Between looks; what is found is taken back within it.
    max_error_rate : float, default=0.001
        Share of requests that the candidate may fail where the champion does not.
    latency_factor : float, default=1.5
        Times of the candidate over those of the champion, at `latency_quantile`.
    latency_quantile : float, default=0.9
    min_agreement : float or None, default=0.5
        Share of requests that both must answer with the same class, labels or not.
    alpha : float, default=0.05
        Probability to stop a candidate that is as good, all tests and looks together.
    margin : float, default=0.03
        Share of requests by which a candidate with labels must be proven not to be
        worse. A candidate that is proven to be worse at all is stopped.
    approval : {"auto", "manual"}
        Manual: after the canary a person decides (`RolloutHandle.approve`).
    needs_labels : bool, default=False
        Without labels nothing is promoted. So it is too where `run` is given a source
        of labels, and as soon as any label has come.
    late_labels : bool, default=False
        Labels take longer than a shadow can last: the proof is due at the end of
        baking, which lasts until it is there; without it the old version comes back.
    loss : callable, optional
        (label, result of the model) -> loss, 0 to 1. By default whether the class is
        wrong; for numbers, which of both is nearer counts.
    prove : callable, optional
        Version of the registry -> report with `state` ("passed", "failed",
        "needs_data") and `reasons`: gates that it must pass first.

    Raises
    ------
    InputError
        An option is outside of its range.

    Examples
    --------
    >>> Rollout(canary=(0.1, 0.5), bake_s=600.0).margin
    0.03
    >>> result = Rollout().run(deployment, "digits/4")     # doctest: +SKIP
    >>> result.state                                       # doctest: +SKIP
    'PROMOTED'
    """

    shadow_requests: int = 200
    canary: tuple[float, ...] = (0.01, 0.05, 0.25, 0.5)
    min_requests: int = 100
    max_duration_s: float = 86_400.0
    bake_s: float = 3600.0
    check_s: float = 1.0
    max_error_rate: float = 0.001
    latency_factor: float = 1.5
    latency_quantile: float = 0.9
    min_agreement: float | None = 0.5
    alpha: float = 0.05
    margin: float = 0.03
    approval: str = "auto"
    needs_labels: bool = False
    late_labels: bool = False
    loss: Callable[[Any, Any], float] | None = None
    prove: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        check_alpha(self.alpha)
        object.__setattr__(self, "canary", tuple(self.canary))
        for names, fits, wanted in _RANGES:
            for name in names:
                value = getattr(self, name)
                is_number = isinstance(value, (int, float)) and math.isfinite(value)
                if not (is_number and fits(value)):
                    raise InputError(f"{name}: expected {wanted}, got {value!r}")
        if self.min_agreement is not None and not 0 < self.min_agreement < 1:
            raise InputError(
                "min_agreement: expected a share inside of (0, 1) or None, got "
                f"{self.min_agreement!r}"
            )
        grows = [*self.canary] == sorted(set(self.canary))
        if not (grows and all(0 < share <= 1 for share in self.canary)):
            raise InputError(
                f"canary: expected growing shares in (0, 1], got {self.canary!r}"
            )
        if self.approval not in APPROVALS:
            raise InputError(
                f"approval: expected one of {[*APPROVALS]}, got {self.approval!r}"
            )

    def start(
        self, dep: Any, version: Any, *, labels: Labels | None = None
    ) -> RolloutHandle:
        """Begin on a thread of its own.

        Parameters
        ----------
        dep : Deployment
            With a registry.
        version : int, str or ModelVersion
            The candidate.
        labels : callable or mapping, optional
            Id of a request -> its label, or None while it is not known. Others come
            by `RolloutHandle.label`.

        Returns
        -------
        handle : RolloutHandle

        Raises
        ------
        InputError
            The deployment follows no registry.
        RegistryConflict
            Another rollout of this model is under way.
        """
        from trimtab.rollout.handle import start_rollout

        return start_rollout(self, dep, version, labels)

    def run(
        self, dep: Any, version: Any, *, labels: Labels | None = None
    ) -> RolloutResult:
        """Try a candidate, and let it in or not.

        Parameters
        ----------
        dep, version, labels
            As `start` takes them.

        Returns
        -------
        result : RolloutResult
            Whatever happened to the candidate; a version serves at every instant.
        """
        return self.start(dep, version, labels=labels).wait()

    def to_dict(self) -> dict[str, Any]:
        """The options as plain values; functions by whether there is one."""
        plain = asdict(self)
        plain["canary"] = list(self.canary)
        for name in ("loss", "prove"):
            plain[name] = plain[name] is not None
        return plain


_RANGES: list[tuple[tuple[str, ...], Callable[[Any], bool], str]] = [
    (("shadow_requests",), lambda v: v == int(v) >= 0, "0 or more"),
    (("min_requests",), lambda v: v == int(v) >= 1, "1 or more"),
    (("max_duration_s", "check_s", "latency_factor"), lambda v: v > 0, "more than 0"),
    (("bake_s",), lambda v: v >= 0, "0 or more"),
    (("max_error_rate", "margin", "latency_quantile"), lambda v: 0 < v < 1, "0 to 1"),
]
