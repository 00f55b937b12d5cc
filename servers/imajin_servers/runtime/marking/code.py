"""The payload as coded bits: 4 bits of version, 32 of content id, 16 of checksum, in a convolutional code of rate 1/4.

Constraint length 7, the generators of Proakis, Digital Communications, table 8.2-3; decoded by Viterbi's algorithm on soft bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VERSION = 1
VERSION_BITS, ID_BITS, CHECK_BITS = 4, 32, 16
PAYLOAD_BITS = VERSION_BITS + ID_BITS + CHECK_BITS
MEMORY = 6
GENERATORS = (0o173, 0o167, 0o135, 0o111)
RATE = len(GENERATORS)
CODED_BITS = (PAYLOAD_BITS + MEMORY) * RATE
GENERATOR_ID = 0x696D616A
"""Whose mark it is, `imaj`: not sent, but part of what the checksum is over."""

STATES = 1 << MEMORY
SYMBOLS: NDArray[np.float32] = np.array(
    [
        [[1 - 2 * ((((bit << MEMORY) | state) & g).bit_count() & 1) for g in GENERATORS] for bit in (0, 1)]
        for state in range(STATES)
    ],
    np.float32,
)
"""What is sent, as +1 and -1, by state and next bit."""


@dataclass(frozen=True)
class Payload:
    """What a mark says."""

    version: int
    content_id: int


def bits(value: int, count: int) -> list[int]:
    """`value` as bits, the highest first."""
    return [(value >> place) & 1 for place in reversed(range(count))]


def checksum(message: list[int]) -> list[int]:
    """CRC-16/CCITT over whose mark it is and `message`."""
    register = 0xFFFF
    for bit in [*bits(GENERATOR_ID, 32), *message]:
        high = (register >> 15) ^ bit
        register = (register << 1 & 0xFFFF) ^ (0x1021 if high else 0)
    return bits(register, CHECK_BITS)


def payload_bits(content_id: int) -> list[int]:
    """The payload before coding."""
    message = bits(VERSION, VERSION_BITS) + bits(content_id, ID_BITS)
    return message + checksum(message)


def encode(content_id: int) -> NDArray[np.float32]:
    """The coded bits of a payload, `(CODED_BITS,)`, each +1 or -1."""
    state, out = 0, []
    for bit in payload_bits(content_id) + [0] * MEMORY:
        out.append(SYMBOLS[state, bit])
        state = (bit << (MEMORY - 1)) | (state >> 1)
    return np.concatenate(out)


def decode(soft: NDArray[np.float32]) -> Payload | None:
    """The payload behind soft bits, `(CODED_BITS,)`, positive for +1; None where its checksum says that it is none."""
    found = most_likely(soft)
    message, check = found[: VERSION_BITS + ID_BITS], found[VERSION_BITS + ID_BITS :]
    number = int("".join(map(str, message)), 2)
    version, content_id = number >> ID_BITS, number & ((1 << ID_BITS) - 1)
    return Payload(version, content_id) if checksum(message) == check and version == VERSION else None


def most_likely(soft: NDArray[np.float32]) -> list[int]:
    """The bits whose code is nearest to `soft` (Viterbi 1967)."""
    states = np.arange(STATES)
    newest = states >> (MEMORY - 1)
    before = (states & (STATES // 2 - 1)) * 2
    score = np.full(STATES, -np.inf, np.float32)
    score[0] = 0
    came = []
    for step in range(PAYLOAD_BITS + MEMORY):
        heard = soft[step * RATE : (step + 1) * RATE]
        even = score[before] + SYMBOLS[before, newest] @ heard
        odd = score[before + 1] + SYMBOLS[before + 1, newest] @ heard
        came.append(np.where(odd > even, before + 1, before))
        score = np.maximum(even, odd)
        if step >= PAYLOAD_BITS:
            # The code ends with zeros.
            score[STATES // 2 :] = -np.inf
    state, out = 0, []
    for step in reversed(range(PAYLOAD_BITS + MEMORY)):
        out.append(state >> (MEMORY - 1))
        state = int(came[step][state])
    return out[::-1][:PAYLOAD_BITS]
