"""A teacher's logits that were written down: found again by example id, chunk by chunk.

Shapes: S examples that were scored, B examples of a chunk, H heads.
"""

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ranker.examples import Examples
from ranker.rows import row_keys


class LoggedLogits:
    """Bare logits of a chunk of examples (B, H), from those of all that were scored: a teacher for `fit`."""

    def __init__(self, event_ids: pa.Array | pa.ChunkedArray, logits_SH: Tensor) -> None:
        keys_S = row_keys(event_ids)
        order = np.argsort(keys_S)
        self._keys_S, self._logits_SH = keys_S[order], logits_SH[torch.from_numpy(order)].float()

    def __call__(self, examples: Examples) -> Tensor:
        """Raises ValueError if an example was not scored."""
        keys_B = row_keys(examples.event_ids)
        place_B = np.searchsorted(self._keys_S, keys_B).clip(max=max(len(self._keys_S) - 1, 0))
        missing = len(keys_B) if not len(self._keys_S) else int((self._keys_S[place_B] != keys_B).sum())
        if missing:
            raise ValueError(f"{missing} of {len(keys_B)} examples have no logits of the teacher")
        return self._logits_SH[torch.from_numpy(place_B)]
