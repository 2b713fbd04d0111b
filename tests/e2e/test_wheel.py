"""The wheel, installed away from the checkout: every command finds its data in the package."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.paths import ROOT

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(900)]

# A wheel is made from a copy: `build/` in the checkout would keep modules that are there no more.
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "models", "spotvortex")
DATA = {
    "spotvortex/py.typed",
    "spotvortex/evaluation/matrix/constants.json",
    "spotvortex/evaluation/protocol.json",
    "spotvortex/market/on_demand_us_east_1.json",
    *(f"spotvortex/model/bundle/{path.name}" for path in (ROOT / "models").iterdir()),
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "sources"
    copy.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            leave = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, copy / name, symlinks=True, ignore=leave)
        else:
            shutil.copy2(source, copy / name)
    pip(sys.executable, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(copy))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def place(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, in which only the libraries are those of this one."""
    place = tmp_path_factory.mktemp("place")
    venv.create(place / "venv", symlinks=True)
    into = site_packages(place)
    pip(sys.executable, "install", "--no-deps", "--target", str(into), str(wheel))
    # A path in a .pth comes last and its own .pth files are not read: no editable install with it.
    (into / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return place


def site_packages(place: Path) -> Path:
    return Path(sysconfig.get_path("purelib", vars={"base": str(place / "venv")}))


def pip(python: str, *words: str) -> None:
    command = [python, "-m", "pip", "-q", "--disable-pip-version-check", "--no-input"]
    subprocess.run([*command, *words, "--no-index"], check=True, timeout=120)


def bare(place: Path) -> dict[str, str]:
    """The environment of a person who has set nothing."""
    mine = ("SPOTVORTEX_", "OTEL_", "AWS_", "KUBE", "PYTHON")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(mine)}
    return kept | {"HOME": str(place), "COLUMNS": "200"}


def command_of(place: Path, *words: str) -> list[str]:
    return [str(place / "venv/bin/python"), "-m", "spotvortex", *words]


def typed(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command_of(place, *words),
        cwd=place,
        env=bare(place),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_the_wheel_carries_its_data_and_nothing_of_the_checkout_beside_it(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for path in (ROOT / "models").iterdir():
            assert archive.read(f"spotvortex/model/bundle/{path.name}") == path.read_bytes()
    sources = {p.relative_to(ROOT).as_posix() for p in (ROOT / "spotvortex").rglob("*.py")}
    ours = {name for name in names if ".dist-info/" not in name}
    assert ours == sources | DATA


def test_there_is_one_copy_of_the_bundle_and_the_package_links_to_it():
    assert os.readlink(ROOT / "spotvortex/model/bundle") == "../../models"


def test_the_installed_package_is_the_one_that_runs(place: Path):
    asked = "import spotvortex, spotvortex.settings.model as m; print(spotvortex.__file__)"
    shown = subprocess.run(
        [place / "venv/bin/python", "-c", f"{asked}; print(m.BUNDLED_MODELS)"],
        cwd=place,
        env=bare(place),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    package = site_packages(place) / "spotvortex"
    assert shown.stdout.split() == [str(package / "__init__.py"), str(package / "model/bundle")]


def test_check_finds_the_bundle_and_names_what_is_missing(place: Path):
    result = typed(place, "check")
    assert result.returncode == 2
    assert re.search(r"^ok +model +age-hazard", result.stdout, re.MULTILINE)
    assert re.search(r"^wrong +cluster +no kubeconfig", result.stdout, re.MULTILINE)


def test_assess_without_a_cluster_says_so_in_one_line(place: Path):
    result = typed(place, "assess")
    assert result.returncode == 2
    assert result.stdout == ""
    assert re.fullmatch(
        r"spotvortex: no kubeconfig at .+: name one with KUBECONFIG\n", result.stderr
    )


def test_run_simulated_decides_and_stops_when_it_is_told(place: Path):
    environment = bare(place) | {"SPOTVORTEX_HTTP_PORT": "0", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command_of(place, "run", "--simulated", "--speed", "3600"),
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as daemon:
        assert daemon.stdout is not None
        first = daemon.stdout.readline()
        daemon.send_signal(signal.SIGTERM)
        daemon.stdout.read()
        assert daemon.wait(30) == 0
    assert "HOLD" in first


def test_evaluate_quick_judges_by_a_protocol_of_one_day(place: Path):
    whole = json.loads((ROOT / "spotvortex/evaluation/protocol.json").read_text())
    rivals = whole["baselines"] | {"b3": whole["baselines"]["b3"][:1]}
    (calm,) = (family for family in whole["families"] if family["name"] == "calm")
    small = whole | {"families": [calm], "n_days": 1, "baselines": rivals}
    (place / "small.json").write_text(json.dumps(small))
    result = typed(place, "evaluate", "--quick", "--protocol", "small.json", "--output", "json")
    assert result.returncode in (0, 1), result.stderr
    (family,) = json.loads(result.stdout)["verdict"]["families"]
    assert (family["family"], family["n_worlds"], family["n_void"]) == ("calm", 5, 0)
    assert len((place / "evaluation.jsonl").read_text().splitlines()) == 1 + 5 * 3
