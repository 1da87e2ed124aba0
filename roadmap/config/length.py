"""How long a run is: the images that it uses, its optimizer steps, and the micro-batches of each."""

from roadmap.config.schema import Config, DataConfig, RecipeConfig
from roadmap.errors import require


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
