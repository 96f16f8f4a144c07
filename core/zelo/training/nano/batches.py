"""Training groups: one query, one relevant document, some that are not; and their token ids.

Everything random comes from the one generator that is passed in.
"""

import dataclasses
import random
import re
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from zelo.local.options import Limits
from zelo.local.prompt import PromptEncoder
from zelo.training.nano.mining import Example

CHARACTERS_PER_TOKEN = 8  # more than any text here has; cutting before encoding saves time


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """A query with documents; the first is relevant, the others are taken not to be."""

    query: str
    documents: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """One collection's examples, and how often it is drawn from."""

    name: str
    documents: Mapping[str, str]
    examples: list[Example]
    weight: float


@dataclasses.dataclass(frozen=True, slots=True)
class GroupShape:
    """How many documents of each kind stand beside the relevant one."""

    mined: int
    random: int

    @property
    def size(self) -> int:
        """All documents of a group, the relevant one included."""
        return 1 + self.mined + self.random


def draw_groups(
    sources: Sequence[Source], shape: GroupShape, generator: random.Random
) -> Iterator[Group]:
    """Draw groups for ever: a source by weight, then one of its examples evenly."""
    weights = [source.weight for source in sources]
    doc_ids = {source.name: list(source.documents) for source in sources}
    while True:
        source = generator.choices(sources, weights)[0]
        example = generator.choice(source.examples)
        relevant = set(example.relevant)
        count = min(shape.mined, len(example.negatives))
        negatives = generator.sample(example.negatives, count)
        while len(negatives) < shape.mined + shape.random:
            other = generator.choice(doc_ids[source.name])
            if other not in relevant:
                negatives.append(other)
        chosen = [generator.choice(example.relevant), *negatives]
        texts = tuple(source.documents[doc_id] for doc_id in chosen)
        yield Group(_vary_case(example.query, generator), texts)


def sentence_examples(
    documents: dict[str, str], count: int, generator: random.Random
) -> tuple[dict[str, str], dict[str, str]]:
    """Queries without labels: (queries, documents) where query i is a sentence cut from document i.

    Part of the words of the sentence, as a searcher would remember them; the document keeps the
    sentence half of the time. Any text gives such pairs.
    """
    queries: dict[str, str] = {}
    texts: dict[str, str] = {}
    for doc_id in generator.sample(list(documents), min(4 * count, len(documents))):
        sentences = re.split(r"(?<=[.!?])\s+|\n+", documents[doc_id][:3_000])
        long = [sentence for sentence in sentences if len(sentence.split()) >= 6]
        if len(sentences) < 3 or not long:
            continue
        sentence = generator.choice(long)
        words = sentence.split()[:40]
        kept = sorted(
            generator.sample(range(len(words)), generator.randint(3, min(12, len(words))))
        )
        queries[doc_id] = " ".join(words[i] for i in kept)
        keep = generator.random() < 0.5
        texts[doc_id] = " ".join(s for s in sentences if keep or s is not sentence)
        if len(queries) == count:
            break
    return queries, texts


def encode_groups(
    groups: Sequence[Group], encoder: PromptEncoder, max_document_tokens: int
) -> list[list[int]]:
    """Token ids of every (query, document) pair, group after group."""
    limits = Limits(max_tokens=4_096, max_document_tokens=max_document_tokens)
    sequences = []
    for group in groups:
        texts = [text[: CHARACTERS_PER_TOKEN * max_document_tokens] for text in group.documents]
        encoded = encoder.encode(group.query, texts, None, limits)
        for slot in encoded.slots:
            sequences.append(encoded.prefix + encoded.suffixes[slot.suffixes.start])
    return sequences


def pad_by_length(
    sequences: Sequence[Sequence[int]], max_tokens: int
) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Cut sequences into padded batches of at most `max_tokens`, shortest first.

    Yields the sequences' places, ids [batch, length] padded right with 0, and lengths [batch].
    Right padding needs no mask: with causal attention nothing looks to the right.
    """
    order = sorted(range(len(sequences)), key=lambda place: len(sequences[place]))
    while order:
        size = 1
        while size < len(order) and (size + 1) * len(sequences[order[size]]) <= max_tokens:
            size += 1
        places, order = order[:size], order[size:]
        lengths = [len(sequences[place]) for place in places]
        ids = torch.zeros(size, max(lengths), dtype=torch.long)
        for row, place in enumerate(places):
            ids[row, : lengths[row]] = torch.tensor(sequences[place])
        yield places, ids, torch.tensor(lengths)


def _vary_case(query: str, generator: random.Random) -> str:
    draw = generator.random()
    if draw < 0.2:
        return query.lower()
    return query[:1].upper() + query[1:] if draw < 0.4 else query
