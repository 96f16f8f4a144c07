"""Which models training can start from, told from their files alone: nothing is loaded."""

from pathlib import Path

from zelo.errors import UnsupportedModelError
from zelo.local.loading.checkpoint import Checkpoint, recognise
from zelo.local.prompt import PromptEncoder
from zelo.scoring.families import FAMILIES

__all__ = ["inspect_start", "start_encoder"]


def inspect_start(folder: Path) -> Checkpoint:
    """Read the folder's marks; a plain Qwen3 that has none becomes one of our own family.

    Raises:
        ModelError: a file is missing or unreadable, or the model is none that can be trained here.
    """
    try:
        return recognise(folder)
    except UnsupportedModelError:
        checkpoint = recognise(folder, "zelo")
        if checkpoint.converted:  # to a head that is not made of an answer's row
            raise
        return checkpoint


def start_encoder(checkpoint: Checkpoint) -> PromptEncoder:
    """Return what writes the prompts that a model learns from: in zerank's frame, whatever it is.

    Raises:
        ModelError: its tokenizer cannot write them.
    """
    return PromptEncoder(checkpoint.files.tokenizer_json, FAMILIES["zelo"])
