"""update_model from the data to the registry; the gates are asked for real."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import trimtab
import trimtab.update.update as module
from trimtab.errors import InputError, RegistryConflict, UnsupportedOpError
from trimtab.graph import Node, Value
from trimtab.optimize.runnable import runnable
from trimtab.registry.registry import Registry
from trimtab.update import LEARNERS, HeadStatistics, Learner, Rows

from .networks import accuracy, digits, digits_model, shifted

update_model = module.update_model
X, Y = digits()
S = shifted(X)
NEW = (S[:400], Y[:400])
OLD = (X[800:1300], Y[800:1300])


class Report:
    """What gates give, as far as `update_model` looks at it."""

    def __init__(self, state="passed", reasons=()):
        self.state, self.reasons, self.ok = state, reasons, state == "passed"

    def to_dict(self):
        return {"state": self.state}

    def __str__(self):
        return f"gates: {self.state}"


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """The evidence that gates were given; they say what `state` says."""
    seen = SimpleNamespace(evidence=[], state="passed", reasons=())

    def prove(evidence, gates):
        seen.evidence.append(evidence)
        return Report(seen.state, seen.reasons)

    monkeypatch.setattr(module, "_prove", prove)
    return seen


def run(target=None, data=NEW, **options):
    return update_model(target or digits_model(), data, progress=False, **options)


def test_the_best_method_is_proven_and_given_back(asked):
    model = digits_model()
    before = model(S[500:600])
    result = run(model)
    assert result.state == "READY"
    assert result.ok
    assert result.method in LEARNERS
    assert accuracy(result.model, S[800:], Y[800:]) > 0.75
    np.testing.assert_array_equal(model(S[500:600]), before)  # what serves goes on
    names = [trial.method for trial in result.candidates]
    assert names == ["champion", *LEARNERS][: len(names)]
    assert all(t.why_not for t in result.candidates if t.method != result.method)
    assert len(asked.evidence) == 1  # one look at the guard


def test_no_row_is_in_two_parts(asked):
    run(reference=OLD)
    evidence = asked.evidence[0]
    rows = [evidence["guard"], evidence["new"], evidence["reference"]]
    seen = [{row.tobytes() for row in part.inputs["x"]} for part in rows]
    assert not seen[0] & seen[1]
    assert not seen[2] & (seen[0] | seen[1])
    assert len(seen[2]) == 250  # the other half is replayed


def test_the_method_can_be_fitted_anew_for_folds(asked):
    run(method="head_ridge")
    fit = asked.evidence[0]["fit"]
    made = fit(Rows({"x": S[:300]}, Y[:300]))
    assert accuracy(made, S[800:], Y[800:]) > 0.7
    again = fit(Rows({"x": S[:300]}, Y[:300]))
    np.testing.assert_array_equal(made(S[:50]), again(S[:50]))


@pytest.mark.parametrize(
    ("said", "state"), [("failed", "REJECTED"), ("needs_data", "NEEDS_DATA")]
)
def test_what_is_not_proven_is_not_given_back(asked, said, state):
    asked.state, asked.reasons = said, ("non_inferiority: too few",)
    result = run()
    assert (result.state, result.model, result.ok) == (state, None, False)
    assert "too few" in str(result)


def test_equal_data_and_seed_give_equal_models():
    first, again, other = run(seed=1), run(seed=1), run(seed=2)
    np.testing.assert_array_equal(first.model(S[:50]), again.model(S[:50]))
    assert not np.array_equal(first.model(S[:50]), other.model(S[:50]))


def test_data_that_teach_nothing_leave_what_serves():
    result = run(data=(X[800:1100], Y[800:1100]), method="recalibrate")
    if result.state == "REJECTED":
        assert result.reasons == ("no method is better than what serves",)
        assert result.gates is None
    else:
        assert accuracy(result.model, X[1300:], Y[1300:]) == accuracy(
            digits_model(), X[1300:], Y[1300:]
        )


def test_statistics_replay_rows_that_are_no_longer_there():
    first = run(data=(X[800:1300], Y[800:1300]), method="head_ridge")
    kept = first.candidates[1].candidate.statistics
    assert isinstance(kept, HeadStatistics)
    without = run(method="head_ridge")
    result = run(method="head_ridge", reference=kept)
    old = [accuracy(r.model, X[1300:], Y[1300:]) for r in (without, result)]
    assert old[1] > old[0] + 0.2
    assert result.statistics.n_rows == kept.n_rows + result.n_rows["fit"]


def test_a_method_that_forgets_is_not_taken():
    result = run(reference=OLD, forget=0.0, data=(S[:60], Y[:60]))
    for trial in result.candidates[1:]:
        fell = result.candidates[0].reference - trial.reference > 0
        assert not (fell and not trial.why_not)


def test_a_learner_that_cannot_says_why(monkeypatch):
    def cannot(context):
        raise UnsupportedOpError("this one needs a harp")

    learners = {"harp": Learner(cannot, "music"), **LEARNERS}
    monkeypatch.setattr(module, "LEARNERS", learners)
    monkeypatch.setattr("trimtab.update.learners.LEARNERS", learners)
    result = run()
    assert result.candidates[1].why_not == "this one needs a harp"
    assert result.method in LEARNERS


def test_ctrl_c_keeps_the_best_so_far(monkeypatch):
    def pressed(context):
        raise KeyboardInterrupt

    learners = {
        **LEARNERS,
        "slow": Learner(pressed, "slow"),
        "last": LEARNERS["delegate"],
    }
    del learners["delegate"]
    monkeypatch.setattr("trimtab.update.learners.LEARNERS", learners)
    result = run()
    assert result.state == "READY"
    assert result.method in LEARNERS
    assert [t.why_not for t in result.candidates][-2:] == [
        "interrupted",
        "interrupted before its turn",
    ]


def test_ctrl_c_during_the_proof_keeps_what_serves(monkeypatch):
    def pressed(evidence, gates):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_prove", pressed)
    result = run()
    assert result.state == "REJECTED"
    assert "interrupted" in result.reasons[0]
    assert result.model is None


def test_when_the_time_is_up_no_method_is_begun():
    result = run(time_budget_s=1e-9)
    assert result.state == "REJECTED"
    assert all("time was up" in t.why_not for t in result.candidates[1:])


def test_the_users_own_training_stands_in_the_same_guard(asked):
    def train(model, data):
        assert len(data.fit) > len(data.select) > 0
        assert data.replay is not None
        return digits_model()

    result = run(method="delegate", train_fn=train, reference=OLD)
    assert result.state == "REJECTED"  # the same model is no better
    assert not asked.evidence

    def fails(model, data):
        raise RuntimeError("CUDA is out of memory")

    result = run(train_fn=fails)
    assert "fails raised RuntimeError: CUDA" in result.candidates[-1].why_not
    result = run(train_fn=lambda model, data: None)
    assert "returned None" in result.candidates[-1].why_not
    result = run(train_fn=lambda model, data: 3)
    assert result.candidates[-1].why_not


def test_new_classes_are_added():
    x = np.concatenate([X[:600], 1 - X[:300]])
    y = np.concatenate([Y[:600], np.full(300, 10)])
    with pytest.raises(InputError, match="new_classes='add'"):
        run(data=(x, y))
    result = run(data=(x, y), new_classes="add")
    assert result.method in LEARNERS
    assert result.model(X[:2]).shape == (2, 11)
    assert (result.model(1 - X[600:800]).argmax(1) == 10).mean() > 0.95


def test_labels_may_be_names():
    model = digits_model()
    model.class_names = [f"digit {i}" for i in range(10)]
    names = np.array(model.class_names)
    result = run(model, (S[:200], names[Y[:200]]), reference=(OLD[0], names[OLD[1]]))
    assert (
        result.candidates[1].select
        == run(reference=OLD, data=(S[:200], Y[:200])).candidates[1].select
    )
    added = np.append(names[Y[:199]], "letter")
    result = run(model, (S[:200], added), new_classes="add", method="head_ridge")
    assert result.model.class_names == [*names, "letter"]
    with pytest.raises(InputError, match="class_names"):
        run(data=(S[:200], names[Y[:200]]))


def test_a_model_of_labels_and_scores_is_updated():
    graph = digits_model()._graph_again().copy()
    graph.graph.nodes.append(
        Node("ArgMax", ["y"], ["label"], attributes={"axis": 1, "keepdims": 0})
    )
    graph.graph.outputs.insert(0, Value("label", "int64", ("n",)))
    result = run(runnable(graph))
    assert result.method in LEARNERS
    label, p = result.model(S[:99])
    np.testing.assert_array_equal(label, p.argmax(1))


def test_numbers_are_updated():
    from .test_head_ridge import linear

    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 5)).astype(np.float32)
    w = rng.standard_normal((5, 1))
    result = run(linear(w, "none", 1), (x, x @ (1.5 * w) + 4))
    assert result.metric == "mse"
    assert result.ok
    np.testing.assert_allclose(result.model(x), x @ (1.5 * w) + 4, atol=0.05)


# ---- into the registry --------------------------------------------------------------


def deployed(tmp_path):
    """A deployment of the first version in a registry."""
    registry = Registry(tmp_path / "models")
    model = digits_model()
    registry.register("digits", model, reason="first")
    registry.promote("digits", 1, reason="the first one")
    return trimtab.deploy_model("digits", registry=registry, follow=False), registry


def test_a_deployment_with_a_registry_gets_the_new_version(tmp_path):
    deployment, registry = deployed(tmp_path)
    result = run(deployment, reason="a mirror was put in")
    assert (result.state, result.version) == ("PROMOTED", 2)
    assert deployment.version == 2
    version = registry.get("digits@champion")
    assert version.version == 2
    assert registry.get("digits@challenger").version == 2
    assert version.reason == "a mirror was put in"
    assert version.parent == registry.get("digits/1").digest
    loaded = version.load()
    np.testing.assert_allclose(loaded(S[:9]), result.model(S[:9]), atol=1e-6)
    assert loaded.verification is not None  # its golden pairs are replayed


def test_the_second_of_two_updaters_is_refused(tmp_path, monkeypatch):
    deployment, registry = deployed(tmp_path)

    def slow(evidence, gates):
        other = registry.register("digits", digits_model(), reason="another one")
        registry.promote("digits", other, reason="faster")
        return Report()

    monkeypatch.setattr(module, "_prove", slow)
    with pytest.raises(RegistryConflict):
        run(deployment)
    assert registry.get("digits@champion").version == 2
    assert deployment.version == 1


def test_a_reference_is_updated_and_waits(tmp_path):
    _, registry = deployed(tmp_path)
    result = run("digits@champion", registry=registry)
    assert (result.state, result.version) == ("READY", 2)
    assert registry.get("digits@champion").version == 1


def test_a_rollout_decides(tmp_path):
    deployment, _ = deployed(tmp_path)

    class Policy:
        def run(self, dep, version, labels=None):
            assert dep is deployment
            return SimpleNamespace(
                state="ROLLED_BACK", reasons=("errors",), to_dict=dict, version=version
            )

    result = run(deployment, rollout=Policy())
    assert (result.state, result.reasons) == ("ROLLED_BACK", ("errors",))
    assert deployment.version == 1
    with pytest.raises(InputError, match="rollout"):
        run(rollout=Policy())


# ---- what is refused ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "magic"}, "recalibrate"),
        ({"method": "delegate"}, "train_fn"),
        ({"margin": -1}, "margin"),
        ({"forget": float("nan")}, "forget"),
        ({"alpha": 0.7}, "alpha"),
        ({"folds": 1}, "folds"),
        ({"time_budget_s": 0}, "time_budget_s"),
        ({"new_classes": "drop"}, "new_classes"),
        ({"metric": "nonsense"}, "nonsense"),
        ({"reference": (X[:5, :3], Y[:5])}, "reference"),
        ({"registry": "/no/such/folder"}, None),
    ],
)
def test_arguments_are_refused_before_anything_is_learned(options, said):
    with pytest.raises(trimtab.TrimtabError, match=said):
        run(**options)


# ---- the report ---------------------------------------------------------------------


def test_the_result_is_plain_values_a_table_and_a_picture(tmp_path):
    import matplotlib

    matplotlib.use("Agg")
    result = run(reference=OLD)
    plain = json.loads(result.to_json())
    assert plain["state"] == result.state
    assert [c["method"] for c in plain["candidates"]][:2] == ["champion", "recalibrate"]
    text = str(result)
    assert "why not" in text
    assert "head_ridge" in text
    html = result._repr_html_()
    assert "<svg" in html
    assert "<script" not in html
    ax = result.plot()
    assert ax.get_xlabel() == "accuracy"
    matplotlib.pyplot.close("all")
    result.save(tmp_path / "r.json")
    result.save(tmp_path / "r.html")
    assert json.loads((tmp_path / "r.json").read_text()) == plain


def test_a_real_ctrl_c_ends_learning(tmp_path):
    code = """
import os, signal, threading, time
import trimtab.update.learners as learners, trimtab.update.update as module
from trimtab.update.context import Learner
from tests.update.networks import digits, digits_model, shifted
from tests.update.test_update import Report
def slow(context):
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    time.sleep(60)
learners.LEARNERS["slow"] = Learner(slow, "slow")
module._prove = lambda evidence, gates: Report()
signal.signal(signal.SIGINT, signal.default_int_handler)
x, y = digits()
data = shifted(x)[:200], y[:200]
result = module.update_model(digits_model(), data, progress=False)
print(result.state, result.method, result.candidates[-1].why_not)
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    state, method, why_not = found.stdout.split()[:3]
    assert (state, why_not) == ("READY", "interrupted"), found.stderr
    assert method in LEARNERS
