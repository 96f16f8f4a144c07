"""Finding something out once, for all threads and event loops that want to know it meanwhile."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from zelo._common.fork import in_each_process

__all__ = ["Once"]

T = TypeVar("T")


class _LeaderGone(Exception):
    """Whoever was finding it out was cancelled."""


class Once(Generic[T]):
    """One caller looks, the others wait for what it finds; its failure is theirs, and forgotten."""

    def __init__(self) -> None:
        in_each_process(self._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._looking: Future[T] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # of the one who looks, if it awaits

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
            leads, looking = self._join(asyncio.get_running_loop())
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

    def _join(self, loop: asyncio.AbstractEventLoop | None = None) -> "tuple[bool, Future[T]]":
        with self._lock:
            before = self._looking
            if before is not None and not self._abandoned(before):
                return False, before
            self._looking, self._loop = Future(), loop
            self._looking.set_running_or_notify_cancel()  # one who waits cannot cancel it
            if before is not None:
                before.set_exception(_LeaderGone())
            return True, self._looking

    def _abandoned(self, looking: "Future[T]") -> bool:
        """Whether a loop was closed under the one who looks, who then never ends."""
        return not looking.done() and self._loop is not None and self._loop.is_closed()

    def _found(self, looking: "Future[T]", value: T) -> T:
        looking.set_result(value)
        return value

    def _failed(self, looking: "Future[T]", error: BaseException) -> None:
        with self._lock:
            if self._looking is not looking:
                return  # it was given up, and another one looks
            self._looking = None
        gone = not isinstance(error, Exception)
        looking.set_exception(_LeaderGone() if gone else error)
