"""Closed chunks of the shadow are compressed on the way. See README.md."""

from .chunks import Chunk, closed_chunks, compression_of, partial_chunks
from .compressor import Done, compress, prove

__all__ = ["Chunk", "Done", "closed_chunks", "compress", "compression_of", "partial_chunks", "prove"]
