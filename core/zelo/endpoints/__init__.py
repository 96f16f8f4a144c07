"""Servers that speak OpenAI's API: embeddings and chat, whoever runs them."""

from zelo.endpoints.chat import Chat, Completion, Message
from zelo.endpoints.embeddings import Embeddings
from zelo.endpoints.endpoint import Endpoint

__all__ = ["Chat", "Completion", "Embeddings", "Endpoint", "Message"]
