"""The command ``trimtab``: look at models, run and time them, look at the machine."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab import __version__

if TYPE_CHECKING:
    from trimtab.model import Model
    from trimtab.types import Array

__all__ = ["main"]


# ---- options and output --------------------------------------------------------


def _print(arguments: argparse.Namespace, values: Any, text: str) -> None:
    """Write for people, or as JSON."""
    sys.stdout.write((json.dumps(values, indent=1) if arguments.json else text) + "\n")


def _load(arguments: argparse.Namespace) -> Model:
    from trimtab.model import load_model

    return load_model(
        arguments.model,
        threads=arguments.threads,
        device=arguments.device,
        fallback=not arguments.no_fallback,
        verify=arguments.verify,
    )


def _read_inputs(model: Model, arguments: argparse.Namespace) -> dict[str, Array]:
    """Arrays of --input; made up by the signature where there is none."""
    import numpy as np

    from trimtab.errors import InputError
    from trimtab.signature import check_inputs, probe_inputs

    names = [spec.name for spec in model.inputs]
    if not arguments.input:
        return probe_inputs(model.inputs, size=arguments.size)
    inputs: dict[str, Array] = {}
    for i, text in enumerate(arguments.input):
        name, found, path = text.partition("=")
        if not found or name not in names:
            if i >= len(names):
                raise InputError(f"--input {text}: the model has {len(names)} inputs")
            name, path = names[i], text
        inputs[name] = np.load(path, allow_pickle=False)
    return check_inputs(model.inputs, inputs)


# ---- commands ------------------------------------------------------------------


def _info(arguments: argparse.Namespace) -> int:
    from trimtab.fallback import describe_support

    if arguments.support:
        support = describe_support(arguments.model)
        _print(arguments, support.to_dict(), repr(support))
        return 0 if support.is_complete else 1
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
    _print(arguments, values, f"{model!r}\n  {len(model.taps)} tensors (model.taps)")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    import numpy as np

    model = _load(arguments)
    results = model.run(_read_inputs(model, arguments))
    values: dict[str, Any] = {}
    lines = []
    for name, array in results.items():
        path = None
        if arguments.output:
            folder = Path(arguments.output)
            path = folder if folder.suffix == ".npy" and len(results) == 1 else None
            if path is None:
                folder.mkdir(parents=True, exist_ok=True)
                path = folder / f"{name.replace('/', '_')}.npy"
            np.save(path, array)
        values[name] = {
            "dtype": str(array.dtype),
            "shape": list(array.shape),
            "file": str(path) if path else None,
            "values": None if path else array.tolist(),
        }
        lines.append(f"{name}: {array.dtype}{list(array.shape)}")
        lines.append(f"  -> {path}" if path else np.array2string(array, threshold=100))
    _print(arguments, values, "\n".join(lines))
    return 0


def _bench(arguments: argparse.Namespace) -> int:
    model = _load(arguments)
    profile = model.profile(_read_inputs(model, arguments), repeat=arguments.repeat)
    _print(arguments, json.loads(profile.to_json()), profile.table(arguments.nodes))
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from trimtab.doctor import diagnose, operator_page, operator_rows

    if arguments.ops:
        keys = ("domain", "name", "opsets", "summary")
        rows = [dict(zip(keys, row, strict=True)) for row in operator_rows()]
        _print(arguments, rows, operator_page())
        return 0
    report = diagnose()
    _print(arguments, report.to_dict(), repr(report))
    return 0


def _version(arguments: argparse.Namespace) -> int:
    from trimtab import _core

    dnnl = _core.dnnl_info()
    values = {"trimtab": __version__, "onednn": dnnl["version"]}
    _print(arguments, values, f"trimtab {__version__} (oneDNN {dnnl['version']})")
    return 0


# ---- parsing -------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="write JSON")
    threaded = argparse.ArgumentParser(add_help=False)
    threaded.add_argument("--threads", type=int, help="threads (default: all allowed)")
    loading = argparse.ArgumentParser(add_help=False, parents=[threaded])
    loading.add_argument("model", help="ONNX file")
    loading.add_argument("--device", default="cpu", choices=["cpu", "gpu"])
    loading.add_argument(
        "--no-fallback", action="store_true", help="own operators only"
    )
    loading.add_argument(
        "--verify", action="store_true", help="check all optimisations"
    )
    running = argparse.ArgumentParser(add_help=False)
    running.add_argument(
        "--input",
        action="append",
        metavar="[NAME=]FILE.npy",
        help="an input, in graph order or by name (default: random values)",
    )
    running.add_argument(
        "--size", type=int, default=1, help="of open dims of random inputs (default: 1)"
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
    doctor = add("doctor", _doctor, "What this machine and this build can do.")
    doctor.add_argument("--ops", action="store_true", help="operators of the engine")
    # listed here, parsed there: the demo has options of its own
    commands.add_parser("demo", help="Real models on real files.", add_help=False)
    add("version", _version, "Versions of trimtab and oneDNN.")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; ``sys.argv[1:]`` by default.

    Returns
    -------
    status : int
        0, or 1 when something is wrong with the model or the input.

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
        return int(arguments.run(arguments))
    except (TrimtabError, OSError) as error:
        if arguments.json:
            failure = {"error": type(error).__name__, "message": str(error)}
            sys.stdout.write(json.dumps(failure) + "\n")
        else:
            sys.stderr.write(f"trimtab: {error}\n")
        return 1
