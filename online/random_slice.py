"""The random slice: which requests chance orders. Server and collector follow from the request's name alone."""

from decisions.draw import draw

RANDOM_SALT = "random-traffic-1"


def is_random(request_id: str, share: float) -> bool:
    return draw(request_id, salt=RANDOM_SALT) < share
