"""Qimen's messages as tables: one row a field, in the order in which it is written.

From reference pages of the platform (doc.alidayu.com articleId=104651), as far as we write or read
them: the path inside the message, whether it must be there, its type, and our name for it. Both
directions go by these rows, and the tests walk them.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Kind = Literal["text", "money", "whole", "instant", "day", "kg", "cm", "litre"]


class Field(NamedTuple):
    """One field; `length` is how many characters a text of it may have."""

    path: str
    ours: str
    required: bool = False
    kind: Kind = "text"
    length: int = 500


class Group(NamedTuple):
    """Elements that repeat, each with fields of its own."""

    path: str
    ours: str
    table: "Table"
    required: bool = False


class Table(NamedTuple):
    """A message, or one element of a group."""

    fields: tuple[Field, ...]
    groups: tuple[Group, ...] = ()


def _contact(path: str, ours: str) -> tuple[Field, ...]:
    return (
        Field(f"{path}/name", f"{ours}.name", required=True, length=50),
        Field(f"{path}/zipCode", f"{ours}.postcode", length=50),
        Field(f"{path}/tel", f"{ours}.phone", length=50),
        Field(f"{path}/mobile", f"{ours}.mobile", required=True, length=50),
        Field(f"{path}/countryCode", f"{ours}.country", length=50),
        Field(f"{path}/province", f"{ours}.province", required=True, length=50),
        Field(f"{path}/city", f"{ours}.city", required=True, length=50),
        Field(f"{path}/area", f"{ours}.district", length=50),
        Field(f"{path}/town", f"{ours}.town", length=50),
        Field(f"{path}/detailAddress", f"{ours}.address", required=True, length=200),
    )


_ORDER: Final = "deliveryOrder"

CREATE: Final = Table(
    (
        Field(f"{_ORDER}/deliveryOrderCode", "consignment_id", required=True, length=50),
        Field(f"{_ORDER}/orderType", "kind", required=True, length=50),
        Field(f"{_ORDER}/warehouseCode", "warehouse", required=True, length=50),
        Field(f"{_ORDER}/orderFlag", "flags", length=200),
        Field(f"{_ORDER}/sourcePlatformCode", "platform", length=50),
        Field(f"{_ORDER}/createTime", "created_at", required=True, kind="instant"),
        Field(f"{_ORDER}/placeOrderTime", "placed_at", required=True, kind="instant"),
        Field(f"{_ORDER}/payTime", "paid_at", kind="instant"),
        Field(f"{_ORDER}/payNo", "payment", length=50),
        Field(f"{_ORDER}/operateTime", "operated_at", required=True, kind="instant"),
        Field(f"{_ORDER}/shopNick", "shop", required=True, length=200),
        Field(f"{_ORDER}/totalAmount", "total", kind="money"),
        Field(f"{_ORDER}/itemAmount", "items", kind="money"),
        Field(f"{_ORDER}/discountAmount", "discount", kind="money"),
        Field(f"{_ORDER}/freight", "freight", kind="money"),
        Field(f"{_ORDER}/arAmount", "due", kind="money"),
        Field(f"{_ORDER}/gotAmount", "paid", kind="money"),
        Field(f"{_ORDER}/logisticsCode", "carrier", required=True, length=50),
        Field(f"{_ORDER}/expressCode", "waybill", length=50),
        Field(f"{_ORDER}/deliveryRequirements/deliveryType", "delivery", length=50),
        Field(f"{_ORDER}/latestCollectionTime", "ship_by", kind="instant"),
        Field(f"{_ORDER}/latestDeliveryTime", "deliver_by", kind="instant"),
        *_contact(f"{_ORDER}/senderInfo", "sender"),
        *_contact(f"{_ORDER}/receiverInfo", "receiver"),
        Field(f"{_ORDER}/receiverInfo/oaid", "receiver.oaid", length=500),
        Field(f"{_ORDER}/remark", "note", length=500),
    ),
    (
        Group(
            "orderLines/orderLine",
            "lines",
            Table(
                (
                    Field("orderLineNo", "ref", length=50),
                    Field("sourceOrderCode", "order_code", length=50),
                    Field("subSourceOrderCode", "line_code", length=50),
                    Field("ownerCode", "owner", required=True, length=50),
                    Field("itemCode", "sku", required=True, length=50),
                    Field("inventoryType", "condition", length=50),
                    Field("planQty", "units", required=True, kind="whole"),
                    Field("retailPrice", "list_price", kind="money"),
                    Field("actualPrice", "price", required=True, kind="money"),
                    Field("discountAmount", "discount", kind="money"),
                    Field("batchCode", "batch", length=50),
                    Field("productDate", "produced_on", kind="day"),
                    Field("expireDate", "expires_on", kind="day"),
                )
            ),
            required=True,
        ),
    ),
)

CANCEL: Final = Table(
    (
        Field("warehouseCode", "warehouse", required=True, length=50),
        Field("ownerCode", "owner", length=50),
        Field("orderCode", "consignment_id", required=True, length=50),
        Field("orderId", "wms_ref", length=50),
        Field("orderType", "kind", length=50),
        Field("cancelReason", "reason", length=500),
    )
)

# `taobao.qimen.orderprocess.query`: what became of an order, step by step.
QUERY: Final = Table(
    (
        Field("orderType", "kind", length=50),
        Field("orderCode", "consignment_id", required=True, length=50),
        Field("orderId", "wms_ref", length=50),
        Field("warehouseCode", "warehouse", length=50),
    )
)

REPLY: Final = Table(
    (
        Field("flag", "flag", required=True),
        Field("code", "code"),
        Field("message", "message"),
        Field("deliveryOrderId", "wms_ref", length=64),
        Field("orderProcess/orderCode", "consignment_id"),
    ),
    (
        Group(
            "orderProcess/processes/process",
            "steps",
            Table((Field("processStatus", "status", required=True),)),
        ),
    ),
)

_BATCH: Final = Table(
    (
        Field("batchCode", "batch", length=128),
        Field("productDate", "produced_on", kind="day"),
        Field("expireDate", "expires_on", kind="day"),
        Field("inventoryType", "condition"),
        Field("actualQty", "units", kind="whole"),
    )
)

CONFIRM: Final = Table(
    (
        Field(f"{_ORDER}/deliveryOrderCode", "consignment_id", required=True, length=128),
        Field(f"{_ORDER}/deliveryOrderId", "wms_ref", length=128),
        Field(f"{_ORDER}/warehouseCode", "warehouse", required=True, length=128),
        Field(f"{_ORDER}/orderType", "kind", required=True),
        Field(f"{_ORDER}/status", "status"),
        Field(f"{_ORDER}/outBizCode", "report_id", length=128),
        Field(f"{_ORDER}/confirmType", "partial", kind="whole"),
        Field(f"{_ORDER}/orderConfirmTime", "at", kind="instant"),
    ),
    (
        Group(
            "packages/package",
            "packages",
            Table(
                (
                    Field("logisticsCode", "carrier", required=True, length=128),
                    Field("expressCode", "waybill", required=True, length=128),
                    Field("packageCode", "code", length=128),
                    Field("length", "length", kind="cm"),
                    Field("width", "width", kind="cm"),
                    Field("height", "height", kind="cm"),
                    Field("theoreticalWeight", "grams_planned", kind="kg"),
                    Field("weight", "grams", kind="kg"),
                    Field("volume", "cm3", kind="litre"),
                ),
                (
                    Group(
                        "items/item",
                        "items",
                        Table(
                            (
                                Field("itemCode", "sku", required=True, length=128),
                                Field("quantity", "units", required=True, kind="whole"),
                            ),
                            # as newer versions of it tell; an older one uses sn.report
                            (Group("snList/sn", "serials", Table((Field("", "serial"),))),),
                        ),
                    ),
                ),
            ),
        ),
        Group(
            "orderLines/orderLine",
            "lines",
            Table(
                (
                    Field("orderLineNo", "line", length=128),
                    Field("itemCode", "sku", required=True, length=128),
                    Field("ownerCode", "owner", length=128),
                    Field("inventoryType", "condition"),
                    Field("planQty", "planned", kind="whole"),
                    Field("actualQty", "units", required=True, kind="whole"),
                ),
                (Group("batchs/batch", "batches", _BATCH),),
            ),
        ),
    ),
)

PROCESS: Final = Table(
    (
        Field("order/orderCode", "consignment_id", required=True, length=128),
        Field("order/orderId", "wms_ref", length=128),
        Field("order/orderType", "kind"),
        Field("order/warehouseCode", "warehouse", length=128),
        Field("process/processStatus", "status", required=True),
        Field("process/operateTime", "at", kind="instant"),
        Field("process/remark", "text"),
    )
)

LACK: Final = Table(
    (
        Field("warehouseCode", "warehouse", length=128),
        Field("deliveryOrderCode", "consignment_id", required=True, length=128),
        Field("deliveryOrderId", "wms_ref", length=128),
        Field("createTime", "at", kind="instant"),
        Field("outBizCode", "report_id", length=128),
    ),
    (
        Group(
            "items/item",
            "lines",
            Table(
                (
                    Field("itemCode", "sku", required=True, length=128),
                    Field("inventoryType", "condition"),
                    Field("batchCode", "batch", length=128),
                    Field("planQty", "planned", kind="whole"),
                    Field("lackQty", "units", required=True, kind="whole"),
                    Field("reason", "reason"),
                )
            ),
            required=True,
        ),
    ),
)

TROUBLE: Final = Table(
    (
        Field("warehouseCode", "warehouse", length=128),
        Field("deliveryOrderCode", "consignment_id", required=True, length=128),
        Field("deliveryOrderId", "wms_ref", length=128),
        Field("messageId", "report_id", length=128),
        Field("messageType", "status"),
        Field("messageDesc", "text"),
        Field("createTime", "at", kind="instant"),
    )
)

# `quantity` is a difference, whatever the name says; only `totalQty` is a count.
INVENTORY: Final = Table(
    (
        Field("totalPage", "pages", required=True, kind="whole"),
        Field("currentPage", "page", required=True, kind="whole"),
        Field("pageSize", "page_size", required=True, kind="whole"),
        Field("warehouseCode", "warehouse", required=True, length=128),
        Field("checkOrderCode", "check", required=True, length=128),
        Field("checkTime", "at", kind="instant"),
        Field("ownerCode", "owner", required=True, length=128),
        Field("outBizCode", "report_id", required=True, length=128),
        Field("adjustType", "adjust"),
    ),
    (
        Group(
            "items/item",
            "lines",
            Table(
                (
                    Field("itemCode", "sku", required=True, length=128),
                    Field("inventoryType", "condition"),
                    Field("batchCode", "batch", length=128),
                    Field("quantity", "units", required=True, kind="whole"),
                    Field("totalQty", "total", kind="whole"),
                )
            ),
            required=True,
        ),
    ),
)

CHANGE: Final = Table(
    (),
    (
        Group(
            "items/item",
            "lines",
            Table(
                (
                    Field("ownerCode", "owner", required=True, length=128),
                    Field("warehouseCode", "warehouse", required=True, length=128),
                    Field("orderCode", "cause", required=True, length=128),
                    Field("orderType", "kind"),
                    Field("outBizCode", "reference", required=True, length=128),
                    Field("itemCode", "sku", required=True, length=128),
                    Field("inventoryType", "condition"),
                    Field("batchCode", "batch", length=128),
                    Field("quantity", "units", required=True, kind="whole"),
                    Field("changeTime", "at", kind="instant"),
                )
            ),
            required=True,
        ),
    ),
)

PREFIX: Final = "taobao.qimen."
# By method, without the prefix, which senders leave out now and then.
OUT: Final[Mapping[str, Table]] = {
    "deliveryorder.create": CREATE,
    "order.cancel": CANCEL,
    "orderprocess.query": QUERY,
}
IN: Final[Mapping[str, Table]] = {
    "deliveryorder.confirm": CONFIRM,
    "orderprocess.report": PROCESS,
    "itemlack.report": LACK,
    "orderexception.report": TROUBLE,
    "inventory.report": INVENTORY,
    "stockchange.report": CHANGE,
}
