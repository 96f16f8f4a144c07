"""An experiment asks every reranker once, keeps what is done, and treats all systems alike."""

import asyncio
import dataclasses
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import experiments
import pytest
from collection import COLLECTION, NOTHING_RELEVANT
from experiments import EVERY, Slice, WordMatch, run_to_be_killed

from zelo import InputError, Reranker
from zelo._common.journal import Journal
from zelo.errors import ModelFailedError
from zelo.evaluation.experiment import aevaluate, evaluate
from zelo.evaluation.rerankers import Oracle, Pointwise, RandomOrder
from zelo.evaluation.results import SystemRun
from zelo.evaluation.summary import check_options
from zelo.evaluation.systems import System
from zelo.scoring import Progress

TESTS = Path(__file__).parent


def order(run: SystemRun, query_id: str) -> list[str]:
    """Return the document ids of one ranking."""
    return [ranked.doc_id for ranked in run.rankings[query_id]]


def test_every_system_ranks_every_query_that_can_be_answered() -> None:
    """Queries without a relevant document are left out, for all systems alike."""
    systems = [System("first", EVERY), System("words", EVERY, WordMatch())]
    evaluation = evaluate([COLLECTION], systems, depth=7)
    assert [run.system for run in evaluation.cells()] == ["first", "words"]
    for run in evaluation.cells():
        assert set(run.rankings) == set(COLLECTION.queries) - {NOTHING_RELEVANT}
        assert {len(ranking) for ranking in run.rankings.values()} == {7}


def test_systems_may_come_from_an_iterator() -> None:
    """They are walked more than once, so they are listed first; none is lost."""
    systems = [System("first", EVERY), System("words", EVERY, WordMatch())]
    check_options([COLLECTION], iter(systems))
    assert evaluate([COLLECTION], iter(systems)).runs == evaluate([COLLECTION], systems).runs


def test_a_sample_is_evenly_spaced_and_keeps_the_corpus() -> None:
    """Fewer queries, the same documents to find them among."""
    evaluation = evaluate([COLLECTION], [System("first", EVERY)], queries=4)
    sampled = evaluation.collections[COLLECTION.name]
    assert list(sampled.queries) == [COLLECTION.answerable[place] for place in (0, 2, 5, 8)]
    assert sampled.documents == COLLECTION.documents


def test_ties_keep_the_first_stages_order() -> None:
    """Documents with as many common words stand as the first stage had them."""
    evaluation = evaluate([COLLECTION], [System("words", EVERY, WordMatch())])
    places = {doc_id: place for place, doc_id in enumerate(COLLECTION.documents)}
    for ranking in evaluation.runs[COLLECTION.name, "words"].rankings.values():
        keys = [(-ranked.score, places[ranked.doc_id]) for ranked in ranking]
        assert keys == sorted(keys)


def test_a_document_that_two_first_stages_found_is_scored_once() -> None:
    """A pointwise reranker is asked for the rest only, and both rankings are as if asked alone."""
    words = WordMatch()
    systems = [System("a", Slice("a", 0, 25), words), System("b", Slice("b", 10, 40), words)]
    together = evaluate([COLLECTION], systems)
    asked = [(case.query_id, doc_id) for case in words.asked for doc_id in case.doc_ids]
    assert len(asked) == len(set(asked)) == 40 * len(COLLECTION.answerable)
    for system in systems:
        alone = evaluate([COLLECTION], [dataclasses.replace(system, reranker=WordMatch())])
        assert (
            alone.runs[COLLECTION.name, system.name] == together.runs[COLLECTION.name, system.name]
        )


def test_a_listwise_reranker_sees_each_list_whole() -> None:
    """Its order of some candidates says nothing of other lists."""
    words = WordMatch(pointwise=False)
    systems = [System("a", Slice("a", 0, 25), words), System("b", Slice("b", 10, 40), words)]
    evaluate([COLLECTION], systems)
    assert Counter(len(case.documents) for case in words.asked) == {25: 11, 30: 11}


def test_killed_runs_end_as_an_undisturbed_one(tmp_path: Path) -> None:
    """Killed at any moment, at most the query in flight is asked again, and nothing else changes.

    The times of a call are the only thing that two runs may differ in.
    """
    journal, log = tmp_path / "journal.sqlite", tmp_path / "log"
    generator, kills = random.Random(7), 0  # noqa: S311 - reproducible, not secret
    command = [sys.executable, experiments.__file__, str(journal), str(log)]
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    while kills < 4:
        before = log.stat().st_size if log.exists() else 0
        child = subprocess.Popen(command, env=environment)
        while child.poll() is None and (not log.exists() or log.stat().st_size == before):
            time.sleep(0.001)
        time.sleep(generator.uniform(0, 0.01))
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL, "it was to be killed before its end"
        kills += 1
    resumed = run_to_be_killed(journal, log)
    asked = Counter(log.read_text(encoding="utf-8").splitlines())
    undisturbed = run_to_be_killed(tmp_path / "other.sqlite", tmp_path / "other.log")
    assert resumed.runs == undisturbed.runs
    assert set(asked) == set((tmp_path / "other.log").read_text(encoding="utf-8").splitlines())
    assert sum(asked.values()) - len(asked) <= kills
    calls = [
        [c.documents for c in e.calls[COLLECTION.name, "words"]] for e in (resumed, undisturbed)
    ]
    assert sorted(calls[0]) == sorted(calls[1])


def test_a_finished_run_is_not_asked_again(tmp_path: Path) -> None:
    """The same figures come out, times included, and the model is not even loaded."""
    found = []
    for _ in range(2):
        words = WordMatch()
        with Journal(tmp_path / "journal.sqlite") as journal:
            found.append(evaluate([COLLECTION], [System("s", EVERY, words)], journal=journal))
    assert (words.prepared, words.asked) == (0, [])
    assert found[0] == found[1]


def test_more_depth_asks_for_the_new_candidates_only(tmp_path: Path) -> None:
    """What is kept is kept by content, so a larger experiment pays for what is new."""
    words = WordMatch()
    with Journal(tmp_path / "journal.sqlite") as journal:
        for depth in (10, 30):
            evaluate([COLLECTION], [System("s", EVERY, words)], depth=depth, journal=journal)
    assert Counter(len(case.documents) for case in words.asked) == {10: 11, 20: 11}


def test_another_rerankers_scores_are_never_taken(tmp_path: Path) -> None:
    """Settings are part of what is kept, under whatever name a system goes."""
    with Journal(tmp_path / "journal.sqlite") as journal:
        evaluate([COLLECTION], [System("s", EVERY, WordMatch("one"))], journal=journal)
        other = WordMatch("two")
        evaluate([COLLECTION], [System("s", EVERY, other)], journal=journal)
    assert len(other.asked) == 11


def test_a_failure_is_raised_with_its_query_and_keeps_what_was_done(tmp_path: Path) -> None:
    """No score stands for a failure; the next run goes on with the query that failed."""
    failing, well = WordMatch(fails_on="q-stale"), WordMatch()
    with Journal(tmp_path / "journal.sqlite") as journal:
        with pytest.raises(ModelFailedError, match="the model failed") as failed:
            evaluate([COLLECTION], [System("s", EVERY, failing)], journal=journal)
        evaluate([COLLECTION], [System("s", EVERY, well)], journal=journal)
    assert failed.value.__notes__ == ["small, query 'q-stale', reranker words"]
    assert len(failing.asked) - 1 + len(well.asked) == 11
    assert well.asked[0].query_id == "q-stale"


def test_no_more_queries_are_under_way_than_the_reranker_takes() -> None:
    """Nor fewer, where there are enough."""
    words = WordMatch(concurrency=3)
    asyncio.run(aevaluate([COLLECTION], [System("s", EVERY, words)]))
    assert words.most_at_once == 3


def test_each_reranker_is_done_before_the_next_begins() -> None:
    """Two models that fill the memory can be compared: the first is released before."""
    seen: list[int] = []
    first = WordMatch("first")

    class Second(WordMatch):
        def prepare(self) -> None:
            seen.append(first.released)

    systems = [
        System("1", EVERY, first),
        System("2", EVERY, Second("second")),
        System("3", Slice("head", 0, 5), first),
    ]
    evaluate([COLLECTION], systems)
    assert seen == [1]
    assert (first.released, first.prepared) == (1, 1)


def test_the_oracle_puts_the_best_grades_first_and_moves_nothing_else() -> None:
    """Equal grades, and so all unjudged documents, keep the first stage's order."""
    evaluation = evaluate([COLLECTION], [System("first", EVERY), System("best", EVERY, Oracle())])
    first, best = (evaluation.runs[COLLECTION.name, name] for name in ("first", "best"))
    for query_id, judged in evaluation.collections[COLLECTION.name].qrels.items():
        expected = sorted(order(first, query_id), key=lambda doc_id: -judged.get(doc_id, 0))
        assert order(best, query_id) == expected
    assert evaluation.oracle("best")
    assert not evaluation.oracle("first")


def test_queries_of_one_text_keep_their_own_judgements() -> None:
    """The oracle of one query does not answer for another one with the same words."""
    texts = dict(COLLECTION.queries) | {"q-stale": COLLECTION.queries["q-swarm"]}
    twins = dataclasses.replace(COLLECTION, queries=texts)
    run = evaluate([twins], [System("best", EVERY, Oracle())]).runs[twins.name, "best"]
    assert order(run, "q-stale")[0] == "bread-stale"
    assert order(run, "q-swarm")[0] == "bee-swarm-catch"


def test_random_order_is_a_permutation_that_the_seed_repeats() -> None:
    """Another seed gives another one, and a query's order does not depend on the other queries."""

    def shuffled(seed: int, queries: int | None = None) -> SystemRun:
        systems = [System("random", EVERY, RandomOrder(seed))]
        return evaluate([COLLECTION], systems, queries=queries).runs[COLLECTION.name, "random"]

    every, few, other = shuffled(0), shuffled(0, 3), shuffled(1)
    assert every == shuffled(0)
    for query_id in few.rankings:
        assert sorted(order(every, query_id)) == sorted(COLLECTION.documents)
        assert order(few, query_id) == order(every, query_id) != order(other, query_id)


def test_a_real_reranker_is_ranked_by_its_logits(tiny_model: Path, tmp_path: Path) -> None:
    """Rankings, probabilities and tokens are those of `rank`; blank documents come last."""
    texts = dict(COLLECTION.documents) | {"tide-neap": " \n"}
    collection = dataclasses.replace(COLLECTION, documents=texts)
    with Reranker(tiny_model, device="cpu", dtype="float32") as reranker:
        system = System("tiny", EVERY, Pointwise(reranker, "tiny"))
        for _ in range(2):  # the second time from the journal
            with Journal(tmp_path / "journal.sqlite") as journal:
                evaluation = evaluate([collection], [system], queries=2, journal=journal)
            tokens = 0
            for query_id, ranking in evaluation.runs[collection.name, "tiny"].rankings.items():
                expected = reranker.rank(collection.queries[query_id], list(texts.values()))
                tokens += sum(one.tokens for one in expected)
                ids = list(texts)
                assert [r.doc_id for r in ranking] == [ids[one.index] for one in expected]
                assert [r.score for r in ranking] == pytest.approx([o.logit for o in expected])
                assert [r.probability for r in ranking] == pytest.approx(
                    [o.score for o in expected]
                )
                assert ranking[-1] == ("tide-neap", -math.inf, 0.0)
    calls = evaluation.calls[collection.name, "tiny"]
    assert [(call.documents, call.requests, call.malformed) for call in calls] == [(40, 1, 0)] * 2
    assert sum(call.input_tokens for call in calls) == tokens > 0


def test_changed_weights_are_another_reranker(tiny_model: Path, tmp_path: Path) -> None:
    """What lies in a folder is part of what is kept, since training writes into one."""
    folder = tmp_path / "model"
    folder.mkdir()
    for path in tiny_model.rglob("*"):
        if path.is_file():
            (folder / path.relative_to(tiny_model)).parent.mkdir(exist_ok=True)
            (folder / path.relative_to(tiny_model)).write_bytes(path.read_bytes())
    before = Pointwise(Reranker(folder)).identity
    assert before == Pointwise(Reranker(folder, timeout=3.0)).identity
    for name in ("model.safetensors", "chat_template.jinja", "1_LogitScore/config.json"):
        kept = Pointwise(Reranker(folder)).identity
        os.utime(folder / name, ns=(1, 1))
        assert kept != Pointwise(Reranker(folder)).identity
    assert before != Pointwise(Reranker(folder, strip=True)).identity


def test_the_packaged_model_is_kept_by_its_files() -> None:
    """Another zelo-nano under the same name is asked anew; a server is known by its address."""
    here = Pointwise(Reranker("zelo-nano")).identity
    assert "model.safetensors" in {name for name, *_ in here["files"]}
    there = Pointwise(Reranker("zelo-nano", base_url="http://127.0.0.1:1")).identity
    assert there["files"] == []


def test_names_tell_systems_and_rerankers_apart() -> None:
    """Two of one name could not be told apart in any table."""
    twins = [System("s", EVERY), System("s", EVERY, Oracle())]
    with pytest.raises(InputError, match="two systems are named 's'"):
        evaluate([COLLECTION], twins)
    same = WordMatch("random", pointwise=False)
    with pytest.raises(InputError, match="two different rerankers are named 'random'"):
        evaluate([COLLECTION], [System("1", EVERY, same), System("2", EVERY, RandomOrder())])


def test_what_cannot_be_evaluated_is_refused() -> None:
    """No collection, two of one name, nothing relevant, and no depth."""
    first = [System("first", EVERY)]
    nothing = dataclasses.replace(COLLECTION, qrels={q: {} for q in COLLECTION.queries})
    with pytest.raises(InputError, match="collections holds none"):
        evaluate([], first)
    with pytest.raises(InputError, match="systems holds none"):
        evaluate([COLLECTION], [])
    with pytest.raises(InputError, match="two collections are named 'small'"):
        evaluate([COLLECTION, COLLECTION], first)
    with pytest.raises(InputError, match="small: no query has a relevant document"):
        evaluate([nothing], first)
    with pytest.raises(InputError, match="depth=0"):
        evaluate([COLLECTION], first, depth=0)


def test_progress_names_the_work_and_counts_to_its_end() -> None:
    """One piece of work for each first stage and each reranker."""
    told: dict[str, list[tuple[int, int]]] = {}

    def on_stage(name: str) -> Progress:
        return lambda done, total: told.setdefault(name, []).append((done, total))

    evaluate([COLLECTION], [System("s", EVERY, WordMatch())], on_stage=on_stage)
    assert told == {"small: words": [(done, 11) for done in range(1, 12)]}
