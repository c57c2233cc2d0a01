"""Made files and made bounds: slices equal numpy, damage never goes unnoticed or crashes."""

from __future__ import annotations

import io
import math

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.errors import LakeError
from lake.formats.arrays.conditions import Column, evaluate
from lake.formats.arrays.query import parse_region_terms
from tests.formats.arrays.makers import cut, make_anndata, opened

_BOUND = st.none() | st.integers(-15, 15)


@st.composite
def _datasets(draw: st.DrawFn) -> tuple[bytes, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    shape = tuple(draw(st.lists(st.integers(0, 12), min_size=1, max_size=3)))
    values = np.arange(math.prod(shape)).reshape(shape)
    options: dict[str, object] = {}
    if draw(st.booleans()) and values.size:
        options["chunks"] = tuple(draw(st.integers(1, length)) for length in shape)
        options["compression"] = draw(st.sampled_from([None, "gzip", "lzf"]))
        options["shuffle"] = draw(st.booleans())
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file.create_dataset("a/b", data=values, **options)
    return out.getvalue(), values


@settings(max_examples=60, deadline=None)
@given(_datasets(), st.lists(st.tuples(_BOUND, _BOUND, st.none() | st.integers(1, 4)), min_size=1, max_size=3))
def test_bounds_mean_what_numpy_means(
    made: tuple[bytes, np.ndarray[tuple[int, ...], np.dtype[np.int64]]],
    bounds: list[tuple[int | None, int | None, int | None]],
) -> None:
    data, values = made
    bounds = bounds[: values.ndim]
    words = [":".join("" if end is None else str(end) for end in bound) for bound in bounds]
    with opened(cut(data, f"/a/b[{', '.join(words)}]")) as file:
        assert np.array_equal(file["a/b"][()], values[tuple(slice(*bound) for bound in bounds)])


@given(st.text(max_size=40))
def test_any_text_is_a_region_or_an_error(text: str) -> None:
    try:
        terms = parse_region_terms(text)
    except LakeError:
        return
    again = parse_region_terms("&".join(term.text() for term in terms))
    assert [term.text() for term in again] == [term.text() for term in terms]


@given(st.text("ab()[]<>=!\"'`,.0 notrd&", max_size=40))
def test_any_text_is_a_condition_or_an_error(text: str) -> None:
    columns = {"a": Column(np.arange(5)), "b": Column(np.array(list("abcab"), object))}
    try:
        mask = evaluate(text, 5, columns.get)
    except LakeError:
        return
    assert mask.shape == (5,)


@pytest.mark.parametrize("seed", range(60))
def test_damaged_bytes_are_an_error_or_harmless(seed: int, damaged: bytes) -> None:
    noise = np.random.default_rng(seed)
    data = bytearray(damaged)
    for place in noise.integers(0, len(data), 1 + seed % 4):
        data[place] = int(noise.integers(0, 256))
    try:
        answer = cut(bytes(data), "obs=3:9&var=1:4")
    except LakeError:
        return
    with opened(answer) as file:
        assert "obs" in file


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_anndata(tmp_path_factory.mktemp("damaged") / "made.h5ad").read_bytes()
