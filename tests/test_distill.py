"""Distilling a pairwise model: what it learns from, what it is tried on, and that it goes on."""

import json
import math
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from pairwise_kit import WORDS, Planted, beginner, better, distilled, pair, planted
from safetensors.torch import load_file
from tokenizers import Tokenizer

from zelo import InputError
from zelo.local.prompt import PromptEncoder
from zelo.scoring.families import FAMILIES
from zelo.training.judges.pairwise import PairwiseModelJudge
from zelo.training.lookup import CandidateFile
from zelo.training.pairwise.distill import Distilled
from zelo.training.pairwise.folder import read_pairwise_folder
from zelo.training.pairwise.material import Comparison, Material, both_orders, gather
from zelo.training.pairwise.prompt import PairEncoder, Reading, ShownPair
from zelo.training.pairwise.scoring import Asked, load_scorer
from zelo.training.pairwise.standing import standings
from zelo.training.records import (
    Candidates,
    Document,
    Preferences,
    Query,
    read_records,
    write_records,
)

FULL = Tokenizer.from_str(tiny.tokenizer_json())
ENCODER = PairEncoder(PromptEncoder(tiny.tokenizer_json(), FAMILIES["zelo"]), Reading(512))
SHORT: dict[str, Any] = {"epochs": 1, "tokens_per_step": 200}


class Trained(NamedTuple):
    """A model that has learned the planted preference, and what was said of it."""

    files: Planted
    folder: Path
    found: Distilled


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that knows nothing yet; tests must not change it."""
    return beginner(tmp_path_factory.mktemp("beginner") / "model")


@pytest.fixture(scope="module")
def trained(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Distil once, for the tests that look at the result."""
    root = tmp_path_factory.mktemp("distilled")
    files = planted(root, queries=30)
    return Trained(files, root / "out", distilled(files, model, root / "out"))


@pytest.fixture
def small(tmp_path: Path) -> Planted:
    """Pairs for runs whose result is of no interest."""
    return planted(tmp_path, queries=10, documents=4)


def test_it_beats_its_weakest_teacher(trained: Trained) -> None:
    """On queries that it never saw, surely, against the mean of the other teachers."""
    found = trained.found.standings
    assert found is not None
    assert found.weakest == "drunk"
    assert found.beats_weakest
    weakest = found.teachers["drunk"]
    assert weakest.lead is not None
    assert weakest.lead.interval.low > 0
    assert weakest.lead.mean == pytest.approx(
        (weakest.student.accuracy or 0) - (weakest.others.accuracy or 0)
    )
    assert weakest.student.pairs == weakest.others.pairs == trained.found.counts.tried_on
    assert found.floor is not None
    assert found.student.cross_entropy is not None
    assert found.floor < found.student.cross_entropy < weakest.ensemble.cross_entropy


def test_it_learned_the_truth_behind_the_noise(trained: Trained) -> None:
    """The saved model prefers the better of any two words, for a query that nobody asked."""
    scorer = load_scorer(read_pairwise_folder(trained.folder), device="cpu")
    pairs = [pair("number 999", one, other) for one in WORDS for other in WORDS if one < other]
    answers = scorer.ask([ShownPair.of(one) for one in pairs])
    scorer.close()
    truth = [better(one.first.document, one.second.document) for one in pairs]
    right = [(one.preference > 0.5) == (y > 0.5) for one, y in zip(answers, truth, strict=True)]
    assert sum(right) >= 0.9 * len(right)


def test_the_figures_are_those_of_the_saved_model(trained: Trained) -> None:
    """What was said of the student in memory holds for the judge that others load."""
    source = CandidateFile(trained.files.candidates)
    material = gather(trained.files.preferences, source, ENCODER, held_out=0.2)
    scorer = load_scorer(read_pairwise_folder(trained.folder), device="cpu", dtype="float32")
    asked = scorer.ask([ShownPair.of(one.pair) for one in material.trying])
    scorer.close()
    again = standings(material.trying, asked, material.teachers)
    found = trained.found.standings
    assert found is not None
    assert again.student.cross_entropy == pytest.approx(found.student.cross_entropy, abs=1e-5)
    assert again.student.accuracy == found.student.accuracy
    assert [*again.teachers] == ["sober", "tired", "drunk"]


def test_other_queries_choose_the_step_than_those_it_is_tried_on(trained: Trained) -> None:
    """The loss that chose it is that of those, so the figures do not flatter the model."""
    source = CandidateFile(trained.files.candidates)
    material = gather(trained.files.preferences, source, ENCODER, held_out=0.2)
    scorer = load_scorer(read_pairwise_folder(trained.folder), device="cpu", dtype="float32")
    asked = scorer.ask([ShownPair.of(one.pair) for one in material.choosing])
    scorer.close()
    losses = []
    for one, answer in zip(material.choosing, asked, strict=True):
        for p, y in ((answer.kept, one.preference), (answer.turned, 1 - one.preference)):
            losses.append(-(y * math.log(p) + (1 - y) * math.log(1 - p)))
    assert trained.found.learned.held_out == pytest.approx(sum(losses) / len(losses), abs=1e-5)


def test_the_folder_holds_the_model_and_its_curve(trained: Trained) -> None:
    """And neither a checkpoint nor anything that a reranker's folder has."""
    names = {path.name for path in trained.folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "curve.jsonl"} <= names
    assert not names & {"checkpoint", "modules.json", "1_LogitScore", "chat_template.jinja"}
    assert not any(name.startswith(".") for name in names)
    assert PairwiseModelJudge(trained.folder).name == "out"


def test_a_stopped_run_ends_as_one_that_was_not(
    small: Planted, model: Path, tmp_path: Path
) -> None:
    """The same weights to the last bit, the same figures, and no step made twice."""
    steps = SHORT | {"checkpoint_every": 2, "evaluate_every": 3}
    whole = distilled(small, model, tmp_path / "whole", **steps)

    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise Stopped

    with pytest.raises(Stopped):
        distilled(small, model, tmp_path / "halved", **steps, on_progress=stop)
    assert not (tmp_path / "halved" / "config.json").exists()
    made: list[int] = []
    resumed = distilled(
        small, model, tmp_path / "halved", **steps, on_progress=lambda done, _: made.append(done)
    )
    assert made == list(range(4, whole.learned.steps + 1))
    assert resumed.standings == whole.standings
    kept, again = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "halved"))
    assert kept.keys() == again.keys()
    assert all(kept[name].equal(again[name]) for name in kept)


def test_a_checkpoint_of_other_pairs_is_refused(
    small: Planted, model: Path, tmp_path: Path
) -> None:
    """Instead of going on with a model that learned something else."""

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distilled(small, model, tmp_path / "out", **SHORT, checkpoint_every=2, on_progress=stop)
    other = planted(tmp_path, queries=10, documents=4, seed=1)
    with pytest.raises(InputError, match="another run"):
        distilled(other, model, tmp_path / "out", **SHORT, checkpoint_every=2)


def test_a_folder_of_another_model_is_not_written_to(small: Planted, model: Path) -> None:
    """Nor is anything learned before that is said."""
    before = {path: path.stat().st_mtime_ns for path in model.iterdir()}
    with pytest.raises(InputError, match="holds another model; name another folder"):
        distilled(small, model, model)
    assert {path: path.stat().st_mtime_ns for path in model.iterdir()} == before


def test_an_earlier_model_gives_way_to_a_new_one(
    small: Planted, model: Path, tmp_path: Path
) -> None:
    """With nothing of it left, whatever number of files it had."""
    for held_out in (0.4, 0):
        found = distilled(small, model, tmp_path / "out", **SHORT, held_out=held_out)
        tiny.shard(tmp_path / "out")
    assert found.standings is None
    assert found.counts.held_out_queries == 0
    distilled(small, model, tmp_path / "out", **SHORT, held_out=0)
    weights = sorted(path.name for path in (tmp_path / "out").glob("model*"))
    assert weights == ["model.safetensors"]


@pytest.mark.parametrize("held_out", [-0.1, 1, math.nan])
def test_a_share_is_a_share(small: Planted, held_out: float) -> None:
    """Of the queries, and some are left to learn from."""
    with pytest.raises(InputError, match="share of the queries"):
        gather(small.preferences, CandidateFile(small.candidates), ENCODER, held_out=held_out)


def test_too_few_queries_are_refused(tmp_path: Path) -> None:
    """With how many there are."""
    files = planted(tmp_path, queries=4, documents=4)
    with pytest.raises(InputError, match="preferences on 4 queries; of these 4 would be held out"):
        gather(files.preferences, CandidateFile(files.candidates), ENCODER, held_out=0.1)


TEXTS = ("river", "town", "stone", "spring", "old", "grey", "river")
"""Queries of which the first and the last have one text."""
DOCUMENTS = ("cold", "water", "bridge")
QUERIES = st.integers(0, len(TEXTS) - 1)
LINES = st.lists(
    st.tuples(
        QUERIES,
        st.none() | QUERIES,
        st.lists(
            st.tuples(
                st.integers(0, 2), st.integers(0, 2), st.none() | st.sampled_from([0, 0.7, 1])
            ),
            max_size=4,
        ),
    ),
    max_size=8,
)
EVERY = [(number, None, [(0, 1, 0.7)]) for number in range(len(TEXTS))]
"""So that there are always queries enough."""


def written(folder: Path, lines: Sequence[Any]) -> Planted:
    """Write preferences of these queries, each with all documents for candidates."""
    files = Planted(folder / "preferences.jsonl", folder / "candidates.jsonl")
    documents = [Document(id=f"d{place}", content=text) for place, text in enumerate(DOCUMENTS)]
    write_records(
        files.candidates,
        [
            Candidates(query=Query(id=f"q{place}", query=text), documents=documents)
            for place, text in enumerate(TEXTS)
        ],
    )
    write_records(
        files.preferences,
        [
            Preferences(
                query=f"q{query}",
                against=None if against is None else f"q{against}",
                pairs=[(f"d{one}", f"d{other}") for one, other, _ in pairs],
                preferences=[preference for *_, preference in pairs],
                votes={"any": [preference for *_, preference in pairs]},
            )
            for query, against, pairs in lines
        ],
    )
    return files


def read_back(material: Material) -> Counter[tuple[tuple[str, ...], float]]:
    """What the examples say: the texts of every prompt, with its target."""
    found: Counter[tuple[tuple[str, ...], float]] = Counter()
    for (prefix, suffixes), targets in material.examples:
        for suffix, target in zip(suffixes, targets, strict=True):
            text = FULL.decode(prefix + suffix, skip_special_tokens=False)
            turns = re.findall(r"<\|im_start\|>(system|user)\n(.*?)<\|im_end\|>\n", text)
            if [role for role, _ in turns] == ["system", "user", "user"]:
                turns.insert(2, turns[0])
            assert text.endswith("<|im_end|>\n<|im_start|>assistant\n")
            found[tuple(words for _, words in turns), round(target, 9)] += 1
    return found


def told(comparisons: Sequence[Comparison]) -> Counter[tuple[tuple[str, ...], float]]:
    """What prompts of both orders have to say."""
    found: Counter[tuple[tuple[str, ...], float]] = Counter()
    for (first, second), preference, _ in comparisons:
        own, other = (first.query, first.document), (second.query, second.document)
        found[own + other, round(preference, 9)] += 1
        found[other + own, round(1 - preference, 9)] += 1
    return found


@settings(max_examples=60)
@given(LINES, st.sampled_from([0, 0.3, 0.6]), st.integers(0, 9))
def test_every_pair_goes_one_way(lines: list[Any], held_out: float, seed: int) -> None:
    """Learned from in both orders, held out, or left out and counted; no query goes two ways."""
    with tempfile.TemporaryDirectory() as folder:
        files = written(Path(folder), [*EVERY, *lines])
        source = CandidateFile(files.candidates)
        found = gather(files.preferences, source, ENCODER, held_out=held_out, seed=seed)
        everything = gather(files.preferences, source, ENCODER, held_out=0)
        records = list(read_records(files.preferences, Preferences))
    counts = found.counts
    assert everything.counts.pairs == (
        counts.pairs + counts.chosen_by + counts.tried_on + counts.between
    )
    values = [value for record in records for value in record.preferences]
    assert counts.without_preference == values.count(None)
    assert everything.counts.pairs == len(values) - values.count(None)
    learned = read_back(found)
    rest = read_back(everything) - learned
    assert rest.total() == 2 * (counts.chosen_by + counts.tried_on + counts.between)
    assert not told([*found.choosing, *found.trying]) - rest
    parts = [
        {text for (one, _, other, _), _ in said for text in (one, other)}
        for said in (learned, told(found.choosing), told(found.trying))
    ]
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]
    assert len(parts[0]) == counts.queries
    assert counts.held_out_queries == (max(4, round(6 * held_out)) if held_out else 0)


def test_which_queries_are_held_out_is_theirs_alone(tmp_path: Path) -> None:
    """Neither the order of the lines nor their ids count; the seed does."""
    source = CandidateFile(written(tmp_path, EVERY).candidates)

    def held(seed: int, lines: Sequence[Any] = EVERY) -> set[str]:
        files = written(tmp_path, lines)
        found = gather(files.preferences, source, ENCODER, held_out=0.5, seed=seed)
        return {one.pair.first.query for one in found.trying}

    assert held(0) == held(0, EVERY[::-1]) == held(0, EVERY[1:])
    assert len({frozenset(held(seed)) for seed in range(5)}) > 1


def test_prompts_know_their_pairs() -> None:
    """Places tell which pair a prompt is of, and in which order."""
    pairs = [("cold", "old"), ("old", "grey"), ("cold", "grey")]
    comparisons = [
        Comparison(pair("river", one, other), 0.1 * place, {})
        for place, (one, other) in enumerate(pairs)
    ]
    said = {}
    for example, places in both_orders(comparisons, ENCODER):
        for suffix, target, place in zip(
            example.part.suffixes, example.targets, places, strict=True
        ):
            said[place] = (FULL.decode(example.part.prefix + suffix), target)
    assert sorted(said) == list(range(6))
    for place, (one, other) in enumerate(pairs):
        assert said[2 * place] == (
            f"system\nriver\nuser\n{one}\nuser\n{other}\nassistant\n",
            0.1 * place,
        )
        assert said[2 * place + 1][0] == f"system\nriver\nuser\n{other}\nuser\n{one}\nassistant\n"
        assert said[2 * place + 1][1] == 1 - 0.1 * place


def hand_made() -> tuple[list[Comparison], list[Asked]]:
    """Four pairs of two queries, and the student's answers, in both orders alike but for one."""
    votes = [
        ("river", 1.0, {"a": 1.0, "b": 1.0}),
        ("river", 0.5, {"a": 1.0, "b": 0.0}),
        ("river", 0.25, {"a": 0.5, "b": 0.0}),
        ("town", 0.0, {"a": 0.0, "b": None}),
    ]
    comparisons = [Comparison(pair(query, "x", "y"), mean, said) for query, mean, said in votes]
    answers = [Asked(0.8, 0.2), Asked(0.6, 0.4), Asked(0.6, 0.8), Asked(0.7, 0.3)]
    return comparisons, answers


def test_standings_by_hand() -> None:
    """Two queries, river with three pairs and town with one, each counting alike.

    The student prefers 0.8, 0.6, 0.4, 0.7. Against the ensemble 1, 0.5, 0.25, 0 it is right, not
    counted, right, wrong: accuracy (1 + 0) / 2; in the given order alone, 0.6 for the third is
    wrong: (1/2 + 0) / 2. One of river's three answers depends on the order: (1/3 + 0) / 2.
    Judge a against b alone, on 1, 0, 0 of river: 1, 0 and the half of a tie: 0.5; the student there
    1, 0 and 1: 2/3. Judge b against a, on 1, 1 and a tie: 1 and 0: 0.5; the student 1 and 1.
    """
    found = standings(*hand_made(), ["a", "b"])
    assert found.student.accuracy == 0.5
    assert found.one_order.accuracy == 0.25
    assert found.turned == pytest.approx(1 / 6)
    wanted, said = (1, 0.5, 0.25), (0.8, 0.6, 0.4)
    river = [y * math.log(p) + (1 - y) * math.log(1 - p) for y, p in zip(wanted, said, strict=True)]
    assert found.student.cross_entropy == pytest.approx(-(sum(river) / 3 + math.log(0.3)) / 2)
    a, b = found.teachers["a"], found.teachers["b"]
    assert (a.others.pairs, a.others.accuracy) == (3, 0.5)
    assert (a.student.pairs, a.student.accuracy) == (3, pytest.approx(2 / 3))
    assert a.lead is None
    assert (b.ensemble.pairs, b.others.accuracy, b.student.accuracy) == (3, 0.5, 1)
    assert (found.weakest, found.beats_weakest) == ("a", None)


@pytest.mark.parametrize(("sides", "beats"), [((0.9, 0.9), True), ((0.9, 0.4), False)])
def test_a_lead_is_sure_if_its_interval_is_above_0(sides: tuple[float, float], beats: bool) -> None:
    """Judge b errs on both queries against a; a student that is right on one alone leads by half.

    The bootstrap of differences 1 and 0 reaches from 0 to 1, that of 1 and 1 is 1.
    """
    comparisons = [
        Comparison(pair(query, "x", "y"), 0.5, {"a": 1.0, "b": 0.0}) for query in ("river", "town")
    ]
    asked = [Asked(p, 1 - p) for p in sides]
    found = standings(comparisons, asked, ["b", "a"])
    assert (found.weakest, found.beats_weakest) == ("b", beats)
    lead = found.teachers["b"].lead
    assert lead is not None
    assert (lead.mean, lead.queries) == ((1.0, 2) if beats else (0.5, 2))
    assert tuple(lead.interval) == ((1.0, 1.0) if beats else (0.0, 1.0))


def test_a_sure_vote_that_is_wrong_is_not_infinitely_wrong() -> None:
    """It counts as 0.99, so judges that vote 0 or 1 have a cross-entropy too."""
    comparison = Comparison(pair("river", "x", "y"), 1.0, {"a": 0.0, "b": 1.0})
    found = standings([comparison], [Asked(1.0, 0.0)], ["a", "b"])
    assert found.teachers["a"].ensemble.cross_entropy == pytest.approx(-math.log(0.01))
    assert found.student.cross_entropy == pytest.approx(-math.log(0.99))


def test_a_single_teacher_has_no_others() -> None:
    """So nothing is said of who is better."""
    comparison = Comparison(pair("river", "x", "y"), 1.0, {"a": 1.0})
    found = standings([comparison], [Asked(0.9, 0.1)], ["a"])
    assert (found.weakest, found.beats_weakest) == (None, None)
    teacher = found.teachers["a"]
    assert (teacher.others.pairs, teacher.lead) == (0, None)
    assert teacher.ensemble.accuracy == 1


def test_json_of_the_curve_is_of_cross_entropy(trained: Trained) -> None:
    """It begins near that of a coin, and the held-out loss falls."""
    lines = (trained.folder / "curve.jsonl").read_text(encoding="utf-8").splitlines()
    held_out = [point["held_out"] for point in map(json.loads, lines) if point["held_out"]]
    assert held_out[0] == pytest.approx(math.log(2), abs=0.1)
    assert trained.found.learned.held_out == min(held_out) < 0.6
