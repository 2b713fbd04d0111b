"""Tasks that can be made to fail at any of their awaits.

Comes in: a task factory for the loop, and a context whose tasks are counted. Goes out: tasks of
which each await is told first, to somebody who may raise instead. May not know what a task does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final

_COUNT: Final[ContextVar[Callable[[], None]]] = ContextVar("count")


class InjectedError(RuntimeError):
    """A task was made to fail."""


def counted(count: Callable[[], None]) -> Context:
    """Return a context in which every await of every task calls `count` first.

    An `InjectedError` that it raises is raised at that await. Only on loops with `brittle` as their
    task factory.
    """
    context = copy_context()
    context.run(_COUNT.set, count)
    return context


class _Stepped(Coroutine[Any, Any, Any]):
    """A coroutine, driven from await to await; each is told before it is waited for."""

    def __init__(self, count: Callable[[], None], inner: Coroutine[Any, Any, Any]) -> None:
        self._count = count
        self._inner = inner

    def send(self, value: Any) -> Any:  # noqa: ANN401 - as every coroutine
        """Go on to the next await."""
        return self._told(self._inner.send(value))

    def throw(self, *error: Any) -> Any:  # noqa: ANN401
        """Go on with an error."""
        return self._told(self._inner.throw(*error))

    def close(self) -> None:
        """Close the coroutine."""
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()

    def _told(self, waited: Any) -> Any:  # noqa: ANN401
        try:
            self._count()
        except InjectedError as error:
            return self._told(self._inner.throw(error))
        return waited


def brittle(
    loop: asyncio.AbstractEventLoop,
    inner: Any,  # noqa: ANN401 - as asyncio's own task factories
    *,
    context: Context | None = None,
) -> asyncio.Task[Any]:
    """Make a task, counted where its context says so: a task factory."""
    count = (context or copy_context()).get(_COUNT)
    steps = inner if count is None else _Stepped(count, inner)
    return asyncio.Task(steps, loop=loop, context=context)
