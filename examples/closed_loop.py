"""The whole life of a model on real digits: drift, update, proof, rollout, rollback.

    pip install 'trimtab[torch,plot,evaluate]'
    python examples/closed_loop.py
    python examples/closed_loop.py --images docs/images

A net reads digits of MNIST; it has learned from every fifth of 5,000. Then the scanner
is replaced: its pictures are slanted, pale and noisy. The monitor says so; 900 of the
new pictures are labelled and learned from; what was learned is proven on pictures that
nobody saw, tried in the shadow, let in step by step, and serves. A sabotaged batch of
labels is refused, and a version that somebody forced in is taken back. Requests are
answered all the time, and none fails.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import trimtab
from trimtab.maintain import All, MaintenancePolicy, Performance, Rule
from trimtab.maintain.log import line_of
from trimtab.rollout import Rollout, promote_model

sys.path.append(str(Path(__file__).resolve().parent / "optimize"))

from digits import export_net, read_digits

Pictures = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

N_REFERENCE, N_NEW = 1600, 800
WINDOW = 250
# Of the accuracy on the old scanner's digits, which is still in use somewhere.
FORGET = 0.03
PAUSE_S = 0.0015  # between two requests


def rescanned(pictures: Pictures, seed: int) -> Pictures:
    """The same digits from the new scanner: slanted, pale, noisy."""
    slanted = np.empty_like(pictures)
    for row in range(pictures.shape[2]):
        slanted[:, :, row] = np.roll(pictures[:, :, row], (14 - row) // 2, axis=-1)
    noise = np.random.default_rng(seed).normal(0, 0.12, pictures.shape)
    return np.clip(0.15 + 0.55 * slanted + noise, 0, 1).astype(np.float32)


def split() -> tuple[tuple[Pictures, Labels], ...]:
    """Reference, rows of traffic, rows to learn from: digits that the net never saw."""
    pictures, labels = read_digits()
    unseen = np.flatnonzero(np.arange(len(labels)) % 5 != 4)
    unseen = np.random.default_rng(1).permutation(unseen)
    ends = [N_REFERENCE, len(unseen) - 2 * N_NEW, len(unseen) - N_NEW]
    return tuple((pictures[i], labels[i]) for i in np.split(unseen, ends))


@dataclass
class Clients:
    """Sends digits, one by one, and tells the truth about one in two a bit later."""

    deployment: trimtab.Deployment
    monitor: trimtab.Monitor
    rows: tuple[Pictures, Labels]
    is_new_scanner: bool = False
    truth: dict[int, int] = field(default_factory=dict)
    log: list[tuple[int | None, bool]] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """Requests come as long as the block lasts."""
        stop = threading.Event()
        thread = threading.Thread(target=self._send, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _send(self, stop: threading.Event) -> None:
        old, labels = self.rows
        new = rescanned(old, seed=7)
        while not stop.is_set():
            n = len(self.log)
            pictures = new if self.is_new_scanner else old
            at = n % len(labels)
            if n % 2 == 0:
                self.truth[n] = int(labels[at])
            try:
                response = self.deployment.respond(pictures[at : at + 1], request_id=n)
                right = int(response.answer.argmax()) == labels[at]
                self.log.append((response.version, right))
            except Exception as error:
                self.errors.append(error)
                self.log.append((None, False))
            if n >= 40 and n - 40 in self.truth:
                self.monitor.label(n - 40, self.truth[n - 40])
            time.sleep(PAUSE_S)

    def wait(self, n: int) -> None:
        """Until so many more requests were answered."""
        end = len(self.log) + n
        while len(self.log) < end:
            time.sleep(0.01)

    def accuracy(self, n: int = WINDOW) -> float:
        """Share of right answers among the last."""
        return float(np.mean([right for _, right in self.log[-n:]]))


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Live the life; what happened, by step."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=Path, help="folder for pictures")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        return live(Path(folder) / "models", args.images)


def say(what: str, begun: float) -> None:
    """A line with the seconds."""
    print(f"{time.monotonic() - begun:6.1f} s  {what}", flush=True)


def live(folder: Path, images: Path | None) -> dict[str, Any]:
    """All of it, on a registry in a folder."""
    begun = time.monotonic()
    reference, traffic, new_old, spare = split()
    fresh = (rescanned(new_old[0], seed=3), new_old[1])
    found: dict[str, Any] = {}

    # ---- deploy ----------------------------------------------------------------
    model = trimtab.load_model(export_net(), threads=1)
    deployment = trimtab.deploy_model(model, name="digits", registry=folder)
    monitor = trimtab.monitor_model(
        deployment, reference=reference[0], window=WINDOW, budget=None
    )
    clients = Clients(deployment, monitor, traffic)
    marks: list[tuple[int, str]] = []
    with deployment, monitor, clients.sending():
        clients.wait(3 * WINDOW)
        healthy = clients.accuracy(3 * WINDOW)
        found["healthy"] = healthy
        say(f"digits/{deployment.version} reads {healthy:.1%} right", begun)

        # ---- drift arrives -----------------------------------------------------
        marks.append((len(clients.log), "new scanner"))
        clients.is_new_scanner = True
        while monitor.check().state != "alert":
            clients.wait(50)
        found["drifted"] = monitor.check().window.drifted
        found["worse"] = clients.accuracy()
        marks.append((len(clients.log), "alert"))
        say(f"alert: {', '.join(found['drifted'][:4])}; "
            f"{found['worse']:.1%} read right", begun)  # fmt: skip

        # ---- update, gates, shadow, canary, promotion -----------------------------
        rollout = Rollout(
            shadow_requests=300,
            canary=(0.05, 0.25, 0.5),
            min_requests=50,
            bake_s=1.0,
            check_s=0.1,
            latency_factor=5.0,  # all of it runs on two cores
        )
        result = trimtab.update_model(
            deployment,
            fresh,
            reference=reference,
            forget=FORGET,
            time_budget_s=10,
            rollout=rollout,
            labels=clients.truth.get,
            reason="the scanner was replaced",
            progress=False,
        )
        found["update"] = result
        marks.append((len(clients.log), f"digits/{deployment.version}"))
        say(f"update by {result.method}: {result.state}", begun)
        clients.wait(2 * WINDOW)
        found["better"] = clients.accuracy(2 * WINDOW)
        say(f"digits/{deployment.version} reads {found['better']:.1%} right", begun)

        # ---- sabotage ------------------------------------------------------------
        flipped = spare[1].copy()
        bad = np.random.default_rng(5).random(len(flipped)) < 0.2
        flipped[bad] = (flipped[bad] + 3) % 10
        sabotaged = trimtab.update_model(
            deployment,
            (rescanned(spare[0], seed=4), flipped),
            reference=reference,
            forget=FORGET,
            time_budget_s=10,
            reason="labels from a new supplier",
            progress=False,
        )
        found["sabotaged"] = sabotaged
        say(f"20 % of the labels wrong: {sabotaged.state}", begun)
        for reason in sabotaged.reasons[:3]:
            print(f"          {reason}")

        # ---- a version that somebody forces in, and what becomes of it ------------
        forced = deployment.registry.register(
            "digits", spoiled(model), reason="in a hurry"
        )
        policy = MaintenancePolicy(
            (
                Rule(
                    "disappoints",
                    All((Performance(drop=0.05),), since_promotion_s=600),
                    "roll_back",
                ),
            ),
            check_s=0.2,
        )
        looked = {"monitor": monitor, "baseline": {"accuracy": found["better"]}}
        trimtab.maintain_model(deployment, policy, once=True, **looked)
        promote_model(deployment, forced, reason="in a hurry")
        marks.append((len(clients.log), f"digits/{forced.version} forced in"))
        say(f"digits/{deployment.version} is forced in", begun)
        limit = len(clients.log) + 20 * WINDOW
        while True:
            report = trimtab.maintain_model(deployment, policy, once=True, **looked)
            if report.actions or len(clients.log) > limit:
                break
            clients.wait(50)
        found["maintained"] = report
        marks.append((len(clients.log), f"back to digits/{deployment.version}"))
        for record in report.records:
            if record["kind"] in ("began", "ended"):
                say(line_of(record)[21:], begun)
        clients.wait(WINDOW)
        found["after"] = clients.accuracy()
        say(f"digits/{deployment.version} reads {found['after']:.1%} right", begun)

    found["n_requests"], found["errors"] = len(clients.log), clients.errors
    found["history"] = deployment.registry.history("digits")
    say(f"{found['n_requests']} requests, {len(clients.errors)} failed", begun)
    if images is not None:
        draw(clients, marks, traffic[0], images)
    found["seconds"] = time.monotonic() - begun
    return found


def spoiled(model: trimtab.Model) -> trimtab.Model:
    """The first net again, with the classes of its last layer mixed up."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(export_net())
    dense = [n for n in graph.graph.node if n.op_type in ("Gemm", "MatMul")][-1]
    last = next(t for t in graph.graph.initializer if t.name == dense.input[1])
    weights = numpy_helper.to_array(last)
    axis = list(last.dims).index(10)
    mixed = np.take(weights, [1, 0, 2, 3, 5, 4, 6, 8, 7, 9], axis=axis)
    last.CopyFrom(numpy_helper.from_array(mixed, last.name))
    return trimtab.load_model(graph, threads=1)


def draw(
    clients: Clients, marks: list[tuple[int, str]], pictures: Pictures, folder: Path
) -> None:
    """The digits of both scanners, and what became of the answers."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(2, 8, figsize=(8, 2.2))
    for i in range(8):
        new = rescanned(pictures[i : i + 1], 7)[0]
        for row, shown in ((axes[0], pictures[i]), (axes[1], new)):
            row[i].imshow(shown[0], cmap="gray_r", vmin=0, vmax=1)
            row[i].axis("off")
    figure.tight_layout()
    figure.savefig(folder / "maintenance_digits.png", dpi=110)

    step = 50
    right = np.array([ok for _, ok in clients.log], float)
    n = len(right) // step
    shares = right[: n * step].reshape(n, step).mean(axis=1)
    smooth = np.convolve(np.pad(shares, 2, mode="edge"), np.ones(5) / 5, "valid")
    figure, ax = plt.subplots(figsize=(9, 3.6))
    ax.plot((np.arange(n) + 0.5) * step, smooth, color="#2166ac")
    for k, (at, what) in enumerate(marks):
        is_late = at > 0.8 * len(right)
        ax.axvline(at, color="gray", lw=0.8)
        ax.annotate(
            what,
            (at, 0.03 + 0.09 * (k % 3)),
            xytext=(-4 if is_late else 4, 0),
            textcoords="offset points",
            ha="right" if is_late else "left",
            fontsize=9,
        )
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("request")
    ax.set_ylabel("digits read right")
    ax.set_title("A scanner is replaced; the model follows")
    figure.tight_layout()
    figure.savefig(folder / "maintenance_course.png", dpi=110)


if __name__ == "__main__":
    main()
