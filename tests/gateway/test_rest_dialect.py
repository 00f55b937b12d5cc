"""Any message of the contract, as REST JSON and back."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor as F
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imajin_gateway import contract, dialect
from imajin_gateway.answers import compact
from imajin_gateway.parse import decode, parse
from imajin_gateway.render import render

CLASSES = {
    name: cls
    for service in contract.services()
    for name, cls in message_factory.GetMessageClassesForFiles([service.file.name], descriptor_pool.Default()).items()
    if not name.endswith("Entry")
}
TIMES = {"google.protobuf.Timestamp": 253402300799, "google.protobuf.Duration": 315576000000}
KINDS: dict[int, st.SearchStrategy[Any]] = {
    F.TYPE_BOOL: st.booleans(),
    F.TYPE_BYTES: st.binary(max_size=40),
    F.TYPE_DOUBLE: st.floats(allow_nan=False) | st.just(math.nan),
    F.TYPE_FLOAT: st.floats(width=32, allow_nan=False) | st.just(math.nan),
    F.TYPE_STRING: st.text(max_size=20),
    **{
        kind: st.integers(*dialect.RANGES[cpp])
        for kind, cpp in {
            F.TYPE_INT32: F.CPPTYPE_INT32,
            F.TYPE_INT64: F.CPPTYPE_INT64,
            F.TYPE_UINT32: F.CPPTYPE_UINT32,
            F.TYPE_UINT64: F.CPPTYPE_UINT64,
        }.items()
    },
}


@cache
def messages(name: str) -> st.SearchStrategy[Message]:
    return st.composite(
        lambda draw: filled(
            draw, message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name))()
        )
    )()


def value(draw: Any, field: Any) -> Any:
    if field.type == F.TYPE_ENUM:
        return draw(st.sampled_from([item.number for item in field.enum_type.values]) | st.integers(-5, 100))
    if dialect.is_hash(field):
        return draw(st.binary(min_size=32, max_size=32) | st.binary(max_size=40))
    return draw(KINDS[field.type])


def filled(draw: Any, message: Any, depth: int = 0) -> Message:
    """`message` with random fields set."""
    if (limit := TIMES.get(message.DESCRIPTOR.full_name)) is not None:
        message.seconds = draw(st.integers(0, limit))
        message.nanos = draw(st.integers(0, 999_999_999))
        return message
    chosen = {
        (field.containing_oneof.name if field.containing_oneof else field.name): field
        for field in draw(st.permutations(list(message.DESCRIPTOR.fields)))
        if draw(st.booleans())
    }
    for field in chosen.values():
        target = getattr(message, field.name)
        if dialect.is_map(field):
            key, inner = dialect.map_fields(field)
            for name in draw(st.lists(KINDS[key.type], max_size=2, unique=True)):
                if inner.type == F.TYPE_MESSAGE:
                    filled(draw, target[name], depth + 1)
                else:
                    target[name] = value(draw, inner)
        elif field.is_repeated:
            for _ in range(draw(st.integers(0, 2))):
                if field.type == F.TYPE_MESSAGE:
                    filled(draw, target.add(), depth + 1)
                else:
                    target.append(value(draw, field))
        elif field.type == F.TYPE_MESSAGE:
            target.SetInParent()
            if depth < 3:
                filled(draw, target, depth + 1)
        else:
            setattr(message, field.name, value(draw, field))
    return message


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(CLASSES)).flatmap(messages))
def test_any_message_survives_the_way_through_json(message: Message) -> None:
    text = compact(render(message))
    back = type(message)()
    parse(decode(text), back)
    assert back.SerializeToString(deterministic=True) == message.SerializeToString(deterministic=True)


def names() -> list[str]:
    known = {field.json_name for cls in CLASSES.values() for field in dialect.fields_of(cls())}
    return sorted(known)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(names()), inner, max_size=4),
        max_leaves=12,
    ),
    st.sampled_from(sorted(CLASSES)),
)
def test_any_json_is_either_taken_or_refused_with_a_reason(body: Any, name: str) -> None:
    from imajin_gateway.errors import ApiError

    try:
        parse(decode(json.dumps(body).encode()), CLASSES[name]())
    except ApiError as error:
        refused = error
    else:
        return
    assert (refused.status, bool(refused.message)) == (400, True)


def test_numbers_are_as_short_as_their_precision_allows() -> None:
    from imajin.common.v1 import image_pb2

    assert json.loads(compact(render(image_pb2.Point(x=0.1, y=math.pi)))) == {"x": 0.1, "y": 3.1415927}
    assert json.loads(compact(render(image_pb2.Point(x=0.10799999535083771)))) == {"x": 0.107999995, "y": 0.0}


def test_long_integers_are_numbers_while_that_is_safe() -> None:
    from imajin.vram.v1 import vram_lease_pb2

    assert render(vram_lease_pb2.Resized(bytes=2**53 - 1)) == {"bytes": 2**53 - 1}
    assert render(vram_lease_pb2.Resized(bytes=2**53)) == {"bytes": str(2**53)}
