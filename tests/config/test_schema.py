"""What a type hint allows, and in which words the rest is refused."""

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from tl_run.config.schema import Range, build
from tl_run.errors import BadOption


@dataclass(frozen=True)
class Inner:
    patience: Annotated[int, Range(at_least=1)] | None


@dataclass(frozen=True)
class Cat:
    name: Literal["cat", "lion"]
    lives: int


@dataclass(frozen=True)
class Dog:
    name: Literal["dog"]
    tricks: list[str]


@dataclass(frozen=True)
class Day:
    what: int | float | str
    hours: Annotated[float, Range(above=0)] | None


@dataclass(frozen=True)
class Weights:
    each: Literal["none"] | dict[str, Annotated[float, Range(above=0)]]


@dataclass(frozen=True)
class Everything:
    whole: int
    number: float
    text: str
    flag: bool
    maybe: str | None
    share: Annotated[float, Range(above=0, below=1)]
    rate: Annotated[float, Range(at_least=0, at_most=1)]
    size: Literal["auto"] | Annotated[int, Range(at_least=1)]
    layers: Annotated[int, Range(at_least=1)] | Annotated[float, Range(above=0, below=1)]
    pair: list[float]
    inner: Inner
    pet: Cat | Dog
    days: list[Day]


GOOD = {
    "whole": 3,
    "number": 0.5,
    "text": "word",
    "flag": True,
    "maybe": None,
    "share": 0.1,
    "rate": 1.0,
    "size": "auto",
    "layers": 0.5,
    "pair": [0.9, 0.99],
    "inner": {"patience": None},
    "pet": {"name": "cat", "lives": 9},
    "days": [],
}


def problem(**changes):
    with pytest.raises(BadOption) as failure:
        build(Everything, GOOD | changes)
    return str(failure.value)


def test_what_is_right_is_made_as_it_stands():
    made = build(Everything, GOOD)
    assert made == Everything(
        3, 0.5, "word", True, None, 0.1, 1.0, "auto", 0.5, [0.9, 0.99], Inner(None), Cat("cat", 9), []
    )


@pytest.mark.parametrize(
    ("changes", "name", "made"),
    [
        ({"number": 2}, "number", 2.0),
        ({"pair": [1, 0.5]}, "pair", [1.0, 0.5]),
        ({"text": 5}, "text", "5"),  # a column may be called 5
        ({"maybe": 2.5}, "maybe", "2.5"),
        ({"size": 8}, "size", 8),
        ({"layers": 4}, "layers", 4),
        ({"inner": {"patience": 2}}, "inner", Inner(2)),
        ({"pet": {"name": "dog", "tricks": []}}, "pet", Dog("dog", [])),
        ({"days": [{"what": "rest", "hours": 8}]}, "days", [Day("rest", 8.0)]),
        ({"days": [{"what": 2}, {"what": 0.5, "hours": None}]}, "days", [Day(2, None), Day(0.5, None)]),
        ({"pet": {"name": "lion", "lives": 1}}, "pet", Cat("lion", 1)),
    ],
)
def test_what_is_meant_is_understood(changes, name, made):
    value = getattr(build(Everything, GOOD | changes), name)
    assert value == made
    assert type(value) is type(made)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"whole": 0.5}, "whole: '0.5' is not a whole number"),
        ({"whole": "x"}, "whole: 'x' is not a whole number"),
        ({"whole": True}, "whole: 'True' is not a whole number"),
        ({"whole": None}, "whole: null is not a whole number"),
        ({"number": "1e"}, "number: '1e' is not a number"),
        ({"number": False}, "number: 'False' is not a number"),
        ({"number": float("nan")}, "number: nan is not a finite number"),
        ({"share": float("nan")}, "share: nan is not a finite number"),
        ({"rate": float("inf")}, "rate: inf is not a finite number"),
        ({"text": None}, "text: null is not text"),
        ({"text": ["a"]}, "text: '['a']' is not text"),
        ({"text": True}, "text: 'True' is not text"),
        ({"flag": 1}, "flag: '1' is not true or false"),
        ({"flag": "yes"}, "flag: 'yes' is not true or false"),
        ({"maybe": []}, "maybe: '[]' is not text"),
        ({"share": 0}, "share: 0 must be above 0"),
        ({"share": 1}, "share: 1 must be below 1"),
        ({"rate": -0.1}, "rate: -0.1 must be at least 0"),
        ({"rate": 1.1}, "rate: 1.1 must be at most 1"),
        ({"size": 0}, "size: 0 must be at least 1"),
        ({"size": "aut"}, "size: 'aut' is not one of auto. Did you mean 'auto'? / size: 'aut' is not a whole number"),
        ({"layers": 0}, "layers: 0 must be at least 1 / layers: 0 must be above 0"),
        ({"layers": 1.5}, "layers: '1.5' is not a whole number / layers: 1.5 must be below 1"),
        ({"pair": 0.9}, "pair: '0.9' is not a list"),
        ({"pair": [0.9, "x"]}, "pair[1]: 'x' is not a number"),
        ({"inner": 3}, "inner: expected options (patience), found 3: type inner.patience=3"),
        ({"inner": {"patience": 0}}, "inner.patience: 0 must be at least 1"),
        ({"inner": {}}, "inner.patience is missing"),
        ({"inner": {"patience": None, "patence": 1}}, "no option 'inner.patence'. Did you mean 'inner.patience'?"),
        ({"pet": {"name": "catt", "lives": 1}}, "pet.name: 'catt' is not one of cat, lion. Did you mean 'cat'?"),
        ({"pet": {"name": "dog", "lives": 9, "tricks": []}}, "there is no option 'pet.lives' under pet=dog"),
        ({"pet": "cat"}, "pet: "),
        ({"days": {}}, "days: '{}' is not a list"),
        ({"days": ["rest"]}, "days[0]: expected options (what, hours), found 'rest'"),
        ({"days": [{"what": "rest"}, {"what": "work", "hours": 0}]}, "days[1].hours: 0 must be above 0"),
        ({"days": [{"hours": 1}]}, "days[0].what is missing: each entry of the list needs it"),
        ({"days": [{"what": 1, "hour": 1}]}, "no option 'days[0].hour'. Did you mean 'days[0].hours'?"),
        ({"whole": "???"}, "whole is required: type whole=..."),
        ({"inner": {"patience": "???"}}, "inner.patience is required: type inner.patience=..."),
    ],
)
def test_the_rest_is_refused_in_words_that_help(changes, words):
    found = problem(**changes)
    assert words in found
    assert len(found.splitlines()) == 1


def test_a_name_known_from_elsewhere_is_translated():
    assert "Did you mean 'training.batch_size'?" in problem(per_device_train_batch_size=8)


def test_three_problems_in_words_and_the_rest_as_a_count():
    lines = problem(whole="x", number="x", flag="x", share=2, rate=2).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["whole", "number", "flag", "... and 2 more"]


def test_a_map_has_names_and_checked_values():
    assert build(Weights, {"each": {"a": 2, 1: 0.5}}) == Weights({"a": 2.0, "1": 0.5})
    assert build(Weights, {"each": "none"}) == Weights("none")
    for value, words in ((["a"], "each: '['a']' is not a map"), ({"a": 0}, "each.a: 0 must be above 0")):
        with pytest.raises(BadOption) as failure:
            build(Weights, {"each": value})
        assert words in str(failure.value)
