"""Running a model: `Model`, which `trimtab.load.load_model` makes."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trimtab import _core
from trimtab.errors import InputError
from trimtab.kept import Kept
from trimtab.options import Options
from trimtab.signature import TensorSpec
from trimtab.source import Source
from trimtab.types import Array

if TYPE_CHECKING:
    from trimtab.formats.native import Artefact
    from trimtab.graph import Model as GraphModel
    from trimtab.memory import MemoryReport
    from trimtab.profile import Profile
    from trimtab.stream import Stream
    from trimtab.taps import Taps
    from trimtab.weight_file import WeightFile

__all__ = ["Model"]


class Model(Kept):
    """A loaded model; made by `load_model`.

    Calling it runs it: ``model(x)``, ``model(a, b)`` in graph order, or by the
    inputs' names. Any number of threads may call it at once. Inputs of the right
    dtype with non-negative strides are read in place; what had to be copied is
    counted in `stats`.

    Examples
    --------
    >>> import trimtab
    >>> model = trimtab.load_model("mnist.onnx")           # doctest: +SKIP
    >>> model(x).argmax()                                  # doctest: +SKIP
    7
    """

    def __init__(
        self,
        core: _core.Model,
        source: Source,
        options: Options,
        graph: GraphModel | None = None,
        artefact: Artefact | WeightFile | None = None,
    ) -> None:
        self._core: _core.Model | None = core
        self._lock = threading.Lock()
        self._programs: dict[tuple[str, ...], _core.Program] = {}
        self._program: Any = core.program()
        self._inputs = tuple(TensorSpec(*value) for value in core.inputs)
        self._outputs = tuple(TensorSpec(*value) for value in core.outputs)
        self._names = tuple(spec.name for spec in self._inputs)
        super().__init__(source, options, graph, artefact)

    # ---- running -----------------------------------------------------------

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """Run the model.

        Parameters
        ----------
        *inputs : array-like
            Inputs in graph order; NumPy arrays, buffers, DLPack tensors, lists.
        **named : array-like
            Inputs by name.

        Returns
        -------
        output : ndarray or tuple of ndarray
            The output, or a tuple where the model has several. A sequence is a list
            of arrays, here and as an input; an optional may be None.

        Raises
        ------
        InputError
            An input is missing or does not fit the signature.
        """
        return self._program(*inputs, **named)

    def run(
        self,
        inputs: Any,
        *,
        outputs: Sequence[str] | None = None,
        out: Mapping[str, Array] | None = None,
        copy: bool | None = None,
    ) -> dict[str, Array]:
        """Run the model by names.

        Parameters
        ----------
        inputs : mapping of str to array-like, array, or tuple of arrays
            Inputs by name; an array for the only input; a tuple in graph order.
        outputs : sequence of str, optional
            Outputs (or any tensors of `taps`) to compute; all outputs by default.
        out : mapping of str to ndarray, optional
            Arrays that take outputs. Written in place when row-major; through a
            temporary (counted in `stats`) when strided. A cache with room for more
            tokens may be the very array that is its input: it is appended to in place.
        copy : bool, optional
            False: refuse inputs that cannot be read in place. True: copy them.
            By default what `load_model` was told.

        Returns
        -------
        results : dict of str to ndarray

        Examples
        --------
        >>> model.run({"x": x}, outputs=["probs"])         # doctest: +SKIP
        {'probs': array([[...]], dtype=float32)}
        """
        program = self._program_for(None if outputs is None else tuple(outputs))
        names = program.output_names
        results = program.run(
            *self._arguments(inputs), out=self._outs(names, out), copy=copy
        )
        return dict(zip(names, results))  # noqa: B905 (as many as there are)

    def bind(self, inputs: Any, outputs: Mapping[str, Array] | None = None) -> Any:
        """Fix the arrays of a call, so that repeating it costs next to nothing.

        Parameters
        ----------
        inputs : mapping of str to ndarray, array, or tuple of arrays
            Arrays that each run reads; they cannot be converted or copied here.
        outputs : mapping of str to ndarray, optional
            Arrays that each run writes; new ones for those not named.

        Returns
        -------
        binding : Binding
            ``binding.run()`` runs and returns the outputs' arrays, which it
            overwrites each time. One thread at a time.

        Examples
        --------
        >>> binding = model.bind({"x": x}, {"y": y})       # doctest: +SKIP
        >>> x[:] = 1; binding.run() is y                   # doctest: +SKIP
        True
        """
        program = self._program_for(None)
        outs = self._outs(program.output_names, outputs)
        return program.bind(self._arguments(inputs), outs)

    def _arguments(self, inputs: Any) -> list[Any]:
        """Inputs in graph order."""
        if isinstance(inputs, tuple):
            return list(inputs)
        if not isinstance(inputs, Mapping):
            return [inputs]
        names = self._names
        if len(inputs) == len(names):
            try:
                return [inputs[name] for name in names]
            except KeyError:
                pass
        for name in inputs:
            if name not in names:
                raise InputError(
                    f"the model has no input {name!r}; it has {list(names)}"
                )
        missing = next(spec for spec in self._inputs if spec.name not in inputs)
        raise InputError(f"input {missing.name!r} is missing: expected {missing}")

    @staticmethod
    def _outs(
        names: Sequence[str], out: Mapping[str, Array] | None
    ) -> list[Array | None] | None:
        """Arrays for the outputs, in the order of `names`."""
        if out is None:
            return None
        for name in out:
            if name not in names:
                raise InputError(f"out: there is no output {name!r}; it has {names}")
        return [out.get(name) for name in names]

    def _program_for(self, names: tuple[str, ...] | None) -> _core.Program:
        core = self._open_core()
        if names is None:
            program: _core.Program = self._program
            return program
        with self._lock:
            if names not in self._programs:
                self._programs[names] = core.program(names)
            return self._programs[names]

    def stream(
        self,
        states: Mapping[str, str] | None = None,
        *,
        initial: Mapping[str, Any] | None = None,
    ) -> Stream:
        """Run the model step by step, with what it keeps between the steps.

        Parameters
        ----------
        states : mapping of str to str, optional
            Output that brings the next value, by the input that takes it; by default
            what the model's file says of itself (TFLite).
        initial : mapping of str to array-like, optional
            First values by input; what the file says, or zeros, by default.

        Returns
        -------
        stream : Stream
            ``stream(x)`` takes the other inputs and gives the other outputs.

        Examples
        --------
        >>> stream = model.stream({"state": "stateN"})     # doctest: +SKIP
        >>> [stream(frame, 16000) for frame in frames]     # doctest: +SKIP
        """
        from trimtab.stream import Stream

        return Stream(self, states, initial=initial)

    # ---- looking -----------------------------------------------------------

    @property
    def name(self) -> str:
        """File name, or a word for where it came from."""
        return self._source.name

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs in graph order."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs in graph order."""
        return self._outputs

    @property
    def threads(self) -> int:
        """Threads that a call may use."""
        threads: int = self._options.threads or _core.cpu_info()["n_threads"]
        return threads

    @property
    def taps(self) -> Taps:
        """Tensors in the middle of the model, by name."""
        from trimtab.taps import Taps

        return Taps(self._open_core().values, self._program_for, self._arguments)

    @property
    def stats(self) -> dict[str, int]:
        """Counters: runs, compiled plans, copies of inputs and outputs, bytes."""
        return self._open_core().stats()

    def profile(self, inputs: Any, *, repeat: int = 20) -> Profile:
        """Time the model and each of its steps.

        Parameters
        ----------
        inputs : array, tuple of arrays, or mapping of str to array
            As in `run`.
        repeat : int, default=20
            Timed calls; the median is reported.

        Returns
        -------
        profile : Profile
            With `latency_ms`, `percent_of_peak` and `nodes`.
        """
        from trimtab.profile import profile_program

        arguments = self._arguments(inputs)
        program = self._program_for(None)
        return profile_program(
            program,
            arguments,
            repeat=repeat,
            threads=self.threads,
            fallback=self.core.fallback,
        )

    def memory_report(self, inputs: Any = None) -> MemoryReport:
        """Say what the model holds in memory.

        Parameters
        ----------
        inputs : array, tuple of arrays, or mapping of str to array, optional
            Adds what one call for inputs of these shapes takes.

        Returns
        -------
        report : MemoryReport
        """
        from trimtab.memory import MemoryReport

        stats = self.stats
        plan: dict[str, int] = {}
        if inputs is not None:
            plan = self._program_for(None).memory(*self._arguments(inputs))
            stats = self.stats
        return MemoryReport(
            **{key: stats[key] for key in MemoryReport.__annotations__ if key in stats},
            arena_bytes=plan.get("arena_bytes", 0),
            tensors_bytes=plan.get("tensors_bytes", 0),
            scratchpad_bytes=plan.get("scratchpad_bytes", 0),
        )

    def count_clipping(self, on: bool = True) -> None:
        """Count how often quantised tensors reach the ends of their range.

        From now on one call of 64 looks at each tensor that a `QuantizeLinear` makes
        and that is stored as 8 bits; off, nothing is done. Bindings made before
        stay as they are.

        Parameters
        ----------
        on : bool, default=True
            Switched off, what was counted stays.
        """
        self._open_core().count_clipping(on)

    def clipping(self) -> dict[str, tuple[int, int]]:
        """Values at the ends of the quantised range, by the tensor's name.

        A share that grows tells that inputs have left the range a model was calibrated
        for. An end does not count where values end by themselves: at the zero point,
        and where a `Clip`, `Relu`, `Sigmoid`, `Softmax` or `Tanh` before stops.

        Returns
        -------
        counts : dict of str to (int, int)
            Of each tensor that was looked at since `count_clipping`, the values at an
            end and all values. The name is that of the tensor before `QuantizeLinear`.
        """
        return self._open_core().clipping()

    def dump(self, inputs: Any) -> str:
        """Graph after all passes for inputs of these shapes, as JSON text.

        Parameters
        ----------
        inputs : array, tuple of arrays, or mapping of str to array
            As in `run`.

        Returns
        -------
        text : str
        """
        return self._program_for(None).dump(*self._arguments(inputs))

    def __repr__(self) -> str:
        """Name, signature and threads."""
        if self._core is None:
            return f"Model({self.name!r}, closed)"
        from trimtab.report import count_text

        threads = count_text(self.threads, "thread")
        lines = [f"Model({self.name!r}, {threads}, {self._options.device})"]
        lines += [f"  in   {spec}" for spec in self._inputs]
        lines += [f"  out  {spec}" for spec in self._outputs]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        import html

        from trimtab.report import html_table

        rows = [
            [kind, spec.name, _dtype_text(spec), spec.dims_text]
            for kind, specs in (("input", self._inputs), ("output", self._outputs))
            for spec in specs
        ]
        return f"<p><b>{html.escape(self.name)}</b></p>" + html_table(
            ["", "name", "dtype", "shape"], rows
        )

    # ---- living ------------------------------------------------------------

    def trim(self) -> None:
        """Give back working memory that no call uses now; compiled plans stay."""
        core = self._open_core()
        for program in [self._program, *self._programs.values()]:
            program.trim()
        core.trim()

    def close(self) -> None:
        """Let go of the engine's memory; calls from now on raise `InputError`."""
        self._core = None
        self._programs = {}
        self._program = _closed

    @property
    def core(self) -> _core.Model:
        """The engine's half.

        Raises
        ------
        InputError
            The model is closed.
        """
        return self._open_core()

    def _open_core(self) -> _core.Model:
        if self._core is None:
            _closed()
            raise AssertionError
        return self._core

    def __enter__(self) -> Model:
        """Use the model in a ``with`` block, which closes it."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the model."""
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by reference: the path with its SHA-256, or the bytes.

        Objects of other frameworks and folders travel as artefacts.
        """
        from trimtab.load import load_source

        if self._graph is None:
            made = (self._source.frozen(), self._options)
        else:
            options = self._options.__replace__(reading={})
            made = (Source(None, b"".join(self._pieces(pipeline=None))), options)
        return (
            load_source,
            made,
            {
                "_golden": self._golden,
                "_steps": self._steps,
                "_has_steps": self._has_steps,
            },
        )


def _dtype_text(spec: TensorSpec) -> str:
    """Element type, with the kind of what holds the tensors."""
    dtype = spec.dtype or "any"
    return dtype if spec.kind == "tensor" else f"{spec.kind} of {dtype}"


def _closed(*inputs: Any, **named: Any) -> Any:
    raise InputError("the model is closed: load it again")
