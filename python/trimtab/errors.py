"""Every exception that trimtab raises on purpose.

Each derives from `TrimtabError` and from the builtin that a caller would
expect, so ``except ValueError`` keeps working in code that knows nothing of us.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "CalibrationWarning",
    "DeadlineError",
    "DeviceError",
    "DivergedError",
    "FetchError",
    "GoldenMismatch",
    "GoldenWarning",
    "InputError",
    "InputTypeError",
    "InternalError",
    "ModelFormatError",
    "ModelLimitError",
    "OutOfMemoryError",
    "OverloadedError",
    "RegistryConflict",
    "RegistryError",
    "SwapError",
    "TrimtabError",
    "UnsafeModelError",
    "UnsupportedOpError",
]


class TrimtabError(Exception):
    """Root of every error that trimtab raises on purpose.

    ``code`` names the kind of failure in the engine ("BAD_INPUT", ...) and
    ``where`` the node or tensor; both are empty for errors raised in Python.
    """

    code: str = ""
    where: str = ""


class ModelFormatError(TrimtabError, ValueError):
    """The file is no valid model: malformed, truncated or contradictory."""


class ModelLimitError(ModelFormatError):
    """The model asks for more than `Limits` allows (bytes, nodes, depth...)."""


class UnsafeModelError(ModelFormatError):
    """Loading the model would read foreign files or execute code."""


class UnsupportedOpError(TrimtabError, NotImplementedError):
    """The model holds nodes that the engine cannot run; all are listed.

    ``nodes`` holds a `trimtab.fallback.UnsupportedNode` for each, when the model was
    refused at loading.
    """

    nodes: tuple[Any, ...] = ()


class GoldenMismatch(TrimtabError, ValueError):
    """A model does not give the outputs that were stored with it.

    ``operator`` describes the first operator whose result departs and ``tensor`` names
    what it computes, both empty where none was found. ``cause`` is "optimisation" (the
    plan without optimisations agrees), "content" (the file is not what was saved),
    "precision" (bfloat16 rounds too much) or "engine" (none of these).

    Examples
    --------
    >>> try:                                               # doctest: +SKIP
    ...     trimtab.load_model("m.safetensors")
    ... except trimtab.GoldenMismatch as miss:
    ...     print(miss.cause, miss.operator)
    content MatMul 'linear'
    """

    operator: str = ""
    tensor: str = ""
    cause: str = ""


class GoldenWarning(UserWarning):
    """What `GoldenMismatch` says, under ``verify="warn"``.

    Examples
    --------
    >>> trimtab.load_model("m.safetensors", verify="warn")     # doctest: +SKIP
    """


class CalibrationWarning(UserWarning):
    """Calibration data whose statistics may not be what was meant, by tensor.

    Examples
    --------
    >>> import warnings
    >>> warnings.simplefilter("error", CalibrationWarning)     # doctest: +SKIP
    """


class InputError(TrimtabError, ValueError):
    """An input does not fit the model's signature."""


class InputTypeError(InputError, TypeError):
    """An input has a type or dtype that the model does not take."""


class DeviceError(TrimtabError, RuntimeError):
    """The device that was asked for is not there; the message says what is missing."""


class DivergedError(TrimtabError, ArithmeticError):
    """Training gave a loss or a gradient that is no number.

    ``step`` counts the updates before it; the weights are those of the best validation
    so far, or those before the update.
    """

    step: int = 0


class OutOfMemoryError(TrimtabError, MemoryError):
    """Memory for a plan or a call could not be had."""


class InternalError(TrimtabError, RuntimeError):
    """A fault of trimtab's own: please report it with the message."""


class FetchError(TrimtabError, OSError):
    """A file of a published package could not be fetched or verified."""


class RegistryError(TrimtabError, RuntimeError):
    """A registry of models refuses: what is asked for is not there, broken or no name.

    Whatever is refused, the registry is as it was.
    """


class RegistryConflict(RegistryError):
    """Someone else was first: the alias is not, or no longer, what was expected.

    Examples
    --------
    >>> try:                                               # doctest: +SKIP
    ...     registry.set_alias("digits", "champion", 4, expected=3)
    ... except trimtab.RegistryConflict:
    ...     print(registry.get("digits@champion"))
    """


class OverloadedError(TrimtabError, RuntimeError):
    """A deployment has as many requests waiting as it may; come back later.

    ``queued`` counts them, and ``max_queue`` is the bound.
    """

    queued: int = 0
    max_queue: int = 0


class DeadlineError(TrimtabError, TimeoutError):
    """The time that a request was given was over before the model ran for it."""


class SwapError(TrimtabError, RuntimeError):
    """A candidate is not fit to serve; what served before serves on.

    ``reasons`` holds all that is wrong with it, a sentence each.

    Examples
    --------
    >>> try:                                               # doctest: +SKIP
    ...     deployment.swap("digits/4")
    ... except trimtab.SwapError as refused:
    ...     print(refused.reasons)
    ('its outputs hold NaN or infinity where the inputs are usual: probs',)
    """

    reasons: tuple[str, ...] = ()
