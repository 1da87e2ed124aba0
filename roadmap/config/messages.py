"""What Hydra and OmegaConf say of words on a command line, told to the person who typed them."""

import re
from dataclasses import fields, is_dataclass

from roadmap.config import schema
from roadmap.errors import did_you_mean

# Lines of Hydra's and OmegaConf's messages that say nothing to the person who typed the words.
NOISE = re.compile(
    r"full_key:|object_type=|reference_type=|Config search path|provider="
    r"|Set the env|See https|To append|Available options|\w+$"
)
NOT_PLAIN = re.compile(r"LexerNoViableAlt|mismatched input|no viable alternative|extraneous input|token recognition")


def explain(error: BaseException) -> str:
    """The part of an error that helps, in one or two lines: what and where, then what is allowed."""
    texts = [str(error)]
    while (error_cause := error.__cause__) is not None:
        error = error_cause
        texts.append(str(error))
    whole = "\n".join(texts)
    lines = [line.strip() for text in texts for line in text.splitlines()]
    kept = [line for line in lines if line and not NOISE.match(line)]
    text = " ".join(dict.fromkeys([kept[0], kept[-1]])) if kept else type(error).__name__
    if options := re.findall(r"^\t(\w+)$", whole, flags=re.MULTILINE):
        text = f"{kept[0]}\nallowed: {' '.join(options)}"
    unknown = re.search(r"Key '(\w+)' (?:is )?not in '(\w+)'", whole)
    owner = getattr(schema, unknown[2], None) if unknown else None
    if unknown and is_dataclass(owner):
        allowed = [f.name for f in fields(owner)]
        text += f"\nallowed: {' '.join(allowed)}{did_you_mean(unknown[1], allowed)}"
    return text


def explain_word(word: str, error: BaseException) -> str:
    """`explain` of a word that could not be read at all, in one line."""
    key, equals, value = word.partition("=")
    if not equals:
        return f"{word}: write key=value"
    if value[:1] not in ("[", "{") and NOT_PLAIN.search(str(error)):
        return f"{word}: this value needs quotes: \"{key}='{value}'\""
    return explain(error)
