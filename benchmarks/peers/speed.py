"""CPU-seconds of a peer's training steps at given sizes; runs in the peer's environment.

Arguments: folder (see rows.py), peer's module, JSON of sizes. Prints CPU-seconds of each round of steps as JSON.
"""

import importlib
import json
import sys
import time
from pathlib import Path

import epochs
import numpy as np
import torch
from rows import Rows
from torch.nn.functional import binary_cross_entropy


def main() -> None:
    folder, module, sizes = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    epochs.EMBEDDING_SIZE, epochs.HIDDEN = sizes["embedding"], tuple(sizes["hidden"])
    epochs.CROSS_LAYERS, epochs.CROSS_RANK = sizes["cross_layers"], sizes["cross_rank"]
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = Rows.read(folder)
    model, inputs = importlib.import_module(module).build(rows, [*rows.categorical, *rows.sequences])
    labels = torch.from_numpy(rows.labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    model.train()

    def step(batch: torch.Tensor) -> None:
        loss = binary_cross_entropy(epochs.predict(model, inputs, batch), labels[batch])
        if isinstance(model, epochs.Regularised):
            loss = loss + model.get_regularization_loss()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    rounds = []
    for number in range(1 + sizes["rounds"]):
        order = torch.from_numpy(np.random.default_rng(number).permutation(len(labels)))
        started = time.process_time()
        for batch in order.split(sizes["batch"])[: sizes["steps"]]:
            step(batch)
        rounds.append(time.process_time() - started)
    print(json.dumps(rounds[1:]))


if __name__ == "__main__":
    main()
