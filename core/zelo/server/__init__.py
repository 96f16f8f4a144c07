"""`zelo serve`: one loaded model for every client that speaks a rerank dialect over HTTP.

Knows HTTP and the dialects' table (`zelo.wire`); scoring, and the merging of concurrent calls into
common forward passes, are the reranker's. Needs the extra `server`.
"""

from zelo.server.app import create_app
from zelo.server.keys import ApiKeys
from zelo.server.limits import Limits
from zelo.server.served import ServedModel

__all__ = ["ApiKeys", "Limits", "ServedModel", "create_app"]
