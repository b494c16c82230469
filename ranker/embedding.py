"""Embeddings of hashed values: a row for each bucket met often enough, and what is unknown for all others.

Shapes: B examples, L values of an example, V buckets of all vocabularies, D embedding size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

UNKNOWN_ROW = 0


class HashedEmbedding(nn.Module):
    """vector(bucket) = unknown(vocabulary) + deviation(bucket), deviation 0 until a bucket was met `min_count` times.

    So a value that is new, rare or hidden is the unknown one of its vocabulary, which all of them train; decay draws
    rows that little speaks for back to it; and a row that is added changes no score by being there. Rows are kept for
    known buckets only: the table grows with what is met, not with the cardinality. Bucket 0 (missing) has a row from
    the start.
    """

    offsets: Tensor
    count: Tensor
    row_of: Tensor

    def __init__(self, cardinalities: Sequence[int], *, size: int, min_count: int, num_rows: int | None = None) -> None:
        super().__init__()
        self.min_count = min_count
        starts = torch.tensor([0, *(cardinality + 1 for cardinality in cardinalities)]).cumsum(0)
        self.register_buffer("offsets", starts[:-1], persistent=False)
        self.register_buffer("count", torch.zeros(int(starts[-1]), dtype=torch.int64))
        self.register_buffer("row_of", torch.full((int(starts[-1]),), UNKNOWN_ROW, dtype=torch.int64))
        self.row_of[self.offsets] = 1 + torch.arange(len(cardinalities))
        self.unknown = nn.Parameter(torch.randn(len(cardinalities), size) * 0.01)
        self.deviation = nn.Parameter(torch.zeros(num_rows or 1 + len(cardinalities), size))

    def values_met(self, buckets_BL: Tensor, *, vocabularies: slice) -> Tensor:
        """How often each bucket of all vocabularies occurs (V)."""
        flat = (buckets_BL + self.offsets[vocabularies]).flatten()
        return torch.bincount(flat, minlength=len(self.count))

    def meet(self, met_V: Tensor) -> None:
        """Count the values that training is about to use, and give those met often enough a row of their own."""
        self.count += met_V
        new = torch.nonzero((self.count >= self.min_count) & (self.row_of == UNKNOWN_ROW)).flatten()
        self.row_of[new] = len(self.deviation) + torch.arange(len(new))
        added = self.deviation.new_zeros(len(new), self.deviation.shape[1])
        self.deviation = nn.Parameter(torch.cat([self.deviation.detach(), added]))

    def buckets_of(self, vocabulary: int) -> slice:
        """Where the buckets of a vocabulary lie among those of all."""
        ends = [*self.offsets.tolist(), len(self.count)]
        return slice(ends[vocabulary], ends[vocabulary + 1])

    def counts(self) -> Tensor:
        """How often the value of each row was met (R); 0 for the unknown one's."""
        own = self.row_of != UNKNOWN_ROW
        counts_R = self.deviation.new_zeros(len(self.deviation))
        counts_R[self.row_of[own]] = self.count[own].to(counts_R.dtype)
        return counts_R

    def rows_below(self, count: int) -> Tensor:
        """The rows of values that were met fewer times than that."""
        return 1 + torch.nonzero(self.counts()[1:] < count).flatten()

    def rows(self, buckets_BL: Tensor, *, vocabularies: slice) -> Tensor:
        """The row of each value (B, L): of L vocabularies in turn, or of one that all L belong to."""
        return self.row_of[buckets_BL + self.offsets[vocabularies]]

    def forward(self, rows_BL: Tensor, *, vocabularies: slice) -> Tensor:
        """The vector of each value (B, L, D)."""
        return embedding(rows_BL, self.deviation, padding_idx=UNKNOWN_ROW) + self.unknown[vocabularies]

    def mean(self, buckets_BL: Tensor, *, vocabularies: slice) -> Tensor:
        """The mean vector of the values that are there (B, D); the missing value's where there is none."""
        there_BL = buckets_BL > 0
        there_BL[:, 0] |= ~there_BL.any(1)
        vectors_BLD = self(self.rows(buckets_BL, vocabularies=vocabularies), vocabularies=vocabularies)
        return (vectors_BLD * there_BL.unsqueeze(2)).sum(1) / there_BL.sum(1, keepdim=True)
