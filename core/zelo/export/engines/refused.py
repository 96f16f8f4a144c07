"""Engines that are known to serve these models wrongly, each with the reason and what to use."""

__all__ = ["REFUSED"]

REFUSED = {
    "tei": (
        "text-embeddings-inference has no classifier for Qwen3 (1.9.3 ends with '`classifier` "
        "model type is not supported for Qwen3') and no template for scoring. Use --for vllm, or "
        "zelo serve, which speaks its dialect on /rerank"
    ),
    "infinity": (
        "Infinity gives the model query and document as a raw pair, stripped and cut at the end, "
        "without a template: its scores are wrong. Use --for vllm, or zelo serve, which speaks "
        "its dialect on /rerank"
    ),
    "ollama": (
        "Ollama has no endpoint for reranking. Use --for llama.cpp, whose llama-server has one"
    ),
}
