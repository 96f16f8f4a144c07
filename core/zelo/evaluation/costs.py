"""What reranking takes: time, tokens and money.

Knows prices as vendors quote them, but none of any vendor: they change.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, cast

from zelo.errors import InputError, MissingExtraError
from zelo.evaluation.figures import Cost
from zelo.evaluation.results import Call, Evaluation

try:
    import numpy as np
except ImportError as error:
    raise MissingExtraError("evaluation", "eval") from error

__all__ = ["SEARCH_DOCUMENTS", "Price", "check_prices", "costs"]

FORMS = "0.025/Mtok, 0.30+2.50/Mtok (input + output), 2.50/hour or 2.00/1000-searches, in USD"
NUMBER = r"\d+(?:\.\d+)?"
PRICE = re.compile(rf"({NUMBER})(?:\+({NUMBER}))?/(Mtok|hour|1000-searches)")
SEARCH_DOCUMENTS = 100  # "one query with up to 100 documents", cohere.com/pricing


class Price(NamedTuple):
    """What a reranker costs, in US dollars."""

    unit: Literal["Mtok", "hour", "1000-searches"]
    """A million tokens; an hour of a machine that does nothing else; or a thousand searches, each
    of a query with up to 100 documents."""
    usd: float
    """Per unit; of a million tokens, those that are read."""
    usd_output: float
    """Per million tokens that are written."""

    @classmethod
    def parse(cls, text: str) -> "Price":
        """Read `0.025/Mtok`, `0.30+2.50/Mtok` (input + output), `2.50/hour`, `2.00/1000-searches`.

        A single price of tokens is for both kinds.

        Raises:
            InputError: the text has another form.
        """
        match = PRICE.fullmatch(text.strip())
        if match is None or (match[2] and match[3] != "Mtok"):
            raise InputError(f"{text!r} is not a price; write {FORMS}")
        unit = cast(Literal["Mtok", "hour", "1000-searches"], match[3])
        return cls(unit, float(match[1]), float(match[2] or match[1]))

    def per_1000_queries(self, cost: Cost) -> float | None:
        """Dollars for a thousand queries with `cost.depth` candidates each.

        Time and tokens are taken per document and multiplied by the depth: calls may have been
        shorter, because a document that two first stages found is scored once. Of a machine this is
        the price of calls one after another; calls that shared it cost less than that.

        None where it cannot be said: nothing was scored, or nobody counted the tokens.
        """
        if self.unit == "1000-searches":
            return self.usd * math.ceil(cost.depth / SEARCH_DOCUMENTS)
        if not cost.documents:
            return None
        if self.unit == "hour":
            spent = self.usd * cost.seconds / 3_600
        elif cost.input_tokens + cost.output_tokens:
            spent = (self.usd * cost.input_tokens + self.usd_output * cost.output_tokens) / 1e6
        else:
            return None
        return spent / cost.documents * cost.depth * 1_000


def costs(evaluation: Evaluation, prices: Mapping[str, Price]) -> dict[str, Cost]:
    """What every reranker took that takes anything, by its name.

    Args:
        evaluation: with the calls.
        prices: by reranker.

    Raises:
        InputError: a price is of no reranker with calls.
    """
    calls: dict[str, list[Call]] = {}
    for (_, reranker), made in evaluation.calls.items():
        calls.setdefault(reranker, []).extend(made)
    check_prices(prices, list(calls))
    found = {}
    for reranker in calls:
        cost = _cost(calls[reranker], _queries(evaluation, reranker), evaluation.depth)
        price = prices.get(reranker)
        usd = None if price is None else price.per_1000_queries(cost)
        found[reranker] = cost._replace(usd_per_1000_queries=usd)
    return found


def check_prices(prices: Mapping[str, Price], rerankers: Sequence[str]) -> None:
    """Refuse a price of something that is not among the rerankers that take calls.

    Raises:
        InputError: with the names that can have one.
    """
    for reranker in prices:
        if reranker not in rerankers:
            message = (
                f"there is a price of {reranker!r}, but no such reranker that takes calls; prices "
                f"can be given of: {', '.join(rerankers) or 'none here'}"
            )
            raise InputError(message)


def _cost(calls: list[Call], queries: int, depth: int) -> Cost:
    documents = sum(call.documents for call in calls)
    seconds = math.fsum(call.seconds for call in calls)
    whole = [call.seconds for call in calls if call.documents == depth]
    return Cost(
        queries=queries,
        documents=documents,
        seconds=seconds,
        documents_per_second=documents / seconds if seconds else 0.0,
        median_s=float(np.percentile(whole, 50)) if whole else None,
        p95_s=float(np.percentile(whole, 95)) if whole else None,
        depth=depth,
        input_tokens=sum(call.input_tokens for call in calls),
        output_tokens=sum(call.output_tokens for call in calls),
        requests=sum(call.requests for call in calls),
        malformed=sum(call.malformed for call in calls),
    )


def _queries(evaluation: Evaluation, reranker: str) -> int:
    asked = {
        (collection, query_id)
        for (collection, _), run in evaluation.runs.items()
        if run.reranker == reranker
        for query_id, ranking in run.rankings.items()
        if ranking
    }
    return len(asked)
