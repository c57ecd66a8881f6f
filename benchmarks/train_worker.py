"""One engine in one process that takes fine-tuning steps; see `benchmarks.worker`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from benchmarks.common import quartiles, resident_bytes
from benchmarks.train_cases import CASES, OPTIMIZERS, TrainCase
from benchmarks.worker import serve

Step = Callable[[], float]


def trimtab_step(case: TrainCase, threads: int) -> Step:
    """Prepare our side.

    Parameters
    ----------
    case : TrainCase
    threads : int

    Returns
    -------
    step : callable
        Learns from the batch and gives the loss before.
    """
    from trimtab.train import SGD, Adam, AdamW, Trainer, learnable

    made = {"sgd": SGD, "adam": Adam, "adamw": AdamW}[case.optimizer]
    options = dict(OPTIMIZERS[case.optimizer])
    graph = case.graph()
    names = [n for n in learnable(graph) if not n.startswith(case.frozen_constants)]
    trainer = Trainer(
        graph,
        "cross_entropy",
        wrt=names if case.frozen_constants else None,
        optimizer=made(options.pop("lr"), **options),
        threads=threads,
    )
    inputs, labels = case.batch()
    return lambda: trainer.step(inputs, labels)


def torch_step(case: TrainCase, threads: int) -> Step:
    """Prepare PyTorch's side, with its fused optimizers.

    Parameters
    ----------
    case : TrainCase
    threads : int

    Returns
    -------
    step : callable
        Learns from the batch and gives the loss before.
    """
    import torch

    torch.set_num_threads(threads)
    module = case.module()
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(not (case.frozen and name.startswith(case.frozen)))
    learned = [p for p in module.parameters() if p.requires_grad]
    made = {
        "sgd": torch.optim.SGD,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
    }[case.optimizer]
    optimizer: Any = made(learned, fused=True, **OPTIMIZERS[case.optimizer])
    inputs, labels = case.batch()
    given = [torch.tensor(array) for array in inputs.values()]
    wanted = torch.tensor(labels)

    def step() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(module(*given), wanted)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


ENGINES: dict[str, Callable[[TrainCase, int], Step]] = {
    "trimtab": trimtab_step,
    "torch": torch_step,
}


class State:
    """What the process remembers between requests."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.step: Step | None = None


def do_load(state: State, *, case: str, threads: int) -> dict[str, Any]:
    """Prepare a case."""
    state.step = None
    state.step = ENGINES[state.name](CASES[case], threads)
    return {}


def _step_of(state: State) -> Step:
    if state.step is None:
        raise RuntimeError("no case is loaded")
    return state.step


def do_losses(state: State, *, n: int) -> dict[str, Any]:
    """Take steps; their losses."""
    step = _step_of(state)
    return {"losses": [step() for _ in range(n)]}


def do_time(state: State, *, block_s: float) -> dict[str, Any]:
    """Time steps for a while, at least three, behind one that warms up."""
    step, times = _step_of(state), list[float]()
    step()
    end = time.perf_counter() + block_s
    while time.perf_counter() < end or len(times) < 3:
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    return {"median_s": quartiles(times)[1], "best_s": min(times), "n": len(times)}


def do_resident(state: State) -> dict[str, Any]:
    """Resident size of this process now."""
    return {"bytes": resident_bytes()}


COMMANDS: dict[str, Callable[..., dict[str, Any]]] = {
    "load": do_load,
    "losses": do_losses,
    "time": do_time,
    "resident": do_resident,
}


def main() -> int:
    """Answer requests until the pipe closes."""
    parser = argparse.ArgumentParser(description="worker process of bench_train")
    parser.add_argument("engine", choices=sorted(ENGINES))
    name = parser.parse_args().engine
    return serve(name, State(name), COMMANDS)


if __name__ == "__main__":
    raise SystemExit(main())
