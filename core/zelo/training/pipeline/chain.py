"""The stages of a run in their order, and which reads what. Knows no stage's work.

With refine, what lies behind judging is done a second time, in the folder `refined/`. With distill,
the ensemble judges some pairs, from which a pairwise model learns, which then judges all.
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from zelo.training.pipeline import bodies, depends, evaluating, judges, learning
from zelo.training.pipeline.content import model_files
from zelo.training.pipeline.sources import Readings, evaluated
from zelo.training.pipeline.stage import Figures, Stage, Tell
from zelo.training.pipeline.tables import Config

__all__ = ["Chain"]

Path = pathlib.Path
Inputs = Mapping[str, Path | str]


class Chain:
    """The stages of one configuration, and where they leave what.

    Args:
        config: as `read_config` returns it.

    Raises:
        InputError: a collection has several splits, and none is named.
        UnknownModelError: a model has no such name.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.folder = Path(config.out)
        self.readings = Readings()
        self.stages: list[Stage] = []
        self.models: dict[str, Path] = {}
        """What is trained, by name; the last one is the result."""
        self.votes = self.folder / "votes.sqlite"
        self.asked: dict[str, Path] = {}
        """By stage in which the judges of the configuration are asked, the pairs."""
        self._judged_across: Path | None = None
        self._find("candidates.jsonl")
        self._choose("pairs.jsonl")
        self._judge("judge", config.judges, self._to_judge, self.folder / "preferences.jsonl")
        self._round(self.folder, "", "preferences.jsonl")
        if config.refine.enabled:
            self._refine(self.folder / "refined")
            self._round(self.folder / "refined", "-refined", "preferences.jsonl")
        if evaluated(config):
            self._evaluate()

    def _find(self, name: str) -> None:
        config = self.config
        self.candidates = self.folder / name
        self._add(
            "candidates",
            partial(bodies.find_candidates, config, self.readings, self.candidates),
            depends.candidate_settings(config),
            depends.candidate_files(config),
            self.candidates,
            check=partial(bodies.check_candidates, config, self.readings),
        )

    def _choose(self, name: str) -> None:
        config = self.config
        self.pairs, self._to_judge = self.folder / name, self.folder / name
        settings = {**config.pairs.model_dump(), "seed": config.seed}
        body = partial(bodies.choose_pairs, config, self.candidates, self.pairs)
        outputs = [self.pairs]
        if config.distill is not None:
            self._to_judge = self.folder / "pairs-taught.jsonl"
            settings["taught"] = config.distill.pairs_per_query
            body = partial(body, taught=self._to_judge)
            outputs.append(self._to_judge)
        self._add("pairs", body, settings, {"candidates": self.candidates}, *outputs)

    def _judge(self, name: str, specs: Sequence[str], pairs: Path, out: Path) -> None:
        config = self.config
        if specs is config.judges:
            self.asked[name] = pairs
        self._add(
            name,
            partial(
                judges.ask,
                config,
                specs,
                pairs=pairs,
                candidates=self.candidates,
                out=out,
                votes=self.votes,
            ),
            judges.judge_settings(config, specs),
            {"candidates": self.candidates, "pairs": pairs, **judges.judge_files(specs)},
            out,
            check=partial(judges.check_judges, config),
        )

    def _round(self, folder: Path, suffix: str, preferences: str) -> None:
        """Add what leads from preferences to a reranker."""
        config, first = self.config, not suffix
        specs, judged = config.judges, folder / preferences
        if config.distill is not None:
            student = folder / "distilled"
            specs = [f"distilled=pairwise:{student}"]
            self._distill(f"distill{suffix}", judged, student)
            judged = folder / "preferences-distilled.jsonl"
            self._judge(f"judge-distilled{suffix}", specs, self.pairs, judged)
        ratings, targets = folder / "ratings.jsonl", folder / "targets.jsonl"
        self._add(
            f"fit{suffix}",
            partial(bodies.rate, config, judged, ratings),
            config.fit.model_dump(),
            {"preferences": judged},
            ratings,
        )
        if config.across.enabled and (first or config.distill is not None):
            self._across(folder, suffix, specs, ratings)
        self._add(
            f"calibrate{suffix}",
            partial(
                bodies.calibrate, config, ratings, self._judged_across, self.candidates, targets
            ),
            config.calibrate.model_dump(),
            {
                "ratings": ratings,
                "candidates": self.candidates,
                **({"across": self._judged_across} if self._judged_across else {}),
            },
            targets,
        )
        self._train(f"pointwise{suffix}", targets, folder / "model")

    def _distill(self, name: str, preferences: Path, out: Path) -> None:
        config, wanted = self.config, self.config.distill
        assert wanted is not None  # noqa: S101 - called only then
        start = wanted.model or config.model
        self._add(
            name,
            self._spread(
                name,
                wanted.processes,
                partial(learning.train_pairwise, config, preferences, self.candidates, out),
            ),
            {
                **depends.learning_settings(wanted.learning),
                **wanted.model_dump(include={"held_out", "max_document_tokens"}),
            },
            {
                "preferences": preferences,
                "candidates": self.candidates,
                "model": model_files(start),
            },
            out,
            check=partial(learning.check_model, start),
            fetch=partial(learning.fetch_model, start, wanted.learning),
        )

    def _across(self, folder: Path, suffix: str, specs: Sequence[str], ratings: Path) -> None:
        config = self.config
        pairs = self.folder / "pairs-across.jsonl"
        if not suffix:
            self._add(
                "across",
                partial(bodies.choose_across, config, ratings, pairs),
                {**config.across.model_dump(), "seed": config.seed},
                {"ratings": ratings},
                pairs,
            )
        self._judged_across = folder / "preferences-across.jsonl"
        self._judge(f"judge-across{suffix}", specs, pairs, self._judged_across)

    def _train(self, name: str, targets: Path, out: Path) -> None:
        config, wanted = self.config, self.config.pointwise
        body = self._spread(
            name,
            wanted.processes,
            partial(learning.train_pointwise, config, targets, self.candidates, out),
        )
        if self.models:  # there is a model of the first round
            body = partial(
                learning.train_again,
                body,
                targets=targets,
                before=self.folder / "targets.jsonl",
                trained=self.folder / "model",
                out=out,
            )
        self.models["refined" if self.models else "trained"] = out
        self._add(
            name,
            body,
            depends.training_settings(config),
            {
                "targets": targets,
                "candidates": self.candidates,
                "model": model_files(config.model),
            },
            out,
            check=partial(learning.check_model, config.model),
            fetch=partial(learning.fetch_model, config.model, wanted.learning),
        )

    def _spread(
        self, name: str, processes: int, train: Callable[[Tell], Figures]
    ) -> Callable[[Tell], Figures]:
        return partial(learning.spread, self.config, name, processes, train)

    def _refine(self, folder: Path) -> None:
        config = self.config
        found, judged = folder / "pairs.jsonl", folder / "judged.jsonl"
        preferences, targets, model = (
            self.folder / name for name in ("preferences.jsonl", "targets.jsonl", "model")
        )
        self._add(
            "refine",
            partial(
                bodies.find_failures,
                config,
                candidates=self.candidates,
                targets=targets,
                preferences=preferences,
                model=model,
                out=found,
                journal=self.folder / "rankings.sqlite",
            ),
            {
                "threshold": config.refine.threshold,
                "seed": config.seed,
                **depends.scoring_settings(config),
            },
            {
                "candidates": self.candidates,
                "targets": targets,
                "preferences": preferences,
                "model": model,
            },
            found,
        )
        self._judge("judge-refined", config.judges, found, judged)
        out = folder / "preferences.jsonl"
        self._add(
            "merge",
            partial(bodies.merge, preferences, judged, out),
            {},
            {"preferences": preferences, "further": judged},
            out,
        )

    def _evaluate(self) -> None:
        config, folder = self.config, self.folder / "evaluation"
        models = {evaluating.BEFORE: config.model} | {n: str(p) for n, p in self.models.items()}
        journal = self.folder / "evaluation.sqlite"
        self._add(
            "evaluate",
            partial(evaluating.measure, config, self.readings, models, folder, journal),
            depends.evaluation_settings(config),
            {
                **depends.evaluation_files(config),
                **{f"model {name}": path for name, path in self.models.items()},
            },
            folder,
            check=partial(evaluating.check_evaluation, config, self.readings),
        )

    def _add(
        self,
        name: str,
        run: Callable[[Tell], Figures],
        settings: Mapping[str, Any],
        inputs: Inputs,
        *outputs: Path,
        check: Callable[[], object] = lambda: None,
        fetch: Callable[[], object] = lambda: None,
    ) -> None:
        self.stages.append(Stage(name, settings, inputs, outputs, run, check, fetch))
