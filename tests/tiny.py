"""Tiny models in every form that zelo reads, all made here from one set of random weights.

A small byte-level BPE with Qwen3's split pattern is trained from a few paragraphs, and a random
Qwen3 of two layers gets weights large enough for its logits to differ by several units. Nothing
is fetched, and nothing outside the given folder is read or written.
"""

import json
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers import processors as post_processors
from tokenizers.trainers import BpeTrainer
from transformers import AutoTokenizer

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
NOT_SPECIAL = ("<tool_call>", "</tool_call>", "<think>", "</think>")

PARAGRAPHS = (
    "system\nuser\nassistant\nYes\nyes\nno\nNo\nYes, yes, no.\nsystem user assistant Yes yes no\n",
    "The river runs down from the hills to the sea, and in spring its water is cold and grey.\n\n"
    "In the old town by the river there are three bridges; the oldest was built of stone.\n",
    "To read a file in Python, open it with the function open() and call its method read().\n"
    "with open('notes.txt', encoding='utf-8') as file:\n    text = file.read()\n\n",
    "Judge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no". Given a web search query, retrieve '
    "relevant passages that answer the query.\n<Instruct>: \n<Query>: \n<Document>: \n\n",
    "Der Fluss fließt über die Ebene; les ponts étaient vieux et très beaux. ¿Dónde está el río?\n",
    "川の水は冷たい。 河水很冷。 Вода в реке холодная. الماء بارد. המים קרים. नदी का पानी ठंडा है।\n",
    "1 2 3 4 5 6 7 8 9 0 10 2024 3.14 \U0001f600 \U0001f30a \t\t\r\n \n  \n   x = [1, 2]; y = {}\n",
)

ZERANK_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + {'query': 'system', 'document': 'user'}.get(message.role, message.role)"
    " + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
DEFAULT_INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
QWEN3_RERANKER_TEMPLATE = (
    "{% set found = namespace(instruct='" + DEFAULT_INSTRUCTION + "', query='', document='') %}"
    "{% for message in messages %}"
    "{% if message.role == 'system' %}{% set found.instruct = message.content %}{% endif %}"
    "{% if message.role == 'query' %}{% set found.query = message.content %}{% endif %}"
    "{% if message.role == 'document' %}{% set found.document = message.content %}{% endif %}"
    "{% endfor %}"
    "{{ '<|im_start|>system\nJudge whether the Document meets the requirements based on the Query"
    ' and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n<Instruct>: ' + found.instruct + '\n<Query>: ' + found.query"
    " + '\n<Document>: ' + found.document + '<|im_end|>\n' }}"
    "{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n<think>\n\n</think>\n\n' }}"
    "{% endif %}"
)
TEMPLATES = {
    "zerank-1": ZERANK_TEMPLATE,
    "zerank-2": ZERANK_TEMPLATE,
    "zelo": ZERANK_TEMPLATE,
    "qwen3-reranker": QWEN3_RERANKER_TEMPLATE,
}

TRIPWIRE = """import pathlib

pathlib.Path(__file__).with_name("REMOTE_CODE_RAN").touch()
raise RuntimeError("remote code ran")
"""
"""Remote code of a model folder, which leaves a file behind if anything ever imports it."""


@cache
def tokenizer_json() -> str:
    """Return a tokenizer like Qwen3's in all but its size, about 700 tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = post_processors.ByteLevel(trim_offsets=False)
    trainer = BpeTrainer(
        vocab_size=700,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(PARAGRAPHS * 3, trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL])
    tokenizer.add_tokens([AddedToken(text, special=False) for text in NOT_SPECIAL])
    for answer in ("Yes", "yes", "no"):
        assert len(tokenizer.encode(answer).ids) == 1
    return tokenizer.to_str()


def token_id(text: str) -> int:
    """Return the id of a token, control tokens included."""
    found = Tokenizer.from_str(tokenizer_json()).token_to_id(text)
    assert found is not None
    return int(found)


def config(architecture: str = "Qwen3ForCausalLM", tied: bool = True) -> dict[str, object]:
    """Return a config.json as the hub's zerank folders have it, but small."""
    return {
        "architectures": [architecture],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": token_id("<|endoftext|>"),
        "eos_token_id": token_id("<|im_end|>"),
        "pad_token_id": token_id("<|endoftext|>"),
        "head_dim": 16,
        "hidden_act": "silu",
        "hidden_size": 64,
        "initializer_range": 0.02,
        "intermediate_size": 96,
        "max_position_embeddings": 40960,
        "max_window_layers": 2,
        "model_type": "qwen3",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 1000000,
        "sliding_window": None,
        "tie_word_embeddings": tied,
        "torch_dtype": "float32",
        "transformers_version": "4.51.3",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": Tokenizer.from_str(tokenizer_json()).get_vocab_size() + 5,
    }


@cache
def _weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(20261121)
    settings = config()
    hidden, inner, rows = 64, 96, int(str(settings["vocab_size"]))
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(2):
        at = f"model.layers.{layer}"
        shapes |= {
            f"{at}.self_attn.q_proj.weight": (64, hidden),
            f"{at}.self_attn.k_proj.weight": (32, hidden),
            f"{at}.self_attn.v_proj.weight": (32, hidden),
            f"{at}.self_attn.o_proj.weight": (hidden, 64),
            f"{at}.mlp.gate_proj.weight": (inner, hidden),
            f"{at}.mlp.up_proj.weight": (inner, hidden),
            f"{at}.mlp.down_proj.weight": (hidden, inner),
        }
    # norms away from 1, so that one left out is seen
    norms = {"model.norm.weight": hidden}
    for layer in range(2):
        at = f"model.layers.{layer}"
        norms |= {f"{at}.self_attn.{name}_norm.weight": 16 for name in "qk"}
        norms |= {f"{at}.{name}_layernorm.weight": hidden for name in ("input", "post_attention")}
    weights = {
        name: torch.randn(shape, generator=generator) * 1.5 / shape[1] ** 0.5
        for name, shape in shapes.items()
    }
    weights |= {
        name: 0.6 + 0.8 * torch.rand(size, generator=generator) for name, size in norms.items()
    }
    weights["model.embed_tokens.weight"] = 0.5 * torch.randn(rows, hidden, generator=generator)
    weights["lm_head.weight"] = 0.5 * torch.randn(rows, hidden, generator=generator)
    return weights


def weights(tied: bool = True) -> dict[str, torch.Tensor]:
    """Return the tensors of the tiny causal model; a tied one stores no projection."""
    copies = {name: tensor.clone() for name, tensor in _weights().items()}
    if tied:
        del copies["lm_head.weight"]
    return copies


def save_causal(
    folder: Path,
    auto_map: bool = False,
    tied: bool = True,
    template: str = ZERANK_TEMPLATE,
) -> Path:
    """Write a plain Qwen3ForCausalLM; with `auto_map` as zerank-1 has it, remote code included."""
    settings = config(tied=tied)
    if auto_map:
        settings["auto_map"] = {"AutoConfig": "modeling_zeranker.ZEConfig"}
        _write(folder / "modeling_zeranker.py", TRIPWIRE)
    _save(folder, settings, weights(tied), template)
    return folder


def save_sentence_transformers(folder: Path, family: str = "zerank-2", tied: bool = True) -> Path:
    """Write the sentence-transformers form of a family, which CrossEncoder loads as it is."""
    save_causal(folder, tied=tied, template=TEMPLATES[family])
    qwen3_reranker = family == "qwen3-reranker"
    score = {
        "true_token_id": token_id("yes" if qwen3_reranker else "Yes"),
        "false_token_id": token_id("no") if qwen3_reranker else None,
    }
    text = {"method": "forward", "method_output_name": "logits"}
    transformer = {
        "transformer_task": "text-generation",
        "modality_config": {"text": text, "message": text | {"format": "flat"}},
        "module_output_name": "causal_logits",
        "processing_kwargs": {"chat_template": {"add_generation_prompt": True}},
    }
    modules = [
        ("", "sentence_transformers.base.modules.transformer.Transformer"),
        (
            "1_LogitScore",
            "sentence_transformers.cross_encoder.modules.logit_score.LogitScore",
        ),
    ]
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": kind}
        for i, (path, kind) in enumerate(modules)
    ]
    cross_encoder = {
        "__version__": {},
        "activation_fn": "torch.nn.modules.linear.Identity",
        "default_prompt_name": None,
        "model_type": "CrossEncoder",
        "prompts": {},
    }
    write_json(folder / "modules.json", listed)
    write_json(folder / "1_LogitScore" / "config.json", score)
    write_json(folder / "sentence_bert_config.json", transformer)
    write_json(folder / "config_sentence_transformers.json", cross_encoder)
    return folder


def save_converted(folder: Path, divisor: float = 1, two_tokens: bool = False) -> Path:
    """Write a Qwen3ForSequenceClassification whose one row is made from the causal model's.

    The row is that of "Yes", or "yes" minus "no" with `two_tokens`, divided by `divisor`.
    """
    settings = config("Qwen3ForSequenceClassification")
    settings |= {"id2label": {"0": "Yes"}, "label2id": {"Yes": 0}}
    tensors = weights()
    rows = tensors["model.embed_tokens.weight"]
    row = rows[token_id("yes")] - rows[token_id("no")] if two_tokens else rows[token_id("Yes")]
    tensors["score.weight"] = (row / divisor)[None].clone()
    _save(folder, settings, tensors, ZERANK_TEMPLATE)
    return folder


def add_words(folder: Path, *words: str | AddedToken) -> None:
    """Add words to a folder's tokenizer as fine-tuning scripts do; the model has rows for five."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([*words])
    tokenizer.save_pretrained(folder)


def write_json(path: Path, value: object) -> None:
    """Write JSON, making the folder if need be."""
    _write(path, json.dumps(value, indent=2))


def edit_json(path: Path, **values: object) -> None:
    """Set keys of a JSON object on disk; None removes a key."""
    settings = json.loads(path.read_text(encoding="utf-8")) | values
    write_json(path, {key: value for key, value in settings.items() if value is not None})


def save_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write a safetensors file as transformers does."""
    save_file(tensors, path, {"format": "pt"})


def save_zeros(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """Write a safetensors file of bfloat16 zeros, which takes no room on disk."""
    entries, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * torch.Size(shape).numel()
        entries[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    header = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + end)


def shard(folder: Path) -> list[Path]:
    """Turn model.safetensors of a folder into an index and two shards, and return those."""
    from safetensors.torch import load_file

    whole = folder / "model.safetensors"
    tensors = load_file(whole)
    whole.unlink()
    names = sorted(tensors)
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    paths = [folder / f"model-0000{i + 1}-of-00002.safetensors" for i in range(2)]
    for path, half in zip(paths, halves, strict=True):
        save_tensors(path, {name: tensors[name] for name in half})
    weight_map = {
        name: path.name for path, half in zip(paths, halves, strict=True) for name in half
    }
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})
    return paths


def _save(
    folder: Path, settings: dict[str, object], tensors: dict[str, torch.Tensor], template: str
) -> None:
    write_json(folder / "config.json", settings)
    _write(folder / "tokenizer.json", tokenizer_json())
    tokenizer_config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 32768,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    write_json(folder / "tokenizer_config.json", tokenizer_config)
    _write(folder / "chat_template.jinja", template)
    save_tensors(folder / "model.safetensors", tensors)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
