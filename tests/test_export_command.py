"""`zelo export` as a shell user meets it: what is printed, JSON, exit codes."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
import tiny
from test_import import BLOCKER, python
from typer.testing import CliRunner

from zelo.cli import app
from zelo.export.engines import ENGINES


def run(*arguments: object, columns: int = 100):
    """Run the command."""
    given = ["export", *map(str, arguments)]
    return CliRunner().invoke(app, given, env={"COLUMNS": str(columns), "TERM": "dumb"})


def test_an_export_is_told_with_its_command(tiny_model, tmp_path):
    """The command stands on a line of its own, unbroken, above why each flag is there."""
    out = tmp_path / "a folder"
    result = run(tiny_model, out, "--for", "vllm")
    assert result.exit_code == 0, result.output
    (command,) = [line for line in result.stdout.splitlines() if "vllm serve" in line]
    assert shlex.split(command)[:3] == ["vllm", "serve", str(out)]
    (check,) = [line for line in result.stdout.splitlines() if "zelo doctor --base-url" in line]
    assert str(out / "zelo-probes.json") in shlex.split(check)
    assert "without it vLLM joins query and document" in result.stdout
    assert len(re.findall(r"\? unproven|^unproven", result.stdout, re.MULTILINE)) == 2
    assert (out / "zelo-export.json").is_file()


@pytest.mark.parametrize("columns", [60, 100])
def test_tables_fit_the_screen(tiny_model, tmp_path, columns):
    """Only what is to be copied may be wider than the terminal."""
    result = run(tiny_model, tmp_path / "out", "--for", "sglang", columns=columns)
    copied = ("python -m sglang", "zelo doctor --base-url", "Reranker(")
    for line in result.stdout.splitlines():
        assert len(line) <= columns or line.strip().startswith(copied)


def test_json_is_what_stands_beside_the_weights(tiny_model, tmp_path):
    """One object with the command, the flags, the statements and every file."""
    out = tmp_path / "out"
    result = run(tiny_model, out, "--for", "vllm", "--no-probes", "--json")
    told = json.loads(result.stdout)
    beside = json.loads((out / "zelo-export.json").read_text(encoding="utf-8"))
    assert told["command"] == beside["command"]
    assert told["statements"] == beside["statements"]
    assert {file["name"] for file in told["files"]} == {path.name for path in out.iterdir()}
    assert all((out / file["name"]).stat().st_size == file["size"] for file in told["files"])
    assert "--known" not in told["check"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--for", "tei"), 1, "no classifier for Qwen3"),
        (("--for", "nothing"), 2, "unknown engine"),
        ((), 2, "--for"),
        (("--for", "vllm", "--dtype", "float16"), 2, "too small a range"),
        (("--for", "vllm", "--family", "qwen3-reranker"), 2, "leave family= out"),
    ],
)
def test_what_cannot_be_exported_says_why(tiny_model, tmp_path, arguments, code, told):
    """A wrong call ends with 2, a model or engine that cannot be with 1; nothing is written."""
    result = run(tiny_model, tmp_path / "out", *arguments, columns=300)
    assert result.exit_code == code
    assert told in result.stderr
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_needs_force(tiny_model, tmp_path):
    """The message says how it is replaced."""
    out = tmp_path / "out"
    out.mkdir()
    refused = run(tiny_model, out, "--for", "vllm", "--no-probes", columns=300)
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert not list(out.iterdir())
    assert run(tiny_model, out, "--for", "vllm", "--no-probes", "--force").exit_code == 0


def test_a_model_that_is_not_there_is_an_error(tmp_path):
    """As for every other command."""
    result = run("no-such-model", tmp_path / "out", "--for", "vllm")
    assert result.exit_code == 1
    assert "unknown model" in result.stderr


def test_help_names_every_engine():
    """What --for takes is told without importing a model's code."""
    text = " ".join(run("--help", columns=200).stdout.split())
    for name in ENGINES:
        assert name in text


def test_paths_cannot_steer_the_terminal(tmp_path):
    """A folder's name is printed with its control characters made visible."""
    model = tiny.save_sentence_transformers(tmp_path / "mo\x1b[31mdel")
    result = run(model, tmp_path / "out", "--for", "vllm", "--no-probes")
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.stdout
    assert "\\x1b[31m" in result.stdout
    assert Path(tmp_path / "out").is_dir()


def test_without_torch_the_extra_is_named(tmp_path):
    """One line says what to install."""
    code = BLOCKER.format(blocked={"torch"}) + (
        "from typer.testing import CliRunner; from zelo.cli import app; "
        f"found = CliRunner().invoke(app, ['export', 'zelo-nano', {str(tmp_path / 'out')!r}, "
        "'--for', 'vllm']); print(found.exit_code, found.stderr)"
    )
    told = python(code)
    assert told.startswith("1 ")
    assert 'pip install "zelo[export]"' in told


def test_without_gguf_the_extra_is_named(tmp_path, monkeypatch):
    """The same for llama.cpp's package; other engines need none."""
    for name in [name for name in sys.modules if name.startswith("zelo.export.llama_cpp")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("zelo.export.llama_cpp", raising=False)
    monkeypatch.setitem(sys.modules, "gguf", None)
    result = run("zelo-nano", tmp_path / "out", "--for", "llama.cpp", columns=300)
    assert result.exit_code == 1
    assert 'pip install "zelo[export]"' in result.stderr
    assert not list(tmp_path.iterdir())
