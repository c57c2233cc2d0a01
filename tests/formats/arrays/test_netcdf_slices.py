"""Slices of netCDF-4, judged by xarray with h5netcdf."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import xarray as xr

from lake.errors import InvalidRegion, Unsupported
from tests.formats.arrays.makers import cut, make_netcdf, opened


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_netcdf(tmp_path_factory.mktemp("netcdf") / "made.nc")


def _read(data: Path | bytes) -> xr.Dataset:
    with xr.open_dataset(data if isinstance(data, Path) else io.BytesIO(data), engine="h5netcdf") as dataset:
        return dataset.load()


@pytest.mark.parametrize(
    ("region", "select"),
    [
        ("lat=40:60", lambda d: d.sel(lat=slice(60, 40))),
        ("lat=60:40", lambda d: d.sel(lat=slice(60, 40))),
        ("lat=-30", lambda d: d.sel(lat=[-30])),
        ("lat=:-50 & lon=100:", lambda d: d.sel(lat=slice(-50, None), lon=slice(100, None))),
        ("lon=31:59", lambda d: d.sel(lon=slice(31, 59))),
        ("lon=1:2", lambda d: d.sel(lon=slice(1, 2))),
        ("time=2020-01-02", lambda d: d.sel(time=slice("2020-01-02", "2020-01-02"))),
        ("time=2020-01-02:2020-01-03", lambda d: d.sel(time=slice("2020-01-02", "2020-01-03"))),
        ("time=2020-01-02T06:00:2020-01-02T12:00", lambda d: d.sel(time=slice("2020-01-02T06:00", "2020-01-02T12:00"))),
        ("time=2020-01-09:", lambda d: d.sel(time=slice("2020-01-09", None))),
        ("time=2020-01", lambda d: d.sel(time="2020-01")),
        ("time=2019:2021", lambda d: d),
        ("/t2m[3:9, ::2, 4]", lambda d: d[["t2m"]].isel(time=slice(3, 9), lat=slice(None, None, 2), lon=[4])),
        ("t2m&lat=0:20", lambda d: d[["t2m"]].sel(lat=slice(20, 0))),
        ("/t2m[0:9] & time=2020-01-02:", lambda d: d[["t2m"]].isel(time=slice(4, 9))),
    ],
)
def test_coordinates_and_places(made: Path, region: str, select: Callable[[xr.Dataset], xr.Dataset]) -> None:
    assert _read(cut(made, region)).identical(select(_read(made)))


def test_several_regions_are_the_union_along_one_axis(made: Path) -> None:
    assert _read(cut(made, "lat=80:90", "lat=-90:-80")).identical(_read(made).isel(lat=[0, 1, 17, 18]))


def test_the_length_of_a_dimension_without_a_variable_is_told_anew(made: Path) -> None:
    with opened(cut(made, "/counts[1:3, 0:2]")) as file:
        assert file["station"].attrs["NAME"].decode().split()[-1] == "2"
        assert file["counts"].dims[0][0].name == "/station"


@pytest.mark.parametrize(
    ("region", "problem"),
    [
        ("lon=90:30", "reversed"),
        ("time=2020-01-09:2020-01-02", "reversed"),
        ("time=2020-13", "no day of the calendar"),
        ("time=12", "is not FROM:TO"),
        ("lat=a:b", "is not FROM:TO"),
        ("t2m=1:2", "has 3 axes"),
        ("crs=1", "has 0 axes"),
        ("height=1:2", "is nothing"),
    ],
)
def test_what_does_not_fit_is_said(made: Path, region: str, problem: str) -> None:
    with pytest.raises(InvalidRegion, match=problem):
        cut(made, region)


def test_calendars_without_our_dates(made: Path, tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "noleap.nc"
    path.write_bytes(made.read_bytes())
    with h5py.File(path, "r+") as file:
        file["time"].attrs["calendar"] = "noleap"
    with pytest.raises(Unsupported, match="noleap"):
        cut(path, "time=2020-01-02")


def test_a_real_file(shared_data: Path) -> None:
    path = shared_data / "arrays" / "kerchunk__air.nc"
    wanted = _read(path).sel(lat=slice(60, 40), lon=slice(260, 270), time=slice("2014-10-05", "2014-10-06"))
    assert wanted.sizes["time"] == 8
    assert _read(cut(path, "lat=40:60&lon=260:270&time=2014-10-05:2014-10-06")).identical(wanted)
