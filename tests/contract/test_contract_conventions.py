"""Conventions that the shim and the clients rely on, held over every message and rpc of the contract."""

from __future__ import annotations

from importlib.resources import files

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from imajin.diffusion.v1 import diffusion_pb2
from imajin.orchestrator.v1 import orchestrator_pb2
from imajin.prompt.v1 import prompt_pb2


def contract() -> descriptor_pb2.FileDescriptorSet:
    return descriptor_pb2.FileDescriptorSet.FromString((files("imajin") / "contract.binpb").read_bytes())


def methods() -> list[MethodDescriptor]:
    pool = descriptor_pool.DescriptorPool()
    found = []
    for file in contract().file:
        pool.AddSerializedFile(file.SerializeToString())
    for file in contract().file:
        if file.package.startswith("imajin."):
            for service in pool.FindFileByName(file.name).services_by_name.values():
                found.extend(service.methods)
    return found


def messages_below(root: Descriptor, seen: set[str]) -> list[Descriptor]:
    if root.full_name in seen or not root.full_name.startswith("imajin."):
        return []
    seen.add(root.full_name)
    below = [field.message_type for field in root.fields if field.type == FieldDescriptor.TYPE_MESSAGE]
    return [root, *(found for message in below for found in messages_below(message, seen))]


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.full_name)
def test_a_stream_of_events_ends_with_one_terminal_member(method: MethodDescriptor) -> None:
    if not method.server_streaming or "event" not in method.output_type.oneofs_by_name:
        return
    members = [field.name for field in method.output_type.oneofs_by_name["event"].fields]
    assert len({"result", "job"} & set(members)) == 1, "the shim folds the stream into its terminal member"


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.full_name)
def test_a_client_stream_starts_with_a_spec(method: MethodDescriptor) -> None:
    if not method.client_streaming or (method.server_streaming and method.name == "HoldLease"):
        return
    assert [field.name for field in method.input_type.oneofs_by_name["part"].fields] == ["spec", "chunk"]


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.full_name)
def test_image_data_has_its_name_and_its_index(method: MethodDescriptor) -> None:
    for message in messages_below(method.output_type, set()):
        field = message.fields_by_name.get("image_data")
        if field is not None:
            assert field.json_name == "imageData"
            assert message.name == "Preview" or "image_index" in message.fields_by_name


def test_the_documented_endpoints_exist() -> None:
    bindings = set()
    for method in methods():
        rule = method.GetOptions().Extensions[annotations_pb2.http]
        for binding in [rule, *rule.additional_bindings]:
            verb = binding.WhichOneof("pattern")
            if verb:
                bindings.add((verb.upper(), getattr(binding, verb)))
    assert bindings >= {
        ("POST", "/analyze-context"),
        ("POST", "/generate"),
        ("POST", "/generate/async"),
        ("POST", "/generate/batch-sizes"),
        ("POST", "/process"),
        ("POST", "/derivatives"),
        ("POST", "/derivatives/clip-focal"),
        ("GET", "/jobs/{job_id}"),
        ("GET", "/jobs/{job_id}/result"),
        ("GET", "/jobs/{job_id}/events"),
        ("POST", "/jobs/{job_id}:cancel"),
        ("DELETE", "/jobs/{job_id}"),
    }


def fields(message: Descriptor) -> list[tuple[str, int, int, str, str]]:
    return [
        (
            field.name,
            field.number,
            field.type,
            field.json_name,
            field.message_type.full_name if field.message_type else "",
        )
        for field in message.fields
    ]


def test_the_orchestrator_takes_all_that_the_diffusion_server_takes() -> None:
    shared = set(fields(diffusion_pb2.GenerateRequest.DESCRIPTOR))
    assert shared <= set(fields(orchestrator_pb2.GenerateRequest.DESCRIPTOR))
    # An edit takes them too, and its own from 101 on.
    edit = set(fields(diffusion_pb2.EditSpec.DESCRIPTOR))
    assert {field for field in edit if field[1] < 100} == shared


def test_the_stream_of_an_analysis_takes_what_the_analysis_takes() -> None:
    assert fields(prompt_pb2.StreamAnalyzeContextRequest.DESCRIPTOR) == fields(
        prompt_pb2.AnalyzeContextRequest.DESCRIPTOR
    )
