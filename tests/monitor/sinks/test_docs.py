"""The guide's snippets run as they stand."""

from __future__ import annotations

import hashlib
import hmac
import re
from pathlib import Path
from typing import Any

import pytest

GUIDE = Path(__file__).parents[3] / "docs" / "sinks.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.S)


@pytest.mark.parametrize("code", SNIPPETS, ids=range(len(SNIPPETS)))
def test_a_snippet_runs(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "tensorboard" in code:
        pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(code, str(GUIDE), "exec"), names)
    if "is_genuine" in names:
        signed = hmac.new(b"k", b"12.{}", hashlib.sha256).hexdigest()
        assert names["is_genuine"](b"k", b"{}", f"t=12,sha256={signed}")
        assert not names["is_genuine"](b"l", b"{}", f"t=12,sha256={signed}")
