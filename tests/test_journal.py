"""A journal keeps whole pieces, whatever happens to the process that writes them."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zelo._common.journal import Journal, key_of
from zelo.errors import InputError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
WRITER = """
import itertools, sys
from zelo._common.journal import Journal
with Journal(sys.argv[1]) as journal:
    print("open", flush=True)
    for number in itertools.count(len(journal)):
        journal.put(f"{number:06}", [number] * 400)
        print(number, flush=True)
"""


def writing(path: Path) -> "subprocess.Popen[str]":
    """Start a process that writes pieces until it is killed."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )


def test_kills_lose_double_and_spoil_nothing(tmp_path: Path) -> None:
    """After each of several kills, exactly the pieces that were reported stand there, whole."""
    path = tmp_path / "work" / "journal.sqlite"
    for pieces in (1, 3, 40, 200):
        child = writing(path)
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        reported = [int(child.stdout.readline()) for _ in range(pieces)]
        os.kill(child.pid, signal.SIGKILL)
        reported += [int(line) for line in child.stdout.read().split("\n")[:-1]]
        child.wait()
        child.stdout.close()
        with Journal(path) as journal:
            found = dict(journal.items())
        assert all(found[f"{number:06}"] == [number] * 400 for number in range(len(found)))
        # one more may have been written whose report did not come through
        assert len(found) - (reported[-1] + 1) in (0, 1)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """A second process is told that the first is at work, and neither spoils the other's work."""
    path = tmp_path / "journal.sqlite"
    child = writing(path)
    assert child.stdout is not None
    child.stdout.readline()
    try:
        with pytest.raises(InputError, match=r"journal.sqlite: another process is at work"):
            Journal(path)
    finally:
        child.kill()
        child.communicate()
    with Journal(path) as journal:
        journal.put("mine", 1)
        assert journal.get("mine") == 1


@given(st.dictionaries(st.text(alphabet="ab\n'é", min_size=1), JSON, max_size=6))
def test_what_is_put_is_there_again(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, object]
) -> None:
    """Any JSON comes back equal, by any key, after closing and opening."""
    path = tmp_path_factory.mktemp("journal") / "journal.sqlite"
    with Journal(path) as journal:
        for key, value in values.items():
            journal.put(key, value)
    with Journal(path) as journal:
        assert dict(journal.items()) == values
        assert len(journal) == len(values)
        assert all(key in journal and journal.get(key) == value for key, value in values.items())
        assert "missing" not in journal
        assert journal.get("missing") is None


def test_a_later_value_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    """A key stands there once."""
    with Journal(tmp_path / "journal.sqlite") as journal:
        journal.put("a", 1)
        journal.put("a", [2])
        assert list(journal.items()) == [("a", [2])]


def test_items_can_be_those_of_a_prefix(tmp_path: Path) -> None:
    """Exactly the keys that begin so, whatever stands in them."""
    keys = ["", "a", "a%", "ab", "a_b", "A", "b", "é", "éa"]
    with Journal(tmp_path / "journal.sqlite") as journal:
        for key in keys:
            journal.put(key, key)
        for prefix in keys:
            found = [key for key, _ in journal.items(prefix)]
            assert found == sorted(key for key in keys if key.startswith(prefix))


def test_numbers_that_json_cannot_say_are_refused(tmp_path: Path) -> None:
    """NaN would come back as something else, or not at all, so it is not written."""
    with Journal(tmp_path / "journal.sqlite") as journal:
        with pytest.raises(ValueError, match="JSON"):
            journal.put("a", float("nan"))
        assert "a" not in journal


def test_files_that_are_no_journal_are_refused(tmp_path: Path) -> None:
    """A text, a torn file and another program's database are left as they are."""
    text, other = tmp_path / "notes.txt", tmp_path / "other.db"
    text.write_bytes(b"these are my notes, and no database at all\n" * 200)
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (a)")
    connection.close()
    before = text.read_bytes(), other.read_bytes()
    with pytest.raises(InputError, match=r"notes.txt cannot be read as a journal"):
        Journal(text)
    with pytest.raises(InputError, match=r"other.db is another program's database"):
        Journal(other)
    assert (text.read_bytes(), other.read_bytes()) == before


def test_keys_are_equal_for_equal_values_only() -> None:
    """The order of a mapping makes no difference; where one value ends and another begins does."""
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert len({key_of("ab", "c"), key_of("a", "bc"), key_of(["ab", "c"]), key_of("abc")}) == 4


def test_keys_are_the_same_in_every_process() -> None:
    """Python's own hashes differ from process to process; a journal outlives them."""
    parts = json.dumps(["zelo", {"é": [1, 2.5, None]}])
    code = "import json; from zelo._common.journal import key_of; "
    code += f"print(key_of(*json.loads({parts!r})))"
    keys = {
        subprocess.check_output(
            [sys.executable, "-c", code], text=True, env=os.environ | {"PYTHONHASHSEED": seed}
        )
        for seed in ("1", "2")
    }
    assert keys == {key_of(*json.loads(parts)) + "\n"}
