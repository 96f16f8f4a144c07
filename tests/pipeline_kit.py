"""A tiny run of `zelo train run`, and one that is killed again and again.

The small collection is what is evaluated; what is trained on are its documents with its queries in
other words, but for one that is the same.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from collection import write_beir

from zelo.training.pipeline import read_config, run

__all__ = ["CONFIG", "KILLED_AT", "figures", "prepare"]

CONFIG = """
collections = [{ path = "asked", name = "bees", queries = 9 }]
model = "zelo-nano"
judges = ["bm25", "oracle", "zelo-nano"]
out = "work"

[candidates]
depth = 12

[pairs]
cycles = 1

[judge]
noise = 0.3

[pointwise]
held_out = 0.3
learning_rate = 0.002
tokens_per_step = 300
precision = "float32"
keep_zeros = true
evaluate_every = 3
checkpoint_every = 2

[refine]
threshold = 1

[evaluate]
collections = ["small"]
measures = ["nDCG@10"]
"""
KILLED_AT = (
    ("judge: oracle", 9),
    ("judge: zelo-nano", 2),
    ("judge-across: oracle", 20),
    ("pointwise: training", 3),
    ("refine: ranking the candidates", 8),
    ("merge: merging", 0),
    ("pointwise-refined: training", 2),
    ("evaluate: small: trained", 3),
)
"""What is under way when the process is killed, and how much of that is done."""
TIMES = {"seconds", "costs"}


def prepare(folder: Path, text: str = CONFIG) -> Path:
    """Write the collections and the configuration, and return its path."""
    small = write_beir(folder)
    asked = folder / "asked"
    shutil.copytree(small, asked)
    (asked / "qrels" / "test.tsv").rename(asked / "qrels" / "train.tsv")
    lines = [json.loads(line) for line in (small / "queries.jsonl").read_text().splitlines()]
    for line in lines[1:]:
        line["text"] = f"Please tell me: {line['text']}"
    (asked / "queries.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


def figures(value: Any) -> Any:
    """Return a report without what differs from run to run: times."""
    if isinstance(value, dict):
        return {name: figures(one) for name, one in value.items() if name not in TIMES}
    return [figures(one) for one in value] if isinstance(value, list) else value


def run_killed(path: Path, points: Sequence[tuple[str, int]]) -> None:
    """Let a child begin or go on and die, for each point, and then bring the run to its end."""
    for point in points:
        child = os.fork()
        if not child:
            run(read_config(path), on_stage=_dying(*point))
            os._exit(0)  # it should not have come so far
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), (point, status)
        assert os.WTERMSIG(status) == signal.SIGKILL
    run(read_config(path))


def _dying(label: str, at: int) -> Callable[[str], Callable[[int, int], None]]:
    def tell(what: str) -> Callable[[int, int], None]:
        def progress(done: int, total: int) -> None:
            if what == label and done >= at:
                os.kill(os.getpid(), signal.SIGKILL)

        progress(0, 0)
        return progress

    return tell


if __name__ == "__main__":
    run_killed(Path(sys.argv[1]), KILLED_AT)
