#!/usr/bin/env python3
"""Compares convolutions, pass by pass, with oneDNN as PyTorch calls it: one thread, in turn, shape by shape.

    convolutions.py [--python PATH] [--rounds 3] [--seconds 0.3] [--set avx2] [--shapes 8x64@56]

Needs Go and the sources of this project, and an interpreter with torch. Per shape (images x channels @ pixels - channels,
kernel, stride) and pass (f forward, d gradient of the input, w gradient of the weights) it prints GFLOP/s of both, medians of
the rounds, and their ratio: ours over the better of oneDNN's layouts, channels last and its own choice for NCHW tensors. A round
takes the least processor time of many calls of oneDNN, and of our kernels the least of each task of a call.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PASSES = "fdw"


def opponent(spec, seconds):
    """Times the passes of one shape in PyTorch; runs in the other interpreter."""
    import time

    import torch

    torch.set_num_threads(1)
    n, ic, hw, oc, k, s = spec
    result = {}
    for layout in (torch.channels_last, torch.contiguous_format):
        x = torch.randn(n, ic, hw, hw).to(memory_format=layout)
        w = torch.randn(oc, ic, k, k).to(memory_format=layout)
        conv = lambda: torch.ops.aten.convolution(x, w, None, [s, s], [k // 2] * 2, [1, 1], False, [0, 0], 1)
        dy = torch.randn_like(conv())
        back = lambda mask: torch.ops.aten.convolution_backward(dy, x, w, [0], [s, s], [k // 2] * 2, [1, 1], False, [0, 0], 1, mask)
        runs = {"f": conv, "d": lambda: back([True, False, False]), "w": lambda: back([False, True, False])}
        flops = 2 * dy.numel() * ic * k * k
        with torch.no_grad():
            for name, f in runs.items():
                f()
                times, end = [], time.perf_counter() + seconds
                while time.perf_counter() < end or len(times) < 3:
                    t = time.thread_time()
                    f()
                    times.append(time.thread_time() - t)
                result[name] = max(result.get(name, 0), flops / min(times) / 1e9)
    return result


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--python", default=sys.executable)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=float, default=0.3)
    p.add_argument("--set", default="avx2", help="kernels: avx2 or avx512")
    p.add_argument("--shapes", default="", help="only those with this in their name")
    p.add_argument("--opponent", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.opponent:
        print(json.dumps(opponent(json.loads(a.opponent), a.seconds)))
        return
    with tempfile.TemporaryDirectory() as tmp:
        binary = os.path.join(tmp, "conv.test")
        subprocess.run(["go", "test", "-c", "-o", binary, "./internal/kernel/conv"], cwd=ROOT, check=True)
        compare(a, binary)


def ours(a, binary, pattern):
    """Runs benchmarks of our kernels: GFLOP/s by shape and pass."""
    command = [binary, "-test.run", "^$", "-test.bench", f"^Benchmark$/^impl={a.set}$/^pass=[fdw]$/{pattern}", "-test.benchtime", f"{a.seconds}s", "-test.cpu", "1"]
    out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=os.path.join(ROOT, "internal/kernel/conv")).stdout
    found = {}
    for line in out.splitlines():
        m = re.match(r"Benchmark/impl=\S+/pass=(.)/shape=(\S+?)(-\d+)?\s.*?([\d.]+) GFLOP/s", line)
        if m:
            found.setdefault(m[2], {})[m[1]] = float(m[4])
    return found


def compare(a, binary):
    names = [n for n in ours(argparse.Namespace(**{**vars(a), "seconds": 0.001}), binary, "shape=") if a.shapes in n]
    print(f"{'shape':24} " + "  ".join(f"{q}: ours oneDNN ratio" for q in PASSES))
    ratios = {q: [] for q in PASSES}
    for name in names:
        spec = [int(v) for v in re.fullmatch(r"(\d+)x(\d+)@(\d+)-(\d+)_k(\d+)s(\d+)", name).groups()]
        mine, theirs = {q: [] for q in PASSES}, {q: [] for q in PASSES}
        for _ in range(a.rounds):
            for q, v in ours(a, binary, f"^shape={re.escape(name)}$")[name].items():
                mine[q].append(v)
            r = subprocess.run([a.python, os.path.abspath(__file__), "--opponent", json.dumps(spec), "--seconds", str(a.seconds)], capture_output=True, text=True)
            if r.returncode:
                sys.exit(r.stderr[-2000:])
            for q, v in json.loads(r.stdout).items():
                theirs[q].append(v)
        cells = []
        for q in PASSES:
            m, t = statistics.median(mine[q]), statistics.median(theirs[q])
            ratios[q].append(m / t)
            cells.append(f"{m:7.1f} {t:6.1f}  {m / t:5.2f}")
        print(f"{name:24} " + "  ".join(cells), flush=True)
    print("median of the ratios: " + ", ".join(f"{q} {statistics.median(v):.2f}" for q, v in ratios.items() if v))


if __name__ == "__main__":
    main()
