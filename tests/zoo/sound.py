"""Recordings: voice activity, wake word, speech quality, notes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trimtab.processing.mel import mel_spectrogram, power_to_db

from .files import fetch, noise, speech
from .model import Run, Tensors, ZooModel, run_onnxruntime

Array = npt.NDArray[np.float32]


def vad_frames(samples: Array) -> Array:
    """Frames of 512 samples, each after the 64 before it: shape (n, 576)."""
    n_frames = samples.size // 512
    padded = np.concatenate([np.zeros(64, np.float32), samples[: n_frames * 512]])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 576)
    return np.ascontiguousarray(windows[::512])


def vad_inputs(
    frames: Array, state: Array | None = None, *, rate: int = 16000
) -> Tensors:
    """The inputs of silero_vad for a batch of frames."""
    if state is None:
        state = np.zeros((2, len(frames), 128), np.float32)
    return {"input": frames, "state": state, "sr": np.array(rate, np.int64)}


def _vad_run(run: Run, samples: Array) -> tuple[Array, Array]:
    """Frame by frame with the state carried over: probabilities, last state."""
    state, probabilities = np.zeros((2, 1, 128), np.float32), []
    for frame in vad_frames(samples):
        outputs = run("silero_vad", vad_inputs(frame[None], state))
        state = outputs["stateN"]
        probabilities.append(outputs["output"][0, 0])
    return np.array(probabilities, np.float32), state


def _vad_main() -> Tensors:
    """A voiced frame with the state that the second before it left."""

    def run(name: str, inputs: Tensors) -> Tensors:
        return run_onnxruntime(fetch(name), inputs)

    _, state = _vad_run(run, speech()[: 31 * 512])
    return vad_inputs(vad_frames(speech())[31:32], state)


def _vad_more() -> dict[str, Tensors]:
    slow = speech()[::2]
    at_8k = np.ascontiguousarray(slow[8000:8288][None])
    return {
        "batch4": vad_inputs(vad_frames(speech())[20:24]),
        "8khz": vad_inputs(at_8k, rate=8000),
    }


def _check_vad(outputs: Tensors) -> None:
    assert outputs["output"][0, 0] > 0.9, outputs["output"]


def _voice_differs_from_noise(run: Run) -> None:
    heard, _ = _vad_run(run, speech())
    hiss, _ = _vad_run(run, noise(32000))
    assert abs(heard.mean() - 0.47) < 0.05, heard.mean()
    assert hiss.mean() < 0.05, hiss.mean()


def _seq_inputs(n_frames: int) -> Tensors:
    zeros = np.zeros((1, 1, 128), np.float32)
    return {"input": vad_frames(speech())[:n_frames], "h": zeros, "c": zeros}


def _check_seq(outputs: Tensors) -> None:
    assert abs(outputs["speech_probs"].mean() - 0.47) < 0.05, outputs["speech_probs"]


def _sequence_equals_frame_by_frame(run: Run) -> None:
    single, _ = _vad_run(run, speech())
    whole = run("silero_16k_seq", _seq_inputs(len(single)))["speech_probs"]
    assert np.abs(whole - single).max() < 1e-3, np.abs(whole - single).max()


def wake_audio(samples: Array) -> Array:
    """Samples on the scale of 16-bit integers, as the wake word nets take them."""
    return np.round(samples * 32767).astype(np.float32)[None]


def _mel_windows(mel: Array) -> Array:
    """Windows of 76 mel frames every 8: shape (n, 76, 32, 1)."""
    frames = mel.reshape(-1, 32) / 10 + 2
    windows = np.lib.stride_tricks.sliding_window_view(frames, 76, axis=0)[::8]
    return np.ascontiguousarray(windows.transpose(0, 2, 1)[..., None])


def _mel_of_speech() -> Array:
    inputs = {"input": wake_audio(speech()[:32000])}
    return run_onnxruntime(fetch("oww_melspec"), inputs)["output"]


def _features_of_speech() -> Array:
    inputs = {"input_1": _mel_windows(_mel_of_speech())}
    features = run_onnxruntime(fetch("oww_embedding"), inputs)["conv2d_19"]
    return features.reshape(1, -1, 96)


def _check_melspec(outputs: Tensors) -> None:
    """Loud where the recording is loud."""
    (mel,) = outputs.values()
    loudness = mel.reshape(-1, 32).mean(axis=1)
    frames = np.lib.stride_tricks.sliding_window_view(speech()[:32000], 512)[::160]
    power = np.log10((frames**2).mean(axis=1) + 1e-10)[: loudness.size]
    agreement = np.corrcoef(power, loudness[: power.size])[0, 1]
    assert agreement > 0.8, agreement


def _check_embedding(outputs: Tensors) -> None:
    assert outputs["conv2d_19"].shape == (1, 1, 1, 96)
    assert outputs["conv2d_19"].std() > 1, outputs["conv2d_19"].std()


def _check_wake(outputs: Tensors) -> None:
    """Nobody says "hey Mycroft" in the recording."""
    assert 0 <= outputs["dense"][0, 0] < 0.1, outputs["dense"]


def _nobody_wakes_it(run: Run) -> None:
    mel = run("oww_melspec", {"input": wake_audio(speech())})["output"]
    features = run("oww_embedding", {"input_1": _mel_windows(mel)})["conv2d_19"]
    features = features.reshape(-1, 96)
    windows = np.lib.stride_tricks.sliding_window_view(features, 16, axis=0)
    batch = np.ascontiguousarray(windows.transpose(0, 2, 1))
    scores = run("oww_hey_mycroft", {"input_1": batch})["dense"]
    assert len(scores) > 90, len(scores)
    assert scores.max() < 0.5, scores.max()


def quality_mel(samples: Array) -> Array:
    """Decibels over mel bands as DNSMOS P.808 takes them: shape (1, 900, 120)."""
    mel = mel_spectrogram(samples[: 160 * 900], 16000, n_fft=321, hop=160, n_mels=120)
    return np.ascontiguousarray(((power_to_db(mel) + 40) / 40).T[None, :900])


def _with_noise(samples: Array) -> Array:
    return (samples + noise(samples.size, sigma=0.05)).astype(np.float32)


def _check_p808(outputs: Tensors) -> None:
    (score,) = outputs.values()
    assert 3 < score[0, 0] < 5, score


def _noise_costs_p808(run: Run) -> None:
    clean = run("dnsmos_p808", {"input_1": quality_mel(speech())})
    dirty = run("dnsmos_p808", {"input_1": quality_mel(_with_noise(speech()))})
    (good,), (bad,) = clean.values(), dirty.values()
    assert good[0, 0] > bad[0, 0] + 0.5, (good, bad)


def _check_quality(outputs: Tensors) -> None:
    """Signal, background and overall of a clean recording."""
    (scores,) = outputs.values()
    assert np.abs(scores[0] - (4.18, 4.37, 3.89)).max() < 0.05, scores


def _noise_costs_quality(run: Run) -> None:
    dirty = {"input_1": _with_noise(speech()[:144160])[None]}
    (scores,) = run("dnsmos_sig_bak_ovr", dirty).values()
    assert np.abs(scores[0] - (1.13, 1.02, 1.06)).max() < 0.1, scores


def tones(*midi: int) -> Array:
    """Two seconds of sines at 22,050 Hz: shape (1, 43844, 1)."""
    t = np.arange(43844) / 22050
    waves = [0.3 * np.sin(2 * np.pi * 440 * 2 ** ((m - 69) / 12) * t) for m in midi]
    return np.sum(waves, axis=0, dtype=np.float64).astype(np.float32)[None, :, None]


def _heard_notes(outputs: Tensors, n: int) -> list[int]:
    notes = outputs["StatefulPartitionedCall:1"][0].mean(axis=0)
    return sorted((np.argsort(-notes)[:n] + 21).tolist())


def _check_pitch(outputs: Tensors) -> None:
    assert _heard_notes(outputs, 1) == [69], _heard_notes(outputs, 3)


def _a_chord_is_heard(run: Run) -> None:
    outputs = run("basic_pitch", {PITCH: tones(60, 64, 67)})
    assert _heard_notes(outputs, 3) == [60, 64, 67], _heard_notes(outputs, 3)


PITCH = "serving_default_input_2:0"

SOUND = [
    ZooModel(
        "silero_vad",
        lambda: fetch("silero_vad"),
        _vad_main,
        _check_vad,
        _vad_more,
        _voice_differs_from_noise,
    ),
    ZooModel(
        "silero_16k_seq",
        lambda: fetch("silero_16k_seq"),
        lambda: _seq_inputs(speech().size // 512),
        _check_seq,
        lambda: {"1_frame": _seq_inputs(1), "50_frames": _seq_inputs(50)},
        _sequence_equals_frame_by_frame,
    ),
    ZooModel(
        "oww_melspec",
        lambda: fetch("oww_melspec"),
        lambda: {"input": wake_audio(speech()[:32000])},
        _check_melspec,
        lambda: {
            "80ms": {"input": wake_audio(speech()[20000:21760])},
            "batch2": {"input": np.repeat(wake_audio(speech()[:16000]), 2, axis=0)},
        },
    ),
    ZooModel(
        "oww_embedding",
        lambda: fetch("oww_embedding"),
        lambda: {"input_1": _mel_windows(_mel_of_speech())[:1]},
        _check_embedding,
        lambda: {"batch16": {"input_1": _mel_windows(_mel_of_speech())[:16]}},
    ),
    ZooModel(
        "oww_hey_mycroft",
        lambda: fetch("oww_hey_mycroft"),
        lambda: {"input_1": np.ascontiguousarray(_features_of_speech()[:, :16])},
        _check_wake,
        lambda: {"batch3": {"input_1": np.repeat(_features_of_speech()[:, :16], 3, 0)}},
        _nobody_wakes_it,
    ),
    ZooModel(
        "dnsmos_p808",
        lambda: fetch("dnsmos_p808"),
        lambda: {"input_1": quality_mel(speech())},
        _check_p808,
        lambda: {"batch2": {"input_1": np.repeat(quality_mel(speech()), 2, 0)}},
        _noise_costs_p808,
    ),
    ZooModel(
        "dnsmos_sig_bak_ovr",
        lambda: fetch("dnsmos_sig_bak_ovr"),
        lambda: {"input_1": speech()[None, :144160].copy()},
        _check_quality,
        lambda: {
            "batch2": {
                "input_1": np.stack([speech()[:144160], _with_noise(speech())[:144160]])
            }
        },
        _noise_costs_quality,
    ),
    ZooModel(
        "basic_pitch",
        lambda: fetch("basic_pitch"),
        lambda: {PITCH: tones(69)},
        _check_pitch,
        lambda: {"batch2": {PITCH: np.concatenate([tones(57), tones(60, 64, 67)])}},
        _a_chord_is_heard,
    ),
]
