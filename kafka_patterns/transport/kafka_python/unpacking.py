"""Compressed batches, unpacked piece by piece as their records are read, and no more than a bound.

The base unpacks a whole batch at once, whatever it says to become: a batch below 1 MB can unpack
to more than 1 GB.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from kafka import codec as codecs
from kafka.errors import UnsupportedCodecError
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.legacy_records import LegacyRecordBatch
from kafka.record.util import decode_varint

__all__ = ["MAX_UNPACKED_BYTES", "BoundedBatch", "BoundedLegacyBatch", "TooLarge"]

MAX_UNPACKED_BYTES = 64 << 20
_PIECE_BYTES = 64 << 10
_XERIAL_HEADER_BYTES = 16
_BLOCK_SIZE = struct.Struct(">i")
_Pieces = Callable[[memoryview, int], Iterator[bytes]]


class TooLarge(Exception):
    """A batch unpacks to more than is allowed."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"the batch unpacks to more than the {most:,} bytes of consumer.max_unpacked_bytes"
        )


class BoundedBatch(DefaultRecordBatch):  # type: ignore[misc]  # the base has no types
    """Of what it unpacks to, only the record that is read next is in memory.

    :param most: how many bytes it may unpack to in all.
    """

    _buffer: Any
    _pos: int
    _decompressed: bool

    def __init__(self, buffer: memoryview, most: int) -> None:
        super().__init__(buffer)
        self._most = most
        self._pieces: Iterator[bytes] | None = None  # of what is not compressed there are none

    def _maybe_uncompress(self) -> None:
        if not self._decompressed and self.compression_type != self.CODEC_NONE:
            packed = memoryview(self._buffer)[self._pos :]
            self._pieces = _unpack(self.compression_type, packed, self._most)
            self._buffer, self._pos = bytearray(), 0
        self._decompressed = True

    def __next__(self) -> Any:
        if self._pieces is not None and self._next_record_index >= self._num_records:
            self._pull()  # the base looks whether anything is left over
        return super().__next__()

    def _read_msg(self) -> Any:
        if self._pieces is not None:
            while self._end_of_next() > len(self._buffer) and self._pull():
                pass
        return super()._read_msg()

    def _end_of_next(self) -> int:
        """Where the next record ends, as it says."""
        while True:
            try:
                length, body = decode_varint(self._buffer, self._pos)
            except IndexError:
                if not self._pull():
                    raise
            else:
                return int(body + length)

    def _pull(self) -> bool:
        """Unpack some more; whether there was any."""
        piece = None if self._pieces is None else next(self._pieces, None)
        if piece is None:
            return False
        del self._buffer[: self._pos]
        self._pos = 0
        self._buffer += piece
        return True


class BoundedLegacyBatch(LegacyRecordBatch):  # type: ignore[misc]  # the base has no types
    """A batch of the formats before Kafka 0.11; whole in memory, for its offsets end it.

    :param most: how many bytes it may unpack to.
    """

    def __init__(self, buffer: memoryview, magic: int, most: int) -> None:
        super().__init__(buffer, magic)
        self._most = most

    def _decompress(self, key_offset: int) -> bytes:
        _, packed = self._read_key_value(key_offset)
        if self._magic == 0 and self.compression_type == self.CODEC_LZ4:
            raise UnsupportedCodecError("lz4 as it was before Kafka 0.10 cannot be read")
        return b"".join(_unpack(self.compression_type, memoryview(packed or b""), self._most))


def _unpack(codec: int, packed: memoryview, most: int) -> Iterator[bytes]:
    """What *packed* becomes, in pieces.

    :raises TooLarge: once it is more than *most* bytes.
    :raises UnsupportedCodecError: if the library for *codec* is not installed.
    """
    if codec not in _CODECS:
        raise UnsupportedCodecError(f"there is no compression of the number {codec}")
    name, pieces = _CODECS[codec]
    if not getattr(codecs, f"has_{name}")():
        raise UnsupportedCodecError(
            f"the library for the compression {name} is not installed: "
            f"run `pip install kafka-patterns[{name}]`"
        )
    size = 0
    for piece in pieces(packed, most):
        size += len(piece)
        if size > most:
            raise TooLarge(most)
        yield piece


def _gzip(packed: memoryview, _most: int) -> Iterator[bytes]:
    return _streams(packed, lambda: zlib.decompressobj(wbits=16 + zlib.MAX_WBITS))


def _lz4(packed: memoryview, _most: int) -> Iterator[bytes]:
    if codecs.lz4 is None:
        raise UnsupportedCodecError("of the libraries for lz4, only the package lz4 has a bound")
    return _streams(packed, codecs.lz4.LZ4FrameDecompressor)


def _streams(packed: memoryview, make: Callable[[], Any]) -> Iterator[bytes]:
    """One stream after the other, as each ends; there may be zeros behind the last one."""
    rest: bytes | memoryview = packed
    while rest and any(rest[:1]):
        stream = make()
        while not stream.eof:
            piece = stream.decompress(rest, _PIECE_BYTES)
            # zlib gives back what it did not come to; lz4 keeps it.
            rest = getattr(stream, "unconsumed_tail", b"")
            if piece:
                yield piece
            elif not (rest or stream.eof):
                raise EOFError("the compressed stream of a batch ends too early")
        rest = stream.unused_data or b""


def _zstd(packed: memoryview, _most: int) -> Iterator[bytes]:
    stream = codecs.zstd.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
    while piece := stream.read(_PIECE_BYTES):
        yield piece


def _snappy(packed: memoryview, most: int) -> Iterator[bytes]:
    data = packed.tobytes()
    if not codecs._detect_xerial_stream(data):
        yield _snappy_block(data, most)
        return
    position = _XERIAL_HEADER_BYTES
    while position < len(data):
        (size,) = _BLOCK_SIZE.unpack_from(data, position)
        begin, position = position + _BLOCK_SIZE.size, position + _BLOCK_SIZE.size + max(0, size)
        yield _snappy_block(data[begin:position], most)


def _snappy_block(block: bytes, most: int) -> bytes:
    """It begins with the size that it unpacks to, for which room is made at once."""
    size = 0
    for index, byte in enumerate(block[:5]):
        size |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            break
    if size > most:
        raise TooLarge(most)
    return bytes(codecs.snappy.decompress(block))


_CODECS: dict[int, tuple[str, _Pieces]] = {
    DefaultRecordBatch.CODEC_GZIP: ("gzip", _gzip),
    DefaultRecordBatch.CODEC_SNAPPY: ("snappy", _snappy),
    DefaultRecordBatch.CODEC_LZ4: ("lz4", _lz4),
    DefaultRecordBatch.CODEC_ZSTD: ("zstd", _zstd),
}
