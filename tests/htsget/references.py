"""FASTA files for tests, and what is known of their sequences."""

from __future__ import annotations

import base64
import gzip
import hashlib
import random
from collections.abc import Mapping
from pathlib import Path

import pysam

__all__ = ["bases", "fasta", "ga4gh_of", "md5_of", "write_fasta"]


def bases(length: int, seed: int) -> str:
    return "".join(random.Random(seed).choices("ACGT", k=length))


def md5_of(sequence: str) -> str:
    return hashlib.md5(sequence.upper().encode()).hexdigest()


def ga4gh_of(sequence: str) -> str:
    return "SQ." + base64.urlsafe_b64encode(hashlib.sha512(sequence.upper().encode()).digest()[:24]).decode()


def fasta(sequences: Mapping[str, str], width: int = 60) -> str:
    lines = []
    for name, sequence in sequences.items():
        lines += [f">{name} made for a test", *(sequence[at : at + width] for at in range(0, len(sequence), width))]
    return "\n".join(lines) + "\n"


def write_fasta(path: Path, sequences: Mapping[str, str], width: int = 60) -> Path:
    """Plain, BGZF (``.bgz.fa.gz``) or gzip (``.fa.gz``), by the name."""
    text = fasta(sequences, width).encode()
    if path.name.endswith(".bgz.fa.gz"):
        with pysam.BGZFile(str(path), "wb", None) as file:
            file.write(text)
    else:
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path
