"""Test collections: documents, queries, and which documents are relevant to which query.

Evaluation and training read them from here. Knows files and texts, nothing of models or scores.
"""

from zelo.collections.collection import Collection, Qrels, join_title, normal_text
from zelo.collections.grades import Gain
from zelo.collections.problems import Problem
from zelo.collections.reading import Reading, read_collection, read_files
from zelo.collections.runs import read_run, write_run

__all__ = [
    "Collection",
    "Gain",
    "Problem",
    "Qrels",
    "Reading",
    "join_title",
    "normal_text",
    "read_collection",
    "read_files",
    "read_run",
    "write_run",
]
