"""How well ratings fit, over all queries: taken one by one, as they are made."""

from dataclasses import dataclass

from zelo.training.records import Ratings

__all__ = ["Quality"]


@dataclass(slots=True)
class Quality:
    """What is told of many queries' ratings."""

    queries: int = 0
    documents: int = 0
    comparisons: int = 0
    converged: int = 0
    """Queries whose gradient vanished."""
    iterations_sum: int = 0
    iterations_max: int = 0
    loss_sum: float = 0.0
    """Cross-entropy of all comparisons, in nats."""

    @property
    def converged_share(self) -> float:
        """Of the queries."""
        return self.converged / max(self.queries, 1)

    @property
    def degree_mean(self) -> float:
        """Comparisons of a document."""
        return 2 * self.comparisons / max(self.documents, 1)

    @property
    def iterations_mean(self) -> float:
        """Newton steps of a query."""
        return self.iterations_sum / max(self.queries, 1)

    @property
    def loss(self) -> float:
        """Cross-entropy of a comparison, in nats. Of coins it is log 2 = 0.693."""
        return self.loss_sum / max(self.comparisons, 1)

    def add(self, rated: Ratings) -> None:
        """Take one query's ratings into account."""
        self.queries += 1
        self.documents += len(rated.ratings)
        self.comparisons += rated.comparisons
        self.converged += rated.converged
        self.iterations_sum += rated.iterations
        self.iterations_max = max(self.iterations_max, rated.iterations)
        self.loss_sum += rated.loss * rated.comparisons
