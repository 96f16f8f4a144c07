"""The GGUF file: metadata, vocabulary, head and tensors, written as they are read.

Sources for keys and for the head: llama.cpp's conversion/qwen.py (Qwen3 rerankers), its
src/llama-graph.cpp (`build_pooling`) and src/models/qwen3.cpp. Knows the form of the file; knows
nothing of servers.
"""

from pathlib import Path
from typing import Any

import numpy as np
from gguf import (
    GGML_QUANT_VERSION,
    GGUFWriter,
    LlamaFileType,
    PoolingType,
)
from numpy.typing import NDArray

from zelo._common.atomic_write import whole_file
from zelo.errors import UnsupportedModelError
from zelo.export.export import OnBytes
from zelo.export.llama_cpp.tensors import GgufTensor, GgufType, gguf_tensors
from zelo.export.llama_cpp.vocabulary import Vocabulary, read_vocabulary
from zelo.export.source import Source

__all__ = ["write_gguf"]

HEAD = "cls.output.weight"
LABELS = ("relevant", "not relevant")
"""Two, because llama.cpp takes a softmax over a Qwen3's classes, and over one that is 1."""
FILE_TYPES = {
    "f32": LlamaFileType.ALL_F32,
    "bf16": LlamaFileType.MOSTLY_BF16,
    "q8_0": LlamaFileType.MOSTLY_Q8_0,
}


def write_gguf(
    source: Source, path: Path, dtype: GgufType, on_bytes: OnBytes = lambda done, of: None
) -> None:
    """Write a model as one GGUF file, which is there whole or not at all.

    The score that llama-server gives for it is zelo's probability: the head's two rows are the
    scaled score row and zeros, and softmax([x, 0])[0] = sigmoid(x).

    Raises:
        UnsupportedModelError: llama.cpp has no such tokenizer, positions or activation.
        InputError: `dtype` does not fit the model's sizes.
        ModelFileError: a tensor holds NaN or infinity.
    """
    _check_config(source)
    tensors = gguf_tensors(source.tensors, dtype)
    rows = next(t.stored.shape[0] for t in tensors if t.name == "token_embd.weight")
    vocabulary = read_vocabulary(source.tokenizer_json, source.family, rows)
    with whole_file(path) as partial:
        writer: Any = GGUFWriter(partial, "qwen3")
        try:
            _add_settings(writer, source, dtype)
            _add_vocabulary(writer, vocabulary)
            _write(writer, tensors, _head(source), on_bytes)
        finally:
            writer.close()


def _check_config(source: Source) -> None:
    config = source.parsed_config
    rope = config.rope_parameters or {}
    if rope.get("rope_type", "default") != "default":
        message = (
            f"{source.name} stretches its positions ({rope['rope_type']}), which this export does "
            "not write; export it for vllm or sglang"
        )
        raise UnsupportedModelError(message)
    if config.hidden_act != "silu":
        message = f"{source.name} computes with {config.hidden_act}; llama.cpp's Qwen3 has silu"
        raise UnsupportedModelError(message)


def _add_settings(writer: Any, source: Source, dtype: GgufType) -> None:
    config: Any = source.parsed_config
    writer.add_name(source.alias or source.folder.name)
    writer.add_file_type(FILE_TYPES[dtype])
    writer.add_quantization_version(GGML_QUANT_VERSION)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(source.longest)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_pooling_type(PoolingType.RANK)
    writer.add_classifier_output_labels(LABELS)


def _add_vocabulary(writer: Any, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.kinds)
    writer.add_token_merges(vocabulary.merges)
    # llama.cpp would take token 11 for these, and without a beginning it warns
    writer.add_bos_token_id(vocabulary.end)
    writer.add_eos_token_id(vocabulary.end)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template([{"name": "rerank", "template": vocabulary.template}])


def _head(source: Source) -> NDArray[np.float32]:
    row = source.scaled_row.numpy()
    return np.stack([row, np.zeros_like(row)])


def _write(
    writer: Any, tensors: list[GgufTensor], head: NDArray[np.float32], on_bytes: OnBytes
) -> None:
    """Write everything, the tensors piece by piece: the writer itself takes them only whole."""
    writer.add_tensor_info(HEAD, head.shape, head.dtype, head.nbytes)
    for tensor in tensors:
        writer.add_tensor_info(
            tensor.name, tensor.stored.shape, np.dtype(np.float32), tensor.size, tensor.type
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    (file,) = writer.fout
    writer.write_padding(file, file.tell())
    head.tofile(file)
    writer.write_padding(file, head.nbytes)
    done, of = head.nbytes, head.nbytes + sum(tensor.size for tensor in tensors)
    for tensor in tensors:
        for piece in tensor.pieces():
            piece.tofile(file)
            done += piece.nbytes
            on_bytes(done, of)
        writer.write_padding(file, tensor.size)
