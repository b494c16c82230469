"""Every setting of a training run beside the model's sizes."""

from dataclasses import dataclass

STEPS_PER_EPOCH, MIN_BATCH, MAX_BATCH = 600, 128, 4096


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How to train. AdamW; the learning rate rises over a tenth of the steps and falls to zero on a cosine.

    Each epoch begins with the embeddings of the start for values that fewer than 1,000 examples have, and only the
    other weights go on: met a second time, a user's few rows are learnt by heart (the one-epoch phenomenon; Liu et al.
    2023, arXiv 2305.19531).
    `batch_size` is by default a power of two with which an epoch has about 600 steps.
    `embedding_decay` is the weight decay of the hashed embeddings, `decay` that of the other weights. The first falls
    with the square of a value's rows beyond 10,000: AdamW's steps shrink where gradients are noisy and its decay does
    not, and a segment of 50,000 sampled rows was drawn so near to the others that it came out 8 % off.
    `hidden_users` and `hidden_items` are the shares of ids that training hides as unknown, so that the model ranks well
    without them: by default as many as turn out to be unknown, see `unknown_shares`. `hidden_features` is the share of
    each feature's values that it hides as missing, so that a feature that fails to arrive costs what it knew, not more.
    `position_learning_rate` is higher: a position logit has few values, each with many rows.
    `random_weight` is what a row of random traffic counts in the loss, others 1: how far the model is of the candidates
    that chance shows, instead of those that a policy chose.
    One thread by default: batches this small gain little from a second, and on a busy machine two threads that
    wait for each other trained 24 times slower than one (measured).
    `bf16` multiplies in bfloat16, where the processor has it. On a `device` other than the CPU, rows that are in memory
    stay on it for all epochs, and those in files go there a file at a time.
    """

    epochs: int = 3
    batch_size: int | None = None
    learning_rate: float = 0.004
    embedding_learning_rate: float = 0.008
    position_learning_rate: float = 0.03
    decay: float = 0.05
    embedding_decay: float = 1.0
    hidden_users: float | None = None
    hidden_items: float | None = None
    hidden_features: float = 0.005
    random_weight: float = 1.0
    num_threads: int = 1
    bf16: bool = False
    device: str = "cpu"

    def __post_init__(self) -> None:
        if min(self.epochs, self.rows_in_batch(0), self.num_threads) < 1:
            raise ValueError(f"{self}: epochs, batch_size and num_threads must be at least 1")
        if self.random_weight <= 0:
            raise ValueError(f"random_weight is {self.random_weight}; it must lie above 0")
        rates = (self.learning_rate, self.embedding_learning_rate, self.position_learning_rate)
        if min(rates) <= 0 or min(self.decay, self.embedding_decay) < 0:
            raise ValueError(f"{self}: learning rates must lie above 0, decays at or above 0")
        for name in ("hidden_users", "hidden_items", "hidden_features"):
            share = getattr(self, name)
            if share is not None and not 0 <= share < 1:
                raise ValueError(f"{name} is {share}; it must lie in [0, 1)")

    def rows_in_batch(self, num_rows: int) -> int:
        """The batch size for so many rows.

        >>> [TrainingConfig().rows_in_batch(rows) for rows in (1_000, 70_000, 1_000_000, 100_000_000)]
        [128, 128, 1024, 4096]
        """
        if self.batch_size is not None:
            return self.batch_size
        return int(min(max(2 ** (num_rows // STEPS_PER_EPOCH).bit_length() // 2, MIN_BATCH), MAX_BATCH))
