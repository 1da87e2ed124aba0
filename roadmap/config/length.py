"""How long a run is: the images that it uses, and its optimizer steps."""

from roadmap.config.schema import Config, DataConfig


def images_used(data: DataConfig, train: int, test: int) -> tuple[int, int]:
    """About how many images are trained on and evaluated on in a run, of those that there are."""
    held = round(data.holdout * train)
    train, test = round(data.fraction * (train - held)), held or test
    return min(train, data.max_train or train), min(test, data.max_test or test)


def run_steps(config: Config, per_epoch: int) -> int:
    """Optimizer steps of a run with so many in an epoch; the last epoch may be cut short."""
    steps = config.recipe.epochs * per_epoch
    return min(steps, config.training.max_steps or steps)
