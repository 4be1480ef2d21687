"""The cases by name, and the sizes that `bench all` takes them in."""

from __future__ import annotations

from collections.abc import Callable

from . import backlog, capture, conversion, feel, growth, swaps
from .contenders import CONTENDERS
from .place import Place
from .result import Measured, joined
from .tables import COUNTS, SHAPES

Measure = Callable[[Place, Callable[[str], None]], Measured]
EVERYBODY = tuple(CONTENDERS)
CHUNK_COUNTS = (10, 1_000, 4_000)


def usual(rounds: int) -> dict[str, Measure]:
    """Sizes that come to about an hour on two cores with two rounds on one release."""
    grid = conversion.Sizes((1_000_000,), SHAPES, COUNTS, rounds, EVERYBODY)
    large = conversion.Sizes((5_000_000,), ("narrow",), (3,), rounds, EVERYBODY)
    tables = (
        (200_000, CHUNK_COUNTS[0]),
        (2_000_000, CHUNK_COUNTS[0]),
        *((200_000, chunks) for chunks in CHUNK_COUNTS[1:]),
    )
    return {
        "conversion": lambda place, say: joined(
            [conversion.measure(place, sizes, say) for sizes in (large, grid)]
        ),
        "feel": lambda place, say: feel.measure(
            place, feel.Sizes(5_000_000, 500, 20.0, 500_000, rounds), say
        ),
        "capture": lambda place, say: capture.measure(
            place, capture.Sizes(1_000_000, 1_000_000, 2_000, 20, rounds), say
        ),
        "apply": lambda place, say: backlog.measure(
            place, backlog.Sizes(1_000_000, rounds, (500, 2_000, 5_000)), say
        ),
        "swap": lambda place, say: swaps.measure(place, swaps.Sizes(tables, 10, 4, 500, tables[:1] + tables[-2:-1]), say),
        "growth": lambda place, say: growth.measure(
            place, growth.Sizes((1_000_000, 5_000_000, 10_000_000, 20_000_000), rounds), say
        ),
    }


def quick(rounds: int) -> dict[str, Measure]:
    """Sizes that only show that everything runs."""
    small = conversion.Sizes((20_000,), ("narrow",), (3,), rounds, EVERYBODY)
    return {
        "conversion": lambda place, say: conversion.measure(place, small, say),
        "feel": lambda place, say: feel.measure(place, feel.Sizes(20_000, 400, 2.0, 4_000, rounds, 0.5), say),
        "capture": lambda place, say: capture.measure(
            place, capture.Sizes(20_000, 20_000, 100, 2, rounds), say
        ),
        "apply": lambda place, say: backlog.measure(place, backlog.Sizes(20_000, rounds, (100,)), say),
        "swap": lambda place, say: swaps.measure(place, swaps.Sizes(((5_000, 10),), 2, 2, None, ((5_000, 10),)), say),
        "growth": lambda place, say: growth.measure(place, growth.Sizes((20_000, 40_000), rounds), say),
    }
