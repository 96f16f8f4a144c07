"""What every scorer shares: requests, families, names of models, options, cutoffs, retries."""

from zelo.scoring.scorer import Progress, Scored, Scorer, ScoreRequest

__all__ = ["Progress", "ScoreRequest", "Scored", "Scorer"]
