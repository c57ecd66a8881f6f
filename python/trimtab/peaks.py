"""The machine's limits, measured: what percentages of peak refer to."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from typing import Any

from trimtab import _core
from trimtab.report import count_text

__all__ = ["Peaks", "measure_peaks"]


@dataclass(frozen=True)
class Peaks:
    """Arithmetic and bandwidth of this machine for a number of threads.

    Parameters
    ----------
    n_threads : int
        Threads that worked at the same time.
    f32_gops, bf16_gops, int8_gops : float
        1e9 operations a second (a multiply-add is two); 0 where the processor has
        no instruction for it.
    l2_gbps, l3_gbps, memory_gbps : float
        1e9 bytes read a second from each level.
    l2_bytes, l3_bytes : int
        Sizes of the L2 of one core and of the last-level cache.

    Examples
    --------
    >>> Peaks(1, 250.0, 0.0, 0.0, 200.0, 100.0, 20.0, 1 << 20, 1 << 25).least_s(
    ...     flops=250e9, n_bytes=1e6)
    1.0
    """

    n_threads: int
    f32_gops: float
    bf16_gops: float
    int8_gops: float
    l2_gbps: float
    l3_gbps: float
    memory_gbps: float
    l2_bytes: int
    l3_bytes: int

    def bandwidth_gbps(self, n_bytes: float) -> float:
        """Best bandwidth that a working set of this size can have.

        Parameters
        ----------
        n_bytes : float
            Bytes that are read or written at least once.

        Returns
        -------
        gbps : float
        """
        if n_bytes <= self.l2_bytes * self.n_threads:
            return self.l2_gbps
        return self.l3_gbps if n_bytes <= self.l3_bytes else self.memory_gbps

    def least_s(self, flops: float, n_bytes: float, dtype: str = "float32") -> float:
        """Lower bound of the time for so much work: the roofline, in seconds.

        ``max(flops / peak, bytes / bandwidth)``, with the bandwidth of the
        smallest cache that the bytes fit in, so that nothing can be faster.

        Parameters
        ----------
        flops : float
            Operations; a multiply-add is two.
        n_bytes : float
            Bytes that are read or written at least once.
        dtype : str, default="float32"
            What is multiplied: "bfloat16", "uint8" and "int8" have peaks of their own
            where the processor multiplies them.

        Returns
        -------
        seconds : float
        """
        own = {
            "bfloat16": self.bf16_gops,
            "int8": self.int8_gops,
            "uint8": self.int8_gops,
        }
        by_flops = flops / ((own.get(dtype) or self.f32_gops) * 1e9)
        return max(by_flops, n_bytes / (self.bandwidth_gbps(n_bytes) * 1e9))

    def __str__(self) -> str:
        """Rates on one line."""
        rates = [f"f32 {self.f32_gops:.0f}"]
        if self.bf16_gops:
            rates.append(f"bf16 {self.bf16_gops:.0f}")
        if self.int8_gops:
            rates.append(f"int8 {self.int8_gops:.0f}")
        return (
            f"{', '.join(rates)} GOP/s; reads L2 {self.l2_gbps:.0f}, "
            f"L3 {self.l3_gbps:.0f}, memory {self.memory_gbps:.0f} GB/s"
        )

    def __repr__(self) -> str:
        """Threads and rates."""
        return f"Peaks({count_text(self.n_threads, 'thread')}: {self})"

    def to_dict(self) -> dict[str, Any]:
        """All figures by name."""
        return asdict(self)


@functools.cache
def _measure(threads: int) -> Peaks:
    cpu = _core.cpu_info()
    found: dict[str, Any] = _core.measure_peaks(threads)
    return Peaks(**found, l2_bytes=cpu["l2_bytes"], l3_bytes=cpu["l3_bytes"])


def measure_peaks(threads: int | None = None) -> Peaks:
    """Measure arithmetic and bandwidth, once per process and number of threads.

    Parameters
    ----------
    threads : int, optional
        Threads that work at the same time; as many as this process may use by
        default.

    Returns
    -------
    peaks : Peaks
        Takes about half a second the first time.

    Examples
    --------
    >>> measure_peaks(1).f32_gops > 1
    True
    """
    return _measure(threads or _core.cpu_info()["n_threads"])
