"""What a person asks of the smaller model: a number of layers, a latency, or a loss of accuracy at most."""

from dataclasses import dataclass

from paperlib.common.errors import UserError

MAX_DROP = 1.0  # points of validation accuracy, when nothing is asked


@dataclass(frozen=True)
class Wish:
    """One of: layers to keep, milliseconds to classify one text, points of accuracy that may be lost."""

    keep: int | None = None
    latency_ms: float | None = None
    max_drop: float | None = None

    def __str__(self) -> str:
        if self.keep is not None:
            return f"keep {self.keep} layer{'s' * (self.keep != 1)}"
        if self.latency_ms is not None:
            return f"at most {self.latency_ms:g} ms for one text on one thread, in its fastest form"
        return f"at most {self.max_drop:g} point{'s' * (self.max_drop != 1)} of validation accuracy lost"


def wish_of(keep: object = None, latency_ms: object = None, max_drop: object = None) -> Wish:
    """Return the wish; numbers may come as text. Raises UserError when there are two, or one is no such number."""
    given = {"KEEP": keep, "LATENCY_MS": latency_ms, "MAX_DROP": max_drop}
    named = [name for name, value in given.items() if value not in (None, "")]
    if len(named) > 1:
        raise UserError(f"{named[0]} and {named[1]} are both given: ask for one")
    if not named:
        return Wish(max_drop=MAX_DROP)
    if named == ["KEEP"]:
        return Wish(keep=_whole(keep))
    if named == ["LATENCY_MS"]:
        return Wish(latency_ms=_number("LATENCY_MS", latency_ms, 0.0, "milliseconds, more than 0"))
    return Wish(max_drop=_number("MAX_DROP", max_drop, -1e-12, "points of accuracy, from 0"))


def check_keep(wish: Wish, layers: int) -> None:
    """Raise UserError when more layers are to be kept than there are, or none."""
    if wish.keep is not None and not 1 <= wish.keep <= layers:
        raise UserError(f"KEEP: must be a whole number from 1 to {layers}, the layers of the model, not {wish.keep}")


def _whole(value: object) -> int:
    try:
        if isinstance(value, bool) or float(value) != int(float(value)):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"KEEP: must be a whole number of layers, not {str(value)[:40]!r}") from None
    return int(float(value))


def _number(name: str, value: object, above: float, what: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not above < number < float("inf"):
        raise UserError(f"{name}: must be {what}, not {str(value)[:40]!r}")
    return number
