"""The command ``trimtab``: a file for each command, and `program`, which runs them."""

from __future__ import annotations

from trimtab.cli.program import main

__all__ = ["main"]
