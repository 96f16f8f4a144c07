"""Finished pieces of long work, kept on disk: a run that was killed goes on where it stopped.

A journal is an SQLite file. A piece is written whole or not at all, each key stands there once,
and a second process is kept out while one is at work. Evaluation writes one, and whatever else
takes hours and is made of pieces. Knows nothing of what the pieces are.
"""

import contextlib
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Self

from zelo._common.atomic_write import writing
from zelo._common.checks import file_path
from zelo.errors import InputError, OutputError

__all__ = ["Journal", "key_of"]

FORMAT = 1
UNWRITABLE = (
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY),
    *(sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM),
)
TABLE = "CREATE TABLE IF NOT EXISTS pieces (key TEXT PRIMARY KEY, value TEXT NOT NULL)"
ITEMS = "SELECT key, value FROM pieces WHERE key >= ? AND substr(key, 1, ?) = ? ORDER BY key"
PUT = "INSERT INTO pieces VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


class Journal:
    """Values, as JSON, by key. Safe against a kill at any moment; one process at a time.

    Use it from one thread. A value is on its way to the disk when `put` returns: a killed process
    loses none, a machine that loses power perhaps the last few, which are then computed again.

    Raises:
        InputError: another process is at work in the file, or it is no journal.
        OutputError: it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = file_path("path", path)
        with self._told():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, isolation_level=None, timeout=1.0)
        try:
            self._open()
        except BaseException:
            self._connection.close()
            raise

    def get(self, key: str) -> Any:
        """Return the value of a key, or None."""
        row = self._execute("SELECT value FROM pieces WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, key: str, value: Any) -> None:
        """Keep a value, in place of an earlier one of that key.

        Raises:
            ValueError: it holds NaN or infinity, which JSON cannot say.
            OutputError: it cannot be written; what was put before is kept.
        """
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        self._execute(PUT, (key, text))

    def items(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """Yield every key that begins so, with its value, in the order of the keys."""
        for key, text in self._execute(ITEMS, (prefix, len(prefix), prefix)):
            yield key, json.loads(text)

    def __contains__(self, key: str) -> bool:
        found = self._execute("SELECT 1 FROM pieces WHERE key = ?", (key,))
        return found.fetchone() is not None

    def __len__(self) -> int:
        (count,) = self._execute("SELECT count(*) FROM pieces").fetchone()
        return int(count)

    def close(self) -> None:
        """Let other processes in; calling it twice is harmless."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        # The lock is the operating system's: it goes when the process does, however it goes.
        self._execute("PRAGMA locking_mode = EXCLUSIVE")
        (version,) = self._execute("PRAGMA user_version").fetchone()
        (tables,) = self._execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version not in (0, FORMAT) or (version == 0 and tables):
            message = f"{self.path} is another program's database; name another file or folder"
            raise InputError(message)
        self._execute("PRAGMA journal_mode = WAL")
        self._execute("PRAGMA synchronous = NORMAL")
        self._execute(TABLE)
        self._execute(f"PRAGMA user_version = {FORMAT}")

    def _execute(self, statement: str, values: Sequence[str | int] = ()) -> sqlite3.Cursor:
        with self._told():
            return self._connection.execute(statement, values)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what SQLite and the system say into an error that names the file."""
        try:
            with writing(self.path):
                yield
        except sqlite3.ProgrammingError:  # a closed journal, say: no fault of the file's
            raise
        except sqlite3.DatabaseError as error:
            if "locked" in str(error):
                message = f"{self.path}: another process is at work in it; wait for it, or end it"
                raise InputError(message) from error
            if error.sqlite_errorcode & 0xFF in UNWRITABLE:  # the low byte: the rest says more
                message = (
                    f"{self.path} cannot be written: {error}; make room or name another place for "
                    "it. What it holds is kept"
                )
                raise OutputError(message) from error
            message = f"{self.path} cannot be read as a journal ({error}); move it away to start"
            raise InputError(f"{message} anew") from error


def key_of(*parts: Any) -> str:
    """Return a digest of values that JSON can say: equal for equal values, in any process."""
    text = json.dumps(parts, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()
