"""What is scored: queries and documents of stated lengths, the same at every call.

Lengths are in tokens of the tokenizer at hand, so that a workload costs the same whatever the
vocabulary. Texts are words drawn from that vocabulary; they mean nothing.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from tokenizers import Tokenizer

from zelo.errors import InputError

__all__ = ["LogNormal", "Workload", "Writer", "log_normal_workload", "writer_of"]

SEED = 20_261_121
QUERY_TOKENS = 8
SHORTEST, LONGEST = 4, 4_096  # tokens; beyond is one document in a million, and it would decide
FEWEST_WORDS, MOST_WORDS = 16, 1_000
"""Texts repeat their words: drawn from a whole vocabulary, they would read every embedding row."""
WORD = re.compile("\u0120([a-z]{2,})|([a-z]{2,})</w>")
"""A whole word: behind the blank, as Qwen3's byte-level BPE writes it, or with its end marked, as
zelo-nano's does."""


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A law of document lengths: exp of a normal variable, as text lengths roughly are."""

    median: int = 150
    """Tokens."""
    sigma: float = 0.7
    """Standard deviation of the length's natural logarithm."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One query with its documents, and how long they came out."""

    name: str
    query: str
    documents: tuple[str, ...]
    query_tokens: int
    document_tokens: tuple[int, ...]
    """Tokens of each document, without the prompt's frame."""


def log_normal_workload(
    tokenizer_json: str, documents: int, law: LogNormal | None = None
) -> Workload:
    """Return one short query with this many documents, whose lengths follow the law.

    The first documents of a larger workload are not those of a smaller one.

    Raises:
        InputError: the vocabulary holds too few whole words to write texts with.
    """
    law = law or LogNormal()
    random = np.random.default_rng([SEED, documents])
    lengths = np.exp(random.normal(np.log(law.median), law.sigma, documents))
    lengths = lengths.round().clip(SHORTEST, LONGEST).astype(int)
    name = f"log-normal, {documents} documents"
    return writer_of(tokenizer_json).workload(name, random, QUERY_TOKENS, lengths)


class Writer:
    """Writes texts of so many tokens, in words that one tokenizer writes as one token each.

    Raises:
        InputError: its vocabulary holds too few of them.
    """

    def __init__(self, tokenizer_json: str) -> None:
        self._tokenizer = Tokenizer.from_str(tokenizer_json)
        marked = filter(None, map(WORD.fullmatch, sorted(self._tokenizer.get_vocab())))
        words = [found[1] or found[2] for found in marked]
        counts = self._token_counts([f" {word}" for word in words])
        whole = [word for word, count in zip(words, counts, strict=True) if count == 1]
        if len(whole) < FEWEST_WORDS:
            message = f"the tokenizer knows {len(whole)} whole words, XX"
            raise InputError(message)
        self._words = np.array(whole[:: -(-len(whole) // MOST_WORDS)])

    def workload(
        self, name: str, random: np.random.Generator, query_tokens: int, lengths: Iterable[int]
    ) -> Workload:
        """Return one query of so many words, and a document of each of the lengths."""
        query, *texts = (
            " ".join(random.choice(self._words, size=length)) for length in (query_tokens, *lengths)
        )
        return self._counted(name, query, texts)

    def payload(
        self, name: str, random: np.random.Generator, documents: int, tokens: int, characters: int
    ) -> Workload:
        """Return a short query, and documents of so many tokens and, exactly, characters each.

        Raises:
            InputError: the vocabulary has no words of the length that this takes.
        """
        letters = characters - (tokens - 1)  # without the blanks between words
        short, longer = letters // tokens, letters % tokens
        words = {n: [w for w in self._words if len(w) == n] for n in (short, short + 1)}
        if not words[short] or (longer and not words[short + 1]):
            message = f"the tokenizer knows no whole words of {short} and {short + 1} letters"
            raise InputError(message)
        texts = []
        for _ in range(documents):
            chosen = [*random.choice(words[short], size=tokens - longer)]
            if longer:
                chosen += [*random.choice(words[short + 1], size=longer)]
            texts.append(" ".join(random.permutation(chosen)))
        query = " ".join(random.choice(self._words, size=QUERY_TOKENS))
        return self._counted(name, query, texts)

    def _counted(self, name: str, query: str, texts: Sequence[str]) -> Workload:
        query_tokens, *document_tokens = self._token_counts([query, *texts])
        return Workload(name, query, tuple(texts), query_tokens, tuple(document_tokens))

    def _token_counts(self, texts: Sequence[str]) -> list[int]:
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding.ids) for encoding in encodings]


@lru_cache(maxsize=1)  # the same tokenizer writes every workload of a run
def writer_of(tokenizer_json: str) -> Writer:
    """Return the writer for a tokenizer, as text."""
    return Writer(tokenizer_json)
