"""The pointwise stage: what is read of the targets, what is held out, and the model's folder."""

import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st
from learning_kit import queries, settings
from sentence_transformers import CrossEncoder

from zelo import Reranker
from zelo.errors import InputError
from zelo.training import pointwise as module_under_test
from zelo.training.pointwise import Pointwise, pointwise
from zelo.training.targets import spread

TARGETS = st.dictionaries(st.text("abcdef", min_size=1), st.floats(0, 1), min_size=1, max_size=20)


class Files:
    """Queries with documents and targets, as the stages before leave them."""

    def __init__(self, folder: Path, count: int = 20) -> None:
        self.folder = folder
        generator = random.Random(7)  # noqa: S311 - repeatable, not secret
        self.texts = {
            f"q{number}": (query, {f"d{place}": text for place, text in enumerate(documents)})
            for number, (query, documents) in enumerate(queries(count, seed=1))
        }
        self.targets = {
            query_id: {doc_id: generator.random() for doc_id in documents}
            for query_id, (_, documents) in self.texts.items()
        }

    def write(self) -> tuple[Path, Path]:
        """Write both files, and return their paths."""
        targets, candidates = self.folder / "targets.jsonl", self.folder / "candidates.jsonl"
        with targets.open("w") as file:
            for query_id, values in self.targets.items():
                file.write(json.dumps({"query": query_id, "targets": values}) + "\n")
        with candidates.open("w") as file:
            for query_id, (query, documents) in self.texts.items():
                found = [{"id": doc_id, "content": text} for doc_id, text in documents.items()]
                record = {"query": {"id": query_id, "query": query}, "documents": found}
                file.write(json.dumps(record) + "\n")
        return targets, candidates

    def train(self, model: Path, **changed: Any) -> Pointwise:
        """Train on these files, into the folder `model`."""
        arguments: dict[str, Any] = {"learning": settings(), "held_out": 0.3, "device": "cpu"}
        return pointwise(
            *self.write(), self.folder / "model", model=str(model), **arguments | changed
        )


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Twenty queries with four documents each."""
    return Files(tmp_path)


@given(TARGETS, st.integers(2, 8), st.integers(0, 5))
@trying(max_examples=100)
def test_a_choice_of_documents_is_as_wide_as_all(
    targets: dict[str, float], count: int, seed: int
) -> None:
    """It has the best and the worst, and one of each equal part of those between, by rank."""
    chosen = spread(targets, count, str(seed))
    assert len(chosen) == len(set(chosen)) == min(count, len(targets))
    assert chosen == spread(targets, count, str(seed))
    ranked = sorted(targets, key=lambda doc_id: (targets[doc_id], doc_id))
    assert {ranked[0], ranked[-1]} <= set(chosen)
    if len(targets) > count:
        between = ranked[1:-1]
        places = sorted(between.index(doc_id) for doc_id in chosen[1:-1])
        ends = [part * len(between) // (count - 2) for part in range(1, count - 1)]
        assert all(place < end for place, end in zip(places, ends, strict=True))
        assert all(place >= end for place, end in zip(places[1:], ends, strict=False))


def test_choices_come_to_every_document() -> None:
    """Over many epochs none is left out."""
    targets = {str(number): number / 30 for number in range(30)}
    met = {doc_id for seed in range(100) for doc_id in spread(targets, 5, str(seed))}
    assert met == set(targets)


def test_a_trained_model_is_a_reranker(files: Files, tiny_model: Path) -> None:
    """It loads with zelo and with sentence-transformers, equal logits, and does better."""
    found = files.train(tiny_model, learning=settings(epochs=4))
    assert (found.queries, found.documents) == (found.queries, 4 * found.queries)
    assert (found.held_out_queries, found.held_out_documents) == (
        20 - found.queries,
        80 - found.documents,
    )
    assert found.before is not None
    assert found.after is not None
    assert found.after.loss < found.before.loss
    assert found.after.loss == pytest.approx(found.learned.held_out)
    folder = files.folder / "model"
    query, documents = files.texts["q0"]
    theirs = CrossEncoder(str(folder), device="cpu").predict(
        [(query, text) for text in documents.values()]
    )
    with Reranker(folder, dtype="float32", device="cpu") as reranker:
        ranked = reranker.rank(query, list(documents.values()))
    ours = [one.logit for one in sorted(ranked, key=lambda one: one.index)]
    assert ours == pytest.approx(list(theirs), abs=1e-4)
    names = {path.name for path in folder.iterdir()}
    assert {"README.md", "curve.jsonl", "curve.png", "curve.svg"} <= names
    assert "checkpoint" not in names


def test_held_out_figures_are_those_of_the_reranker(files: Files, tiny_model: Path) -> None:
    """Loss and Kendall's tau, worked out anew from the saved model's probabilities."""
    held_out = []
    gather = module_under_test.gather

    def gathering(*arguments: Any, **more: Any) -> Any:
        material = gather(*arguments, **more)
        held_out.extend(sorted(tuple(one.targets) for one in material.held_out))
        return material

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module_under_test, "gather", gathering)
        found = files.train(tiny_model)
    apart = [one for one in files.targets if tuple(files.targets[one].values()) in held_out]
    assert len(apart) == found.held_out_queries
    errors, taus = [], []
    with Reranker(files.folder / "model", dtype="float32", device="cpu") as reranker:
        for query_id in apart:
            query, documents = files.texts[query_id]
            ranked = reranker.rank(query, list(documents.values()))
            scores = [one.score for one in sorted(ranked, key=lambda one: one.index)]
            wanted = list(files.targets[query_id].values())
            errors += [(s - t) ** 2 for s, t in zip(scores, wanted, strict=True)]
            taus.append(tau(scores, wanted))
    assert found.after is not None
    assert found.after.loss == pytest.approx(sum(errors) / len(errors), abs=1e-5)
    assert found.after.tau == pytest.approx(sum(taus) / len(taus))


def tau(one: Sequence[float], other: Sequence[float]) -> float:
    """Kendall's tau, pair by pair."""
    pairs = [(i, j) for i in range(len(one)) for j in range(i)]
    agree = [math.copysign(1, (one[i] - one[j]) * (other[i] - other[j])) for i, j in pairs]
    return sum(agree) / len(pairs)


def test_a_query_is_held_out_whatever_else_there_is(files: Files, tiny_model: Path) -> None:
    """By its id alone: with half of the queries, those of them are held out that were before."""

    def held_out(part: set[str]) -> set[str]:
        from zelo.training.targets import _apart

        files.targets = {one: every[one] for one in sorted(part)}
        return _apart(files.write()[0], 0.3)

    every = files.targets
    whole = held_out(set(every))
    half = {f"q{number}" for number in range(10)}
    assert 0 < len(whole) < len(every)
    assert held_out(half) == whole & half
    assert len(held_out({"q1", "q2"})) >= 1
    assert held_out({"q1"}) == set()


def test_an_epoch_reads_some_documents_of_each_query(files: Files, tiny_model: Path) -> None:
    """Two of four in each of three rounds; held-out queries keep all of theirs."""
    found = files.train(
        tiny_model, documents_per_query=2, learning=settings(epochs=2.5), held_out=0.3
    )
    assert found.documents == 2 * 3 * found.queries
    assert found.held_out_documents == 4 * found.held_out_queries


def test_blank_documents_are_left_out(files: Files, tiny_model: Path) -> None:
    """And counted; a query of nothing else is no query to learn from."""
    files.texts["q0"][1]["d1"] = " \n"
    for doc_id in files.texts["q1"][1]:
        files.texts["q1"][1][doc_id] = ""
    found = files.train(tiny_model, held_out=0)
    assert (found.blank, found.queries, found.documents) == (5, 19, 75)
    assert found.before is None
    assert found.after is None


def test_documents_are_cut_as_they_are_scored(files: Files, tiny_model: Path) -> None:
    """A document with another end beyond the limit is the same to learn from."""
    weights = []
    for end in (" the old town", " read a file"):
        files.texts["q0"][1]["d0"] = "The river runs down from the hills to the sea" + end
        found = files.train(tiny_model, max_document_tokens=3)
        weights.append((files.folder / "model" / "model.safetensors").read_bytes())
        assert found.truncated > 0
    assert weights[0] == weights[1]


def test_equal_documents_keep_their_own_targets(files: Files, tiny_model: Path) -> None:
    """Of one text under two ids each target counts."""
    files.texts["q0"][1]["d1"] = files.texts["q0"][1]["d0"]
    assert files.train(tiny_model, held_out=0).documents == 80


def too_high(files: Files) -> None:
    """A target that is no probability."""
    files.targets["q3"]["d2"] = 1.5


def unknown_document(files: Files) -> None:
    """A target of a document that is no candidate."""
    files.targets["q3"]["x"] = 0.5


def unknown_query(files: Files) -> None:
    """A query without candidates."""
    files.targets["x"] = {"d0": 0.5}


def blank_query(files: Files) -> None:
    """A query without a word."""
    files.texts["q3"] = (" ", files.texts["q3"][1])


def long_query(files: Files) -> None:
    """A query that leaves no room for a document."""
    files.texts["q3"] = ("river " * 45_000, files.texts["q3"][1])


def nothing(files: Files) -> None:
    """No targets at all."""
    files.targets.clear()


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (too_high, r"targets\.jsonl: the target of document 'd2' of query 'q3' is 1\.5"),
        (unknown_document, r"targets\.jsonl: .*query 'q3' has no candidate 'x'"),
        (unknown_query, r"targets\.jsonl: .*has no query 'x'"),
        (blank_query, r"targets\.jsonl, query 'q3': the query is empty"),
        (long_query, r"targets\.jsonl, query 'q3': the query with its instruction"),
        (nothing, r"targets\.jsonl holds no query with documents to learn from"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    files: Files, tiny_model: Path, spoil: Callable[[Files], None], complaint: str
) -> None:
    """The error names the file, the query and the document; nothing is written."""
    spoil(files)
    with pytest.raises(InputError, match=complaint):
        files.train(tiny_model)
    assert not (files.folder / "model").exists()


def test_a_query_that_stands_twice_is_refused(files: Files, tiny_model: Path) -> None:
    """It might be learned from once and held out once."""
    targets, candidates = files.write()
    lines = targets.read_text()
    targets.write_text(lines + lines.splitlines()[0] + "\n")
    with pytest.raises(InputError, match="query 'q0' stands there twice"):
        pointwise(
            targets, candidates, files.folder / "m", model=str(tiny_model), learning=settings()
        )


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"held_out": 1.0}, r"held_out=1\.0"),
        ({"held_out": -0.1}, r"held_out=-0\.1"),
        ({"documents_per_query": 1}, "documents_per_query=1; it must be"),
    ],
)
def test_options_are_checked(
    files: Files, tiny_model: Path, changed: dict[str, Any], complaint: str
) -> None:
    """The error names the option."""
    with pytest.raises(InputError, match=complaint):
        files.train(tiny_model, **changed)


def test_a_model_is_not_written_over_its_own_start(files: Files, tiny_model: Path) -> None:
    """A stop half way would leave neither."""
    with pytest.raises(InputError, match="is the model to start from"):
        pointwise(*files.write(), tiny_model, model=str(tiny_model), learning=settings())


def test_a_stopped_training_goes_on(files: Files, tiny_model: Path) -> None:
    """The same call ends with the model of one that was not stopped."""

    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise Stopped

    learning = settings(checkpoint_every=3, epochs=2)
    files.train(tiny_model, learning=learning)
    model = files.folder / "model" / "model.safetensors"
    whole = model.read_bytes()
    model.unlink()
    with pytest.raises(Stopped):
        files.train(tiny_model, learning=learning, on_progress=stop)
    assert (files.folder / "model" / "checkpoint" / "state.safetensors").exists()
    files.train(tiny_model, learning=learning)
    assert model.read_bytes() == whole


def test_the_card_tells_how_the_model_came_to_be(files: Files, tiny_model: Path) -> None:
    """Data, settings, curve and figures, as they are."""
    found = files.train(tiny_model, documents_per_query=3)
    card = (files.folder / "model" / "README.md").read_text()
    assert found.before is not None
    assert found.after is not None
    assert f"`{tiny_model}`" in card
    assert "| learning_rate | 0.001 |" in card
    assert "| documents_per_query | 3 |" in card
    assert "![Learning curve](curve.png)" in card
    assert f"| loss | {found.before.loss:.4f} | {found.after.loss:.4f} |" in card
