"""Parameter groups (head, layers by depth, no decay on biases and norms), and the optimizers."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from tl_run.model.anatomy import Anatomy
from tl_run.schedules import SCHEDULES


def adamw(groups: list[dict[str, Any]], options: Any) -> torch.optim.Optimizer:
    """AdamW (arXiv:1711.05101)."""
    return torch.optim.AdamW(groups, betas=tuple(options.betas), eps=options.eps, fused=_fused(groups))


def adam(groups: list[dict[str, Any]], options: Any) -> torch.optim.Optimizer:
    """Adam (arXiv:1412.6980)."""
    return torch.optim.Adam(groups, betas=tuple(options.betas), eps=options.eps, fused=_fused(groups))


def sgd(groups: list[dict[str, Any]], options: Any) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum."""
    nesterov = options.nesterov and options.momentum > 0
    made = torch.optim.SGD(groups, momentum=options.momentum, nesterov=nesterov, fused=_fused(groups))
    if (
        options.momentum
    ):  # torch 2.13's fused step fails where some of a group have a buffer, and what thaws has none yet
        for parameter in (p for group in groups for p in group["params"]):
            made.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter, requires_grad=False)
    return made


OPTIMIZERS: Mapping[str, Callable[[list[dict[str, Any]], Any], torch.optim.Optimizer]] = {
    "adamw": adamw,
    "adam": adam,
    "sgd": sgd,
}


def _fused(groups: list[dict[str, Any]]) -> bool:
    return all(p.device.type in ("cpu", "cuda") for group in groups for p in group["params"])


def make(
    model: nn.Module, anatomy: Anatomy, ever: frozenset[str], options: Any, rates: Mapping[str, float]
) -> torch.optim.Optimizer:
    """The optimizer over everything that learns at any time; groups carry `name` and `peak_lr`."""
    return OPTIMIZERS[options.name](parameter_groups(model, anatomy, ever, options, rates), options)


def parameter_groups(
    model: nn.Module, anatomy: Anatomy, ever: frozenset[str], options: Any, rates: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Groups named head, trunk (or top, layer.N, embeddings with layer_decay), each with and without weight decay.

    `rates` names modules that have a learning rate of their own, and are a group of their own.
    """
    part = _parts(anatomy, options)
    for module, lr in rates.items():
        part |= {name: (module, lr) for name in part if name.startswith(f"{module}.")}
    members: dict[tuple[str, float, float], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if name in ever:
            decay = 0.0 if name.endswith("bias") or name in anatomy.norms else options.weight_decay
            members[(*part[name], decay)].append(parameter)
    return [
        {"params": parameters, "name": name, "peak_lr": lr, "lr": lr, "weight_decay": decay}
        for (name, lr, decay), parameters in members.items()
    ]


def _parts(anatomy: Anatomy, options: Any) -> dict[str, tuple[str, float]]:
    """For each parameter the part of the model it is shown under, and its peak learning rate."""
    head, depth = options.head_lr or options.lr, len(anatomy.layers)
    parts: dict[str, tuple[str, float]] = {}
    parts.update((name, ("head", head)) for name in anatomy.head)
    if options.layer_decay == 1.0:
        parts.update((name, ("trunk", options.lr)) for name in anatomy.trunk)
        return parts
    parts.update((name, ("top", options.lr)) for name in anatomy.top)
    for number, layer in enumerate(anatomy.layers):
        lr = options.lr * options.layer_decay ** (depth - 1 - number)
        parts.update((name, (f"layer.{number}", lr)) for name in layer)
    parts.update((name, ("embeddings", options.lr * options.layer_decay**depth)) for name in anatomy.embeddings)
    return parts


def schedule(options: Any, steps: int) -> Callable[[int], float]:
    """The factor on the peak rate at step 0, 1, ... of `steps`."""
    warmup = int(options.warmup) if options.warmup >= 1 else round(options.warmup * steps)
    return lambda step: SCHEDULES[options.schedule](step, steps, warmup)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> dict[str, float]:
    """Set each group's rate to its peak times `factor`; returns the rate of each part of the model."""
    rates = {}
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor
        rates[group["name"]] = group["lr"]
    return rates
