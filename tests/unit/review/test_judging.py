"""What becomes of a paid order: approved, held for a reason, cooling off, released, or nothing."""

import itertools

import msgspec
import pytest

from engine.kernel import codec
from engine.kernel.errors import ValidationFailed
from engine.review.rules.compiling import compile_rules
from engine.review.rules.facts import REVIEW_SCHEMA, digest, review_facts
from engine.review.rules.judging import judge
from engine.review.types.documents import ReviewFields
from engine.review.types.judging import NEVER, NO_RULES, Demand, Review, Standing, Subject

NOW = 1_795_000_000_000
MINUTE = 60_000
RULES = [
    {"name": "known", "when": 'buyer == "vip"', "do": "approve"},
    {"name": "risk", "when": "risk >= 80", "reason": "risk score"},
    {"name": "dear", "when": "total > 500000", "reason": "dear", "hold_minutes": 30},
    {"name": "note", "when": 'buyer_note.contains("勿发")', "reason": "buyer asks to wait"},
    {"name": "place", "when": "!has_address", "reason": "no address"},
]


def rules(*told, version=1):
    fields = codec.typed({"rules": list(told or RULES)}, ReviewFields)
    return compile_rules(fields, version)


def subject(**more):
    facts = {"channel": "app", "has_address": True, "total": 100} | more.pop("facts", {})
    told = REVIEW_SCHEMA.facts(facts)
    plain = Subject(
        "o-1", "open", "paid", "gate", "merchant", NOW - MINUTE, NOW, 0, told, digest(told),
        (Demand(1, "A", "main", 2),),
    )  # fmt: skip
    return plain._replace(**more)


def after(verdict, order):
    """The order as it stands once a verdict was written."""
    last = verdict.review or order.last
    return order._replace(last=last, blocks=(*order.blocks, *verdict.set))


@pytest.mark.parametrize(
    ("facts", "kind", "rule"),
    [
        ({}, "ready", ""),
        ({"risk": 79}, "ready", ""),
        ({"risk": 80}, "blocked", "risk"),
        ({"risk": 80, "buyer": "vip"}, "ready", "known"),
        ({"total": 500_001}, "waits", "dear"),
        ({"total": 500_000}, "ready", ""),
        ({"buyer_note": "暂时勿发货"}, "blocked", "note"),
        ({"has_address": False}, "blocked", "place"),
        ({"risk": 99, "total": 900_000}, "blocked", "risk"),
    ],
)
def test_the_first_rule_that_holds_decides(facts, kind, rule):
    found = judge(rules(), subject(facts=facts), NOW)
    assert (found.kind, found.review.rule) == (kind, rule)
    assert found.queue == ("NEW" if kind == "ready" else "HELD_RISK")
    assert found.review.verdict == ("approve" if kind == "ready" else "block")


@pytest.mark.parametrize(
    "more",
    [
        {"state": "cancelled"}, {"payment_state": "unpaid"}, {"payment_state": "deposit_paid"},
        {"authority": "record"}, {"fulfilled_by": "platform"}, {"demand": ()},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_not_ours_to_send_is_not_judged(more):
    found = judge(rules(), subject(facts={"risk": 99}, **more), NOW)
    assert (found.kind, tuple(found.set), found.review) == ("none", (), None)


def test_without_rules_everything_passes_also_what_is_paid_on_delivery():
    found = judge(NO_RULES, subject(payment_state="on_delivery", paid_at=0), NOW)
    assert (found.kind, found.review) == ("ready", Review(1, found.review.digest, "approve", "", 0))


def test_a_block_by_time_is_over_when_it_has_passed():
    order = subject(facts={"total": 900_000})
    held = judge(rules(), order, NOW)
    assert list(held.set) == [Standing("review", NOW + 30 * MINUTE, "dear")]
    assert (held.until, held.code, held.reason) == (NOW + 30 * MINUTE, "review", "dear")
    order = after(held, order)
    assert judge(rules(), order, NOW + 30 * MINUTE - 1).kind == "waits"
    passed = judge(rules(), order, NOW + 30 * MINUTE)
    assert (passed.kind, tuple(passed.set), passed.review) == ("ready", (), None)


def test_what_a_person_let_pass_is_not_held_by_the_same_rule_again():
    order = subject(facts={"risk": 99})
    released = after(judge(rules(), order, NOW), order)._replace(blocks=())
    assert judge(rules(), released, NOW + 1).kind == "ready"
    changed = subject(facts={"risk": 99, "total": 200}, last=released.last)
    again = judge(rules(), changed, NOW + 2)
    assert (again.kind, again.review.verdict, again.review.revision) == ("ready", "approve", 2)
    other = subject(facts={"risk": 99, "has_address": False}, last=released.last)
    told = [RULES[4], RULES[1]]
    held = judge(rules(*told, version=2), other, NOW + 3)
    assert (held.kind, held.reason, held.review[0]) == ("blocked", "no address", 2)


def test_a_block_that_a_person_set_stays_as_it_is():
    by_hand = Standing("review", NEVER, "look at it")
    found = judge(rules(), subject(facts={"risk": 99}, blocks=(by_hand,)), NOW)
    assert (found.kind, found.reason, tuple(found.set)) == ("blocked", "look at it", ())


def test_cooling_off_is_from_the_payment_and_once():
    order = subject(cool_off_s=600)
    cooling = judge(NO_RULES, order, NOW + 5 * MINUTE)
    assert (cooling.kind, cooling.until, cooling.code) == ("waits", NOW + 10 * MINUTE, "cool_off")
    order = after(cooling, order)
    assert judge(NO_RULES, order, NOW + 10 * MINUTE).kind == "ready"
    lifted = order._replace(blocks=())
    assert judge(NO_RULES, lifted, NOW + 6 * MINUTE).kind == "ready", "a person lifted it"
    assert judge(NO_RULES, subject(cool_off_s=600), NOW + 10 * MINUTE).kind == "ready"
    delivery = subject(cool_off_s=600, paid_at=0, payment_state="on_delivery")
    assert judge(NO_RULES, delivery, NOW).until == NOW + 9 * MINUTE


@pytest.mark.parametrize(
    ("blocks", "kind", "queue", "until"),
    [
        ([("presale", NOW + 5)], "waits", "HELD_PRESALE", NOW + 5),
        ([("presale", NOW + 5), ("manual", NOW + 9)], "waits", "HELD_RISK", NOW + 9),
        ([("presale", NOW + 5), ("manual", NEVER)], "blocked", "HELD_RISK", NEVER),
        ([("manual", NOW)], "ready", "NEW", 0),
    ],
)
def test_an_order_waits_for_the_last_of_its_blocks(blocks, kind, queue, until):
    order = subject(blocks=tuple(Standing(*one) for one in blocks))
    found = judge(NO_RULES, order, NOW)
    assert (found.kind, found.queue, found.until) == (kind, queue, until)


def test_said_again_of_the_same_order_nothing_is_new():
    for facts, cool in itertools.product([{}, {"risk": 90}, {"total": 600_000}], [0, 60]):
        order = subject(facts=facts, cool_off_s=cool)
        first = judge(rules(), order, NOW)
        again = judge(rules(), after(first, order), NOW)
        assert (again.kind, again.until, again.queue) == (first.kind, first.until, first.queue)
        assert (tuple(again.set), again.review) == ((), None)


def test_a_rule_that_cannot_be_evaluated_holds_what_it_would_and_approves_nothing():
    broken = "1000 / risk > 5"
    held = judge(rules({"name": "n", "when": broken, "reason": "r"}), subject(), NOW)
    assert (held.kind, held.review.rule) == ("blocked", "n")
    told = [{"name": "n", "when": broken, "do": "approve"}, RULES[4]]
    found = judge(rules(*told), subject(facts={"has_address": False}), NOW)
    assert found.review.rule == "place"


@pytest.mark.parametrize(
    ("told", "pointer", "detail"),
    [
        ({"when": "rsik > 5", "reason": "r"}, "/rules/0/when", "1:1: there is no field"),
        ({"when": "risk >", "reason": "r"}, "/rules/0/when", "1:7"),
        ({"when": "risk", "reason": "r"}, "/rules/0/when", "must be true or false"),
        ({"when": "risk > 5"}, "/rules/0/reason", "is required"),
        ({"when": "risk > 5", "do": "approve", "hold_minutes": 5}, "/rules/0/hold_minutes", ""),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_rule_is_told_at_its_place(told, pointer, detail):
    with pytest.raises(ValidationFailed) as refused:
        rules({"name": "n"} | told)
    (fault,) = refused.value.faults
    assert fault.pointer == pointer
    assert detail in fault.detail


def test_a_name_is_given_once():
    with pytest.raises(ValidationFailed) as refused:
        rules(RULES[0], RULES[0])
    assert [one.pointer for one in refused.value.faults] == ["/rules/1/name"]


DOCUMENT = {
    "channel": "app", "channel_order_id": "1", "buyer_id": "b", "tags": ["gift", 7],
    "buyer_note": "x" * 600, "flag": 3, "extensions": {"risk": 81},
    "payment": {"status": "pending"}, "payments": [{"method": "alipay"}],
}  # fmt: skip
PLACE = {
    "name": "王小明", "phone": "13800000000", "province": "上海市", "region_code": "310104",
    "address": "漕溪北路 1 号",
}  # fmt: skip


def facts_of(document, place):
    told = review_facts(
        document, place, [("A", 2), ("B", 1), ("A", 1)], payable=900, currency="CNY",
        on_delivery=False, placed_at=1_794_009_600_000,
    )  # fmt: skip
    return dict(zip(REVIEW_SCHEMA.index, told, strict=True)), told


def test_facts_are_of_the_order_and_have_neither_name_nor_phone():
    told, packed = facts_of(DOCUMENT, PLACE)
    assert (told["units"], told["lines"], told["skus"]) == (4, 3, ("A", "B"))
    assert (told["risk"], told["seller_flag"], told["tags"]) == (81, 3, ("gift",))
    assert len(told["buyer_note"]) == 512
    assert (told["order_kind"], told["payment_method"]) == ("sale", "alipay")
    assert (told["province"], told["region"]) == ("上海市", "310104")
    assert (told["has_address"], told["encrypted"]) == (True, False)
    text = msgspec.json.encode(packed).decode()
    assert "王小明" not in text
    assert "13800000000" not in text


def test_an_encrypted_consignee_is_an_address():
    told, packed = facts_of(DOCUMENT, {"consignee_id": "oaid-1", "region_code": "310104"})
    assert (told["has_address"], told["encrypted"], told["address"]) == (True, True, "")
    assert digest(packed) != digest(facts_of(DOCUMENT, PLACE)[1])
    assert "oaid-1" not in str(packed)


@pytest.mark.parametrize(
    "document",
    [
        {"extensions": {"risk": True}}, {"extensions": {"risk": "9"}}, {"extensions": []},
        {"tags": "x", "payments": {}, "flag": None, "payment": None, "buyer_id": 7}, {},
    ],
    ids=str,
)  # fmt: skip
def test_a_document_of_other_shapes_is_read_as_if_it_said_nothing(document):
    told, _ = facts_of(document, {"region_code": 310104})
    assert (told["risk"], told["tags"], told["buyer"], told["region"]) == (0, (), "", "")
