"""Servers that speak OpenAI's API: embeddings and chat, whoever runs them."""

from zelo.llm.chat import Chat, Completion, Message
from zelo.llm.embeddings import Embeddings
from zelo.llm.endpoint import Endpoint

__all__ = ["Chat", "Completion", "Embeddings", "Endpoint", "Message"]
