"""schemathesis asks all that the OpenAPI document tells of, rightly and wrongly, and holds the answers against it."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import httpx
import pytest

from lake.digest import digest_of
from lake.lake import Lake
from tests.htsget.clients.conftest import HERE, Served, run, serving

pytestmark = pytest.mark.clients

# Whether something lies under a name no schema tells, so that good data may well be refused: no positive check.
_ANSWERS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method,allow_header_conformance"
)
_CHECKS = f"{_ANSWERS},negative_data_rejection,missing_required_header"
# tus 1.0 wants 412 where its version is not named; URLs longer than 16 KiB are 414.
_EXPECTED = """
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "412", "414", "415", "416", "429", "431"]
[checks.missing_required_header]
expected-statuses = ["400", "401", "403", "404", "405", "406", "412", "415"]
"""


def check(
    url: str,
    folder: Path,
    config: str,
    *options: str,
    checks: str = _CHECKS,
    phases: str = "examples,fuzzing",
) -> None:
    """All operations but the one whose answer has no end."""
    (folder / "schemathesis.toml").write_text(config)
    done = run(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", folder / "schemathesis.toml"),
        *("run", f"{url}/openapi.json", "--exclude-path", "/watch", "--checks", checks, "--no-color"),
        *("--phases", phases, "--seed", "1", "--continue-on-failure", "--warnings", "off"),
        *options,
        cwd=folder,
        env={"SCHEMATHESIS_HOOKS": "serializers", "PYTHONPATH": str(HERE)},
    )
    assert done.status == 0, done.text[-20_000:]


def test_any_names(made: Path, tmp_path: Path) -> None:
    with Lake.init(tmp_path / "lake") as lake:
        lake.put(str(made / "s1.bam"), "0")
    with serving(tmp_path / "lake", tmp_path / "log", "--sql") as url:
        check(url, tmp_path, _EXPECTED, "-n", "5", phases="examples,coverage,fuzzing")


def test_names_of_what_is_there(made: Path, tmp_path: Path) -> None:
    bases = (made / "ref.fa").read_text().splitlines()[1]
    md5 = hashlib.md5(bases.encode()).hexdigest()
    digest = digest_of((made / "s1.bam").read_bytes())
    with Lake.init(tmp_path / "lake") as lake:
        lake.put([str(made / "s1.bam"), str(made / "calls.vcf.gz"), str(made / "ref.fa")], "a/")
    with serving(tmp_path / "lake", tmp_path / "log", "--no-upload") as url:
        (collection,) = httpx.get(f"{url}/seqcol/list/collection", trust_env=False).json()["results"]
        names: dict[str, dict[str, str]] = {
            "/reads/{id}": {"id": "a/s1.bam"},
            "/variants/{id}": {"id": "a/calls.vcf.gz"},
            "/files/{path}": {"path": "a/s1.bam"},
            "/objects/{digest}": {"digest": digest},
            "/sequence/{id}": {"id": md5},
            "/sequence/{id}/metadata": {"id": md5},
            "/seqcol/collection/{digest}": {"digest": collection},
            "/seqcol/comparison/{a}/{b}": {"a": collection, "b": collection},
            "/seqcol/comparison/{a}": {"a": collection},
            "/seqcol/files/{id}": {"id": "a/s1.bam"},
            "/ga4gh/drs/v1/objects/{object_id}": {"object_id": digest},
        }
        config = _EXPECTED + "".join(
            f"\n[[operations]]\ninclude-path = {json.dumps(path)}\n[operations.parameters]\n"
            + "".join(f'"path.{name}" = {json.dumps(value)}\n' for name, value in values.items())
            for path, values in names.items()
        )
        check(url, tmp_path, config, "-n", "15", *(f"--include-path={path}" for path in names))


def test_spectra(shared_data: Path, tmp_path: Path) -> None:
    with Lake.init(tmp_path / "lake") as lake:
        lake.put(str(shared_data / "massspec" / "pymzML__example.mzML"), "a/run.mzML")
    with serving(tmp_path / "lake", tmp_path / "log", "--no-upload") as url:
        config = (
            _EXPECTED
            + '\n[[operations]]\ninclude-path = "/spectra/{id}"\n[operations.parameters]\n"path.id" = "a/run"\n'
        )
        check(url, tmp_path, config, "-n", "15", "--include-path=/spectra/{id}", "--include-path=/proxi/v0.1/spectra")


def test_a_server_that_asks_for_tokens(guarded: Served, tmp_path: Path) -> None:
    # Bad requests may be told so before anybody is asked who they are.
    token = f"Authorization: Bearer {guarded.token}"
    check(guarded.url, tmp_path, _EXPECTED, "-n", "3", "-H", token, checks=f"{_ANSWERS},ignored_auth")
