"""Writes merges.json: what every merge gives, in float64 with numpy on whole ΔW. Needs numpy; run it in this folder.

Written from the equations of docs/merging.md, not from the TypeScript: nothing here uses factors, cores or blocks.
"""

import hashlib
import json

import numpy as np

rng = np.random.default_rng(20260229)
SHAPES = {"q": (12, 10), "v": (5, 7)}
RANKS = {"q": [2, 3, 1], "v": [2, 1, 2]}
SCALINGS = [2.0, 0.5, 1.5]
WEIGHTS = [0.7, -0.4, 1.1]
TOLERANCE = 1e-6


def single(*shape):
    return rng.normal(size=shape).astype(np.float32).astype(np.float64)


def gauss_newton(a, b, s, x):
    second = (x**2).mean(0)
    f_a = s**2 * np.outer((b**2).sum(0), second)
    f_b = s**2 * np.tile(((x @ a.T) ** 2).mean(0), (b.shape[0], 1))
    return np.concatenate([f_a.ravel(), f_b.ravel()]).astype(np.float32).astype(np.float64)


adapters = []
for i, s in enumerate(SCALINGS):
    modules = {}
    for name, (out, inn) in SHAPES.items():
        r = RANKS[name][i]
        a, b, drift_a, drift_b = single(r, inn), single(out, r), single(r, inn), single(out, r)
        anchor_a = (a + 0.1 * drift_a).astype(np.float32).astype(np.float64)
        anchor_b = (b + 0.1 * drift_b).astype(np.float32).astype(np.float64)
        x = rng.normal(size=(40, inn)) * rng.uniform(0.2, 2, size=inn)
        modules[name] = dict(
            a=a, b=b, s=s, anchor_a=anchor_a, anchor_b=anchor_b, fisher=gauss_newton(anchor_a, anchor_b, s, x)
        )
    adapters.append(modules)

deltas = {name: [m[name]["s"] * m[name]["b"] @ m[name]["a"] for m in adapters] for name in SHAPES}


def truncate(m, rank):
    u, s, vt = np.linalg.svd(m, full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ vt[:rank]


def trimmed(v, density):
    size = np.abs(v).ravel()
    kth = np.sort(size)[::-1][max(1, int(density * size.size + 0.5)) - 1]
    return np.where(np.abs(v) >= max(kth * (1 - TOLERANCE), size.max() * TOLERANCE), v, 0)


def elected(ts, weights, method, lam):
    weighted = np.array([w * t for w, t in zip(weights, ts)])
    mass, size = weighted.sum(0), np.abs(weighted).sum(0)
    sign = np.where(np.abs(mass) <= TOLERANCE * size, 0, np.sign(mass))
    if method == "frequency":
        votes = np.sign(weighted).sum(0)
        sign = np.where(votes != 0, np.sign(votes), sign)
    agree = (weighted * sign) > 0
    share = (np.abs(np.array(weights))[:, None, None] * agree).sum(0)
    return lam * (weighted * agree).sum(0) / np.where(share > 0, share, 1)


def added(ts, weights):
    return sum(w * t for w, t in zip(weights, ts))


class Xoshiro128:
    """xoshiro128** 1.1, seeded as lorakeet's hashSeed does."""

    def __init__(self, seed, text):
        digest = hashlib.sha256(seed.to_bytes(4, "little") + text.encode()).digest()
        self.s = [int.from_bytes(digest[4 * i : 4 * i + 4], "little") for i in range(4)]

    def next(self):
        rotl = lambda x, k: ((x << k) | (x >> (32 - k))) & 0xFFFFFFFF
        s = self.s
        result = rotl(s[1] * 5 & 0xFFFFFFFF, 7) * 9 & 0xFFFFFFFF
        t = s[1] << 9 & 0xFFFFFFFF
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 11)
        return result

    def uniforms(self, n):
        return np.array([np.float32(-1 + 2 * (self.next() / 2**32)) for _ in range(n)], dtype=np.float64)


def threefry_words(seed, text, count):
    """Threefry-2×32 with 13 rounds; the key is the start of lorakeet's hashSeed, word i half of the block i // 2."""
    digest = hashlib.sha256(seed.to_bytes(4, "little") + text.encode()).digest()
    k = [int.from_bytes(digest[4 * i : 4 * i + 4], "little") for i in range(2)]
    k.append(0x1BD11BDA ^ k[0] ^ k[1])
    words = []
    for block in range((count + 1) // 2):
        x, y = (block + k[0]) % 2**32, k[1]
        for i in range(13):
            r = (13, 15, 26, 6, 17, 29, 16, 24)[i % 8]
            x = (x + y) % 2**32
            y = (y << r | y >> (32 - r)) % 2**32 ^ x
            if i % 4 == 3:
                j = i // 4 + 1
                x, y = (x + k[j % 3]) % 2**32, (y + k[(j + 1) % 3] + j) % 2**32
        words += [x, y]
    return np.array(words[:count])


def dropped(ts, weights, density, seed, name):
    out, inn = ts[0].shape
    draw = Xoshiro128(seed, "dare order")
    g, h = draw.uniforms(out), draw.uniforms(inn)
    order = sorted(range(len(ts)), key=lambda i: (g @ ts[i] @ h, weights[i]))
    result = [None] * len(ts)
    for position, i in enumerate(order):
        mask = (threefry_words(seed, f"dare {position} {name}", ts[i].size) < density * 2**32).reshape(ts[i].shape)
        result[i] = ts[i] * mask / density
    return result


def to_core(ts):
    """Left singular vectors of [ΔW₁ … ΔWₙ], right ones of [ΔW₁; …; ΔWₙ], as far as they are not noise."""
    u, s, _ = np.linalg.svd(np.concatenate(ts, 1), full_matrices=False)
    u = u[:, s > 1e-9 * s[0]]
    _, s, vt = np.linalg.svd(np.concatenate(ts, 0), full_matrices=False)
    vt = vt[s > 1e-9 * s[0]]
    return u, vt, [u.T @ t @ vt.T for t in ts]


def in_core(ts, f):
    u, vt, cores = to_core(ts)
    return u @ f(cores) @ vt


def tsv(ts, weights, lam, keep=None, ranks=None):
    k = keep or max(1, min(ts[0].shape) // len(ts))
    us, ss, vs = [], [], []
    for t, w, r in zip(ts, weights, ranks):
        u, s, vt = np.linalg.svd(w * t, full_matrices=False)
        m = min(k, r)
        us.append(u[:, :m]), ss.append(s[:m]), vs.append(vt[:m].T)

    def polar(columns):
        p, d, qt = np.linalg.svd(columns, full_matrices=False)
        n = (d > 1e-6 * d[0]).sum()
        return p[:, :n] @ qt[:n]

    u, v = polar(np.concatenate(us, 1)), polar(np.concatenate(vs, 1))
    return lam * (u * np.concatenate(ss)) @ v.T


def precision(m):
    r, inn = m["a"].shape
    return m["fisher"][: r * inn].reshape(r, inn).sum(0) / (m["s"] ** 2 * (m["anchor_b"] ** 2).sum())


def precision_average(name):
    ms = [m[name] for m in adapters]
    p = [precision(m) for m in ms]
    total = sum(p)
    return sum(m["s"] * m["b"] @ m["a"] * (pi / total) for m, pi in zip(ms, p)), sum(
        m["s"] * m["anchor_b"] @ m["anchor_a"] * (pi / total) for m, pi in zip(ms, p)
    )


average = [1 / 3] * 3
share = [w / sum(WEIGHTS) for w in WEIGHTS]
cases = []


def case(method, options, f, rank=None):
    """f(ΔWs, name) is the merge before it is brought to `rank`."""
    expected, missed, norm = {}, 0, 0
    for name, ts in deltas.items():
        full = f(ts, name)
        kept = truncate(full, rank) if rank else full
        expected[name] = [float(f"{x:.8g}") for x in kept.ravel()]
        missed, norm = missed + ((full - kept) ** 2).sum(), norm + (full**2).sum()
    if rank:
        options = {**options, "rank": rank}
    cases.append(dict(method=method, options=options, expected=expected, residual=float((missed / norm) ** 0.5)))


for rank in (None, 3, 1):
    case("average", {}, lambda ts, _: added(ts, average), rank)
    case("weightedAverage", {"weights": WEIGHTS}, lambda ts, _: added(ts, share), rank)
    case("taskArithmetic", {"weights": WEIGHTS}, lambda ts, _: added(ts, WEIGHTS), rank)
    case("precisionAverage", {}, lambda _, name: precision_average(name)[0], rank)
case("concatenate", {"weights": WEIGHTS}, lambda ts, _: added(ts, WEIGHTS))
for density, method, lam, weights in [(0.4, "total", 1, WEIGHTS), (0.7, "frequency", 0.5, [1] * 3), (1, "total", 1, [1] * 3)]:
    options = {"density": density, "majoritySign": method, "lambda": lam, "weights": weights}
    f = lambda ts: elected([trimmed(t, density) for t in ts], weights, method, lam)
    for rank in (10, 2):
        case("ties", options, lambda ts, _: f(ts), rank)
    case("ties", {**options, "space": "core"}, lambda ts, _: in_core(ts, f))
    case("ties", {**options, "space": "core"}, lambda ts, _: in_core(ts, f), 2)
for density in (0.3, 0.8):
    options = {"density": density, "weights": WEIGHTS}
    f = lambda ts: added([trimmed(t, density) for t in ts], WEIGHTS)
    case("magnitudePrune", options, lambda ts, _: f(ts), 10)
    case("magnitudePrune", {**options, "space": "core"}, lambda ts, _: in_core(ts, f))
    for seed in (0, 7):
        case("dareLinear", {**options, "seed": seed}, lambda ts, n: added(dropped(ts, WEIGHTS, density, seed, n), WEIGHTS), 10)
        case(
            "dareTies",
            {**options, "seed": seed, "majoritySign": "frequency"},
            lambda ts, n: elected(dropped(ts, WEIGHTS, density, seed, n), WEIGHTS, "frequency", 1),
            10,
        )
for keep, lam, weights in [(None, 1, [1] * 3), (1, 2, WEIGHTS), (5, 1, WEIGHTS)]:
    options = {"weights": weights, "lambda": lam, **({"keep": keep} if keep else {})}
    case("tsv", options, lambda ts, n: tsv(ts, weights, lam, keep, RANKS[n]))
    case("tsv", options, lambda ts, n: tsv(ts, weights, lam, keep, RANKS[n]), 2)

exact = lambda m: [float(f"{x:.9g}") for x in np.ravel(m)]
json.dump(
    dict(
        adapters=[
            {
                name: dict(
                    rank=RANKS[name][i],
                    inFeatures=SHAPES[name][1],
                    outFeatures=SHAPES[name][0],
                    scaling=m[name]["s"],
                    loraA=exact(m[name]["a"]),
                    loraB=exact(m[name]["b"]),
                    fisher=exact(m[name]["fisher"]),
                    anchor=exact(m[name]["anchor_a"]) + exact(m[name]["anchor_b"]),
                )
                for name in SHAPES
            }
            for i, m in enumerate(adapters)
        ],
        precision={name: exact(sum(precision(m[name]) for m in adapters)) for name in SHAPES},
        precisionAnchor={name: exact(precision_average(name)[1]) for name in SHAPES},
        cases=cases,
    ),
    open("merges.json", "w"),
)
print(len(cases), "cases")
