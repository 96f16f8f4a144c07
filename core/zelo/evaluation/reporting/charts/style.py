"""What all charts share: how systems look, fonts and greys, and writing the same bytes each time.

Only figure objects are used, never pyplot. matplotlib has some settings for the whole process
alone; a lock keeps them from being changed by two charts at once.
"""

import io
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from zelo._common.fork import Lock
from zelo._common.terminal import printable
from zelo.errors import MissingExtraError
from zelo.evaluation.figures import Summary

try:
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
except ImportError as error:
    raise MissingExtraError("drawing charts", "eval") from error

__all__ = [
    "BLACK",
    "FORMATS",
    "GREY",
    "WIDTH",
    "LineStyle",
    "Look",
    "bare",
    "ceilings",
    "drawn",
    "handle",
    "legend",
    "looks",
    "shortened",
]

Format = Literal["png", "svg"]
FORMATS: tuple[Format, ...] = ("png", "svg")
WIDTH = 8.0  # inches; 1,200 pixels, of which a README shows some 800
DPI = 150
LONGEST_NAME = 44  # characters
LEGEND_CHARACTERS = 105  # across the width, a mark counting six
GREY = "#666666"
# Okabe and Ito's palette, which colour-blind readers can tell apart, without its yellow, which is
# lost on white; https://jfly.uni-koeln.de/color/
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")  # first stages
BLACK = "#000000"  # first stages alone
LineStyle = tuple[int, tuple[float, ...]]
CEILING_LINES: tuple[LineStyle, ...] = ((0, ()), (0, (4, 2)), (0, (1, 1.5)))
SETTINGS: dict[Any, Any] = {
    **{k: v for k, v in matplotlib.rcParamsDefault.items() if not k.startswith("backend")},
    "svg.hashsalt": "zelo",  # else every SVG has ids of its own
    "svg.fonttype": "path",  # looks the same where the font is missing
    "text.parse_math": False,  # a dollar in a name is a dollar
    "font.family": ["DejaVu Sans"],  # comes with matplotlib
}
LOCK = Lock()


class Look(NamedTuple):
    """How a system is drawn: its colour is its reranker's, its marker its first stage's."""

    colour: str
    marker: str
    filled: bool = True

    @property
    def marks(self) -> dict[str, Any]:
        """Arguments of matplotlib's markers."""
        face = self.colour if self.filled else "white"
        return {"color": self.colour, "marker": self.marker, "markerfacecolor": face}


def looks(summary: Summary) -> dict[str, Look]:
    """Return how each system but the oracles is drawn, the same in every chart."""
    rivals = [system for system in summary.systems if system not in summary.oracles]
    stages = list(dict.fromkeys(summary.first_stages[system] for system in rivals))
    rerankers = list(dict.fromkeys(filter(None, (summary.rerankers[s] for s in rivals))))
    found = {}
    for system in rivals:
        marker = MARKERS[stages.index(summary.first_stages[system]) % len(MARKERS)]
        reranker = summary.rerankers[system]
        if reranker is None:
            found[system] = Look(BLACK, marker)
        else:
            place = rerankers.index(reranker)
            colour = COLOURS[place % len(COLOURS)]
            found[system] = Look(colour, marker, filled=place < len(COLOURS))
    return found


def ceilings(summary: Summary) -> dict[str, LineStyle]:
    """Return how the oracles' lines are drawn."""
    oracles = [system for system in summary.systems if system in summary.oracles]
    return {
        system: CEILING_LINES[number % len(CEILING_LINES)] for number, system in enumerate(oracles)
    }


def drawn(make: Callable[[Summary], Figure | None], summary: Summary, kind: Format) -> bytes | None:
    """Draw a chart: the same bytes for the same summary. None where there is nothing to show."""
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with LOCK, warnings.catch_warnings(), matplotlib.rc_context(SETTINGS):
        # A name in a script that the font lacks is drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = make(summary)
        if figure is None:
            return None
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata, facecolor="white")
    return buffer.getvalue()


def handle(look: Look) -> Line2D:
    """Return a system's mark for a legend."""
    return Line2D([], [], linestyle="none", markersize=6, **look.marks)


def legend(figure: Figure, handles: Mapping[str, Line2D]) -> None:
    """Put a legend below everything, in as many columns as its longest name leaves room for."""
    names = [shortened(name) for name in handles]
    columns = max(1, min(len(names), LEGEND_CHARACTERS // (max(map(len, names)) + 6)))
    figure.legend(
        list(handles.values()), names, loc="outside lower center", ncols=columns, frameon=False
    )


def shortened(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a name that fits a chart, its middle left out where it is too long."""
    shown = printable(name)
    if len(shown) <= longest:
        return shown
    half = (longest - 1) // 2
    return f"{shown[:half]}…{shown[-half:]}"


def bare(axes: Axes) -> None:
    """Leave away what a reader does not need."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(color=GREY)
