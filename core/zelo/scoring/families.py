"""What a family of rerankers expects and returns: prompt, answer tokens, scale. One table.

Sources: the zerank frame, the answer token and sigmoid(logit / 5) are those of the vendor's
`modeling_zeranker.py` (zeroentropy/zerank-1-small-reranker); the instruction tags are the
vendor's announcement of zerank-2 (2025-11-18), without the spaces and quotes of its prose;
Qwen3-Reranker's prompt, default instruction and yes-minus-no score are those of its model card.
Token ids are those of the Qwen3 tokenizer.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from zelo.errors import InputError

__all__ = [
    "CONTROL_TOKENS",
    "FAMILIES",
    "ZERANK_PROMPT",
    "Answer",
    "Family",
    "family_named",
    "sigmoid",
]

IM_START, IM_END = "<|im_start|>", "<|im_end|>"
THINK, END_THINK = "<think>", "</think>"

CONTROL_TOKENS = {IM_START: 151644, IM_END: 151645, THINK: 151667, END_THINK: 151668}
"""Control tokens that a prompt may hold, with their ids in the Qwen3 vocabulary."""

ZERANK_PROMPT = (
    "<|im_start|>system\n{query}<|im_end|>\n"
    "<|im_start|>user\n{document}<|im_end|>\n"
    "<|im_start|>assistant\n"
)
QWEN3_RERANKER_PROMPT = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query "
    'and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}"
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
)


class Answer(NamedTuple):
    """A token whose logit the score is read from."""

    text: str
    qwen3_id: int


@dataclass(frozen=True, slots=True)
class Family:
    """How one family of rerankers is asked and how its answer is read."""

    name: str
    prompt: str
    """Template with control tokens written out and the fields {query}, {document} and, in some,
    {instruction}. It is cut at its control tokens before any text is put in."""
    positive: Answer
    negative: Answer | None
    """The logit is that of `positive`, minus that of `negative` where there is one."""
    scale: float
    """probability = sigmoid(logit / scale)."""
    instructed_query: str | None = None
    """How {query} is written when an instruction is given, for families that take it there."""
    default_instruction: str | None = None
    """The instruction when the caller gives none."""
    refusal: str = field(default="it takes no instruction", compare=False)
    """Why an instruction is refused, and what to do."""

    @property
    def answers(self) -> tuple[Answer, Answer | None]:
        """The positive and the negative answer, of whose rows the score row is made."""
        return self.positive, self.negative

    @property
    def takes_instruction(self) -> bool:
        """Whether `instruction=` means anything to this family."""
        return self.instructed_query is not None or "{instruction}" in self.prompt

    def probability(self, logit: float) -> float:
        """Map a raw logit to a probability in [0, 1], in float64."""
        return sigmoid(logit / self.scale)

    def fields(self, query: str, instruction: str | None) -> dict[str, str]:
        """Return the texts for the template's fields other than {document}.

        A blank instruction is none: the prompt is the same to the byte.

        Raises:
            InputError: an instruction is given and the family takes none.
        """
        blank = not instruction or instruction.isspace()
        given = self.default_instruction if blank else instruction
        if given is None:
            return {"query": query, "instruction": ""}
        if not self.takes_instruction:
            message = f"instruction= cannot be used with a model of family {self.name!r}: "
            raise InputError(message + self.refusal)
        if self.instructed_query is not None:
            query = self.instructed_query.format(query=query, instruction=given)
        return {"query": query, "instruction": given}


def sigmoid(x: float) -> float:
    """Return 1 / (1 + exp(-x)) in float64 without overflow at either end."""
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    return math.exp(x) / (1.0 + math.exp(x))


def _zerank(name: str, **kwargs: str) -> Family:
    return Family(name, ZERANK_PROMPT, Answer("Yes", 9454), None, 5.0, **kwargs)


FAMILIES = {
    family.name: family
    for family in (
        _zerank(
            "zerank-2",
            instructed_query="<query>{query}</query>\n<instruction>{instruction}</instruction>",
        ),
        _zerank("zerank-1", refusal="zerank-1 and zerank-1-small were trained without one."),
        _zerank(
            "zerank",
            refusal="the folder does not say which zerank it is; if it is zerank-2, "
            "say so with family='zerank-2'.",
        ),
        _zerank("zelo", refusal="zelo-nano was trained without one."),
        Family(
            "qwen3-reranker",
            QWEN3_RERANKER_PROMPT,
            Answer("yes", 9693),
            Answer("no", 2152),
            1.0,
            default_instruction=(
                "Given a web search query, retrieve relevant passages that answer the query"
            ),
        ),
    )
}
"""The families by name. `zerank` is a converted zerank checkpoint of unknown generation."""


def family_named(name: str) -> Family:
    """Return a family by name, or raise an InputError that lists them."""
    if not isinstance(name, str) or name not in FAMILIES:
        raise InputError(f"unknown family {name!r}; families are {', '.join(sorted(FAMILIES))}")
    return FAMILIES[name]
