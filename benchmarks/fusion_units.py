"""Equivalent forms of the units, forward and backward: times over the library's, medians of alternating runs."""

import statistics
import time

import torch
import torch.nn.functional as F

from mtlkit.fusion import NDDR, CrossStitch, Sluice

K, N, ROUNDS = 2, 4, 21
SHAPES = [(64, 80, 96), (64, 40, 48), (128, 20, 24), (256, 10, 12), (512, 5, 6)]  # resnet18 at 160x192
FORMATS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}


def split(y, x):
    layout = torch.contiguous_format if x[0].is_contiguous() else torch.channels_last
    return [part.contiguous(memory_format=layout) for part in y.chunk(K, 1)]


def towers(a, x):
    """K*K multiply-adds, `a` being (K, K) or (K, K, C, 1, 1)."""
    return [sum((w * m for w, m in zip(row[1:], x[1:], strict=True)), row[0] * x[0]) for row in a]


def einsum(a, x):
    parts = torch.cat(x, 1).unflatten(1, (len(a), -1))
    return split(torch.einsum("ab,nbchw->nachw", a, parts).flatten(1, 2), x)


def grouped(a, x):
    y = F.conv2d(torch.stack(x, 2).flatten(1, 2), a.flatten(0, 1)[..., None, None], groups=len(a))
    return split(y.unflatten(1, (-1, K)).transpose(1, 2).flatten(1, 2), x)


def dense(w, x):
    return split(F.conv2d(torch.cat(x, 1), w[..., None, None]), x)


def apart(w, x):
    joined = torch.cat(x, 1)
    return [F.conv2d(joined, block) for block in w.chunk(K)]


def matmul(w, x):
    return split((w.flatten(1) @ torch.cat(x, 1).flatten(2)).unflatten(2, x[0].shape[2:]), x)


def normed(y, scale, shift):
    return F.relu(F.batch_norm(y, None, None, scale, shift, training=True, eps=1e-3))


def normed_apart(w, x, scale, shift):
    """A product, a norm and a ReLU an encoder, so that nothing is taken apart behind the norm."""
    joined = torch.cat(x, 1).flatten(2)
    blocks = (torch.bmm(block.expand(N, -1, -1), joined).view_as(x[0]) for block in w.flatten(1).chunk(K))
    return [normed(*part) for part in zip(blocks, scale.chunk(K), shift.chunk(K), strict=True)]


def normed_unjoined(w, x, scale, shift):
    """The same without joining the maps."""
    blocks = []
    for row in w.flatten(1).chunk(K):
        first, *others = (part.expand(N, -1, -1) for part in row.chunk(K, 1))
        y = torch.bmm(first, x[0].flatten(2))
        for part, other in zip(others, x[1:], strict=True):
            y = torch.baddbmm(y, part, other.flatten(2))
        blocks.append(y.view_as(x[0]))
    return [normed(*part) for part in zip(blocks, scale.chunk(K), shift.chunk(K), strict=True)]


def normed_matmul(w, x, scale, shift):
    joined = torch.cat(x, 1)
    y = normed((w.flatten(1) @ joined.flatten(2)).view_as(joined), scale, shift)
    return split(y, x)


FORMS = {
    "cross-stitch, layer": (lambda c: CrossStitch(K, c, per="layer"), {"towers": towers, "einsum": einsum}),
    "cross-stitch, channel": (
        lambda c: CrossStitch(K, c),
        {"towers": lambda a, x: towers(a.permute(1, 2, 0)[..., None, None], x), "grouped conv": grouped},
    ),
    "sluice": (
        lambda c: Sluice(K, c),
        {"einsum": einsum, "dense conv": lambda a, x: dense(a.kron(torch.eye(x[0].shape[1] // 2)), x)},
    ),
    "NDDR, no norm": (lambda c: NDDR(K, c, norm="none"), {"conv an encoder": apart, "matmul": matmul}),
    "NDDR": (
        lambda c: NDDR(K, c, norm="output"),
        {"an encoder each": normed_apart, "maps not joined": normed_unjoined, "matmul": normed_matmul},
    ),
}

torch.set_num_threads(2)
for layout, memory in FORMATS.items():
    for title, (build, others) in FORMS.items():
        total = dict.fromkeys(["library", *others], 0.0)
        for c, h, w in SHAPES:
            unit, seconds = build(c), {form: [] for form in total}
            parameters = list(unit.parameters())  # the weight, then those of a norm
            x = [torch.randn(N, c, h, w).to(memory_format=memory).requires_grad_() for _ in range(K)]
            grads = [torch.randn(N, c, h, w).to(memory_format=memory) for _ in range(K)]
            for _ in range(ROUNDS):
                for form in total:
                    start = time.perf_counter()
                    y = unit(x) if form == "library" else others[form](*parameters[:1], x, *parameters[1:])
                    torch.autograd.grad(y, [*parameters, *x], grads)
                    seconds[form].append(time.perf_counter() - start)
            for form, times in seconds.items():
                total[form] += statistics.median(times)
        ratios = ", ".join(f"{form} {total[form] / total['library']:.2f}" for form in others)
        print(f"{layout}  {title:22} {total['library'] * 1e3:6.1f} ms; {ratios}", flush=True)
