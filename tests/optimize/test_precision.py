"""What each processor computes in natively."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from trimtab import _core
from trimtab.optimize.precision import host_precisions


@pytest.mark.parametrize(
    ("isa", "names", "bits"),
    [
        ("sse41", ("f32",), 7),
        ("avx2", ("f32", "int8"), 7),
        ("avx2_vnni", ("f32", "int8"), 8),
        ("avx512_core", ("f32", "int8"), 7),
        ("avx512_core_vnni", ("f32", "int8"), 8),
        ("avx512_core_bf16", ("f32", "bf16", "int8"), 8),
        ("avx512_core_amx_fp16", ("f32", "bf16", "int8"), 8),
        ("of_the_future", ("f32",), 7),
    ],
)
def test_instruction_sets(isa: str, names: tuple[str, ...], bits: int) -> None:
    found = host_precisions({"effective_isa": isa})
    assert (found.names, found.weight_bits, found.isa) == (names, bits, isa)


def test_this_machine_agrees_with_its_processor() -> None:
    info, cpu = _core.dnnl_info(), _core.cpu_info()
    found = host_precisions()
    assert found.isa == info["effective_isa"]
    if "ONEDNN_MAX_CPU_ISA" not in os.environ:
        assert ("bf16" in found.names) == cpu["avx512_bf16"]
        assert (found.weight_bits == 8) == (cpu["avx512_vnni"] or cpu["avx_vnni"])


@pytest.mark.parametrize("limit", ["AVX2", "AVX512_CORE"])
def test_a_limit_on_onednn_counts(limit: str) -> None:
    code = (
        "from trimtab.optimize.precision import host_precisions as h;"
        "print(h().weight_bits, *h().names)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": limit},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["7", "f32", "int8"]
