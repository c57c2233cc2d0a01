"""``server.key``: the secret of a lake's servers as text, with a checksum."""

from __future__ import annotations

from pathlib import Path

from blake3 import blake3

from lake.errors import StorageError

__all__ = ["SECRET_BYTES", "key_text", "read_key"]

SECRET_BYTES = 32


def key_text(secret: bytes) -> str:
    """The hexadecimal digits of the secret, a space, and those of the BLAKE3-256 hash of these digits."""
    digits = secret.hex()
    return f"{digits} {_checksum(digits)}"


def read_key(path: Path) -> bytes | None:
    """The secret; None where there is no file. Keys made by older software have no checksum.

    Raises:
        StorageError: the file cannot be read, holds something else, or does not match its checksum.
    """
    try:
        digits, space, checksum = path.read_text("ascii").partition(" ")
        secret = bytes.fromhex(digits)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be read as a key: remove it, and a new one is made") from error
    if len(digits) != 2 * SECRET_BYTES:
        raise StorageError(f"{path} holds no key of {SECRET_BYTES} bytes: remove it, and a new one is made")
    if space and checksum != _checksum(digits):
        raise StorageError(f"{path} does not match its checksum: remove it, and a new one is made")
    return secret


def _checksum(digits: str) -> str:
    return blake3(digits.encode("ascii")).hexdigest()
