"""What stages depend on besides each other's files: settings, and files from elsewhere.

Where a folder lies does not matter, what it holds does: so a run may be moved, and a changed corpus
is seen. What only costs or shows (prices, concurrency, checkpoints) is left out.
"""

import dataclasses
import pathlib
from collections.abc import Iterable
from typing import Any

from zelo.training.learning.settings import Learning
from zelo.training.pipeline.content import model_files
from zelo.training.pipeline.sources import collection_files, evaluated
from zelo.training.pipeline.tables import Config, Evaluated, Source

__all__ = [
    "candidate_files",
    "candidate_settings",
    "evaluation_files",
    "evaluation_settings",
    "learning_settings",
    "scoring_settings",
    "training_settings",
]

RUN = "run:"

Path = pathlib.Path
Files = dict[str, Path | str]
Settings = dict[str, Any]


def candidate_settings(config: Config) -> Settings:
    """How candidates are found, and for how many queries of each collection."""
    wanted = config.candidates
    own = wanted.model_dump(include={"depth", "queries", "add_relevant"})
    collections = [
        {**_named(one), **one.model_dump(include={"weight", "unjudged"})}
        for one in config.collections
    ]
    return {**own, **_search(config, wanted.first_stage), "collections": collections}


def candidate_files(config: Config) -> Files:
    """The collections; of those that are evaluated the queries, which are not trained on."""
    taken = _collection_files("evaluated", evaluated(config))
    return {
        **_collection_files("source", config.collections),
        **{what: path for what, path in taken.items() if not what.endswith(" corpus")},
        **_search_files(config, config.candidates.first_stage),
    }


def evaluation_settings(config: Config) -> Settings:
    """What is measured of which systems."""
    wanted = config.evaluate
    return {
        **wanted.model_dump(include={"measures", "systems"}),
        **_search(config, wanted.first_stage or config.candidates.first_stage),
        **scoring_settings(config),
        "depth": wanted.depth or config.candidates.depth,
        "collections": [_named(one) for one in evaluated(config)],
        "seed": config.seed,
    }


def evaluation_files(config: Config) -> Files:
    """The collections that are evaluated, and the untrained model."""
    return {
        **_collection_files("evaluated", evaluated(config)),
        **_search_files(config, config.evaluate.first_stage or config.candidates.first_stage),
        "model before": model_files(config.model),
    }


def scoring_settings(config: Config) -> Settings:
    """How the trained model scores."""
    return {
        "dtype": config.dtype,
        "max_document_tokens": config.pointwise.max_document_tokens,
    }


def training_settings(config: Config) -> Settings:
    """How the reranker learns."""
    own = {"held_out", "max_document_tokens", "documents_per_query"}
    wanted = config.pointwise
    return {**learning_settings(wanted.learning), **wanted.model_dump(include=own)}


def learning_settings(learning: Learning) -> Settings:
    """How a model learns; how often it is saved is not of it."""
    found = dataclasses.asdict(learning)
    del found["checkpoint_every"]
    return found


def _named(one: Source | Evaluated) -> Settings:
    name = one.name or Path(one.path).resolve().name
    return {"name": name, **one.model_dump(include={"queries", "lenient"})}


def _collection_files(what: str, collections: Iterable[Source | Evaluated]) -> Files:
    return {
        f"{what} {number} {name}": path
        for number, one in enumerate(collections)
        for name, path in collection_files(one).items()
    }


def _search(config: Config, first_stage: str) -> Settings:
    wanted = config.candidates
    own = wanted.model_dump(include={"language", "embedding_url", "rrf_k"})
    model = wanted.embedding_model
    return {
        **own,
        "first_stage": RUN if first_stage.startswith(RUN) else first_stage,
        "embedding_model": None if model is None or Path(model).is_dir() else model,
    }


def _search_files(config: Config, first_stage: str) -> Files:
    files: Files = {}
    model = config.candidates.embedding_model
    if model is not None and Path(model).is_dir():
        files["embedding model"] = Path(model)
    if first_stage.startswith(RUN):
        files["run"] = Path(first_stage.removeprefix(RUN))
    return files
