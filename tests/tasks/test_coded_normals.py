import pytest
import torch
import torch.nn.functional as F

from mtlkit.data import SCENE_LAYOUTS
from mtlkit.data.transforms import resized
from mtlkit.errors import InputError
from mtlkit.metrics.angles import Angles
from mtlkit.tasks import CodedNormals
from mtlkit.tasks.coded_normals import codebook

WORDS = tuple(map(tuple, F.normalize(torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), dim=1).tolist()))
TASK = CodedNormals(words=WORDS)


def normals(*shape, void=0.2):
    found = F.normalize(torch.randn(shape[0], 3, *shape[1:]), dim=1)
    return found * (torch.rand(shape[0], 1, *shape[1:]) > void)


def test_the_loss_is_cross_entropy_on_the_nearest_word():
    torch.manual_seed(0)
    output, target = torch.randn(2, 6, 5, 7), normals(2, 5, 7)
    book, total, count = torch.tensor(WORDS), 0.0, 0
    for image, row, column in torch.cartesian_prod(torch.arange(2), torch.arange(5), torch.arange(7)).tolist():
        truth = target[image, :, row, column]
        if truth.any():
            nearest = ((book - truth) ** 2).sum(1).argmin()
            total -= output[image, :, row, column].log_softmax(0)[nearest].item()
            count += 1
    assert TASK.losses(output, target)["cross_entropy"].item() == pytest.approx(total / count, rel=1e-5)
    assert TASK.losses(output, torch.zeros(2, 3, 5, 7))["cross_entropy"].item() == 0


def test_the_answer_is_the_words_mean_by_probability():
    torch.manual_seed(0)
    output = torch.randn(2, 6, 5, 7)
    by_hand = sum(output.softmax(1)[:, k, None] * torch.tensor(word)[:, None, None] for k, word in enumerate(WORDS))
    torch.testing.assert_close(TASK.postprocess(output), by_hand)
    sure = F.one_hot(torch.full((1, 5, 7), 4), 6).permute(0, 3, 1, 2) * 100.0
    metric = TASK.metric()
    metric.update(sure, torch.tensor(WORDS[4])[None, :, None, None].expand(1, 3, 5, 7))
    assert metric.compute()["decoded/mean"] < 0.1


def test_a_codebook_holds_unit_vectors_near_every_normal_and_is_always_the_same():
    torch.manual_seed(0)
    maps = [normals(1, 20, 20)[0] for _ in range(4)]
    book = torch.tensor(codebook(maps, 40))
    assert book.shape == (40, 3)
    torch.testing.assert_close(book.norm(dim=1), torch.ones(40), atol=1e-3, rtol=0)
    every = torch.cat([found.flatten(1).T for found in maps])
    every = every[(every != 0).any(1)]
    assert torch.rad2deg(torch.acos((every @ book.T).amax(1).clamp(max=1))).mean() < 20
    assert codebook(maps, 40) == codebook(maps, 40)


def test_too_few_normals_for_a_codebook_are_said():
    with pytest.raises(InputError, match="4 pixels with a normal cannot make a codebook of 40 words"):
        codebook([normals(1, 2, 2, void=-1)[0]])


def test_an_image_of_a_sure_answer_is_that_of_its_word():
    sure = F.one_hot(torch.full((5, 7), 2), 6).permute(2, 0, 1) * 100.0
    truth = torch.tensor(WORDS[2])[:, None, None].expand(3, 5, 7)
    assert abs(TASK.draw(TASK.postprocess(sure[None])[0]).astype(int) - TASK.draw(truth)).max() <= 1


def test_logits_are_enlarged_before_they_are_decoded():
    torch.manual_seed(0)
    output, target = 5 * torch.randn(2, 6, 3, 4), normals(2, 12, 16)
    metric, by_hand = TASK.metric(), Angles()
    metric.update(output, target)
    large = F.interpolate(output, (12, 16), mode="bilinear", align_corners=False).softmax(1)
    by_hand.update(torch.einsum("nkhw,kc->nchw", large, torch.tensor(WORDS)), target)
    assert metric.compute() == pytest.approx(by_hand.compute())


def test_a_network_that_knows_the_words_of_every_cell_is_right_on_most_pixels_of_real_frames(shared):
    """Logits are those of each word's share of a cell, 14x19 cells; decoded before they are enlarged, 70.4 %."""
    test = SCENE_LAYOUTS["folder"](shared / "data" / "nyuv2-small", "val", ("normals",))
    maps = [resized(test[index], (448, 608))["normals"].as_subclass(torch.Tensor) for index in range(0, 230, 24)]
    task = CodedNormals(words=codebook([found[:, ::4, ::4] for found in maps]))
    metric, book = task.metric(), torch.tensor(task.words)
    for found in maps:
        word = torch.einsum("chw,kc->khw", found, book).argmax(0)
        known = F.one_hot(word, 40) * (found != 0).any(0)[..., None]
        share = F.avg_pool2d(known.permute(2, 0, 1).float(), 32)
        metric.update((share / share.sum(0).clamp(min=1e-6) + 1e-4).log()[None], found[None])
    assert metric.compute()["decoded/11.25"] > 80
