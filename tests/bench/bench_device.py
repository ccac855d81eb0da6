"""What recording costs on a card: ratios to a plain forward pass, of the marginal time of a batch, in one run of less than six minutes.

Run ``python tests/bench/bench_device.py`` where there is a card; with ``--smoke`` it runs tiny networks on the CPU, to see that it works. A cost is
``(time of many batches - time of few) / (many - few)`` after a warm-up, so that what is paid once (hashes, compiling, verifying) does not count; medians over rounds in which
everything takes its turn. Inputs lie on the card. "by hand" is a hook that shifts and ors bits on the device and fetches them with ``.cpu()``, as anybody would write it.
Bytes per second are bits that arrived in memory or in files, by the same marginal time.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

import ann2neo

Run = Callable[[torch.Tensor], object]


class Bottleneck(nn.Module):
    """Of a ResNet-50, with an activation module for each call."""

    def __init__(self, n_in: int, width: int, stride: int) -> None:
        super().__init__()
        n_out = 4 * width
        self.body = nn.Sequential(
            *(nn.Conv2d(n_in, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)),
            *(nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)),
            *(nn.Conv2d(width, n_out, 1, bias=False), nn.BatchNorm2d(n_out)),
        )
        same = stride == 1 and n_in == n_out
        self.short = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add what is left over."""
        return self.relu(self.body(x) + self.short(x))


def resnet50() -> nn.Module:
    """ResNet-50 on 224x224, 49 ReLU maps, 9.6 million units; torchvision's where it imports."""
    with contextlib.suppress(Exception):
        from torchvision.models import resnet50

        return resnet50()
    blocks: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    ]
    n_in = 64
    for width, n_blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for number in range(n_blocks):
            blocks.append(Bottleneck(n_in, width, stride if number == 0 else 1))
            n_in = 4 * width
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


class Transformer(nn.Module):
    """Layers with a GELU each: a ViT-B/16 of patches, or a GPT-2 small of tokens with a causal mask."""

    def __init__(self, *, n_layers: int, width: int, n_heads: int, n_tokens: int | None, length: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16) if n_tokens is None else nn.Embedding(n_tokens, width)
        self.places = nn.Parameter(torch.randn(1, length, width) * 0.02)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * n_layers))
        self.qkv = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(n_layers))
        self.out = nn.ModuleList(nn.Linear(width, width) for _ in range(n_layers))
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)) for _ in range(n_layers)
        )
        self.n_heads, self.causal = n_heads, n_tokens is not None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attention and perceptrons by turns."""
        x = self.patches(x)
        x = (x.flatten(2).transpose(1, 2) if x.ndim == 4 else x) + self.places[:, : x.shape[1] if x.ndim == 3 else None]
        for number, mlp in enumerate(self.mlps):
            n, length, width = x.shape
            heads = (
                self.qkv[number](self.norms[2 * number](x)).view(n, length, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
            )
            mixed = nn.functional.scaled_dot_product_attention(*heads, is_causal=self.causal)
            x = x + self.out[number](mixed.transpose(1, 2).reshape(n, length, width))
            x = x + mlp(self.norms[2 * number + 1](x))
        return x


def mlp() -> nn.Module:
    """784-512-512-512-10."""
    sizes = [(784, 512), (512, 512), (512, 512)]
    return nn.Sequential(*(one for size in sizes for one in (nn.Linear(*size), nn.ReLU())), nn.Linear(512, 10))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A network, how it is run, and how long."""

    make: Callable[[], nn.Module]
    inputs: Callable[[int], torch.Tensor]
    batch: int
    n_batches: int
    autocast: bool = False
    channels_last: bool = False
    steps: bool = False
    slow: int = 4


def cases() -> dict[str, Case]:
    """All networks of the table."""

    def images(n: int) -> torch.Tensor:
        return torch.randn(n, 3, 224, 224)

    def vit() -> nn.Module:
        return Transformer(n_layers=12, width=768, n_heads=12, n_tokens=None, length=196)

    def gpt2() -> nn.Module:
        return Transformer(n_layers=12, width=768, n_heads=12, n_tokens=50257, length=512)

    return {
        "ResNet-50 fp32": Case(make=resnet50, inputs=images, batch=256, n_batches=10),
        "ResNet-50 bfloat16 channels-last": Case(
            make=resnet50, inputs=images, batch=256, n_batches=10, autocast=True, channels_last=True
        ),
        "ViT-B/16 bfloat16": Case(make=vit, inputs=images, batch=256, n_batches=10, autocast=True),
        "GPT-2 small, Steps(1)": Case(
            make=gpt2,
            inputs=lambda n: torch.randint(50257, (n, 512)),
            batch=16,
            n_batches=20,
            autocast=True,
            steps=True,
        ),
        "MLP": Case(make=mlp, inputs=lambda n: torch.randn(n, 784), batch=128, n_batches=1500, slow=150),
    }


def smoke_cases() -> dict[str, Case]:
    """Tiny ones, for the CPU."""

    def tiny() -> nn.Module:
        return Transformer(n_layers=1, width=16, n_heads=2, n_tokens=50, length=8)

    return {
        "MLP": Case(make=mlp, inputs=lambda n: torch.randn(n, 784), batch=32, n_batches=6),
        "tokens": Case(make=tiny, inputs=lambda n: torch.randint(50, (n, 8)), batch=8, n_batches=6, steps=True),
    }


def activation_modules(model: nn.Module) -> list[nn.Module]:
    """All that are recorded."""
    return [module for module in model.modules() if isinstance(module, (nn.ReLU, nn.GELU))]


def with_hooks(model: nn.Module, hook: Callable[..., None], case: Case) -> Run:
    """A forward pass with a hook on every activation module."""

    def run(x: torch.Tensor) -> None:
        handles = [module.register_forward_hook(hook) for module in activation_modules(model)]
        plain(model, case)(x)
        for handle in handles:
            handle.remove()

    return run


def plain(model: nn.Module, case: Case) -> Run:
    """A forward pass, without anything kept."""

    def run(x: torch.Tensor) -> None:
        with torch.no_grad():
            for batch in x.split(case.batch):
                model(batch)

    return run


def by_hand(model: nn.Module, case: Case) -> Run:
    """Bits of every batch, fetched."""
    kept: list[np.ndarray] = []

    def hook(_module: nn.Module, _args: object, output: torch.Tensor) -> None:
        spikes = (output > 0).flatten(0, 1) if case.steps else output > 0
        spikes = spikes.flatten(1)
        eights = spikes[: len(spikes) // 8 * 8].view(-1, 8, spikes.shape[1])
        packed = torch.zeros_like(eights[:, 0], dtype=torch.uint8)
        for place in range(8):
            packed |= eights[:, place].to(torch.uint8) << (7 - place)
        kept.append(packed.cpu().numpy())

    run = with_hooks(model, hook, case)

    def forget_after(x: torch.Tensor) -> None:
        run(x)
        kept.clear()

    return forget_after


def recorded(model: nn.Module, case: Case, *, units: object = None, folder: Path | None = None) -> Run:
    """Record into memory, or into a new store."""
    steps = ann2neo.Steps(1) if case.steps else None

    def run(x: torch.Tensor) -> None:
        store = None if folder is None else folder / "a.zarr"
        inputs = ann2neo.Inputs(x, batch_size=case.batch)
        ann2neo.record(
            model, inputs, units=units, steps=steps, store=store, progress=False, verify=False, threshold=0.0
        )
        if store is not None:
            shutil.rmtree(store)

    return run


def n_units(model: nn.Module, case: Case, x: torch.Tensor) -> tuple[int, int]:
    """Number of units, and of bins of an input."""
    found = ann2neo.plan(model, ann2neo.Inputs(x[:2], batch_size=2), steps=ann2neo.Steps(1) if case.steps else None)
    return int(found["units"].sum()), x.shape[1] if case.steps else 1


def seconds(run: Run, x: torch.Tensor, device: torch.device) -> float:
    """Time of one run, until the device is done."""
    start = time.perf_counter()
    run(x)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(name: str, case: Case, device: torch.device, folder: Path, n_rounds: int, deadline: float) -> None:
    """Print the ratios of one network."""
    torch.manual_seed(0)
    model = case.make().to(device).eval()
    x = case.inputs(case.n_batches * case.batch).to(device)
    if case.channels_last:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    context = torch.autocast(device.type, torch.bfloat16) if case.autocast else contextlib.nullcontext()
    with context, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        every, per_input = n_units(model, case, x)
        some = ann2neo.Sample(fraction=min(1.0, 1e5 / every))
        runs = {
            "plain": plain(model, case),
            "empty hooks": with_hooks(model, lambda *_: None, case),
            "1e5 units, memory": recorded(model, case, units=some),
            "1e5 units, store": recorded(model, case, units=some, folder=folder),
            "all, memory": recorded(model, case),
            "all, store": recorded(model, case, folder=folder),
            "by hand": by_hand(model, case),
        }
        few = 2
        many = {
            run: case.n_batches
            if run in ("plain", "empty hooks") or "1e5" in run or "memory" in run
            else max(few + 2, case.slow)
            for run in runs
        }
        for run in runs.values():
            seconds(run, x[: few * case.batch], device)
        costs: dict[str, list[float]] = {run: [] for run in runs}
        for _ in range(n_rounds):
            for title, run in runs.items():
                short = seconds(run, x[: few * case.batch], device)
                long = seconds(run, x[: many[title] * case.batch], device)
                costs[title].append((long - short) / (many[title] - few))
            if time.perf_counter() > deadline:
                break
    base = statistics.median(costs["plain"])
    print(f"{name}: {every:.3g} units, batch {case.batch}: plain {1e3 * base:.2f} ms a batch")
    for title, times in costs.items():
        if title != "plain":
            middle = statistics.median(times)
            n_bytes = (min(every, 1e5) if "1e5" in title else every) * case.batch * per_input / 8
            rate = "" if title == "empty hooks" else f", {n_bytes / max(middle, 1e-9) / 1e9:.2f} GB/s of bits"
            print(
                f"  {title:18} {middle / base:6.2f}x  ({min(times) / base:.2f} to {max(times) / base:.2f}; {len(times)} rounds){rate}",
                flush=True,
            )


def disk_rate(folder: Path) -> float:
    """Gigabytes per second that the disk takes of zeros and ones that do not compress."""
    content = np.random.default_rng(0).bytes(1 << 28)
    start = time.perf_counter()
    for number in range(2):
        with (folder / f"{number}.bin").open("wb") as file:
            file.write(content)
            file.flush()
    rate = 2 * len(content) / (time.perf_counter() - start) / 1e9
    for number in range(2):
        (folder / f"{number}.bin").unlink()
    return rate


def main() -> None:
    """Print a table of ratios."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=300, help="begin no other round after so many")
    options.add_argument("--only", help="only networks with this in their name")
    options.add_argument("--smoke", action="store_true", help="tiny networks on the CPU")
    given = options.parse_args()
    device = torch.device("cpu") if given.smoke else torch.device("cuda", 0)
    if not given.smoke and not torch.cuda.is_available():
        raise SystemExit("there is no card; --smoke runs tiny networks on the CPU")
    begin = time.perf_counter()
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    chosen = {
        n: c for n, c in (smoke_cases() if given.smoke else cases()).items() if given.only is None or given.only in n
    }
    with tempfile.TemporaryDirectory() as folder:
        card = "CPU" if given.smoke else torch.cuda.get_device_name(0)
        print(f"{card}, torch {torch.__version__}; the disk takes {disk_rate(Path(folder)):.2f} GB/s", flush=True)
        for number, (name, case) in enumerate(chosen.items(), 1):
            deadline = begin + given.seconds * number / len(chosen)
            try:
                measure(name, case, device, Path(folder), given.rounds, deadline)
            except ann2neo.errors.DeviceError as error:
                print(f"{name}: {error}")
            if not given.smoke:
                torch.cuda.empty_cache()
    print(f"{time.perf_counter() - begin:.0f} s in all")


if __name__ == "__main__":
    main()
