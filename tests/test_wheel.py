"""The wheel: one top-level name, every source, and safe beside packages called like our folders."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("agents", "commands", "core", "envs", "networks", "play", "search", "studies", "tasks")

pytest.importorskip("hatchling", reason="the wheel is built with hatchling: pip install -e .[dev]")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout, built without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    done = subprocess.run(
        [*command, "--directory", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_only_top_level_name_is_tengen(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        top_level = {name.split("/")[0] for name in archive.namelist()}
    (metadata,) = (name for name in top_level if name.endswith(".dist-info"))
    assert top_level == {"tengen", metadata}
    assert metadata.startswith("tengen_rl-")


def test_every_source_is_inside(wheel: Path) -> None:
    sources = {p.relative_to(ROOT).as_posix() for f in FOLDERS for p in (ROOT / f).rglob("*.py")}
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    packed = [name.removeprefix("tengen/_app/") for name in names if name.endswith(".py")]
    assert sources | {"tengen/__init__.py", "tengen/__main__.py"} == set(packed)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_it_runs_beside_packages_of_the_same_names(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    for name in FOLDERS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('the wrong package')")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import tengen; tengen.main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, "train", "dqn", "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "--replay-capacity" in done.stdout
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import tengen\n"
        "try: tengen.load('nothing')\n"
        "except tengen.UserError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "nothing is not the folder of a run" in done.stdout, done.stderr
