"""The training package: readers and miners, the built-in circuit, the loop, saving, zelo-nano.

Everything runs on a vocabulary of a few hundred tokens trained here, except the last tests, which
read the packaged model.
"""

import dataclasses
import random
from functools import cache
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import Qwen3ForCausalLM

from zelo import Reranker
from zelo.catalog import resolve
from zelo.collections import Collection, normal_text
from zelo.errors import InputError
from zelo.families import FAMILIES
from zelo.local.prompt import PromptEncoder
from zelo.local.saving import save_reranker
from zelo.training.nano import losses
from zelo.training.nano.batches import (
    Group,
    GroupShape,
    Source,
    draw_groups,
    encode_groups,
    pad_by_length,
    sentence_examples,
)
from zelo.training.nano.circuit import Dim, TokenFacts, build, nano_config, set_weights
from zelo.training.nano.imitation import draw_scored_groups
from zelo.training.nano.loop import Schedule, last_logits, train
from zelo.training.nano.mining import mine
from zelo.training.nano.queries import merge_repeated_queries, without_queries
from zelo.training.nano.vocabulary import normal_forms, train_tokenizer, word_weights

WORDS = (
    "river stone bridge water cold grey town spring hill boat read json file open close write "
    "socket server client list sort reverse number string date time zone copy folder delete"
).split()


def seeded(seed: int) -> random.Random:
    """Python's generator; every draw of these tests comes from one."""
    return random.Random(seed)  # noqa: S311 - reproducible, not secret


def sentences(count: int, seed: int) -> list[str]:
    """Random sentences of eight words out of WORDS."""
    generator = seeded(seed)
    return [" ".join(generator.choices(WORDS, k=8)) for _ in range(count)]


@cache
def small() -> tuple[Tokenizer, PromptEncoder, TokenFacts]:
    """A tokenizer that knows every word of WORDS as one token, and its facts."""
    texts = [*sentences(400, seed=0), *WORDS * 20, "the of and a to in " * 50]
    tokenizer = train_tokenizer(texts, size=600)
    forms = normal_forms(tokenizer)
    ids = tokenizer.get_vocab()
    facts = TokenFacts(
        forms=forms,
        idf=word_weights(tokenizer, forms, [texts]),
        start_id=ids["<|im_start|>"],
        end_id=ids["<|im_end|>"],
        yes_id=ids["Yes"],
    )
    return tokenizer, PromptEncoder(tokenizer.to_str(), FAMILIES["zelo"]), facts


def circuit(seed: int = 0) -> Qwen3ForCausalLM:
    """An untrained model with the circuit, over the small vocabulary."""
    tokenizer, _, facts = small()
    config = nano_config(tokenizer.get_vocab_size(), eos_id=facts.end_id, pad_id=0)
    return build(config, facts, seed=seed)


def collection(documents: list[str], queries: list[tuple[str, int]]) -> Collection:
    """A collection whose query i is relevant to the document of the number given with it."""
    return Collection(
        "small",
        {f"d{i}": text for i, text in enumerate(documents)},
        {f"q{i}": text for i, (text, _) in enumerate(queries)},
        {f"q{i}": {f"d{number}": 1} for i, (_, number) in enumerate(queries)},
    )


def test_repeated_queries_share_their_relevant_documents() -> None:
    """Two queries of one text become one with both answers; a forbidden text is dropped."""
    found = collection(["one", "two"], [("Display help", 0), ("display help!", 1), ("other", 1)])
    merged = merge_repeated_queries(found)
    assert merged.qrels == {"q0": {"d0": 1, "d1": 1}, "q2": {"d1": 1}}
    assert list(without_queries(merged, {normal_text("Other?")}).queries) == ["q0"]


def test_negatives_never_hold_an_answer_or_its_copy(tmp_path: Path) -> None:
    """The relevant document and one of the same words are never mined; the cache gives the same."""
    documents = ["cold river water", "Cold river, water!", "cold river boat", "hill town"]
    found = collection(documents, [("cold river", 0)])
    examples = mine(found, depth=10, cache=tmp_path)
    assert [(example.relevant, example.negatives) for example in examples] == [(("d0",), ("d2",))]
    (kept,) = tmp_path.iterdir()
    kept.write_text(kept.read_text().replace("cold river", "from the cache"))
    assert mine(found, depth=10, cache=tmp_path)[0].query == "from the cache"
    changed = dataclasses.replace(found, queries={"q0": "cold boat"})
    assert mine(changed, depth=10, cache=tmp_path)[0].query == "cold boat"


def test_drawn_groups_hold_one_answer_first(tmp_path: Path) -> None:
    """The first document is relevant, no other one is, and a seed repeats the draw."""
    documents = sentences(30, seed=1)
    found = collection(documents, [(text.rsplit(" ", 2)[0], i) for i, text in enumerate(documents)])
    source = Source("small", found.documents, mine(found, depth=10, cache=tmp_path), 1.0)
    shape = GroupShape(mined=3, random=2)

    def draw(seed: int) -> list[Group]:
        groups = draw_groups([source], shape, seeded(seed))
        return [next(groups) for _ in range(20)]

    assert draw(3) == draw(3)
    for group in draw(3):
        answer = group.documents[0]
        assert normal_text(answer).startswith(normal_text(group.query))
        assert len(group.documents) == shape.size
        assert answer not in group.documents[1:]


def test_scored_groups_carry_bm25_scores(tmp_path: Path) -> None:
    """The best document of a group shares more words with the query than its random ones."""
    documents = sentences(60, seed=2)
    found = collection(documents, [(text, i) for i, text in enumerate(documents)])
    source = Source("small", found.documents, mine(found, depth=10, cache=tmp_path), 1.0)
    groups = draw_scored_groups([source], 9, seeded(0))
    for _ in range(5):
        drawn = next(groups)
        words = set(drawn.group.query.lower().split())
        shared = [len(words & set(text.split())) for text in drawn.group.documents]
        assert len(drawn.scores) == 9
        assert shared[int(drawn.scores.argmax())] == max(shared)


def test_sentence_examples_come_from_their_document() -> None:
    """Every word of a made query stands in the document that it was made from."""
    documents = {str(i): ".\n".join(sentences(4, seed=i)) for i in range(20)}
    queries, texts = sentence_examples(documents, 10, seeded(0))
    assert 0 < len(queries) <= 10
    assert queries.keys() == texts.keys()
    for doc_id, query in queries.items():
        assert set(normal_text(query).split()) <= set(normal_text(documents[doc_id]).split())


def test_frame_words_are_single_tokens_and_forms_are_shared() -> None:
    """The score token and the roles are one token each; case and spaces do not change a form."""
    tokenizer, _, facts = small()
    for word in ("Yes", "yes", "no", "system", "user", "assistant", "\n"):
        assert len(tokenizer.encode(word).ids) == 1
    ids = tokenizer.get_vocab()
    assert facts.forms[ids["Ġriver"]] == facts.forms[ids["river"]] == "river"
    assert facts.idf[ids["Ġof"]] == 0
    assert facts.idf[ids["Ġriver"]] > 0


def hidden_and_attention(query: str, document: str) -> tuple[list[str], Tensor, Tensor]:
    """Tokens, the residual stream after layer 2 and layer 2's attention of the circuit."""
    tokenizer, encoder, _ = small()
    model = circuit()
    model.set_attn_implementation("eager")
    ids = encoder.prompt_ids(query, document)
    with torch.no_grad():
        out = model.model(torch.tensor([ids]), output_attentions=True, output_hidden_states=True)
    tokens = [tokenizer.decode([token], skip_special_tokens=False) for token in ids]
    return tokens, out.hidden_states[2][0], out.attentions[1][0]


def test_circuit_attends_to_equal_query_tokens() -> None:
    """Untrained, a document word attends to the same word of the query, else to a sink."""
    tokens, hidden, attention = hidden_and_attention("cold river boat", "grey River hill river")
    end = tokens.index("<|im_end|>")
    in_query = tokens.index(" river")
    last = len(tokens) - 1 - tokens[::-1].index(" river")
    assert last > end > in_query
    assert attention[0, last, in_query] > 0.9
    hill = tokens.index(" hill")
    sinks = [i for i, text in enumerate(tokens) if text == "<|im_start|>"]
    assert attention[0, hill, [i for i in sinks if i < hill]].sum() > 0.9
    assert hidden[in_query, Dim.SEGMENT] == pytest.approx(-1, abs=0.05)
    assert hidden[last, Dim.SEGMENT] == pytest.approx(1, abs=0.05)


def test_circuit_counts_a_repeat_less() -> None:
    """The second occurrence of a matched word gains less than the first."""
    tokens, hidden, _ = hidden_and_attention("cold river", "grey river hill river")
    first, second = [i for i, text in enumerate(tokens) if text == " river"][-2:]
    assert 0 < hidden[second, Dim.GAIN] < 0.6 * hidden[first, Dim.GAIN]


def logits_of(model: Qwen3ForCausalLM, groups: list[Group]) -> Tensor:
    """Raw logits [groups, documents] of the small vocabulary's prompts."""
    _, encoder, facts = small()
    sequences = encode_groups(groups, encoder, 64)
    return last_logits(model, sequences, facts.yes_id).view(len(groups), -1)


def small_groups(count: int) -> list[Group]:
    """Queries of four words of the first document."""
    generator = seeded(5)
    groups = []
    for i in range(count):
        texts = sentences(4, seed=100 + i)
        groups.append(Group(" ".join(generator.sample(texts[0].split(), 4)), tuple(texts)))
    return groups


def test_circuit_ranks_before_any_training() -> None:
    """Untrained, the document that holds the query's four words is mostly first of four."""
    groups = small_groups(40)
    with torch.no_grad():
        best = logits_of(circuit(), groups).argmax(1)
    assert int((best == 0).sum()) >= 28  # chance: 10


def test_training_lowers_the_loss_and_repeats_by_seed() -> None:
    """Twelve steps on fixed groups lower the loss; the same seed gives the same weights."""
    groups = small_groups(6)

    def step_loss(model: Qwen3ForCausalLM, step: int) -> Tensor:
        logits = logits_of(model, groups)
        return losses.listwise(logits) + 0.3 * losses.calibration(logits)

    models = [circuit(seed=7), circuit(seed=7)]
    seen: list[int] = []
    schedule = Schedule(12, learning_rate=2e-3, warmup_steps=2)
    histories = [
        train(model, step_loss, schedule, on_progress=lambda step, _: seen.append(step), every=6)
        for model in models
    ]
    assert histories[0] == histories[1]
    assert histories[0][-1] < 0.8 * histories[0][0]
    assert seen == [6, 12, 6, 12]
    for first, second in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_masked_training_keeps_the_other_weights() -> None:
    """With the construction's mask, weights that it left at 0 stay there, and others move."""
    groups = small_groups(4)
    model, before = circuit(), circuit()
    train(
        model,
        lambda working, _: losses.listwise(logits_of(working, groups)),
        Schedule(3, learning_rate=1e-3, warmup_steps=1),
        trained=set_weights(model),
    )
    masks = set_weights(before)
    moved = 0
    for name, weight in model.named_parameters():
        change = weight - before.get_parameter(name)
        assert not change[masks[name] == 0].any()
        moved += int(change.count_nonzero())
    assert moved > 1_000


def test_imitation_is_zero_for_equal_orders() -> None:
    """Logits that equal scores / temperature up to a constant lose nothing, others do."""
    scores = torch.tensor([[4.0, 2.0, 0.0]])
    assert losses.imitation(scores / 2 + 7, scores, 2.0).item() == pytest.approx(0, abs=1e-6)
    assert losses.imitation(-scores, scores, 2.0).item() > 1


def test_padded_batches_hold_every_sequence_once() -> None:
    """Batches keep to the token limit, and padding does not change a logit."""
    generator = seeded(0)
    sequences = [
        [generator.randrange(280) for _ in range(generator.randint(3, 40))] for _ in range(25)
    ]
    places = []
    for chunk, ids, lengths in pad_by_length(sequences, 100):
        assert ids.numel() <= 100
        assert ids.shape[1] == lengths.max()
        places += chunk
    assert sorted(places) == list(range(25))
    model = circuit()
    with torch.no_grad():
        together = last_logits(model, sequences, 5, max_tokens=200)
        alone = torch.cat([last_logits(model, [sequence], 5) for sequence in sequences])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)


def test_other_frames_are_not_saved_as_zerank(tmp_path: Path) -> None:
    """A family with a prompt of its own is refused before anything is written."""
    with pytest.raises(InputError, match="qwen3-reranker"):
        save_reranker(circuit(), small()[0], tmp_path / "out", family="qwen3-reranker")
    assert not (tmp_path / "out").exists()


def test_saved_folder_scores_alike_everywhere(tmp_path: Path) -> None:
    """CrossEncoder, Reranker and plain transformers read the same logits from a saved folder."""
    from sentence_transformers import CrossEncoder

    tokenizer, encoder, facts = small()
    save_reranker(circuit(), tokenizer, tmp_path, family="zelo")
    pairs = [("cold river", text) for text in sentences(6, seed=9)]
    pairs.append(("cold river", "\n\nriver 1 2\n"))
    plain = Qwen3ForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    with torch.no_grad():
        expected = [
            float(plain(torch.tensor([encoder.prompt_ids(*pair)])).logits[0, -1, facts.yes_id])
            for pair in pairs
        ]
    official = CrossEncoder(str(tmp_path), device="cpu", model_kwargs={"dtype": torch.float32})
    assert official.predict(pairs) == pytest.approx(expected, abs=1e-4)
    with Reranker(str(tmp_path), dtype="float32") as reranker:
        logits = reranker.score("cold river", [text for _, text in pairs], scale="logit")
    assert logits == pytest.approx(expected, abs=1e-4)


CASES = (
    (
        "how do I read a json file",
        "json.load(fp)\nDeserialize a file that holds a JSON document to a Python object.",
    ),
    ("sort a list in reverse", "list.sort(*, key=None, reverse=False)\nSort the list in place."),
    (
        "delete a directory and everything in it",
        "shutil.rmtree(path)\nDelete an entire directory tree; path must point to a directory.",
    ),
    ("current time in seconds", "time.time()\nReturn the time in seconds since the epoch."),
    (
        "compress data with gzip",
        "gzip.compress(data)\nCompress the data, returning a bytes object with gzip content.",
    ),
    (
        "symptoms of iron deficiency",
        "Iron deficiency causes fatigue, pale skin and other symptoms of anemia.",
    ),
    ("longest river in Africa", "The Nile is the longest river in Africa, at 6,650 km."),
    ("when was the bridge built", "The stone bridge across the harbor was built in 1932."),
    (
        "who discovered penicillin",
        "Alexander Fleming discovered penicillin in 1928 at St Mary's Hospital.",
    ),
    ("list files by size", "ls -lS\nList all files sorted by size, largest first."),
    (
        "vitamin D and bone density",
        "In adults, supplements of vitamin D raised bone density over two years.",
    ),
    ("notice to terminate the contract", "Either party may terminate this contract by notice."),
)


def test_nano_puts_the_matching_document_first() -> None:
    """Of twelve handwritten documents on twelve subjects, each query finds its own first."""
    documents = [document for _, document in CASES]
    with Reranker("zelo-nano") as reranker:
        found = [reranker.rank(query, documents)[0].index for query, _ in CASES]
    assert found == list(range(len(CASES)))


def test_nano_scores_alike_in_sentence_transformers() -> None:
    """CrossEncoder loads the packaged folder too and gives the same raw logits."""
    from sentence_transformers import CrossEncoder

    folder = resolve("zelo-nano").folder
    official = CrossEncoder(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    texts = [*sentences(8, seed=3), "\n\nA river.", "naïve café \U0001f600", "x" * 400]
    with Reranker("zelo-nano") as reranker:
        logits = reranker.score("cold river", texts, scale="logit")
    expected = official.predict([("cold river", text) for text in texts])
    assert logits == pytest.approx(expected, abs=1e-4)


def test_nano_is_small_and_whole() -> None:
    """The packaged folder keeps to its limits: 8 MB, 3.5 million parameters, no machine path."""
    import zelo

    folder = Path(zelo.__file__).parent / "models" / "zelo-nano"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 8_000_000
    model = Qwen3ForCausalLM.from_pretrained(folder)
    assert sum(weight.numel() for weight in model.parameters()) <= 3_500_000
    assert model.dtype == torch.bfloat16
    texts = [p.read_text(encoding="utf-8") for p in files if p.suffix in {".json", ".md"}]
    here = (str(Path.home()), str(Path(zelo.__file__).parents[2]))
    assert not any(path in text for text in texts for path in here)
