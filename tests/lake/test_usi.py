"""Universal Spectrum Identifiers: what they say, and which run of a lake they mean."""

from __future__ import annotations

import pytest

from lake.errors import InvalidInput, NotFound, Unsupported
from lake.usi import Usi, find_run, is_usi, parse_usi

PATHS = ["cohort/a/run1.mzML", "cohort/b/run1.mzML.gz", "run2.mzML", "run2.mzML.fai", "run2.txt", "other/run3.d.mgf"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mzspec:PXD000561:run1:scan:17555", Usi("PXD000561", "", "run1", "scan", 17555)),
        (
            "mzspec:PXD000561:run1:scan:17555:VLHPLEGAVVIIFK/2",
            Usi("PXD000561", "", "run1", "scan", 17555, "VLHPLEGAVVIIFK/2"),
        ),
        (
            "mzspec:lake:[cohort/b]run1:index:0:EM[U:35]EVEES/2",
            Usi("lake", "cohort/b", "run1", "index", 0, "EM[U:35]EVEES/2"),
        ),
        ("MZSPEC:x:r:nativeId:1,1,17", Usi("x", "", "r", "nativeId", "1,1,17")),
    ],
)
def test_the_parts_of_a_usi(text: str, expected: Usi) -> None:
    assert is_usi(text)
    assert parse_usi(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mzspec:PXD000561", "is no USI: write mzspec:"),
        ("run.mzML", "is no USI"),
        ("mzspec:x::scan:1", "names no run"),
        ("mzspec:x:[a]:scan:1", "names no run"),
        ("mzspec:x:r:peak:1", "write scan, index or nativeId"),
        ("mzspec:x:r:scan:one", "'one' in .* is no number"),
        ("mzspec:x:r:scan:-1", "is no number"),
        ("mzspec:x:r:scan:", "is no number"),
        ("mzspec:x:r:nativeId:", "names no spectrum"),
    ],
)
def test_what_is_no_usi(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_usi(text)


def test_chromatograms_have_no_usi_here() -> None:
    with pytest.raises(Unsupported, match="chromatogram"):
        parse_usi("mzspec:x:r:trace:TIC")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("mzspec:USI000000:run2:scan:1", "run2.mzML"),
        ("mzspec:USI000000:run2.mzML:scan:1", "run2.mzML"),
        ("mzspec:cohort/a:run1:scan:1", "cohort/a/run1.mzML"),
        ("mzspec:lake:[b]run1:scan:1", "cohort/b/run1.mzML.gz"),
        ("mzspec:lake:run3.d:scan:1", "other/run3.d.mgf"),
    ],
)
def test_the_run_that_is_meant(text: str, path: str) -> None:
    assert find_run(parse_usi(text), PATHS) == path


def test_runs_that_are_missing_or_several() -> None:
    with pytest.raises(NotFound, match="no run 'run3' in the lake"):
        find_run(parse_usi("mzspec:lake:run3:scan:1"), PATHS)
    with pytest.raises(NotFound, match=r"2 runs are named 'run1': cohort/a/run1.mzML, cohort/b/run1.mzML.gz; write"):
        find_run(parse_usi("mzspec:lake:run1:scan:1"), PATHS)
