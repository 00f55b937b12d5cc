"""What the contract says about HTTP: every `google.api.http` rule of every service, read from the generated code at run time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from importlib.resources import files
from typing import Any

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from imajin_gateway import dialect

JOB_HOST = {"job": "orchestrator"}
"""Servers whose name differs from that of the package of their service: jobs live in the orchestrator."""
TERMINAL = ("result", "job")
"""Names of the member of `event` that ends a stream and says what it was about."""
CHUNK = "imajin.common.v1.ImageChunk"
EVENTS = ("text/event-stream", "application/x-ndjson")
"""Media types that tell a stream as it happens."""
HTTP_BODY = "google.api.HttpBody"
VARIABLE = re.compile(r"\{([\w.]+)(?:=[^}]*)?\}")


@cache
def descriptor_set() -> descriptor_pb2.FileDescriptorSet:
    """The contract as the generator wrote it, with comments."""
    return descriptor_pb2.FileDescriptorSet.FromString(files("imajin").joinpath("contract.binpb").read_bytes())


def services() -> Iterator[ServiceDescriptor]:
    """Every service of the contract."""
    for file in descriptor_set().file:
        if file.package.startswith("imajin.") and file.service:
            module = import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
            yield from module.DESCRIPTOR.services_by_name.values()


@dataclass(frozen=True)
class Method:
    """One rpc: where it is served, and the shape of what it takes and gives."""

    descriptor: MethodDescriptor

    @property
    def path(self) -> str:
        """Path of the call on the wire."""
        return f"/{self.descriptor.containing_service.full_name}/{self.descriptor.name}"

    @property
    def server(self) -> str:
        """Name of the server, as in the settings."""
        name = self.descriptor.containing_service.full_name.split(".")[1]
        return JOB_HOST.get(name, name)

    @property
    def streams_in(self) -> bool:
        """Whether the caller streams: a spec, then chunks."""
        return self.descriptor.client_streaming

    @property
    def streams_out(self) -> bool:
        """Whether the server streams."""
        return self.descriptor.server_streaming

    @cached_property
    def request_class(self) -> type[Message]:
        """Class of the messages that it takes."""
        return message_factory.GetMessageClass(self.descriptor.input_type)

    @cached_property
    def response_class(self) -> type[Message]:
        """Class of the messages that it gives."""
        return message_factory.GetMessageClass(self.descriptor.output_type)

    @property
    def raw(self) -> bool:
        """Whether it streams bytes with a media type instead of messages."""
        return self.descriptor.output_type.full_name == HTTP_BODY

    @cached_property
    def events(self) -> list[FieldDescriptor]:
        """Members of the oneof `event` of the answer; empty where there is none."""
        oneof = self.descriptor.output_type.oneofs_by_name.get("event")
        return list(oneof.fields) if oneof is not None else []

    @cached_property
    def terminal(self) -> FieldDescriptor | None:
        """The event that ends the stream."""
        return next((field for field in self.events if field.name in TERMINAL), None)

    @cached_property
    def gives_images(self) -> bool:
        """Whether images come as chunks among the events."""
        return any(field.message_type is not None and field.message_type.full_name == CHUNK for field in self.events)

    @cached_property
    def has_main_image(self) -> bool:
        """Whether the last event describes an image of its own."""
        return self.terminal is not None and self.gives_images and has_image(dialect.message_of(self.terminal))


def has_image(message: Descriptor) -> bool:
    """Whether chunks with an `image_index` fill this message's `image_data`."""
    names = message.fields_by_name
    return "image_data" in names and "image_index" in names


@dataclass(frozen=True)
class Binding:
    """One way to call one rpc by HTTP."""

    method: Method
    verb: str
    template: str
    body: str
    response_body: str
    stream: Method | None
    """For a unary rpc X: the rpc StreamX that takes the same fields and tells the same as it happens."""

    @property
    def watches(self) -> bool:
        """Whether it follows something that goes on without the caller: no deadline, and it ends when the gateway drains."""
        return self.verb == "GET" and self.method.streams_out and not (self.method.gives_images or self.method.raw)

    @cached_property
    def variables(self) -> list[str]:
        """Fields that the path fills."""
        return VARIABLE.findall(self.template)

    @property
    def input(self) -> Descriptor:
        """What the body describes: the whole request, or the field that the rule names."""
        request = self.method.descriptor.input_type
        if self.body in ("", "*"):
            return request
        return dialect.message_of(request.fields_by_name[self.body])

    @property
    def takes_image(self) -> bool:
        """Whether the body may carry an image."""
        return bool(self.body) and "image_data" in self.input.fields_by_name

    @property
    def offers(self) -> list[str]:
        """Media types that it can answer with, its default first."""
        method = self.method
        if method.raw:
            return ["image/*"]
        if not method.streams_out:
            return ["application/json", *(EVENTS if self.stream else [])]
        if not method.gives_images:
            return [*EVENTS, *(["application/json"] if method.terminal else [])]
        return ["application/json", *(["image/*"] if method.has_main_image else []), *EVENTS]


def bindings() -> list[Binding]:
    """Every HTTP rule of the contract."""
    return [binding for service in services() for method in service.methods for binding in of_method(method)]


def of_method(descriptor: MethodDescriptor) -> Iterator[Binding]:
    """The HTTP rules of one rpc; none where it has none."""
    # Extensions are typed for other kinds of options.
    http: Any = annotations_pb2.http
    rule: Any = descriptor.GetOptions().Extensions[http]
    for binding in (rule, *rule.additional_bindings):
        if verb := http_verb(binding):
            yield Binding(
                method=Method(descriptor),
                verb=verb.upper(),
                template=getattr(binding, verb),
                body=binding.body,
                response_body=binding.response_body,
                stream=streaming_twin(descriptor),
            )


def http_verb(rule: http_pb2.HttpRule) -> str:
    """The verb of a rule in lower case; empty where the rule has none."""
    return rule.WhichOneof("pattern") or ""


def streaming_twin(method: MethodDescriptor) -> Method | None:
    """The rpc StreamX beside X with the same fields, if there is one."""
    twin = method.containing_service.methods_by_name.get("Stream" + method.name)
    if twin is None or method.server_streaming or fields(twin.input_type) != fields(method.input_type):
        return None
    return Method(twin)


def fields(message: Descriptor) -> list[tuple[str, int, int]]:
    """Names, numbers and types of a message's fields."""
    return [(field.name, field.number, field.type) for field in message.fields]
