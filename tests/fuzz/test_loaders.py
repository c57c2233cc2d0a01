"""Nothing that is read may run: the source uses no loader that executes what it loads, and files stay files."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path

import pytest

import lake
from tests.conftest import ROOT

_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml", "tarfile", "xmlrpc"}
_XML = {"lxml", "xml.etree", "xml.etree.ElementTree", "xml.dom", "xml.dom.minidom", "xml.sax"}
"""Parsers that resolve entities unless they are told not to; expat is used, with declared types refused."""
_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "read_pickle",
    "load_module",
    "system",
    "popen",
    "extractall",
    "unpack_archive",
}
_ANYWHERE = {"read_pickle", "load_module", "extractall", "unpack_archive"}
_SOURCES = [path for top in ("lake", "catalog", "formats", "htsget") for path in (ROOT / top).rglob("*.py")]


def _names(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        # A pattern is compiled, and a machine has a system: only the builtins make code, and os starts a shell.
        module = call.func.value.id if isinstance(call.func.value, ast.Name) else ""
        return call.func.attr if call.func.attr in _ANYWHERE or module == "os" else ""
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _complaints(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in _MODULES or alias.name in _XML]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module] * (node.module.split(".")[0] in _MODULES or node.module in _XML)
        elif isinstance(node, ast.Call):
            found += [_names(node)] * (_names(node) in _CALLS)
            for keyword in node.keywords:
                allowed = not isinstance(keyword.value, ast.Constant) or keyword.value.value is not True
                found += [str(keyword.arg)] * (keyword.arg in ("allow_pickle", "shell") and not allowed)
    return found


def test_the_source_loads_nothing_that_runs() -> None:
    assert len(_SOURCES) > 200
    found = {str(path.relative_to(ROOT)): _complaints(ast.parse(path.read_bytes())) for path in _SOURCES}
    assert {path: names for path, names in found.items() if names} == {}


def test_the_check_sees_what_it_is_for() -> None:
    text = (
        "import pickle\nfrom xml.etree import ElementTree\nnumpy.load(x, allow_pickle=True)\neval(x)\nre.compile(x)\n"
    )
    assert sorted(_complaints(ast.parse(text))) == ["allow_pickle", "eval", "pickle", "xml.etree"]


class _Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return pytest.fail, ("unpickled",)


@pytest.mark.parametrize("name", ["a.pkl", "a.npy", "a.joblib", "a.csv", "a.h5"])
def test_a_pickle_in_a_lake_is_never_loaded(name: str, tmp_path: Path) -> None:
    import numpy as np

    path = tmp_path / name
    if name.endswith(".npy"):
        np.save(path, np.array([_Trap()], object), allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps(_Trap()))
    with lake.init(tmp_path / "lake") as lk:
        assert not lk.put(path).failed
        assert lk.stat(name).format in ("binary", "CSV", "HDF5")
        with lk.open(name, "rb") as file:
            assert file.read() == path.read_bytes()
        lk.sql("SELECT * FROM files").fetchall()
