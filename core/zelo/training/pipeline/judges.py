"""The judges of a run, from its configuration: made, asked, and what they told as figures."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from zelo._common.journal import Journal
from zelo.errors import InputError
from zelo.evaluation.costs import Price
from zelo.evaluation.experiment import Stage as Tell
from zelo.training.budget import Budget, Ledger
from zelo.training.judges.judge import Judge
from zelo.training.judges.specs import KINDS, PAIRWISE, Making, make_judges, parse_spec
from zelo.training.judging import judge as judge_pairs
from zelo.training.lookup import CandidateFile
from zelo.training.pipeline.content import model_files
from zelo.training.pipeline.sources import check_different
from zelo.training.pipeline.tables import Config

__all__ = [
    "ask",
    "check_judges",
    "judge_files",
    "judge_settings",
    "make_unprepared",
    "prices_of",
]

BM25 = "bm25"
WITHOUT_FILES = ("oracle", BM25)


def ask(
    config: Config,
    specs: Sequence[str],
    tell: Tell,
    *,
    pairs: pathlib.Path,
    candidates: pathlib.Path,
    out: pathlib.Path,
    votes: pathlib.Path,
) -> dict[str, Any]:
    """Have pairs judged, and return the figures.

    Prices, scales and budget are the ensemble's; a judge of our own making has none.
    """
    ensemble = list(specs) == config.judges
    wanted = config.judge
    scales, keys = (wanted.scales, wanted.keys) if ensemble else ({}, {})
    making = _making(config, CandidateFile(candidates), scales, keys)
    judges = make_judges([parse_spec(text) for text in specs], making)
    with Journal(votes) as journal:
        found = judge_pairs(
            pairs,
            making.candidates,
            judges,
            out,
            journal=journal,
            budget=Budget(wanted.budget_usd, wanted.budget_tokens) if ensemble else None,
            prices=prices_of(config) if ensemble else None,
            on_stage=tell,
        )
    return found.figures()


def check_judges(config: Config) -> None:
    """Refuse a judge, a price or a scale that asking would refuse, without loading anything.

    Raises:
        InputError: one has no meaning, two have one name, or a price or scale is of no judge.
        ModelError: a model has no such name or folder.
    """
    specs = [parse_spec(text) for text in config.judges]
    names = [spec.name for spec in specs]
    check_different("judges", names, "write NAME=JUDGE to name one anew")
    for what, named in (("price", config.judge.prices), ("scale", config.judge.scales)):
        for name in named:
            if name not in names:
                message = f"there is a {what} of {name!r}, but no such judge; judges are: "
                raise InputError(message + ", ".join(names))
    prices, budget = prices_of(config), Budget(config.judge.budget_usd, config.judge.budget_tokens)
    made = make_unprepared(config)
    for judge in made:
        judge.release()
    asked = {judge.name for judge in made}
    known = {name: price for name, price in prices.items() if name in asked}
    Ledger(made, dict.fromkeys(asked, ()), known, budget)


def make_unprepared(config: Config) -> list[Judge]:
    """Make the judges, all but BM25, which indexes the candidates; nothing else is loaded.

    Raises:
        InputError: as `make_judges`.
        ModelError: a model has no such name or folder.
    """
    none: Any = None  # only BM25 looks at the candidates, which may be yet to be found
    specs = [spec for spec in map(parse_spec, config.judges) if spec.judge != BM25]
    return make_judges(specs, _making(config, none, {}, config.judge.keys))


def prices_of(config: Config) -> dict[str, Price]:
    """Return the prices by judge.

    Raises:
        InputError: one is no price.
    """
    return {name: Price.parse(text) for name, text in config.judge.prices.items()}


def judge_settings(config: Config, specs: Sequence[str]) -> dict[str, Any]:
    """Return what votes depend on; not what they cost, nor how many are asked at once."""
    of_judges = config.judge.model_dump(include={"noise", "ties", "language", "scales"})
    parsed = [parse_spec(text) for text in specs]
    # of a folder the content counts, which is among the inputs, and not where it lies
    told = [[spec.name, "" if _folder(spec.judge) else spec.judge] for spec in parsed]
    return {**of_judges, "judges": told, "seed": config.seed, "dtype": config.dtype}


def judge_files(specs: Sequence[str]) -> dict[str, pathlib.Path | str]:
    """Return the folders of the judges that have one, by name."""
    folders = {spec.name: _folder(spec.judge) for spec in map(parse_spec, specs)}
    return {f"judge {name}": folder for name, folder in folders.items() if folder is not None}


def _making(
    config: Config,
    candidates: CandidateFile,
    scales: Mapping[str, float],
    keys: Mapping[str, str],
) -> Making:
    wanted = config.judge
    return Making(
        candidates,
        noise=wanted.noise,
        ties=wanted.ties,
        seed=config.seed,
        language=None if wanted.language == "none" else wanted.language,
        concurrency=wanted.concurrency,
        scales=scales,
        keys=keys,
        reranker={"device": config.device, "dtype": config.dtype},
    )


def _folder(judge: str) -> pathlib.Path | None:
    kind = next((kind for kind in KINDS if judge.startswith(kind)), "")
    name = judge.removeprefix(kind)
    if kind == PAIRWISE:
        return pathlib.Path(name)  # perhaps not there yet
    if kind or "@" in name or name in WITHOUT_FILES:
        folder = pathlib.Path(name)
        return folder if kind and folder.is_dir() else None
    found = model_files(name)
    return found if isinstance(found, pathlib.Path) else None
