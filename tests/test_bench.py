"""The benchmark: it runs, it compares like with like, and its report says what it promises.

Nothing here asserts a time, or how large a ratio is.
"""

import io
import json
import math
import re
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median, stdev

import pytest
import torch
from rich.console import Console
from tokenizers import Tokenizer
from typer.testing import CliRunner

from zelo.bench import (
    LogNormal,
    Memory,
    Report,
    Settings,
    Shape,
    log_normal_workload,
    memory,
    run_bench,
    shape_named,
)
from zelo.bench.measure import compare, largest_difference
from zelo.bench.memory import peak_growth
from zelo.bench.models import read_tokenizer, write_random_model
from zelo.bench.peers import load_cross_encoder
from zelo.bench.report import rendered
from zelo.bench.results import Comparison
from zelo.bench.workloads import Workload
from zelo.cli import app
from zelo.errors import InputError, MissingExtraError, ModelFileError, ScoringError

SHAPE = Shape("tiny", 2, 64, 96, 4, 2, 16, vocabulary=1_024)
LAW = LogNormal(median=20, sigma=0.7)


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_json: str) -> Path:
    """A folder that holds a small tokenizer and nothing else."""
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "tokenizer.json").write_text(tiny_tokenizer_json, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def settings(tokenizer_folder: Path) -> Settings:
    """A benchmark of a second or two."""
    return Settings(
        shape=SHAPE,
        tokenizer=tokenizer_folder,
        documents=(5, 12),
        law=LAW,
        peer_batch_sizes=(4, 32),
        rounds=2,
        memory=False,
    )


@pytest.fixture(scope="module")
def report(settings: Settings) -> Report:
    """What such a benchmark finds."""
    return run_bench(settings)


def _text(report: Report) -> str:
    """The report as an 80 columns wide terminal shows it."""
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(rendered(report))
    return console.export_text()


def test_both_sides_compute_the_same_logits(report: Report) -> None:
    """CrossEncoder and zelo load the same random folder and agree, so that ratios are given."""
    assert report.agrees
    assert [workload.documents for workload in report.workloads] == [5, 12]
    for workload in report.workloads:
        assert [comparison.batch_size for comparison in workload.comparisons] == [4, 32]
        for comparison in workload.comparisons:
            assert comparison.max_logit_difference is not None
            assert comparison.max_logit_difference < 1e-4
        # the logits say something: they differ by far more than the two sides do
        assert workload.logit_spread > 1e-2


def test_a_ratio_is_peer_time_over_zelo_time_of_adjacent_runs(report: Report) -> None:
    """Every ratio lies between the smallest and largest quotient of its pairs of runs."""
    for workload in report.workloads:
        for comparison in workload.comparisons:
            pairs = zip(comparison.peer_seconds, comparison.zelo_seconds, strict=True)
            quotients = [peer / zelo for peer, zelo in pairs]
            assert len(quotients) == report.rounds
            assert comparison.ratio is not None
            assert comparison.ratio.median == pytest.approx(median(quotients))
            assert comparison.ratio.lowest == min(quotients)
            assert comparison.ratio.highest == max(quotients)
        assert workload.best is not None
        assert workload.best.ratio == min(c.ratio for c in workload.comparisons if c.ratio)


def test_the_json_holds_what_is_promised(report: Report) -> None:
    """The report is plain JSON that names versions, machine, model, workloads and ratios."""
    content = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert {"model", "shape", "dtype", "machine", "rounds", "agrees", "workloads"} <= set(content)
    assert "peer seconds / zelo seconds" in content["ratio_means"]
    packages = {"zelo", "python", "torch", "transformers", "sentence-transformers", "tokenizers"}
    assert set(content["machine"]["versions"]) == packages
    assert content["machine"]["threads"] == torch.get_num_threads()
    assert content["machine"]["cpu"]
    assert content["shape"] == {
        "layers": 2,
        "hidden": 64,
        "intermediate": 96,
        "heads": 4,
        "kv_heads": 2,
        "head_dim": 16,
        "vocabulary": 1_024,
    }
    for workload in content["workloads"]:
        assert workload["query_tokens"] > 0
        assert workload["document_tokens"] >= workload["documents"]
        ratios = {c["peer"]: c["ratio"]["median"] for c in workload["comparisons"]}
        assert workload["default"]["ratio"] == ratios["CrossEncoder/32"]
        assert workload["best"]["ratio"] == min(ratios.values())


def test_the_table_names_all_that_a_number_depends_on(report: Report) -> None:
    """The table for people says versions, processor, threads, dtype, tokens and what a ratio is."""
    text = " ".join(_text(report).split())
    tokens = report.workloads[1].document_tokens
    for part in (
        f"torch {torch.__version__}",
        report.machine.cpu,
        f"{report.machine.threads} threads",
        "float32",
        f"12 documents, {tokens:,} tokens",
        "ratio = peer time / zelo time",
    ):
        assert " ".join(part.split()) in text
    assert "CrossEncoder/32" in text


class _Fixed:
    """A side whose logits are given."""

    def __init__(self, name: str, logits: Sequence[float]) -> None:
        self.name = name
        self.calls: list[str] = []
        self._logits = list(logits)

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return the given logits."""
        self.calls.append(query)
        return self._logits


WORKLOAD = Workload("two documents", "q", ("a", "b"), 1, (1, 1))


@pytest.mark.parametrize("theirs", [[1.0, 2.002], [1.0, math.nan], [1.0, math.inf]])
def test_no_ratio_where_the_sides_disagree(theirs: list[float], report: Report) -> None:
    """A peer that computed something else gets no ratio, neither in JSON nor in the table."""
    ours = _Fixed("zelo", [1.0, 2.0])
    peers = [_Fixed("peer", theirs)]
    comparisons, logits = compare(ours, peers, WORKLOAD, rounds=2, tolerance=1e-3)
    assert logits == [1.0, 2.0]
    assert not comparisons[0].agrees
    assert comparisons[0].ratio is None
    workload = replace(report.workloads[0], comparisons=tuple(comparisons))
    refused = replace(report, workloads=(workload,))
    content = json.loads(json.dumps(refused.as_json(), allow_nan=False))
    assert content["agrees"] is False
    assert content["workloads"][0]["best"] is None
    assert "did not do the same work" in " ".join(_text(refused).split())


def test_runs_alternate_and_every_round_is_checked() -> None:
    """Each run of a peer follows a run of zelo, and a difference in any round is kept."""
    order: list[str] = []
    ours, one, other = (_Fixed(name, [0.0, 0.0]) for name in ("zelo", "one", "other"))
    comparisons, _ = compare(
        ours, [one, other], WORKLOAD, rounds=2, tolerance=1e-3, on_run=order.append
    )
    assert order == ["zelo", "one", "zelo", "other"] * 2
    assert [len(c.zelo_seconds) for c in comparisons] == [2, 2]
    assert largest_difference([0.0, 1.0], [0.5, 1.0]) == 0.5
    assert largest_difference([0.0], [math.nan]) is None


def test_the_ratio_is_the_median_of_pairs_not_of_times() -> None:
    """Pairs (1 s, 2 s), (10 s, 20 s), (1 s, 3 s) of zelo and peer give 2, 2, 3: median 2."""
    comparison = Comparison("peer", 4, (1.0, 10.0, 1.0), (2.0, 20.0, 3.0), 0.0, 1e-3)
    assert comparison.ratio is not None
    assert tuple(comparison.ratio) == (2.0, 2.0, 3.0)


def test_workloads_are_the_same_at_every_call(tiny_tokenizer_json: str) -> None:
    """Equal arguments give equal texts; another number of documents gives other ones."""
    one = log_normal_workload(tiny_tokenizer_json, 20)
    assert one == log_normal_workload(tiny_tokenizer_json, 20)
    assert set(one.documents).isdisjoint(log_normal_workload(tiny_tokenizer_json, 21).documents)
    assert len(set(one.documents)) == 20


def test_lengths_are_log_normal_tokens(tiny_tokenizer_json: str) -> None:
    """Over 2,000 documents, median and sigma are the law's; the bounds are about 4 deviations.

    The median of n log-normal lengths deviates by 1.25 sigma / sqrt(n) = 2 %, sigma by
    sigma / sqrt(2 n) = 0.011.
    """
    workload = log_normal_workload(tiny_tokenizer_json, 2_000)
    lengths = workload.document_tokens
    assert median(lengths) == pytest.approx(150, rel=0.08)
    assert stdev(map(math.log, lengths)) == pytest.approx(0.7, abs=0.045)
    tokenizer = Tokenizer.from_str(tiny_tokenizer_json)
    for document, length in zip(workload.documents[:50], lengths[:50], strict=True):
        assert len(tokenizer.encode(document, add_special_tokens=False).ids) == length
        assert re.fullmatch("[a-z ]+", document)
    assert workload.query_tokens < 20


def test_a_random_model_is_the_same_at_every_call(tmp_path: Path, tiny_tokenizer_json: str) -> None:
    """Two folders of one shape are equal to the byte, and the caller's randomness is untouched."""
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_random_model(tmp_path / name, SHAPE, tiny_tokenizer_json)
    assert torch.equal(torch.rand(3), expected)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert len(files) >= 8
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


def _hold(size: int) -> None:
    held = torch.ones(size, dtype=torch.uint8)
    time.sleep(0.05)
    del held


def test_memory_growth_is_what_was_held_at_once() -> None:
    """Holding 64 MiB for a moment shows as at least that and not as twice that."""
    size = 64 * 2**20
    for measured in (peak_growth, memory._sampled_growth):
        grown = measured(lambda: _hold(size))
        assert 0.95 * size <= grown.growth_bytes < 2 * size


def test_memory_is_measured_in_processes_of_their_own(
    tiny_model: Path, tmp_path: Path, report: Report
) -> None:
    """Each side's growth is told by name in table and JSON; a process that fails is an error.

    The last line of what that process said becomes the message.
    """

    def grown(folder: Path, batch_size: int | None) -> Memory:
        return memory.memory_growth(
            folder, batch_size, documents=5, law=LAW, dtype="float32", threads=1
        )

    with ThreadPoolExecutor() as pool:  # most of it is importing torch
        ours = pool.submit(grown, tiny_model, None)
        theirs = pool.submit(grown, tiny_model, 32)
        failing = pool.submit(grown, tmp_path, None)
        sides = {"zelo": ours.result(), "CrossEncoder/32": theirs.result()}
        with pytest.raises(ScoringError, match=r"tokenizer\.json"):
            failing.result()
    assert all(side.growth_bytes >= 0 and side.method for side in sides.values())
    told = replace(report, workloads=(replace(report.workloads[0], memory=sides),))
    content = json.loads(json.dumps(told.as_json()))["workloads"][0]["memory"]
    assert content["zelo"]["growth_bytes"] == sides["zelo"].growth_bytes
    assert "Peak memory" in _text(told)


def test_the_command_writes_one_json_object(tiny_model: Path) -> None:
    """`zelo bench --model FOLDER --json` measures a given model and writes nothing else."""
    result = CliRunner().invoke(
        app,
        [
            *("bench", "--model", str(tiny_model), "--documents", "3", "--rounds", "1"),
            *("--peer-batch-sizes", "2", "--no-memory", "--json"),
        ],
    )
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["model"] == str(tiny_model)
    assert content["workloads"][0]["default"] is None  # batch size 32 was not asked for
    assert content["workloads"][0]["best"]["peer"] == "CrossEncoder/2"


@pytest.mark.parametrize(
    "arguments",
    [["--documents", "10,x"], ["--shape", "huge"], ["--dtype", "int3"], ["--documents", "0"]],
)
def test_wrong_options_are_usage_errors(arguments: list[str], tokenizer_folder: Path) -> None:
    """A wrong option ends with exit code 2 before anything is loaded."""
    result = CliRunner().invoke(app, ["bench", "--tokenizer", str(tokenizer_folder), *arguments])
    assert result.exit_code == 2, result.output


def test_a_missing_peer_is_one_install_command(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without sentence-transformers the error holds the command that installs it."""
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=re.escape('pip install "zelo[bench]"')):
        load_cross_encoder(tiny_model, "float32")


def test_unusable_folders_are_named(tmp_path: Path, tiny_forms: dict[str, Path]) -> None:
    """A folder without tokenizer, with a broken one, or of another form gives a typed error."""
    with pytest.raises(InputError, match=r"tokenizer\.json"):
        read_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelFileError, match="not a tokenizer"):
        read_tokenizer(tmp_path)
    with pytest.raises(InputError, match=r"modules\.json"):
        load_cross_encoder(tiny_forms["causal"], "float32")
    with pytest.raises(InputError, match="cpu-small"):
        shape_named("cpu-smal")
