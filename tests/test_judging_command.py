"""`zelo train judge` as a shell user meets it: tables, JSON, going on, refusals."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from judging_kit import Files, comparing, files_in, preferences
from typer.testing import CliRunner

from zelo import ZeloError
from zelo._common.journal import Journal
from zelo.cli.train_judge import judge as command
from zelo.errors import BudgetError

Judge = Callable[..., Any]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Pairs and candidates in the working folder."""
    monkeypatch.chdir(tmp_path)
    return files_in(Path())


@pytest.fixture
def run(files: Files) -> Judge:
    """Run the command on them."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)

    def run(*arguments: object) -> Any:
        words = ["pairs.jsonl", "--candidates", "candidates.jsonl", "--out", "out.jsonl"]
        environment = {"COLUMNS": "100", "TERM": "dumb"}
        return CliRunner().invoke(app, [*words, *map(str, arguments)], env=environment)

    return run


def test_an_ensemble_without_an_account(run: Judge, files: Files) -> None:
    """A noisy oracle, BM25 and the packaged reranker vote on every pair, and a table tells how."""
    result = run("-j", "oracle", "-j", "bm25", "-j", "zelo-nano", "--noise", 0.1)
    assert result.exit_code == 0, result.stderr
    assert "preferences of 30 pairs in out.jsonl" in result.stderr
    for word in ("judge", "kappa", "ensemble", "zelo-nano", "missing", "malformed"):
        assert word in result.stdout
    for line in preferences(files):
        assert list(line.votes) == ["oracle", "bm25", "zelo-nano"]
        assert all(vote is not None for votes in line.votes.values() for vote in votes)
    assert Path("out.jsonl.journal.sqlite").exists()


@pytest.mark.parametrize(("option", "right", "ties"), [("--noise", 0.0, None), ("--ties", 0.5, 30)])
def test_an_oracle_errs_as_often_as_it_is_to(
    run: Judge, option: str, right: float, ties: int | None
) -> None:
    """Always, with a probability of 1."""
    result = run("-j", "oracle", option, 1, "--json")
    (oracle,) = json.loads(result.stdout)["judges"]
    assert oracle["right"] == right
    assert oracle["ties"] == (30 - oracle["judged"] if ties is None else ties)


def test_a_chat_model_on_a_server(run: Judge, files: Files, openai: Any) -> None:
    """Its tokens, its price and its malformed answers are told, for programs too."""
    answers = iter(["I like both.", "Score: 3"])
    openai.chat = lambda asked: next(answers, None) or comparing(asked)
    spec = f"mini=chat:any@{openai.url}"
    result = run("-j", spec, "--concurrency", 1, "--price", "mini=1+2/Mtok", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    (mini,) = found["judges"]
    assert (mini["judge"], mini["votes"], mini["missing"], mini["malformed"]) == ("mini", 29, 1, 2)
    assert mini["usd"] == pytest.approx((mini["input_tokens"] + 2 * mini["output_tokens"]) / 1e6)
    assert mini["requests"] == len(openai.asked) == 31
    assert found["ensemble"]["missing"] == 1
    assert preferences(files)[0].preferences[0] is None


def test_a_judge_on_another_server_has_a_key_of_its_own(
    run: Judge, openai: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named by a variable; it is sent, and stands in nothing that is shown or kept."""
    monkeypatch.setenv("MINI_KEY", "sk-of-the-mini-judge")
    openai.chat, openai.key = comparing, "sk-of-the-mini-judge"
    result = run("-j", f"mini=chat:any@{openai.url}", "--key", "mini=MINI_KEY", "--json")
    assert result.exit_code == 0, result.stderr
    assert len(openai.asked) == 30
    kept = b"".join(path.read_bytes() for path in Path().glob("out.jsonl*"))
    assert b"sk-of" not in kept + result.output.encode()


def test_openai_without_a_key_is_refused_before_anything_is_asked(
    run: Judge, openai: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where another judge could be asked."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    result = run("-j", f"chat:any@{openai.url}", "-j", "chat:gpt-4.1-mini")
    assert result.exit_code == 2
    assert "set OPENAI_API_KEY" in " ".join(result.stderr.replace("│", " ").split())
    assert not openai.asked


def test_a_spent_budget_is_told_and_a_higher_one_goes_on(run: Judge, openai: Any) -> None:
    """The message says what was spent; the second run pays for the rest alone."""
    openai.chat = comparing
    words = ["-j", f"chat:any@{openai.url}", "--concurrency", "1"]
    stopped = run(*words, "--budget-tokens", 3_000)
    assert isinstance(stopped.exception, BudgetError)
    assert isinstance(stopped.exception, ZeloError)
    assert "of 3,000 tokens" in str(stopped.exception)
    assert 0 < len(openai.asked) < 30
    assert not Path("out.jsonl").exists()
    assert run(*words, "--budget-tokens", 3_000_000).exit_code == 0
    assert len(openai.asked) == 30


def test_another_scale_asks_nothing_anew(run: Judge, files: Files) -> None:
    """The kept scores are compared anew: a tenth of the scale is surer of every pair."""
    found = []
    for scale in (1, 0.1):
        result = run("-j", "bm25", "--scale", f"bm25={scale}", "--json")
        assert result.exit_code == 0, result.stderr
        found.append((json.loads(result.stdout)["judges"][0]["seconds"], preferences(files)))
    (before, wide), (after, narrow) = found
    assert before == after
    for one, other in zip(wide, narrow, strict=True):
        for soft, sure in zip(one.preferences, other.preferences, strict=True):
            assert abs(sure - 0.5) >= abs(soft - 0.5)
    assert wide != narrow


def test_another_journal_may_be_named(run: Judge) -> None:
    """It is where votes are found again."""
    assert run("-j", "oracle", "--journal", "votes.sqlite").exit_code == 0
    assert not Path("out.jsonl.journal.sqlite").exists()
    with Journal("votes.sqlite") as journal:
        assert len(journal) == 30


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-j", "chat:"], "is no judge"),
        (["-j", "oracle", "-j", "oracle"], "two judges are named"),
        (["-j", "oracle", "--noise", "2"], "--noise"),
        (["-j", "oracle", "--price", "oracle"], "write NAME=PRICE"),
        (["-j", "oracle", "--price", "oracle=much"], "is not a price"),
        (["-j", "bm25", "--scale", "2"], "write NAME=SCALE"),
        (["-j", "bm25", "--scale", "bm25=2", "--scale", "bm25=3"], "two of them are of one name"),
        (["-j", "chat:any@http://127.0.0.1:1", "--key", "sk-secret"], "--key: write NAME=VARIABLE"),
        (["-j", "bm25", "--key", "bm25=KEY"], "no judge that is on a server"),
        (["-j", "bm25", "--scale", "bm25=wide"], "is no number"),
        (["-j", "bm25", "--scale", "bm25=0"], "scale=0.0 of bm25"),
        (["-j", "oracle", "--budget-usd", "0"], "a budget of usd"),
        ([], "--judge"),
    ],
)
def test_wrong_options_are_usage_errors(run: Judge, arguments: list[str], told: str) -> None:
    """They are named, and nothing is written."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.replace("│", " ").split())
    assert not Path("out.jsonl").exists()
