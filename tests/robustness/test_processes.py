"""Servers that fork, and threads that share a model: all compute the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import trimtab

ROOT = Path(__file__).parents[2]

COMMON = """
import os, signal, sys, threading, time
import numpy as np
import trimtab
sys.path.insert(0, "tests")
from bind import models

content = models.mlp(n_layers=3, width=256)
batches = [np.random.default_rng(n).standard_normal((n, 256)).astype(np.float32)
           for n in (1, 3, 16, 64, 100, 129)]

def answers(model):
    return [model(x).tobytes() for x in batches]

def ends_well(pid):
    _, status = os.waitpid(pid, 0)
    return status == 0

def in_child(action):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(300)  # a deadlock ends here, with a status that is not 0
            action()
            code = 0
        finally:
            os._exit(code)
    return pid
"""

PREFORK = """
model = trimtab.load_model(content, threads=2)
expected = answers(trimtab.load_model(content, threads=2))
if sys.argv[1] == "used":
    assert answers(model) == expected

def serve():
    results = []
    threads = [threading.Thread(target=lambda: results.append(answers(model)))
               for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 3
    assert answers(trimtab.load_model(content, threads=2)) == expected

workers = [in_child(serve) for _ in range(3)]
assert answers(model) == expected
assert all([ends_well(pid) for pid in workers])
grandchild = in_child(lambda: ends_well(in_child(serve)) or os._exit(3))
assert ends_well(grandchild)
"""

FORK_WHILE_RUNNING = """
model = trimtab.load_model(content, threads=2)
expected = answers(model)
running = True

def run():
    n = 0
    while running:  # compiles too: the lock of the plans may be held at the fork
        x = batches[n % len(batches)][: 1 + n % 7]
        model(np.repeat(x, 1 + n % 13, axis=0))
        n += 1

def use():
    assert answers(model) == expected
    assert answers(trimtab.load_model(content, threads=2)) == expected

threads = [threading.Thread(target=run) for _ in range(2)]
for thread in threads:
    thread.start()
pids = []
for _ in range(int(sys.argv[1])):
    time.sleep(0.003)
    pids.append(in_child(use))
    if len(pids) % 4 == 0:
        assert all([ends_well(pid) for pid in pids[-4:]]), "a child failed"
running = False
for thread in threads:
    thread.join()
assert answers(model) == expected
"""


def run_script(script: str, argument: str) -> None:
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-X", "faulthandler", "-c", script, argument],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert child.returncode == 0, child.stderr[-3000:]


@pytest.mark.parametrize("when", ["fresh", "used"])
def test_workers_forked_from_a_loaded_model_serve_the_same_bits(when: str) -> None:
    run_script(COMMON + PREFORK, when)


def test_a_fork_while_other_threads_run_and_compile_leaves_a_usable_child() -> None:
    run_script(COMMON + FORK_WHILE_RUNNING, "24")


def test_spawned_processes_load_from_a_pickle() -> None:
    script = COMMON + (
        "import pickle\n"
        "model = pickle.loads(pickle.dumps(trimtab.load_model(content)))\n"
        "assert answers(model) == answers(trimtab.load_model(content))\n"
    )
    run_script(script, "")


@pytest.mark.zoo
@pytest.mark.parametrize("name", ["mtcnn_rnet", "mnist_cnn", "silero_vad", "neumf"])
def test_many_threads_on_a_real_model_get_the_bits_of_one(name: str) -> None:
    from zoo import MODELS, ZooUnavailable

    try:
        path = MODELS[name].path()
        cases = [MODELS[name].inputs(), *MODELS[name].more_inputs().values()]
    except ZooUnavailable as reason:
        if os.environ.get("CI"):
            pytest.fail(f"the zoo must be complete under CI: {reason}")
        pytest.skip(str(reason))
    with trimtab.load_model(path, threads=2) as model:
        serial = [_bits(model.run(inputs)) for inputs in cases]
    with trimtab.load_model(path, threads=2) as model:

        def work(seed: int) -> int:
            order = np.random.default_rng(seed).integers(0, len(cases), 12)
            return sum(_bits(model.run(cases[i])) != serial[i] for i in order)

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(work, range(8))) == 0


def _bits(results: dict[str, np.ndarray]) -> list[bytes]:
    return [y.tobytes() for y in results.values()]
