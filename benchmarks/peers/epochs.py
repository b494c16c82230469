"""One way to train every peer that is a torch model: Adam, and the epoch that is best on the middle part."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from rows import Rows, choose, log_loss
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy

BATCH_SIZE, MAX_EPOCHS = 512, 8
EMBEDDING_SIZE, HIDDEN, CROSS_LAYERS, CROSS_RANK = 8, (64, 32), 2, 32
SETTINGS = {
    f"learning rate {rate}, decay {decay}{'' if ids else ', no ids'}": {"rate": rate, "decay": decay, "ids": ids}
    for rate in (0.001, 0.003)
    for decay in (1e-5, 1e-3)
    for ids in (True, False)
}


@runtime_checkable
class Regularised(Protocol):
    """A model with a loss of its own beside that of its predictions."""

    def get_regularization_loss(self) -> Tensor: ...


def choose_model(peer: str, build: Callable[[Rows, list[str]], tuple[nn.Module, dict[str, Tensor]]]) -> None:
    """build(rows, names of the categorical columns and sequences) gives a model from inputs to probabilities, and the
    inputs of all rows by name."""

    def train(rows: Rows, setting: dict[str, Any], seed: int) -> tuple[np.ndarray, np.ndarray]:
        torch.manual_seed(seed)
        torch.set_num_threads(2)
        hidden = set() if setting["ids"] else set(rows.ids)
        names = [name for name in rows.categorical if name not in hidden]
        names += [name for name, other in rows.sequences.items() if other not in hidden]
        model, inputs = build(rows, names)
        return best_epoch(model, inputs, rows, rate=setting["rate"], decay=setting["decay"], seed=seed)

    choose(peer, SETTINGS, train)


def best_epoch(
    model: nn.Module, inputs: dict[str, Tensor], rows: Rows, *, rate: float, decay: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    labels = torch.from_numpy(rows.labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, weight_decay=decay)
    best: tuple[float, np.ndarray, np.ndarray] | None = None
    for epoch in range(MAX_EPOCHS):
        model.train()
        order = torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(rows.middle))
        for batch in order.split(BATCH_SIZE):
            loss = binary_cross_entropy(predict(model, inputs, batch), labels[batch])
            if isinstance(model, Regularised):
                loss = loss + model.get_regularization_loss()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            later = [predict(model, inputs, batch) for batch in torch.arange(rows.middle, len(labels)).split(8192)]
        found = torch.cat(later).numpy()
        middle, last = found[: rows.last - rows.middle], found[rows.last - rows.middle :]
        lost = log_loss(rows.labels[rows.middle : rows.last], middle)
        if best is None or lost < best[0]:
            best = (lost, middle, last)
    assert best is not None
    return best[1], best[2]


def predict(model: nn.Module, inputs: dict[str, Tensor], batch: Tensor) -> Tensor:
    return model({name: values[batch] for name, values in inputs.items()}).reshape(-1).clamp(1e-7, 1 - 1e-7)


def coded(rows: Rows, names: list[str]) -> dict[str, Tensor]:
    """The codes of the named columns and sequences."""
    return {name: torch.from_numpy(rows.codes[name] if name in rows.codes else rows.padded[name]) for name in names}


def num_codes(rows: Rows, name: str) -> int:
    """How many codes a column or sequence knows, padding and unknown among them."""
    return len(rows.words[rows.sequences.get(name) or name]) + 2
