"""FSDP (arXiv:2304.11277; fully_shard): a rank holds a part of each tensor, and all gather them layer by layer."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def split(model: Any, layers: str | None, device: "torch.device", size: int) -> Any:
    """Split the parameters over the ranks, in place; one layer of the list named `layers` is whole at a time."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (size,))
    for layer in model.get_submodule(layers) if layers else ():
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model.to(device)


def whole(tensor: Any) -> "torch.Tensor":
    """The tensor itself, or all of one that is split up, which all ranks ask for together."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def like(value: "torch.Tensor", tensor: Any) -> "torch.Tensor":
    """A whole value on the device of a tensor of its shape, and split up as that is."""
    value = value.to(tensor.device)
    if not hasattr(tensor, "full_tensor"):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value, tensor.device_mesh, tensor.placements)
