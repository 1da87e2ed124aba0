"""The machine a run computes on: its device, its repeatability, its memory."""

import ctypes
import os
import platform
import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch

from roadmap.config.schema import Config, Device, Precision
from roadmap.errors import require

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # options of glibc's mallopt
NEVER, NONE, USUAL, LARGE = -1, 0, 1 << 16, 1 << 20  # their values
MADV_HUGEPAGE = 14
HUGE_PAGE = 2 << 20


def set_up(config: Config) -> torch.device:
    """Choose the device, and make its arithmetic repeatable: on CPU to the bit, on CUDA as far as it goes.

    Raises:
        ConfigError: training.device=cuda where there is none, or more processes on this machine than it has.
    """
    wanted, there = config.training.device, torch.cuda.is_available()
    require(wanted is not Device.cuda or there, "training.device", wanted.name, "cpu or auto: there is no CUDA here")
    device = torch.device("cpu")
    if wanted is not Device.cpu and there:
        own, count = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
        few = f"cpu, or no more processes here than GPUs that they see ({count})"
        require(own < count, "training.device", wanted.name, few)
        device = torch.device("cuda", own)
    if config.training.threads:
        torch.set_num_threads(config.training.threads)
    torch.backends.cudnn.benchmark = False
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not repeatable
    torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
    # Deterministic mode fills every new tensor with NaN by default: a debugging aid, paid at every allocation.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if config.training.memory_gb is None:
        keep_freed_memory()
    else:
        return_freed_memory()
    return device


def arithmetic(precision: Precision, device: torch.device) -> torch.autocast:
    """Within it, convs, linear layers and what lies between compute in a precision; norms sum in float32 in any."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision is Precision.bfloat16)


def return_freed_memory() -> None:
    """Let glibc give back at once what a step frees, so that no memory lies between what is in use."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, USUAL)
        libc.mallopt(M_MMAP_THRESHOLD, LARGE)


def keep_freed_memory() -> None:
    """Let glibc keep what a step frees for the next step, instead of giving it back and having it zeroed again.

    Half of the machine's memory is set aside by address alone, to be taken in huge pages where Linux has them: of
    ordinary ones a step touches so many that finding them costs a twentieth of its time.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_MAX, NONE)
    libc.mallopt(M_TRIM_THRESHOLD, NEVER)
    libc.malloc.restype, size = ctypes.c_void_p, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    if block := libc.malloc(ctypes.c_size_t(size)):
        start = -(-block // HUGE_PAGE) * HUGE_PAGE
        libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(block + size - start), MADV_HUGEPAGE)
        libc.free(ctypes.c_void_p(block))


def memory_mb(device: torch.device) -> float:
    """The memory that this process holds now, in MB: of the accelerator where there is one."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device) / 1e6
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:  # not on Linux
        return peak_memory_mb(device)


def peak_memory_mb(device: torch.device) -> float:
    """The most memory this process has held, in MB: of the accelerator where there is one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    with suppress(OSError, ValueError):  # not on Linux, or not told
        (most,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(most.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
