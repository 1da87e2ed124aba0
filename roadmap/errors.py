"""The errors of the project; the message of a refusal names the key, the value and the allowed values."""

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager

Report = Callable[[str], object]
"""What takes a line for people, such as `print`."""


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
        raise ConfigError(f"{key}={one_line(value)}: allowed is {allowed}")


def require_one_of(key: str, value: str, allowed: Collection[str]) -> None:
    """`require` that a value is one of `allowed`, with the likely one."""
    require(value in allowed, key, value, f"one of {' '.join(allowed)}{did_you_mean(value, allowed)}")


PLAIN = "letters, digits and _ . , = + -"
PLAIN_NAME = re.compile(r"[A-Za-z0-9][\w.,=+\[\]-]{0,198}")


def require_plain_name(key: str, name: object, *, pattern: re.Pattern[str] = PLAIN_NAME, allowed: str = PLAIN) -> None:
    """`require` that a name is plain. Every name that a file or a user gives and that becomes part of a path is."""
    require(isinstance(name, str) and bool(pattern.fullmatch(name)), key, name, allowed)


def causes(error: BaseException | None) -> list[BaseException]:
    """An error and those behind it: libraries wrap errors of the system and KeyboardInterrupt in their own."""
    found: list[BaseException] = []  # a re-raised error may stand in its own chain
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def printable(text: str) -> str:
    """Text with escapes for what is not to be printed: control characters but line ends, and bytes that are no UTF-8.

    A file's name may hold any byte; a terminal obeys some of them.
    """
    return "".join(char if char.isprintable() or char == "\n" else escaped(char) for char in text)


def one_line(value: object) -> str:
    """A value as `printable` text, line ends escaped too."""
    return printable(str(value)).replace("\n", r"\n")


def escaped(char: str) -> str:
    """A character as its escape, a byte that is no UTF-8 as that byte."""
    byte = ord(char) - 0xDC00 if "\udc80" <= char <= "\udcff" else None  # as Python decodes a byte of a name
    return char.encode("unicode_escape").decode() if byte is None else f"\\x{byte:02x}"


LOST_WORKER = re.compile(r"DataLoader worker \(pid\S* (\d+).*?\) (?:is killed by signal: (.*?)\.|exited unexpectedly)")
NO_MEMORY = ("can't allocate memory", "Cannot allocate memory")  # of torch and of the system
SHORT_WORKER = re.compile(r"Caught MemoryError in DataLoader worker.*\nMemoryError: ([^\n]*)\s*$", re.DOTALL)


def shortage(error: BaseException) -> str:
    """In one line, that memory ran out or a process that decodes images was lost; empty for any other error."""
    remedy = "fewer processes at a time (jobs=..., training.workers=...), or more memory"
    if lost := LOST_WORKER.search(str(error)):
        how = f"was killed by a signal: {lost[2]}" if lost[2] else "ended unexpectedly"
        return f"process {lost[1]}, which decodes images, {how} (out of memory?): {remedy}"
    if "process pool was terminated abruptly" in str(error):  # of concurrent.futures
        return "a process that resizes images ended unexpectedly (out of memory?): fewer (workers=...), or more memory"
    for each in causes(error):
        name, text = type(each).__name__, str(each)
        if name == "OutOfMemoryError" or isinstance(each, MemoryError) or any(words in text for words in NO_MEMORY):
            in_worker = SHORT_WORKER.search(text)
            first = in_worker[1] if in_worker else next(iter(text.splitlines()), "")
            return f"out of memory: {first or name}: {remedy}"
    return ""


def first_names(names: Collection[str], most: int = 5) -> str:
    """The first few of some names, and their number if there are more."""
    return " ".join(sorted(names)[:most]) + (f" ({len(names)} in all)" if len(names) > most else "")


@contextmanager
def left_out(name: Report | None) -> Iterator[None]:
    """One bad file among many: its ConfigError is named and the others are used; without `name` it is raised."""
    try:
        yield
    except ConfigError as error:
        if name is None:
            raise
        name(f"left out: {error}")


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """A question to append to a refusal; empty if no allowed word is close."""
    near = difflib.get_close_matches(word, sorted(allowed), n=1)
    return f" (did you mean {near[0]}?)" if near else ""
