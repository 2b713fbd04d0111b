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

    What it raises is raised at that await. Only on loops with `brittle` as their task factory.
    """
    context = copy_context()
    context.run(_COUNT.set, count)
    return context


class _Stepped:
    """A coroutine, driven from await to await."""

    def __init__(self, count: Callable[[], None], inner: Coroutine[Any, Any, Any]) -> None:
        self._count = count
        self._inner = inner

    def __await__(self) -> Generator[Any, Any, Any]:
        value: object = None
        error: BaseException | None = None
        while True:  # ends with the coroutine
            try:
                raised, error = error, None
                waited = self._inner.send(value) if raised is None else self._inner.throw(raised)
            except StopIteration as end:
                return end.value
            try:
                self._count()
                value = yield waited
            except BaseException as caught:  # noqa: BLE001 - handed on to the coroutine itself
                error = caught


async def _stepping(count: Callable[[], None], inner: Coroutine[Any, Any, object]) -> object:
    return await _Stepped(count, inner)


def brittle(
    loop: asyncio.AbstractEventLoop,
    inner: Any,  # noqa: ANN401 - as asyncio's own task factories
    *,
    context: Context | None = None,
) -> asyncio.Task[Any]:
    """Make a task, counted where its context says so: a task factory."""
    count = (context or copy_context()).get(_COUNT)
    if count is not None:
        inner = _stepping(count, inner)
    return asyncio.Task(inner, loop=loop, context=context)
