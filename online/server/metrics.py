"""What Prometheus reads of a ranking server. No name of a person or an item is in any label."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

LATENCIES_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.25, 1.0)
SCORES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class Metrics:
    """The figures of one server; `registry` renders them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "stillhouse_rank_requests",
            "Requests by status, release and traffic; release and traffic are empty where nothing was ranked.",
            ("status", "release", "traffic"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "stillhouse_rank_seconds",
            "From the first byte of a request to its answer.",
            ("release",),
            buckets=LATENCIES_S,
            registry=self.registry,
        )
        self.candidates = Counter(
            "stillhouse_rank_candidates", "Candidates that were ranked.", ("release",), registry=self.registry
        )
        self.scores = Histogram(
            "stillhouse_rank_scores",
            "What the first of each answer was worth.",
            ("release", "traffic"),
            buckets=SCORES,
            registry=self.registry,
        )
        self.failures = Counter(
            "stillhouse_rank_failures",
            "Requests on which the release of the user's arm failed; production answered those of the others.",
            ("release",),
            registry=self.registry,
        )
        self.waiting = Gauge("stillhouse_rank_waiting_rows", "Candidates in the queue.", registry=self.registry)
        self.reloads = Counter(
            "stillhouse_rank_reloads",
            "Changes of pointer or snapshot, by outcome.",
            ("outcome",),
            registry=self.registry,
        )
        self.pointer_version = Gauge(
            "stillhouse_rank_pointer_version", "The version of the pointer that is served.", registry=self.registry
        )
        self.features_as_of = Gauge(
            "stillhouse_rank_features_as_of_seconds", "Of when the features are, as Unix time.", registry=self.registry
        )
