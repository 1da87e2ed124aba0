"""The errors of the project; the message of a refusal names the key, the value and the allowed values."""

import difflib
from collections.abc import Collection, Iterable


class ConfigError(ValueError):
    """A refused configuration. The message names the key and the allowed values."""


class DataError(RuntimeError):
    """Missing, damaged or unexpected data. The message names the file and says what to do."""


class Locked(RuntimeError):
    """Another living process holds this directory."""


class NoSpace(OSError):
    """A file was not written because the device, the quota or a file size limit is exhausted."""


class NonFiniteLoss(ArithmeticError):
    """The loss, a gradient or a weight is not a finite number."""


def require(ok: bool, key: str, value: object, allowed: str) -> None:
    """Raise a ConfigError that names key, value and the allowed values, unless `ok`."""
    if not ok:
        raise ConfigError(f"{key}={value}: allowed is {allowed}")


def require_one_of(key: str, value: str, allowed: Collection[str]) -> None:
    """`require` that a value is one of `allowed`, with the likely one."""
    require(value in allowed, key, value, f"one of {' '.join(allowed)}{did_you_mean(value, allowed)}")


def causes(error: BaseException | None) -> list[BaseException]:
    """An error and those behind it: libraries wrap errors of the system and KeyboardInterrupt in their own."""
    found: list[BaseException] = []  # a re-raised error may stand in its own chain
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """A question to append to a refusal; empty if no allowed word is close."""
    near = difflib.get_close_matches(word, sorted(allowed), n=1)
    return f" (did you mean {near[0]}?)" if near else ""
