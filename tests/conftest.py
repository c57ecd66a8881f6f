"""What all tests share: some marks run only where ``-m`` names them."""

from __future__ import annotations

import signal
import threading

import pytest

# mark -> how to run it; see tests/README.md
ASKED_FOR = {
    "garden": "pytest -m garden",
    "peers": "pytest -m peers",
    "slow": "pytest -m slow",
    "sycl": "pytest -m sycl",
    "tensorflow": "pytest -m tensorflow",
}


def pytest_configure(config: pytest.Config) -> None:
    """Let Ctrl-C interrupt again: shells ignore it in what they start behind them."""
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Skip what takes long unless it was asked for."""
    for mark, command in ASKED_FOR.items():
        if mark in config.option.markexpr:
            continue
        skip = pytest.mark.skip(reason=f"marked {mark}: {command}")
        for item in items:
            if item.get_closest_marker(mark):
                item.add_marker(skip)
