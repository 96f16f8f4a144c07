"""llama.cpp's form of a model: one GGUF file with weights, tokenizer, head and prompt.

`tensors` gives weights llama.cpp's names and number types, `vocabulary` turns the tokenizer and
the prompt into its words, `writing` makes the file of both. Needs the package `gguf`.
"""

from zelo.export.llama_cpp.serving import written
from zelo.export.llama_cpp.tensors import GgufType, gguf_type
from zelo.export.llama_cpp.writing import write_gguf

__all__ = ["GgufType", "gguf_type", "write_gguf", "written"]
