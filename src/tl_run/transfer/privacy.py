"""What a federated run gives away of a client: epsilon, by the accountant of opacus."""

from importlib import import_module


def epsilon(noise: float, fraction: float, rounds: int, delta: float) -> float:
    """Epsilon of so many rounds, each with a Poisson sample of clients, by Renyi DP (arXiv:1908.10530).

    `noise` is the standard deviation over the largest norm of a client's update. Neighbours differ by one client.
    """
    if not rounds:
        return 0.0
    accountant = import_module("opacus.accountants").RDPAccountant()
    accountant.history = [(noise, fraction, rounds)]
    return float(accountant.get_epsilon(delta=delta))
