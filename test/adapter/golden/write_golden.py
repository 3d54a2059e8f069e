"""Writes golden.json: files and random numbers made from docs/adapter-format.md and the papers alone.

Needs only Python's standard library; shares no code with the package. Run from any folder:
    python3 test/adapter/golden/write_golden.py
"""

import hashlib
import json
import math
import pathlib
import struct

MASK = 0xFFFFFFFF


def seal(content):
    return content + hashlib.sha256(content).digest()


def adapter_bytes(rank, in_features, out_features, alpha, rs_lora, step, sections, meta):
    parts = [(code, 1, struct.pack(f"<{len(values)}f", *values)) for code, values in sections]
    parts.append((6, 2, json.dumps(meta, separators=(",", ":"), ensure_ascii=False).encode()))
    header = b"LORAKEET" + struct.pack("<II", 1, 48 + 8 * len(parts))
    header += struct.pack("<IIII", rank, in_features, out_features, 1 if rs_lora else 0)
    header += struct.pack("<dII", alpha, step, len(parts))
    table = b"".join(struct.pack("<HHI", code, encoding, len(data)) for code, encoding, data in parts)
    return seal(header + table + b"".join(data for _, _, data in parts))


def snapshot_bytes(blobs):
    frames = b"".join(struct.pack("<I", len(blob)) + blob for blob in blobs)
    return seal(b"LORASNAP" + struct.pack("<II", 1, len(blobs)) + frames)


def hash_seed(seed, text):
    return struct.unpack("<4I", hashlib.sha256(struct.pack("<I", seed) + text.encode()).digest()[:16])


def rotate_left(word, bits):
    return ((word << bits) | (word >> (32 - bits))) & MASK


def xoshiro128starstar(state, count):
    """Blackman & Vigna, xoshiro128** 1.1."""
    s = list(state)
    words = []
    for _ in range(count):
        words.append(rotate_left(s[1] * 5 & MASK, 7) * 9 & MASK)
        shifted = s[1] << 9 & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= shifted
        s[3] = rotate_left(s[3], 11)
    return words


def initial_weights(rank, in_features, out_features, seed, text):
    bound = math.sqrt(6 / (in_features + rank))
    words = xoshiro128starstar(hash_seed(seed, text), rank * in_features)
    lora_a = [-bound + 2 * bound * (word / 2**32) for word in words]
    as_float32 = struct.unpack(f"<{len(lora_a)}f", struct.pack(f"<{len(lora_a)}f", *lora_a))
    return list(as_float32) + [0.0] * (rank * out_features)


# dyadic numbers, exact in every format; a negative zero and the smallest denormal among them
WEIGHTS = [0.5, -0.0, 2.0**-149, -1.25, 3.0, -2.0, 0.125, 8.0, -0.75, 1.0]
PLAIN = dict(rank=2, in_features=2, out_features=3, alpha=0.1, rs_lora=False, step=7, meta={"userId": "ünï-☃", "n": 3})
FULL = dict(PLAIN, rs_lora=True, step=2**32 - 1, meta={})
FULL_SECTIONS = [(1, WEIGHTS)] + [(code, [abs(w) * code for w in WEIGHTS]) for code in (2, 3, 4, 5)]

plain = adapter_bytes(sections=[(1, WEIGHTS)], **PLAIN)
full = adapter_bytes(sections=FULL_SECTIONS, **FULL)
golden = {
    "plain": plain.hex(),
    "full": full.hex(),
    "snapshot": snapshot_bytes([plain, full, plain]).hex(),
    "emptySnapshot": snapshot_bytes([]).hex(),
    "seeds": [
        {"seed": seed, "text": text, "state": hash_seed(seed, text), "words": xoshiro128starstar(hash_seed(seed, text), 8)}
        for seed, text in [(0, ""), (0, "user-1"), (2**32 - 1, "ünï-☃"), (20240229, "alice")]
    ],
    "initialWeights": {
        "shape": {"rank": 2, "inFeatures": 3, "outFeatures": 2, "alpha": 1},
        "seed": 42,
        "text": "alice",
        "weights": initial_weights(2, 3, 2, 42, "alice"),
    },
}
path = pathlib.Path(__file__).with_name("golden.json")
path.write_text(json.dumps(golden, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
