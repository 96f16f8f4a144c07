"""The recipe of zelo-nano: the untrained model and a configuration, which `zelo train run` reads.

    python -m zelo.training.nano --data DATA --embedding-model MODEL --out OUT

`--data` holds the collections in BEIR layout, as `examples/rebuild_training_data` writes them.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from zelo.cli.progress import stages
from zelo.cli.render import note
from zelo.corpora import read_collection
from zelo.training.nano.untrained import save_untrained
from zelo.training.pipeline import read_config, run

__all__ = ["SOURCES", "Source", "configuration", "main"]


class Source(NamedTuple):
    """A collection that zelo-nano learns from."""

    name: str
    split: str
    queries: int
    """At most so many are judged, evenly spaced; all give words to the vocabulary."""


SOURCES = (
    Source("nqg", "test", 600),
    Source("clapnq", "train", 500),
    Source("tldr-en", "train", 200),  # one in six shares its text with another
    Source("nl2bash", "train", 400),
    Source("medquad", "train", 250),
    Source("scifact", "train", 300),
)
EVALUATED = (("scifact", "test"), ("cosqa", "test"), ("contractnli", "test"), ("tatqa", "test"))

SETTINGS = """
judges = ["oracle", "bm25", {embedding}]
out = "run"
model = "untrained"
seed = {seed}

[candidates]
depth = 16

[judge]
noise = 0.05

[calibrate]
curve = "quantiles"          # by grades nearly all targets are 0 or 1, and say nothing of order

[pointwise]
epochs = 1
learning_rate = 3e-5         # cosqa's development set: 0.31, with 1e-4 0.29, with 3e-4 0.24
precision = "float32"
tokens_per_step = 8192
embedding_rate = 0           # trained, words of the training sets won and all others lost
keep_zeros = true            # the circuit stays one: see zelo/training/nano/circuit.py
max_document_tokens = 300
documents_per_query = 8

[evaluate]
depth = 100
"""


def configuration(data: Path, embedding_model: str, *, seed: int, queries: int) -> str:
    """Return the TOML of the run; it stands in a folder beside `untrained/`.

    Args:
        data: folder of the collections.
        embedding_model: the judge beside relevance judgements and BM25: folder or name.
        seed: of everything.
        queries: of each collection that is evaluated, evenly spaced.
    """
    learned = [
        f"    {{ path = {_text(data / one.name)}, split = {_text(one.split)}, "
        f"queries = {one.queries} }},"
        for one in SOURCES
    ]
    measured = [
        f"    {{ path = {_text(data / name)}, split = {_text(split)}, queries = {queries} }},"
        for name, split in EVALUATED
    ]
    settings = SETTINGS.format(embedding=_text(f"embedding:{embedding_model}"), seed=seed).strip()
    return "\n".join(
        ["collections = [", *learned, "]", settings, "collections = [", *measured, "]", ""]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, and make the model."""
    parser = argparse.ArgumentParser(
        prog="python -m zelo.training.nano", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--embedding-model", required=True, help="one of the judges")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--queries", type=int, default=300, help="of each evaluated collection")
    parser.add_argument("--until", metavar="STAGE", help="stop behind this stage of the run")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    if not (given.out / "untrained" / "config.json").exists():
        sets = [read_collection(given.data / one.name, split=one.split) for one in SOURCES]
        save_untrained([one.collection for one in sets], given.out / "untrained", seed=given.seed)
    file = given.out / "recipe.toml"
    named = Path(given.embedding_model)
    embedding_model = str(named.resolve()) if named.is_dir() else given.embedding_model
    text = configuration(
        given.data.resolve(), embedding_model, seed=given.seed, queries=given.queries
    )
    file.write_text(text, encoding="utf-8")
    with stages() as on_stage:
        report = run(read_config(file), until=given.until, on_stage=on_stage)
    if report["reranker"]:
        note(f"zelo-nano in {given.out / 'run' / report['reranker']}")


def _text(value: object) -> str:
    return json.dumps(str(value))  # TOML's strings are written as JSON's
