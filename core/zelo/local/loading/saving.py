"""Writing a model in the sentence-transformers form, as the published zerank-2 is.

The inverse of `checkpoint`: the folder loads with `zelo.Reranker(folder)`, with
`sentence_transformers.CrossEncoder(folder)` and, as a plain causal model, with transformers.
"""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.normalizers import NFC
from transformers import Qwen3ForCausalLM

from zelo.errors import InputError
from zelo.local.prompt import PromptEncoder
from zelo.scoring.families import ZERANK_PROMPT, family_named

__all__ = ["save_reranker"]

# Writes the frame of `zelo.scoring.families.ZERANK_PROMPT` for the roles that CrossEncoder sends.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- set names = {'query': 'system', 'document': 'user'} -%}"
    "{%- set role = names.get(message['role'], message['role']) -%}"
    "{{- '<|im_start|>' + role + '\\n' + message['content'] + '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)


def save_reranker(
    model: Qwen3ForCausalLM,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    family: str = "zerank-2",
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Write a model that answers in zerank's frame: weights, tokenizer and the scoring head.

    `family` is written into config.json as zelo's own mark, and `model` stays as it is.

    Raises:
        InputError: the family has another frame.
        UnsupportedModelError: the tokenizer lacks its answer token, or lets text forge another.
    """
    answer = family_named(family)
    if answer.prompt != ZERANK_PROMPT:
        raise InputError(f"family {family!r} cannot be saved with zerank's frame")
    answer_id = PromptEncoder(tokenizer.to_str(), answer).positive_id
    folder.mkdir(parents=True, exist_ok=True)
    saved: Any = copy.deepcopy(model)
    saved.to(dtype).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["zelo_family"] = family
    config["rope_theta"] = config["rope_parameters"]["rope_theta"]  # where transformers 4 looks
    _write(folder / "config.json", config)
    # Not tokenizer.save(): compact JSON is a fifth smaller, and zelo-nano ships in the wheel.
    (folder / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
    for weights in folder.glob("*.safetensors"):  # which safetensors writes for their owner alone
        shutil.copymode(folder / "tokenizer.json", weights)
    _write(folder / "tokenizer_config.json", _tokenizer_config(model, tokenizer))
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    for name, content in _sentence_transformers_files(answer_id).items():
        (folder / name).parent.mkdir(exist_ok=True)
        _write(folder / name, content)


def _tokenizer_config(model: Qwen3ForCausalLM, tokenizer: Tokenizer) -> dict[str, Any]:
    added = {
        str(token_id): {
            "content": token.content,
            "lstrip": token.lstrip,
            "normalized": token.normalized,
            "rstrip": token.rstrip,
            "single_word": token.single_word,
            "special": token.special,
        }
        for token_id, token in tokenizer.get_added_tokens_decoder().items()
    }
    # Qwen2Tokenizer builds its own normalisation and splitting; the plain class reads the file's.
    own = isinstance(tokenizer.normalizer, NFC)
    return {
        "tokenizer_class": "Qwen2Tokenizer" if own else "PreTrainedTokenizerFast",
        "add_prefix_space": False,
        "add_bos_token": False,
        "added_tokens_decoder": added,
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": model.config.max_position_embeddings,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "unk_token": None,
    }


def _sentence_transformers_files(answer_id: int) -> dict[str, Any]:
    forward = {"method": "forward", "method_output_name": "logits"}
    base = "sentence_transformers.base.modules.transformer.Transformer"
    head = "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"
    return {
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": base},
            {"idx": 1, "name": "1", "path": "1_LogitScore", "type": head},
        ],
        "1_LogitScore/config.json": {
            "true_token_id": answer_id,
            "false_token_id": None,
            "module_input_name": "causal_logits",
        },
        "sentence_bert_config.json": {
            "transformer_task": "text-generation",
            "modality_config": {"text": forward, "message": {**forward, "format": "flat"}},
            "module_output_name": "causal_logits",
            "processing_kwargs": {"chat_template": {"add_generation_prompt": True}},
        },
        "config_sentence_transformers.json": {
            # Without Identity, CrossEncoder applies a plain sigmoid to the raw logit.
            "activation_fn": "torch.nn.modules.linear.Identity",
            "default_prompt_name": None,
            "model_type": "CrossEncoder",
            "prompts": {},
        },
    }


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
