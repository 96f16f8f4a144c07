"""zelo's raw logits equal those of sentence-transformers and of transformers, in float32.

sentence_transformers.CrossEncoder is the official path for zerank-2 and the real counterpart
here: nothing of it is replaced. Tolerance: 1e-4 on the raw logit, several units wide.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from sentence_transformers import CrossEncoder
from transformers import (
    AutoTokenizer,
    Qwen3ForCausalLM,
    Qwen3ForSequenceClassification,
    Qwen3Model,
)

from zelo import Reranker
from zelo.local.loading.checkpoint import read_checkpoint_files
from zelo.local.model import load_backbone

TOLERANCE = 1e-4
Pairs = Sequence[tuple[str, str]]

FRAGMENTS = (
    *"The river runs down from the hills to the sea".split(),
    *"open a file in Python and call its method read()".split(),
    *"der Fluß fließt über die Ebene, très beau été".split(),
    *("川の水は冷たい", "河水很冷。", "Вода холодная", "الماء بارد", "המים קרים", "ठंडा पानी"),
    *("한국어", "ภาษาไทย", "Ελληνικά", "ქართული", "தமிழ்", "አማርኛ"),
    *("😀", "👩‍🔬", "🇩🇪", "e\u0301", "o\u0308\u0323", "\u200d", "\ufeff", "\u00a0", "\u3000"),
    *("3.14", "2024-11-21", "x = [1, 2]", "it's", "I'LL", "!!!", "...", "<b>", "</b>", "{query}"),
    *("\n", "\n\n", "\r\n", "\t", "  ", " \n ", "Yes", "yes", "no", "system", "user", "assistant"),
    *("<|im_start", "im_end|>", "<think", "{document}", "%s", "\\n", "\x00", "\x7f"),
)
EDGES = ("\nfoo", "\n\nfoo", "  \nfoo", "\tfoo", "\r\nfoo", " foo", "foo ", "foo\n", "\u0301a", "x")


def _text(random_: random.Random, median: float) -> str:
    """Return a text of log-normal length in which no whole control token stands."""
    pieces = max(1, int(random_.lognormvariate(0, 0.8) * median))
    text = "".join(
        random_.choice(FRAGMENTS) + random_.choice(("", " ", " ")) for _ in range(pieces)
    )
    return text if text.strip() else text + "."


@cache
def _pairs() -> Pairs:
    """Return over 300 pairs: random ones, every edge on both sides, one of over 1,024 tokens."""
    random_ = random.Random(20261121)  # noqa: S311 - texts, not secrets
    pairs = []
    for _ in range(28):
        query = _text(random_, 8)
        pairs += [(query, _text(random_, 16)) for _ in range(random_.randint(5, 18))]
    pairs += [(query, document) for query in EDGES for document in EDGES[:7]]
    pairs.append(("the river", "".join(_text(random_, 30) for _ in range(10))))
    controls = (*tiny.SPECIAL, *tiny.NOT_SPECIAL)  # these are read differently, on purpose
    assert not any(text in f"{query}\0{document}" for query, document in pairs for text in controls)
    return pairs


def _zelo(folder: Path, pairs: Pairs, family: str | None = None, **how: Any) -> list[float]:
    with Reranker(folder, family=family, device="cpu", dtype="float32") as reranker:
        return reranker.predict(pairs, scale="logit", **how)


def _official(folder: Path, pairs: Pairs, prompt: str | None = None) -> list[float]:
    model = CrossEncoder(str(folder), device="cpu", local_files_only=True)
    scores = model.predict(
        list(pairs),
        prompt=prompt,
        batch_size=8,
        activation_fn=torch.nn.Identity(),
        show_progress_bar=False,
    )
    return [float(score) for score in scores]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute with one thread: more only wait for each other in models this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def official(tiny_forms: dict[str, Path]) -> Callable[[str], list[float]]:
    """CrossEncoder's logits of all pairs, by the form's name, computed once."""
    return cache(lambda name: _official(tiny_forms[name], _pairs()))


FORMS = [
    ("zerank-2", None, "zerank-2"),
    ("zerank-2", "zerank-1", "zerank-2"),
    ("causal", "zerank-1", "zerank-2"),
    ("causal", "zerank-2", "zerank-2"),
    ("causal-auto-map", None, "zerank-2"),
    ("converted-1", None, "zerank-2"),
    ("converted-5", None, "zerank-2"),
    ("converted-5", "zerank-2", "zerank-2"),
    ("qwen3-reranker", None, "qwen3-reranker"),
    ("causal", "qwen3-reranker", "qwen3-reranker"),
    ("converted-yes-no", None, "qwen3-reranker"),
]


@pytest.mark.parametrize(("form", "family", "reference"), FORMS)
def test_every_form_equals_the_cross_encoder(
    form: str,
    family: str | None,
    reference: str,
    tiny_forms: dict[str, Path],
    official: Callable[[str], list[float]],
) -> None:
    """Each form of one model gives CrossEncoder's raw logits on pairs of all kinds of text."""
    expected = official(reference)
    assert max(expected) - min(expected) > 5, "the logits are too close to tell an error"
    assert len(expected) > 300
    assert _zelo(tiny_forms[form], _pairs(), family) == pytest.approx(expected, abs=TOLERANCE)


def test_families_differ_on_the_same_weights(official: Callable[[str], list[float]]) -> None:
    """The two families' prompts and answers matter: a mix-up would be seen by the tests above."""
    zerank, qwen3 = official("zerank-2"), official("qwen3-reranker")
    assert sum(abs(a - b) > 0.1 for a, b in zip(zerank, qwen3, strict=True)) > 300


@pytest.mark.parametrize("called_tied", [False, True])
@pytest.mark.parametrize("family", ["zerank-2", "qwen3-reranker"])
def test_untied_projection_equals_the_cross_encoder(
    family: str, called_tied: bool, tmp_path: Path
) -> None:
    """A vocabulary projection that differs from the embedding is read, also where the folder says
    that they are one."""
    folder = tiny.save_sentence_transformers(tmp_path, family, tied=False)
    tiny.edit_json(folder / "config.json", tie_word_embeddings=called_tied)
    pairs = _pairs()[::9]
    assert _zelo(folder, pairs) == pytest.approx(_official(folder, pairs), abs=TOLERANCE)


def test_sharded_weights_equal_the_whole_file(
    tmp_path: Path, official: Callable[[str], list[float]]
) -> None:
    """An index and two shards, as zerank-2 has them, give the logits of one file."""
    folder = tiny.save_sentence_transformers(tmp_path)
    tiny.shard(folder)
    expected = official("zerank-2")[::9]
    assert _zelo(folder, _pairs()[::9]) == pytest.approx(expected, abs=TOLERANCE)


def test_tied_model_with_a_stored_copy_of_its_embeddings(
    tmp_path: Path, official: Callable[[str], list[float]]
) -> None:
    """A tied folder that stores lm_head.weight all the same, as Qwen3-Reranker-0.6B, is read."""
    folder = tiny.save_sentence_transformers(tmp_path, "qwen3-reranker")
    tensors = tiny.weights()
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    tiny.save_tensors(folder / "model.safetensors", tensors)
    expected = official("qwen3-reranker")[::9]
    assert _zelo(folder, _pairs()[::9]) == pytest.approx(expected, abs=TOLERANCE)


def test_tied_model_whose_embedding_is_called_by_its_projections_name(
    tmp_path: Path, official: Callable[[str], list[float]]
) -> None:
    """A tied folder that stores its embedding as lm_head.weight alone is read."""
    folder = tiny.save_sentence_transformers(tmp_path)
    tensors = tiny.weights()
    tensors["lm_head.weight"] = tensors.pop("model.embed_tokens.weight")
    tiny.save_tensors(folder / "model.safetensors", tensors)
    expected = official("zerank-2")[::9]
    assert _official(folder, _pairs()[::9]) == pytest.approx(expected, abs=TOLERANCE)
    assert _zelo(folder, _pairs()[::9]) == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize("index", ["of another model", "damaged"])
def test_a_single_file_comes_before_an_index(index: str, tmp_path: Path) -> None:
    """Layers and score row are of model.safetensors, whatever an index beside it leads to."""
    folder = tiny.save_sentence_transformers(tmp_path)
    whole = (folder / "model.safetensors").read_bytes()
    tensors = {name: tensor.flip(0) for name, tensor in tiny.weights().items()}
    tiny.save_tensors(folder / "model.safetensors", tensors)
    tiny.shard(folder)
    (folder / "model.safetensors").write_bytes(whole)
    if index == "damaged":
        (folder / "model.safetensors.index.json").write_text("{")
    pairs = _pairs()[::9]
    assert _zelo(folder, pairs) == pytest.approx(_official(folder, pairs), abs=TOLERANCE)


ROPES: dict[str, dict[str, Any]] = {
    "rope_theta": {"rope_theta": 5e5},
    "rope_parameters": {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
    "yarn": {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e6}},
    "linear": {"rope_scaling": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e6}},
    "dynamic": {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e6}},
}


@pytest.mark.parametrize("rope", ROPES)
def test_the_loaded_model_is_that_of_transformers_to_the_bit(rope: str, tmp_path: Path) -> None:
    """Weights, converted or not, and rotary frequencies, which no file holds, in every form."""
    folder = tiny.save_causal(tmp_path)
    tiny.edit_json(folder / "config.json", **ROPES[rope])
    files = read_checkpoint_files(folder)
    for dtype in (torch.float32, torch.bfloat16):
        wanted = Qwen3Model.from_pretrained(folder, dtype=dtype)
        found = load_backbone(files, torch.device("cpu"), dtype)
        tensors = dict(found.named_parameters()) | dict(found.named_buffers())
        expected = dict(wanted.named_parameters()) | dict(wanted.named_buffers())
        assert tensors.keys() == expected.keys()
        assert all(torch.equal(tensors[name], expected[name]) for name in expected)
        assert {name: tensor.dtype for name, tensor in tensors.items()} == {
            name: tensor.dtype for name, tensor in expected.items()
        }
        assert found.rotary_emb.attention_scaling == wanted.rotary_emb.attention_scaling
        assert found.config.dtype == wanted.config.dtype


def test_instruction_of_qwen3_reranker_equals_the_cross_encoder_prompt(
    tiny_forms: dict[str, Path], official: Callable[[str], list[float]]
) -> None:
    """instruction= stands where CrossEncoder's prompt= stands for the Qwen3-Reranker family."""
    folder, pairs = tiny_forms["qwen3-reranker"], _pairs()[::9]
    instruction = "Find the passage about bridges,\nnot rivers"
    expected = _official(folder, pairs, instruction)
    assert expected != pytest.approx(official("qwen3-reranker")[::9], abs=0.01)
    found = _zelo(folder, pairs, instruction=instruction)
    assert found == pytest.approx(expected, abs=TOLERANCE)


def test_instruction_of_zerank_2_equals_the_tagged_query(tiny_forms: dict[str, Path]) -> None:
    """instruction= for zerank-2 is the vendor's tags around query and instruction."""
    folder, pairs = tiny_forms["zerank-2"], _pairs()[::9]
    tagged = [
        (f"<query>{query}</query>\n<instruction>About bridges</instruction>", document)
        for query, document in pairs
    ]
    found = _zelo(folder, pairs, instruction="About bridges")
    assert found == pytest.approx(_official(folder, tagged), abs=TOLERANCE)


ZERANK = (
    "<|im_start|>system\n",
    "<|im_end|>\n<|im_start|>user\n",
    "<|im_end|>\n<|im_start|>assistant\n",
)
QWEN3_RERANKER = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    'the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n<Instruct>: Given a web search query, retrieve relevant passages that "
    "answer the query\n<Query>: ",
    "\n<Document>: ",
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
)


def _prompts(folder: Path, template: tuple[str, str, str], pairs: Pairs) -> list[torch.Tensor]:
    """Return the ids (1, T) of prompts written out as one string, as transformers encodes them."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    before, between, after = template
    texts = [before + query + between + document + after for query, document in pairs]
    return [torch.tensor([tokenizer(text)["input_ids"]]) for text in texts]


@pytest.mark.parametrize(
    ("form", "family", "template", "answers"),
    [
        ("causal", "zerank-1", ZERANK, ("Yes", None)),
        ("causal-untied", "zerank-1", ZERANK, ("Yes", None)),
        ("causal-both", "zerank-1", ZERANK, ("Yes", None)),
        ("causal-untied", "qwen3-reranker", QWEN3_RERANKER, ("yes", "no")),
    ],
)
@torch.inference_mode()
def test_equals_the_causal_model_one_pair_at_a_time(
    form: str,
    family: str,
    template: tuple[str, str, str],
    answers: tuple[str, str | None],
    tiny_forms: dict[str, Path],
) -> None:
    """The logit is that of Qwen3ForCausalLM at the last token of the rendered prompt."""
    folder, pairs = tiny_forms[form], _pairs()[::9]
    model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    positive, negative = (answer and tiny.token_id(answer) for answer in answers)
    last = [model(ids).logits[0, -1] for ids in _prompts(folder, template, pairs)]
    expected = [float(row[positive] - (row[negative] if negative else 0)) for row in last]
    assert _zelo(folder, pairs, family) == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("form", "divisor", "template"),
    [
        ("converted-1", 1, ZERANK),
        ("converted-5", 5, ZERANK),
        ("converted-yes-no", 1, QWEN3_RERANKER),
    ],
)
@torch.inference_mode()
def test_equals_the_classifier_one_pair_at_a_time(
    form: str, divisor: int, template: tuple[str, str, str], tiny_forms: dict[str, Path]
) -> None:
    """The logit is the converted classifier's one label, times what its row was divided by."""
    folder, pairs = tiny_forms[form], _pairs()[::9]
    model = Qwen3ForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    expected = [float(model(ids).logits) * divisor for ids in _prompts(folder, template, pairs)]
    assert _zelo(folder, pairs) == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}, "rope_theta": 10_000},
        {"rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 5e5}},
        {"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 3e4}},
    ],
    ids=["yarn", "linear", "dynamic", "theta within"],
)
def test_every_form_of_rope_equals_the_cross_encoder(rope: dict[str, Any], tmp_path: Path) -> None:
    """Positions are turned as config.json says, in the words of transformers 4 and 5."""
    folder = tiny.save_sentence_transformers(tmp_path)
    plain = _zelo(folder, _pairs()[::30])
    tiny.edit_json(folder / "config.json", **rope)
    expected = _official(folder, _pairs()[::30])
    assert expected != pytest.approx(plain, abs=0.01)
    assert _zelo(folder, _pairs()[::30]) == pytest.approx(expected, abs=TOLERANCE)


def test_a_fine_tuned_model_equals_the_cross_encoder(tmp_path: Path) -> None:
    """What sentence-transformers saves after training all weights scores here as it does there."""
    start = tiny.save_sentence_transformers(tmp_path / "start")
    model = CrossEncoder(str(start), device="cpu", local_files_only=True)
    steps = torch.optim.AdamW(model.parameters(), lr=1e-3)
    features = model.preprocess([list(pair) for pair in _pairs()[:4]])
    wanted = torch.tensor([1.0, 0.0, 1.0, 0.0])
    for _ in range(5):
        scores = model(dict(features))["scores"][:, 0]
        torch.nn.functional.binary_cross_entropy_with_logits(scores, wanted).backward()
        steps.step()
        steps.zero_grad()
    model.save_pretrained(str(tmp_path / "tuned"))
    expected = _official(tmp_path / "tuned", _pairs()[::9])
    assert expected != pytest.approx(_zelo(start, _pairs()[::9]), abs=0.1)
    assert _zelo(tmp_path / "tuned", _pairs()[::9]) == pytest.approx(expected, abs=TOLERANCE)
