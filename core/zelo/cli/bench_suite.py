"""`zelo bench --suite gpu`: all that a card is asked to reach, in one run."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from zelo.cli.options import as_usage_error
from zelo.cli.progress import steps
from zelo.cli.render import errors_to, json_line, note, out
from zelo.errors import MissingExtraError

if TYPE_CHECKING:
    from zelo.bench.suite import SuiteReport
    from zelo.wire.values import Scale

__all__ = ["measure_suite"]


def measure_suite(
    *,
    minutes: float,
    folder: Path,
    models: tuple[str, ...],
    tokenizer: Path | None,
    peer_url: str | None,
    peer_model: str,
    peer_dialect: str,
    peer_scale: str | None,
    as_json: bool,
) -> None:
    """Measure the suite, write what there is into a folder after every row, and show the tables."""
    start = time.perf_counter()
    try:
        from zelo.bench.suite import Server, SuiteSettings, run_suite, scale_here
        from zelo.bench.suite.files import as_json as plain
        from zelo.bench.suite.files import make_folder, write_json, write_tables
        from zelo.bench.suite.rendering import rendered
        from zelo.bench.suite.tables import NO_CARD, one_line_of
    except ImportError as error:
        raise MissingExtraError("benchmarking", "bench") from error
    on_terminal = errors_to().is_terminal  # where a spinner says what is being measured

    def keep(report: "SuiteReport") -> None:
        write_json(report, folder)
        if report.rows and not on_terminal:
            note(one_line_of(report.rows[-1]))

    if scale_here().name == "small":
        note(NO_CARD)
    server = None
    if peer_url is not None:
        scale = cast("Scale | None", peer_scale)  # the reranker refuses another word
        server = Server(peer_url, peer_model, peer_dialect, scale)
    gone = time.perf_counter() - start
    settings = SuiteSettings(minutes, gone, models, tokenizer, server)
    with as_usage_error(), steps() as on_step:
        make_folder(folder)
        report = run_suite(settings, on_step, keep)
    write_tables(report, folder)
    _draw(report, folder)
    note(f"written to {folder}")
    if as_json:
        json_line(plain(report))
    else:
        out().print(rendered(report))


def _draw(report: "SuiteReport", folder: Path) -> None:
    """Draw the chart; where that cannot be, say so and go on."""
    from zelo.bench.suite.chart import draw
    from zelo.bench.suite.files import CHART

    try:
        draw(report, folder / CHART)
    except MissingExtraError as error:
        note(f"no chart: {error}")
