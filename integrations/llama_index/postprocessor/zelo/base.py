"""Nodes to texts, rankings to nodes, and LlamaIndex's events around them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, cast

from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle
from pydantic import model_validator

from zelo._common.checks import in_order
from zelo.adapters import Outcome, Place, RankingOptions, Takes
from zelo.errors import InputError

__all__ = ["ZeloRerank"]

dispatcher = get_dispatcher(__name__)


class ZeloRerank(RankingOptions, BaseNodePostprocessor):
    """Reorders nodes by a zerank model's probability that they answer the query.

    `index.as_query_engine(similarity_top_k=50, node_postprocessors=[ZeloRerank(top_n=5)])`

    Returns copies, best first, whose scores are probabilities in [0, 1], so a
    `SimilarityPostprocessor` may follow. The nodes that were handed over are left as they are.
    Nodes without text of their own, such as images, are not scored: they follow the scored ones in
    the order they came, with `score=None`, count for `top_n`, and are dropped by `min_score`.

    Raises, when it is made:
        InputError: an option is another reranker's, or has no meaning.
        UnknownModelError: `model` is no alias, folder or hub id.
    """

    metadata_mode: Takes[MetadataMode | Literal["all", "embed", "llm", "none"], MetadataMode] = (
        cast(Any, MetadataMode.EMBED)
    )
    """Which metadata the model reads with a node's text; EMBED is what embedding models read."""
    keep_retrieval_score: bool = False
    """Keep the first stage's score in the metadata, as `retrieval_score`, out of all prompts.

    Metadata, also a mark such as `rerank_error`, counts in `node.hash`, by which a
    `QueryFusionRetriever` tells nodes apart: rerank what it has fused, not each of its lists.
    """

    @classmethod
    def class_name(cls) -> str:
        """Name the class in serialised pipelines."""
        return "ZeloRerank"

    @model_validator(mode="before")
    @classmethod
    def _without_class_name(cls, data: Any) -> Any:
        """Leave out what the framework's dumps add to the options, and its `from_dict` removes."""
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in data.items() if name != "class_name"}

    def _postprocess_nodes(
        self, nodes: Iterable[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _given(query_bundle)
        nodes = list(in_order("nodes", nodes, "a list of NodeWithScore"))
        if not nodes:
            return []
        texts = self._texts(nodes)
        with self._reported(nodes, query) as report:
            return report(self._rank(query.query_str, texts))

    @dispatcher.span  # the framework decorates the synchronous method only
    async def _apostprocess_nodes(
        self, nodes: Iterable[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _given(query_bundle)
        nodes = list(in_order("nodes", nodes, "a list of NodeWithScore"))
        if not nodes:
            return []
        texts = self._texts(nodes)
        with self._reported(nodes, query) as report:
            return report(await self._arank(query.query_str, texts))

    def _texts(self, nodes: Sequence[NodeWithScore]) -> list[str]:
        """Return what the model reads of each node; nothing, where the node has no text itself."""
        for i, given in enumerate(nodes):
            if not isinstance(given, NodeWithScore):
                message = (
                    f"nodes[{i}] is a {type(given).__name__}; give NodeWithScore(node=node), "
                    "which is what retrievers return"
                )
                raise InputError(message)
        return [
            given.node.get_content(metadata_mode=self.metadata_mode)
            if given.node.get_content(metadata_mode=MetadataMode.NONE).strip()
            else ""
            for given in nodes
        ]

    @contextmanager
    def _reported(
        self, nodes: list[NodeWithScore], query: QueryBundle
    ) -> Iterator[Callable[[Outcome], list[NodeWithScore]]]:
        """Surround a reranking with the events of both of LlamaIndex's systems."""
        top_n = self.top_n or len(nodes)  # the event takes no None
        dispatcher.event(
            ReRankStartEvent(query=query, nodes=nodes, top_n=top_n, model_name=self.model)
        )
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: self.model,
            EventPayload.QUERY_STR: query.query_str,
            EventPayload.TOP_K: top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:

            def report(outcome: Outcome) -> list[NodeWithScore]:
                self._tell(outcome.failure)
                kept = [self._placed(nodes[at.index], at, outcome) for at in outcome.places]
                event.on_end(payload={EventPayload.NODES: kept})
                dispatcher.event(ReRankEndEvent(nodes=kept))
                return kept

            yield report

    def _tell(self, failure: Exception | None) -> None:
        """Send the events of a failure after which the order is kept."""
        if failure is None:
            return
        dispatcher.event(ExceptionEvent(exception=failure))
        payload: dict[str, Any] = {EventPayload.EXCEPTION: failure}
        with self.callback_manager.event(CBEventType.EXCEPTION, payload=payload):
            pass  # begun and ended, or what follows would be taken for a part of it

    def _placed(self, given: NodeWithScore, place: Place, outcome: Outcome) -> NodeWithScore:
        """Return a node in its new place, with its new score."""
        notes: dict[str, Any] = dict(outcome.notes(place))
        if self.keep_retrieval_score and given.score is not None:
            notes["retrieval_score"] = float(given.score)
        node = _copied(given.node, outcome.metadata(place, given.node.metadata) | notes, notes)
        if place.ranked is None:
            return NodeWithScore(node=node, score=given.score)
        return NodeWithScore(node=node, score=None if place.ranked.empty else place.ranked.score)


def _given(query: QueryBundle | None) -> QueryBundle:
    if query is None:  # in the framework's own words, which callers look for
        message = "Missing query bundle in extra info. Give query_str= or query_bundle=."
        raise InputError(message)
    if not isinstance(query, QueryBundle):
        message = f"query_bundle is of type {type(query).__name__}; give a text as query_str="
        raise InputError(message)
    return query


def _copied(node: BaseNode, metadata: dict[str, Any], notes: Iterable[str]) -> BaseNode:
    """Copy a node with its new metadata, whose notes neither the embedding model nor the LLM reads.

    Its text, its embedding and what it is related to are shared with the one that was given.
    """
    changed = {
        "metadata": metadata,
        "excluded_embed_metadata_keys": [*node.excluded_embed_metadata_keys, *notes],
        "excluded_llm_metadata_keys": [*node.excluded_llm_metadata_keys, *notes],
    }
    return node.model_copy(update=changed)
