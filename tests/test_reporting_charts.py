"""Charts: what they show, that nothing is cut off or lies over something else, and their files."""

import importlib
import itertools
import struct
import sys
import threading
import xml.etree.ElementTree as ElementTree

import matplotlib
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from reports import SYSTEMS, summary

from zelo.errors import MissingExtraError
from zelo.evaluation.figures import Summary
from zelo.evaluation.reporting.charts import charts
from zelo.evaluation.reporting.charts.calibration import calibration_chart
from zelo.evaluation.reporting.charts.latency import latency_chart
from zelo.evaluation.reporting.charts.quality import quality_chart
from zelo.evaluation.reporting.charts.style import drawn, looks, shortened

LONG = "dense+listwise:gemini-2.5-flash@https://generativelanguage.example.org/v1beta/openai"
SHAPES = {
    "two on one": (["bees"], ["bm25", "bm25+nano"]),
    "eight on eight": (
        [*(f"collection-{number}" for number in range(7)), "legal-summarization-of-contracts"],
        [*SYSTEMS, LONG, "dense+oracle"],
    ),
    "first stages": (["bees"], ["bm25", "dense"]),
}
MAKERS = (quality_chart, latency_chart, calibration_chart)


def legend_of(figure: Figure) -> list[str]:
    """The names in a chart's legend."""
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def heights(figure: Figure, colour: str) -> list[float]:
    """Where a chart's lines across are that have this colour."""
    lines = figure.axes[0].get_lines()
    return [
        line.get_ydata()[0]
        for line in lines
        if line.get_color() == colour and line.get_marker() == "None"
    ]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_is_cut_off_and_no_legend_covers_data(shape, make):
    """Every text lies within the picture, and the legend below all axes and their labels."""
    figure = make(summary(*SHAPES[shape]))
    if figure is None:
        assert shape == "first stages"
        return
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    whole = figure.bbox
    renderer = canvas.get_renderer()
    (legend,) = figure.legends
    top = legend.get_window_extent(renderer).y1
    for axes in figure.axes:
        box = axes.get_tightbbox(renderer)
        assert box.x0 >= whole.x0
        assert box.x1 <= whole.x1
        assert box.y1 <= whole.y1
        assert box.y0 >= top
    for text in legend.get_texts():
        box = text.get_window_extent(renderer)
        assert whole.x0 <= box.x0
        assert box.x1 <= whole.x1
        assert whole.y0 <= box.y0


def test_names_of_panels_do_not_run_into_each_other():
    """Titles beside each other, long ones shortened, keep apart."""
    systems = ["bm25", *(f"bm25+zeroentropy/zerank-{n}@http://localhost:800{n}" for n in range(3))]
    figure = calibration_chart(summary(["bees"], systems))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [a.title.get_window_extent(canvas.get_renderer()) for a in figure.axes if a.get_title()]
    assert len(boxes) == 3
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_quality_shows_means_with_their_intervals():
    """A dot at each mean, a line from the low to the high end; averages have no line."""
    found = summary(["bees", "tides"], ["bm25", "bm25+nano"])
    lines = quality_chart(found).axes[0].get_lines()
    dots = [line.get_xdata()[0] for line in lines if line.get_marker() != "None"]
    across = [tuple(line.get_xdata()) for line in lines if len(line.get_xdata()) == 2]
    cells = [found.cells[c, s, "nDCG@10"] for c in found.collections for s in found.systems]
    averages = [found.averages[system, "nDCG@10"] for system in found.systems]
    assert dots == [*(cell.mean for cell in cells), *averages]
    assert [ends for ends in across if ends != (0, 1)] == [(cell.low, cell.high) for cell in cells]


def test_quality_draws_an_oracle_as_a_line_and_no_dot():
    """The ceiling stands upright at its mean, beside the systems of its first stage."""
    found = summary(["bees"])
    figure = quality_chart(found)
    upright = [
        line
        for line in figure.axes[0].get_lines()
        if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2
    ]
    (ceiling,) = upright
    assert ceiling.get_xdata()[0] == found.cells["bees", "bm25+oracle", "nDCG@10"].mean
    low, high = ceiling.get_ydata()
    assert low < 0
    assert 2 < high < 3  # bm25 has three systems that are no oracles
    assert legend_of(figure) == [
        *("bm25", "bm25+nano", "bm25+random", "dense", "dense+nano", "bm25+oracle (ceiling)")
    ]


def test_quality_names_collections_from_top_to_bottom():
    """In the table's order, the average last."""
    axes = quality_chart(summary()).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["bees", "tides", "average"]
    assert axes.yaxis_inverted()


def test_latency_places_systems_at_their_median():
    """Systems with the same reranker share its time; the scale is logarithmic."""
    found = summary()
    axes = latency_chart(found).axes[0]
    points = [
        (line.get_xdata()[0], line.get_ydata()[0])
        for line in axes.get_lines()
        if line.get_marker() != "None"
    ]
    averages = [found.averages[system, "nDCG@10"] for system in ("bm25+nano", "dense+nano")]
    assert points == [(0.2, average) for average in averages]
    assert axes.get_xscale() == "log"


def test_latency_draws_what_takes_no_time_as_lines():
    """First stages alone and the ceiling lie across; random order is left out."""
    found = summary()
    figure = latency_chart(found)
    assert heights(figure, "#000000") == [found.averages[s, "nDCG@10"] for s in ("bm25", "dense")]
    assert legend_of(figure) == [
        *("bm25+nano", "dense+nano", "bm25 alone", "dense alone", "bm25+oracle (ceiling)")
    ]


def test_latency_without_any_time_is_no_chart():
    """Where no reranker was asked about the whole depth, there is nothing to draw."""
    found = summary()
    cost = found.costs["nano"]._replace(median_s=None, p95_s=None)
    assert latency_chart(summary(costs={"nano": cost})) is None


def test_calibration_has_a_curve_and_a_histogram_per_system():
    """Bins without documents are no points; those with few are hollow."""
    figure = calibration_chart(summary())
    assert len(figure.axes) == 4
    curve = figure.axes[0].get_lines()[1]
    known = [one for one in summary().calibration["bm25+nano"].bins if one.documents]
    assert list(curve.get_xdata()) == [one.mean_probability for one in known]
    assert list(curve.get_ydata()) == [one.observed for one in known]
    faces = [line.get_markerfacecolor() for line in figure.axes[0].get_lines()[2:]]
    assert [face == "white" for face in faces] == [one.documents < 20 for one in known]
    assert figure.axes[0].get_title() == "bm25+nano\nECE 0.041, Brier 0.023"


def test_no_two_systems_look_the_same():
    """Colours are rerankers, markers first stages; nine rerankers still differ."""
    systems = [f"{stage}+model-{number}" for stage in ("bm25", "dense") for number in range(9)]
    found = looks(summary(["bees"], ["bm25", "dense", *systems]))
    assert len(set(found.values())) == len(systems) + 2
    assert found["bm25+model-1"].colour == found["dense+model-1"].colour
    assert found["bm25+model-1"].marker != found["dense+model-1"].marker


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """Every file of a report's charts."""
    return dict(charts(summary()))


def test_pictures_are_png_of_a_readme_s_width(files):
    """PNG files, at least twice as wide as a README shows them at its narrowest."""
    for name in ("quality.png", "latency.png", "calibration.png"):
        assert files[name][:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", files[name][16:24])
        assert width == 1_200
        assert 300 < height < 2_000


def test_vector_pictures_are_xml_without_dates(files):
    """SVG files that parse, name no time, and can be drawn where no font is."""
    for name in ("quality.svg", "latency.svg", "calibration.svg"):
        root = ElementTree.fromstring(files[name])  # noqa: S314 - our own file
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert b"<dc:date>" not in files[name]
        assert not root.findall(".//{http://www.w3.org/2000/svg}text")


def test_the_user_s_settings_change_nothing(files):
    """Neither a style that the process has chosen nor a salt of its own reaches a chart."""
    with matplotlib.rc_context({"lines.linewidth": 9, "axes.grid": True, "svg.hashsalt": "mine"}):
        assert drawn(quality_chart, summary(), "svg") == files["quality.svg"]
        assert matplotlib.rcParams["svg.hashsalt"] == "mine"


def test_charts_are_drawn_in_threads(files):
    """Two threads at once get the same bytes as one alone."""
    found: list[bytes | None] = []

    def draw(given: Summary) -> None:
        found.append(drawn(latency_chart, given, "svg"))

    threads = [threading.Thread(target=draw, args=(summary(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [files["latency.svg"]] * 3


@pytest.mark.parametrize("name", ["$x^{", "_hidden", "日本語", "a\x1b[31mb", r"\alpha$\frac$"])
def test_any_name_can_be_drawn(name):
    """Dollars are no formulas, a font's gaps no warnings, control characters spelt out."""
    assert drawn(quality_chart, summary([name], ["bm25", f"bm25+{name}"]), "png")


def test_without_matplotlib_the_install_command_is_told(monkeypatch):
    """Before anything is evaluated, for the import itself fails."""
    style = "zelo.evaluation.reporting.charts.style"
    monkeypatch.delitem(sys.modules, style)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r'pip install "zelo\[eval\]"'):
        importlib.import_module(style)


def test_a_long_name_keeps_both_ends():
    """What is left out is the middle, as hosts and models differ at the ends."""
    assert shortened(LONG) == "dense+listwise:gemini…ple.org/v1beta/openai"
    assert shortened("bm25+zelo-nano") == "bm25+zelo-nano"
