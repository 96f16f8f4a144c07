"""Every figure of a report, from what an evaluation found.

Brings measures, significance, calibration and costs together; shows nothing.
"""

from collections.abc import Iterable, Mapping, Sequence

from zelo._common.checks import in_order, instance_of, text_or_none
from zelo.corpora.collection import Collection, Qrels
from zelo.errors import InputError
from zelo.evaluation.calibration import calibrate, judged
from zelo.evaluation.costs import Price, check_prices, costs
from zelo.evaluation.figures import Calibration, Cell, Summary
from zelo.evaluation.measures import (
    Measure,
    Rankings,
    mean,
    measure_all,
    parse_measure,
)
from zelo.evaluation.relevance import Relevance, evaluated_queries, relevance
from zelo.evaluation.results import ORACLE, Evaluation, SystemRun
from zelo.evaluation.significance import Interval, Rows, holm, intervals, p_values
from zelo.evaluation.systems import System

__all__ = ["MEASURES", "check_options", "summarise"]

MEASURES = ("nDCG@10", "R@10", "RR@10", "AP", "P@5", "Success@5")

Key = tuple[str, str, str]  # collection, system, measure
ByQuery = Mapping[str, float]
Values = Mapping[Key, ByQuery]


def summarise(
    evaluation: Evaluation,
    *,
    measures: Sequence[str] = MEASURES,
    baseline: str | None = None,
    prices: Mapping[str, Price] | None = None,
    relevant_from: float | None = None,
) -> Summary:
    """Compute every figure.

    Args:
        evaluation: what was found.
        measures: names as `parse_measure` reads them, the main one first.
        baseline: the system that the others are tested against; by default the first one that did
            not see the judgements.
        prices: by reranker.
        relevant_from: the lowest grade of a relevant document; by default any above 0. Queries
            without such a document are left out of every figure.

    Raises:
        InputError: a measure, the baseline or a price is of something unknown, no query of a
            collection has a relevant document, or grades are fractions and `relevant_from` is
            needed.
    """
    instance_of("evaluation", evaluation, Evaluation)
    parsed = _parsed(measures)
    oracles = frozenset(filter(evaluation.oracle, evaluation.systems))
    against = _baseline(evaluation.systems, oracles, baseline)
    spent = costs(evaluation, {} if prices is None else instance_of("prices", prices, Mapping))
    qrels = {name: _judgements(c, relevant_from) for name, c in evaluation.collections.items()}
    relevant = {name: _relevance(name, known, relevant_from) for name, known in qrels.items()}
    values = _values(evaluation, qrels, parsed, relevant_from)
    cells = _cells(values, against, oracles, evaluation.seed)
    return Summary(
        measures=tuple(measure.name for measure in parsed),
        collections=tuple(evaluation.collections),
        systems=evaluation.systems,
        oracles=oracles,
        baseline=against,
        depth=evaluation.depth,
        queries={name: len(judgements) for name, judgements in qrels.items()},
        documents={name: len(c.documents) for name, c in evaluation.collections.items()},
        first_stages={run.system: run.first_stage for run in evaluation.cells()},
        rerankers={run.system: run.reranker for run in evaluation.cells()},
        cells=cells,
        averages=_averages(cells),
        recall=_recall(evaluation, qrels, relevant_from),
        costs=spent,
        calibration=_calibration(evaluation, relevant),
        values=values,
    )


def check_options(
    collections: Iterable[Collection],
    systems: Iterable[System],
    *,
    measures: Sequence[str] = MEASURES,
    baseline: str | None = None,
    prices: Mapping[str, Price] | None = None,
    relevant_from: float | None = None,
) -> None:
    """Refuse now, before hours of work, the options that `summarise` would refuse after it.

    Raises:
        InputError: as `summarise`.
    """
    _parsed(measures)
    systems = list(systems)
    rerankers = [system.reranker for system in systems if system.reranker is not None]
    oracles = frozenset(
        system.name for system in systems if system.reranker and system.reranker.name == ORACLE
    )
    _baseline([system.name for system in systems], oracles, baseline)
    priced = dict.fromkeys(r.name for r in rerankers if r.identity is not None)
    check_prices(prices or {}, list(priced))
    for collection in collections:
        _relevance(collection.name, _judgements(collection, relevant_from), relevant_from)


def _parsed(measures: Sequence[str]) -> list[Measure]:
    parsed = [parse_measure(name) for name in in_order("measures", measures, "a list of names")]
    if not parsed:
        raise InputError("measures holds none; give at least one, such as nDCG@10")
    return list({measure.name: measure for measure in parsed}.values())


def _baseline(systems: Sequence[str], oracles: frozenset[str], asked: str | None) -> str:
    text_or_none("baseline", asked)
    competitors = [system for system in systems if system not in oracles]
    if asked is None:
        return [*competitors, *systems][0]
    if asked not in competitors:
        message = f"baseline={asked!r} cannot be it; choose one of {', '.join(competitors)}"
        raise InputError(message)
    return asked


def _judgements(collection: Collection, relevant_from: float | None) -> Qrels:
    """The judgements of the queries that are evaluated."""
    queries = evaluated_queries(collection.qrels, relevant_from)
    if not queries:
        raise InputError(
            f"{collection.name}: no query has a relevant document, so nothing can be measured; "
            "check the judgements, and relevant_from= if it was given"
        )
    return {query_id: collection.qrels[query_id] for query_id in queries}


def _relevance(name: str, qrels: Qrels, relevant_from: float | None) -> Relevance:
    try:
        return relevance(qrels, relevant_from)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _values(
    evaluation: Evaluation,
    qrels: Mapping[str, Qrels],
    measures: Sequence[Measure],
    relevant_from: float | None,
) -> dict[Key, dict[str, float]]:
    values: dict[Key, dict[str, float]] = {}
    for collection, judgements in qrels.items():
        for system in evaluation.systems:
            run = evaluation.runs[collection, system]
            found = measure_all(
                _doc_ids(run),
                judgements,
                measures,
                candidates=_doc_ids(evaluation.first_stages[collection, run.first_stage]),
                relevant_from=relevant_from,
            )
            for measure, by_query in found.items():
                if not by_query:  # only a measure of candidates leaves queries out
                    raise InputError(
                        f"{collection}: {run.first_stage} found no relevant document for any "
                        f"query, so {measure} of {system} is the mean of nothing; leave it out"
                    )
                values[collection, system, measure] = by_query
    return values


def _doc_ids(run: SystemRun) -> Rankings:
    return {q: [document.doc_id for document in ranking] for q, ranking in run.rankings.items()}


def _cells(values: Values, baseline: str, oracles: frozenset[str], seed: int) -> dict[Key, Cell]:
    bounds = _intervals(values, seed)
    differences = _differences(values, baseline, oracles)
    tested = _tested(differences, seed)
    return {
        key: Cell(
            mean(by_query),
            *bounds[key],
            difference=mean(differences[key]) if key in differences else None,
            p_value=tested.get(key),
        )
        for key, by_query in values.items()
    }


def _differences(values: Values, baseline: str, oracles: frozenset[str]) -> Values:
    """Per comparison, the difference of every query that both systems have a value of.

    Those are all queries, save for measures of candidates, where first stages differ in which they
    leave out; there a comparison without a common query is none.
    """
    differences: dict[Key, ByQuery] = {}
    for (collection, system, measure), by_query in values.items():
        if system == baseline or system in oracles:
            continue
        other = values[collection, baseline, measure]
        common = {q: value - other[q] for q, value in by_query.items() if q in other}
        if common:
            differences[collection, system, measure] = common
    return differences


def _tested(differences: Values, seed: int) -> dict[Key, float]:
    """Holm-corrected p-values: the comparisons of one measure are one family."""
    raw: dict[Key, float] = {}
    for keys, rows in _by_queries(differences):
        raw.update(zip(keys, p_values(rows, seed=seed), strict=True))
    families: dict[str, list[Key]] = {}
    for key in differences:
        families.setdefault(key[2], []).append(key)
    return {
        key: corrected
        for keys in families.values()
        for key, corrected in zip(keys, holm([raw[key] for key in keys]), strict=True)
    }


def _intervals(values: Values, seed: int) -> dict[Key, Interval]:
    bounds: dict[Key, Interval] = {}
    for keys, rows in _by_queries(values):
        bounds.update(zip(keys, intervals(rows, seed=seed), strict=True))
    return bounds


def _by_queries(values: Values) -> Iterable[tuple[list[Key], Rows]]:
    """What has the same queries, together, so that resamples are drawn once for all of it."""
    groups: dict[tuple[str, ...], list[Key]] = {}
    for key, by_query in values.items():
        groups.setdefault(tuple(by_query), []).append(key)
    for keys in groups.values():
        yield keys, [list(values[key].values()) for key in keys]


def _averages(cells: Mapping[Key, Cell]) -> dict[tuple[str, str], float]:
    means: dict[tuple[str, str], dict[str, float]] = {}
    for (collection, system, measure), cell in cells.items():
        means.setdefault((system, measure), {})[collection] = cell.mean
    return {key: mean(by_collection) for key, by_collection in means.items()}


def _recall(
    evaluation: Evaluation, qrels: Mapping[str, Qrels], relevant_from: float | None
) -> dict[tuple[str, str], float]:
    at_depth = parse_measure(f"R@{evaluation.depth}")
    found = {}
    for (collection, first_stage), run in evaluation.first_stages.items():
        values = measure_all(
            _doc_ids(run), qrels[collection], [at_depth], relevant_from=relevant_from
        )
        found[collection, first_stage] = mean(values[at_depth.name])
    return found


def _calibration(
    evaluation: Evaluation, relevant: Mapping[str, Relevance]
) -> dict[str, Calibration]:
    found = {}
    for system in evaluation.systems:
        runs = ((evaluation.runs[name, system], known) for name, known in relevant.items())
        candidates = judged(runs)
        if candidates is not None:
            found[system] = calibrate(candidates)
    return found
