"""How many comparisons ratings need, and whether cycles choose them better than chance.

`python -m zelo.training.sampling_study --out DIR [--collection BEIR]` plants ratings, simulates
judges, and fits ratings to some of all pairs: along random cycles, and as many random pairs. Each
sample has the very votes of the full comparison, so that what it loses is the sampling's. Its order
is held against that from all pairs, and against the planted one. The zELO paper (arXiv 2509.12541)
claims that 400 of 4,950 pairs lose little. With a collection, the planted ratings are BM25's scores
of its candidates, among which few stand out; else they are normal.

`planted` has the truth, `simulation` judges, samples and fits, `measures` compares orders, and
`chart` draws. Writes `sampling.csv` and `sampling.png`.
"""

from zelo.training.sampling_study.chart import chart
from zelo.training.sampling_study.planted import planted_by_bm25, planted_normal
from zelo.training.sampling_study.simulation import NOISES, Mean, Noise, Row, study

__all__ = [
    "NOISES",
    "Mean",
    "Noise",
    "Row",
    "chart",
    "planted_by_bm25",
    "planted_normal",
    "study",
]
