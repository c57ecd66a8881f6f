"""What speaks against a candidate, and for it: tests that last for the whole rollout.

`alpha` is divided once among all that could stop a candidate, and each test may be
looked at always, so that together they stop one that is as good with probability
`alpha` at most, however long it takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from trimtab.rollout.answers import agree, losses, wrong
from trimtab.rollout.ears import Compared, LabelJoin, Served, by_row
from trimtab.rollout.policy import Rollout
from trimtab.stats.e_process import BoundedMeanTest, PairedTest, TwoProportionTest
from trimtab.stats.quantile_test import QuantileTest
from trimtab.stats.samples import required_samples

__all__ = ["SHARES_OF_ALPHA", "Evidence"]

#: What each test may spend of alpha.
SHARES_OF_ALPHA = {
    "quality": 0.6,  # labels of requests that both have answered
    "canary quality": 0.1,  # labels of requests that one of them has answered
    "failures": 0.05,  # the candidate fails where the champion does not
    "errors": 0.05,  # raised by the new version that bakes
    "agreement": 0.05,
    "latency": 0.1,
    "latency of copies": 0.05,
}
# Copies run beside other work: only gross slowness shows.
_SLACK_OF_COPIES = 2.0
_Test = PairedTest | BoundedMeanTest | TwoProportionTest | QuantileTest


class Evidence:
    """All tests of a rollout.

    Parameters
    ----------
    policy : Rollout
    """

    def __init__(self, policy: Rollout) -> None:
        self.policy = policy
        alpha = {name: share * policy.alpha for name, share in SHARES_OF_ALPHA.items()}
        rate, factor = policy.max_error_rate, policy.latency_factor
        quantile, least = policy.latency_quantile, policy.min_agreement
        self._quality = PairedTest(0.0, alpha=alpha["quality"])
        self._arms = TwoProportionTest(alpha=alpha["canary quality"])
        self._failures = BoundedMeanTest(rate, alpha=alpha["failures"])
        self._errors = BoundedMeanTest(rate, alpha=alpha["errors"])
        self._latency = QuantileTest(
            factor=factor, quantile=quantile, alpha=alpha["latency"]
        )
        self._copies = QuantileTest(
            factor=factor * _SLACK_OF_COPIES,
            quantile=quantile,
            alpha=alpha["latency of copies"],
        )
        # of disagreement, so that more of it is evidence
        self._disagreement = (
            None
            if least is None
            else BoundedMeanTest(1 - least, alpha=alpha["agreement"])
        )
        found: dict[str, _Test | None] = {
            "quality": self._quality,
            "canary quality": self._arms,
            "failures": self._failures,
            "errors": self._errors,
            "agreement": self._disagreement,
            "latency": self._latency,
            "latency of copies": self._copies,
        }
        self.tests = {name: test for name, test in found.items() if test is not None}
        #: That the candidate is worse by less than the margin: it takes what the
        #: champion loses more, and rejects that this is as low as minus the margin.
        self.proof = PairedTest(-policy.margin, alpha=policy.alpha / 2)
        self.labels = LabelJoin()
        self.n_compared = 0
        self.n_agreed = 0
        self.n_answered = 0  # by the candidate, in the present step of a canary
        self.n_failures = 0
        self.n_unusable = 0  # labels that fit no answer

    # ---- what comes ----------------------------------------------------------------

    def take(self, event: Compared | Served) -> None:
        """Take a request.

        Parameters
        ----------
        event : Compared or Served
        """
        if isinstance(event, Compared):
            self._compared(event)
        else:
            self._served(event)
        if event.has_failed:
            self.n_failures += 1
            return
        for row in by_row(event):
            label = self.labels.answered(row)
            if label is not None:
                self._score(row, label)

    def _compared(self, event: Compared) -> None:
        self.n_compared += 1
        self._failures.update(float(event.has_failed))
        if event.champion is None or event.candidate is None:
            return
        self._copies.update(event.champion_s, is_candidate=False)
        self._copies.update(event.candidate_s, is_candidate=True)
        same = None if self.policy.loss else agree(event.champion, event.candidate)
        if same is not None:
            self.n_agreed += same
            if self._disagreement is not None:
                self._disagreement.update(float(not same))

    def _served(self, event: Served) -> None:
        if event.is_candidate:
            self.n_answered += 1
            self._failures.update(float(event.has_failed))
        if not event.has_failed:
            self._latency.update(event.seconds, is_candidate=event.is_candidate)

    def label(self, request_id: Any, label: Any) -> None:
        """Take a label.

        Parameters
        ----------
        request_id : hashable
        label : object
        """
        event = self.labels.labelled(request_id, label)
        if event is not None:
            self._score(event, label)

    def _score(self, event: Compared | Served, label: Any) -> None:
        try:
            if isinstance(event, Compared):
                is_scored = self._score_pair(event, label)
            else:
                is_scored = self._score_arm(event, label)
        except Exception:  # a label is whatever somebody sent; a loss, his own code
            is_scored = False
        self.n_unusable += not is_scored

    def _score_pair(self, event: Compared, label: Any) -> bool:
        """Of a request that both have answered, the difference counts."""
        if event.champion is None or event.candidate is None:
            return False
        loss = self.policy.loss
        if loss is None:
            pair = losses(label, event.champion, event.candidate)
        else:
            pair = loss(label, event.champion), loss(label, event.candidate)
        if pair is None or not all(map(math.isfinite, pair)):
            return False
        difference = min(max(pair[1] - pair[0], -1.0), 1.0)
        self._quality.update(difference)
        self.proof.update(-difference)
        return True

    def _score_arm(self, event: Served, label: Any) -> bool:
        """Of a request that one has answered, whether that is wrong."""
        loss = self.policy.loss
        lost = (
            wrong(label, event.answers) if loss is None else loss(label, event.answers)
        )
        if lost is None or not math.isfinite(lost):
            return False
        self._arms.update(is_candidate=event.is_candidate, hit=lost > 0.5)
        return True

    def errors(self, n_errors: int, n_requests: int) -> None:
        """Take what the served version raised since the last look.

        Parameters
        ----------
        n_errors, n_requests : int
        """
        n_errors = max(0, min(n_errors, n_requests))
        self._errors.update(1.0, n_errors)
        self._errors.update(0.0, n_requests - n_errors)

    # ---- what it comes to ----------------------------------------------------------

    @property
    def breaches(self) -> list[str]:
        """What has gone wrong, for people; empty: nothing."""
        return [
            _SAYS[name](test, self.policy)
            for name, test in self.tests.items()
            if test.is_rejected
        ]

    @property
    def has_labels(self) -> bool:
        """Has any label come?"""
        return self.labels.has_any

    @property
    def is_proven(self) -> bool:
        """Is the candidate worse by less than the margin?"""
        return self.proof.is_rejected

    @property
    def n_needed(self) -> int:
        """About how many labels the proof takes, of a candidate that is as good."""
        n = self.proof.n
        discordant = self.proof.n_worse + self.proof.n_better
        share = (discordant + 1) / (n + 20) if n else 0.05
        share = min(max(share, self.policy.margin), 1.0)
        return required_samples(
            self.policy.margin, discordance=share, alpha=self.proof.alpha, power=0.95
        )

    @property
    def quality(self) -> str:
        """What the labels say, for people."""
        if not self.has_labels:
            return "no labels: nothing is known of its quality but agreement"
        n, margin = self.proof.n, self.policy.margin
        if self.is_proven:
            return (
                f"proven to lose less than {100 * margin:.3g} points ({n} labels, p = "
                f"{self.proof.p_value:.2g})"
            )
        return (
            f"inconclusive: {n} labels, about {self.n_needed} are needed to show that "
            f"it loses less than {100 * margin:.3g} points"
        )

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain values."""
        return {
            "n_compared": self.n_compared,
            "n_agreed": self.n_agreed,
            "n_answered": self.n_answered,
            "n_failures": self.n_failures,
            "n_labels": self.proof.n,
            "n_unusable_labels": self.n_unusable,
            "quality": self.quality,
            "proof": self.proof.to_dict(),
            "tests": {name: test.to_dict() for name, test in self.tests.items()},
        }


def _quality(test: Any, _: Rollout) -> str:
    return (
        f"quality: worse on {test.n_worse} labelled requests, better on "
        f"{test.n_better} of {test.n} (p = {test.p_value:.2g})"
    )


def _canary_quality(test: Any, _: Rollout) -> str:
    champion, candidate = (100 * share for share in test.shares)
    return (
        f"quality: wrong on {candidate:.3g} % of {test.counts[True][1]} requests, the "
        f"champion on {champion:.3g} % of {test.counts[False][1]} "
        f"(p = {test.p_value:.2g})"
    )


def _failures(test: Any, policy: Rollout) -> str:
    return (
        "failures: raises, or gives NaN or infinity, where the champion answers, on "
        f"more than {100 * policy.max_error_rate:.3g} % of {test.n} requests "
        f"(p = {test.p_value:.2g})"
    )


def _errors(test: Any, policy: Rollout) -> str:
    return (
        f"errors: raises on more than {100 * policy.max_error_rate:.3g} % of {test.n} "
        f"requests (p = {test.p_value:.2g})"
    )


def _agreement(test: Any, policy: Rollout) -> str:
    return (
        f"agreement: gives the champion's class on less than "
        f"{100 * (policy.min_agreement or 0):.3g} % of {test.n} requests "
        f"(p = {test.p_value:.2g})"
    )


def _latency(test: Any, policy: Rollout) -> str:
    told = test.to_dict()
    champion, candidate = told["champion_s"], told["candidate_s"]
    times = (
        f": {1e3 * candidate:.3g} ms against {1e3 * champion:.3g} ms"
        if champion is not None and candidate is not None
        else ""
    )
    return (
        f"latency: more than {test.factor:.3g} times the champion's at quantile "
        f"{policy.latency_quantile:g}{times} (p = {test.p_value:.2g})"
    )


_SAYS: Mapping[str, Callable[[Any, Rollout], str]] = {
    "quality": _quality,
    "canary quality": _canary_quality,
    "failures": _failures,
    "errors": _errors,
    "agreement": _agreement,
    "latency": _latency,
    "latency of copies": _latency,
}
