"""The command ``trimtab evaluate``: a model and labelled data in, figures out."""

from __future__ import annotations

import argparse
from typing import Any

from trimtab.cli.report_file import check_report, write_report_file

__all__ = ["GATE_FAILED", "add_options", "evaluate"]

#: Exit status where what was required is not proven.
GATE_FAILED = 3


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``trimtab evaluate``.

    Parameters
    ----------
    parser : argparse.ArgumentParser

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_options(parser)
    >>> arguments = parser.parse_args(["--data", "d.npz", "--require", "accuracy=0.9"])
    >>> arguments.require
    [('accuracy', 0.9)]
    """
    parser.add_argument(
        "--data",
        required=True,
        metavar="FILE.npz",
        help="samples by input, labels as y, and columns for --slices",
    )
    parser.add_argument("--labels", metavar="NAME", help="of the labels in --data")
    parser.add_argument(
        "--metrics",
        type=_words,
        default="auto",
        metavar="NAME,NAME",
        help="default: what is usual for labels and outputs",
    )
    parser.add_argument(
        "--require",
        type=_requirement,
        action="append",
        default=[],
        metavar="METRIC=VALUE",
        help="least value, or largest where lower is better, that the bound of the "
        f"interval must satisfy; exit status {GATE_FAILED} where it does not",
    )
    parser.add_argument("--baseline", metavar="MODEL", help="model to compare with")
    parser.add_argument(
        "--slices", type=_words, metavar="COLUMN,COLUMN", help="columns of --data"
    )
    parser.add_argument(
        "--groups", metavar="COLUMN", help="samples that belong together"
    )
    parser.add_argument("--cv", type=int, metavar="K", help="folds")
    parser.add_argument("--classes", type=_words, metavar="NAME,NAME", help="in order")
    parser.add_argument(
        "--output-name", metavar="NAME", help="of the output that counts"
    )
    parser.add_argument(
        "--output-kind", default="auto", help="probabilities, logits..."
    )
    parser.add_argument("--task", default="auto", help="binary, multiclass, ...")
    parser.add_argument("--batch-size", type=int, metavar="N", help="samples of a call")
    parser.add_argument(
        "--alpha", type=float, default=0.05, help="1 - confidence (default: 0.05)"
    )
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument(
        "--report", metavar="FILE", help="report to write: .html, .json or .png"
    )


def _words(text: str) -> list[str] | str:
    words = [word.strip() for word in text.split(",") if word.strip()]
    return "auto" if words == ["auto"] else words


def _requirement(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"expected METRIC=VALUE, as accuracy=0.97, got {text!r}"
        ) from error


def evaluate(
    model: Any, baseline: Any, arguments: argparse.Namespace
) -> tuple[dict[str, Any], str, bool]:
    """Evaluate a model, and write what was asked for.

    Parameters
    ----------
    model : Model
    baseline : Model or None
    arguments : argparse.Namespace
        Of `add_options`.

    Returns
    -------
    values : dict
        For JSON.
    text : str
        For people.
    is_ok : bool
        Is all proven that was required?

    Raises
    ------
    InputError
        The file does not fit the model.

    Examples
    --------
    >>> evaluate(model, None, arguments)                   # doctest: +SKIP
    ({'format': 1, 'ok': True, ...}, 'EvaluationReport of ...', True)
    """
    from trimtab.evaluate.evaluate import evaluate_model

    check_report(arguments.report)
    report = evaluate_model(
        model,
        arguments.data,
        metrics=arguments.metrics,
        require=dict(arguments.require),
        baseline=baseline,
        slices=arguments.slices,
        groups=arguments.groups,
        cv=arguments.cv,
        classes=arguments.classes,
        output=arguments.output_name,
        output_kind=arguments.output_kind,
        task=arguments.task,
        labels=arguments.labels,
        batch_size=arguments.batch_size,
        alpha=arguments.alpha,
        seed=arguments.seed,
    )
    lines = [str(report)]
    if arguments.report:
        write_report_file(report, arguments.report, dpi=110)
        lines.append(f"report  -> {arguments.report}")
    return report.to_dict(), "\n".join(lines), report.ok
