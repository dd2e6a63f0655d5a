"""Numeric arrays in MATLAB files of versions 5 to 7.2.

SciPy's reader can crash the process on a damaged file. This one reads only numbers and checks each length first.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

HEADER_BYTES = 128
#: Enough for the class, the shape and the name of a variable.
HEAD_BYTES = 1024
MATRIX, COMPRESSED = 14, 15
#: Numeric classes of variables: double, single, and integers of 8 to 64 bits; logical arrays are of 8 bits.
NUMERIC_CLASSES = range(6, 16)
TYPES = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 9: 'f8', 12: 'i8', 13: 'u8'}


class Variable(NamedTuple):
    """A numeric variable: its shape, and the element of the file that contains it."""

    shape: tuple[int, ...]
    kind: int
    content: memoryview
    order: str

    def size(self) -> int:
        """Return the size of the decompressed variable in bytes, as stated in its tag."""
        if self.kind == MATRIX:
            return len(self.content)
        return struct.unpack_from(f'{self.order}I', start_of(self.kind, self.content, 8), 4)[0]

    def read(self) -> np.ndarray:
        """Return the array; raise ValueError if its numbers do not fill its shape."""
        body = start_of(self.kind, self.content, self.size() + 8)[8 if self.kind == COMPRESSED else 0 :]
        *_, (kind, values) = islice(elements(memoryview(body), self.order), 4)
        return np.frombuffer(values, f'{self.order}{TYPES[kind]}').reshape(self.shape, order='F')


def numeric_variables(data: memoryview) -> dict[str, Variable]:
    """Return the numeric variables of a file by name.

    Raises:
        ValueError: The file is damaged or has another format; also struct.error, zlib.error and StopIteration.
    """
    order = {b'IM': '<', b'MI': '>'}.get(bytes(data[HEADER_BYTES - 2 : HEADER_BYTES]))
    if order is None:
        raise ValueError("expected the header of version 5 or later, as save(..., '-v7') writes it")
    found = {}
    for kind, content in elements(data[HEADER_BYTES:], order):
        if kind not in (MATRIX, COMPRESSED):
            continue
        head = start_of(kind, content, HEAD_BYTES)[8 if kind == COMPRESSED else 0 :]
        parts = elements(memoryview(head), order)
        _, flags = next(parts)
        if flags[0 if order == '<' else 3] not in NUMERIC_CLASSES:
            continue
        (_, shape), (_, name) = islice(parts, 2)
        shape = struct.unpack(f'{order}{len(shape) // 4}i', shape)
        if min(shape) < 0 or math.prod(shape) > 2**62:
            raise ValueError(f'a variable has the shape {shape}')
        found[bytes(name).decode('latin-1')] = Variable(shape, kind, content, order)
    return found


def start_of(kind: int, content: memoryview, length: int) -> bytes | memoryview:
    """Return the first bytes of an element, decompressed if it is compressed."""
    return zlib.decompressobj().decompress(content, length) if kind == COMPRESSED else content[:length]


def elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Yield the type and the content of each element; raise ValueError if one exceeds the data."""
    offset = 0
    while offset + 8 <= len(data):
        kind, size = struct.unpack_from(f'{order}II', data, offset)
        start, after = offset + 8, offset + 8 + (size if kind == COMPRESSED else -(-size // 8) * 8)
        if kind >> 16:  # up to four bytes within the tag
            kind, size, start, after = kind & 0xFFFF, min(kind >> 16, 4), offset + 4, offset + 8
        if start + size > len(data):
            raise ValueError(f'an element of {size} bytes exceeds its {len(data)} bytes')
        yield kind, data[start : start + size]
        offset = after
