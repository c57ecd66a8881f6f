"""The engines under measurement, each behind the same six methods.

One object is one loaded model with its inputs. `plain` is the call that the
engine's own documentation shows to its users; `bound` is the fastest way that
the engine has in Python, with inputs and outputs fixed beforehand. Every engine
is imported where it is used, so that a worker process holds exactly one.

Settings, equal in meaning: `threads` threads for one call, one call at a time,
float32 arithmetic, everything else at the engine's default (that includes
onnxruntime's spinning threads: a worker that is not being measured is stopped,
so nobody else pays for them).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

Feeds = Mapping[str, np.ndarray]
Call = Callable[[], Any]


class Engine(Protocol):
    """A model loaded by one engine, with the inputs that it will be called on."""

    def plain(self) -> Call:
        """Return the call as a user of the engine writes it."""

    def bound(self) -> Call:
        """Return the fastest call, inputs and outputs fixed beforehand."""

    def concurrent(self) -> Call:
        """Return a call for one more Python thread on the same model."""

    def outputs(self) -> dict[str, np.ndarray]:
        """Run once and return the outputs by name."""

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        """Run on other inputs and return the outputs by name."""


def past_of(output: str) -> str:
    """Input that an output is the next state of.

    Examples
    --------
    >>> past_of("present_k0"), past_of("y")
    ('past_k0', '')
    """
    kind, _, rest = output.partition("_")
    return f"past_{rest}" if kind == "present" else ""


class OnnxRuntime:
    """onnxruntime, CPU provider, all graph optimisations (its default)."""

    def __init__(self, path: str, feeds: Feeds, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        known = {value.name for value in self.session.get_inputs()}
        self.feeds = {name: feeds[name] for name in feeds if name in known}
        self.names = [value.name for value in self.session.get_outputs()]

    def plain(self) -> Call:
        session, feeds = self.session, self.feeds
        return lambda: session.run(None, feeds)

    concurrent = plain

    def bound(self) -> Call:
        from onnxruntime import OrtValue

        binding = self.session.io_binding()
        for name, array in self.feeds.items():
            binding.bind_ortvalue_input(name, OrtValue.ortvalue_from_numpy(array))
        for name, array in self.outputs().items():
            value = OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))
            binding.bind_ortvalue_output(name, value)
        session = self.session
        return lambda: session.run_with_iobinding(binding)

    def in_place(self) -> Call:
        """Each output present_x is the buffer of the input past_x."""
        from onnxruntime import OrtValue

        binding = self.session.io_binding()
        values = {n: OrtValue.ortvalue_from_numpy(x) for n, x in self.feeds.items()}
        for name, value in values.items():
            binding.bind_ortvalue_input(name, value)
        for name, array in self.outputs().items():
            value = values.get(past_of(name)) or OrtValue.ortvalue_from_numpy(array)
            binding.bind_ortvalue_output(name, value)
        session = self.session
        return lambda: session.run_with_iobinding(binding)

    def outputs(self) -> dict[str, np.ndarray]:
        return self.run(self.feeds)

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        results = self.session.run(None, {name: feeds[name] for name in self.feeds})
        return dict(zip(self.names, results, strict=True))


class OpenVino:
    """OpenVINO, CPU device, latency hint, one stream, f32 pinned.

    `static` first sets the model's inputs to the shapes that it will be called
    with, which a user can do when the shapes are known beforehand. `precision` is what
    it may compute in.
    """

    static = False
    precision = "f32"

    def __init__(self, path: str, feeds: Feeds, threads: int) -> None:
        import openvino

        core = openvino.Core()
        native = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if self.precision == "bf16" and "BF16" not in native:
            raise RuntimeError(f"this CPU has no bf16, only {', '.join(native)}")
        model = core.read_model(path)
        if self.static:
            model.reshape(
                {
                    port: list(feeds[name].shape)
                    for port, name in self._match(model.inputs, feeds)
                }
            )
        self.model = core.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": self.precision,
                "INFERENCE_NUM_THREADS": threads,
                "PERFORMANCE_HINT": "LATENCY",
                "NUM_STREAMS": "1",
            },
        )
        self.request = self.model.create_infer_request()
        self.feeds = {
            name: feeds[name] for _, name in self._match(self.model.inputs, feeds)
        }

    @staticmethod
    def _match(ports: Any, feeds: Feeds) -> list[tuple[Any, str]]:
        pairs = []
        for port in ports:
            names = port.get_names() & feeds.keys()
            if not names:
                raise KeyError(f"no input array for {port.get_names()}")
            pairs.append((port, names.pop()))
        return pairs

    def plain(self) -> Call:
        infer, feeds = self.request.infer, self.feeds
        return lambda: infer(feeds, share_inputs=True, share_outputs=True)

    def concurrent(self) -> Call:
        infer, feeds = self.model.create_infer_request().infer, self.feeds
        return lambda: infer(feeds, share_inputs=True, share_outputs=True)

    def bound(self) -> Call:
        import openvino

        request = self.model.create_infer_request()
        for port, name in self._match(self.model.inputs, self.feeds):
            array = np.ascontiguousarray(self.feeds[name])
            request.set_tensor(port, openvino.Tensor(array, shared_memory=True))
        infer = request.infer
        return lambda: infer(share_outputs=True)

    def outputs(self) -> dict[str, np.ndarray]:
        return self.run(self.feeds)

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        results = self.request.infer({name: feeds[name] for name in self.feeds})
        named = {}
        for position, port in enumerate(self.model.outputs):
            for name in port.get_names():
                named[name] = results[position]
        return named


class OpenVinoStatic(OpenVino):
    """OpenVINO with the input shapes fixed before the model is compiled."""

    static = True


class OpenVinoBf16(OpenVino):
    """OpenVINO as it runs by itself where the CPU multiplies bf16."""

    precision = "bf16"


class Torch:
    """torch in eager mode, on the module that the ONNX file was exported from.

    `path` is the model's name; the module's arguments are in the order of the
    ONNX inputs.
    """

    def __init__(self, path: str, feeds: Feeds, threads: int) -> None:
        import torch

        from benchmarks.torch_twins import twin

        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self.module = twin(path)
        self.args = [torch.from_numpy(np.array(array)) for array in feeds.values()]

    def plain(self) -> Call:
        module, args = self.module, self.args
        return lambda: module(*args)

    concurrent = plain
    bound = plain

    def outputs(self) -> dict[str, np.ndarray]:
        return self._named(self.module(*self.args))

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        import torch

        args = [torch.from_numpy(np.array(array)) for array in feeds.values()]
        return self._named(self.module(*args))

    @staticmethod
    def _named(result: Any) -> dict[str, np.ndarray]:
        results = result if isinstance(result, tuple | list) else (result,)
        return {str(i): value.numpy() for i, value in enumerate(results)}


class Trimtab:
    """The package that these benchmarks belong to."""

    precision: str | None = None  # as the file says

    def __init__(self, path: str, feeds: Feeds, threads: int) -> None:
        import trimtab

        self.model = trimtab.load_model(path, threads=threads, precision=self.precision)
        self.feeds = dict(feeds)

    def plain(self) -> Call:
        run, feeds = self.model.run, self.feeds
        return lambda: run(feeds)

    concurrent = plain

    def bound(self) -> Call:
        expected = self.outputs()
        outputs = {name: np.empty_like(y) for name, y in expected.items()}
        run = self.model.bind(self.feeds, outputs).run
        for _ in range(2):  # so short a time must not come from doing nothing
            for y in outputs.values():
                y.reshape(-1).view(np.uint8).fill(0xFF)
            run()
            for name, y in outputs.items():
                if not np.array_equal(y, expected[name]):
                    raise RuntimeError(f"a bound run wrote other values to {name!r}")
        return lambda: run()

    def in_place(self) -> Call:
        """Each output present_x is the array of the input past_x."""
        run, feeds = self.model.run, self.feeds
        names = (spec.name for spec in self.model.outputs)
        out = {n: feeds[past_of(n)] for n in names if past_of(n) in feeds}
        return lambda: run(feeds, out=out)

    def outputs(self) -> dict[str, np.ndarray]:
        return self.run(self.feeds)

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        return dict(self.model.run(feeds))


class TrimtabBf16(Trimtab):
    """The same in bf16; refused where the CPU does not have it."""

    precision = "bf16"


# name -> (class, module to import, distribution that carries its version)
ENGINES: dict[str, tuple[type, str, str]] = {
    "trimtab": (Trimtab, "trimtab", "trimtab"),
    "trimtab_artefact": (Trimtab, "trimtab", "trimtab"),
    "trimtab_bf16": (TrimtabBf16, "trimtab", "trimtab"),
    "onnxruntime": (OnnxRuntime, "onnxruntime", "onnxruntime"),
    "openvino": (OpenVino, "openvino", "openvino"),
    "openvino_static": (OpenVinoStatic, "openvino", "openvino"),
    "openvino_bf16": (OpenVinoBf16, "openvino", "openvino"),
    "torch": (Torch, "torch", "torch"),
}


def engine_of(label: str) -> str:
    """Engine behind a worker's label: ``onnxruntime#2`` is a second onnxruntime.

    Examples
    --------
    >>> engine_of("onnxruntime#2")
    'onnxruntime'
    """
    name = label.partition("#")[0]
    if name not in ENGINES:
        raise ValueError(f"unknown engine {label!r}; known: {', '.join(ENGINES)}")
    return name
