"""Effectiveness measures: rankings against relevance judgements, query by query.

nDCG@k and R@k are computed here, so that grades may be fractions and the ideal may be the
candidates'; all others by `ir_measures`, which agrees on these two wherever it has them. Knows
nothing of collections, systems or statistics.

The same rules hold for every measure and system. Only queries with a relevant document are
evaluated. A query that was not answered counts 0. A document without a judgement is not relevant.
A ranking's order is the system's own, whatever its scores tie on.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from zelo._common.checks import instance_of
from zelo.corpora.collection import Qrels
from zelo.errors import InputError, MissingExtraError
from zelo.evaluation.relevance import evaluated_queries, relevance, whole

try:
    import ir_measures
except ImportError as error:
    raise MissingExtraError("evaluation", "eval") from error

__all__ = [
    "Measure",
    "Rankings",
    "Run",
    "by_score",
    "evaluate",
    "mean",
    "measure_all",
    "ndcg",
    "parse_measure",
    "recall",
]

Rankings = Mapping[str, Sequence[str]]
"""Per query id, its documents, best first, none twice."""
Run = Mapping[str, Mapping[str, float]]
"""Per query id, the score of each ranked document id; higher is better."""

OF_CANDIDATES = "(candidates)"


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure that can be computed here; made by `parse_measure`."""

    name: str
    """As it was asked for."""
    parsed: Any
    """What ir_measures makes of it."""
    of_candidates: bool = False
    """nDCG whose ideal is the best order of the first stage's candidates."""

    @property
    def cutoff(self) -> int | None:
        """How many places of a ranking count; None for all."""
        k: int | None = self.parsed.params.get("cutoff")
        return k

    @property
    def own(self) -> bool:
        """Computed here, not by ir_measures: nDCG and R that set nothing but their cutoff."""
        return self.parsed.NAME in ("nDCG", "R") and not self.parsed.params.keys() - {"cutoff"}

    @property
    def binary(self) -> bool:
        """It only asks whether a document is relevant, and leaves open from which grade on."""
        asks = self.parsed.SUPPORTED_PARAMS.get("rel")
        return asks is not None and asks.default == 1 and "rel" not in self.parsed.params


def parse_measure(name: str) -> Measure:
    """Read the name of a measure: one of ir_measures, such as `nDCG@10`, `R@100`, `RR` or `AP`.

    `nDCG@10(candidates)` divides by the best order of the candidates, not of all judged documents,
    and leaves out the queries without a relevant candidate, as the evaluations that zerank's vendor
    published do. It is never lower than `nDCG@10`, because what the first stage missed is forgiven:
    use it to compare with such figures only.

    Raises:
        InputError: there is no such measure, or a package that computes it is not installed.
    """
    if not isinstance(name, str):
        raise InputError(f"measure is of type {type(name).__name__}; it must be a name")
    plain = name.removesuffix(OF_CANDIDATES)
    installed: Any = ir_measures.DefaultPipeline
    try:
        parsed = ir_measures.parse_measure(plain)
        supported = installed.supports(parsed)
    except (AssertionError, KeyError, NameError, SyntaxError, ValueError) as error:
        message = f"unknown measure {name!r}; use an ir_measures name such as nDCG@10, R@100 or RR"
        raise InputError(message) from error
    measure = Measure(name, parsed, of_candidates=plain != name)
    if measure.cutoff is not None and measure.cutoff < 1:  # trec_eval crashes on them
        raise InputError(f"measure {name!r} stops before the first place; its cutoff is 1 or more")
    if measure.of_candidates and not (measure.own and parsed.NAME == "nDCG"):
        raise InputError(f"measure {name!r}: only nDCG has a form with {OF_CANDIDATES}")
    if not measure.own and not supported:
        message = f"nothing that is installed computes {name!r}; choose another ir_measures name"
        raise InputError(message)
    return measure


def measure_all(
    rankings: Rankings,
    qrels: Qrels,
    measures: Iterable[Measure],
    *,
    candidates: Rankings | None = None,
    relevant_from: float | None = None,
) -> dict[str, dict[str, float]]:
    """Compute measures of one system: by name, the value of each evaluated query.

    Args:
        rankings: of the system.
        qrels: judgements; their queries with a relevant document are the evaluated ones.
        measures: from `parse_measure`.
        candidates: of the first stage, which only measures of candidates need.
        relevant_from: see `relevance`; to nDCG grades are gains, whatever it is.

    Raises:
        InputError: the rankings answer none of the evaluated queries, a measure of candidates lacks
            them, or the grades are fractions and a measure cannot do with them.
    """
    queries = evaluated_queries(qrels, relevant_from)
    if not any(query_id in rankings for query_id in queries):
        message = (
            "no query of the run has a relevant document among the judgements; check that both use "
            "the same query ids"
        )
        raise InputError(message)
    answers = {query_id: rankings.get(query_id, ()) for query_id in queries}
    grades = {query_id: qrels[query_id] for query_id in queries}
    measures = list(measures)
    foreign = [measure for measure in measures if not measure.own]
    values = _by_ir_measures(foreign, answers, grades, relevant_from)
    for measure in measures:
        if measure.own:
            values[measure.name] = _own(measure, answers, grades, candidates, relevant_from)
    return {measure.name: values[measure.name] for measure in measures}


def evaluate(run: Run, qrels: Qrels, measure: str = "nDCG@10") -> dict[str, float]:
    """Compute one measure of a scored run, ties as `by_score`; otherwise as `measure_all`."""
    found = parse_measure(measure)
    for name, given in (("run", run), ("qrels", qrels)):
        for query_id, of_query in instance_of(name, given, Mapping).items():
            instance_of(f"{name}[{query_id!r}]", of_query, Mapping)
            for number in of_query.values():
                if not isinstance(number, Real) or math.isnan(number):
                    raise InputError(f"{name}[{query_id!r}] holds what is no number")
    return measure_all(by_score(run), qrels, [found])[measure]


def by_score(run: Run) -> dict[str, list[str]]:
    """Order documents as trec_eval does: by falling score, equal ones by falling id."""
    return {
        query_id: sorted(scores, key=lambda doc_id: (scores[doc_id], doc_id), reverse=True)
        for query_id, scores in run.items()
    }


def ndcg(
    ranking: Sequence[str],
    grades: Mapping[str, float],
    k: int | None = None,
    *,
    candidates: Iterable[str] | None = None,
) -> float:
    """Normalised discounted cumulative gain of the first k places (all of them by default).

    DCG@k is the sum over ranks r from 1 to k of gain(r) / log2(r + 1), and nDCG@k that of the
    ranking over that of the best order of the judged documents, or of the candidates where they
    are given; 0 where there is nothing to gain. The gain is the grade itself, negative ones and
    documents without a judgement 0. Järvelin and Kekäläinen, "Cumulated gain-based evaluation of
    IR techniques", TOIS 2002, with the discount of trec_eval's `ndcg_cut`.
    """
    judged = grades.values() if candidates is None else _gains(candidates, grades)
    ideal = _dcg(sorted((grade for grade in judged if grade > 0), reverse=True)[:k])
    return _dcg(_gains(ranking[:k], grades)) / ideal if ideal else 0.0


def recall(ranking: Sequence[str], relevant: Mapping[str, int], k: int | None = None) -> float:
    """The share of a query's relevant documents among its first k places; 0 where none is."""
    total = sum(relevant.values())
    return sum(relevant.get(doc_id, 0) for doc_id in ranking[:k]) / total if total else 0.0


def mean(values: Mapping[str, float]) -> float:
    """Return the mean over queries, of which there is at least one."""
    return math.fsum(values.values()) / len(values)


def _own(
    measure: Measure,
    answers: Rankings,
    qrels: Qrels,
    candidates: Rankings | None,
    relevant_from: float | None,
) -> dict[str, float]:
    k = measure.cutoff
    if measure.parsed.NAME == "R":
        relevant = relevance(qrels, relevant_from)
        return {q: recall(ranking, relevant[q], k) for q, ranking in answers.items()}
    if not measure.of_candidates:
        return {q: ndcg(ranking, qrels[q], k) for q, ranking in answers.items()}
    if candidates is None:
        raise InputError(f"{measure.name} needs the candidates of the first stage; none were given")
    return {
        q: ndcg(ranking, qrels[q], k, candidates=candidates[q])
        for q, ranking in answers.items()
        if any(_gains(candidates.get(q, ()), qrels[q]))
    }


def _by_ir_measures(
    measures: Sequence[Measure], answers: Rankings, qrels: Qrels, relevant_from: float | None
) -> dict[str, dict[str, float]]:
    run, grades = _numbered(answers, qrels)
    found = {measure.name: dict.fromkeys(answers, 0.0) for measure in measures}
    query_ids = list(answers)
    for group in _groups(measures):
        binary = group[0].binary
        judged = relevance(grades, relevant_from) if binary else _whole_grades(grades, group[0])
        names: dict[Any, list[str]] = {}
        for measure in group:
            names.setdefault(measure.parsed, []).append(measure.name)
        for metric in ir_measures.iter_calc(list(names), judged, run):
            for name in names[metric.measure]:
                found[name][query_ids[int(metric.query_id)]] = float(metric.value)
    return found


def _numbered(answers: Rankings, qrels: Qrels) -> tuple[Run, Qrels]:
    """Number queries in their order and documents by their place, the ones not ranked after them.

    Some of what ir_measures calls reads files in which an id ends at a space, or cuts query ids at
    a hyphen. Scores fall along the ranking, or trec_eval would reorder ties. Queries without an
    answer are left out of the run, because an empty one is an error to some.
    """
    run: dict[str, dict[str, float]] = {}
    grades: dict[str, dict[str, float]] = {}
    for place, (query_id, ranking) in enumerate(answers.items()):
        numbers = {doc_id: str(rank) for rank, doc_id in enumerate(ranking)}
        if numbers:
            run[str(place)] = {number: -float(number) for number in numbers.values()}
        grades[str(place)] = {
            numbers.setdefault(doc_id, str(len(numbers))): grade
            for doc_id, grade in qrels[query_id].items()
        }
    return run, grades


def _groups(measures: Sequence[Measure]) -> Collection[list[Measure]]:
    """What can be computed in one pass: the judgements are the same.

    Two forms of nDCG in one pass may get each other's gains (ir_measures 0.4.3).
    """
    groups: dict[tuple[bool, str], list[Measure]] = {}
    for measure in measures:
        alone = measure.name if measure.parsed.NAME == "nDCG" else ""
        groups.setdefault((measure.binary, alone), []).append(measure)
    return groups.values()


def _whole_grades(qrels: Qrels, measure: Measure) -> dict[str, dict[str, int]]:
    if not whole(qrels):
        message = (
            f"{measure.name} works with whole grades, and these are fractions; use nDCG, or a "
            "measure of relevance alone, such as R@10 or RR, with relevant_from="
        )
        raise InputError(message)
    return {
        q: {d: max(0, int(grade)) for d, grade in judged.items()} for q, judged in qrels.items()
    }


def _gains(doc_ids: Iterable[str], grades: Mapping[str, float]) -> list[float]:
    return [max(0.0, grades.get(doc_id, 0.0)) for doc_id in doc_ids]


def _dcg(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
