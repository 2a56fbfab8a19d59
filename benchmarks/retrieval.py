"""Exact nearest neighbours: queries a second over those of faiss-cpu's flat index, medians of alternating runs.

    python benchmarks/retrieval.py [--database 70000] [--dimensions 4096] [--queries 512] [-k 15] [--threads 2]

Both search the same features in the same process with as many threads: non-negative ones in clusters, as behind a
ReLU. The indices are compared; where they differ, the distances say whose are nearer. Also printed: the memory that
the search takes beside its arguments, as the process's peak grows in the first run.
"""

import argparse
import os
import resource
import statistics
import time


def features(count, length, generator, centres=200):
    import torch

    middle = torch.randn(centres, length, generator=torch.Generator().manual_seed(0))
    found = torch.empty(count, length)
    for part in found.split(4096):
        which = torch.randint(centres, (len(part),), generator=generator)
        part.normal_(generator=generator).add_(middle[which]).clamp_(min=0)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", type=int, default=70_000)
    parser.add_argument("--dimensions", type=int, default=4096)
    parser.add_argument("--queries", type=int, default=512)
    parser.add_argument("-k", type=int, default=15)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    a = parser.parse_args()
    # Before either library loads its BLAS.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(a.threads)
    try:
        import faiss
    except ImportError:
        print("SKIPPED LOUDLY: faiss is not installed, so there is nothing to compare with; pip install faiss-cpu")
        return
    import torch

    from mtlkit.retrieval import nearest

    torch.set_num_threads(a.threads)
    faiss.omp_set_num_threads(a.threads)
    generator = torch.Generator().manual_seed(1)
    database, queries = (features(count, a.dimensions, generator) for count in (a.database, a.queries))

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    nearest(queries, database, a.k)
    extra = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10

    index = faiss.IndexFlatL2(a.dimensions)
    index.add(database.numpy())
    forms = {
        "mtlkit": lambda: nearest(queries, database, a.k)[1],
        "faiss": lambda: torch.from_numpy(index.search(queries.numpy(), a.k)[1]),
    }
    seconds, found = {form: [] for form in forms}, {}
    for _ in range(a.rounds):
        for form, search in forms.items():
            start = time.perf_counter()
            found[form] = search()
            seconds[form].append(time.perf_counter() - start)
    speed = {form: a.queries / statistics.median(times) for form, times in seconds.items()}
    print(f"{a.queries} queries, {a.database} x {a.dimensions}, k = {a.k}, {a.threads} threads, {a.rounds} rounds:")
    print(
        f"mtlkit {speed['mtlkit']:.0f}, faiss-cpu {faiss.__version__} {speed['faiss']:.0f} queries a second: "
        f"ratio {speed['mtlkit'] / speed['faiss']:.2f}; {extra:.0f} MiB beside the arguments"
    )

    differs = found["mtlkit"] != found["faiss"]
    rows, columns = differs.nonzero(as_tuple=True)
    ours, theirs = (
        (queries[rows].double() - database[index[rows, columns]].double()).norm(dim=1) for index in found.values()
    )
    gap = float((ours - theirs).abs().max()) if len(rows) else 0.0
    print(f"{len(rows)} of {differs.numel()} neighbours differ, by at most {gap:.1e} in distance")


if __name__ == "__main__":
    main()
