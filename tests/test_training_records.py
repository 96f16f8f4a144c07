"""Files between stages: a wrong one is answered with what was expected."""

from pathlib import Path

import pytest

from zelo import InputError
from zelo.training.records import (
    Candidates,
    Pairs,
    Preferences,
    Ratings,
    Targets,
    read_records,
)

Kind = type[Candidates] | type[Pairs] | type[Ratings] | type[Targets]


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        (Candidates, "candidates"),
        (Pairs, "pairs"),
        (Preferences, "judge"),
        (Ratings, "fit"),
        (Targets, "calibrate"),
    ],
)
def test_another_stages_file_is_answered_with_the_command(
    tmp_path: Path, kind: Kind, command: str
) -> None:
    """Which writes what was expected, with the line and what it lacks."""
    path = tmp_path / "wrong.jsonl"
    path.write_text('\n{"query": "q"}\n')
    with pytest.raises(InputError) as caught:
        list(read_records(path, kind))
    assert str(caught.value).startswith(f"{path}, line 2: no {kind.__name__.lower()}, at ")
    assert str(caught.value).endswith(f"Give a file that zelo train {command} wrote")


def test_reasons_are_in_our_words(tmp_path: Path) -> None:
    """Of what is missing, and of what does not fit together."""
    path = tmp_path / "wrong.jsonl"
    for line, reason in (
        ('{"query": "q"}', "at pairs: it is missing. "),
        (
            '{"query": "q", "pairs": [], "preferences": [1]}',
            "the line: preferences: 1 values for 0",
        ),
    ):
        path.write_text(line)
        with pytest.raises(InputError) as caught:
            list(read_records(path, Preferences))
        assert reason in str(caught.value)
        assert "Value error" not in str(caught.value)
