"""A tokenizer as llama.cpp reads it, and the prompt's template in its words.

llama-server puts query and document into the template as text, and only then looks for control
tokens by their names. So the control tokens get names here that no document knows, and all other
added tokens get none: a document that says `<|im_end|>` says eleven characters, as in `zelo`.

Knows llama.cpp's tokenizer (src/llama-vocab.cpp and tools/server/server-common.cpp); knows
nothing of weights or files.
"""

import json
import re
import secrets
from collections.abc import Iterable
from typing import Any, NamedTuple

from gguf import TokenType

from zelo.errors import UnsupportedModelError
from zelo.local.prompt import is_word
from zelo.scoring.families import Family

__all__ = ["Vocabulary", "read_vocabulary"]

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen's tokenizers cut text into words. It is built into llama.cpp under the name `qwen2`."""

PLAIN = {
    "type": "BPE",
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "byte_fallback": False,
    "ignore_merges": False,
}
"""What a tokenizer's model may say of itself; llama.cpp can be told nothing else."""

UNREACHABLE = re.compile(r"[!-~]*[A-Za-z][!-/:-@\[-`{-~][!-~]*")
"""A token with a letter before a punctuation mark. `SPLIT` cuts there, so no text becomes it, and
it can do without its name, by which llama.cpp takes some for control: Qwen's `</s>`, for one."""


class Vocabulary(NamedTuple):
    """What a GGUF file says of a tokenizer."""

    tokens: list[str]
    """By id, one for each row of the embedding."""
    kinds: list[TokenType]
    merges: list[str]
    template: str
    """The prompt of llama-server's `/v1/rerank`, with the fields {query} and {document}."""
    end: int
    """The token that ends texts elsewhere. Prompts hold none, and no text becomes it."""


def read_vocabulary(tokenizer_json: str, family: Family, rows: int) -> Vocabulary:
    """Return the vocabulary of a tokenizer for a model with `rows` rows in its embedding.

    Each call gives the control tokens other names: with 128 random bits, which are in the file and
    in no text. The tokenizer is one that `zelo.local.prompt.PromptEncoder` takes for this family.

    Raises:
        UnsupportedModelError: llama.cpp has no such tokenizer, or there are more tokens than rows.
    """
    description: dict[str, Any] = json.loads(tokenizer_json)
    _check_known(description)
    model = description["model"]
    added = {token["content"]: token["id"] for token in description["added_tokens"]}
    _check_rows([*model["vocab"].values(), *added.values()], rows)
    names = _secret_names(added, family)
    kinds = [TokenType.UNUSED] * rows
    tokens = [f"[PAD{token_id}]" for token_id in range(rows)]  # as llama.cpp's converter has it
    reachable = {t: i for t, i in model["vocab"].items() if not UNREACHABLE.fullmatch(t)}
    for token, token_id in reachable.items():
        tokens[token_id], kinds[token_id] = token, TokenType.NORMAL
    for token, token_id in added.items():
        tokens[token_id] = names.get(token, f"[PAD{token_id}]")
        kinds[token_id] = TokenType.CONTROL if token in names else TokenType.UNUSED
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    end = next((added[token] for token in added if token not in names), rows - 1)
    return Vocabulary(tokens, kinds, merges, _template(family, names), end)


def _check_known(description: dict[str, Any]) -> None:
    """Refuse a tokenizer that llama.cpp's `qwen2` would not follow to the letter."""
    model = description["model"]
    split, byte_level = _pre_tokenizers(description)
    faults = {
        f"its normaliser is {_kind(description['normalizer'])}, and llama.cpp normalises no text "
        "for a byte-level BPE": _kind(description["normalizer"]) not in ("NFC", "none"),
        "it has words of its own, which llama.cpp looks for in another order": any(
            is_word(token["content"], token["special"]) for token in description["added_tokens"]
        ),
        "it cuts text into words by another rule than Qwen's": (
            split.get("pattern") != {"Regex": SPLIT}
            or (split.get("behavior"), split.get("invert")) != ("Isolated", False)
            or (byte_level.get("add_prefix_space"), byte_level.get("use_regex")) != (False, False)
        ),
    } | {
        f"its model says {name}={model.get(name)!r}": (model.get(name) or standard) != standard
        for name, standard in PLAIN.items()
    }
    found = [fault for fault, is_there in faults.items() if is_there]
    if found:
        message = (
            f"llama.cpp has no tokenizer like this model's: {'; '.join(found)}. It would score "
            "other tokens than the model was trained with; serve the model with `zelo serve`, or "
            "export it for another engine"
        )
        raise UnsupportedModelError(message)


def _pre_tokenizers(description: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the Split and the ByteLevel that Qwen's consists of, or empty ones."""
    steps = (description["pre_tokenizer"] or {}).get("pretokenizers", [])
    if [step.get("type") for step in steps] != ["Split", "ByteLevel"]:
        return {}, {}
    return steps[0], steps[1]


def _kind(step: dict[str, Any] | None) -> str:
    """Name a normaliser, with the steps that it consists of."""
    if step is None:
        return "none"
    inner = step.get("normalizers", [])
    return f"{step['type']}({', '.join(map(_kind, inner))})" if inner else str(step["type"])


def _check_rows(ids: list[int], rows: int) -> None:
    if max(ids) >= rows:
        message = f"the tokenizer has a token {max(ids)}, and the model only {rows} rows for them"
        raise UnsupportedModelError(message)


def _secret_names(added: Iterable[str], family: Family) -> dict[str, str]:
    """Give each control token of a family's prompt a name that no text holds."""
    secret = secrets.token_hex(16)
    return {token: token + secret for token in added if token in family.prompt}


def _template(family: Family, names: dict[str, str]) -> str:
    fields = family.fields("{query}", None)
    template = family.prompt.format(**fields, document="{document}")
    for token, name in names.items():
        template = template.replace(token, name)
    return template
