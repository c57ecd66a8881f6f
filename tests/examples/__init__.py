"""The examples, run as their readers would run them."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def load_example(path: str) -> ModuleType:
    """Import a script of ``examples/`` by its path."""
    file = EXAMPLES / path
    # digits.py is in two folders: a name of its own for each
    name = "example_" + path.removesuffix(".py").replace("/", "_")
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def unavailable(reason: object) -> NoReturn:
    """Skip what needs the network or a package; under CI it fails."""
    if os.environ.get("CI"):
        pytest.fail(f"the examples must run under CI: {reason}")
    pytest.skip(str(reason))
