"""How documents are given to a model: as zelo does, in the usual way, whole or in windows.

The usual way renders the prompt as one string, in which the tokenizer finds control tokens, whoever
wrote them. It exists here for measuring alone, on the weights that the reranker uses anyway.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from zelo.errors import InputError
from zelo.reranker import Reranker
from zelo.scoring.catalog import resolve
from zelo.scoring.options import InstanceKey

if TYPE_CHECKING:  # brings torch
    from zelo.local.instances import Instance

__all__ = ["Read", "Reader", "Readings", "Undefended", "readings_of", "undefended"]

OWN = "as it is"
"""The one reading of a server, or of a scorer of the caller's own."""
WINDOW = 512
"""Tokens of a window where documents are read in windows and the reranker states no limit."""


class Read(NamedTuple):
    """What a model says about one document."""

    logit: float
    probability: float
    truncated: bool = False


class Reader(Protocol):
    """Scores documents for a query, one `Read` per document, in input order."""

    def __call__(self, query: str, documents: Sequence[str]) -> list[Read]: ...


def asking(reranker: Reranker) -> Reader:
    """Return the reader that asks a reranker, with whatever defences it has."""

    def read(query: str, documents: Sequence[str]) -> list[Read]:
        ranking = sorted(reranker.rank(query, documents), key=lambda one: one.index)
        return [Read(one.logit, one.score, one.truncated) for one in ranking]

    return read


@dataclass(frozen=True, slots=True)
class Readings:
    """The ways in which one reranker can be given documents, by name."""

    attacked: dict[str, Reader]
    """For documents that attack; the first is the reranker itself."""
    positioned: dict[str, Reader]
    """For long documents."""
    meaning: dict[str, str]
    """What each is, in a line."""


def readings_of(reranker: Reranker, stack: ExitStack) -> Readings:
    """Return every way of reading that there is; what they hold is given back with the stack.

    Only a model that runs in this process, and nowhere else, can be read in several.
    """
    settings, itself = reranker.settings, asking(reranker)
    if "device" not in settings or "fallback" in settings:
        meaning = {OWN: "the reranker's own way, which cannot be seen or changed from here"}
        return Readings({OWN: itself}, {OWN: itself}, meaning)

    def changed(**options: Any) -> Reader:
        return asking(stack.enter_context(Reranker(**(settings | options))))

    size = settings["max_document_tokens"] or WINDOW
    return Readings(
        {"zelo": itself, "one string": stack.enter_context(undefended(reranker))},
        {
            "truncate": changed(long_documents="truncate"),
            "chunk": changed(long_documents="chunk", max_document_tokens=size),
        },
        {
            "zelo": "zelo's encoding: control tokens come from the prompt's template alone",
            "one string": "the prompt rendered as one string, as most tools do: a text that spells "
            "control tokens becomes them",
            "truncate": "documents are read from the beginning, as far as the reranker reads",
            "chunk": f"documents are read in overlapping windows of {size} tokens; the best counts",
        },
    )


@contextmanager
def undefended(reranker: Reranker) -> Iterator["Undefended"]:
    """Give the reader that renders a local reranker's prompts as strings, on the same weights.

    Limits on the length of documents are not applied: nothing is ever cut.
    """
    from zelo.local.instances import acquire, open_checkpoint

    key = _key(reranker.settings)
    instance = acquire(key)
    try:
        yield Undefended(
            instance,
            open_checkpoint(key).files.tokenizer_json,
            strip=reranker.settings["strip"],
        )
    finally:
        instance.release()


class Undefended:
    """A reader whose prompts are strings until the tokenizer sees them."""

    def __init__(self, instance: "Instance", tokenizer_json: str, strip: bool) -> None:
        from zelo.doctor.prompts import Prompts

        self._instance = instance
        self._prompts = Prompts(tokenizer_json, instance.encoder)
        self._strip = strip

    def __call__(self, query: str, documents: Sequence[str]) -> list[Read]:
        prompts = [self.ids(query, document) for document in documents]
        outcome: Future[list[float]] = Future()
        self._instance.engine.submit([], prompts, outcome)
        probability = self._prompts.family.probability
        return [Read(logit, probability(logit)) for logit in outcome.result()]

    def ids(self, query: str, document: str) -> list[int]:
        """Return the token ids of the prompt, control ids wherever the text spells them.

        Raises:
            InputError: the model cannot read that many tokens.
        """
        from zelo.doctor.pairs import Pair

        pair = Pair(*(text.strip() if self._strip else text for text in (query, document)))
        found = self._prompts.filled(self._prompts.family.prompt, pair)
        if len(found) > self._instance.max_tokens:
            message = (
                f"a prompt of {len(found)} tokens, rendered as one string, is longer than the "
                f"{self._instance.max_tokens} that the model reads; leave out queries this long"
            )
            raise InputError(message)
        return found


def _key(settings: dict[str, Any]) -> InstanceKey:
    """Return the key of the weights that a reranker with these settings uses."""
    named = {field.name for field in fields(InstanceKey)} - {"source"}
    source = resolve(settings["model"], settings["revision"])
    return InstanceKey(source, **{name: settings[name] for name in named})
