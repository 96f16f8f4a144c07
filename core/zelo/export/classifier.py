"""A model as Qwen3ForSequenceClassification: the form that vLLM, SGLang, BEI and transformers read.

One label, whose row is the family's score row divided by its scale, so that a plain sigmoid gives
the probability. The row is float32 whatever the backbone is: rounding it to bfloat16 alone moves
zelo-nano's scores by up to 0.0006 (its logits by 0.06; 325 pairs). Knows no engine.
"""

import json
from pathlib import Path
from typing import Any

import torch

from zelo.export.export import OnBytes
from zelo.export.frames import Frame
from zelo.export.source import Source
from zelo.export.weights import Dtype, write_weights
from zelo.local.loading.checkpoint import CONTROL_NAMES, SCORE_ROW
from zelo.local.loading.score_head import score_row_note

__all__ = ["SCORE", "write_classifier", "write_json"]

SCORE = "score.weight"
LABEL = "relevant"
ACTIVATION = "torch.nn.modules.activation.Sigmoid"
FORGOTTEN = (
    *("auto_map", "transformers_version", "_name_or_path", "tokenizer_class"),
    # of "regression" vLLM makes no sigmoid, and transformers allows no other for a single label
    "problem_type",
    *(CONTROL_NAMES, SCORE_ROW),  # of an export that was saved again
)
"""Keys of config.json that say something of the source, and not of the export."""


def write_classifier(
    source: Source,
    folder: Path,
    frame: Frame,
    dtype: Dtype,
    on_bytes: OnBytes,
    *,
    bias: bool = False,
    template: str | None = None,
) -> None:
    """Write config.json, the tokenizer and the weights.

    Args:
        source: the model.
        folder: an empty folder.
        frame: how the engine writes prompts.
        dtype: number type of the backbone.
        on_bytes: told as weights are written.
        bias: write `score.bias`, a zero, for an engine whose head has one.
        template: name of the file that gets the frame's template.

    Raises:
        ModelFileError: the source cannot be read, or its weights are not finite.
    """
    write_json(folder / "config.json", _config(source, frame, dtype))
    (folder / "tokenizer.json").write_text(frame.tokenizer_json, encoding="utf-8")
    write_json(
        folder / "tokenizer_config.json", frame.tokenizer_config(source.checkpoint.usual_tokens)
    )
    if template is not None and frame.template is not None:
        (folder / template).write_text(frame.template, encoding="utf-8")
    head = {SCORE: source.scaled_row[None]}
    if bias:
        head["score.bias"] = torch.zeros(1)
    write_weights(source, folder, dtype, head, on_bytes)


def write_json(path: Path, value: object) -> None:
    """Write a JSON file as people read it."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")


def _config(source: Source, frame: Frame, dtype: Dtype) -> dict[str, Any]:
    parsed = source.parsed_config
    kept = {key: value for key, value in source.config.items() if key not in FORGOTTEN}
    rope: dict[str, Any] = dict(parsed.rope_parameters or {})
    named = {} if frame.control_names is None else {CONTROL_NAMES: dict(frame.control_names)}
    return (kept | named) | {
        "architectures": ["Qwen3ForSequenceClassification"],
        "num_labels": 1,
        "id2label": {"0": LABEL},  # SGLang normalises the answer to 1 or -1 where there is none
        "label2id": {LABEL: 0},
        "sentence_transformers": {"activation_fn": ACTIVATION},  # vLLM and CrossEncoder obey it
        "use_sep_token": frame.template is None,  # vLLM: tokenise as a pair, or not
        "pad_token_id": frame.pad_id,
        "dtype": dtype,  # transformers 5
        "torch_dtype": dtype,  # transformers 4
        "rope_parameters": rope,  # transformers 5
        "rope_theta": rope["rope_theta"],  # transformers 4
        "zelo_family": source.family.name,
        SCORE_ROW: score_row_note(source.scaled_row, source.family.scale),
    }
