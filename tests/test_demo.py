"""`trimtab demo`: what it says it saw is what is in the files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimtab import demo
from trimtab.demo_jobs import FILES, JOBS, finder_size, magika_features, speech_parts

PAGE = """Region-based segmentation
Let us first determine markers of the coins and the
background. These markers are pixels that we can label
unambiguously as either object or background. Here,
the markers are found at the two extreme parts of the
histogram of grey values:"""


def tell(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    code = demo.main(args)
    said = capsys.readouterr()
    if code and "cannot fetch" in said.err and not os.environ.get("CI"):
        pytest.skip(said.err)
    assert code == 0, said.err
    return said.out


def tell_json(capsys: pytest.CaptureFixture[str], job: str) -> dict[str, Any]:
    (told,) = json.loads(tell(capsys, "--model", job, "--json"))
    assert told["job"] == job
    for model in told["models"]:
        assert model["latency_ms"] > 0
        assert all(node["time_us"] > 0 for node in model["nodes"])
    return told


@pytest.mark.zoo
def test_the_page_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    told = tell_json(capsys, "page")
    assert "\n".join(line["label"] for line in told["saw"][:6]) == PAGE
    assert all(line["probability"] > 0.9 for line in told["saw"])
    assert all(model["nodes"] for model in told["models"])
    assert [model["role"] for model in told["models"]] == ["text finder", "line reader"]


@pytest.mark.zoo
def test_six_phrases_are_heard(capsys: pytest.CaptureFixture[str]) -> None:
    """Ever tried, ever failed, no matter, try again, fail again, fail better."""
    told = tell_json(capsys, "speech")
    assert len(told["saw"]) == 6
    assert all(part["probability"] > 0.9 for part in told["saw"])


@pytest.mark.zoo
def test_files_are_told_by_their_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    told = tell_json(capsys, "files")
    best = [seen["label"] for seen in told["saw"][::3]]
    assert best == ["python", "png", "wav", "onnx"]


@pytest.mark.zoo
def test_the_text_for_people_has_all_parts(capsys: pytest.CaptureFixture[str]) -> None:
    text = tell(capsys)
    assert "Region-based segmentation" in text
    assert " ms" in text
    assert "% of this machine's peak" in text
    assert "slowest nodes" in text


@pytest.mark.zoo
def test_a_photo_without_text_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from PIL import Image

    sky = tmp_path / "sky.png"
    Image.fromarray(np.full((64, 96, 3), 200, np.uint8)).save(sky)
    assert "nothing" in tell(capsys, "--input", str(sky))


def test_offline_there_is_one_clear_message(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", f"file://{tmp_path}/nowhere")
    assert demo.main(["--json"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("trimtab demo: cannot fetch")
    assert "Check the network" in said.err
    assert said.err.count("\n") == 1


def test_every_file_of_a_job_is_pinned() -> None:
    assert {name for job in JOBS.values() for name in job.files} == set(FILES)
    for package, version, member, sha256 in FILES.values():
        assert all((package, version, member))
        assert len(sha256) == 64


def test_speech_starts_and_ends_where_it_is_sure() -> None:
    frames = np.zeros(40, np.float32)
    frames[10:20] = 0.9
    frames[14:16] = 0.1  # too short to end it
    (part,) = speech_parts(frames)
    assert part.detail == "0.3 to 0.6 s"
    assert speech_parts(np.zeros(5, np.float32)) == []


def test_a_short_file_is_padded_on_both_sides() -> None:
    features = magika_features(b" \n ab \n")
    assert features[:5].tolist() == [97, 98, 32, 10, 256]
    assert features[-6:].tolist() == [256, 32, 10, 32, 97, 98]
    assert set(features[4:-5].tolist()) == {256}
    long = bytes(range(33, 133)) * 100
    assert magika_features(long)[:1024].tolist() == list(long[:1024])
    assert magika_features(long)[1024:].tolist() == list(long[-1024:])


@pytest.mark.parametrize("size", [(1, 1), (20, 2000), (191, 384), (2000, 3000)])
def test_the_finder_gets_sizes_that_it_takes(size: tuple[int, int]) -> None:
    height, width = finder_size(*size)
    assert height % 32 == width % 32 == 0
    assert min(height, width) >= 32
