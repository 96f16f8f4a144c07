"""Every way of asking a model that is known to be met, the right one first.

A way is a prompt and a head. Wrong prompts are rendered as strings and tokenised whole, as the
servers do that make them; the right one is zelo's own, into which no text brings control tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tokenizers import Tokenizer

from zelo.doctor.pairs import Pair
from zelo.local.prompt import PromptEncoder
from zelo.scoring.families import FAMILIES, Answer, Family

__all__ = ["RIGHT", "Prompts", "Way", "ways"]

HEADER = "<|im_start|>assistant\n"
NO_THINKING = "<think>\n\n</think>\n\n"


class Prompts:
    """Writes a model's prompts, and others with its tokenizer."""

    def __init__(self, tokenizer_json: str, encoder: PromptEncoder) -> None:
        self.family = encoder.family
        self.encoder = encoder
        self._full = Tokenizer.from_str(tokenizer_json)
        self._full.no_truncation()
        self._full.no_padding()

    def right(self, pair: Pair, instruction: str | None = None) -> list[int]:
        """Return the ids of the right prompt."""
        return self.encoder.prompt_ids(pair.query, pair.document, instruction)

    def rendered(self, text: str) -> list[int]:
        """Return the ids of a text in which control tokens are control tokens."""
        ids: list[int] = self._full.encode(text, add_special_tokens=False).ids
        return ids

    def filled(self, template: str, pair: Pair) -> list[int]:
        """Return the ids of a template, rendered as a string."""
        fields = self.family.fields(pair.query, None)
        if "{instruction}" not in self.family.prompt:
            fields["instruction"] = FAMILIES["qwen3-reranker"].default_instruction or ""
        return self.rendered(template.format(**fields, document=pair.document))


@dataclass(frozen=True)
class Way:
    """A way of asking: which prompt, and which tokens' logits are read."""

    mistakes: tuple[str, ...]
    """Names of `zelo.doctor.mistakes.MISTAKES`; none for the right way."""
    how: str
    """What is done, in words."""
    ids: Callable[[Prompts, Pair], list[int]]
    head: tuple[Answer, Answer | None] | None = None
    """Positive and negative answer, where not the family's."""
    own_scale: str | None = None
    """The scale that comes with this mistake, and is no further one."""


RIGHT = Way((), "the right prompt and head", lambda prompts, pair: prompts.right(pair))


def ways(family: Family) -> list[Way]:
    """Return every known way of asking a model of this family, the right one first."""
    return [RIGHT, *_without_template(), *_without_header(family), *_foreign(family)]


def _without_template() -> list[Way]:
    joined = {
        "query and document one after the other": "{query}{document}",
        "query and document with a line break between": "{query}\n{document}",
        "query and document with a space between": "{query} {document}",
        "query and document, each closed by <|im_end|>": "{query}<|im_end|>{document}<|im_end|>",
        "query and document with <|endoftext|> between": "{query}<|endoftext|>{document}",
    }
    found = [_rendered("no-template", how, template) for how, template in joined.items()]
    pieces = "query and document, tokenised apart and joined"
    return [Way(("no-template",), pieces, _joined), *found]


def _joined(prompts: Prompts, pair: Pair) -> list[int]:
    return prompts.rendered(pair.query) + prompts.rendered(pair.document)


def _without_header(family: Family) -> list[Way]:
    turns = family.prompt.partition(HEADER)[0]
    found = [
        _rendered("no-header", "no assistant header", turns),
        _rendered("no-header", "no assistant header, no line break", turns.removesuffix("\n")),
    ]
    if not family.prompt.endswith(NO_THINKING):
        think = "an empty think block behind the assistant header"
        found.append(_rendered("think-block", think, family.prompt + NO_THINKING))
    return found


def _foreign(family: Family) -> list[Way]:
    """Return the ways in which another family is asked."""
    if family.name == "qwen3-reranker":
        other = FAMILIES["zerank-2"]
        prompt, head = "zerank's prompt", "the logit of 'Yes' alone"
        mistake = "zerank-recipe"
    else:
        other = FAMILIES["qwen3-reranker"]
        prompt, head = "Qwen3-Reranker's prompt", "the logit of 'yes' minus that of 'no'"
        mistake = "qwen3-recipe"
    answer = (other.positive, other.negative)
    own_scale = "wrong-divisor" if family.scale != other.scale == 1 else None
    found = [
        Way((mistake,), f"{prompt} and {head}", _filling(other.prompt), answer, own_scale),
        Way((mistake,), prompt, _filling(other.prompt)),
        Way((mistake,), head, RIGHT.ids, answer, own_scale),
    ]
    if other.negative is not None:
        found.append(Way((mistake,), "the logit of 'yes'", RIGHT.ids, (other.positive, None)))
    return found


def _rendered(mistake: str, how: str, template: str) -> Way:
    return Way((mistake,), how, _filling(template))


def _filling(template: str) -> Callable[[Prompts, Pair], list[int]]:
    return lambda prompts, pair: prompts.filled(template, pair)
