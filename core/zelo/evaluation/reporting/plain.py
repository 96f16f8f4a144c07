"""The figures for programs: everything as JSON, the measures as CSV with a line for each."""

import csv
import dataclasses
import io
from typing import Any

from zelo.evaluation.figures import Calibration, Summary

__all__ = ["COLUMNS", "as_csv", "as_json"]

FORMAT = 1
COLUMNS = (
    *("collection", "system", "measure", "mean", "low", "high", "difference", "p"),
    *("first_stage_recall", "queries", "oracle"),
)


def as_csv(summary: Summary) -> str:
    """Return one line for each measure of each system on each collection.

    Numbers are unrounded; `difference` and `p` are empty for the baseline and for oracles.
    """
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for (collection, system, measure), cell in _cells(summary):
        recall = summary.recall[collection, summary.first_stages[system]]
        oracle = "yes" if system in summary.oracles else "no"
        more = (recall, summary.queries[collection], oracle)
        lines.writerow((collection, system, measure, *cell, *more))
    return text.getvalue()


def as_json(summary: Summary) -> dict[str, Any]:
    """Return every figure of a report but the queries' own, which their JSONL files hold.

    `format` changes whenever a key does.
    """
    return {
        "format": FORMAT,
        "measures": [*summary.measures],
        "baseline": summary.baseline,
        "depth": summary.depth,
        "significance": summary.significance,
        "collections": [_collection(summary, name) for name in summary.collections],
        "systems": [_system(summary, name) for name in summary.systems],
        "cells": [
            {"collection": collection, "system": system, "measure": measure, **_named(cell)}
            for (collection, system, measure), cell in _cells(summary)
        ],
        "averages": [
            {"system": system, "measure": measure, "mean": summary.averages[system, measure]}
            for system in summary.systems
            for measure in summary.measures
        ],
        "costs": [{"reranker": name, **_named(cost)} for name, cost in summary.costs.items()],
        "calibration": [
            {"system": system, **_calibration(found)}
            for system, found in summary.calibration.items()
        ],
    }


def _cells(summary: Summary) -> list[tuple[tuple[str, str, str], tuple[Any, ...]]]:
    keys = [
        (collection, system, measure)
        for collection in summary.collections
        for system in summary.systems
        for measure in summary.measures
    ]
    return [(key, summary.cells[key]) for key in keys]


def _collection(summary: Summary, name: str) -> dict[str, Any]:
    stages = dict.fromkeys(summary.first_stages[system] for system in summary.systems)
    return {
        "collection": name,
        "queries": summary.queries[name],
        "documents": summary.documents[name],
        "first_stage_recall": {stage: summary.recall[name, stage] for stage in stages},
    }


def _system(summary: Summary, name: str) -> dict[str, Any]:
    return {
        "system": name,
        "first_stage": summary.first_stages[name],
        "reranker": summary.rerankers[name],
        "oracle": name in summary.oracles,
    }


def _named(figures: Any) -> dict[str, Any]:
    return dict(figures._asdict())


def _calibration(found: Calibration) -> dict[str, Any]:
    values = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(part) for name, part in value._asdict().items()}
    return [_plain(part) for part in value] if isinstance(value, tuple) else value
