"""Bulk scoring: files of queries and documents in, the same rows with their scores out.

An input is cut into blocks, once and the same way for everybody (`blocks`). A block is read, scored
and written as one part of the output (`worker`), and counts when its mark is written (`ledger`); so
work that was killed at any moment, in this process (`here`) or on many machines (`on_ray`), goes on
with the blocks that are not done, and the output holds every row once, in the order of the input.
"""

from zelo.bulk.errors import BadRowsError, OtherWorkError, OutputError, Reject
from zelo.bulk.result import BulkResult
from zelo.bulk.scoring import score

__all__ = ["BadRowsError", "BulkResult", "OtherWorkError", "OutputError", "Reject", "score"]
