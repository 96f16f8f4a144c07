"""Finding something out once, for all threads and event loops that want to know it meanwhile."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

__all__ = ["Once"]

T = TypeVar("T")


class _LeaderGone(Exception):
    """Whoever was finding it out was cancelled."""


class Once(Generic[T]):
    """One caller looks, the others wait for what it finds; its failure is theirs, and forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looking: Future[T] | None = None

    def find(self, look: Callable[[], T], seconds: float | None) -> T:
        """Return what `look` returns, or what another caller's is returning.

        Raises:
            TimeoutError: the other caller takes longer than the seconds given.
        """
        while True:
            leads, looking = self._join()
            if leads:
                try:
                    return self._found(looking, look())
                except BaseException as error:
                    self._failed(looking, error)
                    raise
            try:
                return looking.result(seconds)
            except _LeaderGone:
                continue

    async def afind(self, look: Callable[[], Awaitable[T]]) -> T:
        """`find` for event loops."""
        while True:
            leads, looking = self._join()
            if leads:
                try:
                    return self._found(looking, await look())
                except BaseException as error:
                    self._failed(looking, error)
                    raise
            try:
                return await asyncio.shield(asyncio.wrap_future(looking))
            except _LeaderGone:
                continue

    def _join(self) -> "tuple[bool, Future[T]]":
        with self._lock:
            if self._looking is not None:
                return False, self._looking
            self._looking = Future()
            self._looking.set_running_or_notify_cancel()  # one who waits cannot cancel it
            return True, self._looking

    def _found(self, looking: "Future[T]", value: T) -> T:
        looking.set_result(value)
        return value

    def _failed(self, looking: "Future[T]", error: BaseException) -> None:
        with self._lock:
            self._looking = None
        gone = not isinstance(error, Exception)
        looking.set_exception(_LeaderGone() if gone else error)
