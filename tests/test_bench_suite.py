"""The suite of `zelo bench`: it measures what is asked, says what it could not, and loses no row.

Nothing here asserts a time. What only a card can show is marked `gpu`.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from zelo.bench.models import SHAPES, Shape, read_tokenizer
from zelo.bench.suite import SuiteReport, SuiteSettings, judged, run_suite, subject
from zelo.bench.suite.asked import ASKED
from zelo.bench.suite.chart import draw
from zelo.bench.suite.files import JSON, as_json, write_json
from zelo.bench.suite.results import Against, Key, Loading, PeakMemory, Speed, Stream
from zelo.bench.suite.scale import CARD, Scale
from zelo.bench.suite.stage import Stage, Texts
from zelo.bench.suite.subject import SENTENCE_TRANSFORMERS, Subject
from zelo.bench.workloads import writer_of
from zelo.cli import app
from zelo.errors import InputError, ScoringError

TINY = Shape("tiny", 2, 64, 96, 4, 2, 16, vocabulary=10_304)
SCALE = Scale(
    name="small",
    shapes=("tiny",),
    dtype="float32",
    quantizations=("none",),
    fewer=50,
    shorter=8,
    peer_batch_sizes=(1, 2),
    pack_tokens=128,
    calls=2,
    small_calls=3,
    stream_calls=3,
    rounds=1,
    ceiling_size=32,
)


@pytest.fixture(scope="module", autouse=True)
def _shape() -> Iterator[None]:
    """Let the tiny shape be known by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SHAPES, "tiny", TINY)
        yield


@pytest.fixture(scope="module")
def reports() -> list[SuiteReport]:
    """What a whole run told after each of its steps, the last one twice."""
    told: list[SuiteReport] = []
    told.append(run_suite(SuiteSettings(scale=SCALE), on_report=told.append))
    return told


@pytest.fixture(scope="module")
def report(reports: list[SuiteReport]) -> SuiteReport:
    """What a whole run found."""
    return reports[-1]


def test_everything_is_measured_once(report: SuiteReport) -> None:
    """No row is without a result, and none is there twice."""
    assert [row.key for row in report.problems()] == []
    keys = [row.key for row in report.rows]
    assert len(set(keys)) == len(keys)
    kinds = {type(row.result) for row in report.rows}
    assert kinds == {Loading, Speed, Stream, Against, PeakMemory}


def test_all_that_is_asked_has_a_row(report: SuiteReport) -> None:
    """A card's run makes every row that a figure is asked of: the small one makes the same."""
    made = {row.key[2:] for row in report.rows}
    assert {asked.key[2:] for asked in ASKED} <= made
    assert {asked.key.model for asked in ASKED} == set(CARD.shapes) <= set(SHAPES)
    assert {asked.key.quantization for asked in ASKED} == set(CARD.quantizations)


def test_reports_grow_row_by_row(reports: list[SuiteReport]) -> None:
    """The first tells the ceiling alone, and each further one has a row more."""
    assert reports[0].ceiling is not None
    counts = [len(report.rows) for report in reports]
    assert counts == [*range(len(counts) - 1), len(counts) - 2]


def test_without_a_card_all_that_is_asked_is_unmeasured(report: SuiteReport) -> None:
    """Not one figure of a processor stands where a card's is asked for."""
    assert {found.verdict for found in judged(report)} == {"unmeasured"}
    assert all(found.value is None for found in judged(report))


def test_peers_compute_the_same_logits(report: SuiteReport) -> None:
    """sentence-transformers and plain transformers agree with zelo, so that ratios are given."""
    found = report.results(Against)
    assert {key.peer for key, _ in found} == {"sentence-transformers", "transformers"}
    for key, against in found:
        difference = against.comparison.max_logit_difference
        assert difference is not None
        assert difference < 1e-4 < against.logit_spread, key
        assert against.comparison.batch_size == min(against.probes, key=against.probes.__getitem__)
        assert set(against.probes) == set(SCALE.peer_batch_sizes)


def test_a_share_counts_each_unique_token_once(report: SuiteReport) -> None:
    """2 x projection weights x unique tokens / time / ceiling, with weights counted by hand.

    A layer: queries 64 x 64, keys and values 64 x 32 each, output 64 x 64, MLP 3 x 64 x 96.
    """
    weights = 2 * (64 * 64 + 2 * 64 * 32 + 64 * 64 + 3 * 64 * 96)
    for key, speed in report.results(Speed):
        assert speed.projection_weights == weights
        assert speed.unique_tokens < speed.unshared_tokens, key
        seconds = sorted(speed.seconds)[len(speed.seconds) // 2 - (len(speed.seconds) % 2 == 0)]
        work = 2 * weights * speed.unique_tokens
        assert speed.share(seconds) == pytest.approx(work / seconds / speed.ceiling)
    assert SHAPES["zerank-2"].projection_weights == 3_633_315_840  # 7.2666 GFLOP a token


def test_memory_is_of_full_packs(report: SuiteReport) -> None:
    """The packs whose memory is measured are as large as was asked, and two of them are full."""
    ((_, memory),) = report.results(PeakMemory)
    assert memory.pack_tokens == 128
    assert memory.packs >= 2
    assert memory.tokens > 128


def test_json_is_plain_and_whole(report: SuiteReport) -> None:
    """Rows, their figures and what is asked are written out, without NaN."""
    content = json.loads(json.dumps(as_json(report), allow_nan=False))
    assert content["says_something_of_a_card"] is False
    assert len(content["rows"]) == len(report.rows)
    assert {one["verdict"] for one in content["asked"]} == {"unmeasured"}
    against = next(row for row in content["rows"] if row["measure"] == "against")
    assert against["figures"]["ratio"] == against["result"]["comparison"]["ratio"]["median"]


def test_an_interrupted_run_leaves_its_rows_and_no_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was measured until then is on disk as whole JSON; the random weights are gone."""
    made: list[Path] = []
    write = subject.write_random_model

    def written(folder: Path, *options: Any) -> None:
        made.append(folder)
        write(folder, *options)

    monkeypatch.setattr(subject, "write_random_model", written)

    def keep(report: SuiteReport) -> None:
        write_json(report, tmp_path)
        if len(report.rows) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_suite(SuiteSettings(scale=SCALE), on_report=keep)
    rows = json.loads((tmp_path / JSON).read_text(encoding="utf-8"))["rows"]
    assert [row["measure"] for row in rows] == ["loading", "speed"]
    assert [path.name for path in tmp_path.iterdir()] == [JSON]
    assert [folder.exists() for folder in made] == [False]


@pytest.fixture(scope="module")
def broken() -> SuiteReport:
    """What is found where fp8 is refused, and sentence-transformers runs out of memory."""
    load = Subject.load_zelo

    def refuse(self: Subject, quantization: str, *options: Any) -> Any:
        if quantization == "fp8":
            self.unload_zelo()
            raise InputError("no such card")
        return load(self, quantization, *options)

    def no_room(*_: object) -> object:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\nmore")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Subject, "load_zelo", refuse)
        patch.setattr(subject, "load_cross_encoder", no_room)
        return run_suite(SuiteSettings(scale=replace(SCALE, quantizations=("none", "fp8"))))


def test_a_peer_that_breaks_costs_its_own_rows(broken: SuiteReport) -> None:
    """Out of memory in a peer is a row with that error; zelo's rows and other peers' stay."""
    failed = [row for row in broken.problems() if row.key.quantization == "none"]
    assert {row.key.peer for row in failed} == {SENTENCE_TRANSFORMERS}
    said = "OutOfMemoryError: CUDA out of memory. Tried to allocate 20 GiB."
    assert {row.problem for row in failed} == {said}
    assert [key.quantization for key, _ in broken.results(PeakMemory)] == ["none"]


def test_a_number_format_that_cannot_be_loaded_has_no_figures(broken: SuiteReport) -> None:
    """Its rows say so, and none of them holds a figure of the format that was loaded before."""
    rows = [row for row in broken.rows if row.key.quantization == "fp8"]
    assert len(rows) > 10
    assert all(row.result is None for row in rows)
    assert (rows[0].key.measure, rows[0].problem) == ("loading", "no such card")
    assert "not loaded" in str(rows[1].problem)


def test_a_batch_size_without_room_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The comparison is with the fastest of the batch sizes that the peer can do."""
    peer = Subject.peer

    def small_only(self: Subject, name: str, batch_size: int) -> Any:
        if batch_size > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return peer(self, name, batch_size)

    monkeypatch.setattr(Subject, "peer", small_only)
    cpu = torch.device("cpu")
    with closing(Subject("tiny", read_tokenizer(), "float32", cpu)) as under_test:
        stage = Stage(
            subject=under_test,
            quantization="none",
            scale=SCALE,
            texts=Texts(writer_of(read_tokenizer()), SCALE, under_test.encoder),
            device=cpu,
            ceiling=1e9,
        )
        stage.load()
        found = stage.against("transformers", "short")
        assert found.comparison.batch_size == 1
        assert list(found.probes) == [1]
        monkeypatch.setattr(Subject, "peer", lambda self, name, _: small_only(self, name, 2))
        with pytest.raises(torch.OutOfMemoryError):
            stage.against("transformers", "rag")


def test_no_figure_is_of_another_number_format(tiny_model: Path) -> None:
    """Asking for a model that is not the one loaded is an error, not that one's figure."""
    under_test = Subject(str(tiny_model), read_tokenizer(), "float32", torch.device("cpu"))
    with pytest.raises(ScoringError, match="not loaded"):
        under_test.zelo("none")
    try:
        under_test.load_zelo("none")
        assert under_test.zelo("none")
        with pytest.raises(ScoringError, match="not loaded"):
            under_test.zelo("fp8")
    finally:
        under_test.close()
    assert tiny_model.exists()  # a folder that was given stays


def test_a_short_run_says_what_it_left_out() -> None:
    """With no time at all no row is measured, and each says about how long it would have taken."""
    report = run_suite(SuiteSettings(scale=SCALE, minutes=1e-9))
    assert report.problems() == list(report.rows)
    assert all("left out: about" in str(row.problem) for row in report.rows)


def test_senseless_settings_are_refused(tmp_path: Path) -> None:
    """No time, and a model that is neither a shape nor a folder here, are the caller's errors."""
    with pytest.raises(InputError, match="minutes=0"):
        run_suite(SuiteSettings(scale=SCALE, minutes=0))
    with pytest.raises(InputError, match="on the hub"):
        run_suite(SuiteSettings(scale=SCALE, models=("zerank-2-of-mine/x",)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_card_measures_what_only_a_card_can() -> None:
    """On a card the idle share, memory on the device and fp8's rows are there."""
    shape = "tiny"
    quantizations = ("none", "fp8") if torch.cuda.get_device_capability() >= (8, 9) else ("none",)
    scale = replace(
        SCALE, name="card", shapes=(shape,), dtype="bfloat16", quantizations=quantizations
    )
    report = run_suite(SuiteSettings(scale=scale))
    assert [(str(row.key), row.problem) for row in report.problems()] == []
    assert all(stream.idle_share is not None for _, stream in report.results(Stream))
    assert all("max_memory" in memory.method for _, memory in report.results(PeakMemory))


# --- the command


@pytest.fixture
def _tiny_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    from zelo.bench.suite import run

    monkeypatch.setattr(run, "SMALL", SCALE)


@pytest.mark.usefixtures("_tiny_scale")
@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a card")
def test_the_command_goes_on_without_what_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says first that there is no card, and last that there is no chart; all else is there."""
    for package in ("matplotlib", "matplotlib.figure", "psutil", "sentence_transformers"):
        monkeypatch.setitem(sys.modules, package, None)
    out = tmp_path / "made" / "here"
    result = CliRunner().invoke(app, ["bench", "--suite", "gpu", "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    said = " ".join(result.stderr.split())
    assert said.startswith("zelo: No GPU here")
    assert 'no chart: drawing a chart needs more packages: pip install "zelo[bench]"' in said
    content = json.loads(result.stdout)
    missing = [row for row in content["rows"] if row["result"] is None]
    assert {row["peer"] for row in missing} == {"sentence-transformers"}
    written = json.loads((out / "suite.json").read_text())
    assert written["rows"] == content["rows"]
    assert {path.name for path in out.iterdir()} == {"suite.json", "suite.md"}


def test_the_chart_is_a_picture(report: SuiteReport, tmp_path: Path) -> None:
    """Both panels have lines, and what has nothing to show leaves no file."""
    assert draw(report, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    assert not draw(replace(report, rows=()), tmp_path / "empty.png")
    assert not (tmp_path / "empty.png").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--suite", "gpu", "--documents", "3"], "--documents does not belong"),
        (["--suite", "gpu", "--no-memory"], "--memory does not belong"),
        (["--out", "somewhere"], "--out belongs to --suite"),
        (["--minutes", "3"], "--minutes belongs to --suite"),
        (["--suite", "cpu"], "gpu"),
        (["--suite", "gpu", "--minutes", "0"], "0.1"),
        (["--suite", "gpu", "--shape", "huge", "--out", "x"], "huge"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_options_of_the_other_benchmark_are_refused(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An option that would do nothing is a usage error, which names it."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["bench", *arguments])
    assert result.exit_code in (1, 2), result.output
    assert said in " ".join(result.output.replace("│", " ").split())


def test_a_kernel_is_told_from_what_stands_for_many() -> None:
    """Annotations, which cover the gaps between kernels, do not count as work."""
    from zelo.bench.suite.idle import _is_kernel

    def event(kind: str, name: str, annotation: bool = False) -> Any:
        return SimpleNamespace(
            device_type=SimpleNamespace(name=kind), name=name, is_user_annotation=annotation
        )

    assert _is_kernel(event("CUDA", "gemm"))
    assert not _is_kernel(event("CPU", "aten::mm"))
    assert not _is_kernel(event("CUDA", "## Call CompiledFxGraph f1 ##"))
    assert not _is_kernel(event("CUDA", "range", annotation=True))


def test_keys_are_told_in_words() -> None:
    """A row is named by model, number format, workload and peer."""
    assert str(Key("zerank-2", "fp8", "speed", "rag")) == "zerank-2, fp8, rag"
    assert str(Key("a", "none", "against", "rag", "b")) == "a, none, rag, against b"
    assert str(Key("a", "none", "loading")) == "a, none, loading"
