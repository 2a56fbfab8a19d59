import pytest
import torch

from mtlkit.errors import InputError
from mtlkit.heads import Embedding


@pytest.mark.parametrize("stage", [0, -2, -1])
def test_features_are_the_stages_mean_and_logits_follow_from_the_last(stage):
    torch.manual_seed(0)
    maps = [torch.rand(3, channels, 6, 4) for channels in (5, 7, 2)]
    head = Embedding.Settings(stage=stage).build((5, 7, 2), outputs=4)
    output = head(*(maps[index] for index in head.stages))
    torch.testing.assert_close(output[:, :-4], maps[stage].mean((2, 3)))
    torch.testing.assert_close(output[:, -4:], head.classifier(maps[-1].mean((2, 3))))


def test_a_stage_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="the encoder's stages are 0 to 1"):
        Embedding.Settings(stage=2).build((5, 7), outputs=4)
