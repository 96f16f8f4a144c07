"""Writing the report of a run: report.json, report.md and charts, over those of an earlier one."""

import json
import pathlib
from collections.abc import Iterator

from zelo._common.atomic_write import whole_file
from zelo.evaluation.reporting.markdown import escaped, grid_lines
from zelo.training.pipeline.charts import charts
from zelo.training.pipeline.grids import details, overview, stages_of
from zelo.training.pipeline.legend import legend
from zelo.training.pipeline.remarks import remarks
from zelo.training.pipeline.report import Report, outdated

__all__ = ["write_report"]


def write_report(report: Report, folder: pathlib.Path) -> None:
    """Write the report into the work folder.

    Raises:
        OutputError: a file cannot be written.
    """
    figures = json.dumps(report, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    _write(folder / "report.json", figures.encode("utf-8", "backslashreplace"))
    for name, content in charts(report):
        _write(folder / "charts" / name, content)
    text = "\n".join(_lines(report, folder)) + "\n"
    _write(folder / "report.md", text.encode("utf-8", "backslashreplace"))


def _lines(report: Report, folder: pathlib.Path) -> Iterator[str]:
    yield "# Training run"
    yield ""
    settings = report["settings"]
    yield f"- Trained: {escaped(settings['model'])}, on the judgements of " + ", ".join(
        map(escaped, settings["judges"])
    )
    yield f"- Reranker: {_linked(report['reranker'])}"
    for place in outdated(report, folder):
        yield f"- {_linked(place)} is older, of other settings or data; do not use it for this run"
    if report["to_do"]:
        yield f"- Not done yet: {', '.join(report['to_do'])}"
    for remark in remarks(report):
        yield f"- {escaped(remark)}"
    versions = (f"{name} {version}" for name, version in report["versions"].items() if version)
    yield f"- Made with {escaped(', '.join(versions))}; seed {settings['seed']}"
    for grid in (*overview(report), stages_of(report), *details(report)):
        yield ""
        yield from grid_lines(grid)
        for line in legend(grid):
            yield ""
            yield escaped(line)
    if "evaluate" in report["stages"]:
        yield ""
        yield "All measures and intervals: [evaluation/table.md](evaluation/table.md)"
    yield from _charts(folder)


def _linked(path: str | None) -> str:
    return f"[{path}]({path}/)" if path else "none yet"


def _charts(folder: pathlib.Path) -> Iterator[str]:
    """Show the charts that there are, those of other parts of the run among them."""
    places = {
        "Quality": "evaluation/charts/quality.png",
        "Learning curve of distill": "distilled/curve.png",
        "Learning curve of pointwise": "model/curve.png",
        "Learning curve of distill-refined": "refined/distilled/curve.png",
        "Learning curve of pointwise-refined": "refined/model/curve.png",
        "Targets": "charts/targets.png",
        "Time": "charts/time.png",
    }
    for title, place in places.items():
        if (folder / place).exists():
            yield ""
            yield f"**{title}**"
            yield ""
            yield f"![{title}]({place})"


def _write(path: pathlib.Path, content: bytes) -> None:
    with whole_file(path) as partial:
        partial.write_bytes(content)
