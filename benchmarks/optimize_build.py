"""One model made smaller by one tool, in a process of its own, so that its cost shows.

``python -m benchmarks.optimize_build TOOL CASE FOLDER`` writes the model and a line of
JSON: the file, the seconds of the tool's own call, and how far resident memory rose
above that of the process with the loaded model and the data in it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import labelled
from benchmarks.common import resident_bytes
from benchmarks.optimize_cases import CASES, N_VALIDATION, Case
from benchmarks.worker import one_line

MAX_DROP = {"mnist_cnn": 0.005, "minilm_sentiment": 0.005}
NOISE = 0.01  # of the signal's power, 20 dB: the budget where there are no labels
# Random weights answer some pictures faintly, and the mean over pictures of the noise
# in each counts these as much as the others: the SQNR over all of them is far higher.
NOISES = {"resnet50_shape": 0.05}
Made = tuple[Path, dict[str, Any]]


class Meter:
    """Seconds, and the peak of resident memory over that at the start."""

    def __enter__(self) -> Meter:
        self.base = self.peak = resident_bytes()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._begin = time.perf_counter()
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            self.peak = max(self.peak, resident_bytes())

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._begin
        self._done.set()
        self._thread.join()
        self.peak = max(self.peak, resident_bytes())

    def figures(self) -> dict[str, float]:
        """What was measured, for a result file."""
        growth = max(0, self.peak - self.base) / 1e6
        return {"seconds": self.seconds, "growth_mb": growth}


def _prepared(case: Case, folder: Path) -> Path:
    """onnxruntime's own preparation: shapes inferred, graph optimised."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    out = folder / "prepared.onnx"
    quant_pre_process(str(case.path), str(out), skip_symbolic_shape=True)
    return out


def _reader(case: Case) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            n = len(next(iter(case.calibration.values())))
            self.left = iter(range(n))

        def get_next(self) -> dict[str, Any] | None:
            i = next(self.left, None)
            if i is None:
                return None
            return {name: rows[i : i + 1] for name, rows in case.calibration.items()}

    return Reader()


def onnxruntime_static(case: Case, folder: Path) -> Made:
    """u8 activations, s8 weights per channel, QDQ: its best on this kind of CPU."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    out, prepared, reader = (
        folder / "model.onnx",
        _prepared(case, folder),
        _reader(case),
    )
    with Meter() as meter:
        quantize_static(
            str(prepared),
            str(out),
            reader,
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
    return out, meter.figures()


def onnxruntime_default(case: Case, folder: Path) -> Made:
    """``quantize_static`` with nothing but a model and data."""
    from onnxruntime.quantization import quantize_static

    out, prepared, reader = (
        folder / "model.onnx",
        _prepared(case, folder),
        _reader(case),
    )
    with Meter() as meter:
        quantize_static(str(prepared), str(out), reader)
    return out, meter.figures()


def onnxruntime_dynamic(case: Case, folder: Path) -> Made:
    """``quantize_dynamic``, s8 weights per channel: its advice for transformers."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    out, prepared = folder / "model.onnx", _prepared(case, folder)
    with Meter() as meter:
        quantize_dynamic(
            str(prepared), str(out), weight_type=QuantType.QInt8, per_channel=True
        )
    return out, meter.figures()


def nncf_int8(case: Case, folder: Path) -> Made:
    """NNCF's post-training int8; SmoothQuant is part of it for transformers."""
    import nncf
    import openvino

    model = openvino.Core().read_model(str(case.path))
    n = len(next(iter(case.calibration.values())))
    rows = [
        {name: array[i : i + 1] for name, array in case.calibration.items()}
        for i in range(n)
    ]
    kind = nncf.ModelType.TRANSFORMER if case.is_transformer else None
    with Meter() as meter:
        quantized = nncf.quantize(
            model, nncf.Dataset(rows), model_type=kind, subset_size=n
        )
    out = folder / "model.xml"
    openvino.save_model(quantized, str(out), compress_to_fp16=False)
    return out, meter.figures()


def trimtab_optimised(case: Case, folder: Path) -> Made:
    """`trimtab.optimize_model`, with labels where there are some."""
    wanted: dict[str, Any] = {
        "validation": dict(case.validation),
        "metric": "sqnr",
        "max_drop": NOISES.get(case.name, NOISE),
    }
    if case.pool is not None:
        # an even share of the pool; the rest judges the result
        half = case.pool.rows(slice(0, None, 2))
        wanted = {
            "validation": (dict(half.inputs), half.labels),
            "metric": "accuracy",
            "max_drop": MAX_DROP[case.name],
        }
    return _optimised(case, folder, wanted)


def trimtab_probability(case: Case, folder: Path) -> Made:
    """The probability of f32's answer may move by 1 % in the mean."""
    wanted = {
        "validation": dict(labelled.crops(2 * N_VALIDATION, "left", seed=1)),
        "metric": "top_1_probability",
        "max_drop": 0.01,
    }
    return _optimised(case, folder, wanted)


def _optimised(case: Case, folder: Path, wanted: dict[str, Any]) -> Made:
    import trimtab

    model = trimtab.load_model(case.path, threads=case.threads)
    with Meter() as meter:
        report = trimtab.optimize_model(
            model, calibration=dict(case.calibration), progress=False, **wanted
        )
    out = folder / "model.safetensors"
    report.model.save(out)
    report.save(folder / "report.json")
    axes = report.plot()
    axes.figure.savefig(folder / "report.png", dpi=120)
    bound = None if report.bound is None else report.bound.upper
    return out, meter.figures() | {"report": "report.json", "bound": bound}


def trimtab_calibration(case: Case, folder: Path) -> Made:
    """The calibration alone, of every tensor that int8 needs."""
    from trimtab.load import load_model
    from trimtab.optimize.calibrate import calibrate
    from trimtab.optimize.prepare import prepare_graph
    from trimtab.optimize.quantize import tensors_to_observe
    from trimtab.optimize.runnable import runnable

    graph = prepare_graph(load_model(case.path)._graph_again())
    model, names = runnable(graph), tensors_to_observe(graph)
    n = len(next(iter(case.calibration.values())))
    rows = [
        {name: array[i : i + 1] for name, array in case.calibration.items()}
        for i in range(n)
    ]
    model.run(rows[0])  # what the model itself takes is none of the calibration's
    with Meter() as meter:
        statistics = calibrate(model, rows, names)
    out = folder / "statistics.json"
    found = {name: value.to_dict() for name, value in statistics.items()}
    out.write_text(json.dumps(found, default=np.ndarray.tolist))
    return out, meter.figures()


TOOLS: dict[str, Callable[[Case, Path], Made]] = {
    "trimtab": trimtab_optimised,
    "trimtab_probability": trimtab_probability,
    "trimtab_calibration": trimtab_calibration,
    "onnxruntime_static": onnxruntime_static,
    "onnxruntime_default": onnxruntime_default,
    "onnxruntime_dynamic": onnxruntime_dynamic,
    "nncf": nncf_int8,
}

# tools that are for some models alone
ONLY = {"trimtab_probability": ("efficientnet_lite0",)}


def main() -> int:
    """Build one model; whatever the tool raises is the answer."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tool", choices=TOOLS)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=0, help="that will be timed")
    args = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the tools print must not mix with the answer
    args.folder.mkdir(parents=True, exist_ok=True)
    try:
        case = dataclasses.replace(CASES[args.case](), threads=args.threads)
        path, figures = TOOLS[args.tool](case, args.folder)
        parts = [x for x in path.parent.glob("model.*") if x.suffix != ".cache"]
        n_bytes = sum(part.stat().st_size for part in parts)
        answer: dict[str, Any] = {"path": str(path), "bytes": n_bytes}
        answer |= figures
    except Exception as error:
        answer = {"error": one_line(error)}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
    return "error" in answer


if __name__ == "__main__":
    sys.exit(main())
