"""Which precisions the processor computes in natively.

What it lacks still runs, but slower than float32 (bf16 emulated by oneDNN takes three
times as long) or with coarser weights (int8 without VNNI adds up in 16 bits, which
saturate unless weights have 7 bits).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["INTEGER", "HostPrecisions", "host_precisions"]

#: Precisions of u8 by s8: plain, and by Winograd's algorithm with more rounding.
INTEGER = ("int8", "int8_winograd")


@dataclass(frozen=True)
class HostPrecisions:
    """What a processor offers.

    Parameters
    ----------
    names : tuple of str
        Precisions that can pay, of "f32", "bf16", "int8" and "int8_winograd".
    weight_bits : int
        Of int8 weights that add up without saturating: 8, or 7 without VNNI.
    isa : str
        Instruction set that oneDNN uses, which ``ONEDNN_MAX_CPU_ISA`` may limit.

    Examples
    --------
    >>> HostPrecisions(("f32", "int8"), 7, "avx2").weight_bits
    7
    """

    names: tuple[str, ...]
    weight_bits: int
    isa: str


# oneDNN's name of an instruction set, without what is marked as a part of it:
# -> (bf16 in hardware, 8-bit products that do not saturate).
_FEATURES: dict[str, tuple[bool, bool]] = {
    "sse41": (False, False),
    "avx": (False, False),
    "avx2": (False, False),
    "avx2_vnni": (False, True),
    "avx2_vnni_2": (False, True),  # converts bf16, but computes in f32
    "avx512_core": (False, False),
    "avx512_core_vnni": (False, True),
    "avx512_core_bf16": (True, True),
    "avx10_1_512": (True, True),
    "avx10_1_512_amx": (True, True),
    "avx10_1_512_amx_fp16": (True, True),
    "avx512_core_fp16": (True, True),
    "avx512_core_amx": (True, True),
    "avx512_core_amx_fp16": (True, True),
}

# int8 convolutions of older processors are slower than float32.
_WITHOUT_INT8 = frozenset(["sse41", "avx"])


def host_precisions(info: Mapping[str, Any] | None = None) -> HostPrecisions:
    """Say which precisions can pay on a processor.

    Parameters
    ----------
    info : mapping of str to object, optional
        What `trimtab._core.dnnl_info` says; of this machine by default.

    Returns
    -------
    precisions : HostPrecisions
        Of an instruction set that is not known: "f32", and weights of 7 bits.

    Examples
    --------
    >>> host_precisions({"effective_isa": "avx512_core_vnni"}).names
    ('f32', 'int8')
    >>> host_precisions({"effective_isa": "avx512_core_amx"}).names
    ('f32', 'bf16', 'int8')
    """
    if info is None:
        from trimtab import _core

        info = _core.dnnl_info()
    isa = str(info["effective_isa"])
    has_bf16, has_vnni = _FEATURES.get(isa, (False, False))
    names = ["f32"]
    if has_bf16:
        names.append("bf16")
    if isa in _FEATURES and isa not in _WITHOUT_INT8:
        names.append("int8")
    if info.get("winograd_int8", False):
        names.append("int8_winograd")
    return HostPrecisions(tuple(names), 8 if has_vnni else 7, isa)
