"""The README of a trained model: what it is, how it came to be, how well it does."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zelo._common.atomic_write import whole_file
from zelo._common.terminal import printable
from zelo.training.learning.settings import Learning

if TYPE_CHECKING:
    from zelo.training.pointwise import Pointwise

__all__ = ["write_card"]

CARD = """---
library_name: sentence-transformers
pipeline_tag: text-ranking
tags:
- reranker
- cross-encoder
- zelo
---
# A reranker trained by zelo

```python
from zelo import Reranker

Reranker("path/to/this/folder").rank("a query", documents)
```

`sentence_transformers.CrossEncoder` loads the folder too, and gives the raw logit; the probability
is sigmoid(logit / 5). The prompt is zerank's: the query as the system's turn, the document as the
user's, and the score is the logit of "Yes".

## Training

Pointwise, on zELO targets: mean squared error of the probability. Trained from `{model}` on
{queries} queries and {documents} documents, {tokens} tokens in {steps} steps, {seconds} s.

{settings}

![Learning curve](curve.png)

## Held-out queries

{standing}
"""


def write_card(
    folder: Path,
    found: "Pointwise",
    model: str,
    learning: Learning,
    max_document_tokens: int | None,
    documents_per_query: int | None,
) -> None:
    """Write a folder's README.md."""
    settings = {field.name: getattr(learning, field.name) for field in fields(Learning)}
    settings |= {
        "max_document_tokens": max_document_tokens,
        "documents_per_query": documents_per_query,
    }
    text = CARD.format(
        model=printable(model).replace("`", ""),
        queries=f"{found.queries:,}",
        documents=f"{found.documents:,}",
        tokens=f"{found.learned.tokens:,}",
        steps=f"{found.learned.steps:,}",
        seconds=f"{found.learned.seconds:,.0f}",
        settings=_table(("setting", "value"), settings),
        standing=_standing(found),
    )
    with whole_file(folder / "README.md") as partial:
        partial.write_text(text, encoding="utf-8")


def _standing(found: "Pointwise") -> str:
    if found.before is None or found.after is None:
        return "None was held out; these are the weights of the last step."
    rows = {
        "loss": (found.before.loss, found.after.loss),
        "Kendall's tau with the targets": (found.before.tau, found.after.tau),
    }
    lines = ["| | before | after |", "| --- | ---: | ---: |"]
    lines += [
        f"| {name} | {_number(before)} | {_number(after)} |"
        for name, (before, after) in rows.items()
    ]
    return (
        f"{found.held_out_queries:,} queries with {found.held_out_documents:,} documents, which "
        "chose these weights, so figures of other queries are a little lower. They are those of "
        f"step {found.learned.best_step:,} of {found.learned.steps:,}.\n\n" + "\n".join(lines)
    )


def _table(names: tuple[str, str], rows: Mapping[str, Any]) -> str:
    lines = [f"| {names[0]} | {names[1]} |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {k} | {v} |" for k, v in rows.items() if v is not None)])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
