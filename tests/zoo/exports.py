"""Models that no package ships: exported once by examples/export, then cached."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import trimtab.fetch
from trimtab.errors import FetchError
from trimtab.fetch import cache_folder

SCRIPTS = Path(__file__).parents[2] / "examples" / "export"


def export(script: str, *options: str) -> Path:
    """Run ``examples/export/<script>.py OUT <options>`` unless it was run before.

    The cache key holds the script, what it shares with the others, its options
    and the versions of torch and its exporter.
    """
    for module in ("torch", "onnxscript", "safetensors"):
        if importlib.util.find_spec(module) is None:
            raise ImportError(
                f"exporting {script} needs {module}: pip install {module}"
            )
    source = SCRIPTS / f"{script}.py"
    key = hashlib.sha256(source.read_bytes() + (SCRIPTS / "common.py").read_bytes())
    key.update(repr((options, version("torch"), version("onnxscript"))).encode())
    folder = cache_folder() / "exports"
    out = folder / f"{script}-{key.hexdigest()[:16]}.onnx"
    if out.is_file():
        return out
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f"{out.stem}.{os.getpid()}.part"
    package = str(Path(trimtab.fetch.__file__).parents[1])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, str(source), str(fresh), *options],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    try:
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            if last.startswith("trimtab.errors.FetchError"):
                raise FetchError(last.partition(": ")[2])
            raise RuntimeError(f"{source.name} failed:\n{done.stderr[-4000:]}")
        fresh.replace(out)
    finally:
        fresh.unlink(missing_ok=True)
    return out
