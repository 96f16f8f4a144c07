"""How sentence_transformers.CrossEncoder asks a model, told by the files of its folder.

A folder in the sentence-transformers form brings its prompt along: a chat template, the settings
that it is rendered with, a default prompt, the length at which texts are cut. Its scores are those
of that prompt, so it is followed wherever a `Family` can say it, and refused by name elsewhere.

transformers renders and tokenises, as it does for CrossEncoder: templates run in jinja2's sandbox,
and no code of the folder runs at all. What becomes of each setting is told after release 6.2 of
sentence-transformers (base/modules/transformer.py, base/modality.py). An activation function is
left aside, as it makes another scale of the same logit.
"""

import math
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from zelo.errors import ModelFileError, UnsupportedModelError
from zelo.local.loading.files import read_json
from zelo.local.prompt import PROBES, PromptEncoder, is_word
from zelo.local.quiet import quiet
from zelo.scoring.families import CONTROL_TOKENS, Family

__all__ = ["CROSS_ENCODER", "TEMPLATE", "TRANSFORMER", "CrossEncoderPrompt"]

CROSS_ENCODER = "config_sentence_transformers.json"
TRANSFORMER = "sentence_bert_config.json"
TEMPLATE = "chat_template.jinja"

QUERY, DOCUMENT, INSTRUCTION = "Wq7Query7qW", "Wd7Document7dW", "Wi7Instruction7iW"
"""Texts that stand for a template's fields while it is rendered."""
LONG = ("a long text", "how long is it, " * 1_000, "and on it goes. " * 1_000)
LONGEST = 100_000
"""Characters of a frame; what writes more is no sound template."""

ELSEWHERE = (
    *("do_lower_case", "tokenizer_name_or_path", "processor_kwargs", "tokenizer_args"),
    *("config_kwargs", "config_args", "model_kwargs", "model_args"),
)
"""Settings that put something else in the place of tokenizer.json, config.json or the weights."""
HARMLESS = {"attn_implementation", "device_map", "dtype", "torch_dtype", "trust_remote_code"}
"""What those may say and change no score but by rounding."""
CUTTING = {"padding", "truncation", "max_length", "return_tensors"}
"""Settings for the tokenizer that may stand among those of the template."""
WITHOUT_EFFECT = CUTTING | {"padding_side", "pad_to_multiple_of", "logits_to_keep"}
"""Settings for the tokenizer that leave a prompt's ids as they are, unless it is cut."""
CHANGING = ("add_prefix_space", "split_special_tokens")
"""Settings of a tokenizer, to be named where it gives other ids."""


class CrossEncoderPrompt:
    """The prompt of a folder in the sentence-transformers form.

    Raises:
        ModelFileError: a file is missing, or not what it should be.
        UnsupportedModelError: a setting says what zelo cannot do.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        cross_encoder = read_json(folder / CROSS_ENCODER)
        transformer = read_json(folder / TRANSFORMER)
        self._refuse_settings(cross_encoder, transformer)
        message = self._object(transformer, "modality_config").get("message", {})
        self._structured = message.get("format") == "structured"
        self._default = self._default_prompt(cross_encoder)
        self._max_seq_length = transformer.get("max_seq_length")
        processing = self._object(transformer, "processing_kwargs")
        common, text, template = (
            self._object(processing, name) for name in ("common", "text", "chat_template")
        )
        self._cutting = {**common, "truncation": True, **text, **template}
        self._tokenizing = {k: v for k, v in text.items() if k not in WITHOUT_EFFECT}
        self._rendering = {k: v for k, v in template.items() if k not in CUTTING}
        if not self._rendering.pop("restore_suffix", True):
            self._refuse(f"{TRANSFORMER} says restore_suffix=false", "cuts the prompt's end off")

    def family(self, family: Family) -> Family:
        """Return the family with this folder's frame and default instruction.

        An instruction stands where the template writes a message of the role `system`, as which
        CrossEncoder sends a prompt. Where it writes none, the family's own way remains.

        Raises:
            UnsupportedModelError: no family can say what the template writes.
        """
        found = self._framed(family)
        instructions = (None, "be strict") if "{instruction}" in found.prompt else (None,)
        for kind, query, document in (*PROBES, LONG):
            for instruction in instructions:
                fields = found.fields(query, instruction)
                if self._written(query, document, instruction or self._default) != (
                    found.prompt.format(**fields, document=document)
                ):
                    so = f"writes {kind} otherwise than it is"
                    self._refuse("its chat template changes texts", so)
        return found

    def check(self, encoder: PromptEncoder) -> None:
        """Compare an encoder's ids with those that CrossEncoder gives the same prompts.

        Raises:
            UnsupportedModelError: they differ.
        """

        def ids(query: str, document: str) -> list[int]:
            how = {"tokenize": True, "return_dict": True, "tokenizer_kwargs": self._tokenizing}
            found: list[int] = self._apply(query, document, self._default, **how)["input_ids"]
            return found

        if (kind := encoder.differing(ids)) is not None:
            kinds = [type(self._tokenizer).__name__, *map(str, self._tokenizing)]
            kinds += [name for name in CHANGING if getattr(self._tokenizer, name, None)]
            self._refuse(
                f"its settings make another tokenizer of tokenizer.json ({', '.join(kinds)})",
                f"reads {kind} as other tokens",
            )

    @cached_property
    def max_tokens(self) -> float:
        """Tokens at which CrossEncoder cuts a prompt; infinite where it never does."""
        if self._cutting["truncation"] in (False, "do_not_truncate"):
            return math.inf
        found = self._cutting.get("max_length")
        return self._tokenizer.model_max_length if found is None else self._length(found)

    def _refuse_settings(self, cross_encoder: dict[str, Any], transformer: dict[str, Any]) -> None:
        kind = cross_encoder.get("model_type", "SentenceTransformer")
        if kind != "CrossEncoder":
            so = "leaves modules.json aside and reads 'yes' minus 'no'"
            self._refuse(f"{CROSS_ENCODER} says model_type={kind!r}", so)
        for name in ELSEWHERE:
            value = transformer.get(name)
            if value and not (isinstance(value, dict) and HARMLESS.issuperset(value)):
                so = "loads something else than the files beside it"
                self._refuse(f"{TRANSFORMER} says {name}={value!r}", so)
        message = self._object(transformer, "modality_config").get("message")
        if message is None:
            so = "joins query and document without a chat template"
            self._refuse(f"{TRANSFORMER} names no modality 'message'", so)
        form = message.get("format") if isinstance(message, dict) else None
        if form not in ("flat", "structured"):
            so = "guesses at the form of messages"
            self._refuse(f"{TRANSFORMER} says format={form!r} of messages", so)

    def _length(self, found: Any) -> int:
        if not isinstance(found, int) or found < 1:
            message = (
                f"{self._folder} cuts texts at {found!r} tokens, which must be a whole number of "
                f"at least 1; mend {TRANSFORMER} or tokenizer_config.json"
            )
            raise ModelFileError(message)
        return found

    def _default_prompt(self, cross_encoder: dict[str, Any]) -> str | None:
        name, prompts = cross_encoder.get("default_prompt_name"), cross_encoder.get("prompts")
        if name is None:
            return None
        if not isinstance(prompts, dict) or not isinstance(prompts.get(name), str):
            message = (
                f"{self._folder / CROSS_ENCODER} names the default prompt {name!r}, which is not "
                "among its prompts; fetch the file again"
            )
            raise ModelFileError(message)
        return prompts[name] or None

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer  # brings torch

        load: Any = AutoTokenizer
        length = {} if self._max_seq_length is None else {"model_max_length": self._max_seq_length}
        try:
            with quiet():
                tokenizer = load.from_pretrained(
                    self._folder, local_files_only=True, trust_remote_code=False, **length
                )
        except Exception as error:  # anywhere in transformers
            message = (
                f"transformers makes no tokenizer of {self._folder} ({_told(error)}); fetch "
                "tokenizer_config.json and the chat template again"
            )
            raise ModelFileError(message) from error
        tokenizer.model_max_length = self._length(tokenizer.model_max_length)
        if tokenizer.truncation_side != "right":
            so = "cuts long prompts at their beginning"
            self._refuse("tokenizer_config.json says truncation_side='left'", so)
        return tokenizer

    @cached_property
    def _controls(self) -> tuple[str, ...]:
        added = self._tokenizer.added_tokens_decoder.values()
        names = [token.content for token in added if not is_word(token.content, token.special)]
        return (*names, *CONTROL_TOKENS)

    def _framed(self, family: Family) -> Family:
        plain, default = self._frame(None), self._default
        try:
            instructed = self._frame(INSTRUCTION)
        except UnsupportedModelError:  # some templates refuse an instruction
            instructed = plain
        if "{instruction}" not in instructed:
            return replace(family, prompt=plain, default_instruction=None)
        if default is not None and any(name in default for name in self._controls):
            so = "ends a turn there"
            self._refuse(f"{CROSS_ENCODER} has a default prompt with control tokens", so)
        if instructed == plain.replace("{query}", family.instructed_query or "{query}"):
            return replace(family, prompt=plain, default_instruction=default)
        before, _, after = instructed.partition("{instruction}")
        own = plain.removeprefix(before).removesuffix(after)  # what it says if it is told nothing
        if plain == before + own + after:
            default = own if default is None else default
        if default is None:
            return replace(family, prompt=plain, default_instruction=None)
        return replace(
            family, prompt=instructed, instructed_query=None, default_instruction=default
        )

    def _frame(self, instruction: str | None) -> str:
        """Return what the template writes, its fields in braces.

        Raises:
            UnsupportedModelError: it cannot be cut at its control tokens and filled in again.
        """
        written = self._written(QUERY, DOCUMENT, instruction)
        if len(written) > LONGEST:
            so = "asks at that length"
            self._refuse(f"its chat template writes {len(written)} characters for two words", so)
        if "{" in written or "}" in written:
            self._refuse("its chat template writes braces", "asks with them")
        if (written.count(QUERY), written.count(DOCUMENT)) != (1, 1):
            so = "scores something else than both"
            self._refuse(
                "its chat template does not write query and document once, as they are", so
            )
        behind = written.partition(DOCUMENT)[2]
        sound = not behind or behind.startswith(self._controls)
        if not sound or QUERY in behind or INSTRUCTION in behind:
            so = "does not end the document with a control token"
            self._refuse("its chat template writes text behind the document", so)
        fields = {QUERY: "{query}", DOCUMENT: "{document}", INSTRUCTION: "{instruction}"}
        for mark, field in fields.items():
            written = written.replace(mark, field)
        return written

    def _written(self, query: str, document: str, instruction: str | None) -> str:
        return str(self._apply(query, document, instruction, tokenize=False))

    def _apply(self, query: str, document: str, instruction: str | None, **how: Any) -> Any:
        texts = {"system": instruction, "query": query, "document": document}
        messages = [
            {
                "role": role,
                "content": [{"type": "text", "text": text}] if self._structured else text,
            }
            for role, text in texts.items()
            if text is not None
        ]
        tokenizer = self._tokenizer
        try:
            with quiet():
                return tokenizer.apply_chat_template(messages, **how, **self._rendering)
        except Exception as error:  # whatever a template does
            self._refuse(f"its chat template fails ({_told(error)})", "fails as well")

    def _object(self, settings: dict[str, Any], name: str) -> dict[str, Any]:
        found = settings.get(name) or {}
        if not isinstance(found, dict):
            message = f"{name} in {self._folder / TRANSFORMER} is no JSON object; fetch it again"
            raise ModelFileError(message)
        return found

    def _refuse(self, says: str, so: str) -> NoReturn:
        message = (
            f"{self._folder} cannot be scored as sentence_transformers.CrossEncoder does it: "
            f"{says}, so CrossEncoder {so}, and zelo cannot. Score the model with CrossEncoder, "
            "or mend the file if the model was trained otherwise"
        )
        raise UnsupportedModelError(message)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"
