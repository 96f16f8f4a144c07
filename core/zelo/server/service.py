"""What all requests share: models, limits, metrics, and whether the server is ready."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from typing import Literal

from zelo.errors import InputError
from zelo.server.admission import Admission
from zelo.server.keys import ApiKeys
from zelo.server.limits import Limits
from zelo.server.metrics import Metrics
from zelo.server.refusal import Refusal
from zelo.server.served import ServedModel

__all__ = ["Service", "State"]

State = Literal["loading", "serving", "failed", "draining"]
CHECK_S = 1.0
"""How long a check's outcome is remembered: /ready needs no key, and must not become work."""
CHECK_TIMEOUT_S = 10.0
"""A model that scores one short pair no faster than this is not ready."""

log = logging.getLogger("zelo")


class Service:
    """The running server, apart from HTTP. For one event loop.

    Raises:
        InputError: there is no model, or two have a name in common.
    """

    def __init__(self, models: Sequence[ServedModel], limits: Limits, keys: ApiKeys) -> None:
        self.models, self.limits, self.keys = tuple(models), limits, keys
        self.admission = Admission(limits.max_queued_tokens)
        self.metrics = Metrics(self.models, self.admission)
        self.state: State = "loading"
        self.failure: Exception | None = None
        """Why the models could not be loaded."""
        self._loaded = False
        self.under_way = 0
        """Requests accepted and not yet answered."""
        self._named = _by_name(self.models)
        self._check: asyncio.Task[bool] | None = None
        self._checked_at = 0.0

    @property
    def names(self) -> list[str]:
        """Every served name, in order."""
        return list(self._named)

    def model(self, name: str | None) -> tuple[str, ServedModel]:
        """Return the model that a request names, or the first, with the name to answer under.

        Raises:
            Refusal: 404, with the names that are served.
        """
        wanted = self.names[0] if name is None else name
        if wanted not in self._named:
            message = f"no such model is served here; served names: {', '.join(self.names)}"
            raise Refusal(404, "unknown_model", message)
        return wanted, self._named[wanted]

    async def load(self) -> None:
        """Load all models without blocking, and begin to serve, or tell why not in `failure`."""
        try:
            for model in self.models:
                await _in_thread(model.load)
        except Exception as error:  # files and drivers fail in ways of their own
            self.state, self.failure = "failed", error
            log.error("the model cannot be served: %s: %s", type(error).__name__, error)
            return
        self._loaded = True
        if self.state == "loading":
            self.state = "serving"
            log.info("ready: serving %s", ", ".join(self.names))

    @contextmanager
    def accepted(self) -> Iterator[None]:
        """Accept a request until the block ends; it is finished also if the server is to stop.

        Raises:
            Refusal: 503, while no request is accepted.
        """
        if self.state != "serving":
            pause = {"Retry-After": "5"}
            if self.state == "draining":
                pause |= {"Connection": "close"}
            raise Refusal(503, self.state, EXPLAINED[self.state], pause)
        self.under_way += 1
        self.metrics.under_way.inc()
        try:
            yield
        finally:
            self.under_way -= 1
            self.metrics.under_way.dec()

    def drain(self) -> None:
        """Accept no more requests, and let those under way finish."""
        self.state = "draining"

    async def drained(self) -> None:
        """Drain, and wait until nothing is under way, each request for its own deadline."""
        self.drain()
        while self.under_way:
            await asyncio.sleep(0.02)

    async def ready(self) -> bool:
        """Whether the models are loaded and score the known pair as they did at first."""
        if self.state != "serving":
            self.metrics.ready.set(0)
            return False
        stale = time.monotonic() - self._checked_at > CHECK_S
        if self._check is None or (stale and self._check.done()):
            self._checked_at = time.monotonic()
            self._check = asyncio.create_task(self._pass_check())
        passed = await asyncio.shield(self._check)
        self.metrics.ready.set(passed)
        return passed

    def close(self) -> None:
        """Give the models back; one that is still being loaded goes with the process."""
        if self._check is not None:
            self._check.cancel()
        if self._loaded:
            for model in self.models:
                model.close()

    async def _pass_check(self) -> bool:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                for model in self.models:
                    await model.check()
        except TimeoutError:
            log.error("not ready: no score of the known pair within %.0f s", CHECK_TIMEOUT_S)
            return False
        except Exception as error:  # whatever it is, requests would meet it too
            log.error("not ready: %s: %s", type(error).__name__, error)
            return False
        return True


EXPLAINED: dict[State, str] = {
    "loading": "the model is being loaded; /ready tells when it can be asked",
    "failed": "the model could not be loaded; the server's log tells why",
    "draining": "the server is stopping; send the request to another one",
}


def _by_name(models: Sequence[ServedModel]) -> dict[str, ServedModel]:
    named = [(name, model) for model in models for name in model.names]
    if not named or len(dict(named)) < len(named):
        raise InputError("give at least one model, and no served name to two of them")
    return dict(named)


async def _in_thread(work: Callable[[], None]) -> None:
    """Run blocking work in a thread that does not keep a process alive that wants to end."""
    done: Future[None] = Future()

    def run() -> None:
        with suppress(InvalidStateError):  # nobody waits any more
            try:
                work()
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(None)

    threading.Thread(target=run, name="zelo-load", daemon=True).start()
    await asyncio.wrap_future(done)
