"""How long a run is: images, optimizer steps, the micro-batches of each, and whether they are enough for batch norm."""

from roadmap.config.schema import Config, DataConfig, RecipeConfig
from roadmap.errors import ConfigError, require
from roadmap.networks.ops import placed

UPDATES = 50
"""Of a running average with torch's momentum of 0.1, after which 0.5 % of it is the initial value."""


def images_used(data: DataConfig, train: int, test: int) -> tuple[int, int]:
    """About how many images are trained on and evaluated on in a run, of those that there are."""
    held = round(data.holdout * train)
    train, test = round(data.fraction * (train - held)), held or test
    return min(train, data.max_train or train), min(test, data.max_test or test)


def run_steps(config: Config, per_epoch: int) -> int:
    """Optimizer steps of a run with so many in an epoch; the last epoch may be cut short."""
    steps = config.recipe.epochs * per_epoch
    return min(steps, config.training.max_steps or steps)


def micro_batches_per_step(recipe: RecipeConfig) -> int:
    """Micro-batches whose gradients are accumulated in an optimizer step."""
    return recipe.batch_size // min(recipe.bn_batch_size, recipe.batch_size)


def refuse_uneven(config: Config, processes: int) -> None:
    """Refuse a run whose steps so many processes cannot share evenly, or whose recipe.sync_bn has nothing to do."""
    recipe, key = config.recipe, f"{config.step.name}: recipe."
    count = micro_batches_per_step(recipe)
    fitting = " ".join(str(n) for n in range(1, processes) if count % n == 0)
    allowed = f"a size that divides a step into micro-batches (now {count}) which {processes} processes share evenly"
    require(count % processes == 0, f"{key}bn_batch_size", recipe.bn_batch_size, f"{allowed}; or {fitting} processes")
    alone = recipe.sync_bn and processes == 1
    require(not alone, f"{key}sync_bn", True, "false with one process, which has nothing to synchronize")


def too_short(config: Config, steps: int) -> str:
    """A warning, if the running averages of batch norm see fewer than `UPDATES` micro-batches; else nothing."""
    names = {op.name for op in placed(config.model, img_size=config.data.img_size)}
    updates = steps * micro_batches_per_step(config.recipe)
    if updates >= UPDATES or "batch_norm" not in names:
        return ""
    return (
        f"{updates} micro-batches in all, batch norm's running averages need about {UPDATES}: "
        "with fewer, a network may give all images one class"
    )


def refuse_few_images(config: Config, images: int) -> None:
    """Refuse a batch larger than the training images; the options that left so few are named before the recipe's."""
    data, size = config.data, config.recipe.batch_size
    given = {"data.fraction": data.fraction < 1, "data.holdout": data.holdout > 0}
    given["data.max_train"] = (data.max_train or size) < size
    named = [f"{key}={getattr(data, key.removeprefix('data.'))}" for key, acts in given.items() if acts]
    if images < size and named:
        enough = f"what leaves a batch of training images or more, recipe.batch_size={size}; now {images}"
        raise ConfigError(f"{' '.join(named)}: allowed is {enough}")
    require(size <= images, "recipe.batch_size", size, f"up to {images}, the training images")
