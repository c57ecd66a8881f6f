"""The search over precisions: what it chooses, when it stops, what it proves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import InputError
from trimtab.optimize.journal import Journal
from trimtab.optimize.metrics import METRICS
from trimtab.optimize.moves import Option, cheapest, configuration, plan_moves
from trimtab.optimize.outcome import Goal, Judged, noise_of
from trimtab.optimize.progress import Deadline, Progress

from .fakes import FakeTimer, TableBackend, labelled_table, make_search, rows

TABLE, LABELS = labelled_table(4000)
SEARCH, GUARD = np.arange(1000), np.arange(1000, 2000)
QUIET = [0.02, 0.02, 0.02, 0.02]
LOUD = [0.02, 2.5, 0.02, 0.02]


def drop_of(backend: TableBackend, choices: dict[str, str]) -> float:
    """On all rows."""
    after = backend.answers(choices).argmax(1) == LABELS
    return float((TABLE.argmax(1) == LABELS).mean() - after.mean())


def test_layers_that_do_no_harm_become_int8() -> None:
    outcome = make_search(
        TableBackend(TABLE, QUIET), LABELS, SEARCH, GUARD, Goal(0.02)
    ).run()
    assert set(outcome.choices.values()) == {"int8"}
    assert outcome.bound is not None
    assert outcome.bound.upper <= 0.02
    assert "proven" in outcome.reason


def test_only_the_layer_that_harms_goes_back() -> None:
    backend = TableBackend(TABLE, LOUD)
    outcome = make_search(backend, LABELS, SEARCH, GUARD, Goal(0.02)).run()
    assert outcome.choices["layer1"] in ("bf16", "f32")
    assert [outcome.choices[f"layer{i}"] for i in (0, 2, 3)] == ["int8"] * 3
    assert drop_of(backend, outcome.choices) <= 0.02
    assert drop_of(backend, dict.fromkeys(outcome.choices, "int8")) > 0.02


def test_float32_is_the_answer_where_everything_harms() -> None:
    backend = TableBackend(TABLE, [40.0, 50.0])
    goal = Goal(0.01, precisions=("f32", "int8"))
    outcome = make_search(backend, LABELS, SEARCH, GUARD, goal).run()
    assert set(outcome.choices.values()) == {"f32"}
    assert outcome.bound is None
    assert outcome.reason.startswith("f32: no candidate stays within the budget")


def test_the_guard_overrules_a_search_set_that_flatters() -> None:
    """The noise spares the rows that the search sees."""
    backend = TableBackend(TABLE, [1.5, 1.5])
    for noise in backend.noise.values():
        noise[SEARCH] = 0
    goal = Goal(0.01, precisions=("f32", "int8"))
    outcome = make_search(backend, LABELS, SEARCH, GUARD, goal).run()
    assert set(outcome.choices.values()) == {"f32"}
    assert "the guard samples do not prove it" in outcome.reason
    assert outcome.judged[0][1].upper > 0.01


def test_a_safer_point_is_returned_where_the_fastest_is_not_proven() -> None:
    backend = TableBackend(TABLE, [0.02, 3.0, 3.0])
    for name in ("layer1", "layer2"):
        backend.noise[name][SEARCH] *= 0.01
    goal = Goal(0.01, precisions=("f32", "int8"))
    search = make_search(backend, LABELS, SEARCH, GUARD, goal)
    outcome = search.run()
    assert outcome.bound is not None
    assert outcome.bound.upper <= 0.01
    assert outcome.reason.startswith("the next faster point is not proven")
    assert drop_of(backend, outcome.choices) <= 0.01
    # Safest first, and nothing is judged behind the first failure.
    assert [b.upper <= 0.01 for _, b in outcome.judged][-2:] == [True, False]
    assert 0 < outcome.noise < 1  # of what is returned, tried on search samples or not


def test_a_layer_slower_than_in_float32_is_not_kept() -> None:
    backend = TableBackend(TABLE, QUIET)
    timer = FakeTimer(backend, slow=["layer2"])
    outcome = make_search(backend, LABELS, SEARCH, GUARD, Goal(0.02), timer=timer).run()
    assert outcome.choices["layer2"] == "f32"
    assert "slower beside its neighbours: 20.0 against 10.0" in outcome.why["layer2"]
    assert outcome.choices["layer0"] == "int8"


class Lonely(FakeTimer):
    """bfloat16 is fastest, but not for layer1 while layer0 is in int8."""

    def _us(self, name: str, precision: str, key: str) -> float:
        shares = {"f32": 1.0, "bf16": 0.5, "int8": 0.25}
        if name == "layer1":
            shares = {"f32": 1.0, "bf16": 0.5, "int8": 0.6}
            if self.beside.get(key) == "int8" and precision == "bf16":
                return 0.9 * self.backend.times[name]
        return shares[precision] * self.backend.times[name]

    def layers(self, models: Any, names: Any, inputs: Any) -> Any:
        self.beside = {
            key: getattr(model, "choices", {}).get("layer0")
            for key, model in models.items()
        }
        return super().layers(models, names, inputs)


def test_a_layer_takes_the_precision_that_suits_its_neighbours() -> None:
    backend = TableBackend(TABLE, [0.01, 0.01, 0.01])
    goal, timer = Goal(0.02), Lonely(backend)
    outcome = make_search(backend, LABELS, SEARCH, GUARD, goal, timer=timer).run()
    assert outcome.choices == dict.fromkeys(outcome.choices, "int8")
    # where the neighbour goes back, bfloat16 is the fastest again
    backend = TableBackend(TABLE, [20.0, 0.2, 0.2])
    timer = Lonely(backend)
    outcome = make_search(backend, LABELS, SEARCH, GUARD, goal, timer=timer).run()
    assert outcome.choices["layer0"] != "int8"
    assert outcome.choices["layer1"] == "bf16"


class BesideInt8(FakeTimer):
    """A layer that is slow while another one is in int8."""

    def layers(self, models: Any, names: Any, inputs: Any) -> Any:
        chosen = getattr(models.get("chosen"), "choices", {})
        self.slow = ["layer1"] if chosen.get("layer0") == "int8" else []
        return super().layers(models, names, inputs)


def test_a_layer_is_fast_again_where_its_neighbour_went_back() -> None:
    backend = TableBackend(TABLE, [20.0, 0.2, 0.2])
    timer = BesideInt8(backend)
    goal = Goal(0.02)
    outcome = make_search(backend, LABELS, SEARCH, GUARD, goal, timer=timer).run()
    assert outcome.choices["layer0"] != "int8"
    assert outcome.choices["layer1"] == "bf16"  # the safest that is faster
    assert outcome.choices["layer2"] == "int8"


def test_a_model_slower_as_a_whole_is_not_returned() -> None:
    backend = TableBackend(TABLE, QUIET)
    timer = FakeTimer(backend, whole=1.05)
    outcome = make_search(backend, LABELS, SEARCH, GUARD, Goal(0.02), timer=timer).run()
    assert set(outcome.choices.values()) == {"f32"}
    assert "as a whole" in outcome.reason


def test_memory_counts_bytes_and_not_time() -> None:
    backend = TableBackend(TABLE, QUIET)
    timer = FakeTimer(backend, slow=["layer0", "layer1"], whole=3.0)
    goal = Goal(0.02, "memory")
    outcome = make_search(backend, LABELS, SEARCH, GUARD, goal, timer=timer).run()
    assert set(outcome.choices.values()) == {"int8"}


def test_only_the_precisions_asked_for_are_used() -> None:
    goal = Goal(0.02, precisions=("f32", "bf16"))
    outcome = make_search(TableBackend(TABLE, QUIET), LABELS, SEARCH, GUARD, goal).run()
    assert set(outcome.choices.values()) == {"bf16"}


def test_equal_seeds_and_data_give_equal_answers() -> None:
    found = [
        make_search(TableBackend(TABLE, LOUD), LABELS, SEARCH, GUARD, Goal(0.02)).run()
        for _ in range(2)
    ]
    assert found[0].choices == found[1].choices
    assert found[0].bound == found[1].bound


@pytest.mark.parametrize("metric", ["top_1_agreement", "cosine", "sqnr"])
def test_agreement_with_float32_needs_no_labels(metric: str) -> None:
    backend = TableBackend(TABLE, QUIET)
    outcome = make_search(
        backend, LABELS, SEARCH, GUARD, Goal(0.05), metric=metric
    ).run()
    assert outcome.bound is not None
    assert outcome.bound.upper <= 0.05
    assert outcome.bound.drop > 0


# ---- interrupts, journals, time -----------------------------------------------------


class Interrupted(TableBackend):
    """Ctrl-C comes at the n-th candidate."""

    at = 10**9

    def build(self, choices, *, quick=False):
        if self.n_built >= self.at:
            raise KeyboardInterrupt
        return super().build(choices, quick=quick)


def test_an_interrupted_search_goes_on_from_its_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    whole = make_search(TableBackend(TABLE, LOUD), LABELS, SEARCH, GUARD, Goal(0.02))
    expected = whole.run()
    n_whole = whole._backend.n_built
    for at in range(1, n_whole):
        path.unlink(missing_ok=True)
        backend = Interrupted(TABLE, LOUD)
        backend.at = at
        journal = Journal(path, "k")
        search = make_search(
            backend, LABELS, SEARCH, GUARD, Goal(0.02), journal=journal
        )
        with pytest.raises(KeyboardInterrupt):
            search.run()
        journal.close()
        # What is returned is proven, or float32.
        found = search.outcome
        assert found.bound or set(found.choices.values()) == {"f32"}
        with path.open("ab") as file:  # a line that was cut off
            file.write(b'deadbeef ["k","noise","int8:layer0",99')
        again = Interrupted(TABLE, LOUD)
        resumed = Journal(path, "k")
        outcome = make_search(
            again, LABELS, SEARCH, GUARD, Goal(0.02), journal=resumed
        ).run()
        resumed.close()
        assert outcome.choices == expected.choices
        assert outcome.bound == expected.bound
        # at most the candidate that was lost, the plain graph and the last are built
        assert again.n_built <= n_whole - at + 4


def test_a_journal_holds_several_searches(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    for key, value in (("a", 1.0), ("b", 2.0)):
        journal = Journal(path, key)
        journal.put("noise", "x", value)
        journal.close()
    journal = Journal(path, "a")
    assert (journal.get("noise", "x"), journal.n_resumed) == (1.0, 1)
    journal.close()


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_damaged_end_is_dropped_and_the_rest_is_kept(
    tmp_path: Path, cut: int
) -> None:
    path = tmp_path / "journal"
    journal = Journal(path, "k")
    for i in range(5):
        journal.put("noise", f"layer{i}", float(i))
    journal.close()
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    journal = Journal(path, "k")
    kept = journal.n_resumed
    assert kept in (3, 4)
    journal.put("noise", "new", 7.0)
    journal.close()
    journal = Journal(path, "k")
    assert (journal.n_resumed, journal.get("noise", "new")) == (kept + 1, 7.0)
    journal.close()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 255))
def test_no_damage_makes_a_journal_lie(tmp_path_factory, at: int, byte: int) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"
    journal = Journal(path, "k")
    for i in range(4):
        journal.put("noise", f"layer{i}", float(i))
    journal.close()
    content = bytearray(path.read_bytes())
    content[at % len(content)] = byte
    path.write_bytes(content)
    try:
        journal = Journal(path, "k")
    except InputError:
        return  # its very first bytes: it is taken for something else
    for i in range(4):
        assert journal.get("noise", f"layer{i}") in (None, float(i))
    journal.close()


def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "thesis.txt"
    for content in (b"do not lose me", b"two\nlines\n", b"deadbeef is a word\n"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="something else"):
            Journal(path, "k")
        assert path.read_bytes() == content
    with pytest.raises(InputError, match="No such file"):
        Journal(tmp_path / "missing" / "j", "k")


def test_without_time_the_search_makes_do() -> None:
    now = [0.0]

    class Slow(TableBackend):
        def build(self, choices, *, quick=False):
            now[0] += 1.0
            return super().build(choices, quick=quick)

    backend = Slow(TABLE, [*QUIET * 10, 2.5])
    deadline = Deadline(20.0, lambda: now[0])
    outcome = make_search(
        backend, LABELS, SEARCH, GUARD, Goal(0.02), deadline=deadline
    ).run()
    assert now[0] < 30
    assert outcome.bound is None or outcome.bound.upper <= 0.02


# ---- moves --------------------------------------------------------------------------


def test_moves_go_through_bf16_only_where_it_pays() -> None:
    f32 = Option("f32", 10.0, 0.0)
    good = [f32, Option("bf16", 6.0, 0.001), Option("int8", 3.0, 0.1)]
    assert [m.after for m in plan_moves({"a": good})] == ["bf16", "f32"]
    # bf16 as slow as f32 and half as noisy as int8: a step that costs all, buys half
    poor = [f32, Option("bf16", 9.9, 0.09), Option("int8", 3.0, 0.1)]
    assert [m.after for m in plan_moves({"a": poor})] == ["f32"]
    assert cheapest({"a": [f32, Option("int8", 11.0, 0.0)]}) == {"a": "f32"}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.floats(0, 10), st.floats(1e-6, 1)] * 2), min_size=1, max_size=8
    )
)
def test_each_move_is_worth_no_more_than_the_one_before(given_options) -> None:
    options = {
        f"l{i}": [
            Option("f32", 10.0, 0.0),
            Option("bf16", a, x),
            Option("int8", b, y),
        ]
        for i, (a, x, b, y) in enumerate(given_options)
    }
    moves = plan_moves(options)
    worths = [move.worth for move in moves]
    assert worths == sorted(worths, reverse=True)
    state = cheapest(options)
    for move in moves:
        assert state[move.layer] == move.before
        state = configuration(state, [move])
    assert all(
        state[name] == "f32" or all(o.cost >= 10 or o.precision == p for o in given)
        for (name, given), p in zip(options.items(), state.values(), strict=True)
    )


def test_noise_is_relative_to_the_reference() -> None:
    a = np.array([[3.0, 4.0]])
    assert noise_of(a, a + np.array([[0.0, 0.5]])) == pytest.approx(0.01)
    assert noise_of(a, np.array([[np.nan, 4.0]])) == np.inf
    assert noise_of(np.array([1, 2, 3, 4]), np.array([1, 2, 3, 5])) == 0.25
    assert noise_of(np.zeros((1, 2)), np.zeros((1, 2))) == 0


def test_noise_is_what_the_metric_counts() -> None:
    strong, weak = [300.0, 400.0], [0.3, 0.4]
    reference = np.array([strong, weak])
    outputs = reference + np.array([[0.0, 0.0], [0.0, 0.25]])
    samples = rows(np.arange(2), None)
    for name, wanted in [
        ("sqnr", 0.125),
        ("top_1_agreement", noise_of(reference, outputs)),
    ]:
        judged = Judged.of(METRICS[name], samples, reference)
        assert judged.noise(outputs) == pytest.approx(wanted)
        assert judged.noise(outputs[:1]) == 0
        assert judged.noise(np.full((1, 2), np.nan)) == np.inf


def test_progress_is_told_and_never_printed(capsys) -> None:
    told: list[tuple[int, int, str]] = []
    progress = Progress(lambda *state: told.append(state))
    progress.begin("search", 2)
    for _ in range(3):
        progress.step()
    assert [done for done, _, _ in told] == [0, 1, 2, 2]
    assert {state[1:] for state in told} == {(2, "search")}
    Progress(None).begin("search", 2)  # no terminal here
    assert capsys.readouterr() == ("", "")
    with pytest.raises(InputError, match="progress"):
        Progress("yes")  # type: ignore[arg-type]
