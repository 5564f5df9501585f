"""Batches of records that take far more memory than they have bytes, as a hostile broker would answer."""

from __future__ import annotations

import socket
import struct
import zlib

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
MIB = 1024 * 1024
RECORD = bytes([12, 0, 0, 0, 1, 1, 0])
"""A record of nothing: its length, then no key, no value and no headers."""


def batch(records: bytes, codec: int = NONE, count: int = 1) -> bytes:
    """Return a batch (message format 2) of what records are, or are said to be."""
    rest = struct.pack(">hiqqqhii", codec, count - 1, 0, 0, -1, -1, -1, count) + records
    return struct.pack(">qiibI", 0, len(rest) + 9, 0, 2, 0) + rest


def put_raw(servers: str, topic: str, content: bytes) -> None:
    """Have a broker store a batch as it is."""
    host, _, port = servers.rpartition(":")
    name = struct.pack(">h", len(topic)) + topic.encode()
    body = struct.pack(">hhi", -1, 1, 30_000) + struct.pack(">i", 1) + name
    body += struct.pack(">iii", 1, 0, len(content)) + content
    request = struct.pack(">hhih", 0, 3, 1, -1) + body
    with socket.create_connection((host, int(port)), 60) as to:
        to.sendall(struct.pack(">i", len(request)) + request)
        size = struct.unpack(">i", to.recv(4, socket.MSG_WAITALL))[0]
        answer = to.recv(size, socket.MSG_WAITALL)
    [error] = struct.unpack_from(">h", answer, 4 + 4 + len(name) + 4 + 4)
    assert error == 0, f"the broker answers {error}"


def gzip(piece: bytes, times: int) -> bytes:
    """Return a piece, so many times, as gzip makes it small: each is compressed alike."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    check = 0
    for _ in range(times):
        check = zlib.crc32(piece, check)
    end = struct.pack("<II", check, len(piece) * times % 2**32)
    return bytes.fromhex("1f8b08000000000000ff") + first * times + b"\3\0" + end


def lz4(blocks: int) -> bytes:
    """Return zeros of so many times 4 MiB as a frame of lz4."""
    most, run = 4 * MIB, bytearray(b"\x1f\0\1\0")
    left = most - 1 - 5 - 4 - 15
    run += b"\xff" * (left // 255) + bytes([left % 255]) + b"\x50" + bytes(5)
    block = struct.pack("<I", len(run)) + run
    return bytes.fromhex("04224d18607073") + block * blocks + bytes(4)


def snappy(size: int) -> bytes:
    """Return zeros of a size, a multiple of 64 and one, as snappy makes them."""
    length, preamble = size, bytearray()
    while length > 127:
        preamble.append(length & 127 | 128)
        length >>= 7
    return bytes(preamble) + bytes([length]) + b"\0\0" + b"\xfe\1\0" * (size // 64)
