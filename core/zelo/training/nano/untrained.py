"""zelo-nano before its training: a vocabulary from the training texts, and the circuit over it."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from zelo.corpora import Collection
from zelo.local.loading.saving import save_reranker
from zelo.local.prompt import PromptEncoder
from zelo.scoring.families import FAMILIES
from zelo.training.nano.circuit import TokenFacts, build, nano_config
from zelo.training.nano.rarity import token_weights
from zelo.training.nano.vocabulary import normal_forms, train_tokenizer

__all__ = ["save_untrained"]

VOCABULARY = 10_240
CHARACTERS_PER_SET = 5_000_000  # for the BPE; medquad alone has 20 million
BEGINNING = 1_500  # characters of a document that the BPE sees
COUNTED = 3_000  # characters of a text whose words are counted
FAMILY = FAMILIES["zelo"]


def save_untrained(
    sets: Sequence[Collection], folder: Path, *, seed: int, vocabulary: int = VOCABULARY
) -> None:
    """Write a reranker that matches words, and has learned nothing but how rare they are.

    In float32: bfloat16 rounds off much of what its last sums differ by, and training starts here.

    Args:
        sets: their documents and queries give the vocabulary and the rarity of words.
        folder: in the sentence-transformers form, as `zelo.Reranker` reads it.
        seed: of the codes of words, and of which texts the BPE sees where there are too many.
        vocabulary: ids in all.
    """
    generator = random.Random(seed)  # noqa: S311 - reproducible, not secret
    tokenizer = train_tokenizer(_texts(sets, generator), size=vocabulary)
    encoder = PromptEncoder(tokenizer.to_str(), FAMILY)
    forms = normal_forms(tokenizer)
    ids = tokenizer.get_vocab()
    facts = TokenFacts(
        forms=forms,
        idf=token_weights(tokenizer, forms, ([t[:COUNTED] for t in _all(one)] for one in sets)),
        start_id=ids["<|im_start|>"],
        end_id=ids["<|im_end|>"],
        yes_id=encoder.positive_id,
        last_id=encoder.prompt_ids("", "")[-1],
    )
    config = nano_config(
        tokenizer.get_vocab_size(), eos_id=facts.end_id, pad_id=ids["<|endoftext|>"]
    )
    model = build(config, facts, seed=seed)
    save_reranker(model, tokenizer, folder, family=FAMILY.name, dtype=torch.float32)


def _texts(sets: Sequence[Collection], generator: random.Random) -> Iterator[str]:
    """Beginnings of documents and queries, so many characters of each set."""
    for one in sets:
        texts = [text[:BEGINNING] for text in _all(one)]
        generator.shuffle(texts)
        room = CHARACTERS_PER_SET
        for text in texts:
            if room <= 0:
                break
            yield text
            room -= len(text)


def _all(one: Collection) -> list[str]:
    return [*one.documents.values(), *one.queries.values()]
