"""`zelo plan`: what is asked for, what is printed, what is refused."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from zelo.bulk.plan import CARDS
from zelo.cli import app

WORK = ("--pairs", "1e9", "--document-tokens", "300", "--query-tokens", "20")


def run(*arguments: str) -> Result:
    """Run the command on a terminal 80 columns wide."""
    return CliRunner().invoke(app, ["plan", *arguments], env={"COLUMNS": "80"})


def plain(result: Result) -> str:
    """What was printed, in one line."""
    return " ".join(result.output.split())


def test_answer_comes_first_and_then_its_reasons() -> None:
    """Hours, cost, cards and memory stand above the arithmetic, and that above the assumptions."""
    result = run(*WORK, "--gpu", "h200", "--price", "2.5", "--deadline", "24h")
    assert result.exit_code == 0
    wanted = ("GPU-hours", "cost", "cards", "memory", "shared tokens", "FLOP", "assumes", "H200")
    places = [result.output.index(word) for word in wanted]
    assert places == sorted(places)
    assert max(map(len, result.output.splitlines())) <= 80


def test_no_price_shows_no_cost() -> None:
    """Nothing is said of money, nor of a number of cards, unless asked."""
    result = run(*WORK, "--gpu", "h100")
    assert "cost" not in result.output
    assert "cards" not in result.output.split("How it comes about")[0]
    assert "NOT MEASURED ON THIS CARD" in result.output


def test_json_has_all_of_it() -> None:
    """Machines get every figure, and every assumption."""
    result = run(*WORK, "--gpu", "a100", "--price", "1", "--deadline", "7d", "--json")
    found = json.loads(result.stdout)
    assert found["on"]["name"] == "a100"
    assert found["cost"] == pytest.approx(found["hours"])
    assert found["cards"] == -(-found["hours"] // (7 * 24))
    assert found["flop"] == pytest.approx(found["query"]["flop"]["total"] * 1e7)
    assert found["fits"] is True
    assert len(found["assumptions"]) >= 4


def test_own_card_is_planned_with() -> None:
    """A card that the table lacks is given by its two figures."""
    mine = json.loads(run(*WORK, "--tflops", "312", "--memory", "80", "--json").stdout)
    known = json.loads(run(*WORK, "--gpu", "a100", "--json").stdout)
    assert mine["hours"] == pytest.approx(known["hours"])


def test_what_does_not_fit_is_said() -> None:
    """A card that is too small is answered with what is needed, and no hours."""
    result = run(*WORK, "--tflops", "30", "--memory", "8")
    assert "Does not fit: 10.3 GB are needed" in plain(result)
    assert "GPU-hours" not in result.output


def test_measured_speed_takes_the_place_of_a_card(tmp_path: Path) -> None:
    """A bulk run's report plans the same work at its own speed."""
    (tmp_path / "run.json").write_text('{"pairs_now": 1000, "seconds": 10.0}', encoding="utf-8")
    result = run(*WORK, "--measured", str(tmp_path / "run.json"))
    assert result.exit_code == 0
    assert "100 by one machine" in plain(result)
    assert "2,778" in result.output  # hours: 1e9 / 100 / 3600


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (WORK, "say where"),
        ((*WORK, "--gpu", "h100", "--tflops", "3"), "say where"),
        ((*WORK, "--tflops", "300"), "--memory"),
        ((*WORK, "--gpu", "h1"), "not known"),
        ((*WORK, "--gpu", "h100", "--deadline", "soon"), "24h"),
        ((*WORK, "--gpu", "h100", "--share", "7"), "share"),
        (("--pairs", "1.5", *WORK[2:], "--gpu", "h100"), "1e9"),
        ((*WORK, "--gpu", "h100", "--model", "zerank-9"), "zerank-9"),
        ((*WORK, "--gpu", "h100", "-m", "zerank-1", "--instruction-tokens", "4"), "instruction"),
    ],
)
def test_wrong_calls_are_refused(arguments: tuple[str, ...], message: str) -> None:
    """What cannot be planned is named, and nothing is printed on stdout."""
    result = run(*arguments)
    assert result.exit_code in (1, 2)
    assert message in re.sub(r"[│\s]+", " ", result.stderr)
    assert not result.stdout


def test_help_names_every_card() -> None:
    """What can be given for --gpu stands in --help."""
    text = plain(run("--help"))
    assert all(name in text for name in CARDS)


def test_planning_a_named_model_loads_no_model_code() -> None:
    """The answer comes at once: neither torch nor a tokenizer is imported."""
    code = (
        "import sys; from zelo.cli import app\n"
        f"app({['plan', *WORK, '--gpu', 'h100']!r}, standalone_mode=False)\n"
        "assert not {'torch', 'tokenizers', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
