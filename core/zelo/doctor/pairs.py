"""The pairs that are asked for, and what is known of them: published, or computed from weights."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from zelo.doctor.scales import logit_of
from zelo.errors import InputError
from zelo.scoring.catalog import ALIASES, HUB_NAMES
from zelo.scoring.families import FAMILIES, family_named

__all__ = [
    "BLANK_PAIR",
    "PAIRS",
    "Known",
    "Pair",
    "Question",
    "known_in",
    "ordering",
    "published",
    "questions",
]

GOLDEN = Path(__file__).parent / "golden"
PUBLISHED = ("zerank-2", "zerank-1-small")


@dataclass(frozen=True, slots=True)
class Pair:
    """A query with one document."""

    query: str
    document: str


@dataclass(frozen=True, slots=True)
class Known:
    """What the right model gives for the pairs; None where nobody knows."""

    source: str
    """Where the values come from, with model and revision."""
    logits: tuple[float | None, ...]
    """Raw logits, in the order of `PAIRS`."""
    family: str | None = None
    """The model's family, where the source says it."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request: the pairs of a query, by their places in `PAIRS`."""

    query: str
    documents: tuple[str, ...]
    places: range


@cache
def _golden(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _read() -> tuple[Pair, ...]:
    pairs = [pair for name in PUBLISHED for pair in _golden(name)["pairs"]]
    return tuple(Pair(pair["query"], pair["document"]) for pair in pairs if pair["document"])


PAIRS = _read()
"""Every pair with a published score but for the empty document, query by query."""
TOKENS: tuple[int, ...] = tuple(
    pair["tokens"] for name in PUBLISHED for pair in _golden(name)["pairs"] if pair["document"]
)
"""Length of each pair's prompt in zerank's frame, with Qwen3's tokenizer."""
BLANK_PAIR = Pair("side effects of ibuprofen", "")
"""A published pair too, whose score no caller should ever see."""


def questions() -> list[Question]:
    """Return the pairs as requests, one per query."""
    found: list[Question] = []
    for query in dict.fromkeys(pair.query for pair in PAIRS):
        places = [i for i, pair in enumerate(PAIRS) if pair.query == query]
        documents = tuple(PAIRS[i].document for i in places)
        found.append(Question(query, documents, range(places[0], places[-1] + 1)))
    return found


def published(model: str) -> Known | None:
    """Return what was published of a model, or None where nothing was."""
    source = ALIASES.get(model) or HUB_NAMES.get(model)
    name = source.name if source else None
    if name not in PUBLISHED:
        return None
    golden = _golden(name)
    known = {(pair["query"], pair["document"]): _logit(pair) for pair in golden["pairs"]}
    revision = golden["revision"][:12]
    return Known(
        f"published for {golden['model']} at {revision}: {golden['source']}",
        tuple(known.get((pair.query, pair.document)) for pair in PAIRS),
    )


def known_in(path: Path) -> Known:
    """Read what a file says of a model, as `zelo export` writes it beside one.

    Raises:
        InputError: the file is of another kind, or tells nothing of the pairs that are asked for.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        known = {(str(p["query"]), str(p["document"])): float(p["logit"]) for p in told["pairs"]}
        family, source = told["family"], f"{path}: {told['model']}, {told['source']}"
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path} is no file of scores that zelo export wrote") from error
    logits = tuple(known.get((pair.query, pair.document)) for pair in PAIRS)
    if not all(logit is None or math.isfinite(logit) for logit in logits) or not any(
        logit is not None for logit in logits
    ):
        raise InputError(f"{path} tells no scores of the pairs that are asked for; export again")
    return Known(source, logits, family_named(family).name)


def ordering() -> tuple[float | None, ...]:
    """Return zerank-2's logits, which any reranker of this subject orders much alike."""
    known = published("zerank-2")
    return known.logits if known else ()


def tokens_of(places: Sequence[int]) -> int:
    """Return the tokens of the pairs' prompts, as a server with Qwen3's tokenizer counts them."""
    return sum(TOKENS[place] for place in places)


def _logit(pair: dict[str, Any]) -> float:
    """Return the logit, published as such or as its score."""
    if "logit" in pair:
        return float(pair["logit"])
    return logit_of(pair["score"], FAMILIES["zerank-1"])
