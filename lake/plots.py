"""Pictures of spectra and chromatograms, PNG or SVG. Needs matplotlib, the extra ``plot``."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lake.errors import InvalidInput, Unsupported
from lake.spectrum import Spectrum

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PICTURES", "picture_kind", "plot_chromatograms", "plot_mirror", "plot_spectrum", "save_figure"]

PICTURES = ("png", "svg")
"""Kinds of pictures, by the suffix of the file."""

_SIZE = (8.0, 4.5)
"""Inches."""
_DOTS = 120
"""Dots an inch, in PNG."""
_LABELS = 8
"""Peaks of which the m/z is written."""
_DEEPEST = 1e-2
"""Of the base peak: what is lower has no label."""


def plot_spectrum(spectrum: Spectrum) -> Figure:
    """Sticks where the spectrum is centroided, a line where it is a profile."""
    figure, axes = _figure(spectrum.title)
    _draw(axes, spectrum, spectrum.intensity, "C0")
    axes.set_xlabel("m/z")
    axes.set_ylabel("intensity")
    axes.set_ylim(bottom=0)
    return figure


def plot_mirror(upper: Spectrum, lower: Spectrum) -> Figure:
    """Two spectra, each relative to its base peak, the second one upside down."""
    figure, axes = _figure(f"{upper.title}\n{lower.title}")
    for spectrum, sign, colour in ((upper, 100, "C0"), (lower, -100, "C3")):
        highest = spectrum.intensity.max(initial=0)
        _draw(axes, spectrum, spectrum.intensity * (sign / highest if highest > 0 else 0), colour)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    axes.set_ylim(-110, 110)
    axes.set_xlabel("m/z")
    axes.set_ylabel("relative intensity (%)")
    return figure


def plot_chromatograms(table: pa.Table, title: str) -> Figure:
    """Intensity over time of a table of `Lake.xic` or `Lake.tic`: a line for each run and m/z."""
    figure, axes = _figure(title)
    columns = {name: np.array(table.column(name).to_pylist()) for name in table.column_names}
    masses = columns.get("mz", np.zeros(table.num_rows))
    lines = sorted(set(zip(columns["path"].tolist(), masses.tolist(), strict=True)))
    several = len(lines) > 1
    for path, mz in lines:
        line = (columns["path"] == path) & (masses == mz)
        label = ", ".join(part for part in (path, f"m/z {mz:g}" if mz else "") if part)
        axes.plot(columns["rt"][line].astype(np.float64), columns["intensity"][line], linewidth=1, label=label)
    if several:
        axes.legend(fontsize="small")
    axes.set_xlabel("retention time (s)")
    axes.set_ylabel("intensity")
    axes.set_ylim(bottom=0)
    return figure


def save_figure(figure: Figure, kind: str) -> bytes:
    """The picture as bytes of a file, the same each time.

    Raises:
        InvalidInput: neither PNG nor SVG.
    """
    if kind not in PICTURES:
        raise InvalidInput(f"pictures are {' or '.join(PICTURES)}, not {kind!r}")
    matplotlib = _matplotlib()
    sink = io.BytesIO()
    # Text stays text, and nothing tells the hour or a random number.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "regionlake"}):
        figure.savefig(sink, format=kind, dpi=_DOTS, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return sink.getvalue()


def picture_kind(destination: Path) -> str:
    """
    Raises:
        InvalidInput: a suffix of no picture.
    """
    kind = destination.suffix.lower().lstrip(".")
    if kind not in PICTURES:
        raise InvalidInput(f"{destination}: pictures are {' or '.join(f'.{known}' for known in PICTURES)}")
    return kind


def _matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise Unsupported("plots need matplotlib: pip install 'regionlake[plot]'") from None
    return matplotlib


def _figure(title: str) -> tuple[Figure, Axes]:
    _matplotlib()
    # Not pyplot, which keeps figures and wants a screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    # A dollar sign in a name would begin a formula.
    axes.set_title(title.replace("$", r"\$"), fontsize="small")
    return figure, axes


def _draw(axes: Axes, spectrum: Spectrum, heights: NDArray[Any], colour: str) -> None:
    if spectrum.facts["centroided"] is False:
        axes.plot(spectrum.mz, heights, color=colour, linewidth=0.8)
    else:
        axes.vlines(spectrum.mz, 0, heights, color=colour, linewidth=0.9)
    for place in _labelled(np.abs(heights)):
        upwards = heights[place] >= 0
        axes.annotate(
            f"{spectrum.mz[place]:.4f}",
            (spectrum.mz[place], heights[place]),
            xytext=(0, 2 if upwards else -2),
            textcoords="offset points",
            ha="center",
            va="bottom" if upwards else "top",
            fontsize="x-small",
        )


def _labelled(heights: NDArray[Any]) -> Sequence[int]:
    """The highest local maxima."""
    if not len(heights):
        return []
    padded = np.concatenate(([-np.inf], heights, [-np.inf]))
    tops = np.flatnonzero((heights >= padded[:-2]) & (heights > padded[2:]) & (heights >= heights.max() * _DEEPEST))
    ordered: list[int] = tops[np.argsort(-heights[tops], kind="stable")][:_LABELS].tolist()
    return ordered
