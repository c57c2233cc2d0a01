"""Small sound files to start from, made once a process; and the real ones, where they are."""

from __future__ import annotations

import bz2
import gzip
import random
import tempfile
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

import pysam
import pysam.bcftools

from tests.formats.cram_maker import Mapped, made_reference, make_cram
from tests.formats.spectra.mzml_maker import made_mzml, made_spectrum
from tests.formats.spectra.mzxml_maker import make_mzxml, some_scans
from tests.lake.samples import CONTIGS, make_bam

__all__ = ["SUFFIXES", "made", "partner", "real"]

_LARGEST_REAL = 100_000

SUFFIXES: dict[str, tuple[str, ...]] = {
    "BAM": (".bam",),
    "BCF": (".bcf",),
    "BED": (".bed.gz", ".bed"),
    "CRAM": (".cram",),
    "FASTA": (".fa", ".fasta", ".fa.gz", ".fasta.gz"),
    "FASTQ": (".fq", ".fastq", ".fastq.gz"),
    "GFF3": (".gff.gz", ".gff3.gz"),
    "GTF": (".gtf.gz",),
    "HDF5": (".h5", ".hdf5"),
    "MGF": (".mgf",),
    "SAM": (".sam", ".sam.gz"),
    "VCF": (".vcf", ".vcf.gz"),
    "gzip": (".fastq.gz",),
    "h5ad": (".h5ad",),
    "imzML": (".imzML",),
    "mzML": (".mzML", ".mzML.gz", ".mzML.bz2"),
    "mzMLb": (".mzMLb",),
    "netCDF": (".nc",),
}
"""Of real files, by format."""

_ROWS = [(name, at) for name in CONTIGS for at in range(10, 4900, 70)]
_VCF_HEAD = (
    "##fileformat=VCFv4.2\n"
    + "".join(f"##contig=<ID={name},length={length}>\n" for name, length in CONTIGS.items())
    + '##INFO=<ID=END,Number=1,Type=Integer,Description="End">\n'
    + '##INFO=<ID=SVLEN,Number=A,Type=Integer,Description="Length">\n'
    + '##FORMAT=<ID=LEN,Number=1,Type=Integer,Description="Length">\n'
    + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts1\n"
)


@cache
def _folder() -> Path:
    # Kept by the cache, hence removed at the end of the process.
    holder = tempfile.TemporaryDirectory(prefix="seeds.")
    _HOLDERS.append(holder)
    return Path(holder.name)


_HOLDERS: list[tempfile.TemporaryDirectory[str]] = []


def _bgzf(text: str) -> bytes:
    path = _folder() / "text.gz"
    with pysam.BGZFile(str(path), "wb", None) as file:
        data = text.encode()
        for at in range(0, len(data), 2000):
            file.write(data[at : at + 2000])
            file.flush()
    return path.read_bytes()


def _bam() -> list[bytes]:
    return [make_bam(_folder() / "f.bam", reads=60).read_bytes()]


def _sam() -> list[bytes]:
    path = make_bam(_folder() / "sam.bam", reads=40)
    text = pysam.view("-h", "--no-PG", str(path))
    assert isinstance(text, str)
    return [text.encode(), _bgzf(text)]


def _cram() -> list[bytes]:
    fasta = made_reference(_folder())
    reads = [Mapped(0, at, seed=at) for at in range(0, 900, 30)] + [Mapped(-1, -1, flag=4)]
    found = []
    for version in ("2.1", "3.0", "3.1"):
        path = _folder() / "f.cram"
        make_cram(path, reads, [f"version={version}", "no_ref=1", "seqs_per_slice=10"], None)
        found.append(path.read_bytes())
    make_cram(path, reads, ["version=3.0", "embed_ref=1", "seqs_per_slice=10"], fasta)
    return [*found, path.read_bytes()]


def _vcf_text() -> str:
    lines = [f"{name}\t{at}\t.\tA\tC,<DEL>\t9\tPASS\tEND={at + 9};SVLEN=1,-40\tLEN\t{at % 50}\n" for name, at in _ROWS]
    return _VCF_HEAD + "".join(lines)


def _vcf() -> list[bytes]:
    return [_vcf_text().encode(), _bgzf(_vcf_text())]


def _bcf() -> list[bytes]:
    path, text = _folder() / "f.bcf", _folder() / "f.vcf"
    text.write_text(_vcf_text())
    pysam.bcftools.view("--no-version", "-Ob", "-o", str(path), str(text), catch_stdout=False)
    return [path.read_bytes()]


def _bed() -> list[bytes]:
    text = "#x\n" + "".join(f"{name}\t{at}\t{at + 50}\tn\t7\t+\n" for name, at in _ROWS)
    return [text.encode(), _bgzf(text)]


def _gff3() -> list[bytes]:
    rows = "".join(f"{name}\tx\tgene\t{at}\t{at + 50}\t.\t+\t.\tID=g{at};Name=a%20b\n" for name, at in _ROWS)
    return [_bgzf("##gff-version 3\n" + rows)]


def _gtf() -> list[bytes]:
    rows = "".join(f'{name}\tx\texon\t{at}\t{at + 50}\t.\t-\t0\tgene_id "g{at}"; note "a;b";\n' for name, at in _ROWS)
    return [_bgzf(rows)]


def _fasta() -> list[bytes]:
    rng = random.Random(6)
    text = ""
    for name in CONTIGS:
        bases = "".join(rng.choices("ACGT", k=3000))
        text += f">{name} x\n" + "".join(f"{bases[at : at + 70]}\n" for at in range(0, 3000, 70))
    return [text.encode(), _bgzf(text)]


def _fastq() -> list[bytes]:
    rng = random.Random(7)
    text = "".join(f"@r{n} x\n{''.join(rng.choices('ACGT', k=50))}\n+\n{'I' * 50}\n" for n in range(90))
    return [text.encode(), gzip.compress(text.encode()), _bgzf(text)]


def _mzml() -> list[bytes]:
    spectra = [made_spectrum(n, f"scan={n + 1}", n * 1.5, 1 + n % 2, f"scan={n}" if n % 2 else None) for n in range(12)]
    text = made_mzml(spectra)
    return [text, gzip.compress(text), bz2.compress(text)]


def _mzxml() -> list[bytes]:
    return [make_mzxml(some_scans()), make_mzxml(some_scans(), precision=64, compression="zlib", version="2.1")]


def _mgf() -> list[bytes]:
    block = "BEGIN IONS\nTITLE=t{0}\nPEPMASS=4{0}.5 1e5\nCHARGE=2+ and 3+\nRTINSECONDS={0}.5\nSCANS={0}\n{1}END IONS\n"
    peaks = "".join(f"{100 + n}.25 {n}e2\n" for n in range(12))
    return ["".join(block.format(n, peaks) for n in range(20)).encode()]


def _imzml() -> list[bytes]:
    return [path.read_bytes() for path in _pairs()]


@cache
def _pairs() -> list[Path]:
    from tests.formats.spectra.test_imzml import make_pair

    return [make_pair(_folder() / f"{mode}.imzML", mode) for mode in ("continuous", "zlib")]


def _mzmlb() -> list[bytes]:
    import numpy as np

    from tests.formats.spectra.test_mzmlb import external, make

    values = np.arange(4.0)
    arrays = [(1000514, 1000523, external("mz")), (1000515, 1000521, external("i"))]
    return [make({"mz": values, "i": values.astype("f4")}, arrays)]


def _hdf5() -> list[bytes]:
    from tests.formats.arrays.makers import make_plain, make_tenx

    return [make_plain(_folder() / "f.h5").read_bytes(), make_tenx(_folder() / "tenx.h5").read_bytes()]


def _h5ad() -> list[bytes]:
    from tests.formats.arrays.makers import make_anndata

    return [make_anndata(_folder() / "f.h5ad").read_bytes()]


def _netcdf() -> list[bytes]:
    from tests.formats.arrays.makers import make_netcdf

    return [make_netcdf(_folder() / "f.nc").read_bytes()]


def _bigwig() -> list[bytes]:
    pyBigWig = import_module("pyBigWig")
    path = _folder() / "f.bw"
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader(list(CONTIGS.items()), maxZooms=1)
        file.addEntries(["chr1"] * 90, list(range(0, 900, 10)), ends=list(range(5, 905, 10)), values=[1.5] * 90)
        file.addEntries("chr2", 100, values=[0.5] * 90, span=2, step=10)
    return [path.read_bytes()]


def _tiff() -> list[bytes]:
    return [_picture("TIFF", save_all=True)]


def _picture(kind: str, **options: object) -> bytes:
    from PIL import Image

    path = _folder() / "picture"
    Image.new("RGB", (5, 7)).save(path, kind, **options)
    return path.read_bytes()


def _parquet() -> list[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = _folder() / "f.parquet"
    pq.write_table(pa.table({"a": [1, 2, 3], "b": ["x", None, "y"]}), path)
    return [path.read_bytes()]


_MAKERS: dict[str, Callable[[], list[bytes]]] = {
    "BAM": _bam,
    "BCF": _bcf,
    "BED": _bed,
    "BigWig": _bigwig,
    "CRAM": _cram,
    "CSV": lambda: [b'a,b,c\n1,x,2026-01-01\n2,"y""z",\n', b"a;b\n1,5;2\n"],
    "FASTA": _fasta,
    "FASTQ": _fastq,
    "GFF3": _gff3,
    "GTF": _gtf,
    "HDF5": _hdf5,
    "JPEG": lambda: [_picture("JPEG")],
    "JSON": lambda: [b'[{"a": 1, "b": [1, 2.5, null]}, {"a": "x\\u00e9"}]', b'{"a": 1}\n{"a": 2}\n'],
    "MGF": _mgf,
    "PNG": lambda: [_picture("PNG")],
    "Parquet": _parquet,
    "SAM": _sam,
    "TIFF": _tiff,
    "VCF": _vcf,
    "gzip": lambda: [gzip.compress(b"some text\n" * 200), gzip.compress(b"a") + gzip.compress(b"b" * 900)],
    "h5ad": _h5ad,
    "imzML": _imzml,
    "mzML": _mzml,
    "mzMLb": _mzmlb,
    "mzXML": _mzxml,
    "netCDF": _netcdf,
}


@cache
def made(name: str) -> tuple[bytes, ...]:
    """Sound small files of a format."""
    return tuple(_MAKERS[name]())


def partner(name: str) -> bytes | None:
    """The second file of the first of `made`, where the format has one."""
    return _pairs()[0].with_suffix(".ibd").read_bytes() if name == "imzML" else None


def real(name: str, folder: Path) -> list[bytes]:
    """Real files of a format that are not large."""
    return [
        path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.name.endswith(SUFFIXES.get(name, ())) and path.stat().st_size <= _LARGEST_REAL
    ]
