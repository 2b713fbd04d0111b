"""Make a recorded decision again and compare it byte by byte.

Comes in: a record's line. Goes out: whether the same code makes the same line of the basis that the
record holds. May not read anything beside the line.
"""

from __future__ import annotations

from dataclasses import dataclass

from spotvortex.core.decision.reconcile import decide
from spotvortex.core.record.codec import CodecError
from spotvortex.core.record.record import read_record, record_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What became of one record.

    Attributes:
        digest: the record's digest.
        previous: the digest that it names as the one before, "" of the first of a chain.
        code_version: the code that made it.
        same: the decision made again gives the same line.
        remade: the line that it gives.
    """

    digest: str
    previous: str
    code_version: str
    same: bool
    remade: str


def replay(line: str) -> Replay:
    """Make one record again.

    Raises:
        CodecError: the line is no record of a readable schema, or its basis makes no decision.
    """
    recorded = read_record(line)
    try:
        decision = decide(recorded.basis)
        remade = record_of(
            decision, recorded.previous_digest, recorded.code_version, recorded.schema
        )
    except (ArithmeticError, LookupError, ValueError) as error:
        raise CodecError(f"basis: {error}") from error
    return Replay(
        digest=recorded.digest,
        previous=recorded.previous_digest,
        code_version=recorded.code_version,
        same=remade.line == line,
        remade=remade.line,
    )
