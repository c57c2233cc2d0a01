"""The repository installs as one package, under one name, from every kind of distribution."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("catalog", "formats", "htsget")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def modules() -> set[str]:
    """Every module of the source tree, as a path inside the distribution."""
    packages = PROJECT["tool"]["setuptools"]["package-dir"]
    return {
        str(Path(*name.split("."), *path.relative_to(ROOT / folder).parts))
        for name, folder in packages.items()
        for path in (ROOT / folder).rglob("*.py")
        if path.resolve() == path  # not through lake/formats -> ../formats
    }


def test_every_package_is_listed() -> None:
    tool = PROJECT["tool"]["setuptools"]
    found = {
        ".".join((name, *init.parent.relative_to(ROOT / folder).parts))
        for name, folder in tool["package-dir"].items()
        for init in (ROOT / folder).rglob("__init__.py")
        if init.resolve() == init
    }
    assert found == set(tool["packages"])


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {str(Path(module).parent).replace("/", ".") for module in modules()}
    assert folders == set(PROJECT["tool"]["setuptools"]["packages"])


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_links_are_links_in_git() -> None:
    listed = run("git", "ls-files", "-s", *(f"lake/{folder}" for folder in FOLDERS))
    assert {line.split("\t")[1]: line.split()[0] for line in listed.splitlines()} == {
        f"lake/{folder}": "120000" for folder in FOLDERS
    }
    assert {os.readlink(ROOT / "lake" / folder) for folder in FOLDERS} == {f"../{folder}" for folder in FOLDERS}


@pytest.mark.parametrize("folder", FOLDERS)
def test_one_source_never_loads_under_two_names(folder: str) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {folder}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"ImportError: import lake.{folder}, not {folder}" in done.stderr


def test_import_lake_is_light() -> None:
    heavy = {"numpy", "pysam", "pyarrow", "duckdb", "pandas", "fastapi", "tqdm", "fsspec", "h5py"}
    loaded = run(sys.executable, "-c", "import lake, sys; print(*sys.modules)", cwd=ROOT / "tests").split()
    assert "lake" in loaded
    assert not heavy & set(loaded)


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An sdist of a copy of the source tree, and a wheel of the unpacked sdist, built without the network."""
    folder = tmp_path_factory.mktemp("distributions")
    ignore = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist", "site", "tests")
    shutil.copytree(ROOT, folder / "source", symlinks=True, ignore=ignore)
    shutil.copytree(ROOT / "tests", folder / "source" / "tests", ignore=ignore)
    build = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"
    run(sys.executable, "-c", build, "build_sdist", folder, cwd=folder / "source")
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    run(sys.executable, "-c", build, "build_wheel", folder, cwd=unpacked)
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


def test_the_wheel_of_the_sdist_is_complete(distributions: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(distributions[1]) as wheel:
        names = set(wheel.namelist())
    metadata = f"regionlake-{PROJECT['project']['version']}.dist-info"
    assert {name.split("/")[0] for name in names} == {"lake", metadata}
    assert {name for name in names if name.endswith(".py")} == modules()
    data = {str(path.relative_to(ROOT)) for path in (ROOT / "lake").rglob("*.sql")}
    assert data | {"lake/py.typed", f"{metadata}/licenses/LICENSE"} <= names


@pytest.fixture(scope="module")
def fresh_venv(tmp_path_factory: pytest.TempPathFactory, distributions: tuple[Path, Path]) -> Path:
    """A virtual environment that holds our wheel and the `htsget` client of the package index, without dependencies."""
    venv = tmp_path_factory.mktemp("venv") / "venv"
    run(sys.executable, "-m", "venv", venv)
    pip = (venv / "bin" / "python", "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check")
    run(*pip, distributions[1])
    client = subprocess.run([*pip, "--retries=1", "htsget"], capture_output=True, text=True, check=False)
    if client.returncode != 0:
        pytest.skip(f"no package index: {client.stderr.strip().splitlines()[-1:]}")
    return venv


@pytest.mark.network
def test_the_htsget_client_installs_beside_ours(fresh_venv: Path, tmp_path: Path) -> None:
    code = (
        "from importlib.metadata import packages_distributions; from importlib.util import find_spec;"
        "owners = packages_distributions(); print({*owners['htsget']}, {*owners['lake']});"
        "print(find_spec('htsget').origin); print(find_spec('lake').origin)"
    )
    owners, client, ours = run(fresh_venv / "bin" / "python", "-c", code, cwd=tmp_path).splitlines()
    assert owners == "{'htsget'} {'regionlake'}"
    assert client.endswith("site-packages/htsget/__init__.py")
    assert ours.endswith("site-packages/lake/__init__.py")
    assert Path(ours).with_name("htsget").is_dir()
