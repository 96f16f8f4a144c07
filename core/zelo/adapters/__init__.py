"""What the framework adapters in `integrations/` share, once: options, foreign names, failing open.

Needs pydantic, which every framework with an adapter brings. Nothing here knows a framework.
"""

from zelo.adapters.options import RankingOptions, ScoringOptions
from zelo.adapters.outcome import RERANK_ERROR, Outcome, Place

__all__ = ["RERANK_ERROR", "Outcome", "Place", "RankingOptions", "ScoringOptions"]
