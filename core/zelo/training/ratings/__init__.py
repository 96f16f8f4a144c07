"""Ratings: every document's strength for its query, fitted to preferences between documents."""

from zelo.errors import MissingExtraError

try:
    from zelo.training.ratings.fitting import PRIOR, fit
    from zelo.training.ratings.links import LINKS, Method
    from zelo.training.ratings.quality import Quality
except ModuleNotFoundError as error:
    if error.name != "numpy":
        raise
    raise MissingExtraError("fitting ratings", "train") from error

__all__ = ["LINKS", "PRIOR", "Method", "Quality", "fit"]
