"""zELO: from queries and documents to the targets that a pointwise reranker learns.

Each stage takes and gives `records`: candidates, pairs, judging (by `judges`), ratings,
calibration. `nano` is the older recipe of the model that ships in the package.
"""
