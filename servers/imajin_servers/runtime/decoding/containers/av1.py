"""How large the frames of an AV1 bitstream are, out of its sequence headers. AV1 specification, sections 5.3 to 5.5.

An AVIF says its size twice. Decoders believe the bitstream and scale to what the box says, so a file of 2 KB that says
16 x 16 can hold 144 megapixels.
"""

from __future__ import annotations

from collections.abc import Iterator

from imajin_servers.runtime.decoding.containers.header import MAX_BLOCKS
from imajin_servers.runtime.errors import ImageInvalid

SEQUENCE_HEADER = 1
HEADER_BYTES = 64
"""A sequence header is shorter than this up to its frame size."""


class Bits:
    """Reads numbers of some bits, the highest first. Raises ImageInvalid past the end."""

    def __init__(self, data: bytes) -> None:
        self.value = int.from_bytes(data, "big")
        self.left = len(data) * 8

    def take(self, count: int) -> int:
        """The next `count` bits."""
        if count > self.left:
            raise ImageInvalid("the AVIF's sequence header is cut short")
        self.left -= count
        return self.value >> self.left & (1 << count) - 1

    def skip_uvlc(self) -> None:
        """A number of variable length."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        self.take(min(zeros, 32))


def frame_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    """Largest width and height, in pixels, that each sequence header in `data` (whole OBUs) announces."""
    position = 0
    for _ in range(MAX_BLOCKS):
        if position >= len(data):
            return
        head = data[position]
        position += 1 + (head >> 2 & 1)
        size, position = leb128(data, position) if head & 2 else (len(data) - position, position)
        if head >> 3 & 15 == SEQUENCE_HEADER:
            yield frame_size(Bits(data[position : position + min(size, HEADER_BYTES)]))
        position += size
    raise ImageInvalid(f"the AVIF has more than {MAX_BLOCKS} units of pixels")


def leb128(data: bytes, position: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and where it ends."""
    value = 0
    for index, byte in enumerate(data[position : position + 8]):
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value, position + index + 1
    raise ImageInvalid("the AVIF's pixels are cut short or damaged")


def frame_size(bits: Bits) -> tuple[int, int]:
    """`max_frame_width` and `max_frame_height` of a sequence header."""
    bits.take(3 + 1)
    if bits.take(1):
        bits.take(5)
    else:
        delay_bits = timing(bits)
        display_delay = bits.take(1)
        for _ in range(bits.take(5) + 1):
            operating_point(bits, delay_bits, display_delay)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(width_bits) + 1, bits.take(height_bits) + 1


def timing(bits: Bits) -> int:
    """Reads timing and decoder model; returns the length of the model's delays in bits, 0 where there is none."""
    if not bits.take(1):
        return 0
    bits.take(64)
    if bits.take(1):
        bits.skip_uvlc()
    if not bits.take(1):
        return 0
    delay_bits = bits.take(5) + 1
    bits.take(32 + 5 + 5)
    return delay_bits


def operating_point(bits: Bits, delay_bits: int, display_delay: int) -> None:
    """Reads one operating point."""
    bits.take(12)
    if bits.take(5) > 7:
        bits.take(1)
    if delay_bits and bits.take(1):
        bits.take(2 * delay_bits + 1)
    if display_delay and bits.take(1):
        bits.take(4)
