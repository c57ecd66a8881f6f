"""The package itself: what it exports, what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import trimtab


def test_every_public_name_is_there() -> None:
    for name in trimtab.__all__:
        assert getattr(trimtab, name) is not None
    assert set(trimtab.__all__) <= set(dir(trimtab))
    with pytest.raises(AttributeError, match="nothing"):
        trimtab.nothing  # noqa: B018


def test_every_error_is_a_trimtab_error_and_a_builtin() -> None:
    builtin = {
        "ModelFormatError": ValueError,
        "InputError": ValueError,
        "InputTypeError": TypeError,
        "UnsupportedOpError": NotImplementedError,
        "OutOfMemoryError": MemoryError,
        "InternalError": RuntimeError,
        "DeviceError": RuntimeError,
        "FetchError": OSError,
    }
    for name, base in builtin.items():
        kind = getattr(trimtab, name)
        assert issubclass(kind, trimtab.TrimtabError)
        assert issubclass(kind, base)


def test_the_verbs_import_no_framework() -> None:
    code = (
        "import sys, trimtab; trimtab.load_model; trimtab.deploy_model;"
        "print(sorted({'torch', 'scipy', 'sklearn', 'matplotlib', 'onnxruntime'}"
        " & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code]).strip() == b"[]"
