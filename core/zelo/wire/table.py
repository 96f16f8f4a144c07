"""The dialects by name."""

from zelo.wire.cohere import (
    CohereV1Dialect,
    CohereV2Dialect,
    GatewayDialect,
    JinaDialect,
    LiteLLMDialect,
)
from zelo.wire.dialect import Dialect
from zelo.wire.others import InfinityDialect, LlamaCppDialect, SGLangDialect, VoyageDialect
from zelo.wire.tei import BasetenDialect, TEIDialect
from zelo.wire.vllm import VLLMRerankDialect, VLLMScoreDialect
from zelo.wire.zelo import ZeloDialect
from zelo.wire.zeroentropy import ZeroEntropyDialect

__all__ = ["DIALECTS"]

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        ZeloDialect(),
        ZeroEntropyDialect(),
        CohereV1Dialect(),
        CohereV2Dialect(),
        JinaDialect(),
        VLLMRerankDialect(),
        VLLMScoreDialect(),
        TEIDialect(),
        InfinityDialect(),
        LlamaCppDialect(),
        SGLangDialect(),
        LiteLLMDialect(),
        VoyageDialect(),
        BasetenDialect(),
        GatewayDialect(),
    )
}
