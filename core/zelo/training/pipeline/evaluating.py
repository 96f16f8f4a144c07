"""Evaluation before and after: the first stage alone, the model as it was, and the trained one."""

import pathlib
from collections.abc import Mapping
from typing import Any

from zelo._common.journal import Journal
from zelo.errors import UnsupportedModelError
from zelo.evaluation import evaluate, summarise
from zelo.evaluation.experiment import Stage as Tell
from zelo.evaluation.rerankers import Pointwise
from zelo.evaluation.specs import Making, Spec, make_systems, parse_spec
from zelo.evaluation.summary import check_options
from zelo.evaluation.systems import System
from zelo.local.loading.checkpoint import inspect_checkpoint
from zelo.reranker import Reranker
from zelo.retrieval.stage import FirstStage
from zelo.scoring.catalog import resolve
from zelo.scoring.options import InstanceKey
from zelo.training.pipeline.sources import Readings, check_different, evaluated
from zelo.training.pipeline.tables import Config

__all__ = ["BEFORE", "check_evaluation", "first_stage_of", "measure"]

BEFORE = "before"
"""What the untrained model is called behind its first stage."""


def measure(
    config: Config,
    readings: Readings,
    models: Mapping[str, str],
    folder: pathlib.Path,
    journal: pathlib.Path,
    tell: Tell,
) -> dict[str, Any]:
    """Evaluate models by name, write the whole report of `zelo evaluate`, and return its figures.

    An untrained model that is no reranker, as a plain Qwen3 is none, is left out.
    """
    from zelo.evaluation.reporting import as_json, write_folder  # brings matplotlib

    systems, left_out = _systems(config, models)
    sampled = [readings.evaluated(one).sample(one.queries) for one in evaluated(config)]
    with Journal(journal) as scores:
        found = evaluate(
            sampled,
            systems,
            depth=config.evaluate.depth or config.candidates.depth,
            seed=config.seed,
            journal=scores,
            on_stage=tell,
        )
    summary = summarise(found, measures=config.evaluate.measures)
    tell("tables and charts")
    write_folder(found, summary, folder)
    return {"summary": as_json(summary), "no_reranker": left_out}


def check_evaluation(config: Config, readings: Readings) -> None:
    """Refuse what `measure` would refuse, before anything is trained.

    Raises:
        InputError: a collection, a system or a measure is not as it must be.
    """
    systems, _ = _systems(config, {})
    collections = [readings.evaluated(one) for one in evaluated(config)]
    names = [one.name for one in collections]
    check_different("collections", names, "give one of evaluate.collections a name=")
    names = [one.name for one in systems]
    check_different("systems", names, "write NAME=SYSTEM in evaluate.systems")
    check_options(collections, systems, measures=config.evaluate.measures)


def first_stage_of(config: Config, word: str | None = None) -> FirstStage:
    """Make the first stage that finds the candidates, or another one with its options."""
    (system,) = make_systems([_spec(config, word)], _making(config))
    return system.first_stage


def _systems(config: Config, models: Mapping[str, str]) -> tuple[list[System], list[str]]:
    """The systems, and which models are no rerankers."""
    specs = [_spec(config, config.evaluate.first_stage)]
    specs += [parse_spec(text) for text in config.evaluate.systems]
    systems = make_systems(specs, _making(config))
    first, left_out = systems[0], []
    for name, model in models.items():
        if name == BEFORE and not _is_reranker(model):
            left_out.append(model)
            continue
        reranker = Reranker(
            model,
            device=config.device,
            dtype=config.dtype,
            max_document_tokens=config.pointwise.max_document_tokens,
        )
        reordering = Pointwise(reranker, name, owned=True)
        systems.append(System(f"{first.name}+{name}", first.first_stage, reordering))
    return systems, left_out


def _is_reranker(model: str) -> bool:
    from zelo.local.instances import model_folder  # brings torch

    source = resolve(model)
    try:
        inspect_checkpoint(model_folder(InstanceKey(source)), source.family)
    except UnsupportedModelError:
        return False
    return True


def _spec(config: Config, word: str | None) -> Spec:
    return parse_spec(word or config.candidates.first_stage)


def _making(config: Config) -> Making:
    wanted = config.candidates
    return Making(
        embedding_model=wanted.embedding_model,
        embedding_url=wanted.embedding_url,
        language=None if wanted.language == "none" else wanted.language,
        rrf_k=wanted.rrf_k,
        seed=config.seed,
        here={"device": config.device, "dtype": config.dtype},
    )
