"""Test collections: documents, queries, and which documents are relevant to which query.

Evaluation and training read them from here. Knows files and texts, nothing of models or scores.
"""

from zelo.corpora.collection import Collection, Qrels, join_title, normal_text
from zelo.corpora.grades import Gain
from zelo.corpora.problems import Problem
from zelo.corpora.reading import Reading, read_collection, read_files
from zelo.corpora.runs import read_run, write_run

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
