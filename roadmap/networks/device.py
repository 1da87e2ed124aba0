"""The device of a run: repeatable arithmetic, memory, torch.compile."""

import ctypes
import os
import platform
import resource
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from roadmap.config.capacity import machine_memory
from roadmap.config.schema import Config, Device, Precision
from roadmap.errors import require
from roadmap.networks.costs import cost

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # options of glibc's mallopt
MADV_HUGEPAGE, HUGE_PAGE = 14, 2 << 20
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86, x86's matrix unit, ARM
COMPILE_MACS = 10**16
"""Forward multiply-adds of a run that is worth compiling: about ten minutes of a GPU, against half a minute."""


def set_up(config: Config, local_rank: int = 0) -> torch.device:
    """Choose the device and make it deterministic: to the bit on CPU, as far as torch can on CUDA.

    A ConfigError for training.device=cuda without CUDA, and for more processes on this machine than GPUs.
    """
    wanted, available = config.training.device, torch.cuda.is_available()
    require(wanted is not Device.cuda or available, "training.device", wanted.name, "cpu or auto: no CUDA here")
    device = torch.device("cpu")
    if wanted is not Device.cpu and available:
        count = torch.cuda.device_count()
        allowed = f"cpu, or no more processes on a machine than its visible GPUs ({count})"
        require(local_rank < count, "training.device", wanted.name, allowed)
        device = torch.device("cuda", local_rank)
    if config.training.threads:
        torch.set_num_threads(config.training.threads)
    torch.backends.cudnn.benchmark = False
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is not deterministic without it
    torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
    # Deterministic mode fills every new tensor with NaN by default: a debugging aid that costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    tune_malloc(keep=config.training.memory_gb is None)
    return device


def arithmetic(precision: Precision, device: torch.device) -> torch.autocast:
    """Autocast to a precision; norms always sum in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision is Precision.bfloat16)


def slow_precision(config: Config, device: torch.device) -> str:
    """A warning if recipe.precision makes a run slower on this device; empty otherwise.

    Without instructions for bfloat16, a processor converts every number.
    """
    flags = processor_flags()
    if config.recipe.precision is not Precision.bfloat16 or device.type != "cpu" or not flags or flags & BFLOAT16_FLAGS:
        return ""
    lacks = "which this processor has no instructions for"
    return f"recipe.precision=bfloat16, {lacks}: slower than float32 here; `make plan` measures both"


@cache
def processor_flags() -> set[str]:
    """The instruction sets that Linux lists for this processor; empty elsewhere."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split(":")[1].split()}
    return set()


def tune_malloc(*, keep: bool) -> None:
    """Let glibc keep freed memory for the next step, in huge pages, or return it to the system at once.

    Returned memory is zeroed again by the system. To keep it, half of the machine's memory is reserved by address
    alone and marked for huge pages: page faults of 4 kB pages would take a twentieth of a step.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    if not keep:
        libc.mallopt(M_MMAP_MAX, 1 << 16)  # the default
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 20)
        return
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, -1)
    libc.malloc.restype, size = ctypes.c_void_p, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    if block := libc.malloc(ctypes.c_size_t(size)):
        start = -(-block // HUGE_PAGE) * HUGE_PAGE
        libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(block + size - start), MADV_HUGEPAGE)
        libc.free(ctypes.c_void_p(block))


def capacity(config: Config) -> float:
    """Bytes of memory that a run may have: of the GPU that it would choose, else of the machine."""
    if config.training.device is not Device.cpu and torch.cuda.is_available():
        return float(torch.cuda.get_device_properties(0).total_memory)
    return machine_memory()


def memory_mb(device: torch.device) -> float:
    """Memory that this process holds now, in MB: GPU memory on a GPU."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device) / 1e6
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:  # not Linux
        return peak_memory_mb(device)


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory of this process so far, in MB: GPU memory on a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    with suppress(OSError, ValueError):  # not Linux, or VmHWM missing
        (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def compiles(config: Config, images: int, device: torch.device) -> bool:
    """Whether a run on so many training images is compiled: training.compile, or else whether it pays.

    If training.compile is unset, code that cannot be compiled runs eagerly.
    """
    if config.training.compile is not None:
        return config.training.compile
    pays = config.recipe.precision is Precision.bfloat16 and device.type == "cuda"
    if not (pays and find_spec("triton") is not None and any(map(shutil.which, ("cc", "gcc", "clang")))):
        return False
    data = config.data
    macs = cost(config.model, num_classes=data.num_classes, in_chans=data.in_chans, img_size=data.img_size).macs
    if wanted := macs * images * config.recipe.epochs >= COMPILE_MACS:
        import torch._dynamo.config

        torch._dynamo.config.suppress_errors = True
    return wanted


def compiled(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """torch.compile with eager's random numbers, so that stochastic depth draws the same."""
    import torch._inductor.config

    torch._inductor.config.fallback_random = True
    return torch.compile(network)
