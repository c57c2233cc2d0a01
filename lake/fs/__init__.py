"""``lake://`` for everything that speaks fsspec."""

from lake.fs.filesystem import LakeFileSystem

__all__ = ["LakeFileSystem"]
