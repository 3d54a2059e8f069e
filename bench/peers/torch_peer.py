"""PyTorch as a peer: the update of many users as batched matrix products, on one thread.

Answers the requests of bench/native/peers/main.cc for one peer, `torch`. Needs torch; started by the benchmark.
"""

import sys
import time

import torch

torch.set_num_threads(1)
torch.set_grad_enabled(False)


def batch(shape, states, x, target):
    """states [users, 3, 2·rank·dim] as exchanged: A [rank, dim], then B [dim, rank]."""
    dim, rank, users, rows = shape
    matrix = rank * dim
    a = states[:, :, :matrix].reshape(users, 3, rank, dim)
    b = states[:, :, matrix:].reshape(users, 3, dim, rank)
    # B is kept as [rank, dim], which the products take without copies
    sections = [(a[:, i].contiguous(), b[:, i].transpose(1, 2).contiguous()) for i in range(3)]
    return sections, x.reshape(users, rows, dim), target.reshape(users, rows, dim)


def apply(shape, sections, x):
    (a, b), _, _ = sections
    return torch.baddbmm(x, torch.bmm(x, a.transpose(1, 2)), b, alpha=1 / shape[1])


def update(shape, sections, x, target, learning_rate, max_norm, ewc):
    """One SGD step with clipping, then EWC in its proximal form. The last three are [users, 1, 1]."""
    dim, rank, _, rows = shape
    (a, b), fisher, anchor = sections
    z = torch.bmm(x, a.transpose(1, 2))
    e = torch.baddbmm(x - target, z, b, alpha=1 / rank)
    loss = e.square().mean((1, 2))
    e.mul_(2 / (rank * rows * dim))
    grad_b = torch.bmm(z.transpose(1, 2), e)
    grad_a = torch.bmm(torch.bmm(e, b.transpose(1, 2)).transpose(1, 2), x)
    norm = (grad_a.square().sum((1, 2)) + grad_b.square().sum((1, 2))).sqrt()
    rate = (learning_rate * (max_norm / norm.view(-1, 1, 1)).clamp(max=1)).neg_()
    pull = learning_rate * ewc
    for weights, grad, f, goal in ((a, grad_a, fisher[0], anchor[0]), (b, grad_b, fisher[1], anchor[1])):
        strength = pull * f
        weights.addcmul_(grad, rate).addcmul_(strength, goal).div_(strength.add_(1))
    return loss, norm


def check(operation, shape, stdin):
    dim, rank, users, rows = shape
    floats = lambda count: torch.frombuffer(bytearray(stdin.read(4 * count)), dtype=torch.float32)
    steps = floats(3 * users).view(users, 3).t().reshape(3, users, 1, 1)
    states = floats(users * 6 * rank * dim).view(users, 3, -1)
    sections, x, target = batch(shape, states, floats(users * rows * dim), floats(users * rows * dim))
    if operation == "apply":
        return apply(shape, sections, x).flatten()
    loss, norm = update(shape, sections, x, target, *steps)
    slabs = [part for a, b in sections for part in (a.flatten(1), b.transpose(1, 2).flatten(1))]
    clipped = (norm > steps[1].flatten()).float()
    return torch.cat([torch.cat(slabs, 1).flatten(), loss, norm, clipped])


def median_seconds(body, sample_seconds=2e-3, samples=15):
    def sample(calls):
        start = time.thread_time()
        for _ in range(calls):
            body()
        return time.thread_time() - start

    calls = 1
    while sample(calls) < sample_seconds:
        calls *= 2
    return sorted(sample(calls) for _ in range(samples))[samples // 2] / calls


def time_one(operation, shape):
    """ns per user; the faster of the users asked for and as many, up to 256, as fit 64 MiB."""
    dim, rank, users, rows = shape
    many = max(1, min(256, (64 << 20) // (24 * rank * dim + 8 * rows * dim)))
    times = []
    for count in {users, many}:
        torch.manual_seed(1)
        states = torch.randn(count, 3, 2 * rank * dim) / dim**0.5
        states[:, 1].abs_()
        some = (dim, rank, count, rows)
        sections, x, target = batch(some, states, torch.randn(count * rows * dim), torch.randn(count * rows * dim))
        sizes = [torch.full((count, 1, 1), value) for value in (1e-3, 1.0, 0.5)]
        body = lambda: apply(some, sections, x)
        if operation == "update":
            body = lambda: update(some, sections, x, target, *sizes)
        times.append(1e9 * median_seconds(body) / count)
    return torch.tensor([min(times)])


def answer(line, stdin):
    verb, *words = line.split()
    if verb == "names":
        return f"torch={torch.__version__}\n".encode()
    operation, shape = words[1], tuple(int(word) for word in words[2:6])
    values = check(operation, shape, stdin) if verb == "check" else time_one(operation, shape)
    return f"{len(values)}\n".encode() + values.contiguous().numpy().tobytes()


if __name__ == "__main__":
    for request in sys.stdin.buffer:
        try:
            reply = answer(request.decode(), sys.stdin.buffer)
        except Exception as error:  # told to the benchmark, which decides
            reply = f"error {error!r}\n".encode()
        sys.stdout.buffer.write(reply)
        sys.stdout.buffer.flush()
