"""What is told, described from the structs that it is made of: AsyncAPI 3.0, and for OpenAPI."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from engine.infra.http.openapi import Told
from engine.webhooks.rules import events

_REFERENCE: Final = "#/components/schemas/{name}"
_HEADERS: Final[Mapping[str, str]] = {
    "webhook-id": "of the event, the same at each try and at each endpoint",
    "webhook-timestamp": "when this try was made, in seconds since 1970",
    "webhook-signature": "`v1,<base64>` of each secret in force, with spaces between them",
}
TOLD: Final = [
    Told(one.name, one.told, one.payload, tuple(_HEADERS.items())) for one in events.TYPES.values()
]


def document(version: str) -> dict[str, Any]:
    """Return the AsyncAPI document; the same structs give the same bytes."""
    kinds = sorted({one.payload for one in TOLD}, key=lambda kind: kind.__name__)
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REFERENCE)
    references = dict(zip(kinds, schemas, strict=True))
    names = {one.name: one.name.replace(".", "_") for one in TOLD}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tidegate webhooks",
            "version": version,
            "description": "What is sent to webhooks, signed after Standard Webhooks.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "webhooks": {
                "address": None,
                "description": "the address that `POST /v1/webhooks` was given",
                "messages": {
                    name: {"$ref": f"#/components/messages/{name}"} for name in names.values()
                },
            }
        },
        "operations": {
            "tell": {
                "action": "send",
                "channel": {"$ref": "#/channels/webhooks"},
                "messages": [
                    {"$ref": f"#/channels/webhooks/messages/{name}"} for name in names.values()
                ],
            }
        },
        "components": {
            "messages": {
                names[one.name]: {
                    "name": one.name,
                    "title": one.told,
                    "headers": _headers(),
                    "payload": one.envelope(references),
                }
                for one in TOLD
            },
            "schemas": dict(sorted(components.items())),
        },
    }


def _headers() -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(_HEADERS),
        "properties": {
            name: {"type": "string", "description": told} for name, told in _HEADERS.items()
        },
    }
