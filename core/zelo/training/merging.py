"""Further judged pairs put into the lines of a file of preferences, one line for each query.

Knows nothing of why they were judged later.
"""

from collections.abc import Iterable, Iterator

from zelo.corpora.fields import shown
from zelo.errors import InputError
from zelo.training.records import Preferences

__all__ = ["merged"]


def merged(
    preferences: Iterable[Preferences], more: Iterable[Preferences]
) -> Iterator[Preferences]:
    """Yield every line of `preferences`, its query's further pairs behind its own.

    What stands there already, in the same order and with the same votes, is not put there again, so
    that merging twice is merging once. A pair that was shown the other way round is another
    question, and stays. `more` is kept in memory, `preferences` is not.

    Raises:
        InputError: the judges of a query's lines differ, so that its preferences would be means of
            different ensembles; a pair stands there with other votes; a query has no line to put
            its pairs into, or two; or pairs are across queries.
    """
    waiting: dict[str, list[Preferences]] = {}
    for record in more:
        _check_within(record)
        waiting.setdefault(record.query, []).append(record)
    seen: set[str] = set()
    for record in preferences:
        _check_within(record)
        if record.query in seen:
            message = f"query {shown(record.query)} has two lines of preferences; make them one"
            raise InputError(message)
        seen.add(record.query)
        for further in waiting.pop(record.query, []):
            record = _joined(record, further)
        yield record
    if waiting:
        named = shown(next(iter(waiting)))
        message = (
            f"{len(waiting)} queries, such as {named}, have further pairs but no line of "
            "preferences to put them into; are both files of the same run?"
        )
        raise InputError(message)


def _check_within(record: Preferences) -> None:
    if record.against is not None:
        message = (
            f"query {shown(record.query)} has pairs across queries; they are for the calibration, "
            "and cannot be merged with pairs within one"
        )
        raise InputError(message)


def _joined(record: Preferences, further: Preferences) -> Preferences:
    query = f"query {shown(record.query)}"
    if record.votes.keys() != further.votes.keys():
        judges = " and by ".join(", ".join(map(shown, one.votes)) for one in (record, further))
        message = (
            f"{query} was judged by {judges}; means of different judges cannot be compared. Judge "
            "the further pairs by the same ones"
        )
        raise InputError(message)
    known = {pair: _said(record, place) for place, pair in enumerate(record.pairs)}
    new = []
    for place, pair in enumerate(further.pairs):
        said = _said(further, place)
        if known.setdefault(pair, said) != said:
            message = (
                f"{query}: documents {shown(pair[0])} and {shown(pair[1])} were judged twice, with "
                "different votes; keep one of the two"
            )
            raise InputError(message)
        if pair not in record.pairs:
            new.append(place)
    return record.model_copy(
        update={
            "pairs": record.pairs + [further.pairs[place] for place in new],
            "preferences": record.preferences + [further.preferences[place] for place in new],
            "votes": {
                name: votes + [further.votes[name][place] for place in new]
                for name, votes in record.votes.items()
            },
        }
    )


def _said(record: Preferences, place: int) -> tuple[float | None, dict[str, float | None]]:
    return record.preferences[place], {name: votes[place] for name, votes in record.votes.items()}
