"""How good are two readers of digits, where do they fail, and which one is better?

    pip install 'trimtab[evaluate,plot,sklearn]'
    python examples/evaluate/digits.py
    python examples/evaluate/digits.py --require accuracy=0.97 --out report.html

A small net and a logistic regression learn from half of scikit-learn's 1,797 scans of
digits and run in trimtab; the other half, which they have not seen, judges them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

import trimtab


def read_digits(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pixels (n, 64) in [0, 1] and digits, to learn from and to judge by."""
    pixels, digits = load_digits(return_X_y=True)
    pixels = (pixels / 16).astype(np.float32)
    order = np.random.default_rng(seed).permutation(len(digits))
    learn, judge = np.split(order, [len(order) // 2])
    return pixels[learn], digits[learn], pixels[judge], digits[judge]


def fit_net(pixels: np.ndarray, digits: np.ndarray) -> MLPClassifier:
    """Learn 64 hidden units."""
    return MLPClassifier(64, max_iter=400, random_state=0).fit(pixels, digits)


def fit_linear(pixels: np.ndarray, digits: np.ndarray) -> LogisticRegression:
    """Learn a weight for each pixel and digit."""
    return LogisticRegression(max_iter=400).fit(pixels, digits)


def requirement(text: str) -> tuple[str, float]:
    """Take METRIC=VALUE."""
    name, value = text.split("=")
    return name, float(value)


def main(arguments: Sequence[str] | None = None) -> trimtab.EvaluationReport:
    """Evaluate, print the report, and say by the exit status whether it will do."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--require", type=requirement, action="append", default=[])
    parser.add_argument("--out", type=Path, help="report to write: .html, .json, .png")
    args = parser.parse_args(arguments)
    pixels, digits, unseen, truth = read_digits()
    net, linear = fit_net(pixels, digits), fit_linear(pixels, digits)
    ink = unseen.mean(axis=1)
    report = trimtab.evaluate_model(
        trimtab.load_model(net),
        (unseen, truth),
        baseline=trimtab.load_model(linear),
        slices={"digit": truth, "faint": ink < np.quantile(ink, 0.2)},
        require=dict(args.require),
    )
    print(report)
    folds = trimtab.evaluate_model(
        "net",
        (np.concatenate([pixels, unseen]), np.concatenate([digits, truth])),
        fit=fit_net,
        baseline=fit_linear,
        cv=5,
        metrics=["accuracy", "log_loss"],
    )
    print(f"\nIs it the recipe, or this one net? {folds}")
    if args.out and args.out.suffix == ".png":
        axes = report.plot()
        axes[0].figure.savefig(args.out, dpi=110)
    elif args.out:
        report.save(args.out)
    return report


if __name__ == "__main__":
    raise SystemExit(0 if main().ok else 3)
