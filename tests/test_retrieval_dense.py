"""Dense search against exact arithmetic, and embeddings that outlive the process that made them."""

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from collection import COLLECTION
from hypothesis import given
from hypothesis import strategies as st

from zelo.errors import InputError, ScoringError
from zelo.retrieval import Cache, DenseStage, embedding, vectors
from zelo.retrieval.embedding import embed
from zelo.retrieval.vectors import Vectors, nearest

QUERIES = list(COLLECTION.queries)


class Letters:
    """Embeds a text as the counts of its letters, and notes the texts that it was asked for."""

    def __init__(self, name: str = "letters") -> None:
        self.identity: Mapping[str, str] = {"name": name}
        self.documents: list[str] = []
        self.queries: list[str] = []
        self.limit = 10**9
        """How many documents it embeds before it fails."""

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per query."""
        self.queries += texts
        return self._counts(texts)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per document."""
        if len(self.documents) + len(texts) > self.limit:
            raise ConnectionError("the line is down")
        self.documents += texts
        return self._counts(texts)

    def _counts(self, texts: Sequence[str]) -> Vectors:
        counts = [[text.lower().count(chr(c)) for c in range(97, 123)] for text in texts]
        return np.array(counts, dtype=np.float32)


def exactly(query: list[int], documents: list[list[int]]) -> list[int]:
    """Order documents by cosine in exact arithmetic, equal ones as they stand.

    cos = dot / (|q| |d|), and x -> sign(x) x^2 keeps its order, so roots are not needed.
    """

    def key(index: int) -> Fraction:
        dot = sum(a * b for a, b in zip(query, documents[index], strict=True))
        length = sum(b * b for b in documents[index])
        return Fraction(-dot * abs(dot), length) if length else Fraction(0)

    return sorted(range(len(documents)), key=key)  # stable


VECTORS = st.lists(st.lists(st.integers(-3, 3), min_size=3, max_size=3), min_size=1, max_size=12)


@given(VECTORS, VECTORS, st.integers(1, 14), st.integers(1, 5), st.integers(1, 5))
def test_the_nearest_are_those_of_exact_arithmetic(
    queries: list[list[int]], documents: list[list[int]], count: int, rows: int, columns: int
) -> None:
    """Same documents in the same order, ties included, in blocks of any size; zeros count 0."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(vectors, "QUERIES", rows)
        patched.setattr(vectors, "DOCUMENTS", columns)
        found = nearest(np.float32(queries), np.float32(documents), count)
    for query, ranking in zip(queries, found, strict=True):
        assert [index for index, _ in ranking] == exactly(query, documents)[:count]
        for index, cosine in ranking:
            lengths = np.linalg.norm(query) * np.linalg.norm(documents[index])
            expected = np.dot(query, documents[index]) / lengths if lengths else 0.0
            assert cosine == pytest.approx(expected, abs=1e-6)


def test_equal_embeddings_tie_wherever_they_stand() -> None:
    """Matrix products differ in the last bits from place to place; rankings must not."""
    generator = np.random.default_rng(1)
    one, query = generator.standard_normal((2, 384), dtype=np.float32)
    documents = np.tile(one, (vectors.DOCUMENTS + 1_003, 1))
    (found,) = nearest(query[np.newaxis], documents, len(documents))
    assert [index for index, _ in found] == list(range(len(documents)))


def test_the_stage_ranks_by_cosine(tmp_path: Path) -> None:
    """Document ids with their cosines; documents embedded are told as progress."""
    told: list[tuple[int, int]] = []
    stage = DenseStage(Letters(), cache=Cache(tmp_path))
    run = stage.retrieve(COLLECTION, QUERIES, 4, lambda *counts: told.append(counts))
    documents = Letters().embed_documents(list(COLLECTION.documents.values()))
    queries = Letters().embed_queries(list(COLLECTION.queries.values()))
    doc_ids = list(COLLECTION.documents)
    for query_id, ranking in zip(QUERIES, nearest(queries, documents, 6), strict=True):
        expected = [(doc_ids[index], cosine) for index, cosine in ranking]
        expected = [entry for entry in expected if not COLLECTION.itself(query_id, entry[0])]
        assert run[query_id] == expected[:4]
    assert told == [(40, 40)]


def test_kept_embeddings_are_used_again(tmp_path: Path) -> None:
    """By any later stage whose encoder has the same identity, and only by such."""
    first, same, other = Letters(), Letters(), Letters("other")
    runs = [
        DenseStage(encoder, cache=Cache(tmp_path)).retrieve(COLLECTION, QUERIES, 9)
        for encoder in (first, same, other)
    ]
    assert len(first.documents) == len(other.documents) == 40
    assert same.documents == same.queries == []
    assert runs[0] == runs[1] == runs[2]


def test_queries_and_documents_are_kept_apart(tmp_path: Path) -> None:
    """One text has two vectors where a model treats queries differently."""

    class Unlike(Letters):
        def embed_queries(self, texts: Sequence[str]) -> Vectors:
            return -super().embed_queries(texts)

    for _ in range(2):
        documents = embed(Unlike(), "documents", ["abc"], Cache(tmp_path))
        assert (embed(Unlike(), "queries", ["abc"], Cache(tmp_path)) == -documents).all()


def test_a_changed_text_is_embedded_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the block that it stands in; the others stay."""
    monkeypatch.setattr(embedding, "BLOCK", 16)
    texts = dict(COLLECTION.documents)
    for doc_id, expected in (("bee-waggle", 40), ("tide-surge", 8), ("bread-salt", 16)):
        encoder = Letters()
        collection = dataclasses.replace(COLLECTION, documents=texts)
        DenseStage(encoder, cache=Cache(tmp_path)).retrieve(collection, QUERIES, 1)
        if doc_id == "bee-waggle":
            assert len(encoder.documents) == expected
        texts = texts | {doc_id: "Another text."}


def test_an_interrupted_run_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was embedded before the failure is not embedded again, and the run is the same."""
    monkeypatch.setattr(embedding, "BLOCK", 8)
    whole = DenseStage(Letters(), cache=Cache(tmp_path / "other")).retrieve(COLLECTION, QUERIES, 9)
    encoder = Letters()
    stage = DenseStage(encoder, cache=Cache(tmp_path / "cache"))
    encoder.limit = 20
    with pytest.raises(ConnectionError, match="the line is down"):
        stage.retrieve(COLLECTION, QUERIES, 9)
    encoder.limit = 10**9
    assert stage.retrieve(COLLECTION, QUERIES, 9) == whole
    assert encoder.documents == list(COLLECTION.documents.values())


KILLED = """
import sys, time
import numpy as np
from zelo.retrieval import Cache, embedding
from zelo.retrieval.embedding import embed

class Slow:
    identity = {"name": "letters"}
    done = 0
    def embed_documents(self, texts):
        if self.done == 2:
            print("two blocks are done", flush=True)
            time.sleep(600)
        self.done += 1
        return np.array([[t.count(chr(c)) for c in range(97, 123)] for t in texts], np.float32)
    embed_queries = embed_documents

embedding.BLOCK = 3
embed(Slow(), "documents", [letter * 2 for letter in "abcdefghijk"], Cache(sys.argv[1]))
"""


def test_a_killed_process_leaves_its_finished_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL in the third block: the first two are there, whole, and nothing else is read."""
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "two blocks are done\n"
        child.kill()
    assert child.returncode == -signal.SIGKILL
    monkeypatch.setattr(embedding, "BLOCK", 3)
    encoder, texts = Letters(), [letter * 2 for letter in "abcdefghijk"]
    found = embed(encoder, "documents", texts, Cache(tmp_path))
    assert encoder.documents == texts[6:]
    assert (found == Letters().embed_documents(texts)).all()


@pytest.mark.parametrize("damage", ["cut", "empty", "lost", "pickle", "short", "nan"])
def test_a_damaged_block_is_made_anew(tmp_path: Path, damage: str) -> None:
    """A torn or foreign file is never taken for vectors, and a pickle is never loaded."""
    texts = ["abc", "bcd", "cde"]
    whole = embed(Letters(), "documents", texts, Cache(tmp_path))
    (path,) = tmp_path.glob("embeddings/*/*.npy")
    if damage == "cut":
        os.truncate(path, path.stat().st_size - 5)
    elif damage == "empty":
        os.truncate(path, 0)
    elif damage == "lost":
        path.unlink()
    elif damage == "pickle":
        np.save(path, np.array([[Tripwire()], [None], [None]], dtype=object), allow_pickle=True)
    elif damage == "short":
        np.save(path, whole[:2])
    else:
        np.save(path, np.full_like(whole, np.nan))
    encoder = Letters()
    assert (embed(encoder, "documents", texts, Cache(tmp_path)) == whole).all()
    assert encoder.documents == texts
    assert (np.load(path, allow_pickle=False) == whole).all()


class Tripwire:
    """Fails the test if it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return pytest.fail, ("a pickle was loaded",)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ([[1.0, np.nan], [1.0, 2.0]], "NaN or infinity for 1 of 2 texts"),
        ([[1.0, np.inf], [np.nan, 2.0]], "NaN or infinity for 2 of 2 texts"),
        ([[1.0, 2.0]], r"shape \(1, 2\) for 2 texts"),
        ([1.0, 2.0], r"shape \(2,\) for 2 texts"),
    ],
)
def test_vectors_that_mean_nothing_are_refused(
    tmp_path: Path, answer: object, complaint: str
) -> None:
    """They become neither an order nor a cache entry."""

    class Broken(Letters):
        def embed_documents(self, texts: Sequence[str]) -> Vectors:
            return np.float32(answer)  # type: ignore[arg-type]

    with pytest.raises(ScoringError, match=complaint):
        embed(Broken(), "documents", ["abc", "bcd"], Cache(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"ZELO_CACHE": "/c", "XDG_CACHE_HOME": "/x"}, "/c"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/zelo"),
        ({"ZELO_CACHE": "", "XDG_CACHE_HOME": "relative"}, "/h/.cache/zelo"),
        ({}, "/h/.cache/zelo"),
    ],
)
def test_where_the_cache_is(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our variable, then XDG's if it is absolute, then the home folder; nothing is made yet."""
    for name in ("ZELO_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/h", **environment}.items():
        monkeypatch.setenv(name, value)
    assert Cache().folder == Path(expected)
    assert not Path(expected).exists()


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """The error names the folder and the variable that moves it."""
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/cache cannot be written to .*ZELO_CACHE"):
        embed(Letters(), "documents", ["abc"], Cache(tmp_path / "file" / "cache"))


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    """Neither an entry nor the beginning of one."""

    def write(value: str, folder: Path) -> None:
        (folder / "half").write_text(value)
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="No space left on device"):
        Cache(tmp_path).recall("kind", "key", read=Path.read_text, make=lambda: "v", write=write)
    assert list((tmp_path / "kind").iterdir()) == []


def test_entries_are_their_owners_alone(tmp_path: Path) -> None:
    """Embeddings and vocabularies tell what the texts say."""
    embed(Letters(), "documents", ["abc"], Cache(tmp_path))
    (entry,) = tmp_path.glob("embeddings/*")
    assert entry.stat().st_mode & 0o077 == 0


def test_two_writers_of_one_entry_agree(tmp_path: Path) -> None:
    """Who comes second finds the entry there, and both have the value."""
    cache = Cache(tmp_path)

    def meanwhile() -> Vectors:
        embed(Letters(), "documents", ["abc"], cache)
        return Letters().embed_documents(["abc"])

    class Late(Letters):
        def embed_documents(self, texts: Sequence[str]) -> Vectors:
            return meanwhile()

    found = embed(Late(), "documents", ["abc"], cache)
    assert (found == embed(Letters(), "documents", ["abc"], cache)).all()
    assert len(list((tmp_path / "embeddings").iterdir())) == 1
