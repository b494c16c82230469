"""The processes that train one model together: those of torch.distributed where it is set up, this one otherwise."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """This process is `rank` of `size`."""

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> "Ranks":
        """As `torch.distributed.init_process_group` made them; a single process is rank 0 of 1."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    def total(self, part: Tensor) -> Tensor:
        """The sum of all ranks' parts, on each of them."""
        if self.size == 1:
            return part
        total = part.clone()
        dist.all_reduce(total)
        return total

    def of_first(self, find: Callable[[], Any]) -> Any:
        """What rank 0 finds, on each of them."""
        return self.each(find() if self.rank == 0 else None)[0]

    def each(self, own: Any) -> list[Any]:
        """What every rank has, by rank, on each of them."""
        if self.size == 1:
            return [own]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, own)
        return found
