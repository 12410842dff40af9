#!/usr/bin/env python3
"""Compares `nncf bench` with PyTorch and NNCF: processes in turn, A B A B …, in one run, and ratios with their spread.

    compare.py --nncf PATH [--python PATH] [--nets resnet20,…] [--kinds eager,nncf] [--rounds 5] [--seconds 12] [--config int8.json]

Float training is compared with the kinds eager and compiled, training with --config with nncf, plain and plain-compiled.
Absolute speeds differ between machines, and between minutes on a shared one; ratios of neighbours differ less. Nothing else
should run. --python is the interpreter that has torch, torchvision and, for the kind nncf, nncf.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
BATCH = {"resnet20": 128, "resnet18": 16, "resnet50": 8, "mobilenet_v2": 16}
FLOAT = ("eager", "compiled")
JEMALLOC = ("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2", "/usr/lib/aarch64-linux-gnu/libjemalloc.so.2", "/usr/lib64/libjemalloc.so.2")


def run(command, env=None):
    r = subprocess.run(command, capture_output=True, text=True, env=env)
    if r.returncode:
        sys.exit(f"{' '.join(command)}:\n{r.stderr.strip()[-2000:]}")
    return json.loads(r.stdout[r.stdout.index("{"):])


def product(a, net, config):
    c = [a.nncf, "bench", net, "--train", "--batch", str(BATCH[net]), "--threads", str(a.threads), "--seconds", str(a.seconds), "--json"]
    return run(c + (["--config", config] if config else []))


def allocator(a):
    """The environment with jemalloc, or without if there is none or torch does not load with it."""
    env = dict(os.environ, OMP_NUM_THREADS=str(a.threads))
    for path in filter(os.path.exists, JEMALLOC):
        with_it = dict(env, LD_PRELOAD=path)
        if subprocess.run([a.python, "-c", "import torch; torch.rand(2, 2) @ torch.rand(2, 2)"], env=with_it, capture_output=True).returncode == 0:
            return with_it
        print(f"torch does not run with {path}: its allocator is that of libc, which is slower at 224 pixels", file=sys.stderr)
        return env
    print("no jemalloc: the opponent uses the allocator of libc, which is slower at 224 pixels", file=sys.stderr)
    return env


def opponent(a, net, kind, env):
    return run([a.python, os.path.join(HERE, "opponent.py"), net, kind, str(a.seconds), str(a.threads)], env)


def speed(r):
    return r["images_per_second"]["median"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--nncf", required=True, help="the command of this project")
    p.add_argument("--python", default=sys.executable)
    p.add_argument("--nets", default=",".join(BATCH))
    p.add_argument("--kinds", default="eager")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=12)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--config", help="configuration of the quantized runs; without it those kinds are skipped")
    p.add_argument("--json", action="store_true", help="print one JSON object a line")
    a = p.parse_args()
    env = allocator(a)
    for net in a.nets.split(","):
        for kind in a.kinds.split(","):
            config = None if kind in FLOAT else a.config
            if kind not in FLOAT and not config:
                print(f"{net} {kind}: skipped, it needs --config", file=sys.stderr)
                continue
            ours, theirs = [], []
            for _ in range(a.rounds):
                ours.append(product(a, net, config))
                theirs.append(opponent(a, net, kind, env))
            # each run with its neighbour, and the next one of ours with the same
            ratios = sorted([speed(x) / speed(y) for x, y in zip(ours, theirs)] + [speed(x) / speed(y) for x, y in zip(ours[1:], theirs)])
            memory = max(x["peak_memory_bytes"] for x in ours) / max(y["peak_memory_bytes"] for y in theirs)
            r = {
                "net": net, "kind": kind, "rounds": a.rounds,
                "ratio": statistics.median(map(speed, ours)) / statistics.median(map(speed, theirs)),
                "ratio_least": ratios[0], "ratio_most": ratios[-1],
                "images_per_second": statistics.median(map(speed, ours)), "opponent": statistics.median(map(speed, theirs)),
                "memory_ratio": memory, "peak_share": statistics.median(x["peak_share"] for x in ours), "cpu": ours[0]["cpu"], "torch": theirs[0]["version"],
            }
            if a.json:
                print(json.dumps(r), flush=True)
            else:
                print(f"{net}, {kind}: {r['ratio']:.2f} times as fast ({r['ratio_least']:.2f} to {r['ratio_most']:.2f}), {r['images_per_second']:.1f} and "
                      f"{r['opponent']:.1f} images/s, {100 * r['peak_share']:.0f} % of the arithmetic peak, {r['memory_ratio']:.2f} of the memory", flush=True)


if __name__ == "__main__":
    main()
