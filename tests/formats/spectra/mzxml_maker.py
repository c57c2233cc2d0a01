"""Makes small mzXML files: scans inside of scans or not, any version, precision and compression."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

__all__ = ["MadeScan", "make_mzxml", "some_scans"]


@dataclass(frozen=True)
class MadeScan:
    num: int
    points: Sequence[tuple[float, float]]
    level: int = 1
    rt: str = "PT1S"
    inside: Sequence[MadeScan] = ()
    attributes: str = ""
    precursor: str = ""
    more: dict[str, str] = field(default_factory=dict)
    """Attributes of peaks that are not the usual ones."""


def some_scans() -> list[MadeScan]:
    """Two surveys with fragments inside, and one spectrum without points."""

    def points(seed: int, count: int) -> list[tuple[float, float]]:
        rng = np.random.default_rng(seed)
        return [
            (float(mz), float(i))
            for mz, i in zip(np.sort(rng.uniform(100, 900, count)), rng.uniform(1, 1e6, count), strict=True)
        ]

    ions = (
        '<precursorMz precursorIntensity="7.5" precursorCharge="{}" activationMethod="{}" windowWideness="2">'
        "{}</precursorMz>"
    )
    return [
        MadeScan(
            3,
            points(1, 40),
            rt="PT0.1M",
            attributes='polarity="+" centroided="0" lowMz="100.5" filterLine="a &lt; b" totIonCurrent="1e7"',
            inside=[
                MadeScan(
                    4,
                    points(2, 9),
                    2,
                    "PT6.5S",
                    precursor=ions.format(2, "HCD", 445.25),
                    attributes='collisionEnergy="35"',
                ),
                MadeScan(
                    5, points(3, 11), 2, "PT7S", precursor=ions.format(3, "CID", 500.5) + ions.format(2, "ETD", 600)
                ),
            ],
        ),
        MadeScan(7, points(4, 30), rt="PT1M0.5S", attributes='polarity="-"', inside=[MadeScan(8, [], 2, "PT61S")]),
        MadeScan(9, points(5, 3), rt="PT62S"),
    ]


def make_mzxml(
    scans: Sequence[MadeScan], *, precision: int = 32, compression: str = "none", version: str = "3.2"
) -> bytes:
    """An indexed mzXML; version 1 has ``msRun`` for a root, and no index."""
    old = version.startswith("1")
    name = b"http://sashimi.sourceforge.net/schema_revision/mzXML_" + version.encode()
    head = b'<?xml version="1.0" encoding="ISO-8859-1"?>\n' + (b"" if old else b'<mzXML xmlns="%b">\n' % name)
    head += (
        b' <msRun scanCount="99" startTime="PT1S"><parentFile fileName="\xe4.raw" fileType="RAWData" fileSha1="0"/>\n'
    )
    head += b'  <msInstrument><msModel category="msModel" value="Made"/></msInstrument>\n'
    head += (
        b'  <dataProcessing centroided="1"><software type="conversion" name="maker" version="1"/></dataProcessing>\n'
    )
    out = bytearray(head)
    places: list[tuple[int, int]] = []
    for scan in scans:
        _write(out, scan, places, precision, compression, old=old)
    out += b" </msRun>\n"
    if old:
        return bytes(out)
    start = len(out) + 1
    out += b' <index name="scan">' + b"".join(b'<offset id="%d">%d</offset>' % place for place in places) + b"</index>"
    out += b"<indexOffset>%d</indexOffset><sha1>" % start
    out += hashlib.sha1(out).hexdigest().encode() + b"</sha1></mzXML>\n"
    return bytes(out)


def _write(
    out: bytearray, scan: MadeScan, places: list[tuple[int, int]], precision: int, compression: str, *, old: bool
) -> None:
    out += b"  "
    places.append((scan.num, len(out)))
    dtype = ">f4" if precision == 32 else ">f8"
    data = np.array(scan.points, dtype).tobytes() if scan.points else np.zeros(2, dtype).tobytes()
    data = zlib.compress(data) if compression == "zlib" else data
    usual = {"pairOrder": "m/z-int"} if old else {"contentType": "m/z-int", "compressionType": compression}
    kind = " ".join(f'{name}="{value}"' for name, value in (scan.more or usual).items())
    out += (
        f'<scan num="{scan.num}"\n msLevel="{scan.level}" peaksCount="{len(scan.points)}" retentionTime="{scan.rt}" '
        f'{scan.attributes}>{scan.precursor}\n   <peaks precision="{precision}" byteOrder="network" {kind}>'
        f"{base64.b64encode(data).decode()}</peaks>"
    ).encode()
    for inner in scan.inside:
        _write(out, inner, places, precision, compression, old=old)
    out += b"</scan>\n"
