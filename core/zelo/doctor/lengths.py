"""Long documents: where a server begins to cut them, and whether more than their end is cut.

Documents of one opening and ever more filler are asked for, each alone. From the length at which
a server cuts, all longer ones are one and the same prompt and get one and the same number. If the
cut took the end of the prompt instead of the document's, the number jumps where cutting begins:
the score is then read in the middle of the filler.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from zelo.doctor.endpoint import Endpoint
from zelo.doctor.pairs import Pair
from zelo.doctor.tolerances import PLATEAU
from zelo.errors import RemoteError

__all__ = ["Lengths", "long_pair", "measure_lengths"]

QUERY = "How do I read a file in Python?"
OPENING = "To read a file in Python, open it with open() and call its method read()."
FILLER = (
    "The river runs from the hills to the sea . In spring its water is cold and grey . "
    "An old town lies on the bank , and three bridges of stone cross the water there . "
).split()
SHORTEST = 100
"""Words of the shortest filler."""
APART = 12
"""Words between the last whole document that is looked at and the first cut one: more tokens than
any frame has behind a document (Qwen3-Reranker's has 9)."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Numbers of ever longer documents."""

    words: tuple[int, ...]
    """Words of filler, ascending."""
    numbers: tuple[float, ...]
    refused: str | None = None
    """What the server said to the next length, if it refused one."""
    cut_at: int | None = None
    """Words from which nothing more is read; None where all was, up to the longest."""
    before: tuple[float, float] | None = None
    """Numbers of two documents just short of that, the shorter one first."""

    @property
    def cut(self) -> float | None:
        """The number of every document that was cut."""
        return None if self.cut_at is None else self.numbers[-1]


def long_pair(words: int) -> Pair:
    """Return the pair with that many words of filler."""
    repeated = FILLER * (words // len(FILLER) + 1)
    return Pair(QUERY, " ".join([OPENING, *repeated[:words]]))


def measure_lengths(
    endpoint: Endpoint, longest: int, spread: float, on_step: Callable[[str], None]
) -> Lengths:
    """Ask for documents of up to `longest` words.

    Args:
        endpoint: what is asked.
        longest: words of the longest.
        spread: range of the numbers of other pairs, by which equality is judged.
        on_step: told what is asked next.

    Raises:
        ScoringError: there is no answer, for another reason than length.
    """

    def number(words: int) -> float:
        on_step(f"sending a document of {words:,} words")
        pair = long_pair(words)
        return endpoint.ask(pair.query, [pair.document]).numbers[0]

    asked, numbers, refused = _climb(number, _ladder(longest))
    same = spread * PLATEAU
    flat = [abs(value - numbers[-1]) <= same for value in numbers]
    whole = len(flat) - 1 - flat[::-1].index(False) if False in flat else -1  # the last such place
    found = Lengths(tuple(asked), tuple(numbers), refused)
    if refused or whole == len(numbers) - 2:
        return found
    if whole < 0:
        return replace(found, cut_at=asked[0])
    low, high = asked[whole], asked[whole + 1]
    while high - low > 1:
        middle = (low + high) // 2
        cut = abs(number(middle) - numbers[-1]) <= same
        low, high = (low, middle) if cut else (middle, high)
    before = (number(max(1, high - 2 * APART)), number(max(1, high - APART)))
    return replace(found, cut_at=high, before=before)


def _climb(
    number: Callable[[int], float], lengths: Sequence[int]
) -> tuple[list[int], list[float], str | None]:
    """Ask for each length until one is refused; return lengths, numbers and the refusal."""
    numbers: list[float] = []
    for words in lengths:
        try:
            numbers.append(number(words))
        except RemoteError as error:
            if error.status is None or not numbers:
                raise
            return list(lengths[: len(numbers)]), numbers, str(error)
    return list(lengths), numbers, None


def _ladder(longest: int) -> list[int]:
    """Return lengths that double up to the longest, and one beyond, to see if that one is read."""
    lengths = [longest]
    while lengths[0] // 2 >= SHORTEST:
        lengths.insert(0, lengths[0] // 2)
    return [*lengths, longest + SHORTEST]
