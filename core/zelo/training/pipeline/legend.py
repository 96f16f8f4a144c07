"""What the words of a report's tables mean, said below the tables in which they stand."""

from collections.abc import Iterator

from zelo.evaluation.reporting.grids import Grid

__all__ = ["legend"]

MEANINGS = {
    "missing": "pairs on which the judge gave no vote",
    "right": "share of the pairs with different grades on which the better document is preferred, "
    "a tie counting half",
    "malformed": "answers that were no preference",
    "equal": "share of the pairs on which both prefer the same document, or both neither",
    "kappa": "Cohen's: the same beyond chance, which is 0, up to 1 for agreement throughout",
    "tau": "Kendall's, between a query's order and that of its targets: 1 for the same order, -1 "
    "for the reverse",
    "diameter": "most pairs on the way from one document of a query to another",
    "offsets": "what is added to a query's ratings to compare them with those of other queries",
}


def legend(grid: Grid) -> Iterator[str]:
    """Yield one line with the meaning of the grid's words that need one, if it has such words."""
    texts = [head.text for head in grid.heads]
    texts += [word for row in grid.rows for entry in row[1:] for word in entry.text.split()]
    found = [f"{word}: {told}" for word, told in MEANINGS.items() if word in texts]
    if found:
        yield f"{'; '.join(found)}."
