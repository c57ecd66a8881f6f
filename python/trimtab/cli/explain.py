"""The command ``trimtab explain``: what an answer of a model rests on."""

from __future__ import annotations

import argparse
from typing import Any

from trimtab.errors import InputError
from trimtab.npz import read_npz

__all__ = ["add_options", "explain"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``trimtab explain``.

    Parameters
    ----------
    parser : argparse.ArgumentParser

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_options(parser)
    >>> parser.parse_args(["--data", "x.npz", "--target", "3"]).target
    3
    """
    parser.add_argument(
        "--data",
        required=True,
        metavar="FILE.npz",
        help="one sample by input; for permutation_importance a table, and labels as y",
    )
    parser.add_argument("--labels", default="y", metavar="NAME", help="default: y")
    parser.add_argument("--background", metavar="FILE.npy", help="default: zeros")
    parser.add_argument("--method", default="auto", help="default: by kind of input")
    parser.add_argument("--target", type=_target, help="number or name of the class")
    parser.add_argument("--kind", help="image, audio, tokens or vector")
    parser.add_argument("--parts", type=int, metavar="N", help="parts of an image")
    parser.add_argument("--metric", metavar="NAME", help="of permutation_importance")
    parser.add_argument("--divide", metavar="NAME", help="input that is divided")
    parser.add_argument("--output-name", metavar="NAME", help="output that counts")
    parser.add_argument("--samples", type=int, default=1024, help="answers to spend")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument(
        "--report", metavar="FILE", help="report to write: .html, .json or .png"
    )


def _target(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text


def explain(model: Any, arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Explain an answer, and write what was asked for.

    Parameters
    ----------
    model : Model
    arguments : argparse.Namespace
        Of `add_options`.

    Returns
    -------
    values : dict
        For JSON.
    text : str
        For people.

    Raises
    ------
    InputError
        Files or options do not fit.

    Examples
    --------
    >>> explain(model, arguments)                          # doctest: +SKIP
    ({'method': 'occlusion', ...}, 'occlusion of ...')
    """
    from trimtab.explain import explain_model

    arrays = read_npz(arguments.data, "--data")
    labels = arrays.pop(arguments.labels, None)
    if not arrays:
        raise InputError(f"--data {arguments.data}: there is no input in it")
    background = None
    if arguments.background:
        found = read_npz(arguments.background, "--background")
        background = next(iter(found.values()), None)
    report = explain_model(
        model,
        arrays if len(arrays) > 1 else next(iter(arrays.values())),
        labels,
        method=arguments.method,
        target=arguments.target,
        background=background,
        kind=arguments.kind,
        n_parts=arguments.parts,
        input=arguments.divide,
        output=arguments.output_name,
        metric=arguments.metric,
        n_samples=arguments.samples,
        seed=arguments.seed,
    )
    if arguments.report:
        report.save(arguments.report)
    return report.to_dict(), repr(report)
