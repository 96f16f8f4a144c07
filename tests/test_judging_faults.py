"""Judging where something fails: judges that break, servers that refuse, runs that are killed."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import judging_kit
import pytest
from judging_kit import Lengths, Words, comparing, files_in, judged, preferences

from zelo import RemoteError, ScoringError
from zelo.errors import ModelFailedError
from zelo.llm import Chat
from zelo.training.judges import ChatJudge

TESTS = Path(__file__).parent


def test_a_failure_is_no_vote_and_keeps_what_was_done(tmp_path: Path) -> None:
    """The pair is named by its ids, no file is written, and the next run goes on."""
    files = files_in(tmp_path)
    failing, well = Words(fails_at=12), Words()
    with pytest.raises(ModelFailedError, match="the model failed") as failed:
        judged(files, [failing])
    (note,) = failed.value.__notes__
    assert note.startswith("judge words, document 'bee-")
    assert not files.out.exists()
    assert failing.released == 1
    judged(files, [well])
    assert len(failing.asked) - 1 + len(well.asked) == 30


@pytest.mark.parametrize("value", [math.nan, 1.5, -0.1])
def test_what_is_no_preference_is_refused(tmp_path: Path, value: float) -> None:
    """A judge's fault never reaches the file."""
    with pytest.raises(ScoringError, match="no preference"):
        judged(files_in(tmp_path), [Words(says=lambda pair: value)])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_score_is_refused(tmp_path: Path, value: float) -> None:
    """Nor does a score that is not finite."""

    class Broken(Lengths):
        async def score(self, query: str, documents: Any) -> Any:
            found = await super().score(query, documents)
            return found._replace(values=[*found.values[1:], value])

    with pytest.raises(ScoringError, match="no finite score for each of 6 texts"):
        judged(files_in(tmp_path), [Broken()])


def test_killed_runs_end_as_an_undisturbed_one(tmp_path: Path, openai: Any) -> None:
    """Killed at any moment, at most what was in flight is paid for again, and no line differs."""
    openai.chat = comparing
    openai.pause = 0.01
    generator, kills = random.Random(7), 3  # noqa: S311 - reproducible, not secret
    files = files_in(tmp_path, queries=6, documents=12)
    command = [sys.executable, judging_kit.__file__, str(tmp_path), openai.url]
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    for _ in range(kills):
        before = len(openai.asked)
        child = subprocess.Popen(command, env=environment)
        while child.poll() is None and len(openai.asked) < before + 5:
            time.sleep(0.001)
        time.sleep(generator.uniform(0, 0.02))
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL, "it was to be killed before its end"
    assert not files.out.exists()
    judging_kit.run_to_be_killed(tmp_path, openai.url)
    asked = Counter(json.dumps(body["messages"]) for body in openai.bodies)
    resumed = files.out.read_bytes()
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    other = files_in(undisturbed, queries=6, documents=12)
    judging_kit.run_to_be_killed(undisturbed, openai.url)
    assert resumed == other.out.read_bytes()
    assert len(asked) == 7 * 12
    assert asked.total() - len(asked) <= kills * 3


def test_a_server_that_fails_now_and_then_loses_no_vote(tmp_path: Path, openai: Any) -> None:
    """Refusals for haste, errors and broken answers are asked again; each vote is there once."""
    openai.chat = comparing
    generator = random.Random(5)  # noqa: S311 - reproducible, not secret
    for _ in range(8):
        openai.script.extend([lambda asked: None] * generator.randrange(6))
        openai.fail(generator.choice([429, 500, 503]), **{"retry-after": "0"})
    files = files_in(tmp_path)
    found = judged(files, [ChatJudge(Chat("any", openai.url), concurrency=4)])
    expected = tmp_path / "expected"
    expected.mkdir()
    calm = files_in(expected)
    judged(calm, [Words("chat:any")])
    assert preferences(files) == preferences(calm)
    report = found.judges["chat:any"]
    assert (report.share.votes, report.took.requests, report.took.malformed) == (30, 30, 0)
    assert len(openai.asked) == 30 + 8


def test_a_failing_judge_does_not_fill_the_log(
    tmp_path: Path, openai: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A line for each kind of failure, and their number when the judge is through."""
    openai.chat = comparing
    openai.fail(429, times=3, **{"retry-after": "0"})
    openai.fail(503, times=2, **{"retry-after": "0"})
    judged(files_in(tmp_path), [ChatJudge(Chat("any", openai.url), concurrency=1)])
    told = [one.getMessage() for one in caplog.records if one.name == "zelo"]
    assert [message.partition(": ")[0] for message in told[:2]] == ["tried again in 0.0 s"] * 2
    kinds = "answered 429: 2, answered 503: 1"
    assert told[2:] == [f"{openai.url}/v1: further retries: 3 ({kinds})"]


def test_a_server_that_never_answers_in_time_is_an_error(tmp_path: Path, openai: Any) -> None:
    """No vote stands for it; when the server is back, the rest is asked."""
    openai.chat = comparing
    openai.pause = 5.0
    files = files_in(tmp_path)
    with pytest.raises(ScoringError, match="no answer within"):
        judged(files, [ChatJudge(Chat("any", openai.url, timeout=0.05))])
    openai.pause = 0.0
    found = judged(files, [ChatJudge(Chat("any", openai.url))])
    assert found.judges["chat:any"].share.votes == 30


def test_a_request_that_is_refused_names_the_pair(tmp_path: Path, openai: Any) -> None:
    """And holds no text."""
    openai.fail(400, times=30)
    with pytest.raises(RemoteError, match="answered 400") as failed:
        judged(files_in(tmp_path), [ChatJudge(Chat("any", openai.url), concurrency=1)])
    assert "document 'bee-waggle' of query 'q-dance'" in failed.value.__notes__[0]
    assert "forager" not in failed.value.__notes__[0]
