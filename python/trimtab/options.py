"""What `load_model` was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.limits import Limits
from trimtab.record import FrozenRecord

__all__ = ["Options"]


class Options(FrozenRecord):
    """What `load_model` was asked for, so that a pickle can ask again.

    Parameters
    ----------
    threads : int or None
    device : str
    fallback : bool
    limits : Limits
    passes : int
        Bits of the passes.
    copy : bool
    staging : bool
    verify : str
        Key of `trimtab.load.VERIFY`.
    cache : bool
    reading : mapping of str to object
        Options of the format's reader.
    is_rewritten : bool, default=False
        The graph is not what the source holds.
    precision : str, default="f32"
        Key of `trimtab.precision.PRECISIONS`.
    """

    __slots__ = (
        "threads",
        "device",
        "fallback",
        "limits",
        "passes",
        "copy",
        "staging",
        "verify",
        "cache",
        "reading",
        "is_rewritten",
        "precision",
    )
    threads: int | None
    device: str
    fallback: bool
    limits: Limits
    passes: int
    copy: bool
    staging: bool
    verify: str
    cache: bool
    reading: Mapping[str, Any]
    is_rewritten: bool
    precision: str

    def __init__(
        self,
        threads: int | None,
        device: str,
        fallback: bool,
        limits: Limits,
        passes: int,
        copy: bool,
        staging: bool,
        verify: str,
        cache: bool,
        reading: Mapping[str, Any],
        is_rewritten: bool = False,
        precision: str = "f32",
    ) -> None:
        self._set(
            threads,
            device,
            fallback,
            limits,
            passes,
            copy,
            staging,
            verify,
            cache,
            reading,
            is_rewritten,
            precision,
        )
