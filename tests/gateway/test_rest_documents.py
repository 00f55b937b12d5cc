"""What the gateway says about itself: the OpenAPI file, the reference, and the pages."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from imajin_gateway import reference
from imajin_gateway.contract import bindings
from imajin_gateway.openapi import openapi

from .conftest import Start

DOCS = Path(__file__).parents[2] / "docs" / "api"


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set[str]()
        return own.union(*(references(item) for item in value.values()))
    return set[str]().union(*(references(item) for item in value)) if isinstance(value, list) else set()


def test_the_committed_documents_match_the_contract() -> None:
    assert reference.main(["--check", str(DOCS)]) == 0


def test_a_stale_document_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main([str(tmp_path)]) == 0
    (tmp_path / "README.md").write_text("old")
    assert reference.main(["--check", str(tmp_path)]) == 1
    assert "README.md does not match" in capsys.readouterr().out


def test_openapi_has_every_rule_and_no_loose_end() -> None:
    document = openapi()
    described = {(verb.upper(), path) for path, verbs in document["paths"].items() for verb in verbs}
    assert {(item.verb, item.template) for item in bindings()} <= described
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) <= known
    ids = [operation["operationId"] for verbs in document["paths"].values() for operation in verbs.values()]
    assert len(ids) == len(set(ids))


def test_openapi_tells_limits_names_and_values() -> None:
    schemas = openapi()["components"]["schemas"]
    request = schemas["orchestrator.GenerateRequest"]
    assert request["required"] == ["prompt"]
    assert request["properties"]["prompt"]["maxLength"] == 4000
    assert (request["properties"]["width"]["minimum"], request["properties"]["width"]["maximum"]) == (64, 4096)
    assert {"negativePrompt", "skip_processing", "guidanceScale", "textOverlay"} <= set(request["properties"])
    assert schemas["job.Job"]["properties"]["status"]["enum"] == [
        "queued",
        "processing",
        "completed",
        "failed",
        "cancelled",
    ]
    formats = schemas["processing.DerivativesSpec"]["properties"]["formats"]["items"]["enum"]
    assert formats == ["png", "jpeg", "webp", "avif"]


async def test_every_example_is_accepted(http: httpx.AsyncClient) -> None:
    for path, verbs in openapi()["paths"].items():
        for operation in verbs.values():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body:
                answer = await http.post(path, json=body["example"])
                assert answer.status_code == 200, (path, answer.text)


async def test_the_pages_need_nothing_from_elsewhere(start: Start) -> None:
    http = await start()
    for path in ("/", "/docs"):
        page = await http.get(path)
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert ("unsafe-inline" in page.headers["content-security-policy"]) == (path == "/docs")
        assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", page.text)
        for part in re.findall(r"""(?:src|href)="(/studio/[^"]+)""", page.text):
            known = await http.get(part)
            assert known.status_code == 200
            again = await http.get(part, headers={"if-none-match": known.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
    for path in ("/studio/", "/studio/../app.py", "/studio/..%2fdocs.html", "/studio/none.js"):
        assert (await http.get(path)).status_code == 404
    document = (await http.get("/openapi.json")).json()
    assert document == json.loads((DOCS / "openapi.json").read_text())
