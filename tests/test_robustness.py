"""Robustness: attacks keep their document, controls keep their length, numbers are the model's."""

import json
import math

import pytest
from collection import COLLECTION
from fakes import FAKES
from fakes_serving import FakeServer
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from zelo import InputError, NonFiniteScoreError, Reranker
from zelo.corpora import Collection, normal_text
from zelo.evaluation.robustness import ATTACKS, robustness
from zelo.evaluation.robustness.attacks import PLACES, altered, neutral
from zelo.evaluation.robustness.chosen import LONGEST, choose
from zelo.evaluation.robustness.long_documents import around, surrounded
from zelo.evaluation.robustness.reading import undefended
from zelo.evaluation.robustness.trials import DEPTHS
from zelo.local.prompt import PromptEncoder
from zelo.retrieval.stage import Retrieved
from zelo.scoring import Scored
from zelo.scoring.families import FAMILIES

WORDS = st.text(min_size=1, max_size=80)
SENTENCES = st.lists(st.sampled_from("bees fly over the cold water".split()), max_size=60)
DOCUMENT = "the river runs down from the hills to the sea"
QUERY = "how is the water of the river"


class InOrder:
    """A first stage that finds every document, in the collection's order."""

    name = "all"

    def retrieve(self, collection, query_ids, depth, progress=None):
        found = [Retrieved(d, -float(i)) for i, d in enumerate(collection.documents)]
        return {q: found[:depth] for q in query_ids}


class Lengths:
    """A scorer whose logit is the text's length, or whatever a test says instead."""

    def __init__(self, logit=len):
        self.logit = logit

    def score(self, requests, progress=None):
        return [[Scored(float(self.logit(d)), 0.5) for d in one.documents] for one in requests]

    def close(self):
        pass


@pytest.fixture(scope="module")
def local(tiny_model):
    with Reranker(tiny_model, dtype="float32", device="cpu", max_tokens=2_000) as reranker:
        yield reranker


def study(reranker, collection=COLLECTION, **options):
    """A study small enough for a test."""
    small = {"queries": 3, "depth": 12, "lengths": (700,)} | options
    return robustness(collection, reranker, InOrder(), **small)


@pytest.fixture(scope="module")
def report(local):
    return study(local)


def by_reading(outcomes, reading):
    return [one for one in outcomes if one.reading == reading]


# attacks


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
@settings(max_examples=20)  # of each attack
@given(query=WORDS, document=WORDS)
def test_an_attack_keeps_the_document(attack, place, query, document):
    """The attacked document holds every character of the original, at its end or beginning."""
    addition = attack.addition(query, document)
    found = altered(document, addition, place)
    assert len(found) == len(document) + 1 + len(addition)
    assert found.startswith(document) if place == "after" else found.endswith(document)


@settings(max_examples=100)
@given(length=st.integers(0, 2_000))
def test_a_control_has_the_length_of_its_attack(length):
    """Neutral text has exactly as many characters, and none that stripping would take away."""
    text = neutral(length)
    assert len(text) == len(text.strip()) == length


def test_controls_say_nothing_of_the_attacks():
    """A control neither forges a control token nor asks for an answer."""
    words = set(normal_text(neutral(1_000)).split())
    assert not words & {"relevant", "yes", "answer", "answers", "query", "perfectly", "true"}
    assert "<" not in neutral(1_000)


# readings


@pytest.fixture(scope="module")
def undefended_tiny(local):
    with undefended(local) as reader:
        yield reader


@pytest.fixture(scope="module")
def encoder(tiny_tokenizer_json):
    return PromptEncoder(tiny_tokenizer_json, FAMILIES["zerank-2"])


@pytest.fixture(scope="module")
def control_ids(tiny_tokenizer_json):
    return set(Tokenizer.from_str(tiny_tokenizer_json).get_added_tokens_decoder())


@settings(max_examples=100)
@given(document=st.text(max_size=60).filter(lambda text: "<" not in text))
def test_both_readings_give_harmless_text_the_same_ids(undefended_tiny, encoder, document):
    """Without control strings, zelo's encoding and the rendered string are the same prompt."""
    assert undefended_tiny.ids(QUERY, document) == encoder.prompt_ids(QUERY, document)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_only_forging_attacks_are_control_ids_and_only_undefended(
    undefended_tiny, encoder, control_ids, attack, place
):
    """A kind is what it says: forged tokens become control ids in one string, never in zelo."""

    def controls(ids):
        return [token for token in ids if token in control_ids]

    attacked = altered(DOCUMENT, attack.addition(QUERY, DOCUMENT), place)
    honest = controls(encoder.prompt_ids(QUERY, DOCUMENT))
    assert controls(encoder.prompt_ids(QUERY, attacked)) == honest
    forged = controls(undefended_tiny.ids(QUERY, attacked)) != honest
    assert forged == (attack.kind == "control tokens")


def test_the_undefended_reading_runs_the_same_weights(local, undefended_tiny):
    """For harmless text its numbers are the reranker's, and it loads no second copy."""
    texts = [DOCUMENT, "stone bridges", "read a file"]
    found = undefended_tiny(QUERY, texts)
    assert [one.logit for one in found] == pytest.approx(
        local.score(QUERY, texts, scale="logit"), abs=1e-4
    )
    assert [one.probability for one in found] == pytest.approx(local.score(QUERY, texts), abs=1e-5)
    calls = local.stats().calls
    undefended_tiny(QUERY, texts)
    assert local.stats().calls == calls + 1


def test_the_undefended_reading_strips_as_the_reranker_does(tiny_model):
    """With strip=True the harmless prompts stay equal."""
    with (
        Reranker(tiny_model, dtype="float32", device="cpu", strip=True) as stripping,
        undefended(stripping) as reader,
    ):
        assert reader.ids(f" {QUERY}\n", f"\n{DOCUMENT} ") == reader.ids(QUERY, DOCUMENT)


def test_a_prompt_beyond_the_model_is_refused(tiny_model, undefended_tiny):
    """What the model cannot read is an error without the text in it, never a cut."""
    with pytest.raises(InputError, match=r"40960") as caught:
        undefended_tiny(QUERY, ["bees " * 41_000])
    assert "bees" not in str(caught.value)


def test_the_undefended_reading_gives_the_model_back(tiny_model):
    """After it, and after the reranker, no copy of the model stays."""
    from zelo.local import instances

    held = len(instances._registry.instances)
    with Reranker(tiny_model, dtype="float32", device="cpu", max_batch_tokens=999) as reranker:
        with undefended(reranker):
            assert len(instances._registry.instances) == held + 1
        reranker.score(QUERY, [DOCUMENT])
    assert len(instances._registry.instances) == held


# choices


@pytest.mark.parametrize("seed", range(5))
def test_the_victim_is_irrelevant_short_and_from_the_middle(seed):
    """No relevant document, copy of one, long document or end of the list is attacked."""
    texts = {f"d{i}": f"text {i}" for i in range(16)}
    texts |= {"d6": "x" * (LONGEST + 1), "d7": "Text, 0!", "d8": "other", "d9": " "}
    collection = Collection("c", texts, {"q": "?"}, {"q": {"d0": 1, "d8": 2, "d5": 0}})
    run = [Retrieved(doc_id, 1.0) for doc_id in texts]
    chosen = choose(collection, "q", run, seed)
    assert chosen.victim in {"d3", "d4", "d5", "d10", "d11"}
    assert chosen.passage in {"d0", "d8"}
    assert "d9" not in chosen.candidates
    assert set(chosen.irrelevant) == set(texts) - {"d0", "d7", "d8", "d9"}


def test_choices_hang_on_seed_and_query_alone():
    """Other queries of the sample change nothing; another seed does."""
    run = InOrder().retrieve(COLLECTION, COLLECTION.queries, 30)
    queries = COLLECTION.answerable

    def victims(sample, seed):
        return [choose(sample, q, run[q], seed).victim for q in queries[:1]]

    assert victims(COLLECTION, 0) == victims(COLLECTION.sample(1), 0)
    of_all = [[choose(COLLECTION, q, run[q], seed).victim for q in queries] for seed in (0, 0, 1)]
    assert of_all[0] == of_all[1] != of_all[2]


@settings(max_examples=100)
@given(words=SENTENCES, depth=st.sampled_from(DEPTHS), passage=WORDS.filter(str.strip))
def test_a_long_document_holds_its_passage_and_all_words_around(words, depth, passage):
    """Nothing of the passage is lost, and no word around it, at every depth."""
    text = " ".join(words)
    found = surrounded(passage, text, depth)
    before, _, after = found.partition(passage) if depth else ("", "", found[len(passage) :])
    assert passage in found
    if passage not in text:
        assert (before.split() + after.split()) == words
        assert len(before) <= depth * len(text) + len("\n\n") + 1


def test_depths_put_the_passage_further_and_further_down():
    """0 is the very start, 1 the very end."""
    text = "word " * 200
    places = [surrounded("PASSAGE", text, depth).index("PASSAGE") for depth in DEPTHS]
    assert places == sorted(places)
    assert places[0] == 0
    assert surrounded("PASSAGE", text, 1.0).endswith("PASSAGE")
    assert abs(places[2] - len(text) / 2) < 10


@pytest.mark.parametrize("length", [100, 1_000, 20_000])
def test_what_is_around_is_irrelevant_and_as_long_as_asked(length):
    """It holds no candidate and nothing relevant, comes again when short, and has a fixed start."""
    query_id = COLLECTION.answerable[0]
    run = InOrder().retrieve(COLLECTION, [query_id], 20)
    chosen = choose(COLLECTION, query_id, run[query_id], 0)
    text = around(COLLECTION, chosen, length, 0)
    assert len(text) == length
    assert around(COLLECTION, chosen, 2 * length, 0).startswith(text[: length // 2])
    relevant = {d for d, grade in COLLECTION.qrels[query_id].items() if grade > 0}
    for doc_id in relevant | set(chosen.candidates):
        assert COLLECTION.documents[doc_id] not in text


# the study


def test_every_attack_and_position_is_tried_on_every_query(report):
    """Each attack at both places and each depth, in each reading, has one trial per query."""
    assert report.queries == 3
    for reading in ("zelo", "one string"):
        tried = [(one.attack, one.place) for one in by_reading(report.attacks, reading)]
        assert tried == [(attack.name, place) for place in PLACES for attack in ATTACKS]
    for reading in ("truncate", "chunk"):
        assert [one.depth for one in by_reading(report.positions, reading)] == list(DEPTHS)
    assert {len(one.trials) for one in (*report.attacks, *report.positions)} == {3}


def test_trials_are_what_the_reranker_says_of_the_whole_list(local, report):
    """An attack's trial is the victim's logit and rank among the query's candidates."""
    outcome = next(one for one in report.attacks if (one.attack, one.place) == ("query", "after"))
    for trial in outcome.trials:
        query, victim = COLLECTION.queries[trial.query_id], COLLECTION.documents[trial.doc_id]
        candidates = dict(list(COLLECTION.documents.items())[:12])
        for placed, text in (
            (trial.before, victim),
            (trial.control, altered(victim, neutral(len(query)), "after")),
            (trial.after, altered(victim, query, "after")),
        ):
            ranking = local.rank(query, list((candidates | {trial.doc_id: text}).values()))
            rank = [one.index for one in ranking].index(list(candidates).index(trial.doc_id))
            assert placed.above == rank
            assert placed.logit == pytest.approx(ranking[rank].logit, abs=1e-4)
        assert trial.candidates == 11


def test_readings_differ_by_forged_tokens_alone(report):
    """Plain-text attacks give the same logits in both readings, forged tokens others."""

    def logits(outcome):
        return pytest.approx([trial.after.logit for trial in outcome.trials], abs=1e-4)

    pairs = zip(*(by_reading(report.attacks, of) for of in ("zelo", "one string")), strict=True)
    for ours, theirs in pairs:
        same = logits(ours) == [trial.after.logit for trial in theirs.trials]
        assert same == (ours.kind == "plain text")


def test_chunks_are_a_reading_of_their_own(tiny_model):
    """Long documents are read in windows by one reading, and cut by the other where too long."""
    with Reranker(tiny_model, dtype="float32", device="cpu", max_document_tokens=100) as reranker:
        found = study(reranker, queries=2, lengths=(2_000,))
    assert {one.truncated() for one in by_reading(found.positions, "truncate")} == {1.0}
    assert {one.truncated() for one in by_reading(found.positions, "chunk")} == {0.0}
    assert "100 tokens" in found.readings["chunk"]
    *_, last = by_reading(found.positions, "truncate")
    first = by_reading(found.positions, "truncate")[3]
    assert last.lift(0).mean == pytest.approx(first.lift(0).mean, abs=1e-3)  # neither was read


def test_the_same_seed_gives_the_same_report(local, report):
    """Deterministic down to each trial; another seed takes other documents."""
    assert study(local, lengths=iter([700])).as_json() == report.as_json()
    other = study(local, seed=1)
    assert [t.doc_id for t in other.attacks[0].trials] != [
        t.doc_id for t in report.attacks[0].trials
    ]


def test_the_report_is_json(report):
    """Every number is finite, and the trials stand beside their summary."""
    found = json.loads(json.dumps(report.as_json(), allow_nan=False))
    first = found["attacks"][0]
    assert first["attack"] == "forged answer"
    assert {"mean", "low", "high", "median"} == set(first["lift"])
    assert len(first["trials"]) == first["queries"] == 3
    assert {"logit", "probability", "above", "truncated"} == set(first["trials"][0]["after"])


def test_a_server_gets_no_undefended_column(local):
    """Over HTTP there is one reading, and its numbers are those of the defended model."""
    options = {"dialect": "gateway", "score_scale": "probability"}
    with (
        FakeServer(FAKES["gateway"], local).running() as server,
        Reranker("zerank-2", base_url=server.url, **options) as remote,
    ):
        found = study(remote, queries=1, lengths=())
    assert {one.reading for one in found.attacks} == set(found.readings) == {"as it is"}
    here = by_reading(study(local, queries=1, lengths=()).attacks, "zelo")
    for one, other in zip(found.attacks, here, strict=True):
        assert one.trials[0].after.probability == pytest.approx(
            other.trials[0].after.probability, abs=1e-4
        )


def test_a_scorer_of_ones_own_is_read_as_it_is():
    """Ranks follow its numbers: the longer document wins, its control as much as the attack."""
    found = study(Reranker.from_scorer(Lengths()))
    for one in found.attacks:
        for trial in one.trials:
            assert trial.lift == 0
            assert trial.climb == trial.control_climb >= 0
            assert trial.after.above <= trial.before.above
    assert all(trial.after.above == 0 for one in found.positions for trial in one.trials)


def test_ties_win_nothing():
    """At equal logits an attacked candidate keeps its place, and a hidden passage comes last."""
    found = study(Reranker.from_scorer(Lengths(lambda text: 0)))
    for one in found.attacks:
        for trial in one.trials:
            place = list(COLLECTION.documents).index(trial.doc_id)
            assert trial.before.above == trial.control.above == trial.after.above == place
    assert all(t.after.above == t.candidates for one in found.positions for t in one.trials)


def test_a_failure_never_becomes_a_score():
    """One attacked document without a finite logit ends the study."""
    broken = Lengths(lambda text: math.nan if "perfectly" in text else len(text))
    with pytest.raises(NonFiniteScoreError):
        study(Reranker.from_scorer(broken))


def test_progress_counts_queries():
    """Every query is reported once, the last one last."""
    told = []
    study(Reranker.from_scorer(Lengths()), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_queries_that_cannot_be_measured_are_counted():
    """A relevant passage longer than half of a length is left out there, and told."""
    found = study(Reranker.from_scorer(Lengths()), lengths=(20, 2_000))
    assert found.left_out == {"its passage is longer than half of 20 characters": 3}
    assert {one.characters for one in found.positions} == {2_000}


def test_a_collection_too_small_to_hide_in_is_told():
    """Where every document is a candidate, attacks are measured and positions are not."""
    found = study(Reranker.from_scorer(Lengths()), depth=1_000, lengths=(700, 1_400))
    assert found.left_out == {"every document of the collection is its candidate": 3}
    assert not found.positions
    assert found.attacks


def test_nothing_to_measure_is_an_error():
    """A collection whose documents are all too long gives no empty report."""
    texts = {f"d{i}": f"{i}" * (LONGEST + 1) for i in range(8)}
    collection = Collection("c", texts, {"q": "?"}, {"q": {"d0": 1}})
    with pytest.raises(InputError, match="none of 1 queries"):
        study(Reranker.from_scorer(Lengths()), collection)


def test_a_length_of_nothing_is_refused():
    """Lengths count characters."""
    with pytest.raises(InputError, match="characters"):
        study(Reranker.from_scorer(Lengths()), lengths=(0,))
