"""A report as tables for people. Numbers only; what they mean is in `results`."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from zelo.bench.results import Comparison, Machine, Memory, Report, Spread, WorkloadResult

__all__ = ["rendered"]

LEGEND = (
    "ratio = peer time / zelo time, median and range of {rounds} alternating pairs of runs; "
    "peer/32 = at batch size 32; * its fastest; logits off = largest difference of logits"
)


def rendered(report: Report) -> RenderableType:
    """Lay out a report for a console."""
    shape = ", ".join(f"{name} {size:,}" for name, size in report.shape.items())
    head = Text.assemble((report.model, "bold"), f": {shape}, {report.dtype}")
    parts: list[RenderableType] = [head, Text(_machine(report.machine)), Text(_versions(report))]
    parts += map(_speed, report.workloads)
    if any(workload.memory for workload in report.workloads):
        parts.append(_memory(report))
    parts.append(Text(LEGEND.format(rounds=report.rounds)))
    parts += [Text(note, style="yellow") for note in _notes(report)]
    return Group(*parts)


def _machine(machine: Machine) -> str:
    return f"{machine.cpu}, {machine.cores} cores, {machine.threads} threads"


def _versions(report: Report) -> str:
    return ", ".join(f"{name} {number}" for name, number in report.machine.versions.items())


def _speed(workload: WorkloadResult) -> Table:
    title = (
        f"{workload.documents} documents, {workload.document_tokens:,} tokens (median "
        f"{workload.document_tokens_median:.0f}, longest {workload.document_tokens_longest:,}), "
        f"query of {workload.query_tokens}"
    )
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("peer", no_wrap=True)
    for name in ("peer s", "zelo s", "ratio", "range", "logits off"):
        table.add_column(name, justify="right", no_wrap=True)
    for comparison in workload.comparisons:
        table.add_row(*_row(comparison, workload))
    return table


def _row(comparison: Comparison, workload: WorkloadResult) -> tuple[Text, ...]:
    ours, theirs = Spread.of(comparison.zelo_seconds), Spread.of(comparison.peer_seconds)
    ratio, difference = comparison.ratio, comparison.max_logit_difference
    best = " *" if comparison is workload.best else ""
    cells = (
        comparison.peer + best,
        f"{theirs.median:.3f}",
        f"{ours.median:.3f}",
        f"{ratio.median:.2f}" if ratio else "-",
        f"{ratio.lowest:.2f}-{ratio.highest:.2f}" if ratio else "-",
        "not finite" if difference is None else f"{difference:.1e}",
    )
    return tuple(map(Text, cells))


def _memory(report: Report) -> Table:
    methods = {m.method for workload in report.workloads for m in workload.memory.values()}
    title = f"Peak memory above the loaded model ({', '.join(sorted(methods))})"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("documents", "side", "MiB", "zelo / side"):
        table.add_column(name, justify="left" if name == "side" else "right", no_wrap=True)
    for workload in report.workloads:
        for side, memory in workload.memory.items():
            ours = workload.memory["zelo"]
            cells = (f"{workload.documents}", side, _mebibytes(memory), _share(ours, memory))
            table.add_row(*map(Text, cells))
    return table


def _mebibytes(memory: Memory) -> str:
    return f"{memory.growth_bytes / 2**20:,.1f}"


def _share(ours: Memory, theirs: Memory) -> str:
    return f"{ours.growth_bytes / theirs.growth_bytes:.0%}" if theirs.growth_bytes else "-"


def _notes(report: Report) -> list[str]:
    notes = report.machine.warnings()
    tolerance = report.workloads[0].comparisons[0].tolerance
    if not report.agrees and tolerance is not None:
        notes.append(
            "Where no ratio is given, the sides' logits differ by more than "
            f"{tolerance:g}: they did not do the same work."
        )
    return notes
