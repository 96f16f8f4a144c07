"""Bars of long work, as a terminal shows them when the block has ended."""

import io
import re
from collections.abc import Callable

import pytest

from zelo.cli import progress
from zelo.cli.render import Screen

ENDED = Callable[[], dict[str, str]]


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> ENDED:
    """Return what gives every bar's last line, by the piece's name."""
    file = io.StringIO()
    terminal = Screen(file=file, force_terminal=True, color_system=None, width=90, markup=False)
    monkeypatch.setattr(progress, "errors_to", lambda: terminal)

    def last() -> dict[str, str]:
        lines = re.split(r"[\r\n]|\x1b\[[0-9;?]*[a-zA-Z]", file.getvalue())
        named = (re.search(r"(\S+) (piece-\w+)", line) for line in lines)
        return {found[2]: found.string for found in named if found}

    return last


def done(line: str) -> bool:
    """Whether a bar has the mark of what is finished."""
    return line.lstrip()[0] in "✓*"


def test_a_piece_is_done_when_it_says_so(bars: ENDED) -> None:
    """Of two side by side the one that came to nothing has no mark, though another began."""
    with pytest.raises(RuntimeError), progress.stages() as begin:  # noqa: PT012 - a whole run
        good, dead = begin("piece-good"), begin("piece-dead")
        dead(0, 5)
        good(0, 5)
        begin("piece-next")(0, 2)
        good(5, 5)
        raise RuntimeError
    found = bars()
    assert {name: done(line) for name, line in found.items()} == {
        "piece-good": True,
        "piece-dead": False,
        "piece-next": False,
    }
    assert "0/5" in found["piece-dead"]


def test_the_last_piece_is_closed_with_the_block(bars: ENDED) -> None:
    """As are those before it that had nothing to count."""
    with progress.stages() as begin:
        begin("piece-reading")
        begin("piece-counted")(3, 3)
        begin("piece-tables")
    found = bars()
    assert all(map(done, found.values()))
    assert [*found] == ["piece-reading", "piece-counted", "piece-tables"]
    assert not any("?" in line for line in found.values())


def test_an_error_leaves_its_piece_open(bars: ENDED) -> None:
    """What broke off has no mark; what came before it has."""
    with pytest.raises(RuntimeError), progress.stages() as begin:  # noqa: PT012 - a whole run
        begin("piece-reading")
        begin("piece-broken")
        raise RuntimeError
    assert {name: done(line) for name, line in bars().items()} == {
        "piece-reading": True,
        "piece-broken": False,
    }
