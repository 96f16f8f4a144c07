"""What belongs to one process, and begins anew in a child that is made by fork.

Of a process's threads only the one that forks comes along. A lock that another one held stays held
for ever in the child, what another one was to answer is never answered, and open connections and
loaded models are the parent's, who goes on using them.
"""

import os
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from types import MethodType
from typing import Any, TypeVar, cast

__all__ = ["Lock", "compute", "in_each_process", "leave_to_parent"]

T = TypeVar("T")

_begins: weakref.WeakKeyDictionary[object, Callable[[Any], None]] = weakref.WeakKeyDictionary()
"""A method of each object, apart from it: weakref.WeakMethod complains when an interpreter ends."""
_parents: list[object] = []
_forked = "torch" in sys.modules
"""This process was made by fork; or it may have been, with a torch that had computed before."""


def in_each_process(begin: Callable[[], None]) -> None:
    """Call a method now, and first thing in every forked child as long as its object lives."""
    begin()
    method = cast(MethodType, begin)
    _begins[method.__self__] = method.__func__


def leave_to_parent(finalizer: "weakref.finalize[Any, Any] | None") -> None:
    """In a child, neither close nor free what a finalizer of the parent's would.

    Even an end without any call would reach the parent: an event loop that is collected takes the
    wake-up pipe out of the epoll set that both processes have.
    """
    if finalizer is not None:
        _parents.append(finalizer.detach())


def compute(work: Callable[[], T]) -> T:
    """Run work that computes with torch: in a child, in a thread that begins with it.

    torch's OpenMP (libgomp) remembers its threads in the thread that computed: the one that forked
    would wait for ever for threads that did not come along, and a new one has no such memory. In a
    child an interrupt ends the wait alone; the work goes on unheard.
    """
    if not _forked:
        return work()
    done: Future[T] = Future()

    def run() -> None:
        try:
            found = work()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(found)

    threading.Thread(target=run, name="zelo-compute", daemon=True).start()
    return done.result()


class Lock:
    """A lock that is free in a forked child, whoever held it in the parent."""

    def __init__(self) -> None:
        in_each_process(self._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _begin_anew() -> None:
    global _forked
    _forked = True
    for one, begin in list(_begins.items()):
        begin(one)


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_begin_anew)
