"""How rerank servers and their clients speak: every dialect defined once, for both sides.

`values` holds what all dialects say in different words; each other module is one dialect or a few
that share their shape, as pydantic models of the request and the answer. `table` lists them.
Sources: the public documentation and source of each server, named in its module.
"""

from zelo.wire.dialect import Dialect, ServedDialect
from zelo.wire.table import DIALECTS
from zelo.wire.values import RerankCall, RerankReply, Result, Scale

__all__ = [
    "DIALECTS",
    "Dialect",
    "RerankCall",
    "RerankReply",
    "Result",
    "Scale",
    "ServedDialect",
]
