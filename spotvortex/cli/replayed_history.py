"""A history replayed under SpotVortex and under Karpenter alone.

Comes in: a folder of `history export`. Goes out: the two replays, in one simulated cluster. May not
print anything but its progress.
"""

from __future__ import annotations

from pathlib import Path

from spotvortex.cli.progress import bar
from spotvortex.errors import SettingsError
from spotvortex.evaluation import backtest_world, composition, protocol
from spotvortex.report.ledger.alone import HistoryReplay
from spotvortex.results import own_history
from spotvortex.results.accounting import total_of
from spotvortex.results.timeline import RunAccount
from spotvortex.settings.load import load as load_settings
from spotvortex.telemetry import logs


def replayed(history: Path) -> tuple[HistoryReplay, HistoryReplay]:
    """Replay a history; returns what SpotVortex makes of it, and what Karpenter alone does.

    Raises:
        SettingsError: it is no folder of `history export`.
        PriceFileError: it covers less than two days.
    """
    if not (history / own_history.MANIFEST).is_file():
        raise SettingsError(f"--history {history}: is no folder of spotvortex history export")
    logs.set_up("ERROR")
    spec = composition.BacktestSpec(
        prices=history / own_history.PRICES,
        counts=history / own_history.CAPACITY,
        snapshot=history / own_history.CLUSTER,
        model_dir=load_settings().model_dir,
    )
    start_at = backtest_world.begins_at(spec.prices)
    chosen = composition.side_by_side(protocol.load())
    with bar("policies", transient=True) as advance:
        done = iter(range(len(chosen) + 1))
        total = len(chosen) + 1
        accounts = composition.backtest(spec, chosen, lambda _: advance(next(done), total, ""))
    _, without, ours = (_replay(account, start_at) for account in accounts)
    return ours, without


def _replay(account: RunAccount, start_at: float) -> HistoryReplay:
    return HistoryReplay(
        policy=account.result.policy,
        start_at=start_at,
        hours=account.hours,
        outage_minutes=total_of(account.result.days).outage_minutes,
    )
