"""How the numbers of a recipe follow from the published ones: the formulas that conf/ writes as ${name:...}."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from roadmap.config.schema import BatchRule


def budget(key: str, published: Any, *, _root_: DictConfig) -> Any:
    """What the study's budget says of `key`, else the published value."""
    value = _root_.budget[key]
    return published if value is None else value


def shrink(published: float, neutral: float = 0.0, *, _root_: DictConfig) -> float:
    """The published strength drawn towards the neutral value: all of it at budget.strength 1, none at 0."""
    strength = _root_.budget.strength
    return published * strength + neutral * (1 - strength)


def share(part: float, whole: float, *, _root_: DictConfig) -> float:
    """As large a share of this run's epochs as `part` is of `whole`."""
    return _root_.recipe.epochs * part / whole


def scaled(lr: float, *, _root_: DictConfig) -> float:
    """The published rate, brought to this run's batch by recipe.batch_rule."""
    recipe = _root_.recipe
    power = {BatchRule.linear: 1.0, BatchRule.sqrt: 0.5}.get(recipe.batch_rule, 0.0)
    return lr * (recipe.batch_size / recipe.lr_base_size) ** power


def register() -> None:
    """Make the formulas known to OmegaConf, as often as one likes."""
    for formula in (budget, shrink, share, scaled):
        OmegaConf.register_new_resolver(formula.__name__, formula, replace=True)
