"""A measurement of fidelity as tables for people. Numbers only; what they mean is in `results`."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from zelo._common.terminal import printable
from zelo.bench.fidelity.results import (
    FEW_QUERIES,
    MEASURE,
    RULE,
    Agreement,
    FidelityReport,
    VariantResult,
)

__all__ = ["rendered"]

COLOURS = {"safe": "green", "not safe": "red", "not judged": "yellow"}
LEGEND = (
    "largest, median = deviation of raw logits from float32; top 10 = overlap of the first ten; "
    "tau = Kendall's, of all candidates"
)


def rendered(report: FidelityReport) -> RenderableType:
    """Lay out a report for a console."""
    head = Text.assemble((printable(report.model), "bold"), f" against float32 on {report.device}")
    parts: list[RenderableType] = [head]
    if report.results:
        parts += [_collection(report, place) for place in range(len(report.results[0].agreements))]
        parts += [Text(LEGEND), _verdicts(report), Text(RULE), Text("")]
        parts += map(_largest, report.results)
    parts += [Text(note, style="yellow") for note in _notes(report)]
    return Group(*parts)


def _collection(report: FidelityReport, place: int) -> RenderableType:
    found = [(result.variant.name, result.agreements[place]) for result in report.results]
    first = found[0][1]
    judged = "" if first.ndcg is None else f", {MEASURE} in float32 {first.ndcg_float32:.4f}"
    title = (
        f"\n{printable(first.collection)}: {first.queries:,} queries, {first.pairs:,} pairs, "
        f"spread of logits {first.spread:.2f}{judged}"
    )
    heads = ["largest", "median", "top 10", "tau"]
    heads += [MEASURE, "change"] if first.ndcg is not None else []
    table = _table(heads)
    for name, agreement in found:
        table.add_row(name, *_cells(agreement))
    return Group(Text(title), table)


def _cells(agreement: Agreement) -> list[str]:
    cells = [
        f"{agreement.largest.value:.3g}",
        f"{agreement.median_deviation:.3g}",
        f"{agreement.top_overlap:.1%}",
        f"{agreement.tau:.4f}",
    ]
    if agreement.ndcg is not None:
        cells += [f"{agreement.ndcg:.4f}", f"{agreement.ndcg_change:+.4f}"]
    return cells


def _verdicts(report: FidelityReport) -> RenderableType:
    table = _table(["rest in", "weights", "of float32", f"mean {MEASURE}"])
    table.add_column("verdict", no_wrap=True)
    for result in report.results:
        size, change = result.variant.weights_bytes, result.ndcg_change
        table.add_row(
            result.variant.name,
            result.variant.dtype,
            f"{size / 1e6:,.1f} MB",
            f"{size / report.float32.weights_bytes:.0%}",
            "-" if change is None else f"{change:+.4f}",
            Text(result.verdict, COLOURS[result.verdict]),
        )
    return Group(Text("\nall collections"), table)


def _largest(result: VariantResult) -> Text:
    value, collection, query_id, doc_id = result.largest
    where = printable(f"{collection}, query {query_id}, document {doc_id}")
    return Text(f"{result.variant.name}: the largest deviation, {value:.3g}, is in {where}")


def _table(heads: list[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("variant", no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    return table


def _notes(report: FidelityReport) -> list[str]:
    notes = [f"{name} was left out: {reason}" for name, reason in report.refused.items()]
    unjudged = [a.collection for r in report.results[:1] for a in r.agreements if a.ndcg is None]
    if unjudged:
        names = printable(", ".join(unjudged))
        notes.append(f"Nothing is judged in {names}, so there is no {MEASURE} of it.")
    if report.few_queries:
        notes.append(
            f"Fewer than {FEW_QUERIES} judged queries: one or two of them decide the verdict. Take "
            "more (--queries) before you rely on it."
        )
    return notes
