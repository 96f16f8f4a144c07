"""GGUF files, read back by the gguf package: weights, head, vocabulary, prompt, and refusals.

llama.cpp itself is run by `test_export_gguf_server`; here a tokenizer made of nothing but the
file's own metadata does what llama-server does with a query and a document.
"""

import itertools
import json
import shlex
import signal
import subprocess
import sys
import tracemalloc
import unicodedata
from pathlib import Path
from typing import Any

import exporting_kit as kit
import numpy as np
import pytest
import tiny
import torch
from gguf import GGMLQuantizationType, GGUFReader, TokenType, dequantize
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from zelo.errors import InputError, ModelFileError, UnsupportedModelError
from zelo.export.engines.engine import Request
from zelo.export.llama_cpp import gguf_type, write_gguf, written
from zelo.export.llama_cpp.tensors import gguf_tensors
from zelo.export.source import Source, open_source
from zelo.local.loading import tensors as sources
from zelo.scoring.families import sigmoid

NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "model.layers.1.input_layernorm.weight": "blk.1.attn_norm.weight",
    "model.layers.1.self_attn.q_proj.weight": "blk.1.attn_q.weight",
    "model.layers.1.self_attn.k_proj.weight": "blk.1.attn_k.weight",
    "model.layers.1.self_attn.v_proj.weight": "blk.1.attn_v.weight",
    "model.layers.1.self_attn.o_proj.weight": "blk.1.attn_output.weight",
    "model.layers.1.self_attn.q_norm.weight": "blk.1.attn_q_norm.weight",
    "model.layers.1.self_attn.k_norm.weight": "blk.1.attn_k_norm.weight",
    "model.layers.1.post_attention_layernorm.weight": "blk.1.ffn_norm.weight",
    "model.layers.1.mlp.gate_proj.weight": "blk.1.ffn_gate.weight",
    "model.layers.1.mlp.up_proj.weight": "blk.1.ffn_up.weight",
    "model.layers.1.mlp.down_proj.weight": "blk.1.ffn_down.weight",
}
HEAD = "cls.output.weight"
FORMS = {
    "zerank-2": None,
    "qwen3-reranker": None,
    "causal-untied": "zerank-1",
    "converted-5": None,
    "converted-yes-no": None,
}
"""Forms of a checkpoint, with the family where a form does not tell it."""


def gguf(model: Path | Source, path: Path, dtype: Any = "f32", family: str | None = None) -> Any:
    """Write a file, and return a reader of it."""
    source = model if isinstance(model, Source) else open_source(str(model), family=family)
    write_gguf(source, path, dtype)
    return GGUFReader(path)


def tensors(reader: Any) -> dict[str, Any]:
    """Return a file's tensors by name."""
    return {tensor.name: tensor for tensor in reader.tensors}


def numbers(tensor: Any) -> Any:
    """Return a tensor's numbers in float32, in the shape that PyTorch gives it."""
    shape = [int(size) for size in reversed(tensor.shape)]
    return dequantize(tensor.data, tensor.tensor_type).reshape(shape)


def said(reader: Any, key: str) -> Any:
    """Return the value of a key."""
    return reader.fields[key].contents()


def server_ids(reader: Any, query: str, document: str) -> list[int]:
    """Return a prompt's ids as llama-server makes them, of what the file says and nothing else."""
    tokens, types = said(reader, "tokenizer.ggml.tokens"), said(reader, "tokenizer.ggml.token_type")
    description = json.loads(tiny.tokenizer_json())  # for Qwen's splitting
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    description["normalizer"] = None
    description["model"] |= {
        "vocab": {token: i for i, token in enumerate(tokens)},
        "merges": [merge.split(" ") for merge in said(reader, "tokenizer.ggml.merges")],
    }
    description["added_tokens"] = [
        {"id": i, "content": token, "special": True, **flags}
        for i, (token, kind) in enumerate(zip(tokens, types, strict=True))
        if kind == TokenType.CONTROL
    ]
    prompt = said(reader, "tokenizer.chat_template.rerank")
    prompt = prompt.replace("{query}", query).replace("{document}", document)
    tokenizer = Tokenizer.from_str(json.dumps(description))
    ids: list[int] = tokenizer.encode(prompt, add_special_tokens=False).ids
    return ids


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """A model's folder that a test may change."""
    return tiny.save_sentence_transformers(tmp_path / "model")


@pytest.mark.parametrize("form", FORMS)
def test_every_weight_is_in_the_file(form, tiny_forms, tmp_path):
    """In f32 each tensor is the checkpoint's, by llama.cpp's name, and there is no other."""
    found = tensors(gguf(tiny_forms[form], tmp_path / "m.gguf", family=FORMS[form]))
    stored = load_file(tiny_forms[form] / "model.safetensors")
    names = NAMES | {
        name.replace(".1.", ".0."): given.replace(".1.", ".0.") for name, given in NAMES.items()
    }
    assert set(found) == {*names.values(), HEAD}
    for name, given in names.items():
        assert np.array_equal(numbers(found[given]), stored[name].numpy()), given


@pytest.mark.parametrize("form", FORMS)
def test_the_heads_softmax_is_the_probability(form, tiny_forms, tmp_path):
    """llama.cpp answers the first of softmax(head @ state), which is sigmoid(logit / scale)."""
    source = open_source(str(tiny_forms[form]), family=FORMS[form])
    found = tensors(gguf(source, tmp_path / "m.gguf", "q8_0"))[HEAD]
    assert found.tensor_type == GGMLQuantizationType.F32
    states = np.random.default_rng(7).normal(size=(20, 64)).astype(np.float32)
    outputs = numbers(found) @ states.T  # (2, 20)
    softmax = np.exp(outputs) / np.exp(outputs).sum(0)
    logits = (torch.from_numpy(states) @ source.row).tolist()
    wanted = [sigmoid(logit / source.family.scale) for logit in logits]
    assert softmax[0] == pytest.approx(wanted, abs=1e-6)


def test_bfloat16_weights_keep_their_bits(edited, tmp_path):
    """A checkpoint in bfloat16 is stored as it is, unless something else is asked for."""
    path = edited / "model.safetensors"
    weights = {name: tensor.bfloat16() for name, tensor in load_file(path).items()}
    save_file(weights, path, {"format": "pt"})
    source = open_source(str(edited))
    dtype = gguf_type(None, source.tensors)
    found = tensors(gguf(source, tmp_path / "m.gguf", dtype))
    assert dtype == "bf16"
    for name, given in NAMES.items():
        matrix = weights[name].dim() > 1
        kinds = GGMLQuantizationType
        assert found[given].tensor_type == (kinds.BF16 if matrix else kinds.F32), given
        assert np.array_equal(numbers(found[given]), weights[name].float().numpy()), given


@pytest.mark.parametrize("stored", [torch.float32, torch.float16])
def test_other_weights_become_float32_by_themselves(stored, edited):
    """What bfloat16 would round is not rounded unless somebody asks for it."""
    path = edited / "model.safetensors"
    save_file({n: t.to(stored) for n, t in load_file(path).items()}, path, {"format": "pt"})
    source = open_source(str(edited))
    assert gguf_type(None, source.tensors) == "f32"
    assert gguf_type("bf16", source.tensors) == "bf16"


def test_float16_weights_are_read(edited, tmp_path):
    """Weights of half precision come out as the same numbers."""
    path = edited / "model.safetensors"
    weights = {name: tensor.half() for name, tensor in load_file(path).items()}
    save_file(weights, path, {"format": "pt"})
    found = tensors(gguf(edited, tmp_path / "m.gguf"))
    for name, given in NAMES.items():
        assert np.array_equal(numbers(found[given]), weights[name].float().numpy()), given


def test_q8_0_is_off_by_half_a_step_at_most(tiny_model, tmp_path):
    """Of each 32 weights the largest takes 127 steps; norms stay in float32."""
    found = tensors(gguf(tiny_model, tmp_path / "m.gguf", "q8_0"))
    stored = load_file(tiny_model / "model.safetensors")
    for name, given in NAMES.items():
        weights = stored[name].numpy()
        if weights.ndim == 1:
            assert np.array_equal(numbers(found[given]), weights), given
            continue
        assert found[given].tensor_type == GGMLQuantizationType.Q8_0, given
        off = np.abs(numbers(found[given]) - weights).reshape(-1, 32)
        steps = np.abs(weights).reshape(-1, 32).max(1, keepdims=True) / 127
        # a step is stored in float16, whose error the 127th step has 127 times
        assert (off <= steps * (0.5 + 127 * 2**-11)).all(), given


def test_the_settings_are_the_configs(tiny_model, tmp_path):
    """What llama.cpp computes with stands in config.json."""
    reader = gguf(tiny_model, tmp_path / "m.gguf")
    config = json.loads((tiny_model / "config.json").read_text(encoding="utf-8"))
    wanted = {
        "qwen3.block_count": config["num_hidden_layers"],
        "qwen3.context_length": config["max_position_embeddings"],
        "qwen3.embedding_length": config["hidden_size"],
        "qwen3.feed_forward_length": config["intermediate_size"],
        "qwen3.attention.head_count": config["num_attention_heads"],
        "qwen3.attention.head_count_kv": config["num_key_value_heads"],
        "qwen3.attention.key_length": config["head_dim"],
        "qwen3.attention.value_length": config["head_dim"],
        "qwen3.rope.freq_base": config["rope_theta"],
        "qwen3.attention.layer_norm_rms_epsilon": pytest.approx(config["rms_norm_eps"]),
        "qwen3.pooling_type": 4,  # LLAMA_POOLING_TYPE_RANK
        "general.architecture": "qwen3",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_eos_token": False,
    }
    assert {key: said(reader, key) for key in wanted} == wanted
    assert len(said(reader, "qwen3.classifier.output_labels")) == 2  # rows of the head
    assert len(said(reader, "tokenizer.ggml.tokens")) == config["vocab_size"]


@pytest.mark.parametrize("family", ["zerank-2", "qwen3-reranker"])
def test_the_files_prompt_is_zelos(family, tiny_forms, tmp_path):
    """By token ids, for texts that have led engines astray and those that forge control tokens."""
    source = open_source(str(tiny_forms[family]))
    reader = gguf(source, tmp_path / "m.gguf")
    for query, document in kit.TEXTS:
        given = unicodedata.normalize("NFC", query.replace("{document}", "it")), document
        assert server_ids(reader, *given) == source.encoder.prompt_ids(*given), given


def test_only_the_frames_tokens_are_control(tiny_model, tmp_path):
    """By names that nobody can guess; a text can become none of the other added tokens."""
    files = [gguf(tiny_model, tmp_path / f"{i}.gguf") for i in range(2)]
    secrets = []
    for reader in files:
        tokens = said(reader, "tokenizer.ggml.tokens")
        types = said(reader, "tokenizer.ggml.token_type")
        control = {i: tokens[i] for i, kind in enumerate(types) if kind == TokenType.CONTROL}
        assert set(control) == {tiny.token_id(text) for text in ("<|im_start|>", "<|im_end|>")}
        assert not set(tokens) & {*tiny.SPECIAL, *tiny.NOT_SPECIAL}
        unused = {i for i, kind in enumerate(types) if kind == TokenType.UNUSED}
        assert unused >= {tiny.token_id(t) for t in ("<|endoftext|>", "<think>", "<tool_call>")}
        assert said(reader, "tokenizer.ggml.eos_token_id") in unused
        assert said(reader, "tokenizer.ggml.bos_token_id") in unused
        secrets.append({token.rpartition(">")[2] for token in control.values()})
    (first,), (second,) = secrets
    assert first != second
    assert len(bytes.fromhex(first)) == 16


def test_a_token_that_llama_cpp_takes_for_control_loses_its_name(edited, tmp_path):
    """Qwen's vocabulary has `</s>`, which no text becomes, and which llama.cpp would look for."""
    tokenizer = json.loads((edited / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    at = vocabulary.pop("ĠĠ")
    tokenizer["model"]["merges"] = [
        merge for merge in tokenizer["model"]["merges"] if "ĠĠ" not in ("".join(merge), *merge)
    ]
    vocabulary["</s>"] = at
    tiny.write_json(edited / "tokenizer.json", tokenizer)
    reader = gguf(edited, tmp_path / "m.gguf")
    assert "</s>" not in said(reader, "tokenizer.ggml.tokens")
    assert said(reader, "tokenizer.ggml.token_type")[at] == TokenType.UNUSED


def _lower_case(tokenizer: dict[str, Any]) -> None:
    both = [tokenizer["normalizer"], {"type": "Lowercase"}]
    tokenizer["normalizer"] = {"type": "Sequence", "normalizers": both}


def _end_of_word(tokenizer: dict[str, Any]) -> None:
    tokenizer["model"]["end_of_word_suffix"] = "</w>"


def _ignore_merges(tokenizer: dict[str, Any]) -> None:
    tokenizer["model"]["ignore_merges"] = True


def _other_split(tokenizer: dict[str, Any]) -> None:
    tokenizer["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": r"\p{L}+|\s+|."}


def _no_split(tokenizer: dict[str, Any]) -> None:
    tokenizer["pre_tokenizer"] = tokenizer["pre_tokenizer"]["pretokenizers"][1]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_lower_case, r"Sequence\(NFC, Lowercase\)"),
        (_end_of_word, "end_of_word_suffix='</w>'"),
        (_ignore_merges, "ignore_merges=True"),
        (_other_split, "another rule than Qwen's"),
        (_no_split, "another rule than Qwen's"),
    ],
)
def test_a_tokenizer_that_llama_cpp_has_not_is_refused(change, why, tiny_model, tmp_path):
    """It would score other tokens than the model was trained with, and no server would say so."""
    source = open_source(str(tiny_model))
    tokenizer = json.loads(source.tokenizer_json)
    change(tokenizer)
    source.checkpoint.files.__dict__["tokenizer_json"] = json.dumps(tokenizer)
    with pytest.raises(UnsupportedModelError, match=why):
        write_gguf(source, tmp_path / "m.gguf", "f32")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "stretches its positions"),
        ({"hidden_act": "gelu"}, "computes with gelu"),
    ],
)
def test_a_model_that_llama_cpp_would_compute_otherwise_is_refused(config, why, edited, tmp_path):
    """Positions and activations that the file cannot say are not left to a default."""
    tiny.edit_json(edited / "config.json", **config)
    with pytest.raises(UnsupportedModelError, match=why):
        gguf(edited, tmp_path / "m.gguf")


def test_biases_are_refused(edited, tmp_path):
    """llama.cpp's Qwen3 would leave them out."""
    path = edited / "model.safetensors"
    weights = load_file(path)
    sizes = {"q": 64, "k": 32, "v": 32, "o": 64}
    for layer in range(2):
        for name, size in sizes.items():
            weights[f"model.layers.{layer}.self_attn.{name}_proj.bias"] = torch.ones(size)
    save_file(weights, path, {"format": "pt"})
    tiny.edit_json(edited / "config.json", attention_bias=True)
    with pytest.raises(UnsupportedModelError, match=r"no place for .*_proj\.bias"):
        gguf(edited, tmp_path / "m.gguf")


@pytest.mark.parametrize("dtype", ["f16", "bfloat16", "Q8_0"])
def test_other_types_are_refused(dtype, tiny_model):
    """Half precision overflows; other spellings are not guessed at."""
    with pytest.raises(InputError, match="choose one of f32, bf16, q8_0"):
        gguf_type(dtype, open_source(str(tiny_model)).tensors)


def test_rows_that_q8_0_cannot_hold_are_refused(tiny_model):
    """It stores weights by 32."""
    stored = open_source(str(tiny_model)).tensors
    odd = [sources.StoredTensor("model.embed_tokens.weight", Path("x"), "F32", (10, 48), 0, 1920)]
    gguf_tensors(stored, "q8_0")
    gguf_tensors(odd, "bf16")
    with pytest.raises(InputError, match="rows of 48"):
        gguf_tensors(odd, "q8_0")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_damaged_weight_leaves_the_file_that_was_there(number, edited, tmp_path):
    """Nothing is written over a file before the new one is whole."""
    path = edited / "model.safetensors"
    weights = load_file(path)
    weights["model.layers.1.mlp.down_proj.weight"][3, 4] = number
    save_file(weights, path, {"format": "pt"})
    target = tmp_path / "out" / "m.gguf"
    target.parent.mkdir()
    target.write_bytes(b"old")
    with pytest.raises(ModelFileError, match=r"layers\.1\.mlp\.down_proj.*NaN or infinity"):
        gguf(edited, target)
    assert [(p.name, p.read_bytes()) for p in target.parent.iterdir()] == [("m.gguf", b"old")]


KILLED = """
import os, signal, sys
from pathlib import Path
from zelo.export.llama_cpp import write_gguf
from zelo.export.source import open_source

def kill(done, of):
    if done > of / 2:
        os.kill(os.getpid(), signal.SIGKILL)

write_gguf(open_source(sys.argv[1]), Path(sys.argv[2]), "f32", kill)
"""


def test_a_killed_export_leaves_no_file_of_that_name(tiny_model, tmp_path):
    """A server never reads half of one; running it again makes it whole."""
    target = tmp_path / "m.gguf"
    command = [sys.executable, "-c", KILLED, str(tiny_model), str(target)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert not target.exists()
    assert len(tensors(gguf(tiny_model, target))) == 25


def test_weights_are_written_a_piece_at_a_time(tmp_path, monkeypatch):
    """Memory holds a few times one piece, whatever the tensor's size."""
    monkeypatch.setattr(sources, "PIECE", 2**18)
    path = tmp_path / "big.safetensors"
    big = torch.randn(2**16, 64, generator=torch.Generator().manual_seed(1))  # 16 MiB
    save_file({"model.embed_tokens.weight": big}, path)
    start = path.stat().st_size - big.numel() * 4
    stored = sources.StoredTensor(
        "model.embed_tokens.weight", path, "F32", tuple(big.shape), start, big.numel() * 4
    )
    for dtype in ("f32", "bf16", "q8_0"):
        (tensor,) = gguf_tensors([stored], dtype)
        tracemalloc.start()
        size = sum(piece.nbytes for piece in tensor.pieces())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert size == tensor.size
        assert peak < 24 * 2**18, dtype


@pytest.mark.parametrize("dtype", ["f32", "bf16", "q8_0"])
def test_progress_ends_with_everything_written(dtype, tiny_model, tmp_path):
    """It counts the bytes of weights, and never goes back."""
    calls: list[tuple[int, int]] = []
    path = tmp_path / "m.gguf"
    write_gguf(open_source(str(tiny_model)), path, dtype, lambda *call: calls.append(call))
    done, totals = zip(*calls, strict=True)
    assert list(done) == sorted(done)
    assert {done[-1]} == set(totals)
    assert done[-1] == sum(tensor.n_bytes for tensor in GGUFReader(path).tensors)


@pytest.mark.parametrize("longest", [8192, 2048])
def test_the_command_lets_every_prompt_in(longest, edited, tmp_path):
    """Context and batches hold the longest prompt, and no other prompt takes of the context."""
    tiny.edit_json(edited / "config.json", max_position_embeddings=min(longest, 40960))
    source = open_source(str(edited))
    request = Request(source, tmp_path / "x", tmp_path / "out put", None, lambda done, of: None)
    found = written(request, "m.gguf", "f32")
    assert found.serving is not None
    words = shlex.split(found.serving.command)
    options = dict(itertools.pairwise(words))
    assert words[0] == "llama-server"
    assert "--reranking" in words
    assert options["-m"] == str(tmp_path / "out put" / "m.gguf")
    assert [options[name] for name in ("-c", "-b", "-ub")] == [str(longest)] * 3
    assert options["--parallel"] == "1"
    assert options["--alias"] == "out put"
    assert found.scale == "probability"
    assert found.serving.dialect == "llama.cpp"


def test_what_nobody_ran_is_called_unproven(tiny_forms, tmp_path):
    """What was run names a test that there is; real weights and cards were not."""
    for family in ("zerank-2", "qwen3-reranker"):
        source = open_source(str(tiny_forms[family]))
        request = Request(source, tmp_path, tmp_path / "out", None, lambda done, of: None)
        found = written(request, "m.gguf", "bf16")
        shown = [statement for statement in found.statements if statement.proven]
        for statement in shown:
            name = statement.how.split(",")[0]
            assert (Path(__file__).parent.parent / name).is_file()
        assert len(found.statements) - len(shown) == 1
        assert any("{document}" in note for note in found.notes)
        assert any("NFC" in note for note in found.notes)
        assert any("instruction" in note.lower() for note in found.notes)
