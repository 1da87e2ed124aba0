"""Training steps against each other: alternating in one process, beside what the machine could do at most.

The plain step is what a user of the framework writes: the same network of torch's own layers in eager NCHW float32, and
its optimizer as it comes. Batches are made beforehand, and lie on the device.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import repeat
from typing import NamedTuple

import torch
from torch import Tensor, nn, optim
from torch.autograd import DeviceType
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from benchmarks.plain import plain
from roadmap.config.compose import compose
from roadmap.config.deviations import STUDIES
from roadmap.config.schema import Config, Opt, Precision, RecipeConfig
from roadmap.data.loader import channels_last
from roadmap.networks.create import build
from roadmap.training.device import arithmetic
from roadmap.training.distributed import World
from roadmap.training.loop import train_step
from roadmap.training.recipe import loss_function
from roadmap.training.state import initial_state

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
"""On a machine with other work, one thread's CPU time says more."""
ACTIVATION_PASSES = 5
"""What leaves a layer is written, read by the next and again for the gradient, which itself is written and read."""
ROOF_ROUNDS = 5
WATCHED = 6

Step = Callable[[], object]


def configured(step: str, regime: str, *, batch: int, threads: int, words: Sequence[str] = ()) -> Config:
    """A rung's configuration in the study of a regime, with a batch in one forward pass."""
    study = STUDIES.get(regime, "fashion_mnist")
    all_words = [f"study={study}", f"regime={regime}", f"training.threads={threads}", *words]
    all_words += [f"budget.batch_size={batch}", f"budget.bn_batch_size={batch}", "budget.batch_rule=keep"]
    return compose([*all_words, *([f"+step={step}"] if step != "resnet" else [])])


def our_step(config: Config, device: torch.device) -> Step:
    """A step as a run takes it, with the running average of the weights; all of the batch in one forward pass."""
    state = initial_state(config, device, World())
    passes = repeat(batch(config, device, torch.channels_last))

    def step() -> None:
        train_step(state, passes, config, per_epoch=1000)
        state.ema.update()
        state.step += 1

    return step


def plain_step(config: Config, device: torch.device, precision: Precision = Precision.float32) -> Step:
    """The step of the same network without anything of ours, and without an average."""
    data, recipe = config.data, config.recipe
    classes, rate = data.num_classes, recipe.drop_path
    network = plain(build(config.model, num_classes=classes, in_chans=data.in_chans, drop_path=rate, init=recipe.init))
    return step_of(network, config, device, precision)


def step_of(network: nn.Module, config: Config, device: torch.device, precision: Precision = Precision.float32) -> Step:
    """The plain step of any network; another precision is torch's autocast around its forward pass."""
    network = network.to(device).train()
    optimizer = plain_optimizer(network, config.recipe)
    images, targets = batch(config, device, torch.contiguous_format)

    def step() -> None:
        with as_it_comes():
            optimizer.zero_grad()
            with arithmetic(precision, device):
                loss = loss_function(network(images), targets, config.recipe.smoothing)
            loss.backward()
            optimizer.step()
            loss.item()

    return step


@contextmanager
def as_it_comes() -> Iterator[None]:
    """Arithmetic that need not be repeatable."""
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("default")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)


def plain_optimizer(network: nn.Module, recipe: RecipeConfig) -> optim.Optimizer:
    """The recipe's optimizer with nothing chosen but its numbers."""
    if recipe.opt is Opt.sgd:
        return optim.SGD(network.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay)
    return optim.AdamW(network.parameters(), recipe.lr, weight_decay=recipe.weight_decay)


def batch(config: Config, device: torch.device, layout: torch.memory_format) -> tuple[Tensor, Tensor]:
    """Random images (N, C, H, W) and classes (N,)."""
    torch.manual_seed(0)
    data, n = config.data, config.recipe.batch_size
    images = torch.randn(n, data.in_chans, data.img_size, data.img_size, device=device)
    images = channels_last(images) if layout is torch.channels_last else images
    return images, torch.randint(data.num_classes, (n,), device=device)


def alternate(steps: Mapping[str, Step], *, rounds: int, clock: str) -> dict[str, list[float]]:
    """Seconds of each step in each round; two rounds before warm up and do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 2):
        for name, step in steps.items():
            elapsed = timed(step, clock)
            if number > 1:
                seconds[name].append(elapsed)
    return seconds


def timed(work: Step, clock: str) -> float:
    """Seconds that work takes, on the accelerator too."""
    started = CLOCKS[clock]()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return CLOCKS[clock]() - started


def roofs(device: torch.device, dtype: torch.dtype, clock: str) -> tuple[float, float]:
    """The most that is seen of this machine: floating-point operations, and bytes read or written, in a second.

    The first is the best of matrix products and of a dense convolution, the second of scaling a large tensor in place.
    """
    width, images, numbers = (1536, 8, 64 << 20) if device.type == "cpu" else (8192, 256, 1 << 30)
    a = torch.randn(width, width, device=device, dtype=dtype)
    image = torch.randn(images, 128, 28, 28, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    kernel = torch.randn(128, 128, 3, 3, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    large = torch.ones(numbers, device=device)
    with torch.no_grad():
        product = min(timed(lambda: a @ a, clock) for _ in range(ROOF_ROUNDS))
        conv = min(timed(lambda: F.conv2d(image, kernel, padding=1), clock) for _ in range(ROOF_ROUNDS))
        scaling = min(timed(lambda: large.mul_(1.0), clock) for _ in range(ROOF_ROUNDS))
    return max(2 * width**3 / product, 2 * image.numel() * 128 * 9 / conv), 2 * 4 * large.numel() / scaling


def traffic(config: Config) -> int:
    """Numbers that a step cannot but read or write for one image: what leaves the layers, five times."""
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
    return ACTIVATION_PASSES * counted


class Operator(NamedTuple):
    """What the calls of an operator in one step took."""

    name: str
    ms: float
    calls: int


def profiled(step: Step) -> tuple[list[Operator], float]:
    """The operators of a step, the dearest first, and the milliseconds of all.

    The step is watched several times and the quickest counts: in others the profiler's own memory is in the way.
    """
    step()
    watched = [_watched(step) for _ in range(WATCHED)]
    return min(watched, key=lambda found: found[1])


def _watched(step: Step) -> tuple[list[Operator], float]:
    gpu = torch.cuda.is_available()
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]) as watched:
        step()
    own = "self_device_time_total" if gpu else "self_cpu_time_total"
    # Kernels are listed beside the operators that launch them, whose time they are.
    events = [event for event in watched.key_averages() if event.device_type == DeviceType.CPU]
    found = [Operator(event.key, getattr(event, own) / 1e3, event.count) for event in events]
    return sorted(found, key=lambda operator: -operator.ms), sum(operator.ms for operator in found)
