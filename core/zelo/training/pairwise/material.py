"""What a pairwise model learns from, and what it is tried on: judged pairs, divided by query.

Files are read line by line; in memory are the token ids of the pairs to learn from and the texts of
the held-out ones. Knows nothing of models and steps.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from zelo._common.journal import key_of
from zelo.errors import InputError
from zelo.training.judges.judge import Pair
from zelo.training.learning.examples import Example, Examples
from zelo.training.lookup import CandidateFile, lines
from zelo.training.pairwise.prompt import PairEncoder, Shown, ShownPair
from zelo.training.records import Preferences, read_records

__all__ = ["Comparison", "Counts", "Material", "both_orders", "gather"]

AnyPath = str | os.PathLike[str]
FEWEST = 4
"""Held-out queries: two that choose the step, and two to try the model on, for an interval."""
TO_LEARN, TO_CHOOSE, TO_TRY = range(3)


class Comparison(NamedTuple):
    """A pair that the ensemble has a preference on."""

    pair: Pair
    preference: float
    votes: Mapping[str, float | None]
    """By judge."""


@dataclass(slots=True)
class Counts:
    """What became of the judged pairs."""

    queries: int = 0
    """To learn from."""
    pairs: int = 0
    """To learn from, each in both orders."""
    truncated: int = 0
    """Of these, the pairs of which a document is not read to its end."""
    held_out_queries: int = 0
    chosen_by: int = 0
    """Held-out pairs that choose the step whose weights are kept."""
    tried_on: int = 0
    """Held-out pairs that the figures are from."""
    without_preference: int = 0
    """Left out: no judge had voted."""
    between: int = 0
    """Left out: of two queries that went different ways."""


@dataclass(frozen=True, slots=True)
class Material:
    """Judged pairs; no query stands in two of the three parts."""

    examples: Examples = field(default_factory=Examples)
    """To learn from."""
    choosing: list[Comparison] = field(default_factory=list)
    """On these the best step is chosen, so they would flatter the model."""
    trying: list[Comparison] = field(default_factory=list)
    """On these the model is tried."""
    teachers: dict[str, None] = field(default_factory=dict)
    """The judges that voted, in their order."""
    counts: Counts = field(default_factory=Counts)


def gather(
    preferences: AnyPath,
    candidates: CandidateFile,
    encoder: PairEncoder,
    *,
    held_out: float,
    seed: int = 0,
) -> Material:
    """Read judged pairs, and hold out a share of the queries with all of their pairs.

    Queries of one text are one query here, under whatever ids. Which are held out depends on the
    seed and their texts alone.

    Raises:
        InputError: a file is not as it must be, the share is not in [0, 1), or there are too few
            queries.
    """
    if not 0 <= held_out < 1:
        message = f"held_out={held_out!r}; it must be a share of the queries, in [0, 1)"
        raise InputError(message)
    apart = _apart(_queries(preferences, candidates), held_out, seed, os.fspath(preferences))
    found = Material()
    counts = found.counts
    learned: set[str] = set()
    for comparisons in _comparisons(preferences, candidates, counts):
        parts: dict[int, list[Comparison]] = {part: [] for part in (TO_LEARN, TO_CHOOSE, TO_TRY)}
        for one in comparisons:
            found.teachers.update(dict.fromkeys(one.votes))
            own, other = (apart.get(side.query, TO_LEARN) for side in one.pair)
            if own == other:
                parts[own].append(one)
            else:
                counts.between += 1
        found.choosing.extend(parts[TO_CHOOSE])
        found.trying.extend(parts[TO_TRY])
        learned.update(side.query for one in parts[TO_LEARN] for side in one.pair)
        _add(parts[TO_LEARN], encoder, found)
    counts.queries, counts.held_out_queries = len(learned), len(apart)
    counts.chosen_by, counts.tried_on = len(found.choosing), len(found.trying)
    return found


class _Turn(NamedTuple):
    """A document that is shown second."""

    place: int
    second: Shown
    target: float


def both_orders(
    comparisons: Sequence[Comparison], encoder: PairEncoder
) -> Iterator[tuple[Example, list[int]]]:
    """Yield every pair in both orders with opposite targets, those of one first document together.

    Ours; the paper does not say. With one order for each pair, drawn by a coin, and twice the
    epochs, tiny models learned a planted preference as well (three seeds); with both orders a
    single epoch makes the most of each judgement. As prompts of one first document share it, both
    orders of pairs along 4 cycles take 1.8 times the tokens of one.

    Yields:
        Examples, and for each of their prompts its place: 2i for pair i as it is, 2i + 1 for the
        same turned around.
    """
    groups: dict[Shown, list[_Turn]] = {}
    for place, one in enumerate(comparisons):
        first, second = ShownPair.of(one.pair)
        groups.setdefault(first, []).append(_Turn(2 * place, second, one.preference))
        groups.setdefault(second, []).append(_Turn(2 * place + 1, first, 1 - one.preference))
    for first, turns in groups.items():
        part = encoder.part(first, [turn.second for turn in turns])
        yield Example(part, [turn.target for turn in turns]), [turn.place for turn in turns]


def _add(comparisons: Sequence[Comparison], encoder: PairEncoder, found: Material) -> None:
    for example, _ in both_orders(comparisons, encoder):
        found.examples.append(example)
    found.counts.pairs += len(comparisons)
    found.counts.truncated += sum(
        any(map(encoder.truncated, ShownPair.of(one.pair))) for one in comparisons
    )


def _comparisons(
    path: AnyPath, candidates: CandidateFile, counts: Counts
) -> Iterator[list[Comparison]]:
    """Yield the comparisons of each line; pairs without a preference are only counted."""
    records = read_records(path, Preferences)
    for line, record in zip(lines(path, candidates), records, strict=True):
        found = []
        pairs = zip(line.pairs, record.preferences, strict=True)
        for place, (pair, preference) in enumerate(pairs):
            if preference is None:
                counts.without_preference += 1
                continue
            votes = {name: given[place] for name, given in record.votes.items()}
            found.append(Comparison(pair, preference, votes))
        yield found


def _queries(path: AnyPath, candidates: CandidateFile) -> set[str]:
    """The texts of all queries that have a pair with a preference."""
    every = (one for line in _comparisons(path, candidates, Counts()) for one in line)
    return {side.query for one in every for side in one.pair}


def _apart(queries: set[str], share: float, seed: int, name: str) -> dict[str, int]:
    """Say of each query that is held out what for."""
    count = max(FEWEST, round(share * len(queries))) if share else 0
    if len(queries) <= count:
        message = (
            f"{name} has preferences on {len(queries)} queries; of these {count} would be held "
            "out, and none be left to learn from. Give more queries, or held_out=0"
        )
        raise InputError(message)
    drawn = sorted(queries, key=lambda text: key_of("held out", seed, text))[:count]
    return {text: (TO_CHOOSE, TO_TRY)[place % 2] for place, text in enumerate(drawn)}
