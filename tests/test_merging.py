"""Merging: further judged pairs join the others of their query, once, and of the same judges."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zelo import InputError
from zelo.training.merging import merged
from zelo.training.records import Preferences

JUDGES = ("a", "b")
EVERY = list(permutations("wxyz", 2))


def line(query: str, pairs: list[tuple[str, str]], *, shift: float = 0.0) -> Preferences:
    """A line whose votes are told by its pairs."""
    votes = [(ord(one) - ord(other)) % 5 / 5 + shift for one, other in pairs]
    return Preferences(
        query=query,
        pairs=pairs,
        preferences=votes,
        votes={judge: list(votes) for judge in JUDGES},
    )


def files(longest: int = 6) -> st.SearchStrategy[list[Preferences]]:
    """Up to four lines, each of another query."""
    pairs = st.lists(st.sampled_from(EVERY), unique=True, max_size=longest)
    return st.dictionaries(st.sampled_from("pqrs"), pairs).map(
        lambda found: [line(query, of) for query, of in found.items()]
    )


@st.composite
def both(draw: st.DrawFn) -> tuple[list[Preferences], list[Preferences]]:
    """Preferences, and further ones of some of their queries, of which several may be one line."""
    first = draw(files())
    queries = [record.query for record in first]
    if not queries:
        return first, []
    more = st.builds(line, st.sampled_from(queries), st.lists(st.sampled_from(EVERY), unique=True))
    return first, draw(st.lists(more, max_size=4))


@given(both())
def test_every_pair_stands_there_once(found: tuple[list[Preferences], list[Preferences]]) -> None:
    """First a query's own, as they were, then the new ones in their order, with their votes."""
    first, more = found
    before = [record.model_copy(deep=True) for record in first]
    result = list(merged(first, more))
    assert first == before
    assert [record.query for record in result] == [record.query for record in first]
    for own, joined in zip(first, result, strict=True):
        further = [pair for record in more if record.query == own.query for pair in record.pairs]
        assert joined == line(own.query, list(dict.fromkeys([*own.pairs, *further])))


@given(both())
def test_merging_twice_is_merging_once(found: tuple[list[Preferences], list[Preferences]]) -> None:
    """So a run that was killed and goes on doubles nothing."""
    first, more = found
    once = list(merged(first, more))
    assert list(merged(once, more)) == once


@given(files())
def test_nothing_further_changes_nothing(found: list[Preferences]) -> None:
    """The lines come out as they went in."""
    assert list(merged(found, [])) == found


def test_the_other_order_is_another_question() -> None:
    """A judge may prefer a place, so both votes stay."""
    (joined,) = merged([line("q", [("w", "x")])], [line("q", [("x", "w")])])
    assert joined.pairs == [("w", "x"), ("x", "w")]


def test_missing_votes_are_kept() -> None:
    """None is no vote, in what was there and in what comes."""
    silent = Preferences(query="q", pairs=[("w", "x")], preferences=[None], votes={"a": [None]})
    other = silent.model_copy(update={"pairs": [("w", "y")]})
    (joined,) = merged([silent], [other])
    assert (joined.preferences, joined.votes) == ([None, None], {"a": [None, None]})


def test_other_judges_are_refused() -> None:
    """Their mean would be another ensemble's."""
    other = line("q", [("w", "y")]).model_copy(update={"votes": {"a": [0.5]}})
    with pytest.raises(InputError, match="query 'q' was judged by 'a', 'b' and by 'a'"):
        list(merged([line("q", [("w", "x")])], [other]))


def test_contradictions_are_refused() -> None:
    """A pair in the same order with other votes is no second vote."""
    own, other = line("q", [("w", "x")]), line("q", [("w", "x")], shift=0.1)
    with pytest.raises(InputError, match="query 'q': documents 'w' and 'x' were judged twice"):
        list(merged([own], [other]))
    with pytest.raises(InputError, match="judged twice"):
        list(merged([line("q", [])], [own, other]))


def test_pairs_without_a_line_are_refused() -> None:
    """Else they would be lost."""
    with pytest.raises(InputError, match="1 queries, such as 'other', have further pairs"):
        list(merged([line("q", [])], [line("other", [("w", "x")])]))


def test_lines_must_be_one_for_each_query_and_within() -> None:
    """Two lines of one query, or pairs across queries, are named."""
    own = line("q", [("w", "x")])
    with pytest.raises(InputError, match="query 'q' has two lines"):
        list(merged([own, own], []))
    across = own.model_copy(update={"against": "other"})
    for lines in (([across], []), ([own], [across])):
        with pytest.raises(InputError, match="query 'q' has pairs across queries"):
            list(merged(*lines))
