"""The interface of a service as OpenAPI, its schemas from the structs that decode and encode."""

from collections.abc import Mapping
from typing import Any

import msgspec

from online.access import Problem


def openapi(
    *,
    title: str,
    path: str,
    summary: str,
    asked: Any,
    example: Any,
    answered: type,
    answer: str,
    refusals: Mapping[str, str],
    other_bodies: Mapping[str, Any],
) -> dict[str, Any]:
    """Of a service with one POST: what is asked and answered, and by status why it may be refused.

    `other_bodies`: schemas by media type, beside JSON.
    """
    (body, good, refused), components = msgspec.json.schema_components(
        (asked, answered, Problem), ref_template="#/components/schemas/{name}"
    )
    described = {"200": (answer, good), **{status: (words, refused) for status, words in refusals.items()}}
    responses = {
        status: {"description": words, "content": {"application/json": {"schema": schema}}}
        for status, (words, schema) in described.items()
    }
    bodies = {"application/json": {"schema": body, "example": example}}
    bodies |= {media_type: {"schema": schema} for media_type, schema in other_bodies.items()}
    post = {"summary": summary, "requestBody": {"required": True, "content": bodies}, "responses": responses}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1"},
        "paths": {path: {"post": post}},
        "components": {"schemas": components},
    }
