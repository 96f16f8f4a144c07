"""The charts of a report, as PNG and SVG: quality, quality against latency, calibration."""

from collections.abc import Iterator

from zelo.evaluation.figures import Summary
from zelo.evaluation.reporting.charts.calibration import calibration_chart
from zelo.evaluation.reporting.charts.latency import latency_chart
from zelo.evaluation.reporting.charts.quality import quality_chart
from zelo.evaluation.reporting.charts.style import FORMATS, drawn

__all__ = ["charts"]


def charts(summary: Summary) -> Iterator[tuple[str, bytes]]:
    """Yield each chart's file name and content; one that has nothing to show is left out."""
    makers = {
        "quality": quality_chart,
        "latency": latency_chart,
        "calibration": calibration_chart,
    }
    for name, make in makers.items():
        for kind in FORMATS:
            content = drawn(make, summary, kind)
            if content is not None:
                yield f"{name}.{kind}", content
