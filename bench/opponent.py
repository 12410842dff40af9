#!/usr/bin/env python3
"""One process of the opponent: times training steps of a network in PyTorch, or its quantization-aware training.

    opponent.py NET KIND SECONDS [THREADS]

NET    resnet20 | resnet18 | resnet50 | mobilenet_v2
KIND   eager | compiled            float32
       nncf                        int8 by nncf.quantize, then trained
       plain | plain-compiled      int8 by a fake-quantizer of ordinary operators

Prints one JSON object. A step is forward, cross-entropy, backward and SGD with momentum, on random images in the
channels-last layout. Allocation decides a part of PyTorch's speed: preload jemalloc (compare.py does, if it finds it).
"""

import json
import resource
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

BATCH = {"resnet20": 128, "resnet18": 16, "resnet50": 8, "mobilenet_v2": 16}


def conv_norm(cin, cout, stride):
    return [nn.Conv2d(cin, cout, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(cout)]


class Residual(nn.Module):
    """The basic block of He et al. for CIFAR with shortcut A: every second pixel, zeros for the new channels."""

    def __init__(self, cin, cout):
        super().__init__()
        self.grow = cout - cin
        stride = 2 if self.grow else 1
        self.body = nn.Sequential(*conv_norm(cin, cout, stride), nn.ReLU(), *conv_norm(cout, cout, 1))

    def forward(self, x):
        short = x
        if self.grow:
            short = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.grow // 2, self.grow - self.grow // 2))
        return F.relu(self.body(x) + short)


def resnet20():
    widths = [16] * 4 + [32] * 3 + [64] * 3
    blocks = [Residual(a, b) for a, b in zip(widths, widths[1:])]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(*conv_norm(3, 16, 1), nn.ReLU())
            self.blocks = nn.Sequential(*blocks)
            self.head = nn.Linear(64, 10)

        def forward(self, x):
            return self.head(self.blocks(self.stem(x)).mean((2, 3)))

    return Net()


def network(name):
    if name == "resnet20":
        return resnet20(), 32, 10
    import torchvision

    return getattr(torchvision.models, name)(), 224, 1000


class Quantizer(nn.Module):
    """Symmetric 8-bit levels with a trained range; rounding passes gradients straight through."""

    def __init__(self, *shape, low=-128):
        super().__init__()
        self.range = nn.Parameter(torch.full(shape, 2.0))
        self.low = low

    def forward(self, x):
        step = (self.range.abs() + 1e-16) / 127
        level = torch.clamp(x / step, self.low, 127)
        return step * (level + (level.round() - level).detach())


class QuantizedConv(nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.conv = conv
        self.weights, self.inputs = Quantizer(conv.out_channels, 1, 1, 1, low=-127), Quantizer(1)

    def forward(self, x):
        c = self.conv
        return F.conv2d(self.inputs(x), self.weights(c.weight), c.bias, c.stride, c.padding, c.dilation, c.groups)


def quantize_plainly(module):
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Conv2d):
            setattr(module, name, QuantizedConv(child))
        else:
            quantize_plainly(child)


def main():
    name, kind, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    torch.set_num_threads(int(sys.argv[4]) if len(sys.argv) > 4 else 2)
    torch.manual_seed(1)
    model, size, classes = network(name)
    if kind.startswith("plain"):
        quantize_plainly(model)
    elif kind == "nncf":
        import nncf

        model = nncf.quantize(model.eval(), nncf.Dataset([torch.rand(4, 3, size, size)]), subset_size=1)
    model = model.train().to(memory_format=torch.channels_last)
    batch = BATCH[name]
    images = torch.rand(batch, 3, size, size).to(memory_format=torch.channels_last)
    labels = torch.arange(batch) % classes
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    forward = torch.compile(model) if kind.endswith("compiled") else model

    def step():
        optimizer.zero_grad()
        F.cross_entropy(forward(images), labels).backward()
        optimizer.step()

    for _ in range(2):
        step()
    times, start = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < seconds:
        t = time.perf_counter()
        step()
        times.append(time.perf_counter() - t)
    print(json.dumps({
        "images_per_second": {"best": batch / min(times), "median": batch / statistics.median(times)},
        "peak_memory_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "version": torch.__version__,
    }))


if __name__ == "__main__":
    main()
