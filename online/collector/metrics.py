"""What Prometheus reads of a collector. No name of a person or an item is in any label."""

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

LATENCIES_S = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class Metrics:
    """The figures of one collector; `registry` renders them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.events = Counter(
            "stillhouse_collector_events",
            "Events by what became of them: accepted, duplicate, quarantined or refused.",
            ("outcome",),
            registry=self.registry,
        )
        self.dropped = Counter(
            "stillhouse_collector_dropped", "Accepted impressions that their draw dropped.", registry=self.registry
        )
        self.landed_bytes = Counter(
            "stillhouse_collector_landed_bytes", "Bytes of the rows that were kept.", registry=self.registry
        )
        self.saved_bytes = Counter(
            "stillhouse_collector_saved_bytes",
            "Bytes that the dropped impressions would have taken, at the mean of the kept exposures.",
            registry=self.registry,
        )
        self.batches = Counter(
            "stillhouse_collector_batches", "Batches by the status of the answer.", ("status",), registry=self.registry
        )
        self.seconds = Histogram(
            "stillhouse_collector_seconds",
            "From the first byte of a batch to its answer, the sync included.",
            buckets=LATENCIES_S,
            registry=self.registry,
        )
