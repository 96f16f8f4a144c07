"""The command `zelo` as a shell user meets it: tables, JSON, pipes, errors and exit codes."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from zelo import Reranker, __version__
from zelo._common.terminal import one_line, printable
from zelo.cli import app

TEXTS = ["the river is cold", "a file is read with open", "", "stone bridge", "read a file"]
KEYS = ["rank", "index", "id", "line", "score", "logit", "truncated", "empty", "text", "record"]
ESCAPE = "\x1b"
Zelo = Callable[..., Any]


@pytest.fixture
def zelo(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Zelo:
    """Run the command in an empty folder; `...` stands for --model and the tiny model."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, stdin: str | bytes = "", columns: int = 80) -> Any:
        given: list[str] = []
        for argument in arguments:
            given += ["--model", str(tiny_model)] if argument is ... else [str(argument)]
        environment = {"COLUMNS": str(columns), "TERM": "dumb"}
        return CliRunner().invoke(app, given, input=stdin, env=environment)

    return run


@pytest.fixture
def candidates(tmp_path: Path) -> Path:
    """Five candidates with ids, the third of which is empty."""
    path = tmp_path / "candidates.jsonl"
    records = [{"_id": f"d{i}", "text": text, "nr": i} for i, text in enumerate(TEXTS)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def objects(result: Any) -> list[dict[str, Any]]:
    """Read the output as JSON Lines, refusing NaN and Infinity."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    assert result.exit_code == 0, result.stderr
    return [json.loads(line, parse_constant=refuse) for line in result.stdout.splitlines()]


def process(*arguments: object) -> Any:
    """Start the command in a process of its own, with all its streams on pipes.

    What a test runner may have changed for its children is put back: interrupts are ignored in
    background jobs, and an unbuffered stdout does not report short writes.
    """
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from zelo.cli import main; main()"
    )
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        env=os.environ | {"PYTHONUNBUFFERED": ""},
    )


def test_json_holds_what_the_reranker_says(zelo: Zelo, candidates: Path, tiny_model: Path) -> None:
    """Order, scores and marks are those of `Reranker.rank`, and each record is given back."""
    found = objects(zelo("rerank", "read a file", "-d", candidates, ..., "--json"))
    with Reranker(str(tiny_model)) as reranker:
        ranking = reranker.rank("read a file", TEXTS)
    assert [list(one) for one in found] == [KEYS] * len(TEXTS)
    assert [one["rank"] for one in found] == [1, 2, 3, 4, 5]
    assert [one["index"] for one in found] == [ranked.index for ranked in ranking]
    assert [one["score"] for one in found] == pytest.approx([r.score for r in ranking], abs=1e-6)
    assert all(one["id"] == f"d{one['index']}" for one in found)
    assert all(one["line"] == one["index"] + 1 for one in found)
    assert all(one["text"] == TEXTS[one["index"]] for one in found)
    assert all(one["record"]["nr"] == one["index"] for one in found)


def test_layers_in_fewer_bits_are_asked_for(zelo: Zelo, candidates: Path, tiny_model: Path) -> None:
    """--quantization and --no-compile reach the reranker, whose scores are then others."""
    options = ("river", "-d", candidates, ..., "--device", "cpu", "--json")
    found = objects(zelo("rerank", *options, "--quantization", "int4-weights", "--no-compile"))
    with Reranker(tiny_model, device="cpu", quantization="int4-weights", compile=False) as reranker:
        assert [one["logit"] for one in found[:-1]] == pytest.approx(
            [one.logit for one in reranker.rank("river", TEXTS)[:-1]]
        )
    assert [one["logit"] for one in found] != [
        one["logit"] for one in objects(zelo("rerank", *options))
    ]


def test_an_empty_document_comes_last_without_a_logit(zelo: Zelo, candidates: Path) -> None:
    """Minus infinity is no JSON, so it is null, and the table says why there is no score."""
    last = objects(zelo("rerank", "read a file", "-d", candidates, ..., "--json"))[-1]
    assert (last["text"], last["score"], last["logit"], last["empty"]) == ("", 0.0, None, True)
    table = zelo("rerank", "read a file", "-d", candidates, ...).stdout.splitlines()
    assert re.fullmatch(r" +5 +- +d2 +\[empty\] *", table[-1])


def test_the_table_shows_rank_score_id_and_text(zelo: Zelo, candidates: Path) -> None:
    """Under a heading, one line per document, best first; nothing else is on either stream."""
    result = zelo("rerank", "read a file", "-d", candidates, ..., "--top-n", 2)
    found = objects(zelo("rerank", "read a file", "-d", candidates, ..., "--top-n", 2, "--json"))
    heading, _, *rows = result.stdout.splitlines()
    assert heading.split() == ["rank", "score", "id", "text"]
    shown = [row.split(maxsplit=3) for row in rows]
    assert [[a, b, c, d.strip()] for a, b, c, d in shown] == [
        [str(one["rank"]), f"{one['score']:.4f}", one["id"], one["text"]] for one in found
    ]
    assert result.stderr == ""


def test_documents_without_ids_go_by_their_lines(zelo: Zelo) -> None:
    """The line is that of the file, blank ones counted, and how many were blank is told."""
    Path("a.txt").write_text("\n \nstone bridge\n", encoding="utf-8")
    result = zelo("rerank", "river", "-d", "a.txt", ..., "--scale", "logit")
    assert result.stdout.splitlines()[0].split() == ["rank", "logit", "line", "text"]
    assert re.fullmatch(r" +1 +[+-]\d+\.\d{3} +3 +stone bridge *", result.stdout.splitlines()[2])
    assert result.stderr == "zelo: a.txt: skipped 2 blank lines\n"


@pytest.mark.parametrize(
    ("content", "form"),
    [("the river\nstone\n", "txt"), ('{"text": "the river"}\n{"text": "stone"}\n', "jsonl")],
)
def test_standard_input_is_read_and_its_format_told(zelo: Zelo, content: str, form: str) -> None:
    """A dash is standard input, and what it is taken for is no secret."""
    result = zelo("rerank", "river", "-d", "-", ..., "--json", stdin=content)
    assert sorted(one["text"] for one in objects(result)) == ["stone", "the river"]
    assert f"reading standard input as {form}" in result.stderr
    named = zelo("rerank", "river", "-d", "-", ..., "--json", "--format", form, stdin=content)
    assert objects(named) == objects(result)
    assert named.stderr == ""


def test_packed_candidates_are_read(zelo: Zelo) -> None:
    """A file or a pipe packed with gzip holds the candidates that are in it."""
    packed = gzip.compress(b'["river", "stone"]')
    Path("a.json.gz").write_bytes(packed)
    for arguments in (["a.json.gz"], ["-"]):
        found = objects(zelo("rerank", "river", "-d", *arguments, ..., "--json", stdin=packed))
        assert sorted(one["text"] for one in found) == ["river", "stone"]


def test_csv_fields_can_be_chosen(zelo: Zelo) -> None:
    """Text, id and title come from the columns that are named."""
    Path("a.csv").write_text('nr,head,body\n7,Rivers,"one\ntwo"\n', encoding="utf-8")
    options = ["--text-field", "body", "--id-field", "nr", "--title-field", "head", "--json"]
    (found,) = objects(zelo("rerank", "river", "-d", "a.csv", ..., *options))
    assert (found["id"], found["line"], found["text"]) == ("7", 2, "Rivers\none\ntwo")
    assert found["record"] == {"nr": "7", "head": "Rivers", "body": "one\ntwo"}


def test_bad_lines_stop_the_command_before_anything_is_scored(zelo: Zelo) -> None:
    """All of them are named, and no output could be taken for a ranking of the whole."""
    Path("a.jsonl").write_text('{bad\n{"text": "x"}\n[1]\n', encoding="utf-8")
    result = zelo("rerank", "river", "-d", "a.jsonl", ...)
    assert (result.exit_code, result.stdout) == (1, "")
    first, *lines = result.stderr.splitlines()
    assert first.startswith("zelo: error: a.jsonl: 2 lines cannot be read, so nothing was scored")
    assert [line.split(":")[0] for line in lines] == ["  line 1", "  line 3"]


def test_bad_lines_can_be_skipped_but_not_silently(zelo: Zelo) -> None:
    """The others are ranked, with their own line numbers, and each skipped one is named."""
    Path("a.jsonl").write_text('{bad\n{"text": "x"}\n[1]\n', encoding="utf-8")
    result = zelo("rerank", "river", "-d", "a.jsonl", ..., "--skip-bad-lines", "--json")
    assert [(one["line"], one["index"]) for one in objects(result)] == [(2, 0)]
    assert "warning: a.jsonl: 2 lines skipped" in result.stderr
    assert "line 1" in result.stderr
    assert "line 3" in result.stderr


def test_a_score_that_no_document_reaches_leaves_nothing_and_says_so(zelo: Zelo) -> None:
    """An empty ranking is no error, but it is explained."""
    Path("a.txt").write_text("stone\n", encoding="utf-8")
    result = zelo("rerank", "river", "-d", "a.txt", ..., "--min-score", 1)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "none of 1 documents scores 1.0 or more" in result.stderr


def test_a_long_document_is_marked_where_its_end_was_not_read(zelo: Zelo) -> None:
    """The mark stands in the table and in the JSON, and the row stays one line."""
    Path("a.txt").write_text("river stone " * 200, encoding="utf-8")
    options = ["river", "-d", "a.txt", ..., "--max-document-tokens", 20]
    row = zelo("rerank", *options).stdout.splitlines()[2]
    assert "[truncated] river stone" in row
    assert row.rstrip().endswith("…")
    assert len(row) <= 80
    assert objects(zelo("rerank", *options, "--json"))[0]["truncated"]
    whole = objects(zelo("rerank", *options, "--json", "--long-documents", "chunk"))
    assert not whole[0]["truncated"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["river"],
        ["river", "-d", "missing.txt"],
        ["river", "-d", "."],
        ["river", "-d", "a.unknown"],
        ["river", "-d", "a.txt", "--top-n", "0"],
        ["river", "-d", "a.txt", "--min-score", "2"],
        ["river", "-d", "a.txt", "--format", "xml"],
        ["river", "-d", "a.txt", "--family", "unheard"],
        ["river", "-d", "a.txt", "--quantization", "int3"],
        ["river", "-d", "a.txt", "--unheard"],
        ["\udcff", "-d", "a.txt"],
    ],
    ids=" ".join,
)
def test_a_wrong_call_ends_with_2(zelo: Zelo, arguments: list[str]) -> None:
    """Options that cannot be meant are refused on stderr, with where to find help."""
    Path("a.txt").write_text("stone\n", encoding="utf-8")
    Path("a.unknown").write_text("stone\n", encoding="utf-8")
    result = zelo("rerank", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "zelo rerank -h" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "zerank2"], "did you mean 'zerank-2'?"),
        (["--model", "folder"], "folder"),
        (["--text-field", "body"], "no record has a field 'body'; found 'text'"),
        (["--instruction", "x", "--model", "folder"], "folder"),
    ],
)
def test_what_cannot_be_scored_ends_with_1(zelo: Zelo, arguments: list[str], message: str) -> None:
    """One line on stderr says what was wrong, without a traceback."""
    Path("folder").mkdir()
    Path("a.jsonl").write_text('{"text": "stone"}\n', encoding="utf-8")
    result = zelo("rerank", "river", "-d", "a.jsonl", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = [line for line in result.stderr.splitlines() if "zelo: error: " in line]
    assert message in line
    assert "Traceback" not in result.stderr


def test_an_input_without_documents_is_an_error(zelo: Zelo) -> None:
    """A first stage that broke is not taken for one that found nothing."""
    result = zelo("rerank", "river", "-d", "-", ..., "--format", "jsonl")
    assert result.exit_code == 1
    assert "standard input: there is no document in it" in result.stderr


def test_texts_and_names_cannot_steer_the_terminal(zelo: Zelo) -> None:
    """Escape sequences are spelt out in tables, JSON and errors, and markup is only text."""
    hostile = f"{ESCAPE}]0;title\x07 \x9b31m [bold]read[/bold] :smile: \u202eback"
    Path("a.jsonl").write_text(json.dumps({"text": hostile, "id": ESCAPE}), encoding="utf-8")
    table = zelo("rerank", "river", "-d", "a.jsonl", ..., columns=200).stdout
    assert r"\x1b]0;title\x07 \x9b31m [bold]read[/bold] :smile: \u202eback" in table
    lines = zelo("rerank", "river", "-d", "a.jsonl", ..., "--json")
    assert objects(lines)[0]["text"] == hostile
    Path("b.jsonl").write_text(json.dumps({ESCAPE: 1}), encoding="utf-8")
    error = zelo("rerank", "river", "-d", "b.jsonl", ...).stderr
    for shown in (table, lines.stdout, error):
        assert not set(shown) & set(f"{ESCAPE}\x07\x9b\u202e")


@given(st.text())
def test_printable_text_holds_no_control_character(text: str) -> None:
    """What is shown can be encoded, and every character that is safe stays as it is."""
    shown = printable(text)
    shown.encode("utf-8")
    assert not re.search("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]", shown)
    assert printable(shown) == shown


@given(st.text(), st.integers(0, 3))
def test_a_table_cell_is_one_line_of_bounded_length(text: str, power: int) -> None:
    """Megabytes of text are cut before they are laid out, and the cut is marked."""
    shown = one_line(text * 100**power).plain
    assert len(shown.splitlines()) <= 1
    assert len(shown) <= 2_001
    assert shown.endswith("…") or printable(" ".join((text * 100**power).split())) == shown


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    """Help and errors of use come at once, because no model code is imported for them."""
    code = (
        "import sys, zelo.cli\n"
        "heavy = {'torch', 'transformers', 'numpy', 'tokenizers', 'huggingface_hub', 'httpx'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--help"], ["rerank", "demo", "bench"]),
        (["rerank", "--help"], ["--documents", "--skip-bad-lines", "Examples", "| jq -r .id"]),
        (["demo", "--help"], ["--depth", "Examples"]),
        (["bench", "--help"], []),
        (["--version"], [f"zelo {__version__}"]),
    ],
)
def test_help_tells_what_there_is(zelo: Zelo, arguments: list[str], words: list[str]) -> None:
    """Each command describes itself, with examples."""
    result = zelo(*arguments, columns=120)
    assert result.exit_code == 0
    assert not [word for word in words if word not in result.stdout]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGPIPE")
@pytest.mark.parametrize("options", [[], ["--json"]], ids=["table", "json"])
def test_a_reader_that_goes_away_ends_the_command_in_silence(
    tmp_path: Path, tiny_model: Path, options: list[str]
) -> None:
    """`zelo ... | head -1` shows one line and no complaint, as for any other command."""
    path = tmp_path / "a.txt"
    path.write_text(f"{'river ' * 20}\n" * 3_000, encoding="utf-8")  # more than a pipe holds
    with process("rerank", "river", "-d", path, "--model", tiny_model, *options) as running:
        assert running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait() == 141


@pytest.mark.skipif(os.name == "nt", reason="Windows interrupts otherwise")
def test_an_interrupt_ends_the_command_in_silence(tiny_model: Path) -> None:
    """Ctrl-C gives the exit code that shells expect and no traceback."""
    with process("rerank", "river", "-d", "-", "--model", tiny_model) as running:
        running.stdin.write(b"river\n" * 100_000)  # more than a pipe holds: it is reading now
        running.send_signal(signal.SIGINT)
        assert running.wait() == 130
        assert running.stdout.read() == b""
        assert running.stderr.read() == b""


INTERRUPTING = """
import importlib.abc, os, signal, sys

class Interrupting(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                if {lost}:
                    raise ImportError("cannot load module more than once per process")
                raise

sys.meta_path.insert(0, Interrupting())
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["zelo", "rerank", "river", "-d", "a.txt"]
from zelo.__main__ import main
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows interrupts otherwise")
@pytest.mark.parametrize(
    ("module", "lost"), [("typer", False), ("torch", True)], ids=["heard", "lost in C code"]
)
def test_an_interrupt_of_an_import_ends_the_command_in_silence(
    tmp_path: Path, module: str, lost: bool
) -> None:
    """Ctrl-C while packages are imported is an interrupt, whatever the import makes of it."""
    (tmp_path / "a.txt").write_text("stone\n", encoding="utf-8")
    code = INTERRUPTING.format(module=module, lost=lost)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True)
    told = [line for line in done.stderr.splitlines() if b"zelo-nano, a small model" not in line]
    assert (done.returncode, done.stdout, told) == (130, b"", [])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_streams_that_cannot_be_used_end_in_no_traceback() -> None:
    """A full disk is told in one line, and closed streams hold and take nothing."""
    script = """
        zelo() { "$0" -c "from zelo.cli import main; main()" "$@"; echo $? >&2; }
        zelo --version >/dev/full
        zelo rerank river -d - <&- >&-
    """
    done = subprocess.run(["/bin/sh", "-c", script, sys.executable], capture_output=True, text=True)
    assert done.stderr.splitlines() == [
        "zelo: error: the output cannot be written: No space left on device",
        "1",
        "zelo: reading standard input as txt; --format says otherwise",
        "zelo: error: standard input: there is no document in it",
        "1",
    ]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGPIPE")
def test_help_that_nobody_reads_ends_in_silence() -> None:
    """`zelo --help | true` ends as any other command whose reader is gone."""
    with process("--help") as running:
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait() == 141


def test_an_output_that_cannot_show_a_character_spells_it_out(tiny_model: Path) -> None:
    """A terminal without UTF-8 gets escapes in its table and help, and JSON stays UTF-8."""
    arguments = ["rerank", "river", "-d", "-", "--format", "txt", "--model", str(tiny_model)]
    terminal = CliRunner(charset="ascii")
    table = terminal.invoke(app, arguments, input="河\n".encode())
    assert table.exit_code == 0
    assert table.stdout_bytes.rstrip().endswith(rb"\u6cb3")
    assert terminal.invoke(app, ["rerank", "--help"]).exit_code == 0
    lines = terminal.invoke(app, [*arguments, "--json"], input="河\n".encode())
    assert json.loads(lines.stdout_bytes)["text"] == "河"


@pytest.fixture(scope="module")
def demo_lines(tiny_model: Path) -> list[dict[str, Any]]:
    """What `zelo demo --json` says with the tiny model."""
    arguments = ["demo", "--model", str(tiny_model), "--depth", "10", "--top-n", "9", "--json"]
    return objects(CliRunner().invoke(app, arguments))


def test_the_demo_reorders_what_bm25_found(demo_lines: list[dict[str, Any]]) -> None:
    """For each of three queries, candidates of the first stage come back in the order of scores."""
    by_query: dict[str, list[dict[str, Any]]] = {}
    for one in demo_lines:
        by_query.setdefault(one["query"], []).append(one)
    assert len(by_query) == 3
    for found in by_query.values():
        assert [one["rank"] for one in found] == list(range(1, 10))
        assert [one["score"] for one in found] == sorted((o["score"] for o in found), reverse=True)
        assert len({one["first_stage_rank"] for one in found}) == 9
        assert all(1 <= one["first_stage_rank"] <= 10 for one in found)
        assert all(one["text"].startswith(one["id"]) for one in found)


@pytest.mark.parametrize("columns", [80, 120])
def test_the_demo_fits_the_terminal(zelo: Zelo, columns: int) -> None:
    """Both orders stand side by side, and no line is wider than the terminal."""
    result = zelo("demo", "how do I sort a list", ..., "--depth", 20, columns=columns)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= columns
    assert "? how do I sort a list" in lines
    (heading,) = [line for line in lines if "before: BM25" in line]
    assert "after: " in heading
    assert re.search(r"[\d,]+ entries of Python .* 20 candidates in", result.stdout)


def test_the_demo_says_so_where_nothing_matches(zelo: Zelo) -> None:
    """A query without a word of the corpus gives a note instead of an empty table."""
    result = zelo("demo", "zzyzx", ...)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "shares a word" in result.stderr


def test_the_packaged_model_puts_the_right_entry_on_top(zelo: Zelo) -> None:
    """`zelo demo` shows a newcomer an entry that answers its first query."""
    found = objects(zelo("demo", "how do I read a json file", "--json", "--top-n", 3))
    assert {"json.load", "json.loads"} & {one["id"] for one in found}
