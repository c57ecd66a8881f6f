"""What this machine and this build can do: the command ``trimtab doctor``."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trimtab import __version__, _core
from trimtab.peaks import Peaks, measure_peaks
from trimtab.report import bytes_text, count_text, html_table, text_table

__all__ = [
    "OPERATOR_RUNS",
    "DoctorReport",
    "diagnose",
    "operator_page",
    "operator_rows",
]

#: What the core's table says of how a node runs -> the same in words.
OPERATOR_RUNS: dict[str, str] = {
    "control flow": "control flow: its bodies are programs",
    "view": "a view, nothing moves",
    "compiling": "while compiling, from shapes alone",
    "data": "own kernel; the shape depends on data",
    "elementwise": "part of a fused elementwise kernel",
    "steps": "oneDNN primitives or own kernels",
}


@dataclass(frozen=True)
class DoctorReport:
    """Machine, build and measured limits; `repr` and notebooks show a table.

    Parameters
    ----------
    versions : dict of str to str
        Of trimtab, Python, NumPy and oneDNN.
    cpu, dnnl : dict
        Processor and linked oneDNN, as the engine sees them.
    peaks : tuple of Peaks
        For one thread, and for all that this process may use.
    gpu : str
        "available", or what is missing.
    notes : tuple of str
        What costs speed here and could be changed.
    """

    versions: dict[str, str]
    cpu: dict[str, Any]
    dnnl: dict[str, Any]
    peaks: tuple[Peaks, ...]
    gpu: str
    notes: tuple[str, ...]

    def _rows(self) -> list[list[str]]:
        features = [name for name, value in self.cpu.items() if value is True]
        rows = [[name, version] for name, version in self.versions.items()]
        rows += [
            ["processor", str(self.cpu["brand"])],
            ["instructions", ", ".join([self.cpu["isa"], *features])],
            [
                "caches",
                ", ".join(
                    f"{level} {bytes_text(self.cpu[f'{level.lower()}_bytes'])}"
                    for level in ("L1d", "L2", "L3")
                ),
            ],
            [
                "threads",
                f"{self.cpu['n_threads']} (affinity, quota or TRIMTAB_THREADS)",
            ],
            [
                "runtime",
                f"{self.dnnl['threads_runtime']} (oneDNN: cpu "
                f"{self.dnnl['cpu_runtime']}, gpu {self.dnnl['gpu_runtime']})",
            ],
            ["oneDNN uses", str(self.dnnl["effective_isa"])],
        ]
        rows += [list(row) for row in zip(["gpu", ""], self.gpu.split("; "))]  # noqa: B905
        for peaks in self.peaks:
            rows.append([f"peaks, {count_text(peaks.n_threads, 'thread')}", str(peaks)])
        rows += [["note", note] for note in self.notes]
        return rows

    def __repr__(self) -> str:
        """Give the table."""
        return text_table(["what", "is"], self._rows())

    def _repr_html_(self) -> str:
        return html_table(["what", "is"], self._rows())

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)

    def to_json(self) -> str:
        """All of it as JSON text."""
        return json.dumps(self.to_dict(), indent=1)


def _gpu_text(dnnl: dict[str, Any]) -> str:
    if dnnl["n_gpus"]:
        return "available"
    if dnnl["gpu_runtime"] == "none":
        return (
            f"none: oneDNN {dnnl['version']} was built without a GPU runtime; "
            "pip install 'onednn-devel==2026.1.*' and build trimtab with ONEDNN_ROOT "
            "pointing at that environment"
        )
    return (
        f"none: oneDNN's {dnnl['gpu_runtime']} runtime finds no GPU; install the "
        "driver of the device (Level Zero or OpenCL)"
    )


def _notes(cpu: dict[str, Any], dnnl: dict[str, Any]) -> tuple[str, ...]:
    notes = []
    if cpu["isa"] == "scalar":
        notes.append("no AVX2: kernels run without vector instructions")
    if cpu["isa"] == "avx2":
        notes.append("no AVX-512: half of the arithmetic per cycle and core")
    if not dnnl["exact_int8"]:
        notes.append(
            "no VNNI: sums of 8-bit products saturate, so weights that are quantised "
            "here get 7 bits and larger integers of a file are computed in float32"
        )
    return tuple(notes)


def diagnose(*, measure: bool = True) -> DoctorReport:
    """Look at the machine and the build.

    Parameters
    ----------
    measure : bool, default=True
        Measure the peaks too (about a second).

    Returns
    -------
    report : DoctorReport

    Examples
    --------
    >>> diagnose(measure=False).cpu["n_threads"] >= 1
    True
    """
    cpu, dnnl = _core.cpu_info(), _core.dnnl_info()
    counts = sorted({1, cpu["n_threads"]}) if measure else []
    return DoctorReport(
        versions={
            "trimtab": __version__,
            "python": f"{platform.python_version()} on {platform.machine()}",
            "numpy": np.__version__,
            "onednn": f"{dnnl['version']} ({dnnl['hash'][:10]})",
        },
        cpu=cpu,
        dnnl=dnnl,
        peaks=tuple(measure_peaks(n) for n in counts),
        gpu=_gpu_text(dnnl),
        notes=_notes(cpu, dnnl),
    )


def operator_rows() -> list[tuple[str, str, str, str, str]]:
    """Operators of the engine: domain, name, opsets, how they run, summary.

    Returns
    -------
    rows : list of tuple of str
        Sorted by domain and name.

    Examples
    --------
    >>> any(name == "Relu" for _, name, *_ in operator_rows())
    True
    """
    return sorted(
        (
            op["domain"] or "ai.onnx",
            op["name"],
            f"{op['since']}-{op['until']}" if op["until"] else f"{op['since']}+",
            OPERATOR_RUNS[op["runs"]],
            op["summary"],
        )
        for op in _core.operators()
    )


def operator_page() -> str:
    """Table of all operators as text.

    Returns
    -------
    page : str

    Examples
    --------
    >>> operator_page().splitlines()[0].split()[:3]
    ['domain', 'operator', 'opsets']
    """
    headers = ["domain", "operator", "opsets", "runs as", "what it does"]
    return text_table(headers, operator_rows())
