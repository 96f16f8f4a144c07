"""What judging takes, and how much of it is allowed."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from typing import Any, Protocol

from zelo.errors import BudgetError, InputError
from zelo.evaluation.costs import Price

__all__ = ["Budget", "Ledger", "Took"]


@dataclass(frozen=True, slots=True)
class Took:
    """What questions to a judge took."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    malformed: int = 0
    searches: int = 0
    """As rerankers are billed: a query with up to 100 documents."""
    seconds: float = 0.0
    """Sum over the questions, of which several may have been under way at once."""

    def plus(self, other: "Took") -> "Took":
        """Return the sum of both."""
        parts = zip(self.as_json(), other.as_json(), strict=True)
        return Took.from_json(one + another for one, another in parts)

    def as_json(self) -> list[float]:
        """Return its numbers, for the journal."""
        return [*astuple(self)]

    @classmethod
    def from_json(cls, values: Iterable[Any]) -> "Took":
        """Read what `as_json` gave."""
        return cls(*values)

    def usd(self, price: Price) -> float:
        """Return what this costs, in US dollars.

        By the hour it is the price of questions one after another; of a machine that answers
        several at once it is too high.
        """
        if price.unit == "1000-searches":
            return price.usd * self.searches / 1_000
        if price.unit == "hour":
            return price.usd * self.seconds / 3_600
        return (price.usd * self.input_tokens + price.usd_output * self.output_tokens) / 1e6


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be spent on all judges together, in this run and those that it continues.

    Raises:
        InputError: a bound is not above 0.
    """

    usd: float | None = None
    """US dollars, by the prices that are given; None for no bound."""
    tokens: int | None = None
    """Read and written, on servers; models in this process do not count. None for no bound."""

    def __post_init__(self) -> None:
        for name, value in (("usd", self.usd), ("tokens", self.tokens)):
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"a budget of {name}={value!r}; it must be a number above 0")


class Metered(Protocol):
    """What the ledger has to know of a judge."""

    @property
    def name(self) -> str: ...

    @property
    def metered(self) -> bool: ...


class Ledger:
    """Counts what judges took, and says whether the budget allows one more question.

    One is allowed if the budget holds even when it and every question under way take as much as
    the dearest one of their judge so far. So the budget can be passed only by what questions under
    way cost beyond the dearest before them: at the very start, when nothing is known, by no more
    than the first ones, as many as judges have under way at once.

    Args:
        judges: that may be asked.
        history: by judge, what its kept answers took, those of earlier runs.
        prices: by judge.
        budget: for all of them together.

    Raises:
        InputError: a price is of no judge; or dollars are bounded, and a judge on a server has
            no price.
    """

    def __init__(
        self,
        judges: Iterable[Metered],
        history: Mapping[str, Iterable[Took]],
        prices: Mapping[str, Price],
        budget: Budget,
    ) -> None:
        self._metered = {judge.name: judge.metered for judge in judges}
        self._prices = prices
        self._budget = budget
        self.took = dict.fromkeys(self._metered, Took())
        """By judge, all that is kept of it."""
        self._dearest = dict.fromkeys(self._metered, (0.0, 0.0))
        self._under_way = dict.fromkeys(self._metered, 0)
        self._check()
        for name in self._metered:
            for took in history[name]:
                self._enter(name, took)

    def usd(self, judge: str) -> float | None:
        """What a judge cost so far, where it has a price."""
        price = self._prices.get(judge)
        return None if price is None else self.took[judge].usd(price)

    def allows(self, judge: str) -> bool:
        """Whether a judge may be asked once more; one that costs nothing always may."""
        one = self._dearest[judge]
        price = self._prices.get(judge)
        costly = (price is not None and not _free(price), self._metered[judge])
        more = [
            own + sum(self._dearest[name][kind] * n for name, n in self._under_way.items())
            for kind, own in enumerate(one)
        ]
        bounds = (self._budget.usd, self._budget.tokens)
        return not any(
            counts and bound is not None and (spent >= bound or spent + extra > bound)
            for counts, bound, spent, extra in zip(costly, bounds, self._spent(), more, strict=True)
        )

    def begin(self, judge: str) -> None:
        """A question is under way."""
        self._under_way[judge] += 1

    def end(self, judge: str, took: Took) -> None:
        """A question was answered. One that fails ends the run, and so never comes here.

        Raises:
            InputError: its tokens are bounded, and nobody counted them.
        """
        self._under_way[judge] -= 1
        self._enter(judge, took)
        self._check_counted(judge, took)

    def spent(self) -> BudgetError:
        """The error that says what was spent, and how to go on."""
        usd, tokens = self._spent()
        bounds = []
        if self._budget.usd is not None:
            bounds.append(f"${usd:.4f} of ${self._budget.usd:.4f}")
        if self._budget.tokens is not None:
            bounds.append(f"{tokens:,} of {self._budget.tokens:,} tokens")
        return BudgetError(
            f"the budget allows no further question: spent were {' and '.join(bounds)}. What was "
            "judged is kept; the same command with a higher budget goes on from there"
        )

    def _enter(self, judge: str, took: Took) -> None:
        self.took[judge] = self.took[judge].plus(took)
        before, now = self._dearest[judge], self._cost(judge, took)
        self._dearest[judge] = (max(before[0], now[0]), max(before[1], now[1]))

    def _spent(self) -> tuple[float, int]:
        usd = math.fsum(self.usd(name) or 0.0 for name in self._prices)
        counted = (self.took[name] for name, metered in self._metered.items() if metered)
        return usd, sum(took.input_tokens + took.output_tokens for took in counted)

    def _cost(self, judge: str, took: Took) -> tuple[float, float]:
        price = self._prices.get(judge)
        tokens = took.input_tokens + took.output_tokens if self._metered[judge] else 0
        return (0.0 if price is None else took.usd(price)), float(tokens)

    def _check(self) -> None:
        for name in self._prices:
            if name not in self._metered:
                known = ", ".join(self._metered)
                message = f"there is a price of {name!r}, but no such judge; judges are: {known}"
                raise InputError(message)
        if self._budget.usd is None:
            return
        for name, metered in self._metered.items():
            if metered and name not in self._prices:
                message = (
                    f"a budget in dollars needs the price of {name!r}, which runs on a server; "
                    f"give --price {name}=PRICE, or 0/Mtok if it costs nothing"
                )
                raise InputError(message)

    def _check_counted(self, judge: str, took: Took) -> None:
        price = self._prices.get(judge)
        by_token = price is not None and price.unit == "Mtok" and not _free(price)
        bounded = (self._budget.usd is not None and by_token) or (
            self._budget.tokens is not None and self._metered[judge]
        )
        if bounded and took.requests and not took.input_tokens + took.output_tokens:
            message = (
                f"{judge}: its server does not tell tokens, so no budget can be kept by them; give "
                "it a price per hour, and a budget in dollars"
            )
            raise InputError(message)


def _free(price: Price) -> bool:
    return not price.usd and not price.usd_output
