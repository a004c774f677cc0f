"""Nodes: places that hold stock."""

from typing import Annotated, Literal

import msgspec

from engine.kernel import codec

_Text = Annotated[str, msgspec.Meta(max_length=128)]
_Latitude = Annotated[float, msgspec.Meta(ge=-90, le=90)]
_Longitude = Annotated[float, msgspec.Meta(ge=-180, le=180)]


class Address(codec.Wire, frozen=True):
    """Where a node is; what is not known may be left out.

    `country` is that of ISO 3166, two capital letters. `region_code` is the administrative code of
    its district: in China, or without a country, six digits of GB/T 2260. Coordinates come both or
    not at all, in degrees, of all nodes by one datum (WGS 84, or GCJ-02).
    """

    country: Annotated[str, msgspec.Meta(max_length=2)] = ""
    province: _Text = ""
    city: _Text = ""
    district: _Text = ""
    region_code: Annotated[str, msgspec.Meta(max_length=32)] = ""
    address: Annotated[str, msgspec.Meta(max_length=512)] = ""
    latitude: _Latitude | None = None
    longitude: _Longitude | None = None


class NodeFields(codec.Wire, frozen=True):
    """A place that holds stock; stock at a node that we do not control is never shared.

    Stock of one `group` is shared with nothing outside of it. The dates of batches are days of the
    node's `timezone`.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    kind: Literal["DC", "STORE", "3PL", "SUPPLIER"] = "DC"
    enabled: bool = True
    owner: _Text = ""  # who runs it; empty: we do
    controlled_by: Literal["us", "channel", "supplier"] = "us"
    group: _Text = ""
    timezone: Annotated[str, msgspec.Meta(max_length=64)] = "Asia/Shanghai"
    address: Address | None = None
    extensions: codec.Document = msgspec.field(default_factory=dict)


class NodeView(NodeFields, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A node as it is answered."""

    node: str
    version: int
    updated_at: str


class NodePage(codec.Answer, frozen=True):
    """One page of nodes."""

    items: list[NodeView]
    next_cursor: str | None
