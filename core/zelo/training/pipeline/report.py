"""The report of a run as plain values: everything that its stages told, and what ran it."""

import dataclasses
import importlib.metadata
import pathlib
import platform
from collections.abc import Mapping
from typing import Any

import zelo
from zelo.evaluation.costs import Price
from zelo.training.budget import Took
from zelo.training.pipeline.chain import Chain
from zelo.training.pipeline.stage import Ledger

__all__ = ["ENSEMBLE", "Report", "outdated", "report_of"]

FORMAT = 1
ENSEMBLE = ("judge", "judge-across", "judge-refined")
"""The stages in which the judges of the configuration may be asked."""
PLACES = {"pointwise": "model", "pointwise-refined": "refined/model"}
"""Where each training leaves its reranker, though a run may lack the second one now."""
PACKAGES = ("torch", "transformers", "accelerate", "peft", "tokenizers", "numpy")

Report = dict[str, Any]


def report_of(chain: Chain, ledger: Ledger) -> Report:
    """Gather what the stages that are done told; `format` changes whenever a key does."""
    found = ledger.standing(chain.stages)
    stages = {
        name: {"seconds": done.seconds, **done.figures}
        for name, done in found.items()
        if done is not None
    }
    trained = [path for name, path in chain.models.items() if _training_of(name) in stages]
    return {
        "format": FORMAT,
        "reranker": str(trained[-1].relative_to(chain.folder)) if trained else None,
        "to_do": [name for name, done in found.items() if done is None],
        "seconds": sum(stage["seconds"] for stage in stages.values()),
        "judges": _spent(stages, chain.config.judge.prices),
        "stages": stages,
        "settings": chain.config.plain(),
        "versions": _versions(),
    }


def outdated(report: Report, folder: pathlib.Path) -> list[str]:
    """Return the rerankers in a work folder that are not of the settings and data of now."""
    return [
        place
        for stage, place in PLACES.items()
        if stage not in report["stages"] and (folder / place / "config.json").exists()
    ]


def _training_of(model: str) -> str:
    return "pointwise" if model == "trained" else "pointwise-refined"


def _spent(stages: dict[str, Any], prices: Mapping[str, str]) -> list[dict[str, Any]]:
    """What each judge took in all: votes lie in one journal, so a later stage tells of all.

    By the prices of now, which may have been given after the votes.
    """
    most: dict[str, dict[str, Any]] = {}
    for name in ENSEMBLE:
        for judge in stages.get(name, {}).get("judges", ()):
            known = most.get(judge["judge"])
            if known is None or judge["requests"] >= known["requests"]:
                most[judge["judge"]] = judge
    found = []
    for name, judge in most.items():
        took = {field.name: judge[field.name] for field in dataclasses.fields(Took)}
        usd = Took(**took).usd(Price.parse(prices[name])) if name in prices else None
        found.append({"judge": name, **took, "usd": usd})
    return found


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"zelo": zelo.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found
