"""Metrics over HTTP: served beside the calls, never in their way, and never more series than were meant."""

from __future__ import annotations

import socket

import httpx
from hypothesis import given
from hypothesis import strategies as st

from imajin_servers.runtime import metrics


def test_they_are_served_for_as_long_as_the_server_lives() -> None:
    metrics.call_began("/imajin.vram.v1.VramLeaseService/ListLeases")
    metrics.call_ended("/imajin.vram.v1.VramLeaseService/ListLeases", "NOT_FOUND", "MODEL_NOT_FOUND", 0.5)
    with metrics.served("127.0.0.1:0") as place:
        text = httpx.get(f"http://{place}/metrics").text
    labels = 'grpc_code="NOT_FOUND",grpc_method="ListLeases",grpc_service="imajin.vram.v1.VramLeaseService"'
    assert f"grpc_server_handled_total{{{labels}}} 1.0" in text
    assert 'imajin_errors_total{reason="MODEL_NOT_FOUND"}' in text
    host, port = place.split(":")
    with socket.socket() as probe:
        assert probe.connect_ex((host, int(port))) != 0


def test_an_address_that_is_taken_or_none_stops_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for address in (f"127.0.0.1:{taken.getsockname()[1]}", "127.0.0.1:http", "127.0.0.1:99999", "nowhere"):
            with metrics.served(address) as place:
                assert place == ""


@given(st.lists(st.text()), st.integers(0, 5))
def test_callers_make_no_more_labels_than_were_meant(values: list[str], most: int) -> None:
    few = metrics.Few(most)
    said = [few.of(value) for value in values]
    assert len(set(said) - {metrics.OTHER}) <= most
    assert [few.of(value) for value in values if few.of(value) != metrics.OTHER] == [
        value for value in values if value in few.seen and value != metrics.OTHER
    ]
