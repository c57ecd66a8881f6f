"""A scanner's lamp fades while a net reads digits: seen, explained, and pictured.

    pip install 'trimtab[torch,plot]'
    python examples/monitoring/incident.py
    python examples/monitoring/incident.py --images docs/images

The net has learned from every fifth of 5,000 digits of MNIST. 1,000 of those that it
has not seen are the reference; the other 3,000 come as requests, one by one. From the
1,000th on the lamp fades: the paper turns gray and the ink pale, more with every
request. One request in five gets its label, some 300 requests later.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import trimtab

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "optimize"))

from digits import export_net, read_digits  # noqa: E402

Pictures = npt.NDArray[np.float32]

N_REFERENCE = 1000
N_HEALTHY = 1000
LABEL_DELAY = 300
WINDOW = 250


def faded(picture: Pictures, strength: float, seed: int) -> Pictures:
    """What the scanner gives when its lamp is so far gone (0: new, 1: nearly dark)."""
    noise = np.random.default_rng(seed).normal(0, 0.12 * strength, picture.shape)
    veiled = 0.35 * strength + picture * (1 - 0.7 * strength) + noise
    return np.clip(veiled, 0, 1).astype(np.float32)


def strength_at(i: int, n: int) -> float:
    """How far the lamp has faded at the i-th of n requests."""
    return max(0.0, (i - N_HEALTHY) / (n - N_HEALTHY))


def requests(pictures: Pictures) -> Iterator[tuple[int, Pictures]]:
    """Digits one by one, as the scanner gives them."""
    for i, picture in enumerate(pictures):
        yield i, faded(picture[None], strength_at(i, len(pictures)), seed=i)


def serve(
    deployment: trimtab.Deployment,
    monitor: trimtab.Monitor,
    pictures: Pictures,
    labels: npt.NDArray[np.int64],
) -> tuple[list[dict[str, Any]], npt.NDArray[np.bool_]]:
    """Answer all requests; the alerts, and whether each digit was read right."""
    late: deque[tuple[int, int]] = deque()
    alerts: list[dict[str, Any]] = []
    right = np.zeros(len(pictures), bool)
    for i, picture in requests(pictures):
        answer = deployment(picture, request_id=i)
        right[i] = int(answer.argmax()) == labels[i]
        if i % 5 == 0:
            late.append((i, int(labels[i])))
        if late and late[0][0] <= i - LABEL_DELAY:
            monitor.label(*late.popleft())
        if i % 50 == 49:
            for alert in monitor.check().alerts:
                if alert not in alerts:
                    alerts.append(alert)
                    print(f"request {i + 1}: {alert['message']}")
    return alerts, right


# ---- pictures -----------------------------------------------------------------------


def draw(
    monitor: trimtab.Monitor,
    alerts: list[dict[str, Any]],
    right: npt.NDArray[np.bool_],
    pictures: Pictures,
    folder: Path,
) -> None:
    """Three figures of the incident."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    chosen = [0, 999, 1499, 1999, 2499, 2999]
    figure, axes = plt.subplots(1, len(chosen), figsize=(9, 1.9))
    for ax, i in zip(axes, chosen, strict=True):
        picture = faded(pictures[i], strength_at(i, len(pictures)), seed=i)
        ax.imshow(picture[0], cmap="gray_r", vmin=0, vmax=1)
        ax.set_title(f"request {i + 1}", fontsize=9)
        ax.axis("off")
    figure.tight_layout()
    figure.savefig(folder / "monitoring_digits.png", dpi=110)

    figure, (top, bottom) = plt.subplots(2, 1, figsize=(8, 5.5), sharex=True)
    monitor.report().plot(top)
    top.set_title("")
    top.set_yscale("symlog", linthresh=1.0)
    top.set_xlabel("")
    top.set_ylim(0, 120)
    shares = right.reshape(-1, WINDOW).mean(axis=1)
    bottom.plot(shares, marker="o", label="digits read right")
    bottom.set_xlabel(f"window of {WINDOW} requests")
    bottom.set_ylabel("accuracy")
    for ax in (top, bottom):
        ax.axvline(N_HEALTHY / WINDOW - 0.5, color="gray", linewidth=1)
        for alert in alerts[:1]:
            ax.axvline(alert["window"], color="tab:red", linewidth=1)
    bottom.annotate("the lamp\nbegins to fade", (N_HEALTHY / WINDOW - 2.2, 0.4))
    if alerts:
        bottom.annotate("alert", (alerts[0]["window"] + 0.1, 0.4), color="tab:red")
    bottom.set_ylim(0.3, 1.01)
    figure.tight_layout()
    figure.savefig(folder / "monitoring_course.png", dpi=110)

    names = ["brightness", "contrast", "logits.confidence"]
    figure, axes = plt.subplots(1, len(names), figsize=(9, 2.6))
    assert monitor.reference is not None
    before = {feature.name: feature for feature in monitor.reference.features}
    now = {feature.name: feature for feature in monitor.windows[-1].features}
    for ax, name in zip(axes, names, strict=True):
        for feature, label in ((before[name], "reference"), (now[name], "last window")):
            ax.stairs(feature.shares, fill=True, alpha=0.5, label=label)
        edges = before[name].edges
        shown = np.linspace(0, len(edges) - 1, 4).astype(int)
        ax.set_xticks(shown + 1, [f"{edges[i]:.2f}" for i in shown])
        ax.set_title(name, fontsize=9)
        ax.set_yticks([])
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(folder / "monitoring_histograms.png", dpi=110)


def main(arguments: Sequence[str] | None = None) -> trimtab.MonitorReport:
    """Serve the digits, print what the monitor says, draw it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=Path, help="folder for pictures")
    parser.add_argument("--report", type=Path, help="HTML file to write")
    args = parser.parse_args(arguments)
    pictures, labels = read_digits()
    unseen = np.flatnonzero(np.arange(len(labels)) % 5 != 4)
    order = np.random.default_rng(0).permutation(unseen)
    known, served = order[:N_REFERENCE], order[N_REFERENCE:]
    model = trimtab.load_model(export_net())
    reference = trimtab.Reference.from_model(model, pictures[known])
    deployment = trimtab.deploy_model(model)
    with trimtab.monitor_model(
        deployment,
        reference=reference,
        window=WINDOW,
        budget=None,  # few requests: look at all of them
        background=False,
    ) as monitor:
        alerts, right = serve(deployment, monitor, pictures[served], labels[served])
        report = monitor.report()
        print(report)
        if args.images:
            draw(monitor, alerts, right, pictures[served], args.images)
    if args.report:
        report.save(args.report)
    return report


if __name__ == "__main__":
    main()
