"""What a plan of a run costs, and what it says of votes and money."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fake_openai import FakeOpenAI, completion
from judging_kit import comparing
from pipeline_kit import prepare
from typer.testing import CliRunner

from zelo.cli.train import train_commands
from zelo.errors import BudgetError
from zelo.training.pipeline import Plan, plan, read_config, run, sources
from zelo.training.pipeline.asking import Asking
from zelo.training.records import Pairs, read_records

CONFIG = """
collections = [{{ path = "asked", queries = 8 }}]
model = "zelo-nano"
judges = ["bm25", "oracle", "zelo-nano", "mini=chat:any@{url}"]
out = "work"
[candidates]
depth = 8
[pairs]
cycles = 2
[across]
each = 1
[judge]
prices = {{ mini = "1+10/Mtok", zelo-nano = "2.5/hour" }}
{more}
[evaluate]
collections = ["small"]
"""
READ, WRITTEN = 300, 20
EACH = (READ + 10 * WRITTEN) / 1e6


def write(folder: Path, url: str, more: str = "") -> Path:
    """Write the configuration."""
    path = folder / "run.toml"
    path.write_text(CONFIG.format(url=url, more=more), encoding="utf-8")
    return path


def planned(path: Path) -> tuple[Plan, dict[str, Asking]]:
    """The plan, and what it says of each judge."""
    found = plan(read_config(path))
    return found, {one.judge: one for one in found.judges}


class Judged(NamedTuple):
    """A run that its budget stopped, and that went on until all was judged but failures."""

    path: Path
    stopped: Plan
    asked_before: int
    """Questions to the chat model until it stopped."""
    asked: int


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """With a chat model that compares, and counts its tokens."""

    def answer(messages: Any) -> dict[str, Any]:
        usage = {"prompt_tokens": READ, "completion_tokens": WRITTEN}
        return {**completion(comparing(messages)), "usage": usage}

    folder = tmp_path_factory.mktemp("judged")
    prepare(folder)
    with FakeOpenAI(chat=answer).running() as server:
        with pytest.raises(BudgetError):
            run(read_config(write(folder, server.url, f"budget_usd = {20 * EACH}")))
        asked, path = len(server.asked), write(folder, server.url)
        stopped = plan(read_config(path))
        run(read_config(path), until="judge-across")
        return Judged(path, stopped, asked, len(server.asked))


def test_each_collection_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many stages are checked and counted by it; files of a corpus are large."""
    prepare(tmp_path)
    read: Counter[str] = Counter()
    true = sources.read_collection

    def counted(path: Any, **options: Any) -> Any:
        read[Path(path).name] += 1
        return true(path, **options)

    monkeypatch.setattr(sources, "read_collection", counted)
    plan(read_config(write(tmp_path, "http://127.0.0.1:1")))
    assert read == {"asked": 1, "small": 1}


def test_before_the_first_vote_money_is_guessed(tmp_path: Path) -> None:
    """From the lengths of texts, more for longer ones; not by the hour, nor without a price."""
    prepare(tmp_path)
    path = write(tmp_path, "http://127.0.0.1:1", "budget_usd = 25.0")
    found, judges = planned(path)
    assert found.budget_usd == 25.0
    assert list(judges) == ["oracle", "zelo-nano", "mini"]
    assert judges["oracle"][2:] == (0, None, None)
    assert judges["zelo-nano"][2:] == (0, 0.0, None)
    pairs = sum(one.amount["pairs"] for one in found.stages if one.stage.startswith("judge"))
    mini = judges["mini"]
    assert (mini.votes, mini.stored, mini.spent_usd) == (pairs, 0, 0.0)
    assert mini.to_come_usd is not None
    assert 0.002 < mini.to_come_usd / pairs < 0.005  # 200 tokens written at 10, some 600 read at 1
    corpus = tmp_path / "asked" / "corpus.jsonl"
    records = [json.loads(line) for line in corpus.read_text().splitlines()]
    longer = [{**one, "text": one["text"] + " and so on" * 100} for one in records]
    corpus.write_text("".join(json.dumps(one) + "\n" for one in longer))
    more = planned(path)[1]["mini"].to_come_usd
    assert more is not None
    assert more / mini.votes == pytest.approx(mini.to_come_usd / pairs + 500e-6, rel=0.05)
    assert not (tmp_path / "work").exists()


def test_votes_that_are_stored_are_not_paid_for_again(judged: Judged) -> None:
    """A stopped run tells what it spent, and what the rest costs at the price of what was asked."""
    *_, mini = judged.stopped.judges
    assert 10 < mini.stored == judged.asked_before < mini.votes
    assert mini.spent_usd == pytest.approx(judged.asked_before * EACH)
    assert mini.to_come_usd == pytest.approx((mini.votes - judged.asked_before) * EACH)
    assert judged.stopped.budget_usd is None


def test_stages_that_are_done_cost_nothing_more(judged: Judged) -> None:
    """Only what is to be judged when the reranker is trained, at most."""
    found, judges = planned(judged.path)
    mini = judges["mini"]
    refined = {one.stage: one.amount for one in found.stages}["judge-refined"]["pairs"]
    assert mini.votes - mini.stored == refined > 0
    assert mini.spent_usd == pytest.approx(judged.asked * EACH)
    assert mini.to_come_usd == pytest.approx(refined * EACH)


def test_votes_are_found_again_where_only_their_file_is_lost(
    judged: Judged, tmp_path: Path
) -> None:
    """Pair by pair, of judges that compare and of judges that score."""
    folder = Path(shutil.copytree(judged.path.parent, tmp_path / "moved"))
    (folder / "work" / "preferences.jsonl").unlink()
    within = read_records(folder / "work" / "pairs.jsonl", Pairs)
    pairs = sum(len(one.pairs) for one in within)
    judges = planned(folder / "run.toml")[1]
    assert {name: one.stored for name, one in judges.items()} == dict.fromkeys(judges, pairs)
    assert judges["zelo-nano"].to_come_usd == 0


def test_other_pairs_are_not_counted_as_stored(judged: Judged) -> None:
    """Where they are yet to be chosen, all that they could cost is told."""
    deeper = judged.path.with_name("deeper.toml")
    deeper.write_text(judged.path.read_text().replace("depth = 8", "depth = 9"))
    mini = planned(deeper)[1]["mini"]
    assert mini.stored == 0
    assert mini.to_come_usd == pytest.approx(mini.votes * EACH)
    assert mini.spent_usd == pytest.approx(judged.asked * EACH)


def test_the_command_shows_votes_and_money(tmp_path: Path) -> None:
    """Beside the stages, for people and for programs; and that a first sum is a guess."""
    prepare(tmp_path)
    path = write(tmp_path, "http://127.0.0.1:1", "budget_usd = 25.0")
    words = ["run", str(path), "--plan"]
    shown = CliRunner().invoke(train_commands, words)
    assert shown.exit_code == 0, shown.output
    for text in ("USD to come", "mini", "guessed", "stops before 25.00 USD"):
        assert text in shown.stdout
    told = json.loads(CliRunner().invoke(train_commands, [*words, "--json"]).stdout)
    assert told["judges"][2]["judge"] == "mini"
    assert told["judges"][2]["to_come_usd"] > 0
    assert told["budget_usd"] == 25.0
