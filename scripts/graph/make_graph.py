"""The embedded graph: two halves of an invented planet, the source with many triples and the target with few.

    python scripts/graph/make_graph.py --output src/tl_run/embedded/triples

A city lies in a province, a province in a country, a country on a continent, and speaks a language. What follows from
that of a city (its country, continent and language) is a relation of its own, and that is what is to be found: in the
source's train file stand four fifths of it, in the target's a tenth. The halves share relations and languages, and
nothing else: the target alone has coins, the source alone has rulers.
"""

import argparse
import csv
import random
from collections.abc import Iterator
from pathlib import Path

Triple = tuple[str, str, str]
STARTS = [
    "b",
    "br",
    "d",
    "dr",
    "f",
    "g",
    "gl",
    "h",
    "k",
    "kr",
    "l",
    "m",
    "n",
    "p",
    "pl",
    "r",
    "s",
    "st",
    "t",
    "tr",
    "v",
    "z",
]
MIDDLES = ["a", "e", "i", "o", "u", "ai", "or", "en", "il", "ar"]
ENDS = ["d", "k", "l", "m", "n", "r", "s", "th", "v", "x"]
LANGUAGES = ["Amaric", "Belish", "Corvan", "Dunnic"]


def names(generator: random.Random) -> Iterator[str]:
    """Invented words, none of them twice."""
    given: set[str] = set()
    while True:
        syllables = [generator.choice(STARTS) + generator.choice(MIDDLES) for _ in range(2)]
        word = ("".join(syllables) + generator.choice(ENDS)).capitalize()
        if word not in given:
            given.add(word)
            yield word


def half(
    word: Iterator[str], generator: random.Random, *, countries: int, source: bool
) -> tuple[list[Triple], list[Triple]]:
    """What is told of a half of the planet, and what follows from it."""
    told: list[Triple] = []
    follows: list[Triple] = []
    continents = [f"{next(word)} (continent)" for _ in range(2)]
    coins = [f"{next(word)} (coin)" for _ in range(3)]
    for number in range(countries):
        country, continent = f"{next(word)} (country)", continents[number % 2]
        language = LANGUAGES[generator.randrange(len(LANGUAGES))]
        told += [(country, "on_continent", continent), (country, "speaks", language)]
        told += [(f"{next(word)} (ruler)", "rules", country)] if source else [(country, "pays_with", coins[number % 3])]
        for _ in range(3):
            province = f"{next(word)} (province)"
            told.append((province, "in_country", country))
            for place in range(4):
                city = next(word)
                told.append((city, "in_province", province))
                told += [(city, "seat_of", province)] if not place else []
                follows += [
                    (city, "city_in_country", country),
                    (city, "city_on_continent", continent),
                    (city, "city_speaks", language),
                ]
    return told, follows


def main() -> None:
    """Write both halves as CSV files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    output: Path = parser.parse_args().output
    generator = random.Random(0)
    word = names(generator)
    for name, countries, known in (("source", 10, 0.8), ("target", 6, 0.1)):
        told, follows = half(word, generator, countries=countries, source=name == "source")
        generator.shuffle(follows)
        begin = round(known * len(follows))
        middle = begin + (len(follows) - begin) // 3
        train = [*told, *follows[:begin]]
        generator.shuffle(train)
        for split, rows in (("train", train), ("validation", follows[begin:middle]), ("test", follows[middle:])):
            path = output / name / f"{split}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerows([("head", "relation", "tail"), *rows])


if __name__ == "__main__":
    main()
