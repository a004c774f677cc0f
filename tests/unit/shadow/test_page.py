"""The page: what stands in it is text, and its pictures are drawings of steps."""

import re
from xml.etree import ElementTree as ET

from engine.shadow.page import page, picture
from engine.shadow.rules.telling import report
from engine.shadow.types import Curve, Link, Point, Terms
from tests.unit.shadow.worlds import World, at, count, line, links, shown, syncing

END = at(3_600)
LINK = Link("tmall", "i-TEA", "", "")


def test_a_picture_is_a_line_of_steps_for_each_number_and_a_mark_for_each_oversale():
    found, curves = report(syncing(1, every_s=240).facts, Terms(), END)
    for curve in curves:
        drawn = ET.fromstring(picture(curve))  # noqa: S314 - we drew it
        classes = [one.get("class") for one in drawn.iter() if one.get("class")]
        assert classes.count("shown") == classes.count("wanted") == 1
        assert classes.count("mark") == len(curve.moments)
    assert sum(moment.units for curve in curves for moment in curve.moments) == (
        found.oversold_units
    )


def test_what_lies_on_one_pixel_is_drawn_from_its_lowest_to_its_highest():
    many = [Point(at(n / 100), n % 50, 10) for n in range(50_000)]
    drawn = picture(Curve(LINK, "TEA", many, []))
    assert len(drawn) < 200_000
    heights = {float(y) for y in re.findall(r"[ML]\d+ ([\d.]+)", drawn)}
    assert {min(heights), max(heights)} == {10.0, 210.0}


def test_names_of_others_are_text_and_no_markup():
    world = World(mapped=links("TEA", shops=["tmall"]))
    world.counts = [count(0, 1)]
    world.shown = [shown(0, 5)]
    world.lines = [line("<script>alert(1)</script>", 60, 3)]
    text = page(*report(world.facts, Terms(), END))
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_an_empty_report_says_so():
    text = page(*report(syncing(1, every_s=0).facts, Terms(), END))
    assert "Nothing to find" in text
    assert "<svg" not in text
