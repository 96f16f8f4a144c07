"""Whether an endpoint really is the model it claims to be: template, head, scale, order, length.

Probes are sent to an endpoint; what comes back is compared with what the right model gives and
with what each known mistake would give in its place. Where published values or the weights are at
hand the comparison is exact; elsewhere only contradictions within the answers can be found.
"""

from zelo.doctor.examining import Examination, examine
from zelo.doctor.report import Report

__all__ = ["Examination", "Report", "examine"]
