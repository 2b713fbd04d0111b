"""The first bundle: its build, its table, and what the graph says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.age_hazard.build import GRAPH_NAME, TABLE_NAME, build_graph, build_manifest
from scripts.age_hazard.fit import (
    HORIZONS,
    Curve,
    curves,
    falling,
    fit_base,
    fit_table,
    loss_probability,
    read_series,
)
from spotvortex.model.forecaster import load
from tests.model.bundles import SHIPPED

TABLE = json.loads((SHIPPED / TABLE_NAME).read_text())


def test_shipped_graph_and_manifest_are_rebuilt_to_the_byte() -> None:
    graph = build_graph(*curves(TABLE))
    assert graph == (SHIPPED / GRAPH_NAME).read_bytes()
    shipped = (SHIPPED / "MODEL_MANIFEST.json").read_bytes()
    assert build_manifest(TABLE, graph, json.loads(shipped)) == shipped


def test_graph_says_what_the_table_says() -> None:
    shape, base = curves(TABLE)
    ages = np.array([0.0, 0.3, 1.0, 5.0, 30.0, 1500.0])
    for level in (1e-4, 2e-3, 0.05, 1.5):
        rows = np.stack([ages, np.full(len(ages), level)], axis=1).astype(np.float32)
        scores = load(SHIPPED, "aws").score(rows)
        for column, (_, minutes) in enumerate(HORIZONS):
            wanted = loss_probability(shape, float(base.at(level)), ages, minutes)
            np.testing.assert_allclose(scores[:, column], wanted, rtol=1e-4, atol=2e-7)


def test_shape_falls_to_one() -> None:
    shape, base = curves(TABLE)
    assert (np.diff(shape.y) <= 0).all()
    assert shape.y[-1] == 1.0
    assert (np.diff(base.y) > 0).all()


def test_base_is_the_level_where_losses_are_rare_and_below_it_where_they_are_not() -> None:
    _, base = curves(TABLE)
    assert float(base.at(1e-5)) == pytest.approx(1e-5, rel=0.01)
    assert float(base.at(1.0)) < 0.2


def test_base_of_a_flat_shape_is_the_level() -> None:
    flat = Curve(np.array([0.1, 10.0]), np.array([1.0, 1.0]))
    base = fit_base(flat)
    np.testing.assert_allclose(base.y, base.x, rtol=0.01)


@given(st.lists(st.floats(0.01, 5.0), min_size=1, max_size=12))
def test_falling_fit_never_rises_and_keeps_the_mean(rates: list[float]) -> None:
    weights = np.arange(1.0, len(rates) + 1.0)
    fitted = falling(np.array(rates), weights)
    assert (np.diff(fitted) <= 1e-12).all()
    assert fitted @ weights == pytest.approx(np.array(rates) @ weights)


def write_series(path: Path, data: list[int]) -> Path:
    path.write_text(json.dumps({"metadata": {"gap_seconds": 600}, "data": data}))
    return path


def test_runs_of_unknown_start_are_left_out_and_those_of_unknown_end_are_kept(
    tmp_path: Path,
) -> None:
    series = read_series(write_series(tmp_path / "a.json", [1, 1, 0, 1, 1, 1, 0, 1, 1]))
    np.testing.assert_allclose(series.hours, [0.5, 1 / 3])
    assert series.lost.tolist() == [True, False]


def test_partial_count_is_a_loss(tmp_path: Path) -> None:
    series = read_series(write_series(tmp_path / "a.json", [0, 4, 4, 3, 4, 0]))
    assert series.lost.tolist() == [True, True]


def test_table_is_fitted_from_a_folder_of_series(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for name in "abc":
        lives = rng.geometric(0.05, 400) if name == "a" else rng.geometric(0.01, 100)
        data = [x for life in lives for x in (0, *[1] * int(life))]
        write_series(tmp_path / f"{name}.json", data)
    table = fit_table(tmp_path, "2026-01-02")
    assert table["n_series"] == 3
    assert table["date"] == "2026-01-02"
    shape, _ = curves(table)
    assert shape.y[-1] == 1.0
    figures = table["brier_by_horizon_minutes"]["60"]
    assert figures["mean predicted"] == pytest.approx(figures["observed"], rel=0.2)


def test_folder_without_series_is_told(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no \*.json series"):
        fit_table(tmp_path, "2026-01-02")
