"""Steps from scores over time to sequences: CTC and token by token."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from trimtab.errors import InputError
from trimtab.processing.checks import (
    check_bool,
    check_int,
    check_integers,
    check_number,
    check_texts,
)
from trimtab.processing.decode_class import softmax
from trimtab.processing.decode_ctc import decode_ctc
from trimtab.processing.decode_ctc_beam import decode_ctc_beam
from trimtab.processing.decode_sequence import MAX_TOKEN, Decoding, decode_sequence
from trimtab.processing.decoder_model import DecoderModel, DecoderState
from trimtab.processing.step import Context, Step

if TYPE_CHECKING:
    from trimtab.model import Model

__all__ = ["CtcBeam", "CtcGreedy", "DecodeSequence"]


@dataclass(frozen=True)
class CtcGreedy(Step):
    """Scores of classes over time -> text, by the best class of each step.

    Leaves the `trimtab.processing.decode_ctc.DecodedText` as `ctc` in the context.

    Parameters
    ----------
    labels : tuple of str
        Text of each class.
    blank : int, default=0
        Negative: from the end.
    from_logits : bool, default=False
        Apply a softmax first.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "ctc_greedy"
    labels: tuple[str, ...]
    blank: int = 0
    from_logits: bool = False

    def __post_init__(self) -> None:
        """Check the parameters."""
        _check_ctc(self)

    def __call__(self, value: Any, context: Context) -> Any:
        """Apply `trimtab.processing.decode_ctc.decode_ctc`.

        Parameters
        ----------
        value : array-like of shape (n_steps, n_classes), or the same with a 1 before
        context : dict

        Returns
        -------
        text : str
        """
        steps = _ctc_steps(self, value)
        decoded = decode_ctc(steps, self.labels, blank=self.blank % len(self.labels))
        context["ctc"] = decoded
        return decoded.text


@dataclass(frozen=True)
class CtcBeam(Step):
    """Scores of classes over time -> the likeliest text over all alignments.

    Leaves all hypotheses as `ctc` in the context.

    Parameters
    ----------
    labels : tuple of str
        Text of each class.
    blank : int, default=0
        Negative: from the end.
    from_logits : bool, default=False
        Apply a softmax first.
    n_beams : int, default=16
    min_probability : float, default=1e-4
        Classes that are less likely at a step are not followed there.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "ctc_beam"
    labels: tuple[str, ...]
    blank: int = 0
    from_logits: bool = False
    n_beams: int = 16
    min_probability: float = 1e-4

    def __post_init__(self) -> None:
        """Check the parameters."""
        _check_ctc(self)
        check_int("n_beams", self.n_beams, 1, 1024)
        check_number("min_probability", self.min_probability, 0, 1)

    def __call__(self, value: Any, context: Context) -> Any:
        """Apply `trimtab.processing.decode_ctc_beam.decode_ctc_beam`.

        Parameters
        ----------
        value : array-like of shape (n_steps, n_classes), or the same with a 1 before
        context : dict

        Returns
        -------
        text : str
        """
        hypotheses = decode_ctc_beam(
            _ctc_steps(self, value),
            blank=self.blank,
            n_beams=self.n_beams,
            min_probability=self.min_probability,
        )
        context["ctc"] = hypotheses
        best = hypotheses[0].classes if hypotheses else ()
        return "".join(self.labels[c] for c in best)


def _check_ctc(step: CtcGreedy | CtcBeam) -> None:
    object.__setattr__(step, "labels", check_texts("labels", step.labels))
    n = len(step.labels)
    if n < 1:
        raise InputError("labels: expected at least the blank's")
    check_int("blank", step.blank, -n, n - 1)
    check_bool("from_logits", step.from_logits)


def _ctc_steps(step: CtcGreedy | CtcBeam, value: Any) -> npt.NDArray[np.floating]:
    """Probabilities as a matrix with a column for each label."""
    steps = np.asarray(value)
    if steps.ndim == 3 and len(steps) == 1:
        steps = steps[0]
    if steps.ndim != 2 or steps.shape[1] != len(step.labels):
        raise InputError(
            f"expected steps of {len(step.labels)} classes, got {steps.shape}"
        )
    return softmax(steps) if step.from_logits else steps


@dataclass(frozen=True)
class DecodeSequence(Step):
    """What an encoder returned -> tokens, written one by one by a second model.

    Leaves the `trimtab.processing.decode_sequence.DecodedSequence` as `decoded` in the
    context.

    Parameters
    ----------
    decoder : bytes
        A model file; it is loaded at the first request.
    prompt : tuple of int
        Tokens to begin with.
    end : int
        The token that ends a sequence.
    constants : tuple of (str, int), default=()
        Names of the decoder's inputs that take the encoder's outputs, in their order,
        and the batch axis of each.
    states : tuple of (str, str, int, int), default=()
        Fields of each `trimtab.processing.decoder_model.DecoderState`.
    tokens, logits, position : str, default="tokens", "logits", ""
        As `trimtab.processing.decoder_model.DecoderModel` has them.
    max_tokens, n_beams, length_penalty, suppress, suppress_first, no_repeat
        As `trimtab.processing.decode_sequence.Decoding` has them.
    threads : int, default=0
        That the decoder may use; 0: as `load_model` decides.

    Raises
    ------
    InputError
        A parameter makes no sense.
    """

    kind: ClassVar[str] = "decode_sequence"
    decoder: bytes = field(repr=False)
    prompt: tuple[int, ...]
    end: int
    constants: tuple[tuple[str, int], ...] = ()
    states: tuple[tuple[str, str, int, int], ...] = ()
    tokens: str = "tokens"
    logits: str = "logits"
    position: str = ""
    max_tokens: int = 224
    n_beams: int = 1
    length_penalty: float = 0.0
    suppress: tuple[int, ...] = ()
    suppress_first: tuple[int, ...] = ()
    no_repeat: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_int("threads", self.threads, 0, 1024)
        if not isinstance(self.decoder, bytes) or not self.decoder:
            raise InputError("decoder: expected the bytes of a model file")
        check_integers("prompt", self.prompt, 0, MAX_TOKEN)
        if not self.prompt:
            raise InputError("prompt: expected at least one token")
        check_texts("names", (self.tokens, self.logits, self.position))
        if not isinstance(self.constants, tuple) or not isinstance(self.states, tuple):
            raise InputError("constants and states: expected tuples")
        for constant in self.constants:
            _check_fields("constants", constant, (str, int))
            check_int("batch axis", constant[1], 0, 63)
        for state in self.states:
            _check_fields("states", state, (str, str, int, int))
        self._decoding, self._states  # noqa: B018 (they check their fields)

    @cached_property
    def _decoding(self) -> Decoding:
        names = {f.name for f in fields(Decoding)} & {f.name for f in fields(self)}
        return Decoding(**{name: getattr(self, name) for name in names})

    @cached_property
    def _states(self) -> tuple[DecoderState, ...]:
        return tuple(DecoderState(*state) for state in self.states)

    @cached_property
    def model(self) -> Model:
        """The decoder, loaded once."""
        from trimtab.load import load_model

        return load_model(self.decoder, threads=self.threads or None)

    def __call__(self, value: Any, context: Context) -> Any:
        """Apply `trimtab.processing.decode_sequence.decode_sequence`.

        Parameters
        ----------
        value : ndarray or tuple of ndarray
            Outputs of the encoder, for one request.
        context : dict

        Returns
        -------
        tokens : tuple of int

        Raises
        ------
        InputError
            The encoder has another number of outputs than there are constants.
        """
        outputs = value if isinstance(value, tuple) else (value,)
        if len(outputs) != len(self.constants):
            raise InputError(
                f"expected {len(self.constants)} outputs of the encoder, "
                f"got {len(outputs)}"
            )
        net = DecoderModel(
            self.model,
            tokens=self.tokens,
            logits=self.logits,
            states=self._states,
            position=self.position,
            constants={
                name: (np.asarray(array), axis)
                for (name, axis), array in zip(self.constants, outputs, strict=True)
            },
        )
        decoded = decode_sequence(net, self.prompt, self._decoding)[0]
        context["decoded"] = decoded
        return decoded.tokens


def _check_fields(name: str, value: Any, types: tuple[type, ...]) -> None:
    is_fitting = isinstance(value, tuple) and len(value) == len(types)
    if not is_fitting or not all(map(isinstance, value, types)):
        wanted = ", ".join(t.__name__ for t in types)
        raise InputError(f"{name}: expected tuples of ({wanted}), got {value!r:.80}")
