"""The whole life of a Keras image model, in a page.

pip install 'trimtab[evaluate,keras]' keras torch
KERAS_BACKEND=torch python examples/deploy_and_maintain.py
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

import trimtab
from trimtab.maintain import DataVolume, Drift, MaintenancePolicy, Rule
from trimtab.rollout import promote_model

sys.path.append(str(Path(__file__).resolve().parent / "optimize"))

from digits import read_digits


def train(pictures, labels, path):
    """A net as any user of Keras has one."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras
    from keras import layers

    net = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    net.compile("adam", "sparse_categorical_crossentropy")
    net.fit(batch(pictures), labels, epochs=8, batch_size=32, verbose=0)
    net.save(path)


def preprocess_input(picture):
    """The scanner's bytes, (28, 28), to what the net takes."""
    return (picture / 255).astype(np.float32)[None, ..., None]


def postprocess_output(scores):
    """Shares of the classes to the digit."""
    return int(scores.argmax())


def batch(pictures):
    """Many pictures for the net itself."""
    return np.concatenate([preprocess_input(picture) for picture in pictures])


def main(folder):
    """Load, deploy, watch, learn, make faster, keep well."""
    pictures, labels = read_digits()
    pictures = (255 * pictures[:, 0]).astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(labels))
    parts = np.split(order, [1000, 2600, 3600, 4400])
    first, old, new, proof, later = ((pictures[i], labels[i]) for i in parts)
    faint = [(x // 3 + 40, y) for x, y in (new, proof, later)]  # the lamp is weak
    train(*first, folder / "digits.keras")

    model = trimtab.load_model(folder / "digits.keras")
    deployment = trimtab.deploy_model(
        model,
        preprocess_input=preprocess_input,
        postprocess_output=postprocess_output,
        name="digits",
        registry=folder / "models",
    )
    monitor = trimtab.monitor_model(
        deployment, reference=batch(old[0]), window=200, budget=None
    )
    for picture in faint[0][0]:
        deployment(picture)
    print(monitor.check())

    update = trimtab.update_model(deployment, faint[0], reference=old, forget=0.03)
    print(update)

    x, y = faint[1]
    fast = trimtab.optimize_model(
        update.model or model,
        calibration=batch(x[:100]),
        validation=(batch(x), y),
        max_drop=0.02,
    )
    print(fast)
    version = deployment.registry.register("digits", fast.model, reason="faster")
    promote_model(deployment, version, reason="faster, with proof")

    allowed = {"max_drop": 0.02, "forget": 0.03}
    policy = MaintenancePolicy(
        (
            Rule("drift", Drift(), "alert"),
            Rule("labels", DataVolume(500), "requantize", options=allowed),
        )
    )
    report = trimtab.maintain_model(
        deployment,
        policy,
        monitor=monitor,
        new_data=faint[2],
        reference=old,
        original=update.model or model,
        on_alert=print,
        once=True,
    )
    print(report)
    monitor.close()
    deployment.close()
    return update, fast, report


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as target:
        main(Path(target))
