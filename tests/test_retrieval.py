import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from mtlkit.errors import InputError
from mtlkit.retrieval import NeighbourHits, average_precision, estimate, nearest

SEEDS = st.integers(0, 999)


def naive(queries, database, k):
    distance = (queries.double()[:, None] - database.double()).square().sum(-1).sqrt()
    found, index = distance.sort(dim=1, stable=True)
    return found[:, :k], index[:, :k]


def vectors(count, length, seed, *, of=None):
    """Whole numbers from few, so that many distances are equal; or real ones."""
    generator = torch.Generator().manual_seed(seed)
    if of is None:
        return torch.randn(count, length, generator=generator)
    return torch.randint(of, (count, length), generator=generator).float()


@settings(max_examples=40)
@given(
    seed=SEEDS, q=st.integers(0, 9), n=st.integers(1, 90), length=st.integers(1, 20), of=st.sampled_from([None, 2, 9]),
    memory=st.sampled_from([1, 2**12, 2**30]), data=st.data(),
)  # fmt: skip
def test_the_nearest_are_those_of_a_full_sort_with_ties_by_index(seed, q, n, length, of, memory, data):
    queries, database = vectors(q, length, seed, of=of), vectors(n, length, seed + 1000, of=of)
    k = data.draw(st.integers(1, n))
    distances, indices = nearest(queries, database, k, memory=memory)
    expected, order = naive(queries, database, k)
    assert torch.equal(indices, order)
    torch.testing.assert_close(distances, expected.float(), rtol=1e-6, atol=0)


def test_equals_sklearn_on_a_database_of_many_blocks():
    database, queries = vectors(9001, 24, 0), vectors(50, 24, 1)
    distances, indices = nearest(queries, database, 10)
    expected, order = NearestNeighbors(n_neighbors=10, algorithm="brute").fit(database.double()).kneighbors(queries)
    assert (indices.numpy() == order).all()
    assert distances.numpy() == pytest.approx(expected, rel=1e-6)


def test_equals_faiss():
    faiss = pytest.importorskip("faiss", reason="SKIPPED LOUDLY: faiss is not installed")
    database, queries = vectors(6000, 32, 0), vectors(40, 32, 1)
    index = faiss.IndexFlatL2(32)
    index.add(database.numpy())
    squares, order = index.search(queries.numpy(), 7)
    distances, indices = nearest(queries, database, 7)
    assert (indices.numpy() == order).all()
    assert distances.square().numpy() == pytest.approx(squares, rel=1e-4)


def test_the_same_vector_is_at_distance_0_however_far_from_the_origin():
    # 1e4 from the origin a squared distance by products is off by several units.
    database = vectors(500, 64, 0) * 1e-3 + 1e4
    distances, indices = nearest(database[:50], database, 5)
    expected, order = naive(database[:50], database, 5)
    assert (distances[:, 0] == 0).all()
    assert torch.equal(indices, order)
    torch.testing.assert_close(distances, expected.float(), rtol=1e-6, atol=0)


def test_more_copies_than_candidates_are_all_found_in_order():
    database = vectors(3, 8, 0).repeat(200, 1)
    distances, indices = nearest(database[1:2], database, 6)
    assert indices.tolist() == [[1, 4, 7, 10, 13, 16]]
    assert (distances == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.uint8])
def test_any_type_is_searched_as_if_it_were_converted_before(dtype):
    database, queries = (vectors(n, 12, n, of=50).to(dtype) for n in (5000, 9))
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    for found, expected in zip(
        nearest(queries, database, 4), nearest(queries.to(wide), database.to(wide), 4), strict=True
    ):
        assert torch.equal(found, expected)


def test_lower_precision_elsewhere_changes_nothing():
    database, queries = vectors(300, 16, 0), vectors(5, 16, 1)
    expected = nearest(queries, database, 5)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = nearest(queries, database, 5)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert all(map(torch.equal, found, expected))


def test_an_estimate_is_the_mean_of_the_first_k():
    values = torch.tensor([100.0, 200.0, 400.0, 800.0])
    indices = torch.tensor([[0, 1, 3], [2, 2, 0]])
    assert estimate(values, indices, 2).tolist() == [150, 400]
    assert estimate(values, indices).tolist() == pytest.approx([1100 / 3, 300])
    assert torch.equal(estimate(values, indices, 1), values[indices[:, 0]])


def naive_ap(hits, normaliser, relevant):
    total = sum(sum(hits[: j + 1]) / (j + 1) for j in range(len(hits)) if hits[j])
    by = {"hits": sum(hits), "k": len(hits), "relevant": min(len(hits), relevant)}[normaliser]
    return total / by if sum(hits) else 0.0


@given(seed=SEEDS, k=st.integers(1, 10), normaliser=st.sampled_from(["hits", "k", "relevant"]))
def test_average_precision_is_its_sum(seed, k, normaliser):
    generator = torch.Generator().manual_seed(seed)
    hits = torch.rand(6, k, generator=generator) < 0.5
    relevant = hits.sum(1) + torch.randint(9, (6,), generator=generator)
    found = average_precision(hits, normaliser, relevant)
    rows = zip(hits.tolist(), relevant.tolist(), strict=True)
    assert found.tolist() == pytest.approx([naive_ap(row, normaliser, int(n)) for row, n in rows])


def measures(queries, database, indices, at=(1, 5, 10), **choices):
    metric = NeighbourHits(at, **choices)
    metric.update(queries, database, indices)
    return metric.compute()


@given(seed=SEEDS, average=st.sampled_from(["categories", "queries"]), normaliser=st.sampled_from(["hits", "relevant"]))
def test_measures_of_neighbours_are_the_means_of_average_precisions(seed, average, normaliser):
    generator = torch.Generator().manual_seed(seed)
    queries, database = (torch.randint(4, (n,), generator=generator) for n in (12, 40))
    indices = torch.rand(12, 40, generator=generator).argsort(1)[:, :10]
    found = measures(queries, database, indices, normaliser=normaliser, average=average)
    hits = database[indices] == queries[:, None]
    for k in (1, 5, 10):
        each = torch.tensor(
            [
                naive_ap(row[:k], normaliser, int((database == label).sum()))
                for row, label in zip(hits.tolist(), queries, strict=True)
            ]
        )
        if average == "categories":
            each = torch.stack([each[queries == label].mean() for label in queries.unique()])
        assert found[f"map{k}"] == pytest.approx(100 * float(each.mean()), abs=1e-4)
    assert found["top1"] == pytest.approx(100 * float(hits[:, 0].float().mean()), abs=1e-4)


def test_the_default_normaliser_rises_where_a_first_miss_is_followed_by_hits_and_k_falls_after_a_first_hit():
    queries, database = torch.zeros(1, dtype=torch.int64), torch.tensor([1, 0, 0])
    indices = torch.arange(3)[None]
    by_hits = measures(queries, database, indices, (1, 3))
    by_k = measures(queries, database, torch.tensor([[1, 0, 2]]), (1, 3), normaliser="k")
    assert by_hits["map1"] == 0 < by_hits["map3"]
    assert by_k["map3"] < by_k["map1"] == 100


def test_a_category_that_the_database_lacks_is_never_hit():
    found = measures(torch.tensor([7]), torch.tensor([1, 2]), torch.tensor([[0, 1]]), (1, 2), normaliser="relevant")
    assert found == {"map1": 0, "map2": 0, "top1": 0}


def test_nothing_asked_is_not_a_number():
    found = measures(torch.zeros(0, dtype=torch.int64), torch.tensor([1]), torch.zeros(0, 1, dtype=torch.int64), (1,))
    assert all(math.isnan(value) for value in found.values())


@pytest.mark.parametrize(
    ("queries", "database", "k", "says"),
    [
        ((2, 3), (5, 3), 6, "6 nearest .* among 5"),
        ((2, 3), (5, 3), 0, "0 nearest .* 1 to 5"),
        ((2, 3), (5, 4), 1, "length 3 .* length 4"),
        ((3,), (5, 3), 1, r"Queries .*\(3,\)"),
    ],
)
def test_what_cannot_be_searched_is_refused(queries, database, k, says):
    with pytest.raises(InputError, match=says):
        nearest(torch.zeros(queries), torch.zeros(database), k)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e30])
def test_a_vector_without_a_length_is_refused_by_its_row(bad):
    good, wrong = torch.zeros(5, 3), torch.zeros(5, 3)
    wrong[3, 1] = bad
    with pytest.raises(InputError, match="Row 3 of the database"):
        nearest(good, wrong, 1)
    with pytest.raises(InputError, match="Row 3 of the queries"):
        nearest(wrong, good, 1)


def test_unknown_names_and_too_few_neighbours_are_refused():
    labels, indices = torch.tensor([0, 1]), torch.tensor([[0, 1], [1, 0]])
    with pytest.raises(InputError, match="did you mean 'hits'"):
        average_precision(indices > 0, "hit")
    with pytest.raises(InputError, match="average 'mean'"):
        measures(labels, labels, indices, (1,), average="mean")
    with pytest.raises(InputError, match="5 neighbours are not among the 2"):
        measures(labels, labels, indices)
    with pytest.raises(InputError, match="3 neighbours are not among the 2"):
        estimate(labels.float(), indices, 3)
