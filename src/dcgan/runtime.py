"""Device, threads, precision and seeds: what a run computes on, and where its randomness starts."""

import contextlib
import hashlib
from contextlib import AbstractContextManager

import torch

from dcgan.params import RuntimeParams


def device_of(params: RuntimeParams) -> torch.device:
    """The device to compute on. Raises ValueError when `cuda` is asked for and absent."""
    if params.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("runtime.device: cuda is asked for, but torch sees no GPU here; use auto")
    if params.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(params.device)


def configure(params: RuntimeParams) -> torch.device:
    """Set threads and deterministic kernels for this process; returns the device."""
    if params.threads:
        torch.set_num_threads(params.threads)
    # Subnormal numbers cost a CPU many times more than others and mean nothing here.
    torch.set_flush_denormal(True)
    torch.backends.cudnn.deterministic = True
    return device_of(params)


def precision_of(params: RuntimeParams, device: torch.device) -> str:
    """What `auto` means on `device`: bf16 where it is the faster of the two, else fp32.

    Intel's AVX-512 does half as many bf16 products in a cycle as float32 ones, AMD's twice as many
    (docs/speed.md); Intel's AMX, where there is one, is many times faster than either.
    """
    if params.precision != "auto":
        return params.precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    # torch before 2.12 does not tell what the processor can do
    able: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    is_intel = "Intel" in str(able.get("cpu_name"))
    pays = able.get("amx_bf16") or (able.get("avx512_bf16") and not is_intel)
    return "bf16" if pays else "fp32"


def autocast(params: RuntimeParams, device: torch.device) -> AbstractContextManager[object]:
    """The precision that convolutions and products compute in; weights stay float32.

    Without torch's cache of cast weights: it outlives an optimiser's step within the context, so
    that the generator would be judged by the discriminator of the iteration before.
    """
    if precision_of(params, device) == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def derive_seed(seed: int, *names: object) -> int:
    """An independent 63-bit seed for each (seed, names): streams that never share a state."""
    digest = hashlib.blake2b(repr((seed, *names)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def random_generator(device: torch.device | str, seed: int, *names: object) -> torch.Generator:
    """A generator of its own for one purpose, on `device`."""
    return torch.Generator(device).manual_seed(derive_seed(seed, *names))
