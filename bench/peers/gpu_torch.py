"""The update in PyTorch on the GPU, as batched matrix products and compiled: what bench/gpu.sh compares with.

    python3 bench/peers/gpu_torch.py [--device cuda] [--seconds 60]

Prints a line for every shape, and stops when the time is up. Exit status 3 when there is no torch or no such device.
"""

import argparse
import sys
import time

try:
    import torch

    from torch_peer import update
except ImportError as error:
    print(f"no PyTorch: {error}")
    sys.exit(3)

SHAPES = ((64, 4), (128, 8), (384, 8), (768, 16), (1536, 16))
MOST_BYTES = 8 << 30


def seconds_of(body, device):
    def sample(calls):
        wait(device)
        start = time.perf_counter()
        for _ in range(calls):
            body()
        wait(device)
        return time.perf_counter() - start

    for _ in range(3):
        sample(1)
    calls = max(1, min(100, int(0.05 / sample(1))))
    return sorted(sample(calls) / calls for _ in range(3))[1]


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


def time_shape(function, dim, rank, rows, device, most_users):
    users = max(1, min(most_users, MOST_BYTES // (4 * (6 * rank * dim + 2 * rows * dim))))
    shape = (dim, rank, users, rows)
    torch.manual_seed(1)
    numbers = lambda *sizes: torch.randn(*sizes, device=device) / dim**0.5
    sections = [(numbers(users, rank, dim).abs(), numbers(users, rank, dim).abs()) for _ in range(3)]
    x, target = numbers(users, rows, dim), numbers(users, rows, dim)
    rate, bound, ewc = (torch.full((users, 1, 1), value, device=device) for value in (1e-3, 1.0, 0.5))
    return users, seconds_of(lambda: function(shape, sections, x, target, rate, bound, ewc), device)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--users", type=int, default=10000)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("PyTorch sees no GPU")
        sys.exit(3)
    end = time.monotonic() + options.seconds
    for name, function in (("batched", update), ("compiled", torch.compile(update))):
        for dim, rank in SHAPES:
            for rows in (1, 8, 64):
                if time.monotonic() > end:
                    print(f"torch {name}: stopped, the time is up")
                    return
                try:
                    users, taken = time_shape(function, dim, rank, rows, options.device, options.users)
                except Exception as error:  # a compiler that is missing must not hide the batched figures
                    print(f"torch {name} {dim}/{rank} n={rows}: {str(error).splitlines()[0]}")
                    break
                print(f"torch  {name:8} {dim:4}/{rank:<3} n={rows:<2} U={users:<8} {1e9 * taken / users:9.1f} ns/user", flush=True)


if __name__ == "__main__":
    main()
