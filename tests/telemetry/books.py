"""A ledger for tests that ask for none in particular."""

from spotvortex.ports.null import NullLedgerStore
from spotvortex.telemetry.ledger_book import LedgerBook


async def inline(function, *arguments):
    """Run a blocking function in place."""
    return function(*arguments)


def book_of(store=None, **changes):
    """A ledger that nothing has gone into yet; it is kept nowhere, unless a store is given."""
    return LedgerBook(store=store or NullLedgerStore(), offload=inline, **changes)
