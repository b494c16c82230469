"""Where long steps say how far they are: one logger, which the Dagster UI and the command line both show."""

import logging

logger = logging.getLogger("stillhouse")


def progress(message: str) -> None:
    """One line for whoever waits: a person at a terminal, or the run's page in the UI."""
    logger.info(message)
