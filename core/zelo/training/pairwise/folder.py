"""The folder of a pairwise model: a Qwen3 in safetensors, its tokenizer, and a mark of ours.

It lacks what makes a folder a reranker, and its architecture has a name of its own, so whatever
reads the folder for something else refuses it: read as a reranker, it would rate the first half of
a prompt. The mark also says how much of a text was read in training, as much as is to be read
afterwards.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zelo.errors import ModelFileError, UnsupportedModelError
from zelo.local.loading.checkpoint import PAIRWISE, CheckpointFiles, read_checkpoint_files
from zelo.training.pairwise.prompt import Reading

if TYPE_CHECKING:  # asking needs no training packages
    from zelo.training.learning.student import Student

__all__ = ["FRAME", "PairwiseFolder", "is_pairwise", "read_pairwise_folder", "save_pairwise"]

FRAME = "zelo"
"""The family whose frame and answer token the prompt is made of."""
MARK = "zelo_pairwise"
PROMPT = 1
"""Changes with the prompt, so that no model is asked in another one than it learned."""
OF_RERANKERS = (
    *("modules.json", "1_LogitScore", "sentence_bert_config.json"),
    *("config_sentence_transformers.json", "chat_template.jinja"),
)
"""What a reranker's folder has besides the model."""


@dataclass(frozen=True, slots=True)
class PairwiseFolder:
    """A folder that holds a pairwise model."""

    files: CheckpointFiles
    reading: Reading


def is_pairwise(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of a pairwise model."""
    return config.get("architectures") == [PAIRWISE]


def read_pairwise_folder(folder: Path) -> PairwiseFolder:
    """Find out whether a folder holds a pairwise model; no tensor is read.

    Raises:
        ModelFileError: a file is missing, cut short or unreadable.
        UnsupportedModelError: it holds another model, or one of a newer zelo.
    """
    files = read_checkpoint_files(folder)
    if not is_pairwise(files.config) or files.adapter is not None:
        message = (
            f"{folder} holds no pairwise model but another one, whose answer to two documents "
            "means nothing. Give a folder that zelo train distill wrote; a reranker is a judge "
            "under its own name, without pairwise: in front"
        )
        raise UnsupportedModelError(message)
    mark = files.config.get(MARK)
    if not isinstance(mark, dict) or mark.get("prompt") != PROMPT:
        message = f"{folder} holds a pairwise model of another zelo; distil it again with this one"
        raise UnsupportedModelError(message)
    try:
        reading = Reading(int(mark["max_tokens"]), mark["max_document_tokens"])
    except (KeyError, TypeError, ValueError) as error:
        message = f"{MARK} in {folder / 'config.json'} is damaged; distil the model again"
        raise ModelFileError(message) from error
    return PairwiseFolder(files, reading)


def save_pairwise(student: "Student", folder: Path, reading: Reading) -> None:
    """Write a pairwise model into a folder, in place of one that it held.

    Nothing else in the folder is touched. config.json is written last: a folder in which the
    writing broke off is none of any model.
    """
    aside = folder / ".saving"
    shutil.rmtree(aside, ignore_errors=True)
    student.save(aside, family=FRAME)
    for name in OF_RERANKERS:
        path = aside / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    _mark(aside / "config.json", reading)
    (folder / "config.json").unlink(missing_ok=True)
    for old in folder.glob("model*.safetensors*"):
        old.unlink()
    for path in sorted(aside.iterdir(), key=lambda path: path.name == "config.json"):
        path.replace(folder / path.name)
    aside.rmdir()


def _mark(config: Path, reading: Reading) -> None:
    """Turn a reranker's config.json into a pairwise model's."""
    settings: dict[str, Any] = json.loads(config.read_text(encoding="utf-8"))
    del settings["zelo_family"]
    settings["architectures"] = [PAIRWISE]
    settings[MARK] = {"prompt": PROMPT, **asdict(reading)}
    config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
