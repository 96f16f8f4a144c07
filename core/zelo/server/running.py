"""Running the application on a socket: uvicorn, with a stop that drops nothing accepted."""

import asyncio
import socket
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from zelo.errors import InputError, ModelError, ZeloError
from zelo.server.service import Service

__all__ = ["Server", "listen"]

BACKLOG = 2048
"""Connections that the kernel holds for us; uvicorn's own default."""
HEAD_S = 10.0
"""Seconds in which a request's line and headers must arrive, so that nobody holds connections
open by sending a byte now and then. Bodies have the request's own deadline."""
KEEP_ALIVE_S = 75
"""How long an idle connection is kept: longer than load balancers and clients keep theirs (60 s
and less), so that none is closed at the moment when it is used again."""
CLOSING_S = 5
"""Seconds in which answers that are written must be taken, after all requests are done."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 lets the system choose one.

    Raises:
        InputError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        message = f"cannot listen on {host}:{port}: {error.strerror}; choose another --host, --port"
        raise InputError(message) from error


class Server(uvicorn.Server):
    """Stops in two steps: first no request is accepted any more, then none is under way.

    Args:
        app: the application.
        service: what is behind it.
    """

    def __init__(self, app: Any, service: Service) -> None:
        # h11 alone, although httptools may be installed: what is tested is what runs
        super().__init__(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=CLOSING_S,
            )
        )
        self._service = service

    def serve_on(self, listening: socket.socket) -> None:
        """Serve until the process is told to stop and all accepted requests are answered.

        Raises:
            ZeloError: the models could not be loaded.
        """
        self.run(sockets=[listening])
        failure = self._service.failure
        if isinstance(failure, ZeloError):
            raise failure
        if failure is not None:
            message = f"the model cannot be loaded: {type(failure).__name__}: {failure}"
            raise ModelError(message) from failure

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; told a second time, stop at once."""
        if self._service.state == "draining":
            self.should_exit = self.force_exit = True
        self._service.drain()

    async def on_tick(self, counter: int) -> bool:
        """Look, ten times a second, whether all accepted work is done, or none can ever be."""
        drained = self._service.state == "draining" and not self._service.under_way
        if drained or self._service.state == "failed":
            self.should_exit = True
        return await super().on_tick(counter)


class _Protocol(H11Protocol):
    """Closes a connection on which no whole request head arrives in time."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._waiting = self.loop.call_later(HEAD_S, self._close_if_idle)

    def data_received(self, data: bytes) -> None:
        """Take bytes; what leaves a head unfinished starts the clock, unless it is running."""
        super().data_received(data)
        if self._idle() and self._waiting.cancelled():
            self._waiting = self.loop.call_later(HEAD_S, self._close_if_idle)
        elif not self._idle():
            self._waiting.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._waiting.cancel()
        super().connection_lost(exc)

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _close_if_idle(self) -> None:
        if self._idle():
            self.transport.close()
