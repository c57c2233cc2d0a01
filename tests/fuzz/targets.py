"""What is fuzzed: every parser, with sound inputs to start from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from lake.formats.registry import FORMATS
from tests.fuzz import seeds
from tests.fuzz.files import check_file, check_index, sound_index, tolerated
from tests.fuzz.texts import TEXTS

__all__ = ["TARGETS", "Target"]

_XML = (
    b"<spectrum>",
    b"</spectrum>",
    b"<!--",
    b"-->",
    b"<![CDATA[",
    b"]]>",
    b"<!DOCTYPE x [",
    b"&amp;",
    b"&x;",
    b"<?x ?>",
    b"<cvParam ",
    b'accession="MS:1000514"',
    b"<binary>",
    b"</binary>",
    b"<referenceableParamGroupRef ref='a'/>",
    b"\0",
    b'"',
    b"'",
    b">",
    b"/>",
    b"<scan ",
    b"<peaks",
    b"</run>",
    b"</mzML>",
    b"<offset ",
    b"\xff\xfe",
    b"&#0;",
    b"&#x110000;",
)
_LINES = (
    b"\t",
    b"\n",
    b"\r\n",
    b"\r",
    b"\0",
    b"##",
    b"#CHROM\t",
    b"@SQ\tSN:x\tLN:1\n",
    b"@",
    b">",
    b"+\n",
    b"END=5;",
    b".",
    b"SVLEN=-9223372036854775808",
    b"BEGIN IONS\n",
    b"END IONS\n",
    b"CHARGE=",
    b"\xff",
    b"chr1\t1\t2\n",
    b" ",
    b"*",
)
_TEXT = (
    b"..", b"/", b"@", b"{", b"}", b"#", b"%2e", b"%2f", b"%00", b"%ff", b"\0", b"\r\n", b"&", b"=", b"-", b",", b":",
    b"\\", b'"', b"'", b"[" * 2000, b"(" * 2000, b"{" * 500, b'{"a":' * 500, b"\xc3\xa9", b"\xed\xb2\x80",
    b"~", b"null", b"true", b"NaN", b"Infinity", b"-0", b"1e400", b"\xd9\xa3", b"not ", b"*", b"...", b";", b"--",
    b"/*", b"$$", b"\xf0\x9d\x92\xb3",
)  # fmt: skip


class Target(NamedTuple):
    """One reader of input."""

    seeds: Callable[[], Sequence[bytes]]
    """Sound inputs."""
    run: Callable[[bytes, Path], object]
    """Raises nothing but where there is a finding; may write into a folder of its own."""
    words: tuple[bytes, ...]
    real: str | None = None
    """Format of which real files serve as well."""


def _file(name: str) -> Target:
    text = name in ("mzML", "mzXML", "imzML")
    return Target(
        lambda: seeds.made(name),
        lambda data, folder: check_file(name, data, folder, partner=seeds.partner(name)),
        _XML if text else _LINES,
        name,
    )


def _partner(data: bytes, folder: Path) -> None:
    check_file("imzML", seeds.made("imzML")[0], folder, partner=data)


def _index_target(name: str, kind: str) -> Target:
    def sound() -> bytes:
        # The last one made of a format that is kept plain or in BGZF is the one in BGZF.
        return seeds.made(name)[0 if name in ("FASTA", "CRAM") else -1]

    def run(data: bytes, folder: Path) -> None:
        check_index(name, sound(), kind, data, folder)

    def indexes() -> list[bytes]:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            return [sound_index(name, sound(), kind, Path(folder))]

    return Target(indexes, run, _LINES)


def _text(name: str) -> Target:
    reader = TEXTS[name]

    def run(data: bytes, folder: Path) -> None:
        text = data.decode(errors="surrogateescape")
        tolerated(lambda: reader.read(text, folder))

    return Target(lambda: [example.encode(errors="surrogateescape") for example in reader.examples], run, _TEXT)


def _gzi(data: bytes, folder: Path) -> None:
    from lake.formats.compression.gzi import map_blocks, parse_gzi, reason_to_refuse_gzi
    from lake.formats.reader import BytesReader

    blocks = map_blocks(BytesReader(seeds.made("FASTA")[-1]))
    tolerated(lambda: parse_gzi(data))
    tolerated(lambda: reason_to_refuse_gzi(blocks, data))


def _gzi_seeds() -> list[bytes]:
    import struct

    from lake.formats.compression.gzi import map_blocks
    from lake.formats.reader import BytesReader

    blocks = map_blocks(BytesReader(seeds.made("FASTA")[-1]))
    return [struct.pack("<3Q", 1, 600, 2000), struct.pack("<Q", len(blocks[0]))]


def _chunk_map(data: bytes, folder: Path) -> None:
    from lake.chunks import ChunkMap

    for size in (30, 0):
        tolerated(lambda size=size: list(ChunkMap.decode(data, size)))  # type: ignore[misc]


def _chunk_map_seeds() -> list[bytes]:
    from lake.chunks import ChunkMap

    return [ChunkMap((10, 20), bytes(64)).encode(), ChunkMap((30,), bytes(32)).encode()]


def _facts(data: bytes, folder: Path) -> None:
    from lake.facts import unpack_facts

    tolerated(lambda: unpack_facts("samples", data).to_pylist())


def _facts_seeds() -> list[bytes]:
    from lake.facts import pack_facts
    from lake.formats.facts.kinds import fact_table

    few = fact_table("samples", [("a",), ("b",)])["samples"]
    many = fact_table("samples", [(f"s{n}",) for n in range(5000)])["samples"]
    return [pack_facts(few), pack_facts(many)]


def _numpress(data: bytes, folder: Path) -> None:
    from lake.formats.spectra.arrays import Compression, decode_array, decode_bytes

    for compression in Compression:
        for value_type in (1000519, 1000521, 1000523):
            for length in (0, 3, 1 << 40):
                tolerated(lambda c=compression, t=value_type, n=length: decode_bytes(data, t, c, n))  # type: ignore[misc]
        tolerated(lambda c=compression: decode_array(data, 1000523, c, 3))  # type: ignore[misc]


def _numpress_seeds() -> list[bytes]:
    import struct
    import zlib

    plain = struct.pack("<3d", 1.5, 2.5, 3.5)
    linear = struct.pack(">d", 1e5) + struct.pack("<2i", 100, 200) + b"\x13\x57\x9b"
    return [
        plain,
        zlib.compress(plain),
        linear,
        zlib.compress(linear),
        b"MTUuMQ==",
        struct.pack(">d", 5.0) + b"\1\0\2\0",
    ]


_PLAIN = ("CSV", "JPEG", "JSON", "PNG", "Parquet", "TIFF")
_INDEXES = (
    ("BAM", "bai"), ("BAM", "csi"), ("BCF", "csi"), ("BED", "csi"), ("BED", "tbi"), ("CRAM", "crai"), ("FASTA", "fai"),
    ("VCF", "csi"), ("VCF", "tbi"),
)  # fmt: skip
_UNMADE = ("TSV", "text", "BigBed")
"""Formats that are another one under a name: TSV and text need an index, BigBed shares the reader of BigWig."""

TARGETS: dict[str, Target] = {
    **{name: _file(name) for name in (*(name for name in FORMATS if name not in _UNMADE), *_PLAIN)},
    **{f"{kind} of {name}": _index_target(name, kind) for name, kind in _INDEXES},
    **{name: _text(name) for name in TEXTS},
    "ibd": Target(lambda: [found for found in [seeds.partner("imzML")] if found], _partner, ()),
    "gzi": Target(_gzi_seeds, _gzi, ()),
    "chunk map": Target(_chunk_map_seeds, _chunk_map, ()),
    "facts": Target(_facts_seeds, _facts, ()),
    "peak arrays": Target(_numpress_seeds, _numpress, ()),
}
