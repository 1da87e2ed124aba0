"""Training steps to be timed: this project's step, a baseline, and the peak rates of the machine.

The baseline is what a user of torch writes: the same network built from torch's own layers, eager, NCHW, float32, with
a default optimizer. Batches are made beforehand and lie on the device.
"""

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import repeat

import torch
from torch import Tensor, nn, optim
from torch.nn import functional as F

from roadmap.config.compose import compose
from roadmap.config.schema import Config, Opt, Precision, StudyConfig
from roadmap.config.step_files import read_ladder
from roadmap.data.loader import channels_last
from roadmap.networks.device import arithmetic
from roadmap.networks.ladder import build
from roadmap.training.distributed import World
from roadmap.training.loop import train_step
from roadmap.training.recipe import loss_function
from roadmap.training.state import initial_state

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
"""On a machine with other work, the CPU time of one thread is more reliable."""
PASSES = 5
"""Each output of a layer is written, read by the next layer and by its gradient, and its gradient written and read."""
PEAK_ROUNDS = 5

Step = Callable[[], object]


def configured(step: str, regime: str, *, batch: int, threads: int, words: Sequence[str] = ()) -> Config:
    """A step's configuration in the study of a regime, with one micro-batch of `batch` images."""
    study = read_ladder(StudyConfig.ladder).options.studies.get(regime, "fashion_mnist")
    all_words = [f"study={study}", f"regime={regime}", f"training.threads={threads}", *words]
    all_words += [f"budget.batch_size={batch}", f"budget.bn_batch_size={batch}", "budget.batch_rule=keep"]
    return compose([*all_words, f"+step={step}"])


def our_step(config: Config, device: torch.device) -> Step:
    """The whole training step of a run, with the average of the weights."""
    state = initial_state(config, device, World())
    batches = repeat(random_batch(config, device, torch.channels_last))

    def step() -> None:
        train_step(state, batches, config, steps=1000 * config.recipe.epochs)
        state.ema.update()
        state.step += 1

    return step


def baseline(network: nn.Module) -> nn.Module:
    """A copy in which every conv is torch's own and every weight has torch's default layout."""
    duplicate = copy.deepcopy(network)
    for module in duplicate.modules():
        if isinstance(module, nn.Conv2d):
            module.__class__ = nn.Conv2d
    return duplicate.to(memory_format=torch.contiguous_format)


def baseline_step(
    config: Config, device: torch.device, precision: Precision = Precision.float32, network: nn.Module | None = None
) -> Step:
    """A plain step of the configuration's network, or of another; bfloat16 is torch's autocast."""
    data, recipe = config.data, config.recipe
    if network is None:
        classes, rate = data.num_classes, recipe.drop_path
        ours = build(config.model, num_classes=classes, in_chans=data.in_chans, drop_path=rate, init=recipe.init)
        network = baseline(ours)
    network = network.to(device).train()
    weights, decay = network.parameters(), recipe.weight_decay
    if recipe.opt is Opt.sgd:
        optimizer: optim.Optimizer = optim.SGD(weights, recipe.lr, recipe.momentum, weight_decay=decay)
    else:
        optimizer = optim.AdamW(weights, recipe.lr, weight_decay=decay)
    images, targets = random_batch(config, device, torch.contiguous_format)

    def step() -> None:
        with nondeterministic():
            optimizer.zero_grad()
            with arithmetic(precision, device):
                loss = loss_function(network(images), targets, recipe.smoothing)
            loss.backward()
            optimizer.step()
            loss.item()

    return step


@contextmanager
def nondeterministic() -> Iterator[None]:
    """Allow nondeterministic algorithms, as torch does by default."""
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("default")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)


def random_batch(config: Config, device: torch.device, layout: torch.memory_format) -> tuple[Tensor, Tensor]:
    """Random images (N, C, H, W) and classes (N,)."""
    torch.manual_seed(0)
    data, n = config.data, config.recipe.batch_size
    images = torch.randn(n, data.in_chans, data.img_size, data.img_size, device=device)
    images = channels_last(images) if layout is torch.channels_last else images
    return images, torch.randint(data.num_classes, (n,), device=device)


def alternate(steps: Mapping[str, Step], *, rounds: int, clock: str, warmup: int = 2) -> dict[str, list[float]]:
    """Seconds of each step in each round, after `warmup` rounds that do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + warmup):
        for name, step in steps.items():
            elapsed = timed(step, clock)
            if number >= warmup:
                seconds[name].append(elapsed)
    return seconds


def timed(work: Step, clock: str = "wall") -> float:
    """Seconds that work takes, on the accelerator too."""
    started = CLOCKS[clock]()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return CLOCKS[clock]() - started


def peaks(device: torch.device, dtype: torch.dtype, clock: str) -> tuple[float, float]:
    """Peak rates of this machine: floating-point operations per second, and bytes read or written per second.

    The first is the best of a matrix product and a dense conv; the second scales a large tensor in place.
    """
    width, images, numbers = (1536, 8, 64 << 20) if device.type == "cpu" else (8192, 256, 1 << 30)
    a = torch.randn(width, width, device=device, dtype=dtype)
    image = torch.randn(images, 128, 28, 28, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    kernel = torch.randn(128, 128, 3, 3, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    large = torch.ones(numbers, device=device)
    with torch.no_grad():
        product = min(timed(lambda: a @ a, clock) for _ in range(PEAK_ROUNDS))
        conv = min(timed(lambda: F.conv2d(image, kernel, padding=1), clock) for _ in range(PEAK_ROUNDS))
        scaling = min(timed(lambda: large.mul_(1.0), clock) for _ in range(PEAK_ROUNDS))
    return max(2 * width**3 / product, 2 * image.numel() * 128 * 9 / conv), 2 * 4 * large.numel() / scaling


def traffic(config: Config) -> int:
    """Numbers that a step must read or write per image: the outputs of all layers, `PASSES` times."""
    data, counted = config.data, 0

    def count(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        nonlocal counted
        counted += output.numel()

    with torch.device("meta"), torch.no_grad():
        network = build(config.model, num_classes=data.num_classes, in_chans=data.in_chans).eval()
        for module in network.modules():
            if not list(module.children()) and not isinstance(module, nn.Identity):
                module.register_forward_hook(count)
        network(torch.empty(1, data.in_chans, data.img_size, data.img_size))
    return PASSES * counted
