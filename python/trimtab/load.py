"""Loading a model: `load_model`.

A source is read by its format (`trimtab.formats`), encoded (`trimtab.wire`) and handed
to the engine; an artefact's golden pairs are replayed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from trimtab import _core
from trimtab.errors import InputError, TrimtabError
from trimtab.formats import read_model
from trimtab.limits import Limits
from trimtab.model import Model
from trimtab.options import Options
from trimtab.precision import check_precision, in_precision, verify_precision
from trimtab.source import Source
from trimtab.texts import has_strings

if TYPE_CHECKING:
    from trimtab.cache import CacheFile
    from trimtab.fallback import Fallback
    from trimtab.graph import Model as GraphModel

__all__ = ["VERIFY", "load_model", "load_source", "make_model"]

Encoded: TypeAlias = "tuple[bytes, list[Any]]"

#: What `load_model` may be asked to check -> what it does.
VERIFY: dict[str, str] = {
    "error": "replay an artefact's golden pairs; raise GoldenMismatch",
    "warn": "replay an artefact's golden pairs; warn with GoldenWarning",
    "off": "check nothing",
    "passes": "replay golden pairs, and compare with the plan without optimisations",
}


def _may_need_fallback(model: GraphModel) -> bool:
    keys = {(node.domain, node.op_type) for g in model.graphs() for node in g.nodes}
    if not all(_core.has_operator(*x, model.opsets.get(x[0], 1)) for x in keys):
        return True
    return has_strings(model)


def _fallback_for(model: GraphModel, *, use_fallback: bool) -> Fallback | None:
    from trimtab.fallback import Fallback, find_unsupported, report_unsupported

    nodes = find_unsupported(model)
    if not nodes:
        return Fallback(model) if use_fallback else None
    report_unsupported(nodes, use_fallback=use_fallback)
    return Fallback(model)


def make_model(
    graph: GraphModel,
    source: Source,
    options: Options,
    encoded: Encoded | None = None,
    cache: CacheFile | None = None,
) -> Model:
    """Check what was read and hand it over to the engine.

    Parameters
    ----------
    graph : trimtab.graph.Model
    source : Source
        Where it came from.
    options : Options
    encoded : (bytes, list), optional
        What `trimtab.wire.encode` gave for it in the precision of the options.
    cache : CacheFile, optional
        Where packed weights may lie.

    Returns
    -------
    model : Model

    Examples
    --------
    >>> make_model(read_model("model.onnx"), source, options)  # doctest: +SKIP
    """
    computed = in_precision(graph, options.precision)
    fallback = None
    if _may_need_fallback(graph):
        fallback = _fallback_for(computed, use_fallback=options.fallback)
    if encoded is None:
        from trimtab.wire import encode

        encoded = encode(computed)
    core = _core_of(encoded, options, fallback)
    if cache is not None:
        cache.lend_to(core)
    return Model(core, source, options, graph, graph.artefact)


def _core_of(encoded: Encoded, options: Options, fallback: Any) -> _core.Model:
    data, buffers = encoded
    return _core.Model(
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
    check_precision(options.precision, options.device)
    given = source.open()
    if options.cache and source.is_artefact and options.verify != "passes":
        model = _from_cache(source, options)
        if model is not None:
            return model
    graph = read_model(given, options.limits, **options.reading)
    return _verified(graph, source, options)


def _verified(graph: GraphModel, source: Source, options: Options) -> Model:
    """What `verify` asks for; the cache of an artefact is made on the way."""
    from trimtab.wire import encode

    encoded = encode(in_precision(graph, options.precision))
    cache = _cache_to_write(graph, source, options, encoded)
    model = make_model(graph, source, options, encoded, cache)

    def load(passes: int | None) -> Model:
        if passes is None:
            return make_model(graph, source, options, encoded, cache)
        return make_model(graph, source, options.__replace__(passes=passes), encoded)

    artefact, replay = graph.artefact, None
    if artefact is not None and artefact.golden and options.verify != "off":
        from trimtab.golden import replay_golden

        mode = "warn" if options.verify == "warn" else "error"
        replay = replay_golden(model, artefact, load, mode)
        if replay is not None:
            model.verification = replay.verification
    if options.precision != "f32" and replay is None and options.verify != "off":
        exact = options.__replace__(precision="f32")
        verify_precision(
            model, lambda: make_model(graph, source, exact), options.verify
        )
    if cache is not None:
        from trimtab.remember import write_cache

        write_cache(cache, model, replay, encoded[0])
    if options.verify == "passes":
        from trimtab.verify import verify_model

        verify_model(model, load)
    return model


def _cache_to_write(
    graph: GraphModel, source: Source, options: Options, encoded: Encoded
) -> CacheFile | None:
    """The cache of an artefact that is loaded as usual, or None."""
    artefact = graph.artefact
    if not options.cache or artefact is None or artefact.file.file is None:
        return None
    is_checked = artefact.golden or options.precision != "f32"
    if is_checked and options.verify == "off":
        return None  # it would be taken for verified
    if len(encoded[1]) > 1 or _may_need_fallback(graph):
        return None
    from trimtab.cache import cache_for

    return cache_for(source.path or "", artefact.file.file, options)


def _from_cache(source: Source, options: Options) -> Model | None:
    """The model by its cache; None where there is none of use."""
    import os

    from trimtab.cache import cache_for
    from trimtab.weight_file import WeightFile

    path = source.path or ""
    file = WeightFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    cache = cache_for(path, file, options)
    cached = cache.read() if cache is not None else None
    if cache is None or cached is None:
        return None
    try:
        core = _core_of((cached.wire, [file.lend()]), options, None)
        cache.lend_to(core)
        model = Model(core, source, options, None, file)
        if options.verify != "off" and cached.verified is not None:
            from trimtab.remember import recall

            model.verification = recall(model, file, cached)
            if model.verification is None:
                return None
    except TrimtabError:
        return None  # whatever it is: the artefact itself decides
    finally:
        cache.close()
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
    cache: bool = True,
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
    precision : {"f32", "bf16"}, optional
        What layers compute in; float32 by default. "bf16" rounds the inputs and
        weights of convolutions and matrix products to bfloat16 and sums in float32:
        about twice as fast where the processor multiplies bfloat16. Outputs are
        compared with those in float32 on golden pairs, or else on random inputs.
    fallback : bool, default=True
        Run operators that the engine lacks through `onnx.reference` (slow, one
        warning names them). False: raise `UnsupportedOpError`.
    verify : {"error", "warn", "off", "passes"}, default="error"
        What to check. An artefact's golden pairs are replayed for at most 0.1 s (one
        in any case): a difference is an error, or a warning. "passes" compares with
        the plan without optimisations on random inputs too, and names the pass that
        differs.
    cache : bool, default=True
        Artefacts: keep what the next process need not do again in a file beside it,
        or in the user's cache folder where that cannot be written to.
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
        The device is not there, or it does not multiply bfloat16.
    GoldenMismatch
        An artefact's golden outputs are not met, or bfloat16 is not close enough.

    Examples
    --------
    >>> import trimtab
    >>> model = trimtab.load_model("mnist.onnx", threads=1)  # doctest: +SKIP
    """
    check_precision(precision or "f32", device)
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
        cache=cache,
        reading={
            name: value
            for name, value in (
                ("signature", signature),
                ("example_inputs", example_inputs),
                ("dynamic_shapes", dynamic_shapes),
            )
            if value is not None
        },
        precision=precision or "f32",
    )
    return load_source(Source.of(model), options)
