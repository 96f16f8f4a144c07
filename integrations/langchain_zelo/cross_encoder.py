"""A zerank model as the cross-encoder of LangChain's own rerankers."""

from langchain_core.cross_encoders import BaseCrossEncoder

from zelo.adapters import ScoringOptions, warn_of_truncation

__all__ = ["ZeloCrossEncoder"]


class ZeloCrossEncoder(ScoringOptions, BaseCrossEncoder):
    """Scores pairs for `CrossEncoderReranker` and whatever else takes a `BaseCrossEncoder`.

    Where you can choose, take `ZeloRerank`: it is asynchronous, and its documents carry scores.

    Raises, when it is made:
        InputError: an option is another reranker's, or has no meaning.
        UnknownModelError: `model` is no alias, folder or hub id.
    """

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """Return one probability in [0, 1] per (query, document) pair, in order.

        Raises:
            InputError: a text cannot be scored, or the family takes no instruction.
            ModelError: the model cannot be loaded.
            ScoringError: the model gave no finite score.
        """
        scored = self._scoring._scored(text_pairs, self.instruction, self.progress)
        warn_of_truncation(scored)  # nothing that is returned can say it
        return [one.probability for one in scored]
