"""BM25: its formula, its order, its languages, what it leaves out, and the index on disk."""

import dataclasses
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from collection import COLLECTION
from hypothesis import given, settings
from hypothesis import strategies as st

from zelo.errors import InputError
from zelo.retrieval import BM25, BM25Stage, Cache

WORDS = st.sampled_from(["dog", "fox", "river", "stone", "zinc", "moss"])  # their own stems
DOCUMENTS = st.lists(st.lists(WORDS, min_size=1, max_size=8), min_size=1, max_size=8)


def by_hand(query: list[str], documents: list[list[str]], k1: float, b: float) -> list[float]:
    """Score by the formula in Robertson and Zaragoza (2009) with Lucene's idf, which is positive.

    Over query words, sum ln(1 + (N - n + 0.5) / (n + 0.5)) * f / (f + k1 * (1 - b + b * L / avgL)).
    """
    count = len(documents)
    mean = sum(map(len, documents)) / count
    scores = []
    for document in documents:
        score = 0.0
        for word in query:
            n = sum(word in other for other in documents)
            f = document.count(word)
            idf = math.log(1 + (count - n + 0.5) / (n + 0.5))
            score += idf * f / (f + k1 * (1 - b + b * len(document) / mean))
        scores.append(score)
    return scores


@given(DOCUMENTS, st.sets(WORDS, min_size=1), st.sampled_from([(0.9, 0.4), (1.2, 0.75)]))
def test_scores_are_those_of_the_formula(
    documents: list[list[str]], query: set[str], parameters: tuple[float, float]
) -> None:
    """Every document that shares a word is found with its score, best first, ties by index."""
    k1, b = parameters
    words = sorted(query)
    found = BM25([" ".join(document) for document in documents], k1=k1, b=b).search(" ".join(words))
    expected = by_hand(words, documents, k1, b)
    assert {c.index for c in found} == {i for i, score in enumerate(expected) if score > 0}
    assert [c.score for c in found] == pytest.approx([expected[c.index] for c in found], rel=1e-5)
    assert found == sorted(found, key=lambda c: (-c.score, c.index))


@given(st.lists(WORDS, min_size=1, max_size=6), st.integers(1, 8))
def test_equal_documents_keep_their_order(words: list[str], depth: int) -> None:
    """Ties go by index, and a cut at any depth keeps the first of them."""
    found = BM25([" ".join(words)] * 6).search(words[0], depth)
    assert [candidate.index for candidate in found] == list(range(min(depth, 6)))


def test_words_are_matched_by_their_stems() -> None:
    """Inflected forms and capitals match; words that stand everywhere do not count."""
    index = BM25(["The Rivers of the plain", "Running water", "the and of"])
    assert [c.index for c in index.search("what is a river")] == [0]
    assert [c.index for c in index.search("he runs")] == [1]
    assert len(index) == 3


@pytest.mark.parametrize("query", ["", "the of and", "unheard", "!?", "猫"])
def test_a_query_without_a_known_word_finds_nothing(query: str) -> None:
    """There are no candidates then, rather than arbitrary ones."""
    assert BM25(["river stone", "fox"]).search(query) == []


def test_documents_without_words_are_never_found() -> None:
    """Empty texts can be indexed, so that indexes stay those of the caller's list."""
    assert [c.index for c in BM25(["", "river", "..."]).search("river")] == [1]


def test_nothing_to_index_and_no_depth_are_refused() -> None:
    """Both are the caller's mistakes, and the message says what is wrong."""
    with pytest.raises(InputError, match="no documents"):
        BM25([])
    with pytest.raises(InputError, match="depth=0"):
        BM25(["river"]).search("river", 0)


def test_a_language_has_its_own_stems_and_stop_words() -> None:
    """German inflections match in German alone; without a language, words match as they are."""
    documents = ["Die Häuser und die Gärten", "Haus", "und"]
    found = {
        language: [c.index for c in BM25(documents, language=language).search("Häusern und")]
        for language in ("german", "english", None)
    }
    assert found == {"german": [1, 0], "english": [2, 0], None: [2, 0]}


def test_common_words_stay_where_there_is_no_list_of_them() -> None:
    """Finnish has a stemmer and no stop words; without a language, there are none at all."""
    assert [
        c.index for c in BM25(["talo ja piha", "talossa"], language="finnish").search("ja")
    ] == [0]
    assert [c.index for c in BM25(["talo ja piha"], language="finnish").search("talossa")] == [0]
    assert [c.index for c in BM25(["the house"], language=None).search("the")] == [0]
    assert BM25(["the house"]).search("the") == []


def test_an_unknown_language_is_refused_at_once() -> None:
    """The message lists what there is, and a stage does not wait for its first collection."""
    for make in (
        lambda: BM25(["river"], language="klingon"),
        lambda: BM25Stage(language="klingon"),
    ):
        with pytest.raises(InputError, match=r"'klingon'; choose one of arabic.*german"):
            make()


@pytest.mark.parametrize("documents", [["", " "], ["the of and"], ["a", "猫"]])
def test_documents_without_any_word_are_refused(documents: list[str]) -> None:
    """An index of nothing would find nothing, whatever is asked."""
    with pytest.raises(InputError, match="has a word"):
        BM25(documents)


@settings(max_examples=25)
@given(DOCUMENTS, st.lists(WORDS, min_size=1), st.sampled_from(["english", "german", None]))
def test_a_saved_index_finds_the_same(
    documents: list[list[str]], query: list[str], language: str | None
) -> None:
    """Documents and scores, to the last bit; the files hold no pickle."""
    index = BM25([" ".join(document) for document in documents], language=language)
    with tempfile.TemporaryDirectory() as folder:
        index.save(folder)
        loaded = BM25.load(folder)
        for path in Path(folder).glob("*.npy"):
            np.load(path, allow_pickle=False)
        assert {path.suffix for path in Path(folder).iterdir()} == {".npy", ".json"}
    assert loaded.search(" ".join(query)) == index.search(" ".join(query))
    assert len(loaded) == len(documents)


def test_the_stage_finds_what_the_index_finds(tmp_path: Path) -> None:
    """By document ids instead of places, a query at a time told to the progress."""
    stage, told = BM25Stage(k1=1.2, b=0.75, cache=Cache(tmp_path)), []
    query_ids = ["q-mites", "q-stale"]
    run = stage.retrieve(COLLECTION, query_ids, 3, lambda done, total: told.append((done, total)))
    index = BM25(list(COLLECTION.documents.values()), k1=1.2, b=0.75)
    doc_ids = list(COLLECTION.documents)
    for query_id in query_ids:
        expected = index.search(COLLECTION.queries[query_id], 3)
        assert run[query_id] == [(doc_ids[c.index], c.score) for c in expected]
    assert told == [(1, 2), (2, 2)]


def entries(folder: Path) -> set[str]:
    """Return the names of the indexes that are kept."""
    return {path.name for path in (folder / "bm25").iterdir()}


def test_a_kept_index_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second stage gets the same run out of the cache, and indexes nothing."""
    queries = list(COLLECTION.queries)
    first = BM25Stage(cache=Cache(tmp_path)).retrieve(COLLECTION, queries, 10)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("indexed again")

    monkeypatch.setattr(BM25, "__init__", refuse)
    assert BM25Stage(cache=Cache(tmp_path)).retrieve(COLLECTION, queries, 10) == first
    assert len(entries(tmp_path)) == 1


def test_what_an_index_depends_on_leads_to_another(tmp_path: Path) -> None:
    """Settings, texts and ids all count; the queries and the collection's name do not."""
    cache, known = Cache(tmp_path), set()
    first, *others = COLLECTION.documents
    changed = [
        COLLECTION,
        dataclasses.replace(COLLECTION, documents=COLLECTION.documents | {first: "Rivers."}),
        dataclasses.replace(COLLECTION, documents={i: COLLECTION.documents[i] for i in others}),
    ]
    for collection in changed:
        BM25Stage(cache=cache).retrieve(collection, ["q-mites"], 5)
        known.add(len(entries(tmp_path)))
    for options in ({"k1": 1.0}, {"b": 0.5}, {"language": None}, {"language": "porter"}):
        BM25Stage(cache=cache, **options).retrieve(COLLECTION, ["q-mites"], 5)
        known.add(len(entries(tmp_path)))
    same = dataclasses.replace(COLLECTION.sample(2), name="other")
    BM25Stage(cache=cache, name="again").retrieve(same, list(same.queries), 5)
    assert known == set(range(1, 8))
    assert len(entries(tmp_path)) == 7


@pytest.mark.parametrize("damage", [b"", b"{", b"[1, 2]", None])
@pytest.mark.parametrize("pattern", ["data*", "vocab*", "params*", "settings*"])
def test_a_damaged_index_is_made_anew(tmp_path: Path, pattern: str, damage: bytes | None) -> None:
    """Whatever was cut or lost in a kept index, the run is the right one, and so is the next."""
    stage = BM25Stage(cache=Cache(tmp_path))
    whole = stage.retrieve(COLLECTION, ["q-stale"], 10)
    (path,) = tmp_path.glob(f"bm25/*/{pattern}")
    path.unlink() if damage is None else path.write_bytes(damage)
    assert stage.retrieve(COLLECTION, ["q-stale"], 10) == whole
    (path,) = tmp_path.glob(f"bm25/*/{pattern}")
    assert path.read_bytes() not in (damage, b"")
