"""The suite: all that a card is asked to reach, measured in one run, with its peers beside it."""

from zelo.bench.suite.asked import Judged, judged
from zelo.bench.suite.results import SuiteReport
from zelo.bench.suite.run import Server, SuiteSettings, run_suite, scale_here

__all__ = [
    "Judged",
    "Server",
    "SuiteReport",
    "SuiteSettings",
    "judged",
    "run_suite",
    "scale_here",
]
