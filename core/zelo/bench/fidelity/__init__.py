"""How near a model stays to itself in float32 when it computes in less: scores, order, nDCG.

The same candidates of the same queries are scored each way; `measuring` runs, `agreement` compares,
`results` says what was found and whether it is safe, `report` shows it.
"""

from zelo.bench.fidelity.measuring import FidelitySettings, measure_fidelity
from zelo.bench.fidelity.python_docs import python_docs_collection
from zelo.bench.fidelity.results import Agreement, Deviation, FidelityReport, VariantResult

__all__ = [
    "Agreement",
    "Deviation",
    "FidelityReport",
    "FidelitySettings",
    "VariantResult",
    "measure_fidelity",
    "python_docs_collection",
]
