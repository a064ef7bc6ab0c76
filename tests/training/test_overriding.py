"""Single settings by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from microlith.errors import UsageError
from microlith.training.overriding import check_bounds, converted, overridden


@dataclass(frozen=True, kw_only=True)
class Small:
    count: int = 1
    share: float = 0.5
    name: str = "a"
    loud: bool = False


def test_text_becomes_the_fields_type() -> None:
    found = overridden(Small(), {"count": "3", "share": "0.25", "name": "b", "loud": "true"}, recipe="small")
    assert found == Small(count=3, share=0.25, name="b", loud=True)
    assert overridden(found, {}, recipe="small") == found


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("cuont", 3, "the small recipe has no setting 'cuont'"),
        ("count", "three", "count='three' is not a int"),
        ("count", "1.5", "count='1.5' is not a int"),
        ("share", "", "share='' is not a float"),
        ("share", None, "share=None is not a float"),
        ("loud", "maybe", "loud='maybe' is not a bool"),
        ("count", 1.5, "count=1.5 is not a int"),
        ("loud", 7, "loud=7 is not a bool"),
        ("count", True, "count=True is not a int"),
        ("name", ["a"], "is not a str"),
    ],
)
def test_what_cannot_be_is_named(name: str, value: Any, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        overridden(Small(), {name: value}, recipe="small")
    assert told in str(caught.value)
    assert caught.value.problems[0].mend


def test_a_whole_number_is_a_number() -> None:
    assert converted("share", 1, float) == 1.0
    assert converted("count", 3.0, int) == 3


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_values_outside_their_bounds_are_named(value: float) -> None:
    with pytest.raises(UsageError, match="share="):
        check_bounds(Small(share=value), {"share": (0.0, 1.0)})


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_bounds_are_included(value: float) -> None:
    check_bounds(Small(share=value), {"share": (0.0, 1.0)})
