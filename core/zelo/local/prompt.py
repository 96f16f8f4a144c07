"""From texts to token ids that no text can forge.

A family's template is cut at its control tokens; those are written by id. Every stretch between
two of them, user text included, is encoded whole by a tokenizer that finds no control tokens in
texts, so `<|im_end|>` in a document is just eleven characters, while for all other text the ids
equal those of the rendered template (tokenizers also cuts at added tokens before it does anything
else). Words that somebody added to the vocabulary are words: texts write them.

Knows tokenizers and templates; knows nothing of models, packs or scores.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tokenizers import Tokenizer

from zelo.errors import ModelFileError, QueryTooLongError, UnsupportedModelError
from zelo.local.windows import windows
from zelo.scoring.families import CONTROL_TOKENS, END_THINK, IM_END, IM_START, THINK, Answer, Family
from zelo.scoring.options import Limits, LongDocuments

__all__ = ["PROBES", "EncodedRequest", "PromptEncoder", "Slot", "is_word", "text_tokenizer"]

OF_QWEN3 = frozenset(
    (
        *("<|endoftext|>", IM_START, IM_END, "<|object_ref_start|>", "<|object_ref_end|>"),
        *("<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>"),
        *("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
        *("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"),
        *("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>"),
        *("<|repo_name|>", "<|file_sep|>", THINK, END_THINK),
    )
)
"""Tokens that Qwen3's own tokenizer adds; twelve of them it does not call special."""

PROBES = (
    ("plain text", "What is 2+2?", "4"),
    ("white space at the edges of a text", " \n what\tis it \n", "\n\n  this \r\n"),
    (
        "capitals and other scripts",
        "ÅNGSTRÖM, STRASSE?",
        "Une re\u0301ponse : 四 \u05d0 \U0001f600",
    ),
    ("braces and markup", "{query} {{ query }} {% raw %}", "<b>{document}</b> &amp; {# none #}"),
)
"""Kinds of text, each with a query and a document."""


class Slot(NamedTuple):
    """Where a document's token sequences stand in `EncodedRequest.suffixes`."""

    suffixes: range
    truncated: bool


@dataclass(frozen=True, slots=True)
class EncodedRequest:
    """The prompts of one query, their common beginning written once.

    The prompt of sequence i is `prefix + suffixes[i]`. A single sequence has no prefix.
    """

    prefix: list[int]
    suffixes: list[list[int]]
    slots: list[Slot]
    """One per document of the request, in order; equal documents share their sequences."""


class PromptEncoder:
    """Encodes queries and documents for one family with one tokenizer.

    Reads nothing but its arguments and keeps no state between calls. Fast tokenizers give wrong
    ids without an error when threads share them and settings change, so settings never do here,
    and the caller keeps to one thread.

    Args:
        tokenizer_json: the text of tokenizer.json.
        family: whose prompt.
        answer_ids: tokens of the positive and the negative answer, where the model names them.

    Raises:
        ModelFileError: `tokenizer_json` is not a tokenizer.
        UnsupportedModelError: it lacks a control or answer token, gives them other ids than the
            family's own tokenizer, or lets text forge one.
    """

    def __init__(
        self,
        tokenizer_json: str,
        family: Family,
        answer_ids: tuple[int, int | None] | None = None,
    ) -> None:
        self.family = family
        full, self._body = _tokenizers(tokenizer_json)
        added = full.get_added_tokens_decoder().values()
        words = [token.content for token in added if is_word(token.content, token.special)]
        controls = {token.content for token in added}.difference(words)
        _check_forgery(full, self._body, controls)
        self._border = _border(controls.union(CONTROL_TOKENS))
        used = self._border.findall(family.prompt)
        self._control = {name: _control_id(full, name) for name in used}
        self.positive_id, self.negative_id = answer_ids or (
            self._answer_id(full, family.positive),
            self._answer_id(full, family.negative) if family.negative else None,
        )
        before, self._document_piece, after = self._cut_at_document(family.prompt)
        self._before, self._after = before, self._ids(after, {})
        self._words = words
        self._check_ids(full, answer_ids is not None)

    def encode(
        self, query: str, documents: Sequence[str], instruction: str | None, limits: Limits
    ) -> EncodedRequest:
        """Encode one query with its documents; duplicates are encoded once.

        Raises:
            InputError: the family takes no instruction.
            QueryTooLongError: not even one token of a document would fit.
        """
        fields = self.family.fields(query, instruction)
        before = self._ids(self._before, fields)
        header = len(self._encode([self._document_text(fields, "")])[0])
        room = self._room(before, header, limits)
        unique = list(dict.fromkeys(documents))
        spans = self._spans(unique, fields, header, room, limits.long_documents)
        pieces = [piece for span in spans.values() for piece in span.pieces]
        prefix, suffixes = _share_prefix(before, pieces, self._after)
        slots = _slots(spans)
        return EncodedRequest(prefix, suffixes, [slots[document] for document in documents])

    def prompt_ids(self, query: str, document: str, instruction: str | None = None) -> list[int]:
        """Return the whole prompt of one pair, uncut."""
        encoded = self.encode(query, [document], instruction, Limits(max_tokens=2**31))
        return encoded.prefix + encoded.suffixes[0]

    def differing(self, reference: Callable[[str, str], list[int]]) -> str | None:
        """Name a kind of text whose prompts have other ids than a reference gives; None: no kind.

        Control tokens in texts are left out: there the ids differ on purpose.
        """
        added = "".join(f"{word} a {word}b{word}\n\n{word}" for word in self._words)
        probes = (*PROBES, ("words that were added", added, added)) if added else PROBES
        for kind, query, document in probes:
            if self.prompt_ids(query, document) != reference(query, document):
                return kind
        return None

    def _room(self, before: list[int], header: int, limits: Limits) -> int:
        frame = len(before) + header + len(self._after)
        if frame >= limits.max_tokens:
            message = (
                f"the query with its instruction and frame takes {frame} tokens of "
                f"max_tokens={limits.max_tokens}, which leaves no room for a document. Shorten "
                "the query, or raise max_tokens if the model can read more."
            )
            raise QueryTooLongError(message)
        return min(limits.max_tokens - frame, limits.max_document_tokens or limits.max_tokens)

    def _spans(
        self,
        documents: list[str],
        fields: dict[str, str],
        header: int,
        room: int,
        long_documents: LongDocuments,
    ) -> dict[str, "_Span"]:
        """Return the token pieces of each document, at most `header + room` tokens each."""
        encoded = self._encode([self._document_text(fields, text) for text in documents])
        spans = {}
        for document, piece in zip(documents, encoded, strict=True):
            pieces = [piece]
            if len(piece) > header + room and long_documents == "chunk":
                parts = windows(self._body, document, room)
                pieces = self._encode([self._document_text(fields, part) for part in parts])
            limit = header + room
            truncated = any(len(piece) > limit for piece in pieces)
            spans[document] = _Span([piece[:limit] for piece in pieces], truncated)
        return spans

    def _document_text(self, fields: dict[str, str], document: str) -> str:
        return self._document_piece.format(**fields, document=document)

    def _ids(self, template: str, fields: dict[str, str]) -> list[int]:
        """Encode a template: control tokens by id, the text between them with fields put in."""
        ids: list[int] = []
        for piece in self._border.split(template):
            if piece in self._control:
                ids.append(self._control[piece])
            elif piece:
                ids.extend(self._encode([piece.format(**fields)])[0])
        return ids

    def _encode(self, texts: list[str]) -> list[list[int]]:
        encodings = self._body.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def _cut_at_document(self, template: str) -> tuple[str, str, str]:
        """Return what stands before, the stretch that holds, and what follows the document."""
        pieces = self._border.split(template)
        at = next(i for i, piece in enumerate(pieces) if "{document}" in piece)
        return "".join(pieces[:at]), pieces[at], "".join(pieces[at + 1 :])

    def _answer_id(self, full: Tokenizer, answer: Answer) -> int:
        entry = full.token_to_id(answer.text)
        # a tokenizer that changes its text, as by lower-casing, may have no entry of that name
        ids = self._encode([answer.text])[0] if entry is None else [entry]
        if len(ids) != 1:
            message = (
                f"the tokenizer writes the answer {answer.text!r} of family "
                f"{self.family.name!r} as {len(ids)} tokens; this is not that family's tokenizer"
            )
            raise UnsupportedModelError(message)
        return ids[0]

    def _check_ids(self, full: Tokenizer, answers_are_named: bool) -> None:
        """Compare with the rendered template, and with the family's ids for a Qwen3 vocabulary."""
        prompt, fields = self.family.prompt, self.family.fields

        def rendered(query: str, document: str) -> list[int]:
            text = prompt.format(**fields(query, None), document=document)
            ids: list[int] = full.encode(text, add_special_tokens=False).ids
            return ids

        if (kind := self.differing(rendered)) is not None:
            message = f"the tokenizer's ids differ from those of its rendered template for {kind}"
            raise UnsupportedModelError(message)
        actual = {name: found for name, found in self._control.items() if name in CONTROL_TOKENS}
        expected = {name: CONTROL_TOKENS[name] for name in actual}
        if not answers_are_named:
            answer = self.family.positive
            actual[answer.text], expected[answer.text] = self.positive_id, answer.qwen3_id
        if full.get_vocab_size(with_added_tokens=False) == 151643 and actual != expected:
            message = (
                f"a Qwen3 vocabulary with other token ids: expected {expected}, found {actual}"
            )
            raise UnsupportedModelError(message)


class _Span(NamedTuple):
    pieces: list[list[int]]
    truncated: bool


def _slots(spans: dict[str, _Span]) -> dict[str, Slot]:
    slots, start = {}, 0
    for document, span in spans.items():
        slots[document] = Slot(range(start, start + len(span.pieces)), span.truncated)
        start += len(span.pieces)
    return slots


def _share_prefix(
    before: list[int], pieces: list[list[int]], after: list[int]
) -> tuple[list[int], list[list[int]]]:
    """Cut off the longest common prefix of all prompts, keeping a token of each."""
    if len(pieces) < 2:
        return [], [before + piece + after for piece in pieces]
    bodies = [piece + after for piece in pieces]
    low, high = min(bodies), max(bodies)  # their common prefix is that of all between them
    longest = min(map(len, bodies)) - 1
    shared = 0
    while shared < longest and low[shared] == high[shared]:
        shared += 1
    return before + low[:shared], [body[shared:] for body in bodies]


def _border(controls: set[str]) -> re.Pattern[str]:
    """Return what a template is cut at: control tokens, the longest first, as tokenizers does."""
    names = sorted(controls, key=len, reverse=True)
    return re.compile("(" + "|".join(map(re.escape, names)) + ")")


def is_word(content: str, special: bool) -> bool:
    """Whether an added token is a word, which texts may write, and no control token.

    `special` is what the tokenizer calls it. What Qwen3's own tokenizer comes with is control,
    whatever it is called here; what somebody added besides is what they called it.
    """
    return not special and content not in OF_QWEN3


def text_tokenizer(tokenizer_json: str) -> Tokenizer:
    """Return the tokenizer of texts: it finds added words, and no text becomes a control token."""
    description = json.loads(tokenizer_json)
    for token in description.get("added_tokens") or ():
        token["special"] = not is_word(token["content"], token["special"])
    unset = dict.fromkeys(("post_processor", "truncation", "padding"))
    tokenizer = Tokenizer.from_str(json.dumps(description | unset))
    tokenizer.encode_special_tokens = True  # as text; without their entries ids would move up
    return tokenizer


def _tokenizers(tokenizer_json: str) -> tuple[Tokenizer, Tokenizer]:
    """Return the tokenizer as it is on disk, and the one for text."""
    try:
        full = Tokenizer.from_str(tokenizer_json)
        body = text_tokenizer(tokenizer_json)
    except Exception as error:  # tokenizers raises bare Exception on bad JSON
        message = f"tokenizer.json is not a tokenizer ({error}); fetch the file again"
        raise ModelFileError(message) from error
    full.no_truncation()
    full.no_padding()
    return full, body


def _control_id(full: Tokenizer, name: str) -> int:
    found = full.token_to_id(name)
    if found is None:
        message = f"the tokenizer has no control token {name}, which the prompt needs"
        raise UnsupportedModelError(message)
    return int(found)


def _check_forgery(full: Tokenizer, body: Tokenizer, controls: set[str]) -> None:
    """Refuse a tokenizer in which text alone can become a control token."""
    for name in sorted(controls):
        token_id = _control_id(full, name)
        if token_id in body.encode(name, add_special_tokens=False).ids:
            message = (
                f"read as text, {name!r} still becomes control token {token_id}; a document could "
                "forge it, so this tokenizer is refused"
            )
            raise UnsupportedModelError(message)
