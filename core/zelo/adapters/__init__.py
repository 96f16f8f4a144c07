"""What the framework adapters in `integrations/` share, once: options, foreign names, failing open.

Needs pydantic, which every framework with an adapter brings. Nothing here knows a framework.
"""

from zelo.adapters.options import Numeric, RankingOptions, ScoringOptions, Takes
from zelo.adapters.outcome import (
    OURS,
    RERANK_ERROR,
    RERANK_REPLACED,
    RERANK_SOURCE,
    RERANK_TRUNCATED,
    Outcome,
    Place,
    warn_of_truncation,
)

__all__ = [
    "OURS",
    "RERANK_ERROR",
    "RERANK_REPLACED",
    "RERANK_SOURCE",
    "RERANK_TRUNCATED",
    "Numeric",
    "Outcome",
    "Place",
    "RankingOptions",
    "ScoringOptions",
    "Takes",
    "warn_of_truncation",
]
