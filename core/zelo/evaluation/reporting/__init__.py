"""Showing what an evaluation found: terminal, Markdown, CSV, JSON, charts, queries one by one.

Every figure comes from a `Summary`; only order and form are made here.
"""

from zelo.evaluation.reporting.files import write_folder
from zelo.evaluation.reporting.plain import as_json
from zelo.evaluation.reporting.table import rendered

__all__ = ["as_json", "rendered", "write_folder"]
