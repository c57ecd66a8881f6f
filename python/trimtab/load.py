"""Loading a model: `load_model`.

A source is read by its format (`trimtab.formats`), encoded (`trimtab.wire`) and handed
to the engine; an artefact's golden pairs are replayed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trimtab import _core
from trimtab.errors import InputError
from trimtab.formats import read_model
from trimtab.limits import Limits
from trimtab.model import Model, Options
from trimtab.source import Source

if TYPE_CHECKING:
    from trimtab.fallback import Fallback
    from trimtab.graph import Model as GraphModel

__all__ = ["VERIFY", "load_model", "load_source", "make_model"]

#: What `load_model` may be asked to check -> what it does.
VERIFY: dict[str, str] = {
    "error": "replay an artefact's golden pairs; raise GoldenMismatch",
    "warn": "replay an artefact's golden pairs; warn with GoldenWarning",
    "off": "check nothing",
    "passes": "replay golden pairs, and compare with the plan without optimisations",
}


def _has_unknown_operator(model: GraphModel) -> bool:
    keys = {(node.domain, node.op_type) for g in model.graphs() for node in g.nodes}
    return not all(_core.has_operator(*x, model.opsets.get(x[0], 1)) for x in keys)


def _fallback_for(model: GraphModel, *, use_fallback: bool) -> Fallback:
    from trimtab.fallback import Fallback, find_unsupported, report_unsupported

    report_unsupported(find_unsupported(model), use_fallback=use_fallback)
    return Fallback(model)


def make_model(graph: GraphModel, source: Source, options: Options) -> Model:
    """Check what was read and hand it over to the engine.

    Parameters
    ----------
    graph : trimtab.graph.Model
    source : Source
        Where it came from.
    options : Options

    Returns
    -------
    model : Model

    Examples
    --------
    >>> make_model(read_model("model.onnx"), source, options)  # doctest: +SKIP
    """
    from trimtab.wire import encode

    fallback = None
    if _has_unknown_operator(graph):
        fallback = _fallback_for(graph, use_fallback=options.fallback)
    data, buffers = encode(graph)
    core = _core.Model(
        data,
        buffers,
        threads=options.threads or 0,
        device=options.device,
        staging=options.staging,
        passes=options.passes,
        limits=options.limits,
        fallback=fallback,
        copy=options.copy,
    )
    return Model(core, source, options, graph)


def load_source(source: Source, options: Options) -> Model:
    """Read, check, hand over to the engine, and verify.

    Parameters
    ----------
    source : Source
    options : Options

    Returns
    -------
    model : Model

    Examples
    --------
    >>> load_source(Source.of("model.onnx"), options)      # doctest: +SKIP
    """
    graph = read_model(source.open(), options.limits, **options.reading)
    model = make_model(graph, source, options)

    def load(passes: int | None) -> Model:
        bits = options.passes if passes is None else passes
        return make_model(graph, source, replace(options, passes=bits))

    artefact = graph.artefact
    if artefact is not None and artefact.golden and options.verify != "off":
        from trimtab.golden import replay_golden

        mode = "warn" if options.verify == "warn" else "error"
        model.verification = replay_golden(model, artefact, load, mode)
    if options.verify == "passes":
        from trimtab.verify import verify_model

        verify_model(model, load)
    return model


def _pass_bits(passes: Sequence[str] | None) -> int:
    """Bits of the passes that are named; all for None."""
    if passes is None:
        return -1
    bits = 0
    for name in passes:
        if name not in _core.PASSES:
            raise InputError(
                f"passes: no pass {name!r}; there are {sorted(_core.PASSES)}"
            )
        bits |= _core.PASSES[name][0]
    return bits


def load_model(
    model: Any,
    *,
    threads: int | None = None,
    device: str = "cpu",
    precision: str | None = None,
    fallback: bool = True,
    verify: str = "error",
    limits: Limits | None = None,
    passes: Sequence[str] | None = None,
    copy: bool | None = None,
    staging: bool = False,
    signature: str | None = None,
    example_inputs: Sequence[Any] | None = None,
    dynamic_shapes: Any = None,
) -> Model:
    """Load a model.

    Parameters
    ----------
    model : path, bytes or object
        A file or folder of a supported format, the content of such a file, or a
        model of another framework; see the table in docs/formats.md.
    threads : int, optional
        Threads that one call may use; as many as the affinity mask and the
        container's quota allow by default.
    device : {"cpu", "gpu"}, default="cpu"
        Where to run; "gpu" needs a oneDNN built with a GPU runtime.
    precision : {"f32"}, optional
        Arithmetic of floating-point models.
    fallback : bool, default=True
        Run operators that the engine lacks through `onnx.reference` (slow, one
        warning names them). False: raise `UnsupportedOpError`.
    verify : {"error", "warn", "off", "passes"}, default="error"
        What to check. An artefact's golden pairs are replayed for at most 0.1 s (one
        in any case): a difference is an error, or a warning. "passes" compares with
        the plan without optimisations on random inputs too, and names the pass that
        differs.
    limits : Limits, optional
        Bounds on what the file may ask for.
    passes : sequence of str, optional
        Optimisations to apply, for finding one that is wrong; all by default.
    copy : bool, optional
        False: refuse inputs that cannot be read in place. By default they are
        converted where no information is lost but rounding, and counted.
    staging : bool, default=False
        Debug: reach memory through map and unmap, as on a GPU.
    signature : str, optional
        SavedModel: the signature to load.
    example_inputs : sequence of array-like, optional
        torch module: inputs to trace it with, in the order of its arguments.
    dynamic_shapes : object, optional
        torch module: dims that may vary, as `torch.export.export` takes them; by
        default dim 0 of every input.

    Returns
    -------
    model : Model

    Raises
    ------
    ModelFormatError
        The file is no valid model, or asks for more than `limits`.
    UnsupportedOpError
        Nodes that the engine cannot run; all are listed.
    DeviceError
        The device is not there.
    GoldenMismatch
        An artefact's golden outputs are not met.

    Examples
    --------
    >>> import trimtab
    >>> model = trimtab.load_model("mnist.onnx", threads=1)  # doctest: +SKIP
    """
    if precision not in (None, "f32"):
        raise InputError(f"precision: only 'f32' is supported, got {precision!r}")
    if threads is not None and threads < 1:
        raise InputError(f"threads must be at least 1, got {threads}")
    if not isinstance(verify, str) or verify not in VERIFY:
        raise InputError(f"verify: expected one of {list(VERIFY)}, got {verify!r}")
    options = Options(
        threads=threads,
        device=device,
        fallback=fallback,
        limits=limits or Limits(),
        passes=_pass_bits(passes),
        copy=copy is not False,
        staging=staging,
        verify=verify,
        reading={
            name: value
            for name, value in (
                ("signature", signature),
                ("example_inputs", example_inputs),
                ("dynamic_shapes", dynamic_shapes),
            )
            if value is not None
        },
    )
    return load_source(Source.of(model), options)
