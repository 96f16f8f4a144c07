"""Models for other engines: vLLM, SGLang, Baseten, sentence-transformers, llama.cpp.

Each export scores as zelo does, says how it is served, and says what of that nobody has seen yet.
"""

from zelo.export.export import Export, ExportedFile, Flag, Serving, Statement
from zelo.export.making import export

__all__ = ["Export", "ExportedFile", "Flag", "Serving", "Statement", "export"]
