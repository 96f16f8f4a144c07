"""The example that rebuilds zelo-nano's data: each source's format, and the command."""

import importlib
import importlib.util
import io
import json
import shutil
import subprocess
import sys
import zipfile
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from zelo.corpora import read_collection

EXAMPLE = Path(__file__).parents[1] / "examples" / "rebuild_training_data"
sys.path.insert(0, str(EXAMPLE))  # as Python does with the folder that it runs
training_sets = importlib.import_module("training_sets")
evaluation_sets = importlib.import_module("evaluation_sets")
recipes = importlib.import_module("recipes")
repositories = importlib.import_module("repositories")


def command() -> ModuleType:
    """What `python examples/rebuild_training_data` runs."""
    spec = importlib.util.spec_from_file_location("rebuild_training_data", EXAMPLE / "__main__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def as_json(value: Any) -> bytes:
    """A file of it."""
    return json.dumps(value).encode()


def test_nqg_numbers_sentences_from_development_on() -> None:
    """A sentence of two questions is one document, and brackets are brackets again."""
    files = {
        "data/processed/src-dev.txt": b"in dev . \n",
        "data/processed/src-test.txt": b"one -lrb- 1 -rrb- . \ntwo . \ntwo . \n",
        "data/processed/tgt-test.txt": b"which one ?\nwhich two ?\nwhat -lrb- 2 ?\n",
    }
    assert training_sets.nqg(files) == (
        {"s1": ("", "one ( 1 ) ."), "s2": ("", "two .")},
        {"test0": "which one ?", "test1": "which two ?", "test2": "what -lrb- 2 ?"},
        {"test": [("test0", "s1"), ("test1", "s2"), ("test2", "s2")]},
    )


def test_clapnq_takes_quoted_answers_of_several_lines() -> None:
    """Ids are those of Natural Questions, whose sign is part of them."""
    table = b'id\tquestion\tdoc-id-list\tanswers\r\n-7\twhy\t1_2\t"so "" far\r\non " \r\n'
    assert training_sets.clapnq({"retrieval/train/question_train_answerable.tsv": table}) == (
        {"t-7": ("", 'so " far\r\non')},
        {"qt-7": "why"},
        {"train": [("qt-7", "t-7")]},
    )


def test_tldr_drops_the_marks_of_letters_and_placeholders() -> None:
    """A command that stands on two pages is one document; a page without a name is left out."""
    files = {
        "pages/common/am.md": b"# am\n\n> What.\n\n- [s]tart an [app]:\n\n`am -s {{app}}`\n\n"
        b"- Show help:\n\n`am --help`\n",
        "pages/common/..md": b"# .\n\n- Source:\n\n`. file`\n",
        "pages/linux/am.md": b"# am\n\n- Display help:\n\n`am --help`\n",
    }
    assert training_sets.tldr(files) == (
        {"common/am#0": ("", "am -s app"), "common/am#1": ("", "am --help")},
        {
            "common/am#0": "start an [app]",
            "common/am#1": "Show help",
            "linux/am#0": "Display help",
        },
        {
            "train": [
                ("common/am#0", "common/am#0"),
                ("common/am#1", "common/am#1"),
                ("linux/am#0", "common/am#1"),
            ]
        },
    )


def test_nl2bash_pairs_lines() -> None:
    """The same command of two descriptions is one document."""
    files = {"data/bash/all.nl": b"list\nshow \nnow\n", "data/bash/all.cm": b"ls\nls\ndate\n"}
    assert training_sets.nl2bash(files) == (
        {"c0": ("", "ls"), "c1": ("", "date")},
        {"q0": "list", "q1": "show", "q2": "now"},
        {"train": [("q0", "c0"), ("q1", "c0"), ("q2", "c1")]},
    )


def test_medquad_leaves_out_questions_without_an_answer() -> None:
    """Folders go by number, and the last of an id's documents takes the first one's place."""

    def document(focus: str, *pairs: tuple[str, str, str]) -> bytes:
        listed = "".join(
            f'<QAPair><Question qid="{qid}">{question}</Question><Answer>{answer}</Answer></QAPair>'
            for qid, question, answer in pairs
        )
        text = f'<Document source="S"><Focus>{focus}</Focus><QAPairs>{listed}</QAPairs></Document>'
        return text.encode()

    files = {
        "10_A_QA/1.xml": document("Late", ("1-1", "What is Late ?", "Last.")),
        "9_B_QA/1.xml": document(
            "Flu", ("1-1", "What ?", "First."), ("1-2", "How\n ?", " A\n  virus."), ("1-3", "x", "")
        ),
    }
    assert training_sets.medquad(files) == (
        {"S:1-1": ("Late", "Last."), "S:1-2": ("Flu", "A virus.")},
        {"q:S:1-1": "What is Late ?", "q:S:1-2": "How ?"},
        {"train": [("q:S:1-1", "S:1-1"), ("q:S:1-2", "S:1-2")]},
    )


def test_scifact_joins_the_printed_sentences_of_an_abstract() -> None:
    """A claim cites documents whether or not one of them has evidence, each of them once."""
    head = "id,claim,evidence_doc_id,evidence_label,evidence_sentences,cited_doc_ids\n"
    abstract = r"""['It\'s one.   \n'""" + "\n" + r""" "It's 'two'."]"""
    quoted = abstract.replace('"', '""')
    corpus = f'doc_id,title,abstract,structured\n5,T,"{quoted}",False\n'
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("corpus_train.csv", corpus)
        archive.writestr("claims_train.csv", head + '1,"A, b",,,[],[5]\n4,D,,,[],[5]\n')
        rows = "2,C,5,SUPPORT,[1],[5 9]\n2,C,5,SUPPORT,[2],[5 9]\n"
        archive.writestr("claims_validation.csv", head + rows)
    assert evaluation_sets.scifact({"data/scifact.zip": packed.getvalue()}) == (
        {"5": ("T", "It's one. It's 'two'.")},
        {"1": "A, b", "4": "D", "2": "C"},
        {"train": [("1", "5"), ("4", "5")], "test": [("2", "5"), ("2", "9")]},
    )


def test_cosqa_takes_functions_by_their_number() -> None:
    """Queries of both splits stand in one file."""
    rows = [[{"idx": f"q{at}", "doc": f"do {at}", "retrieval_idx": at}] for at in (0, 1)]
    files = {
        "data/search/code_idx_map.txt": as_json({"def a():\n    pass": 0, "def b(): ...": 1}),
        "data/search/cosqa-retrieval-dev-500.json": as_json(rows[0]),
        "data/search/cosqa-retrieval-test-500.json": as_json(rows[1]),
    }
    assert evaluation_sets.cosqa(files) == (
        {"0": ("", "def a():\n    pass"), "1": ("", "def b(): ...")},
        {"q0": "do 0", "q1": "do 1"},
        {"dev": [("q0", "0")], "test": [("q1", "1")]},
    )


def test_tatqa_finds_the_table_and_the_paragraphs_of_an_answer() -> None:
    """The table stands first, and only where the answer is from it."""
    report = {
        "table": {"uid": "t", "table": [["", "2019"], ["Sales", "$ 7"]]},
        "paragraphs": [{"uid": "p", "order": 1, "text": "In millions."}],
        "questions": [
            {"uid": "a", "question": "A?", "answer_from": "table-text", "rel_paragraphs": ["1"]},
            {"uid": "b", "question": "B?", "answer_from": "text", "rel_paragraphs": ["1"]},
        ],
    }
    files = {
        "dataset_raw/tatqa_dataset_dev.json": as_json([report]),
        "dataset_raw/tatqa_dataset_test_gold.json": as_json([]),
    }
    assert evaluation_sets.tatqa(files) == (
        {"t": ("table", " | 2019\nSales | $ 7"), "p": ("", "In millions.")},
        {"a": "A?", "b": "B?"},
        {"dev": [("a", "t"), ("a", "p"), ("b", "p")], "test": []},
    )


def test_contractnli_cuts_agreements_and_finds_the_pieces_of_gold_spans() -> None:
    """Pieces end in their second half at a line, else a sentence, else a word, else anywhere."""
    agreements = {
        "M": (f"{'a' * 250}\n{'b' * 300}", [0, 251, 551]),
        "N": (f"{'a' * 249}\n{'b' * 240}. see {'c' * 296} {'d' * 600}", [0, 492, 793, 1293, 1393]),
    }
    gold = [[0, 5], [480, 540], [488, 700]]  # 12 and 48 characters of a piece are no 50
    tests = [
        {"query": f"Q{at}", "snippets": [{"file_path": "contractnli/N.txt", "span": span}]}
        for at, span in enumerate(gold)
    ]
    files = {"src/data/benchmarks/contractnli.json": as_json({"tests": tests})}
    pieces = []
    for name, (text, ends) in agreements.items():
        files[f"src/data/corpus/contractnli/{name}.txt"] = text.encode()
        pieces += [f"contractnli/{name}.txt:{one}-{other}" for one, other in pairwise(ends)]
    found = evaluation_sets.contractnli(files)
    assert list(found.documents) == pieces
    assert found.documents[pieces[2]] == ("N", f"{'a' * 249} {'b' * 240}.")
    assert found.queries == {"q0": "Q0", "q1": "Q1", "q2": "Q2"}
    assert found.qrels == {"test": [("q0", pieces[2]), ("q2", pieces[3])]}


def test_without_a_folder_it_prints_how_to_get_every_source() -> None:
    """One line for each, with the whole commit."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE), "--sources", "my sources"],
        capture_output=True,
        text=True,
        check=True,
    )
    printed = done.stdout.splitlines()
    assert len(printed) == len(recipes.RECIPES) == 9
    for line, recipe in zip(printed, recipes.RECIPES.values(), strict=True):
        assert line.endswith(f" https://github.com/{recipe.repository} {recipe.commit}")
        assert line.startswith(f"git init -q 'my sources/{recipe.repository.split('/')[1]}' && ")


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A commit of a repository that stands for GitHub's someone/pairs, and what comes after it."""
    folder = tmp_path / "github" / "someone" / "pairs"
    (folder / "data" / "bash").mkdir(parents=True)
    settings = {
        f"url.{(tmp_path / 'github').as_uri()}/.insteadOf": "https://github.com/",
        "protocol.file.allow": "always",
        "user.name": "t",
        "user.email": "t@example.org",
        "core.autocrlf": "true",  # a setting that must do no harm
        "safe.directory": "*",
    }
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_COUNT", str(len(settings)))
    for at, (key, value) in enumerate(settings.items()):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{at}", key)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{at}", value)

    def git(*arguments: str) -> str:
        run = ["git", "-C", str(folder), *arguments]
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "-q")
    git("config", "uploadpack.allowAnySHA1InWant", "true")  # as GitHub has it
    (folder / "data" / "bash" / "all.nl").write_bytes(b"list\nshow\n")
    (folder / "data" / "bash" / "all.cm").write_bytes(b"ls\ncat f\n")
    git("add", ".")
    git("commit", "-qm", "one")
    commit = git("rev-parse", "HEAD")
    (folder / "data" / "bash" / "all.nl").write_bytes(b"list\nsomething else\n")
    git("commit", "-qam", "two")
    return commit


def only(monkeypatch: pytest.MonkeyPatch, commit: str, digest: str) -> ModuleType:
    """The command, knowing one collection."""
    module = command()
    recipe = recipes.RECIPES["nl2bash"]
    known = recipe._replace(repository="someone/pairs", commit=commit, digest=digest)
    monkeypatch.setattr(module, "RECIPES", {"pairs": known})
    return module


WRITTEN = {
    "corpus.jsonl": b'{"_id": "c0", "title": "", "text": "ls"}\n'
    b'{"_id": "c1", "title": "", "text": "cat f"}\n',
    "qrels/train.tsv": b"query-id\tcorpus-id\tscore\nq0\tc0\t1\nq1\tc1\t1\n",
    "queries.jsonl": b'{"_id": "q0", "text": "list"}\n{"_id": "q1", "text": "show"}\n',
}
SUMS = "".join(f"{sha256(content).hexdigest()}  {name}\n" for name, content in WRITTEN.items())
DIGEST = sha256(SUMS.encode()).hexdigest()


def test_command_names_what_is_missing_and_then_writes_it(
    origin: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What it tells to run gets the commit, even after others; what it writes is read by zelo."""
    monkeypatch.chdir(tmp_path)
    module = only(monkeypatch, origin, DIGEST)
    assert module.main(["--out", "data"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("Error: the sources of pairs are not there. Get them by\ngit init")
    assert not (tmp_path / "data").exists()
    shell = shutil.which("sh")
    assert shell is not None
    subprocess.run([shell, "-ec", told.splitlines()[1]], check=True)
    assert module.main(["--out", "data", "pairs"]) == 0
    row = capsys.readouterr().out.splitlines()[1]
    assert row.split()[:4] == ["pairs", "2", "2", "2"]
    assert f"someone/pairs {origin[:7]}, MIT" in row
    for name, content in WRITTEN.items():
        assert (tmp_path / "data" / "pairs" / name).read_bytes() == content
    collection = read_collection(tmp_path / "data" / "pairs", split="train").collection
    assert collection.qrels == {"q0": {"c0": 1}, "q1": {"c1": 1}}


def test_command_writes_nothing_that_is_not_what_it_should_be(
    origin: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Another digest means other data than zelo-nano's."""
    module = only(monkeypatch, origin, 64 * "0")
    (tmp_path / "sources").mkdir()
    shutil.copytree(tmp_path / "github" / "someone" / "pairs", tmp_path / "sources" / "pairs")
    out = tmp_path / "data"
    assert module.main(["--sources", str(tmp_path / "sources"), "--out", str(out)]) == 1
    assert (
        f"pairs does not come out as it should: its digest is {DIGEST}" in capsys.readouterr().err
    )
    assert not out.exists()


def test_files_are_those_of_the_commit_to_the_byte(origin: str, tmp_path: Path) -> None:
    """Whatever git is set to make of line ends, and whatever is checked out."""
    folder = tmp_path / "github" / "someone" / "pairs"
    assert repositories.read(folder, origin, ["data/*.nl", "data/bash/all.cm"]) == {
        "data/bash/all.nl": b"list\nshow\n",
        "data/bash/all.cm": b"ls\ncat f\n",
    }


def test_command_tells_which_file_a_repository_lacks(
    origin: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A commit without the file is another repository's."""
    module = only(monkeypatch, origin, DIGEST)
    recipe = module.RECIPES["pairs"]
    monkeypatch.setattr(module, "RECIPES", {"pairs": recipe._replace(paths=("data/none",))})
    sources = tmp_path / "github" / "someone"
    assert module.main(["--sources", str(sources), "--out", str(tmp_path / "data")]) == 1
    told = capsys.readouterr().err
    assert "git cannot read data/none of commit" in told
    assert "did not match any files" in told


def test_command_knows_its_collections(capsys: pytest.CaptureFixture[str]) -> None:
    """Another name is refused with those that there are."""
    with pytest.raises(SystemExit):
        command().main(["--out", "data", "squad"])
    assert "no collection squad; there are nqg, clapnq" in capsys.readouterr().err
