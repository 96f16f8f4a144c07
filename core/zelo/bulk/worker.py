"""One block from reading to done: what every process of bulk scoring runs, whoever started it.

A job travels to other processes by pickle: settings and addresses, neither rows nor weights.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zelo.bulk.asked import Asked
from zelo.bulk.blocks import Block
from zelo.bulk.calls import Answered, OnPairs, answer
from zelo.bulk.errors import BadRowsError, Reject
from zelo.bulk.formats import form_named
from zelo.bulk.ledger import Done, Ledger, Names
from zelo.bulk.rows import Texts, rows_of
from zelo.bulk.sources import Source
from zelo.bulk.storage import explained, folder_at
from zelo.errors import InputError, ScoringError
from zelo.reranker import Reranker

__all__ = ["Job", "Worker"]


@dataclass(frozen=True, slots=True)
class Job:
    """All that a worker has to know."""

    asked: Asked
    names: Names
    instruction: str | None
    skip_bad: bool


class Worker:
    """Does blocks, one at a time. Loads the model at its first use."""

    def __init__(self, job: Job, on_pairs: OnPairs | None = None) -> None:
        self._job = job
        self._on_pairs = on_pairs or (lambda count: None)
        asked = job.asked
        self._form = form_named(asked.kind)  # not that of the planner: it remembers a place
        self._ledger = Ledger(folder_at(asked.output))
        self._texts = Texts.of_folder(Path(asked.collection)) if asked.collection else None
        self._reranker = Reranker(asked.model, **asked.options)

    def close(self) -> None:
        """Give the model back."""
        self._form.close()
        self._reranker.close()

    def found(self, block: Block) -> Done | None:
        """Return what is known of a block that an earlier try has finished."""
        return self._ledger.find(self._job.names, block.number)

    def do(self, block: Block, tries: int = 1) -> Done:
        """Read a block, score it, write its part and mark it as done, with how often it was begun.

        Raises:
            BadRowsError: rows cannot be scored, and are not to be left out. Nothing is written.
            ScoringError: the model gave no score. Nothing is written.
            InputError, ModelError, OutputError: files or model could not be read, or not written.
        """
        begun = time.monotonic()
        job, asked = self._job, self._job.asked
        source = asked.sources[block.source]
        with explained(source.name, "read", InputError):
            raw = self._form.read(source, block, asked.layout)
        rows = rows_of(raw.records, asked.layout, self._texts)
        self._refuse([*raw.rejects, *rows.rejects], source)
        try:
            answered = answer(self._reranker, rows.sound, job.instruction, self._on_pairs)
        except ScoringError as error:
            error.add_note(f"  of {source.name}")
            raise
        late = [one.reject for one in answered if one.reject is not None]
        self._refuse(late, source)
        kept = [one for one in answered if one.reject is None]
        part = self._form.write(raw, [(one.row.record, one.answers) for one in kept], asked.layout)
        rejects = sorted([*raw.rejects, *rows.rejects, *late])
        done = _done(block, kept, rejects, len(part))
        done = replace(done, tries=tries, seconds=time.monotonic() - begun)
        self._ledger.commit(job.names, part, done)
        return done

    def _refuse(self, rejects: Sequence[Reject], source: Source) -> None:
        if rejects and not self._job.skip_bad:
            raise BadRowsError(source.name, sorted(rejects))


def _done(block: Block, kept: Sequence[Answered], rejects: list[Reject], size: int) -> Done:
    answers = [one for answered in kept for one in answered.answers]
    return Done(
        block=block.number,
        rows=len(kept),
        pairs=len(answers),
        queries=len({answered.row.query for answered in kept}),
        empty=sum(one.logit is None for one in answers),
        truncated=sum(one.truncated for one in answers),
        bytes=size,
        rejects=rejects,
    )
