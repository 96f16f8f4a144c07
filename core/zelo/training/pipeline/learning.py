"""The stages that train a model. What trains it brings torch, and is imported when it is used."""

import dataclasses
import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any

from zelo.evaluation.experiment import Stage as Tell
from zelo.local.loading.lora import read_adapter
from zelo.scoring.catalog import resolve
from zelo.scoring.options import InstanceKey
from zelo.training.learning.launched import is_one_of_several
from zelo.training.learning.settings import Learning
from zelo.training.learning.starting import inspect_start, start_encoder
from zelo.training.pipeline.content import Contents, model_files
from zelo.training.pipeline.launching import launch
from zelo.training.pipeline.tables import Config

__all__ = [
    "check_model",
    "fetch_model",
    "spread",
    "train_again",
    "train_pairwise",
    "train_pointwise",
]

Path = pathlib.Path
Figures = dict[str, Any]
Train = Callable[[Tell], Figures]


def check_model(name: str) -> None:
    """Refuse a model that cannot be trained; nothing is loaded or fetched.

    Raises:
        ModelError: there is none of this name, its files cannot be read, or they are of an
            architecture that is not trained here.
    """
    folder = model_files(name)
    if isinstance(folder, Path) and read_adapter(folder) is None:  # its model may be to be fetched
        start_encoder(inspect_start(folder))


def fetch_model(name: str, learning: Learning) -> None:
    """Bring all that training needs before anything is paid for: code, and a model of the hub.

    Raises:
        ModelError: it cannot be had, or not be trained.
        MissingExtraError: a package for training cannot be imported.
    """
    from zelo.training.learning import learn  # noqa: F401, I001 - it brings all but LoRA's
    from zelo.local.instances import model_folder

    if learning.lora_rank:
        from zelo.training.learning.lora import check_peft

        check_peft()
    start_encoder(inspect_start(model_folder(InstanceKey(resolve(name)))))


def train_pointwise(
    config: Config, targets: Path, candidates: Path, out: Path, tell: Tell
) -> Figures:
    """Train the reranker."""
    from zelo.training.pointwise import pointwise

    wanted = config.pointwise
    found = pointwise(
        targets,
        candidates,
        out,
        model=config.model,
        learning=wanted.learning,
        held_out=wanted.held_out,
        max_document_tokens=wanted.max_document_tokens,
        documents_per_query=wanted.documents_per_query,
        device=config.device,
        on_progress=tell("training"),
    )
    return dict(_named(found))


def train_again(
    train: Train, tell: Tell, *, targets: Path, before: Path, trained: Path, out: Path
) -> Figures:
    """Train on new targets, unless they are those `before`: then the model is the trained one."""
    contents = Contents(None)
    if contents.of(targets) != contents.of(before):
        return train(tell)
    if out.exists():  # a copy that was stopped
        shutil.rmtree(out)
    shutil.copytree(trained, out)
    return {"same_targets": True}


def spread(config: Config, stage: str, processes: int, train: Train, tell: Tell) -> Figures:
    """Train in so many processes; where this is one of them, do its part."""
    if processes == 1 or is_one_of_several():
        return train(tell)
    return launch(config.plain(), stage, processes, tell)


def train_pairwise(
    config: Config, preferences: Path, candidates: Path, out: Path, tell: Tell
) -> Figures:
    """Teach a model what the ensemble said."""
    from zelo.training.pairwise.distill import distill

    wanted = config.distill
    assert wanted is not None  # noqa: S101 - the stage is there only if its table is
    found = distill(
        preferences,
        candidates,
        out,
        model=wanted.model or config.model,
        learning=wanted.learning,
        held_out=wanted.held_out,
        max_document_tokens=wanted.max_document_tokens,
        device=config.device,
        on_progress=tell("distilling"),
    )
    return dict(_named(found))


def _named(value: Any) -> Any:
    """Return nested results as JSON has them, every field by its name."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _named(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _named(one) for name, one in value._asdict().items()}
    if isinstance(value, Mapping):
        return {name: _named(one) for name, one in value.items()}
    return [*map(_named, value)] if isinstance(value, list | tuple) else value
