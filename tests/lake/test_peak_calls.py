"""The table function ``peaks()`` of SQL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from lake.errors import BadQuery, NotFound
from lake.lake import Lake
from lake.peak_calls import bind_peaks
from tests.formats.spectra.run_maker import make_mzml, some_spectra


def _bound(query: str) -> tuple[str, dict[str, tuple[str, ...]]]:
    found: dict[str, tuple[str, ...]] = {}

    def points(paths: Sequence[str]) -> tuple[str, ...]:
        return tuple(paths)

    return bind_peaks(query, points, found.__setitem__), found


def test_calls_become_tables() -> None:
    query, found = _bound("SELECT * FROM PEAKS ( 'a*' ) p JOIN peaks('it''s', 'b') USING (ord), peaks('a*')")
    assert query == "SELECT * FROM peaks p JOIN peaks_2 USING (ord), peaks"
    assert found == {"peaks": ("a*",), "peaks_2": ("it's", "b")}


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 'peaks(1)'",
        'SELECT "peaks(" FROM t',
        "SELECT 1 -- peaks('a')",
        "/* peaks( */ FROM peaks",
        "FROM my_peaks(1)",
    ],
)
def test_what_is_no_call_stays(query: str) -> None:
    assert _bound(query) == (query, {})


@pytest.mark.parametrize("arguments", ["", "path", "'a', path", "'a',", "'a'", "$1"])
def test_other_arguments(arguments: str) -> None:
    closed = ")" if arguments != "'a'" else ""
    with pytest.raises(BadQuery, match=r"FROM peaks\('runs/\*\.mzML'\)"):
        _bound(f"FROM peaks({arguments}{closed}")


def test_points_of_runs(tmp_path: Path) -> None:
    with Lake.init(tmp_path / "lake") as lk:
        for name, seed in (("a.mzML", 1), ("b.mzML", 2)):
            (tmp_path / name).write_bytes(make_mzml(some_spectra(5, seed=seed)))
            lk.put(tmp_path / name, f"runs/{name}")
        counts = dict(lk.sql("SELECT peaks.path, count(*) FROM peaks('runs/*.mzML') GROUP BY ALL").fetchall())
        assert counts == {f"runs/{name}": lk.peaks(f"runs/{name}").read_all().num_rows for name in ("a.mzML", "b.mzML")}
        with pytest.raises(NotFound):
            lk.sql("FROM peaks('none.mzML')")
