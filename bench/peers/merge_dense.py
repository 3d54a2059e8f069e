"""Merging the naive way: every ΔW dense, their sum dense, and numpy's SVD of the sum. Started by `npm run bench -- merge`.

Arguments: file adapters rank dim. The file has loraA [rank, dim] and loraB [dim, rank] of each adapter as float32. Prints one
line of JSON: seconds of wall and CPU time of the sum, of the SVD, and of TIES at density 0.2 before its SVD, which has every
ΔW twice so that they need not all be held; and what the SVD at `rank` leaves out.
"""

import json
import sys
import time

import numpy as np

path, adapters, rank, dim = sys.argv[1], *map(int, sys.argv[2:])
data = np.fromfile(path, dtype=np.float32).reshape(adapters, 2, rank * dim)
clock = lambda: (time.perf_counter(), time.process_time())
start = clock()
total = np.zeros((dim, dim), np.float32)
for a, b in data:
    total += b.reshape(dim, rank) @ a.reshape(rank, dim)
total /= adapters
summed = clock()
u, s, vt = np.linalg.svd(total, full_matrices=False)
lora_b, lora_a = u[:, :rank] * s[:rank], vt[:rank]
done = clock()
def delta(a, b):
    return b.reshape(dim, rank) @ a.reshape(rank, dim)


def trimmed(a, b, threshold):
    values = delta(a, b)
    values[np.abs(values) < threshold] = 0
    return values


begun = clock()
kept = dim * dim - round(0.2 * dim * dim)
thresholds = [np.partition(np.abs(delta(a, b)).ravel(), kept)[kept] for a, b in data]
mass = np.zeros((dim, dim), np.float32)
for (a, b), threshold in zip(data, thresholds):
    mass += trimmed(a, b, threshold)
sign, merged, count = np.sign(mass), np.zeros_like(mass), np.zeros_like(mass)
for (a, b), threshold in zip(data, thresholds):
    values = trimmed(a, b, threshold)
    agree = values * sign > 0
    merged += values * agree
    count += agree
merged /= np.maximum(count, 1)
elected = clock()
squares = s.astype(np.float64) ** 2
seconds = lambda end, begin: {"wall": end[0] - begin[0], "cpu": end[1] - begin[1]}
print(
    json.dumps(
        {
            "numpy": np.__version__,
            "sum": seconds(summed, start),
            "svd": seconds(done, summed),
            "ties": seconds(elected, begun),
            "residual": float((squares[rank:].sum() / squares.sum()) ** 0.5),
        }
    )
)
