"""A load test as tables for people. Numbers only; what they mean is in `http_results`."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from zelo.bench.http_results import HttpReport, Latency, Load, Overload

__all__ = ["rendered"]


def rendered(report: HttpReport) -> RenderableType:
    """Lay out a report for a console."""
    machine = report.machine
    head = (
        f"{report.model}: {report.clients} clients, {report.load.documents_per_request} documents "
        f"of {report.document_tokens_mean:.0f} tokens a request; server: {report.server}"
    )
    where = f"{machine.cpu}, {machine.cores} cores, {machine.threads} threads"
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    parts: list[RenderableType] = [Text(head), Text(where), Text(versions)]
    parts += [_speed(report), _answers(report)]
    if report.overload is not None:
        parts.append(Text(_refusals(report.overload)))
    parts += [Text(note, style="yellow") for note in _notes(report)]
    return Group(*parts)


def _speed(report: HttpReport) -> Table:
    table = _table("Documents per second")
    for name in ("in-process, before", "server", "in-process, after", "server / in-process"):
        table.add_column(name, justify="right")
    before, after = (of.documents_per_second for of in report.in_process)
    served = report.load.throughput.documents_per_second
    ratio = "-" if report.ratio is None else f"{report.ratio:.1%}"
    table.add_row(f"{before:,.1f}", f"{served:,.1f}", f"{after:,.1f}", ratio)
    return table


def _answers(report: HttpReport) -> Table:
    table = _table("Requests, and seconds until they were answered")
    table.add_column("", no_wrap=True)
    for name in ("sent", "right", "wrong", "lost", "429", "p50 s", "p95 s", "p99 s"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row(*_row(f"{report.clients} clients", report.load, report.load.latency("right")))
    overload = report.overload
    if overload is not None:
        name = f"{overload.requests_per_second:.1f} a second"
        table.add_row(*_row(name, overload, overload.latency("right")))
        table.add_row("  refusals", *[""] * 5, *_seconds(overload.latency("refused")))
    return table


def _row(name: str, load: Load, latency: Latency | None) -> tuple[str, ...]:
    counts = (load.count("right"), load.count("wrong"), load.count("lost"), load.count("refused"))
    return name, f"{len(load.exchanges):,}", *(f"{n:,}" for n in counts), *_seconds(latency)


def _seconds(latency: Latency | None) -> tuple[str, ...]:
    return ("-",) * 3 if latency is None else tuple(f"{seconds:.3f}" for seconds in latency)


def _refusals(overload: Overload) -> str:
    text = (
        f"At three times its speed the server refused {overload.refused_share:.0%}; all that it "
        f"admits at once takes it {overload.full_queue_seconds:.1f} s"
    )
    ratio = overload.refusal_ratio
    return text if ratio is None else f"{text}; median refusal / accepted = {ratio:.2%}"


def _notes(report: HttpReport) -> list[str]:
    notes = report.machine.warnings()
    loads = [report.load, report.overload] if report.overload else [report.load]
    statuses = [load.statuses for load in loads]
    if not report.sound:
        notes.append(f"Not every request got its scores. Answers by status: {statuses}")
    return notes + [f"Missed: {missed}" for missed in report.misses]


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
