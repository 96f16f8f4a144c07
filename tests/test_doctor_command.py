"""`zelo doctor` as a shell user meets it: the printed report, JSON, exit codes, failures."""

import json
import math
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import mistakes
import pytest
from test_import import BLOCKER, python
from typer.testing import CliRunner

from zelo.cli import app
from zelo.doctor.fixes import SCORE_TEMPLATE
from zelo.doctor.mistakes import MISTAKES
from zelo.scoring.families import ZERANK_PROMPT

KEY = "sk-canary-7f3a"
Doctor = Callable[..., Any]


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Run the command; further options stand in the environment."""

    def run(*arguments: object, columns: int = 80, **environment: str) -> Any:
        given = ["doctor", *map(str, arguments), "--longest-document", "0"]
        environment |= {"COLUMNS": str(columns), "TERM": "dumb"}
        return CliRunner().invoke(app, given, env=environment)

    return run


def constant(number: float) -> mistakes.Scoring:
    return mistakes.each(lambda query, document: number)


ASKED = mistakes.witness_once()


@pytest.fixture(autouse=True)
def _one_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the same witness of the same folder but once: the endpoints are what differs here."""
    monkeypatch.setattr("zelo.doctor.witness.testify", ASKED)


@pytest.fixture(scope="module")
def scorings(tiny_model: Path) -> dict[str, mistakes.Scoring]:
    return mistakes.scorings(mistakes.Model(tiny_model))


@pytest.fixture
def of_tiny(tiny_model: Path) -> list[object]:
    return ["--model", "tiny", "--family", "zerank-2", "--reference", tiny_model, "--device", "cpu"]


def test_a_right_server_ends_with_0(doctor, scorings, of_tiny):
    """The verdict, the deviation and every check are printed."""
    with mistakes.serving(scorings["right"], "vllm") as url:
        result = doctor("--base-url", url, *of_tiny)
    assert result.exit_code == 0, result.output
    assert "CORRECT  max deviation under 0.0001 of a score" in result.stdout
    for check in ("scores", "order", "template", "control tokens", "empty document"):
        assert f" {check} " in result.stdout


def test_a_mistake_ends_with_1_and_its_fix(doctor, scorings, of_tiny):
    """The mistake is named with what to type against it, for the server that made it."""
    with mistakes.serving(scorings["no template"], "vllm") as url:
        result = doctor("--base-url", url, *of_tiny)
    assert result.exit_code == 1
    assert "WRONG  no template" in result.stdout
    assert "--chat-template score_template.jinja" in result.stdout
    for line in SCORE_TEMPLATE.splitlines():
        assert line in result.stdout


@pytest.mark.parametrize("columns", [80, 120])
def test_the_report_fits_the_screen(doctor, scorings, of_tiny, columns):
    """No line is wider than the terminal, and the numbers are not cut."""
    with mistakes.serving(scorings["raw logits"], "vllm") as url:
        result = doctor("--base-url", url, *of_tiny, columns=columns)
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= columns
    (header,) = [line for line in lines if "expected" in line and "off" in line]
    assert header.split() == ["query", "document", "expected", "got", "off"]


def test_json_holds_the_whole_report(doctor, scorings, of_tiny):
    """Programs get verdict, findings with fixes, checks and numbers in one object."""
    with mistakes.serving(scorings["raw logits"], "vllm") as url:
        result = doctor("--base-url", url, *of_tiny, "--json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["exit_code"], report["verdict"]) == (1, 1, "wrong")
    (finding,) = report["findings"]
    assert finding["mistake"] == "raw-logits"
    assert "logit_sigma" in finding["fix"]["text"]
    assert {"name", "outcome", "text"} == set(report["checks"][0])
    assert len(report["rows"]) == 16


@pytest.mark.parametrize("as_json", [False, True])
def test_an_unreachable_server_ends_with_2(doctor, as_json):
    """Where nothing listens, nothing can be told, and the message says where."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    result = doctor("--base-url", url, "--timeout", "2", *(["--json"] if as_json else []))
    assert result.exit_code == 2
    assert "no connection" in " ".join(result.stdout.split())
    if as_json:
        assert json.loads(result.stdout)["verdict"] == "unknown"


def test_a_wrong_key_ends_with_2_and_is_not_shown(doctor):
    """A refused key is told as such, and stands nowhere in the output."""
    with mistakes.serving(constant(0.5), "vllm", key="another") as url:
        result = doctor("--base-url", url, ZELO_API_KEY=KEY)
    assert result.exit_code == 2
    assert "ZELO_API_KEY" in result.stdout
    assert KEY not in result.output


def test_the_key_of_the_environment_is_sent(doctor, scorings, of_tiny):
    """With the right key the server answers."""
    with mistakes.serving(scorings["right"], "vllm", key=KEY) as url:
        result = doctor("--base-url", url, *of_tiny, ZELO_API_KEY=KEY)
    assert result.exit_code == 0, result.output
    assert KEY not in result.output


def test_an_ambiguous_server_ends_with_2_and_lists_what_fits(doctor):
    """An answer that several dialects give is no guess of ours."""
    with mistakes.serving(constant(0.5), "ambiguous") as url:
        result = doctor("--base-url", url)
    assert result.exit_code == 2
    text = " ".join(result.stdout.replace("│", " ").split())
    assert "'cohere-v1'" in text
    assert "'cohere-v2'" in text
    assert "--dialect" in text


def test_a_dialect_said_wrong_ends_with_2(doctor):
    """A server that has no such path is not examined in another dialect."""
    with mistakes.serving(constant(0.5), "vllm") as url:
        result = doctor("--base-url", url, "--dialect", "gateway")
    assert result.exit_code == 2
    assert "404" in result.stdout


def test_numbers_that_are_not_finite_end_with_2(doctor):
    """NaN is no score to compare."""
    with mistakes.serving(constant(math.nan), "vllm") as url:
        result = doctor("--base-url", url)
    assert result.exit_code == 2
    assert "finite" in result.stdout


def test_nothing_to_examine_is_a_usage_error(doctor):
    """Without a server and without a model, the command says which options to give."""
    result = doctor()
    assert result.exit_code == 2
    assert "--base-url" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--base-url", f"http://user:{KEY}@127.0.0.1:9"),
        ("--base-url", f"http://127.0.0.1:9?key={KEY}"),
        ("--base-url", "http://127.0.0.1:9", "--dialect", "klingon"),
        ("--base-url", "http://127.0.0.1:9", "--score-scale", "percent"),
        ("--model", "no/such/model/here"),
    ],
)
def test_options_without_a_meaning_are_usage_errors(doctor, arguments):
    """What cannot be meant is refused before anything is sent, and no secret is repeated."""
    result = doctor(*arguments)
    assert result.exit_code == 2
    assert "Invalid value" in result.stderr
    assert KEY not in result.output


def test_a_key_is_not_sent_in_clear_text(doctor):
    """Another host gets the key over https, or when told so."""
    result = doctor("--base-url", "http://gpu-box:8000", ZELO_API_KEY=KEY)
    assert result.exit_code == 2
    assert "--allow-http" in " ".join(result.stderr.split())
    assert KEY not in result.output


def test_servers_need_no_model_packages():
    """Published values are compared without torch, transformers or tokenizers."""
    blocked = {"torch", "transformers", "tokenizers", "safetensors"}
    with mistakes.serving(constant(0.5), "vllm") as url:
        code = BLOCKER.format(blocked=blocked) + (
            f"""
from zelo.doctor import Examination, examine
report = examine(Examination(model="zerank-2", base_url={url!r}, longest=100))
print(report.verdict, *[finding.mistake for finding in report.findings])
"""
        )
        assert python(code) == "wrong no-score-head\n"


def test_the_score_template_is_zeranks_frame():
    """The template that the fix prints renders the frame, header included, as vLLM renders it."""
    query, document = "a <query>\n", "a {document}\n\nof two paragraphs"
    messages = [{"role": "query", "content": query}, {"role": "document", "content": document}]
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - no page
    template = environment.from_string(SCORE_TEMPLATE)
    rendered = template.render(messages=messages)
    assert rendered == ZERANK_PROMPT.format(query=query, document=document)


@pytest.mark.parametrize("name", MISTAKES)
def test_no_fix_leaves_a_placeholder(name):
    """Model, repository and scale are filled in wherever a fix names them."""
    from zelo.doctor.report import Finding, Report

    for kind in ("vllm", "tei", "llama.cpp", "infinity", "local", "gateway"):
        report = Report(
            model="zerank-1",
            endpoint="there",
            kind=kind,
            family="zerank-1",
            scale="probability",
            reference=None,
            verdict="wrong",
        )
        fix = report.fix(Finding(name, "a sign"))
        for placeholder in ("{model}", "{repository}", "{scale}"):
            assert placeholder not in fix.text + fix.code
        assert "zerank-2" not in fix.code
