"""The training loop: examples and a loss in, a trained student and its curve out.

Every step is a function of the seed and its number, so a run that was stopped goes on as if it had
not been. Knows nothing of queries, judges or what a target means.
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from zelo.errors import InputError, ScoringError
from zelo.training.learning.chart import write_chart, write_curve
from zelo.training.learning.checkpoints import Checkpoints, Progress
from zelo.training.learning.curve import Learned, Point
from zelo.training.learning.examples import Example, tokens_of
from zelo.training.learning.identity import identity
from zelo.training.learning.processes import Processes
from zelo.training.learning.settings import Learning
from zelo.training.learning.steps import batches, plan, share
from zelo.training.learning.student import Student
from zelo.training.learning.weights import Weights

__all__ = ["Loss", "learn", "predict"]

Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits (N,), targets (N,)) -> the loss of each prompt (N,), all float32."""

CPU_TOKENS, ACCELERATOR_TOKENS = 4_096, 16_384
POINTS = 100
"""About as many points has a curve."""
LOOKS, SAVES = 5, 10
"""As often are held-out examples looked at, and checkpoints written, if nothing else is said."""


def learn(
    student: Student,
    examples: Sequence[Example],
    loss: Loss,
    learning: Learning,
    folder: Path,
    *,
    held_out: Sequence[Example] = (),
    rounds: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Learned:
    """Train a student in place, and leave it with its best weights.

    The gradient of a step is the mean over all its prompts, however they are laid out in packs
    and over processes. With the same student, data and settings a run that was stopped, or killed,
    goes on from its last checkpoint in `folder/checkpoint`, and ends with the same weights as one
    that was not. `folder` gets curve.jsonl and the learning curve as curve.png and curve.svg.

    Args:
        student: as it was loaded.
        examples: to learn from; an `Examples` holds many in little memory.
        loss: of each prompt.
        learning: how. The student was loaded with the same.
        folder: for the checkpoint and the curve; made if there is none.
        held_out: never learned from; they choose the best step.
        rounds: `examples` are so many blocks of equal length, one after the other, and each epoch
            reads the next one: so an epoch can have another choice of documents than the last.
        on_progress: told of steps done and steps in all.

    Raises:
        InputError: there is no example, or `folder` holds the checkpoint of another run.
        ScoringError: the loss became NaN or infinite; names the step, the checkpoint stays.
        ModelFileError: the checkpoint is damaged.
    """
    if not examples or len(examples) % rounds:
        message = f"{len(examples)} examples in {rounds} rounds; there must be some in each"
        raise InputError(message)
    run = _Run(student, examples, loss, learning, folder, held_out, rounds)
    try:
        return run.go(on_progress or (lambda done, total: None))
    finally:
        run.weights.release()


@torch.no_grad()
def predict(student: Student, examples: Sequence[Example], learning: Learning) -> list[list[float]]:
    """Return the raw logits of each example's prompts; computed by all processes together."""
    processes = Processes(student.device)
    own = range(processes.rank, len(examples), processes.count)
    mine = [examples[place] for place in own]
    logits: list[float] = []
    for batch in batches(mine, _tokens_per_pack(student, learning), student.device):
        logits += student(batch.pack).tolist()
    found: list[tuple[int, list[float]]] = []
    start = 0
    for place, example in zip(own, mine, strict=True):
        end = start + len(example.targets)
        found.append((place, logits[start:end]))
        start = end
    return [values for _, values in sorted(processes.gather(found))]


class _Run:
    """One training run, from its first step or from where it was stopped."""

    def __init__(
        self,
        student: Student,
        examples: Sequence[Example],
        loss: Loss,
        learning: Learning,
        folder: Path,
        held_out: Sequence[Example],
        rounds: int,
    ) -> None:
        self.student, self.examples, self.loss = student, examples, loss
        self.learning, self.folder, self.held_out = learning, folder, held_out
        self.processes = Processes(student.device)
        self.block = len(examples) // rounds
        sizes = [tokens_of(example) for example in examples]
        self.steps = plan(
            sizes,
            epochs=learning.epochs,
            rounds=rounds,
            tokens_per_step=learning.tokens_per_step,
            seed=learning.seed,
        )
        told = identity(student, examples, held_out, loss, learning, rounds)
        self.checkpoints = Checkpoints(folder, told)
        self.weights = Weights(student, learning)
        self.progress = Progress()
        self.began = time.monotonic()

    def go(self, on_progress: Callable[[int, int], None]) -> Learned:
        """Make all steps that are left."""
        self._resume()
        total = len(self.steps)
        look = self.learning.evaluate_every or max(1, total // LOOKS)
        save = self.learning.checkpoint_every or max(1, total // SAVES)
        point = max(1, total // POINTS)
        on_progress(self.progress.step, total)
        while self.progress.step < total:
            self._step()
            done = self.progress.step
            last = done == total
            if last or done % look == 0:
                self._point(self._look())
            elif done % point == 0:
                self._point(None)
            if last or done % save == 0:
                self._save()
            on_progress(done, total)
        return self._end()

    def _resume(self) -> None:
        if self.processes.main:
            self.checkpoints.clean()
        found = self.checkpoints.read()
        if found is None:
            if self.held_out:
                self._point(self._look())
            return
        self.progress, state = found
        self.weights.load(state)
        self.began = time.monotonic() - self.progress.seconds

    def _step(self) -> None:
        """Learn from one step's examples."""
        step = self.progress.step
        chosen = [self.examples[place] for place in self.steps[step]]
        prompts = sum(len(example.targets) for example in chosen)
        mine = share(chosen, self.processes.rank, self.processes.count)
        total = torch.zeros((), dtype=torch.float64)
        most = _tokens_per_pack(self.student, self.learning)
        for batch in batches(mine, most, self.student.device):
            losses = self.loss(self.student(batch.pack), batch.targets)
            (losses.sum() / prompts).backward()  # type: ignore[no-untyped-call]
            total = total + losses.detach().double().sum().cpu()
        summed = float(self.processes.add_up(total.to(self.student.device)))
        if not math.isfinite(summed):
            raise self._broken("the loss")
        add_up = self.processes.add_up if self.processes.count > 1 else None
        if not self.weights.update(self.learning.rate(step, len(self.steps)), add_up):
            raise self._broken("a gradient")
        self.progress.step += 1
        self.progress.tokens += sum(map(tokens_of, chosen))
        self.progress.loss_sum += summed
        self.progress.prompts += prompts

    def _broken(self, what: str) -> ScoringError:
        message = (
            f"{what} is NaN or infinite in step {self.progress.step + 1} of {len(self.steps)}. "
            "The last checkpoint stays as it is; a lower learning_rate, a longer warmup or "
            "precision='float32' may help, in another folder"
        )
        return ScoringError(message)

    def _look(self) -> float | None:
        """Measure the held-out loss, and keep the weights if they are the best so far."""
        if not self.held_out:
            self.progress.best_step = self.progress.step
            return None
        logits = predict(self.student, self.held_out, self.learning)
        targets = [example.targets for example in self.held_out]
        flat = torch.tensor([x for one in logits for x in one])
        wanted = torch.tensor([x for one in targets for x in one])
        value = float(self.loss(flat, wanted).double().mean())
        if not math.isfinite(value):
            raise self._broken("the held-out loss")
        if self.progress.best is None or value < self.progress.best:
            self.progress.best, self.progress.best_step = value, self.progress.step
            if self.processes.main:
                weights = {n: t for n, t in self.weights.state().items() if n.startswith("weight.")}
                self.checkpoints.write_best(self.progress.step, weights)
        return value

    def _point(self, held_out: float | None) -> None:
        done, total = self.progress.step, len(self.steps)
        loss = self.progress.loss_sum / self.progress.prompts if self.progress.prompts else None
        self.progress.seconds = time.monotonic() - self.began
        self.progress.points.append(
            Point(
                step=done,
                epoch=sum(map(len, self.steps[:done])) / self.block,
                loss=loss,
                held_out=held_out,
                learning_rate=self.learning.rate(max(0, done - 1), total),
                tokens=self.progress.tokens,
                seconds=self.progress.seconds,
            )
        )
        self.progress.loss_sum, self.progress.prompts = 0.0, 0

    def _save(self) -> None:
        self.progress.seconds = time.monotonic() - self.began
        if self.processes.main:
            self.checkpoints.write(self.progress, self.weights.state())
            write_curve(self.folder, self.progress.points)
        self.processes.wait()

    def _end(self) -> Learned:
        done = self.progress
        if self.processes.main:
            write_chart(self.folder, done.points)
        if self.held_out and done.best_step != done.step:
            self.weights.load(self.checkpoints.read_best(done.best_step))
        return Learned(
            points=tuple(done.points),
            steps=done.step,
            tokens=done.tokens,
            seconds=done.seconds,
            best_step=done.best_step,
            held_out=done.best,
        )


def _tokens_per_pack(student: Student, learning: Learning) -> int:
    default = CPU_TOKENS if student.device.type == "cpu" else ACCELERATOR_TOKENS
    return learning.tokens_per_pack or default
