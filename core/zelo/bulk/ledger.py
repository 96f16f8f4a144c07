"""What an output folder holds, and which of it counts: the plan, the parts and their marks.

    part-00000.parquet          the rows of block 0 with their scores
    _zelo/plan.jsonl            what the work is, and its blocks, written before any of them
    _zelo/done/00000.json       block 0 is done: written when its part is there, whole
    _rejects.jsonl, _SUCCESS    written at the end: the rows left out, and the sums

Readers of folders pass over names that begin with an underscore. A part without a mark, or of
another length than its mark says, does not count and is written again. A block that two processes
do at a time, because one was thought dead, is written twice with the same rows, the later write in
place of the earlier: so no order of kills and writes loses or doubles a row.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from zelo.bulk.blocks import Block
from zelo.bulk.errors import OutputError, Reject
from zelo.bulk.storage import Folder
from zelo.errors import InputError

__all__ = ["Done", "Ledger", "Names", "Plan"]

FORMAT = 1
PLAN = "_zelo/plan.jsonl"
DONE = "_zelo/done"
REJECTS = "_rejects.jsonl"
SUCCESS = "_SUCCESS"
SHORTEST_NUMBER = 5  # digits
PART = re.compile(r"part-(\d{5,})\.\w+")
READ_AT_ONCE = 1000  # marks


class Names(NamedTuple):
    """What the parts and marks of a plan are called; by name, parts stand in the input's order."""

    blocks: int
    """How many there are, which tells how many digits a name needs."""
    suffix: str
    """Of the parts, by the format."""

    def part(self, number: int) -> str:
        """Return the name of a block's part."""
        return f"part-{self._number(number)}{self.suffix}"

    def mark(self, number: int) -> str:
        """Return the name of a block's mark."""
        return f"{DONE}/{self._number(number)}.json"

    def _number(self, number: int) -> str:
        digits = max(SHORTEST_NUMBER, len(str(self.blocks - 1)))
        return f"{number:0{digits}d}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, whoever does it."""

    work: Mapping[str, Any]
    """All that the results depend on, as JSON holds it: see `zelo.bulk.identity`."""
    suffix: str
    """Of the parts' names."""
    blocks: Sequence[Block]

    @property
    def names(self) -> Names:
        """The names of what is written for it."""
        return Names(len(self.blocks), self.suffix)


@dataclass(frozen=True, slots=True)
class Done:
    """What is known of a block that is done."""

    block: int
    rows: int
    """In the part."""
    pairs: int
    queries: int
    empty: int
    """Documents without any text, which score 0 without being read."""
    truncated: int
    """Documents of which only the beginning was read."""
    bytes: int
    """Length of the part."""
    seconds: float = 0.0
    """That it took, from reading to writing."""
    tries: int = 1
    """How often it was begun since the start that finished it: more if workers died over it."""
    rejects: list[Reject] = field(default_factory=list)


class Ledger:
    """The output folder, as the one who plans and the ones who work see it."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def plan(self) -> Plan | None:
        """Return the plan that the folder holds, or None.

        Raises:
            OutputError: it cannot be read.
            InputError: the folder holds parts that nobody planned.
        """
        content = self.folder.read([PLAN]).get(PLAN)
        if content is not None:
            return _parsed(content, f"{self.folder.url}/{PLAN}")
        if foreign := sorted(
            name for name in self.folder.sizes() if not name.startswith((".", "_"))
        ):
            message = (
                f"{self.folder.url} holds {foreign[0]!r} and no plan of zelo score; name a folder "
                "that is empty or does not exist"
            )
            raise InputError(message)
        return None

    def begin(self, plan: Plan) -> None:
        """Write the plan, before any part."""
        head = {"format": FORMAT, "suffix": plan.suffix, "work": plan.work}
        lines = [json.dumps(head, ensure_ascii=False), *(json.dumps(b) for b in plan.blocks)]
        self.folder.write(PLAN, "".join(f"{line}\n" for line in lines).encode())

    def clear(self) -> None:
        """Remove what was done, and at last its plan, so that a kill in between costs nothing."""
        self.folder.tidy()
        self.folder.remove([SUCCESS, REJECTS])
        self.folder.remove([f"{DONE}/{name}" for name in self.folder.sizes(DONE)])
        self.folder.remove([name for name in self.folder.sizes() if PART.fullmatch(name)])
        self.folder.remove([PLAN])

    def done(self, plan: Plan) -> dict[int, Done]:
        """Return the blocks whose part is there, as long as its mark says.

        Marks of any other part are removed, so that no worker takes its block for done.
        """
        parts = self.folder.sizes()
        there = self.folder.sizes(DONE)
        names = plan.names
        marks = [names.mark(block.number) for block in plan.blocks]
        found = list(self._marks(mark for mark in marks if mark.rpartition("/")[2] in there))
        sound = {one.block: one for one in found if parts.get(names.part(one.block)) == one.bytes}
        self.folder.remove([names.mark(one.block) for one in found if one.block not in sound])
        return sound

    def commit(self, names: Names, part: bytes, done: Done) -> None:
        """Write a block's part, and then its mark.

        Raises:
            OutputError: one of them could not be written, so the block is not done.
        """
        self.folder.write(names.part(done.block), part)
        text = json.dumps(asdict(done), ensure_ascii=False)
        self.folder.write(names.mark(done.block), text.encode())

    def find(self, names: Names, number: int) -> Done | None:
        """Return what is known of a block, if its mark is there."""
        return next(self._marks([names.mark(number)]), None)

    def finish(self, plan: Plan, files: Sequence[str], done: Mapping[int, Done]) -> None:
        """Write the list of rows left out, and the sums. A reader may wait for _SUCCESS."""
        self.folder.tidy()
        lines = [
            json.dumps({"file": files[block.source], "row": number, "reason": reason})
            for block in plan.blocks
            for number, reason in done[block.number].rejects
        ]
        if lines:
            self.folder.write(REJECTS, "".join(f"{line}\n" for line in lines).encode())
        sums = {
            name: sum(getattr(one, name) for one in done.values())
            for name in ("rows", "pairs", "empty", "truncated")
        }
        totals = {"blocks": len(done), **sums, "rejects": len(lines)}
        self.folder.write(SUCCESS, json.dumps(totals).encode())

    def _marks(self, names: Iterable[str]) -> Iterator[Done]:
        wanted = list(names)
        for start in range(0, len(wanted), READ_AT_ONCE):
            contents = self.folder.read(wanted[start : start + READ_AT_ONCE])
            for name, content in contents.items():
                try:
                    values = json.loads(content)
                    values["rejects"] = [Reject(*one) for one in values["rejects"]]
                    yield Done(**values)
                except (ValueError, TypeError, KeyError) as error:
                    message = f"{self.folder.url}/{name} is no mark of zelo score; remove it"
                    raise OutputError(message) from error


def _parsed(content: bytes, name: str) -> Plan:
    try:
        head, *lines = content.decode().splitlines()
        told = json.loads(head)
        if told["format"] != FORMAT:
            raise OutputError(f"{name} was written by another version of zelo; use that one")
        blocks = [Block(*json.loads(line)) for line in lines]
        return Plan(told["work"], told["suffix"], blocks)
    except (ValueError, TypeError, KeyError) as error:
        raise OutputError(f"{name} is no plan of zelo score; name another folder") from error
