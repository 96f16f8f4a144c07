"""How many tokens a prompt has beside the query, the instruction and the document.

What stands before the document is the same for all documents of a query and computed once; what
follows it is computed with each. Counted with the model's own tokenizer where its folder has one.
"""

from pathlib import Path
from typing import NamedTuple

from zelo.bulk.plan.models import ModelShape
from zelo.errors import InputError
from zelo.scoring.families import ZERANK_PROMPT

__all__ = ["Frame", "frame_of"]


class Frame(NamedTuple):
    """Tokens of a prompt that are no caller's text."""

    shared: int
    """Before the document, once for all documents of a query."""
    own: int
    """After the document, once for each."""


PLAIN = Frame(8, 5)
"""Of zerank's prompt in Qwen3's tokenizer: its 13 tokens."""
INSTRUCTED = Frame(20, 5)
"""The same with zerank-2's tags around query and instruction; one less where a bracket and the
first word make one token."""


def frame_of(shape: ModelShape, instructed: bool) -> Frame:
    """Return the frame of a model's prompts.

    Raises:
        InputError: the family takes no instruction.
        ModelError: tokenizer.json is none.
    """
    shape.family.fields("", "an instruction" if instructed else None)  # or it says why not
    if shape.tokenizer is not None:
        return _counted(shape.tokenizer.parent, shape, instructed)
    if shape.family.prompt != ZERANK_PROMPT:
        message = (
            f"the prompt of family {shape.family.name!r} cannot be counted without a tokenizer; "
            "give a folder that also holds tokenizer.json"
        )
        raise InputError(message)
    return INSTRUCTED if instructed else PLAIN


def _counted(folder: Path, shape: ModelShape, instructed: bool) -> Frame:
    from zelo.local.loading.checkpoint import CheckpointFiles
    from zelo.local.loading.files import read_json
    from zelo.local.prompt import PromptEncoder
    from zelo.scoring.options import Limits

    files = CheckpointFiles(folder, read_json(folder / "config.json"), {})
    encoder = PromptEncoder(files.tokenizer_json, shape.family)
    # letters, of a token each; two documents, so that what they share becomes the prefix
    encoded = encoder.encode("q", ["a", "b"], "i" if instructed else None, Limits(shape.context))
    return Frame(len(encoded.prefix) - 1 - instructed, len(encoded.suffixes[0]) - 1)
