"""The first stage: BM25's formula, its order, and what it leaves out."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zelo.errors import InputError
from zelo.retrieval import BM25

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


def test_many_queries_are_answered_like_each_alone() -> None:
    """Queries do not influence each other, whatever one of them lacks."""
    index = BM25(["river stone", "fox river", "zinc"])
    queries = ["river", "", "stone fox", "unheard zinc"]
    assert index.search_many(queries, 2) == [index.search(query, 2) for query in queries]


def test_documents_without_words_are_never_found() -> None:
    """Empty texts can be indexed, so that indexes stay those of the caller's list."""
    assert [c.index for c in BM25(["", "river", "..."]).search("river")] == [1]


def test_nothing_to_index_and_no_depth_are_refused() -> None:
    """Both are the caller's mistakes, and the message says what is wrong."""
    with pytest.raises(InputError, match="no documents"):
        BM25([])
    with pytest.raises(InputError, match="depth is 0"):
        BM25(["river"]).search("river", 0)
