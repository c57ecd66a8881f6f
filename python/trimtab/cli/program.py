"""The command ``trimtab``: look at models, run and time them, look at the machine."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab import __version__
from trimtab.cli.inputs import read_inputs

if TYPE_CHECKING:
    from trimtab.model import Model
    from trimtab.types import Array

__all__ = ["main"]


# ---- options and output --------------------------------------------------------

# Elements of an output that people see; --output or --json gives all.
_N_SHOWN = 8


def _print(
    arguments: argparse.Namespace, values: Any, text: str, status: int = 0
) -> int:
    """Write for people, or as JSON; gives the status."""
    sys.stdout.write((json.dumps(values, indent=1) if arguments.json else text) + "\n")
    return status


def _load(arguments: argparse.Namespace, path: str | None = None) -> Model:
    from trimtab.load import load_model

    return load_model(
        path or arguments.model,
        threads=arguments.threads,
        device=arguments.device,
        fallback=not arguments.no_fallback,
        verify=arguments.verify,
    )


def _shapes(arrays: dict[str, Array]) -> str:
    return ", ".join(
        f"{name}: {a.dtype}[{','.join(map(str, a.shape))}]"
        for name, a in arrays.items()
    )


def _inputs_line(inputs: dict[str, Array], arguments: argparse.Namespace) -> str:
    made_up = "" if arguments.input else " (random values)"
    return f"inputs  {_shapes(inputs)}{made_up}"


def _plain(value: Any) -> Any:
    """Numbers and lists as JSON has them; NaN and infinities as texts."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, complex):
        return [_plain(value.real), _plain(value.imag)]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _describe(name: str, array: Array) -> list[str]:
    """What a person wants to know of an output."""
    import numpy as np

    lines = [_shapes({name: array})]
    if array.size == 0 or array.dtype.kind not in "biuf":
        return lines
    if array.size <= _N_SHOWN:
        return [*lines, f"  {np.array2string(array, threshold=_N_SHOWN)}"]
    rows = array.reshape(-1, array.shape[-1]).astype(np.float64)
    lines.append(
        f"  from {rows.min():.6g} to {rows.max():.6g}, mean {rows.mean():.6g}"
        + ("" if np.isfinite(rows).all() else "; not all are finite")
    )
    if len(rows) == 1 and np.isfinite(rows).all():
        best = np.argsort(-rows[0], kind="stable")[:5]
        largest = ", ".join(f"[{i}] {rows[0, i]:.6g}" for i in best)
        lines.append(f"  largest: {largest}")
    return lines


# ---- commands ------------------------------------------------------------------


def _support(arguments: argparse.Namespace) -> int:
    """The table; 1 when `load_model` would refuse the model."""
    from trimtab.support import describe_support

    support = describe_support(arguments.model)
    is_taken = support.is_complete if arguments.no_fallback else support.is_loadable
    return _print(
        arguments, support.to_dict(), repr(support), status=0 if is_taken else 1
    )


def _info(arguments: argparse.Namespace) -> int:
    if arguments.support:
        return _support(arguments)
    from trimtab.cli.artefact import describe, find_artefact
    from trimtab.report import bytes_text

    model = _load(arguments)
    values = {
        "name": model.name,
        "inputs": [
            {"name": s.name, "dtype": s.dtype, "shape": s.shape} for s in model.inputs
        ],
        "outputs": [
            {"name": s.name, "dtype": s.dtype, "shape": s.shape} for s in model.outputs
        ],
        "n_tensors": len(model.taps),
        "stats": model.stats,
    }
    weights = bytes_text(model.stats["weights_bytes"])
    more = f"  {weights} of weights, {len(model.taps)} tensors in between (model.taps)"
    text = f"{model!r}\n{more}"
    artefact = find_artefact(arguments.model)
    if artefact is not None:
        values["artefact"], stored = describe(artefact)
        text += f"\n{stored}"
    return _print(arguments, values, text)


def _convert(arguments: argparse.Namespace) -> int:
    from trimtab.cli.artefact import convert

    return _print(arguments, *convert(_load(arguments), arguments))


def _monitor(arguments: argparse.Namespace) -> int:
    from trimtab.cli.monitor import monitor

    return _print(arguments, *monitor(_load(arguments), arguments))


def _optimize(arguments: argparse.Namespace) -> int:
    from trimtab.cli.optimize import optimize

    return _print(arguments, *optimize(_load(arguments), arguments))


def _evaluate(arguments: argparse.Namespace) -> int:
    from trimtab.cli.evaluate import GATE_FAILED, evaluate

    model = _load(arguments)
    baseline = _load(arguments, arguments.baseline) if arguments.baseline else None
    values, text, is_ok = evaluate(model, baseline, arguments)
    _print(arguments, values, text)
    return 0 if is_ok else GATE_FAILED


def _explain(arguments: argparse.Namespace) -> int:
    from trimtab.cli.explain import explain

    return _print(arguments, *explain(_load(arguments), arguments))


def _deploy(arguments: argparse.Namespace) -> int:
    from trimtab.cli.deploy import deploy

    return _print(arguments, *deploy(_load(arguments), arguments))


def _maintain(arguments: argparse.Namespace) -> int:
    from trimtab.cli.maintain import maintain

    return _print(arguments, *maintain(arguments))


def _update(arguments: argparse.Namespace) -> int:
    from trimtab.cli.update import update

    return _print(arguments, *update(lambda: _load(arguments), arguments))


def _registry(arguments: argparse.Namespace) -> int:
    from trimtab.cli.registry import registry

    return _print(arguments, *registry(arguments))


def _promote(arguments: argparse.Namespace) -> int:
    from trimtab.cli.rollout import promote

    return _print(arguments, *promote(arguments))


def _rollback(arguments: argparse.Namespace) -> int:
    from trimtab.cli.rollout import rollback

    return _print(arguments, *rollback(arguments))


def _verify(arguments: argparse.Namespace) -> int:
    from trimtab.cli.artefact import verify

    return _print(arguments, *verify(arguments))


def _save(array: Array, name: str, target: str, *, is_only: bool) -> Path:
    """Write an output: to the .npy file, or into the folder."""
    import numpy as np

    path = Path(target)
    if path.suffix != ".npy" or not is_only:
        path.mkdir(parents=True, exist_ok=True)
        path = path / f"{name.replace('/', '_')}.npy"
    np.save(path, array)
    return path


def _run(arguments: argparse.Namespace) -> int:
    model = _load(arguments)
    inputs = read_inputs(model, arguments)
    results = model.run(inputs)
    values: dict[str, Any] = {}
    lines = [_inputs_line(inputs, arguments)]
    for name, array in results.items():
        path = None
        if arguments.output:
            path = _save(array, name, arguments.output, is_only=len(results) == 1)
        values[name] = {
            "dtype": str(array.dtype),
            "shape": list(array.shape),
            "file": str(path) if path else None,
            "values": None if path else _plain(array.tolist()),
        }
        lines += _describe(name, array)
        lines += [f"  -> {path}"] if path else []
    return _print(arguments, values, "\n".join(lines))


def _bench(arguments: argparse.Namespace) -> int:
    model = _load(arguments)
    inputs = read_inputs(model, arguments)
    profile = model.profile(inputs, repeat=arguments.repeat)
    values = json.loads(profile.to_json())
    values["inputs"] = {name: list(array.shape) for name, array in inputs.items()}
    text = f"{_inputs_line(inputs, arguments)}\n{profile.table(arguments.nodes)}"
    return _print(arguments, values, text)


def _doctor(arguments: argparse.Namespace) -> int:
    from trimtab.doctor import diagnose, operator_page, operator_rows

    if arguments.ops:
        keys = ("domain", "name", "opsets", "runs", "summary")
        rows = [dict(zip(keys, row, strict=True)) for row in operator_rows()]
        _print(arguments, rows, operator_page())
        return 0
    report = diagnose()
    return _print(arguments, report.to_dict(), repr(report))


def _version(arguments: argparse.Namespace) -> int:
    from trimtab import _core

    dnnl = _core.dnnl_info()
    values = {"trimtab": __version__, "onednn": dnnl["version"]}
    return _print(
        arguments, values, f"trimtab {__version__} (oneDNN {dnnl['version']})"
    )


# ---- parsing -------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    from trimtab.cli import (
        artefact,
        deploy,
        evaluate,
        explain,
        maintain,
        monitor,
        optimize,
        registry,
        rollout,
        update,
    )

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="write JSON")
    threaded = argparse.ArgumentParser(add_help=False)
    threaded.add_argument("--threads", type=int, help="threads (default: all allowed)")
    loading = argparse.ArgumentParser(add_help=False, parents=[threaded])
    loading.add_argument("model", help="file or folder of a model")
    loading.add_argument("--device", default="cpu", choices=["cpu", "gpu"])
    loading.add_argument(
        "--no-fallback", action="store_true", help="own operators only"
    )
    loading.add_argument(
        "--verify",
        default="error",
        choices=["error", "warn", "off", "passes"],
        help="golden pairs: a difference is an error (default), a warning, or not "
        "looked for; passes: check all optimisations too",
    )
    running = argparse.ArgumentParser(add_help=False)
    running.add_argument(
        "--input",
        action="append",
        metavar="[NAME=]FILE.npy",
        help="an input, in graph order or by name (default: random values)",
    )
    running.add_argument(
        "--size",
        type=int,
        help="of open dims of random inputs (default: the first that the model takes)",
    )

    parser = argparse.ArgumentParser(
        prog="trimtab", description="Run trained models at the speed of the machine."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Any, text: str, *parents: Any) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name, help=text, description=text, parents=[common, *parents]
        )
        command.set_defaults(run=run)
        return command

    info = add("info", _info, "Inputs and outputs of a model.", loading)
    info.add_argument("--support", action="store_true", help="operators it needs")
    run = add("run", _run, "Run a model once.", loading, running)
    run.add_argument("--output", help="folder for the outputs, or a .npy file")
    bench = add("bench", _bench, "Time a model and its steps.", loading, running)
    bench.add_argument(
        "--repeat", type=int, default=50, help="timed calls (default: 50)"
    )
    bench.add_argument("--nodes", type=int, default=20, help="rows (default: 20)")
    for command, text, run_it, add_options in (
        (
            "convert",
            "Save a model as one safetensors file.",
            _convert,
            artefact.add_options,
        ),
        (
            "optimize",
            "Make a model faster, with proof.",
            _optimize,
            optimize.add_options,
        ),
        (
            "monitor",
            "Has what comes to a model changed?",
            _monitor,
            monitor.add_options,
        ),
        (
            "evaluate",
            "How good a model is, on labelled data.",
            _evaluate,
            evaluate.add_options,
        ),
        (
            "explain",
            "What an answer of a model rests on.",
            _explain,
            explain.add_options,
        ),
        (
            "update",
            "Learn from new labelled rows, with proof.",
            _update,
            update.add_options,
        ),
        (
            "deploy",
            "Put a model into a registry, and into service.",
            _deploy,
            deploy.add_options,
        ),
    ):
        add_options(add(command, run_it, text, loading))
    for command, text, run_it, add_options in (
        (
            "registry",
            "Models in a folder: versions, aliases, history.",
            _registry,
            registry.add_options,
        ),
        (
            "promote",
            "Let a version serve, once it is shown to be fit.",
            _promote,
            rollout.add_promote_options,
        ),
        (
            "rollback",
            "Let a version serve that served before.",
            _rollback,
            rollout.add_rollback_options,
        ),
        (
            "maintain",
            "Keep a model of a registry well.",
            _maintain,
            maintain.add_options,
        ),
    ):
        add_options(add(command, run_it, text))
    add("verify", _verify, "Check a model: digests, golden pairs, passes.", loading)
    doctor = add("doctor", _doctor, "What this machine and this build can do.")
    doctor.add_argument("--ops", action="store_true", help="operators of the engine")
    # listed here, parsed there: the demo has options of its own
    commands.add_parser("demo", help="Real models on real files.", add_help=False)
    add("version", _version, "Versions of trimtab and oneDNN.")
    return parser


def _show_warning(message: Warning | str, *place: Any, **more: Any) -> None:
    """One line; where in our code it was raised is nothing to a user."""
    sys.stderr.write(f"trimtab: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; ``sys.argv[1:]`` by default.

    Returns
    -------
    status : int
        0; 1 when something is wrong with the model or the input; 3 when what was
        required is not proven; 4 when ``monitor`` finds drift.

    Examples
    --------
    >>> main(["version", "--json"])                        # doctest: +SKIP
    0
    """
    from trimtab.errors import TrimtabError

    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["demo"]:
        from trimtab import demo

        return demo.main(words[1:])
    arguments = _parser().parse_args(words)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            status = int(arguments.run(arguments))
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader of a pipe has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return 0
    except KeyboardInterrupt:
        return 130
    except (TrimtabError, OSError) as error:
        if arguments.json:
            failure = {"error": type(error).__name__, "message": str(error)}
            sys.stdout.write(json.dumps(failure) + "\n")
        else:
            sys.stderr.write(f"trimtab: {error}\n")
        return 1
