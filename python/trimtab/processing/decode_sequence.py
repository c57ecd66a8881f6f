"""From a net that scores the next token to sequences of tokens.

The net is a function: `decode_sequence` gives it the tokens that are new to each row,
and for each row which row of the call before it continues; it returns the scores of
the next token. What the rows remember (keys and values, or all tokens so far) is the
function's own affair; `trimtab.processing.decoder_model` makes one of a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.processing.checks import (
    check_bool,
    check_int,
    check_integers,
    check_number,
)

__all__ = ["DecodedSequence", "Decoding", "NextScores", "decode_sequence"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]
MAX_TOKEN = 1 << 24


class NextScores(Protocol):
    """Scores of the next token.

    Called first with the prompt as one row; then with one token a row.
    """

    def __call__(self, tokens: Ints, parents: Ints) -> Floats:
        """Score.

        Parameters
        ----------
        tokens : ndarray of int64, shape (n_rows, n_new)
            Tokens that follow those of the row's parent.
        parents : ndarray of int64, shape (n_rows,)
            Row of the call before that each row continues.

        Returns
        -------
        logits : ndarray of shape (n_rows, n_classes)
        """


@dataclass(frozen=True)
class Decoding:
    """How sequences are searched for.

    Parameters
    ----------
    end : int
        The token that ends a sequence.
    max_tokens : int, default=224
        Longest sequence, without the prompt, the end included.
    n_beams : int, default=1
        Sequences that are followed at once; 1: the best token each time.
    length_penalty : float, default=0
        Sequences are compared by their log probability over ``length **
        length_penalty``: 0 by the sum, 1 by the mean.
    suppress : tuple of int, default=()
        Tokens that are never chosen.
    suppress_first : tuple of int, default=()
        Tokens that are not chosen first.
    no_repeat : int, default=0
        No run of as many tokens comes twice; 0: any may.
    temperature : float, default=0
        Tokens are drawn from ``softmax(logits / temperature)``; 0: no drawing.
    top_k : int, default=0
        Only as many of the best tokens are drawn from; 0: all.
    is_thorough : bool, default=False
        With beams and a penalty above 0, go on for as long as a sequence could become
        better by its length. False: end when `n_beams` sequences have ended and no
        other is better at its present length.

    Raises
    ------
    InputError
        A parameter makes no sense, or beams are to be drawn.

    Examples
    --------
    >>> Decoding(end=0, n_beams=5).max_tokens
    224
    """

    end: int
    max_tokens: int = 224
    n_beams: int = 1
    length_penalty: float = 0.0
    suppress: tuple[int, ...] = ()
    suppress_first: tuple[int, ...] = ()
    no_repeat: int = 0
    temperature: float = 0.0
    top_k: int = 0
    is_thorough: bool = False

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("end", self.end, 0, MAX_TOKEN)
        check_int("max_tokens", self.max_tokens, 1, 1 << 16)
        check_int("n_beams", self.n_beams, 1, 256)
        check_number("length_penalty", self.length_penalty, -8, 8)
        check_integers("suppress", self.suppress, 0, MAX_TOKEN)
        check_integers("suppress_first", self.suppress_first, 0, MAX_TOKEN)
        check_int("no_repeat", self.no_repeat, 0, 1 << 16)
        check_number("temperature", self.temperature, 0, 1e6)
        check_int("top_k", self.top_k, 0, MAX_TOKEN)
        check_bool("is_thorough", self.is_thorough)
        if self.temperature > 0 and self.n_beams > 1:
            raise InputError("temperature: tokens are drawn with n_beams=1 only")


@dataclass(frozen=True)
class DecodedSequence:
    """What was decoded.

    Attributes
    ----------
    tokens : tuple of int
        Without the prompt and the end.
    log_probability : float
        Of the tokens and the end, given the prompt.
    score : float
        By which sequences are compared: `log_probability` with the length penalty.
    has_ended : bool
        Whether the end came, or else `max_tokens`.
    """

    tokens: tuple[int, ...]
    log_probability: float
    score: float
    has_ended: bool


def decode_sequence(
    net: NextScores,
    prompt: Sequence[int],
    decoding: Decoding,
    *,
    rng: np.random.Generator | None = None,
) -> list[DecodedSequence]:
    """Find likely continuations of a prompt.

    Parameters
    ----------
    net : callable
        See `NextScores`.
    prompt : sequence of int
        At least one token.
    decoding : Decoding
    rng : Generator, optional
        Needed with a temperature.

    Returns
    -------
    sequences : list of DecodedSequence
        At most `n_beams`, the best first.

    Raises
    ------
    InputError
        The prompt is empty, a temperature comes without `rng`, or the net returns
        scores of another shape, or no numbers.

    Examples
    --------
    >>> def net(tokens, parents):  # counts up
    ...     return np.eye(6)[(tokens[:, -1] + 1) % 6] * 9
    >>> decode_sequence(net, [2], Decoding(end=0))[0].tokens
    (3, 4, 5)
    """
    if not len(prompt):
        raise InputError("prompt: expected at least one token")
    if decoding.temperature > 0 and rng is None:
        raise InputError("rng: needed to draw tokens with a temperature")
    search = _Search(net, [int(token) for token in prompt], decoding)
    if decoding.n_beams == 1:
        return [_follow(search, rng)]
    return _search_beams(search)


@dataclass
class _Search:
    """The net, and the rules that its scores are under."""

    net: NextScores
    prompt: list[int]
    rules: Decoding
    _banned: Ints = field(init=False)

    def __post_init__(self) -> None:
        self._banned = np.array(self.rules.suppress, np.int64)

    def scores(
        self, tokens: Ints, parents: Ints, rows: list[list[int]]
    ) -> tuple[Floats, Floats]:
        """Logits with what is suppressed at -inf, and their log softmax."""
        logits = np.array(self.net(tokens, parents), np.float32)
        if logits.ndim != 2 or len(logits) != len(tokens) or logits.shape[1] < 1:
            raise InputError(
                f"expected scores of {len(tokens)} rows of classes, got {logits.shape}"
            )
        n_classes = logits.shape[1]
        logits[:, self._banned[self._banned < n_classes]] = -np.inf
        for row, past in enumerate(rows):
            first = self.rules.suppress_first if not past else ()
            for token in [*first, *_repeats(past, self.rules.no_repeat)]:
                if token < n_classes:
                    logits[row, token] = -np.inf
        top = logits.max(axis=1, keepdims=True)
        if np.isnan(top).any() or (top == np.inf).any():
            raise InputError("the net's scores are not numbers (NaN or infinite)")
        top[top == -np.inf] = 0
        total = np.exp(logits - top).sum(axis=1, keepdims=True)
        total[total == 0] = 1  # everything is suppressed: -inf stays -inf
        return logits, np.asarray(logits - top - np.log(total))

    def finish(
        self, tokens: list[int], log_probability: float, *, has_ended: bool
    ) -> DecodedSequence:
        length = max(1, len(tokens) + has_ended)
        return DecodedSequence(
            tokens=tuple(tokens),
            log_probability=log_probability,
            score=log_probability / length**self.rules.length_penalty,
            has_ended=has_ended,
        )


def _repeats(tokens: list[int], n: int) -> list[int]:
    """Tokens that would make the last n tokens come a second time."""
    if n == 0 or len(tokens) < n:
        return []
    ending = tokens[len(tokens) - n + 1 :]
    return [
        tokens[i + n - 1]
        for i in range(len(tokens) - n + 1)
        if tokens[i : i + n - 1] == ending
    ]


def _follow(search: _Search, rng: np.random.Generator | None) -> DecodedSequence:
    """The best token each time, or one that is drawn."""
    rules, tokens, total = search.rules, list[int](), 0.0
    new = np.array([search.prompt], np.int64)
    row = np.zeros(1, np.int64)
    for _ in range(rules.max_tokens):
        logits, logs = search.scores(new, row, [tokens])
        if rng is None or rules.temperature == 0:
            token = int(logs[0].argmax())
        else:
            token = _draw(logits[0], rules, rng)
        if logs[0, token] == -np.inf:  # everything is suppressed
            break
        total += float(logs[0, token])
        if token == rules.end:
            return search.finish(tokens, total, has_ended=True)
        tokens.append(token)
        new = np.array([[token]], np.int64)
    return search.finish(tokens, total, has_ended=False)


def _draw(logits: Floats, rules: Decoding, rng: np.random.Generator) -> int:
    """Gumbel's trick: the largest of logits plus noise is a draw from their softmax."""
    scaled = logits.astype(np.float64) / rules.temperature
    if 0 < rules.top_k < scaled.size:
        kth = np.partition(scaled, -rules.top_k)[-rules.top_k]
        scaled[scaled < kth] = -np.inf
    return int((scaled + rng.gumbel(size=scaled.size)).argmax())


def _search_beams(search: _Search) -> list[DecodedSequence]:
    """Follow the best `n_beams` at once until nothing better can come."""
    rules = search.rules
    rows: list[list[int]] = [[]]
    totals = np.zeros(1)
    new, parents = np.array([search.prompt], np.int64), np.zeros(1, np.int64)
    done: list[DecodedSequence] = []
    for _ in range(rules.max_tokens):
        _, logs = search.scores(new, parents, rows)
        candidates = totals[:, None] + logs
        live: list[tuple[int, int, float]] = []
        # each row may end once, so twice as many hold enough that go on
        for place in _best(candidates.reshape(-1), 2 * rules.n_beams):
            row, token = divmod(int(place), candidates.shape[1])
            total = float(candidates[row, token])
            if token == rules.end:
                done.append(search.finish(rows[row], total, has_ended=True))
            elif len(live) < rules.n_beams:
                live.append((row, token, total))
        done = sorted(done, key=lambda found: -found.score)[: rules.n_beams]
        rows = [[*rows[row], token] for row, token, _ in live]
        totals = np.array([total for _, _, total in live])
        if not live or _is_settled(done, totals, len(rows[0]), rules):
            rows = []
            break
        parents = np.array([row for row, _, _ in live], np.int64)
        new = np.array([[token] for _, token, _ in live], np.int64)
    for tokens, total in zip(rows, totals.tolist(), strict=False):
        done.append(search.finish(tokens, total, has_ended=False))
    if not done:
        done = [search.finish([], 0.0, has_ended=False)]
    return sorted(done, key=lambda found: -found.score)[: rules.n_beams]


def _best(values: Floats, count: int) -> Ints:
    """Places of the largest finite values, largest first, equal ones in order."""
    if count < values.size:
        places = np.sort(np.argpartition(-values, count)[:count])
    else:
        places = np.arange(values.size)
    places = places[values[places] > -np.inf]
    return np.asarray(places[np.argsort(-values[places], kind="stable")], np.int64)


def _is_settled(
    done: list[DecodedSequence], totals: Floats, length: int, rules: Decoding
) -> bool:
    """Whether no living row is better than the worst that is done, or can become so.

    A row's sum only falls; a penalty helps it most at the length that divides by most.
    """
    if len(done) < rules.n_beams:
        return False
    can_gain = rules.is_thorough and rules.length_penalty > 0
    longest = rules.max_tokens if can_gain else length
    bound = float(totals.max()) / longest**rules.length_penalty
    return bool(done[-1].score >= bound)
