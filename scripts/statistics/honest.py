"""Are tl-report's statistics honest? They are asked of simulated runs of which the truth is known.

    python scripts/statistics/honest.py --comparisons 200

A run is a row of right and wrong answers. The logit of a right answer adds up what is common to a way of training, to
the pair of seeds (the labels that were drawn), to the run, to the example, and to the example under that way; each
comparison draws all of them anew. Equal ways are to be told apart in at most 5 % of the comparisons, and the interval
of the difference is to hold the true one, over all seeds and examples, in 95 %. Prints Markdown.
"""

import argparse
from dataclasses import dataclass

import numpy as np

from tl_run.report.statistics import interval, over_seeds_and_examples


@dataclass(frozen=True)
class World:
    """How much each part varies (standard deviation of the logit), and how much better the first way is."""

    name: str
    seeds: int
    examples: int
    run: float
    pair: float = 0.2
    example: float = 1.5
    example_and_way: float = 0.5
    better: float = 0.0

    @property
    def spread(self) -> float:
        """Of the logit, over everything."""
        return float(np.sqrt(self.run**2 + self.pair**2 + self.example**2 + self.example_and_way**2))

    @property
    def truth(self) -> float:
        """The difference of accuracy over all seeds and examples, by Gauss-Hermite quadrature."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(60)
        weights = weights / weights.sum()
        first, second = (weights @ _logistic(mean + self.spread * nodes) for mean in (0.8 + self.better, 0.8))
        return float(first - second)

    def draw(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
        """Right and wrong of both ways, bool (seeds, examples), and the first way's accuracy over all seeds on these
        examples."""
        pair = self.pair * random.standard_normal((self.seeds, 1))
        example = self.example * random.standard_normal(self.examples)
        ways = []
        for mean in (0.8 + self.better, 0.8):
            run = self.run * random.standard_normal((self.seeds, 1))
            own = self.example_and_way * random.standard_normal(self.examples)
            chance = _logistic(mean + pair + run + example + own)
            ways.append((random.random(chance.shape) < chance, mean + example + own))
        (first, logits), (second, _) = ways
        nodes, weights = np.polynomial.hermite_e.hermegauss(30)
        over_seeds = _logistic(logits + np.hypot(self.run, self.pair) * nodes[:, None])
        return first, second, float(weights @ over_seeds.mean(1) / weights.sum())


WORLDS = [
    World("equal, seeds differ little", 6, 400, 0.05),
    World("equal, seeds differ much", 6, 400, 0.5),
    World("equal, few test examples", 6, 80, 0.2),
    World("equal, ten seeds", 10, 400, 0.3),
    World("equal, three seeds", 3, 400, 0.3),
    World("first better", 6, 400, 0.2, better=0.5),
]


def measure(world: World, comparisons: int) -> tuple[float, float, float, float]:
    """Shares: of claims, of intervals of the difference that hold the truth, of Student's intervals of a side's mean
    that hold its mean over all seeds on the same examples; and the mean width of the interval of the difference."""
    random = np.random.default_rng([world.seeds, world.examples, round(1000 * world.run)])
    claims, held, means_held, width = 0, 0, 0, 0.0
    for _ in range(comparisons):
        first, second, mean = world.draw(random)
        found = over_seeds_and_examples(_accuracy(first), _accuracy(second), world.examples)
        assert found.low is not None
        assert found.high is not None
        claims += found.claimed
        held += found.low <= world.truth <= found.high
        width += found.high - found.low
        scores = first.mean(1).tolist()
        half = interval(scores)
        assert half is not None
        means_held += abs(sum(scores) / len(scores) - mean) <= half
    return claims / comparisons, held / comparisons, means_held / comparisons, width / comparisons


def _accuracy(right: np.ndarray):
    return lambda weights: weights @ right.T / weights.sum(1, keepdims=True)


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=200, help="of each kind of world")
    options = parser.parse_args()
    columns = (
        "seeds",
        "test examples",
        "true difference",
        "claimed",
        "held the truth",
        "mean width",
        "± of a mean held",
    )
    print(f"| world | {' | '.join(columns)} |")
    print(f"| --- |{' ---: |' * len(columns)}")
    for world in WORLDS:
        claimed, held, means, width = measure(world, options.comparisons)
        facts = f"{world.name} | {world.seeds} | {world.examples} | {world.truth:.3f}"
        print(f"| {facts} | {claimed:.1%} | {held:.1%} | {width:.3f} | {means:.1%} |")


if __name__ == "__main__":
    main()
