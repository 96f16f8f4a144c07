"""What a suite leaves in a folder: JSON from the first row on, the tables and the chart at its end.

A run that is killed leaves the rows that it had: the JSON is written anew after each, and a reader
never finds half of one.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zelo.bench.suite.asked import judged
from zelo.bench.suite.rendering import markdown
from zelo.bench.suite.results import SuiteReport
from zelo.errors import InputError

__all__ = ["CHART", "JSON", "TABLES", "as_json", "make_folder", "write_json", "write_tables"]

JSON, TABLES, CHART = "suite.json", "suite.md", "suite.png"


def as_json(report: SuiteReport) -> dict[str, Any]:
    """Return plain values: all rows, and what is asked held against them."""
    return {
        "scale": report.scale,
        "says_something_of_a_card": report.scale == "card",
        "dtype": report.dtype,
        "device": report.device._asdict(),
        "machine": asdict(report.machine),
        "weights": report.weights,
        "minutes": report.minutes,
        "seconds": report.seconds,
        "ceiling": report.ceiling._asdict() if report.ceiling else None,
        "rows": [row.as_json() for row in report.rows],
        "asked": [one.as_json() for one in judged(report)],
    }


def make_folder(folder: Path) -> None:
    """Make a folder to write into.

    Raises:
        InputError: that is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be written to ({error.strerror})") from error


def write_json(report: SuiteReport, folder: Path) -> None:
    """Write the report so far in place of what stood there."""
    new = folder / f"{JSON}.new"
    new.write_text(json.dumps(as_json(report), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(new, folder / JSON)


def write_tables(report: SuiteReport, folder: Path) -> None:
    """Write the tables as Markdown."""
    (folder / TABLES).write_text(markdown(report), encoding="utf-8")
