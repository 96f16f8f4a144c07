"""Whole training runs: stopped, killed, refused, broken, and divided over processes."""

import json
import math
import os
import signal
import socket
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from learning_kit import examples, settings, squares, student, weights
from safetensors.torch import load_file, save_file

from zelo.errors import InputError, ModelFileError, ScoringError
from zelo.training.learning import Learned, Learning, drop_checkpoint, learn, loop, predict

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

EVERY = {"evaluate_every": 2, "checkpoint_every": 3}


class Stopped(Exception):
    """What stops a run from outside."""


def run(
    model: Path,
    folder: Path,
    learning: Learning,
    *,
    stop_after: int | None = None,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = squares,
    **changed: Any,
) -> tuple[Learned, dict[str, torch.Tensor]]:
    """Train on the usual examples, and return what came of it with the student's weights."""

    def stop(done: int, total: int) -> None:
        if done == stop_after:
            raise Stopped

    one = student(model, learning)
    parts = examples(one, 14)
    arguments = {"examples": parts[:12], "held_out": parts[12:]} | changed
    found = learn(one, **arguments, loss=loss, learning=learning, folder=folder, on_progress=stop)
    return found, weights(one)


def in_a_child(work: Callable[[], None]) -> int:
    """Run something in a fork of this process, and return its exit status."""
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def assert_same(one: tuple[Learned, Any], other: tuple[Learned, Any]) -> None:
    """Compare results and weights, to the last bit; only the time may differ."""
    found, wanted = (
        replace(r, seconds=0, points=tuple(replace(p, seconds=0) for p in r.points))
        for r in (one[0], other[0])
    )
    assert found == wanted
    assert one[1].keys() == other[1].keys()
    assert all(torch.equal(one[1][name], other[1][name]) for name in one[1])


@pytest.mark.parametrize(
    "changed", [{}, {"precision": "bf16"}, {"lora_rank": 2, "precision": "bf16"}]
)
def test_a_stopped_run_ends_as_one_that_was_not(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]
) -> None:
    """Stopped after 5 steps it goes on from the third, whose checkpoint is the last.

    The curve has points at every second step, so the third's loss is in none yet.
    """
    monkeypatch.setattr(loop, "POINTS", 1)
    learning = settings(epochs=2, **EVERY, **changed)
    whole = run(tiny_model, tmp_path / "whole", learning)
    with pytest.raises(Stopped):
        run(tiny_model, tmp_path / "stopped", learning, stop_after=5)
    assert_same(run(tiny_model, tmp_path / "stopped", learning), whole)
    lines = (tmp_path / "stopped" / "curve.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == [point.step for point in whole[0].points]
    assert steps == sorted(set(steps))


def test_charts_are_drawn_at_the_end(tiny_model: Path, tmp_path: Path) -> None:
    """At a checkpoint the curve is written in numbers alone, as drawing takes a while."""
    learning = settings(epochs=2, **EVERY)
    with pytest.raises(Stopped):
        run(tiny_model, tmp_path, learning, stop_after=5)
    assert {path.name for path in tmp_path.glob("curve.*")} == {"curve.jsonl"}
    run(tiny_model, tmp_path, learning)
    assert {path.suffix for path in tmp_path.glob("curve.*")} == {".jsonl", ".png", ".svg"}


def test_a_finished_run_is_not_repeated(tiny_model: Path, tmp_path: Path) -> None:
    """The same call gives the same result from the checkpoint, without a step."""
    learning = settings(**EVERY)
    first = run(tiny_model, tmp_path, learning)
    assert_same(run(tiny_model, tmp_path, learning, loss=never), first)


def never(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """A loss under the name of another, which must not be asked."""
    raise AssertionError


never.__qualname__ = squares.__qualname__


@pytest.mark.parametrize(
    ("write", "when"), [*((number, "before") for number in (1, 3, 4, 5, 6)), (3, "after")]
)
def test_a_killed_run_goes_on(
    tiny_model: Path, tmp_path: Path, undisturbed: Any, write: int, when: str
) -> None:
    """Killed as any of its files is about to take its place, or the first state has done so."""
    learning, whole = undisturbed

    def killed() -> None:
        os_replace, count = os.replace, 0

        def replacing(source: Any, target: Any) -> None:
            nonlocal count
            count += 1
            if count == write and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            os_replace(source, target)
            if count == write:
                os.kill(os.getpid(), signal.SIGKILL)

        os.replace = replacing  # type: ignore[assignment]
        run(tiny_model, tmp_path, learning)

    assert in_a_child(killed) == signal.SIGKILL
    assert_same(run(tiny_model, tmp_path, learning), whole)
    held = {path.name for path in (tmp_path / "checkpoint").iterdir()}
    assert held == {"state.safetensors", f"best-{whole[0].best_step}.safetensors"}


@pytest.fixture(scope="module")
def undisturbed(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The settings of a short run, and what it comes to if nobody disturbs it."""
    learning = settings(**EVERY)
    return learning, run(tiny_model, tmp_path_factory.mktemp("undisturbed"), learning)


def test_the_best_weights_are_kept(tiny_model: Path, tmp_path: Path) -> None:
    """Where the held-out loss rises again, the student ends with the weights of its lowest."""
    learning = settings(epochs=3, evaluate_every=1, learning_rate=3e-3)
    one = student(tiny_model, learning)
    parts = examples(one, 14)
    found = learn(one, parts[:12], squares, learning, tmp_path, held_out=parts[12:])
    looks = {point.step: point.held_out for point in found.points}
    assert found.held_out == min(value for value in looks.values() if value is not None)
    assert looks[found.best_step] == found.held_out
    assert found.best_step < found.steps
    logits = torch.tensor(predict(one, parts[12:], learning)).flatten()
    targets = torch.tensor([example.targets for example in parts[12:]]).flatten()
    assert float(squares(logits, targets).mean()) == pytest.approx(found.held_out)


def test_without_held_out_examples_the_last_step_counts(tiny_model: Path, tmp_path: Path) -> None:
    """There is nothing to choose by."""
    found, _ = run(tiny_model, tmp_path, settings(), held_out=())
    assert found.best_step == found.steps
    assert found.held_out is None
    assert {point.held_out for point in found.points} == {None}


def test_a_checkpoint_of_another_run_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    """The error says what differs: settings by name and value, data, model; all stays as it is."""
    learning = settings(**EVERY)
    run(tiny_model, tmp_path, learning)
    state = (tmp_path / "checkpoint" / "state.safetensors").read_bytes()
    other = settings(**EVERY, epochs=2, seed=3)
    with pytest.raises(InputError, match=r"\(epochs 1.0 then, 2 now; seed 0 then, 3 now\)"):
        run(tiny_model, tmp_path, other)
    with pytest.raises(InputError, match=r"\(other held-out examples\)"):
        run(tiny_model, tmp_path, learning, held_out=())
    one = student(tiny_model, learning)
    with pytest.raises(InputError, match=r"\(other examples\)"):
        run(tiny_model, tmp_path, learning, examples=examples(one, 12, seed=5))
    with torch.no_grad():
        one.backbone.norm.weight += 1
    parts = examples(one, 14)
    with pytest.raises(InputError, match=r"\(another model\)"):
        learn(one, parts[:12], squares, learning, tmp_path, held_out=parts[12:])
    assert (tmp_path / "checkpoint" / "state.safetensors").read_bytes() == state


def test_how_often_to_save_may_change(tiny_model: Path, tmp_path: Path, undisturbed: Any) -> None:
    """It changes nothing in the result, so a stopped run goes on with another interval."""
    learning, whole = undisturbed
    with pytest.raises(Stopped):
        run(tiny_model, tmp_path, learning, stop_after=4)
    assert_same(run(tiny_model, tmp_path, replace(learning, checkpoint_every=1)), whole)


def test_a_damaged_checkpoint_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    """The error names the file and what to do."""
    run(tiny_model, tmp_path, settings())
    path = tmp_path / "checkpoint" / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ModelFileError, match=r"state\.safetensors is no sound checkpoint"):
        run(tiny_model, tmp_path, settings())
    save_file(load_file(next(path.parent.glob("best-*"))), path)
    with pytest.raises(ModelFileError, match=r"state\.safetensors is no sound checkpoint"):
        run(tiny_model, tmp_path, settings())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_broken_loss_names_its_step(tiny_model: Path, tmp_path: Path, bad: float) -> None:
    """The weights of the broken step are not saved: the last checkpoint stays."""
    calls = []

    def breaking(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return squares(logits, targets) * (bad if len(calls) == 5 else 1.0)

    with pytest.raises(ScoringError, match=r"the loss is NaN or infinite in step 5 of"):
        run(tiny_model, tmp_path, settings(checkpoint_every=2), loss=breaking, held_out=())
    state = load_file(tmp_path / "checkpoint" / "state.safetensors")
    assert {float(value) for name, value in state.items() if name.startswith("step.")} == {4.0}
    assert all(value.isfinite().all() for value in state.values())


def test_a_gradient_that_overflows_is_told(tiny_model: Path, tmp_path: Path) -> None:
    """A finite loss can have an infinite gradient, which would make every weight NaN."""

    def steep(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (logits - logits.detach()).abs().sqrt() + targets

    with pytest.raises(ScoringError, match="a gradient is NaN or infinite in step 1 of"):
        run(tiny_model, tmp_path, settings(), loss=steep, held_out=())


def test_nothing_to_learn_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    """So are rounds of unequal length."""
    one = student(tiny_model)
    with pytest.raises(InputError, match="0 examples in 1 rounds"):
        learn(one, [], squares, settings(), tmp_path)
    with pytest.raises(InputError, match="3 examples in 2 rounds"):
        learn(one, examples(one, 3), squares, settings(), tmp_path, rounds=2)


def test_two_processes_learn_what_one_does(tiny_model: Path, tmp_path: Path) -> None:
    """Each computes its share over gloo on loopback; weights, curve and best step are the same."""
    learning = settings(**EVERY)
    whole, wanted = run(tiny_model, tmp_path / "one", learning)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def work(rank: int) -> None:
        from accelerate.state import PartialState

        PartialState._reset_state()
        os.environ |= {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "LOCAL_WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        found, values = run(tiny_model, tmp_path / "two", learning)
        save_file(values, tmp_path / f"{rank}.safetensors")
        points = [[point.step, point.loss, point.held_out] for point in found.points]
        (tmp_path / f"{rank}.json").write_text(json.dumps([found.best_step, points]))
        torch.distributed.destroy_process_group()

    first = os.fork()
    if not first:
        os._exit(in_a_child(lambda: work(0)) != 0)
    assert in_a_child(lambda: work(1)) == 0
    assert os.waitpid(first, 0)[1] == 0
    for rank in range(2):
        values = load_file(tmp_path / f"{rank}.safetensors")
        for name, value in wanted.items():
            torch.testing.assert_close(values[name], value, rtol=1e-3, atol=2e-5, msg=name)
        best, points = json.loads((tmp_path / f"{rank}.json").read_text())
        assert best == whole.best_step
        for found, point in zip(points, whole.points, strict=True):
            expected = [point.step, point.loss, point.held_out]
            assert [value is None for value in found] == [value is None for value in expected]
            assert [value or 0 for value in found] == pytest.approx(
                [value or 0 for value in expected], rel=1e-4
            )


def test_a_checkpoint_is_dropped_state_first(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed half way, what is left is no state without its best weights, and a run begins anew."""
    learning = settings(**EVERY)
    first = run(tiny_model, tmp_path, learning)
    with monkeypatch.context() as killed:
        killed.setattr("shutil.rmtree", lambda *_, **__: None)
        drop_checkpoint(tmp_path)
    assert {path.name for path in (tmp_path / "checkpoint").iterdir()} == {
        f"best-{first[0].best_step}.safetensors"
    }
    assert_same(run(tiny_model, tmp_path, learning), first)
    drop_checkpoint(tmp_path)
    assert not (tmp_path / "checkpoint").exists()
