"""Options of a script as key=value words, like those of a run."""

from collections.abc import Mapping, Sequence

from roadmap.checks import NAME, require
from roadmap.schema import ConfigError


def options(words: Sequence[str], defaults: Mapping[str, str]) -> dict[str, str]:
    """The defaults with what the words say instead.

    Raises:
        ConfigError: a word that is not key=value, an unknown key, or a study that is not a name.
    """
    chosen = dict(defaults)
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in defaults:
            raise ConfigError(f"{word}: allowed is {' '.join(f'{name}=...' for name in defaults)}")
        chosen[key] = value
    study = chosen.get("study")
    require(study is None or bool(NAME.fullmatch(study)), "study", study, "letters, digits and _.,=+-")
    return chosen
