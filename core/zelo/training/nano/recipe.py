"""The recipe of zelo-nano: `python -m zelo.training.nano --data DIR --out DIR`.

`--data` holds the collections in BEIR layout. Training sets only are learned from; of the
evaluation sets, cosqa's and tatqa's development splits choose the checkpoint, and scifact's test
claims are read to be left out.
"""

import argparse
import copy
import logging
import pathlib
import random
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import Qwen3ForCausalLM

from zelo.collections import Collection, normal_text, read_collection
from zelo.families import FAMILIES
from zelo.local.prompt import PromptEncoder
from zelo.local.saving import save_reranker
from zelo.training.nano import losses
from zelo.training.nano.batches import (
    GroupShape,
    Source,
    draw_groups,
    encode_groups,
    sentence_examples,
)
from zelo.training.nano.circuit import TokenFacts, build, nano_config, set_weights
from zelo.training.nano.imitation import draw_scored_groups
from zelo.training.nano.loop import Schedule, last_logits, train
from zelo.training.nano.measuring import Candidates, first_stage, quality
from zelo.training.nano.mining import mine
from zelo.training.nano.queries import merge_repeated_queries, without_queries
from zelo.training.nano.vocabulary import normal_forms, train_tokenizer, word_weights

_log = logging.getLogger("zelo")

# (name, split, weight): how often each is drawn from, not in proportion to its size.
TRAINING_SETS = (
    ("nqg", "test", 3.0),
    ("clapnq", "train", 2.0),
    ("tldr-en", "train", 1.0),
    ("nl2bash", "train", 2.0),
    ("medquad", "train", 2.0),
    ("scifact", "train", 3.0),
)
SENTENCES_FROM = ("medquad", "clapnq")
SENTENCES, SENTENCES_WEIGHT = 8_000, 6.0
VOCABULARY = 10_240
CHARACTERS_PER_SET = 5_000_000  # for the BPE; medquad alone has 20 million
MINED_DEPTH = 40
SHAPE = GroupShape(mined=6, random=2)
GROUPS_PER_STEP = 4
DOCUMENT_TOKENS = (96, 128, 160, 256)  # one is drawn per step: mostly short, for speed
IMITATION_SHARE = 0.5  # of the steps come before the first label
TEMPERATURE = 2.0  # BM25's scores of a query differ by about 3.3, too much for a soft target
CALIBRATION = 0.3
LEARNING_RATE = 5e-4


def read_training_sets(data: pathlib.Path) -> list[Collection]:
    """The training collections, repeated queries merged, scifact's test claims left out."""
    test_claims = read_collection(data / "scifact", split="test").collection.queries.values()
    forbidden = {normal_text(text) for text in test_claims}
    sets = [
        read_collection(data / name, split=split).collection for name, split, _ in TRAINING_SETS
    ]
    return [merge_repeated_queries(without_queries(found, forbidden)) for found in sets]


def sentence_collection(sets: Sequence[Collection], generator: random.Random) -> Collection:
    """Queries made of sentences, each relevant to the document it was cut from."""
    documents = {
        f"{found.name}:{doc_id}": text
        for found in sets
        if found.name in SENTENCES_FROM
        for doc_id, text in found.documents.items()
    }
    queries, texts = sentence_examples(documents, SENTENCES, generator)
    return Collection("sentences", texts, queries, {doc_id: {doc_id: 1} for doc_id in queries})


def vocabulary_texts(sets: Sequence[Collection], generator: random.Random) -> list[str]:
    """Beginnings of documents and queries, at most CHARACTERS_PER_SET of each set."""
    chosen = []
    for found in sets:
        texts = [text[:1_500] for text in found.documents.values()] + list(found.queries.values())
        generator.shuffle(texts)
        room = CHARACTERS_PER_SET
        for text in texts:
            if room <= 0:
                break
            chosen.append(text)
            room -= len(text)
    return chosen


def run(data: pathlib.Path, out: pathlib.Path, cache: pathlib.Path, seed: int, steps: int) -> None:
    """Train and save; the same seed, data and library versions give the same model."""
    torch.manual_seed(seed)
    generator = random.Random(seed)  # noqa: S311 - reproducible, not secret
    sets = read_training_sets(data)
    tokenizer = train_tokenizer(vocabulary_texts(sets, generator), size=VOCABULARY)
    encoder = PromptEncoder(tokenizer.to_str(), FAMILIES["zelo"])
    forms = normal_forms(tokenizer)
    text_sets = (
        [text[:3_000] for text in found.documents.values()] + list(found.queries.values())
        for found in sets
    )
    ids = tokenizer.get_vocab()
    facts = TokenFacts(
        forms=forms,
        idf=word_weights(tokenizer, forms, text_sets),
        start_id=ids["<|im_start|>"],
        end_id=ids["<|im_end|>"],
        yes_id=encoder.positive_id,
    )
    config = nano_config(VOCABULARY, eos_id=facts.end_id, pad_id=ids["<|endoftext|>"])
    model = build(config, facts, seed=seed)

    weights = [weight for _, _, weight in TRAINING_SETS] + [SENTENCES_WEIGHT]
    learned = [*sets, sentence_collection(sets, generator)]
    sources = [
        Source(found.name, found.documents, mine(found, depth=MINED_DEPTH, cache=cache), weight)
        for found, weight in zip(learned, weights, strict=True)
    ]
    labelled = draw_groups(sources, SHAPE, generator)
    scored = draw_scored_groups(sources, SHAPE.size, generator)

    def step_loss(working: Qwen3ForCausalLM, step: int) -> Tensor:
        # Imitation first, then both: with labels alone the first 130 steps lost on cosqa what
        # they won on tatqa; imitation won on both.
        by_label = 0 if step < IMITATION_SHARE * steps else GROUPS_PER_STEP // 2
        teacher = [next(scored) for _ in range(GROUPS_PER_STEP - by_label)]
        groups = [found.group for found in teacher] + [next(labelled) for _ in range(by_label)]
        sequences = encode_groups(groups, encoder, generator.choice(DOCUMENT_TOKENS))
        logits = last_logits(working, sequences, facts.yes_id).view(len(groups), -1)
        scores = torch.stack([found.scores for found in teacher])
        loss = losses.imitation(logits[: len(teacher)], scores, TEMPERATURE)
        if by_label:
            own = logits[len(teacher) :]
            loss = loss + losses.listwise(own) + CALIBRATION * losses.calibration(own)
        return loss

    keeper = _BestKeeper(
        model,
        encoder,
        [
            first_stage(
                read_collection(data / name, split="dev").collection,
                queries=40,
                depth=50,
            )
            for name in ("cosqa", "tatqa")
        ],
    )
    keeper(0, float("nan"))
    train(
        model,
        step_loss,
        Schedule(steps, learning_rate=LEARNING_RATE, warmup_steps=20),
        trained=set_weights(model),
        on_progress=keeper,
        every=max(1, steps // 5),
    )
    save_reranker(keeper.best, tokenizer, out, family="zelo")
    _log.info("saved the model of step %d, development nDCG@10 %.3f", keeper.step, keeper.quality)


class _BestKeeper:
    """Keeps a copy of the model that was best on the development sets so far."""

    def __init__(
        self, model: Qwen3ForCausalLM, encoder: PromptEncoder, sets: Sequence[Candidates]
    ) -> None:
        self._model, self._encoder, self._sets = model, encoder, sets
        self.best, self.step, self.quality = model, 0, -1.0

    def __call__(self, step: int, loss: float) -> None:
        values = [quality(self._model, self._encoder, candidates) for candidates in self._sets]
        average = sum(values) / len(values)
        _log.info("step %d loss %.4f development nDCG@10 %s", step, loss, values)
        if average > self.quality:
            self.best, self.step, self.quality = copy.deepcopy(self._model), step, average


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of collections")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the new model")
    parser.add_argument("--cache", type=pathlib.Path, default=pathlib.Path("mined"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    _log.setLevel(logging.INFO)
    run(arguments.data, arguments.out, arguments.cache, arguments.seed, arguments.steps)
