"""The image holds the whole program: `.dockerignore` admits every file that the command needs."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.support.processes import ROOT


@pytest.fixture
def admitted(tmp_path: Path) -> Path:
    """The files that the build sees: those named by the `!` lines of `.dockerignore`."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines, "every file that is not named is left out"
    build = tmp_path / "build"
    build.mkdir()
    for name in (line.removeprefix("!") for line in lines if line.startswith("!")):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, build / name, ignore=_caches)
        else:
            shutil.copy(ROOT / name, build / name)
    return build


def test_the_image_has_every_file_of_every_package(admitted: Path, tmp_path: Path) -> None:
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    offline = ("--no-deps", "--no-index", "--no-build-isolation")
    subprocess.run(
        [*pip, "wheel", "--quiet", *offline, "--wheel-dir", str(tmp_path), str(admitted)],
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as built:
        held = {name for name in built.namelist() if ".dist-info/" not in name}
    assert held == _program()


def _program() -> set[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["packages"]["find"]["include"]
    return {
        path.relative_to(ROOT).as_posix()
        for pattern in patterns
        for path in (ROOT / pattern.removesuffix("*")).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


_caches = shutil.ignore_patterns("__pycache__")
