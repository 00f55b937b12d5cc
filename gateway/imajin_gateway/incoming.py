"""HTTP request -> messages of a call: path, query, headers, and a body as JSON, as a form or as the bare bytes of an image."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from imajin.common.v1 import image_pb2
from imajin_gateway import dialect
from imajin_gateway.body import Body
from imajin_gateway.contract import Binding, Method
from imajin_gateway.errors import ApiError, Violation, invalid, malformed
from imajin_gateway.parse import decode, parse, parse_text

CHUNK_BYTES = 512 * 1024
INLINE_BYTES = 1024 * 1024
"""Images up to this size may lie in a spec; the contract refuses more."""
THREAD_BYTES = 64 * 1024
"""Larger bodies are parsed in a thread: 2 MB of base64 would hold the event loop for 27 ms."""
FORM_PART_BYTES = 1024 * 1024
HEADER_FIELDS = {"idempotency-key": "request_id", "last-event-id": "after_event"}
"""Things of HTTP that the contract knows by another name."""
UPLOADS = ("application/json", "multipart/form-data", "image/*")
FORMATS = {
    "image/png": image_pb2.IMAGE_FORMAT_PNG,
    "image/jpeg": image_pb2.IMAGE_FORMAT_JPEG,
    "image/webp": image_pb2.IMAGE_FORMAT_WEBP,
    "image/avif": image_pb2.IMAGE_FORMAT_AVIF,
}


@dataclass
class Incoming:
    """What a call sends: its first message, and for uploads the chunks that follow."""

    first: Message
    rest: AsyncIterator[Message] | None = None
    form: FormData | None = None
    """A form whose file still lies on disk."""

    def close(self) -> None:
        """Removes what lies on disk. At once: a client that leaves cancels whatever is awaited."""
        for value in self.form.values() if self.form is not None else ():
            if isinstance(value, UploadFile):
                value.file.close()


async def read(binding: Binding, method: Method, request: Request, body: Body) -> Incoming:
    """Reads a request as far as its first message needs. Raises ApiError for whatever is wrong with it."""
    incoming = Incoming(method.request_class())
    try:
        await fill(incoming, binding, method, request, body)
    except BaseException:
        incoming.close()
        raise
    return incoming


async def fill(incoming: Incoming, binding: Binding, method: Method, request: Request, body: Body) -> None:
    """Fills the first message from body, query, path and headers."""
    message = incoming.first
    query = list(request.query_params.multi_items())
    if binding.body:
        target = message if binding.body == "*" else getattr(message, binding.body)
        target.SetInParent()
        if await read_body(binding, target, request, body, query, incoming, method):
            query = []
    else:
        body.read_to_end.set()
    if query and binding.body == "*":
        raise invalid(*(Violation(name[:200], "belongs into the body, not into the query") for name, _ in query))
    parse_text([*((name, request.path_params[name]) for name in binding.variables), *query], message)
    from_headers(message, request)
    if method.streams_in and incoming.rest is None:
        incoming.rest = nothing()


def from_headers(message: Message, request: Request) -> None:
    """Fills the fields that HTTP has headers for."""
    for header, name in HEADER_FIELDS.items():
        value = request.headers.get(header)
        if value and name in message.DESCRIPTOR.fields_by_name:
            try:
                parse_text([(name, value)], message)
            except ApiError as error:
                raise malformed(f"header {header}: {error.message}") from None


async def read_body(
    binding: Binding,
    target: Message,
    request: Request,
    body: Body,
    query: list[tuple[str, str]],
    incoming: Incoming,
    method: Method,
) -> bool:
    """Fills `target` from the body, by its media type; returns whether that used up the query."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise unsupported(binding, "a compressed body")
    if media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json")):
        await read_json(target, body)
        if binding.takes_image:
            incoming.rest = cut_out(target, method)
        return False
    if binding.takes_image and media_type == "multipart/form-data":
        incoming.rest = await read_form(target, request, body, incoming, method)
        return False
    if binding.takes_image and (media_type.startswith("image/") or media_type == "application/octet-stream"):
        parse_text(query, target)
        info = image_pb2.ImageInfo(format=format_of(media_type), size_bytes=body.declared)
        incoming.rest = chunks(body.stream(), info, method)
        return True
    raise unsupported(binding, media_type or "a body without a media type")


def unsupported(binding: Binding, what: str) -> ApiError:
    """The error of a body that is of another kind."""
    takes = ", ".join(UPLOADS if binding.takes_image else UPLOADS[:1])
    return ApiError(
        "UNSUPPORTED_MEDIA_TYPE",
        f"can't take {what[:100]}; set Content-Type to one of: {takes}",
        details={"accepted": takes},
        headers={"connection": "close"},
    )


async def read_json(target: Message, body: Body) -> None:
    """Fills `target` from a JSON body."""
    data = await body.read()
    if len(data) > THREAD_BYTES:
        await asyncio.to_thread(lambda: parse(decode(data), target))
    else:
        parse(decode(data), target)


def cut_out(target: Message, method: Method) -> AsyncIterator[Message]:
    """The chunks of an image that is too large to stay in its spec; none where it is not."""
    data: bytes = getattr(target, "image_data", b"")
    if len(data) <= INLINE_BYTES:
        return nothing()
    target.ClearField("image_data")

    async def whole() -> AsyncIterator[bytes]:
        yield data

    return chunks(whole(), image_pb2.ImageInfo(size_bytes=len(data)), method)


async def read_form(
    target: Message, request: Request, body: Body, incoming: Incoming, method: Method
) -> AsyncIterator[Message]:
    """Fills `target` from a form's fields; returns the chunks of the file among them.

    The file may come before the fields, and the spec must leave first: parts above 1 MB wait on disk, not in memory.
    """
    parsed = Request(request.scope, body.next_message)
    try:
        form = await parsed.form(
            max_files=1 + len(set(small_files(target).values())), max_fields=100, max_part_size=FORM_PART_BYTES
        )
    except HTTPException as error:
        raise malformed(f"the form can't be read: {error.detail}") from None
    incoming.form = form
    fields = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    for name, value in fields:
        if name == "spec":
            parse(decode(value.encode()), target)
    parse_text([(name, value) for name, value in fields if name != "spec"], target)
    files = [(name, value) for name, value in form.multi_items() if isinstance(value, UploadFile)]
    images = [file for name, file in files if not await put_in(target, name, file)]
    if len(images) > 1:
        raise invalid(Violation("image", "is given more than once; one file is the image"))
    if not images:
        return cut_out(target, method)
    (image,) = images
    if getattr(target, "image_data", b""):
        raise invalid(Violation("imageData", "is given twice: as a file and as a field"))
    info = image_pb2.ImageInfo(format=format_of(image.content_type or ""), size_bytes=image.size or 0)

    async def pieces() -> AsyncIterator[bytes]:
        while piece := await image.read(CHUNK_BYTES):
            yield piece

    return chunks(pieces(), info, method)


def small_files(target: Message) -> dict[str, str]:
    """Fields for small files beside the image, such as `mask_data`, by the names that a form may give them."""
    return {
        name: field.name
        for field in target.DESCRIPTOR.fields
        if field.type == field.TYPE_BYTES and field.name != "image_data"
        for name in (field.name, field.json_name, field.name.removesuffix("_data"))
    }


async def put_in(target: Message, name: str, file: UploadFile) -> bool:
    """Puts a small file into the field that is called so; returns whether there is one. Raises ApiError on one too long."""
    field = small_files(target).get(name)
    if field is None:
        return False
    data = await file.read(INLINE_BYTES + 1)
    if len(data) > INLINE_BYTES:
        raise invalid(Violation(name, f"has more than {INLINE_BYTES} bytes"))
    setattr(target, field, data)
    return True


async def chunks(pieces: AsyncIterator[bytes], info: image_pb2.ImageInfo, method: Method) -> AsyncIterator[Message]:
    """Bytes as chunks of one image. One chunk is held back, because the last one must say so."""
    buffer = bytearray()
    offset = 0

    def chunk(size: int, last: bool) -> Message:
        nonlocal offset
        piece = image_pb2.ImageChunk(
            offset=offset, data=bytes(memoryview(buffer)[:size]), info=info if offset == 0 else None, last=last
        )
        del buffer[:size]
        offset += size
        return method.request_class(chunk=piece)

    async for piece in pieces:
        buffer += piece
        while len(buffer) > CHUNK_BYTES:
            yield chunk(CHUNK_BYTES, last=False)
    yield chunk(len(buffer), last=True)


async def nothing() -> AsyncIterator[Message]:
    """No chunks."""
    for chunk in list[Message]():
        yield chunk


def format_of(media_type: str) -> image_pb2.ImageFormat:
    """The format that a media type names; unspecified for others, and the server looks for itself."""
    return FORMATS.get(media_type.split(";")[0].strip().lower(), image_pb2.IMAGE_FORMAT_UNSPECIFIED)


def prefer_format(message: Message, media_types: Mapping[str, float]) -> None:
    """Takes the format from Accept where it names exactly one and the request leaves it open."""
    field: Any = message.DESCRIPTOR.fields_by_name.get("format")
    formats = [format_of(name) for name in media_types if name.startswith("image/")]
    if field is None or field.type != field.TYPE_ENUM or len(formats) != 1 or not formats[0]:
        return
    if dialect.enum_of(field).full_name == "imajin.common.v1.ImageFormat" and not getattr(message, field.name):
        setattr(message, field.name, formats[0])


def json_path(path: str, binding: Binding) -> str:
    """A field path of the contract as the sender of JSON knows it: `generate.text_overlay.size` as `textOverlay.size`."""
    descriptor: Any = binding.method.descriptor.input_type
    parts: list[str] = []
    for part in path.split("."):
        name, bracket, index = part.partition("[")
        field = dialect.by_name(descriptor).get(name) if descriptor is not None else None
        if field is None:
            return path
        parts.append(field.json_name + bracket + index)
        descriptor = field.message_type
    if len(parts) > 1 and binding.body not in ("", "*"):
        inner = binding.method.descriptor.input_type.fields_by_name[binding.body]
        parts = parts[1:] if parts[0] == inner.json_name else parts
    return ".".join(parts)
