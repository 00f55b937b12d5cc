"""Single values of JSON, of query parameters and of forms -> values of fields that hold no message."""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as F

from imajin_gateway import dialect

DATA_URL = re.compile(r"data:[\w.+/;=-]{0,100},", re.IGNORECASE)
NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class Wrong(Exception):
    """A value does not fit its field; the text says what would."""


def scalar(item: Any, field: F) -> Any:
    """One value of a field that is no message. Raises Wrong."""
    if field.type == F.TYPE_ENUM:
        return enum_number(item, field)
    if field.type == F.TYPE_STRING:
        return text_of(item)
    if field.type == F.TYPE_BYTES:
        return bytes_of(item, field)
    if field.type == F.TYPE_BOOL:
        return truth(item)
    if field.cpp_type in dialect.RANGES:
        return integer(item, *dialect.RANGES[field.cpp_type])
    return real(item, field)


def enum_number(item: Any, field: F) -> int:
    """A value of an enum by name, short or full, in any case, or by number."""
    values = dialect.enum_values(dialect.enum_of(field))
    if isinstance(item, str) and not item.lstrip("-").isdigit():
        number = values.get(item.strip().lower().replace("_", "-"))
        if number is None:
            known = [dialect.short(value) for value in dialect.enum_of(field).values if value.number]
            raise Wrong(f"must be one of {', '.join(known)}")
        return number
    return integer(item, *dialect.RANGES[F.CPPTYPE_INT32])


def text_of(item: Any) -> str:
    """Text, which must be Unicode that can be encoded: JSON can spell half of a surrogate pair."""
    if not isinstance(item, str):
        raise Wrong(f"must be text, not {named(item)}")
    try:
        item.encode()
    except UnicodeEncodeError:
        raise Wrong("holds half of a surrogate pair") from None
    return item


def bytes_of(item: Any, field: F) -> bytes:
    """Bytes from base64, standard or URL-safe, with or without padding, bare or as a data: URL; a hash may be hexadecimal."""
    if not isinstance(item, str):
        raise Wrong(f"must be base64 text, not {named(item)}")
    if dialect.is_hash(field) and re.fullmatch(r"[0-9a-fA-F]{64}", item):
        return bytes.fromhex(item)
    if item[:5].lower() == "data:":
        match = DATA_URL.match(item)
        if match is None or not match[0].lower().endswith(";base64,"):
            raise Wrong("is a data: URL, but not a base64 one")
        item = item[match.end() :]
    if not item.isascii():
        raise Wrong("must be base64")
    item = plain_base64(item)
    try:
        return base64.b64decode(item + "=" * (-len(item) % 4), validate=True)
    except binascii.Error:
        raise Wrong("must be base64") from None


def plain_base64(item: str) -> str:
    """`item` in the standard alphabet, without white space; the same object where nothing is to do, for images are long."""
    if any(mark in item for mark in "-_\n\r \t"):
        return item.translate({ord("-"): "+", ord("_"): "/", **dict.fromkeys(map(ord, " \t\r\n"))})
    return item


def truth(item: Any) -> bool:
    """True or false, as JSON or as text."""
    if isinstance(item, bool):
        return item
    if isinstance(item, str) and item.lower() in ("true", "false"):
        return item.lower() == "true"
    raise Wrong("must be true or false")


def integer(item: Any, least: int, greatest: int) -> int:
    """A whole number, as JSON or as text."""
    if isinstance(item, str) and re.fullmatch(r"-?[0-9]{1,20}", item):
        item = int(item)
    if isinstance(item, float) and item.is_integer():
        item = int(item)
    if isinstance(item, bool) or not isinstance(item, int):
        raise Wrong("must be a whole number")
    if not least <= item <= greatest:
        raise Wrong(f"must be between {least} and {greatest}")
    return item


def real(item: Any, field: F) -> float:
    """A number, as JSON or as text; it must fit the field's precision."""
    if isinstance(item, str):
        try:
            item = NUMBERS[item] if item in NUMBERS else float(item) if re.match(r"[-+.0-9]", item) else None
        except ValueError:
            item = None
    if isinstance(item, bool) or not isinstance(item, (int, float)):
        raise Wrong("must be a number")
    try:
        if field.type == F.TYPE_FLOAT:
            struct.pack("<f", item)
        return float(item)
    except (OverflowError, struct.error):
        raise Wrong("is too large") from None


def named(value: object) -> str:
    """What JSON calls a value."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
