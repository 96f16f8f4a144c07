"""What is scored: queries and documents of stated lengths, the same at every call.

Lengths are in tokens of the tokenizer at hand, so that a workload costs the same whatever the
vocabulary. Texts are words drawn from that vocabulary; they mean nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from tokenizers import Tokenizer

from zelo.errors import InputError

__all__ = ["LogNormal", "Workload", "log_normal_workload"]

SEED = 20_261_121
QUERY_TOKENS = 8
SHORTEST, LONGEST = 4, 4_096  # tokens; beyond is one document in a million, and it would decide
FEWEST_WORDS, MOST_WORDS = 16, 1_000
"""Texts repeat their words: drawn from a whole vocabulary, they would read every embedding row."""
WORD = re.compile("\u0120[a-z]{2,}")  # byte-level BPE writes the space before a word like this


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
    tokenizer, words = _vocabulary(tokenizer_json)
    lengths = np.exp(random.normal(np.log(law.median), law.sigma, documents))
    lengths = lengths.round().clip(SHORTEST, LONGEST).astype(int)
    query, *texts = (
        " ".join(random.choice(words, size=length)) for length in (QUERY_TOKENS, *lengths)
    )
    query_tokens, *document_tokens = _token_counts(tokenizer, [query, *texts])
    name = f"log-normal, {documents} documents"
    return Workload(name, query, tuple(texts), query_tokens, tuple(document_tokens))


@lru_cache(maxsize=1)  # the same tokenizer writes every workload of a run
def _vocabulary(tokenizer_json: str) -> tuple[Tokenizer, list[str]]:
    """Return the tokenizer and the words that it writes as one token each, behind a space."""
    tokenizer = Tokenizer.from_str(tokenizer_json)
    candidates = sorted(filter(WORD.fullmatch, tokenizer.get_vocab()))
    words = [token[1:] for token in candidates]
    counts = _token_counts(tokenizer, [f" {word}" for word in words])
    whole = [word for word, count in zip(words, counts, strict=True) if count == 1]
    if len(whole) < FEWEST_WORDS:
        message = (
            f"the tokenizer knows {len(whole)} whole words, too few to write texts with; use a "
            "byte-level BPE as Qwen3's is"
        )
        raise InputError(message)
    return tokenizer, whole[:: -(-len(whole) // MOST_WORDS)]


def _token_counts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return [len(encoding.ids) for encoding in encodings]
