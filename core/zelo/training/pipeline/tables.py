"""What a configuration of `zelo train run` may say: a table for each stage, each key checked.

Knows keys, types and defaults; nothing of files or of what the stages do. Seeds, devices and number
types stand once at the top and hold for all stages.
"""

import dataclasses
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from zelo.training.learning.settings import Learning

__all__ = ["GATHERED", "LEARNING", "Config", "Evaluated", "Source", "table_of"]

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Precision = Annotated[float, Field(ge=0)]
Variable = Annotated[str, Field(pattern=r"^[A-Z_][A-Z0-9_]*$")]
GATHERED = "(learning)"  # a key that nobody writes
LEARNING = tuple(field.name for field in dataclasses.fields(Learning))


class _Table(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,  # `reference` shows them
    )


def table_of(annotation: Any) -> type[BaseModel] | None:
    """Return the table that a field holds, or whose list it holds; None for other values."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(table_of, get_args(annotation))), None)


def _by_path(value: Any) -> Any:
    """A collection that is only a path may be written as one."""
    return {"path": value} if isinstance(value, str) else value


class _Collection(_Table):
    path: str
    """A BEIR folder or a zbench file."""
    name: str | None = None
    """What tables and query ids call it; default, the name of its folder or file."""
    split: str | None = None
    """Which of its qrels."""
    queries: Count | None = None
    """At most so many, evenly spaced; None for all."""
    lenient: bool = False
    """Go on in spite of problems in its files."""


class Source(_Collection):
    """A collection to train on. Its split is by default `train`, or the only one besides test and
    dev; without one, all queries are trained on that test and dev do not judge."""

    unjudged: bool = False
    """Train too on its queries that no split judges: no judge but the oracle needs judgements."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Its share of the queries, where the others' are theirs."""


class Evaluated(_Collection):
    """A collection to evaluate on. Its split is by default `test`, or the only one."""


class Candidates(_Table):
    """Which documents are judged."""

    first_stage: str = "bm25"
    """bm25, dense, hybrid (both, fused), given (candidates of the collection) or run:FILE."""
    depth: Count = 100
    """Candidates per query, at most."""
    queries: Count | None = None
    """Of all collections together, shared out by weight."""
    add_relevant: bool = False
    """Add the relevant documents that the first stage missed; see zelo train candidates --help."""
    language: str = "english"
    """Of BM25's stemmer; none for no stemming."""
    embedding_model: str | None = None
    """For dense and hybrid: a folder or a package; with a URL, a model's name there."""
    embedding_url: str | None = None
    """An OpenAI-compatible server; its key is OPENAI_API_KEY."""
    rrf_k: Annotated[int, Field(ge=0)] = 60
    """Of hybrid's rank fusion, the sum of 1/(K + rank)."""


class Pairs(_Table):
    """Which of them are compared."""

    method: Literal["cycles", "random", "full"] = "cycles"
    """Random cycles through a query's documents; as many random pairs; or every pair."""
    cycles: Count = 4
    """So many pairs for each document; it meets twice as many."""


class Judge(_Table):
    """How the judges are made, and what they may cost."""

    noise: Share = 0.0
    """Of the oracle: probability that its vote is turned around."""
    ties: Share = 0.0
    """Of the oracle: probability that its vote is a tie."""
    language: str = "english"
    """Of BM25's stemmer; none for no stemming."""
    concurrency: Count = 8
    """Questions under way at once on each server."""
    scales: dict[str, float] = Field(default_factory=dict)
    """By judge: it prefers by sigmoid(difference of scores / scale). Another asks nothing anew."""
    keys: dict[str, Variable] = Field(default_factory=dict)
    """By judge on a server: the name of the environment's variable that holds its key, such as
    QWEN_KEY; never the key itself. OPENAI_API_KEY goes to OpenAI or OPENAI_BASE_URL alone."""
    prices: dict[str, str] = Field(default_factory=dict)
    """By judge, in USD: 0.40/Mtok, 0.40+1.60/Mtok (read + written), 2.50/hour."""
    budget_usd: Annotated[float, Field(gt=0)] | None = None
    """Stop before this much is spent in all stages together."""
    budget_tokens: Count | None = None
    """The same in tokens, read and written, on servers."""


class _Training(_Table):
    """A table that holds the settings of `Learning` beside its own."""

    learning: Annotated[Learning, Field(alias=GATHERED)]
    processes: Count = 1
    """One for each card that is to be used."""

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, table: Any) -> Any:
        if not isinstance(table, dict):
            return table
        own = {key: value for key, value in table.items() if key not in LEARNING}
        return {**own, GATHERED: Learning(**{k: table[k] for k in LEARNING if k in table})}


class Distill(_Training):
    """The pairwise model that judges in place of the ensemble."""

    model: str | None = None
    """What it begins as; default, the model of the top."""
    pairs_per_query: Count | None = 8
    """So many the ensemble judges, of which it learns."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the queries that choose the best weights and give the figures."""
    max_document_tokens: Count | None = None
    """Read so much of each document."""


class Fit(_Table):
    """How preferences become ratings."""

    method: Literal["thurstone", "bradley-terry"] = "thurstone"
    prior: Precision = 0.1
    """Pull of the ratings towards 0, which keeps one finite that won everything."""
    skip_disconnected: bool = False
    """Leave out queries whose documents are not connected by judged pairs."""


class Across(_Table):
    """Which documents of different queries are compared."""

    enabled: bool = True
    """Without it every query's offset is 0."""
    cycles: Count = 4
    """Random cycles over the queries."""
    each: Count = 4
    """Pairs for each two queries that meet."""


class Calibrate(_Table):
    """How ratings become targets."""

    prior: Precision = 0.1
    """Pull of the offsets towards 0."""
    curve: Literal["auto", "grades", "quantiles"] = "auto"
    """Targets are probabilities of relevance by the grades, or by where a document stands among
    all; auto takes the grades where a candidate has one above 0."""


class Pointwise(_Training):
    """How the reranker learns the targets."""

    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the queries that choose the best weights."""
    max_document_tokens: Count | None = None
    """Read so much of each document, in training, refining and evaluation."""
    documents_per_query: Count | None = None
    """Learned from in an epoch, the best and the worst among them; without it, all."""


class Refine(_Table):
    """The round after the first training."""

    enabled: bool = True
    """Without it training is done once."""
    threshold: Count = 10
    """A query fails if its best document is ranked below this."""


class Evaluate(_Table):
    """What is measured before and after."""

    collections: list[Annotated[Evaluated, BeforeValidator(_by_path)]] | None = None
    """Written as those above. Default: every collection that is trained on and has a further split
    named test."""
    first_stage: str | None = None
    """Default: that of the candidates, as is the depth."""
    depth: Count | None = None
    """Candidates per query, at most."""
    measures: list[str] = Field(
        default_factory=lambda: ["nDCG@10", "R@10", "RR@10", "AP", "P@5", "Success@5"], min_length=1
    )
    """Names of ir_measures, the main one first."""
    systems: list[str] = Field(default_factory=list)
    """Further ones to compare with, as `zelo evaluate --system` writes them."""


class Config(_Table):
    """A whole run."""

    collections: Annotated[list[Annotated[Source, BeforeValidator(_by_path)]], Field(min_length=1)]
    """BEIR folders or zbench files to train on; judgements are not needed."""
    model: str
    """What is trained: what `zelo.Reranker` loads here, or a plain Qwen3 model."""
    judges: Annotated[list[str], Field(min_length=1)]
    """As `zelo train judge --judge` writes them."""
    out: str
    """The work folder; default, for mine.toml, mine-run beside it."""
    seed: int = 0
    """Of everything that chance decides."""
    device: str | None = None
    """Such as cuda:0; default, an accelerator if there is one."""
    dtype: str | None = None
    """In which models score; how they learn is [pointwise]'s precision."""
    candidates: Candidates = Field(default_factory=Candidates)
    pairs: Pairs = Field(default_factory=Pairs)
    judge: Judge = Field(default_factory=Judge)
    distill: Distill | None = None
    fit: Fit = Field(default_factory=Fit)
    across: Across = Field(default_factory=Across)
    calibrate: Calibrate = Field(default_factory=Calibrate)
    pointwise: Pointwise
    refine: Refine = Field(default_factory=Refine)
    evaluate: Evaluate = Field(default_factory=Evaluate)

    @model_validator(mode="before")
    @classmethod
    def _seed(cls, table: Any) -> Any:
        """Let what is trained have the seed of the top, unless it has one of its own."""
        seed = {"seed": table["seed"]} if isinstance(table.get("seed"), int) else {}
        of_tables = {"pointwise": {}, **table}
        changed = {
            name: {**seed, **of_tables[name]}
            for name in ("pointwise", "distill")
            if isinstance(of_tables.get(name), dict)
        }
        return {**of_tables, **changed}

    def plain(self) -> dict[str, Any]:
        """Return the configuration as JSON; `model_validate` makes the same of it."""
        found = self.model_dump(mode="json")
        for name in ("pointwise", "distill"):
            if found[name] is not None:
                found[name] |= found[name].pop("learning")
        return found
