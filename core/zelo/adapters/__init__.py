"""What the framework adapters in `integrations/` share, once: options, foreign names, failing open.

Needs pydantic, which every framework with an adapter brings. Nothing here knows a framework.
"""

from zelo.adapters.options import Numeric, RankingOptions, ScoringOptions
from zelo.adapters.outcome import OURS, RERANK_ERROR, RERANK_SOURCE, Outcome, Place

__all__ = [
    "OURS",
    "RERANK_ERROR",
    "RERANK_SOURCE",
    "Numeric",
    "Outcome",
    "Place",
    "RankingOptions",
    "ScoringOptions",
]
