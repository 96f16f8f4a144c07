"""The lines of a file, or of a part of it, with count of the bytes that they came from."""

from collections.abc import Iterator
from typing import BinaryIO

from zelo.bulk.sources import Source
from zelo.corpora.rows import sound_lines

__all__ = ["Lines", "lines_of"]


class Lines(Iterator[bytes]):
    """Lines of bytes, as the parsers of `zelo.corpora.rows` take them."""

    def __init__(self, file: BinaryIO, name: str, start: int, end: int | None) -> None:
        self.count = 0
        """Lines handed out so far."""
        self.bytes = 0
        """Bytes that they take in the file."""
        self.last = b""
        """The latest of them."""
        file.seek(start)
        self._room = end - start if end is not None else None
        raw = self._raw(file)
        self._lines = sound_lines(raw, name) if start == 0 else raw

    def __next__(self) -> bytes:
        self.last = next(self._lines)
        return self.last

    def _raw(self, file: BinaryIO) -> Iterator[bytes]:
        while self._room is None or self.bytes < self._room:
            line = file.readline()
            if not line:
                return
            self.count += 1
            self.bytes += len(line)
            yield line


def lines_of(file: BinaryIO, source: Source, start: int = 0, end: int | None = None) -> Lines:
    """Return the lines of a source between two bytes at which lines begin."""
    return Lines(file, source.name, start, end)
