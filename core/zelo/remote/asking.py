"""From scoring requests to calls on the wire: what can be asked of which dialect."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from zelo.errors import InputError
from zelo.remote.splitting import split
from zelo.scoring import ScoreRequest
from zelo.scoring.families import Family
from zelo.scoring.options import ReadingOptions
from zelo.wire import Dialect, RerankCall

__all__ = ["Asking", "Part"]

CONTROL = re.compile(r"<\|[a-z_0-9]+\|>|</?(?:think|tool_call|tool_response)>")
"""Texts that a tokenizer of Qwen3 reads as control tokens."""


@dataclass(frozen=True, slots=True)
class Part:
    """One HTTP request: some documents of one query."""

    request: int
    """Position of the query in the scorer's requests."""
    places: range
    """Positions of the documents among the query's."""
    call: RerankCall


@dataclass(frozen=True, slots=True)
class Asking:
    """How this caller asks: for which model, of which family, and how much is read."""

    model: str
    family: Family | None
    reading: ReadingOptions

    def parts(
        self, requests: Sequence[ScoreRequest], dialect: Dialect, max_documents: int, max_bytes: int
    ) -> Iterator[Part]:
        """Cut requests to a server's limits.

        Raises:
            InputError: the dialect cannot say what is asked for.
        """
        self.check(dialect)
        for number, request in enumerate(requests):
            query, documents = request.query, request.documents
            if self.reading.strip:
                query, documents = query.strip(), tuple(text.strip() for text in documents)
            instruction = request.instruction
            if instruction is not None and not dialect.takes_instruction:
                query, instruction = self._instructed(query, instruction, dialect), None
            if dialect.renders_prompts and self.family is not None:
                documents = tuple(_rendered(self.family, query, text) for text in documents)
            for places in split(query, documents, max_documents, max_bytes):
                call = RerankCall(
                    query=query,
                    documents=documents[places.start : places.stop],
                    model=self.model,
                    instruction=instruction,
                    max_document_tokens=self.reading.max_document_tokens,
                )
                yield Part(number, places, call)

    def check(self, dialect: Dialect) -> None:
        """Refuse what the dialect has no words for."""
        if self.reading.max_document_tokens is not None and not dialect.takes_max_document_tokens:
            message = (
                f"max_document_tokens= cannot be said to {dialect.title}; set it on the server"
            )
            raise InputError(message)
        if dialect.renders_prompts and self.family is None:
            message = f"{dialect.title} reads whole prompts: say the model's family= to write them"
            raise InputError(message)

    def _instructed(self, query: str, instruction: str, dialect: Dialect) -> str:
        """Write the instruction into the query, as the family was trained to read it."""
        family = self.family
        if family is None:
            raise InputError("instruction= needs the model's family=, which says where it goes")
        fields = family.fields(query, instruction)  # refuses families that take none
        if "{instruction}" in family.prompt and not dialect.renders_prompts:
            message = (
                f"instruction= cannot be said to {dialect.title} for {family.name}, whose prompt "
                "has a place for it that only the server can fill"
            )
            raise InputError(message)
        return fields["query"]


def _rendered(family: Family, query: str, document: str) -> str:
    """Write a whole prompt, into which no text may bring control tokens."""
    for name, text in (("query", query), ("document", document)):
        if found := CONTROL.search(text):
            message = (
                f"a {name} holds {found.group()!r}, which a server that reads whole prompts "
                "takes for a control token; change the text, or use another dialect"
            )
            raise InputError(message)
    return family.prompt.format(**family.fields(query, None), document=document)
