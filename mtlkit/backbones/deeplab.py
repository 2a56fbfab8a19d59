"""DeepLab-LargeFOV's trunk: the convolutions of a VGG at stride 8, conv5 dilated.

Chen et al., ICLR 2015, https://arxiv.org/abs/1412.7062, as NDDR-CNN's official code has it
(https://github.com/ethanygao/NDDR-CNN). Its fc6 and fc7 belong to the head, :class:`mtlkit.heads.LargeFOV`.
"""

from torch import nn

STRIDES = (2, 4, 8, 8, 8)
"""After each of the five stages."""


def largefov(stages: list[nn.Sequential]) -> None:
    """Changes the five stages of a VGG, each cut after its pool; no tensor changes its name.

    Pools are 3x3, the fourth and fifth at stride 1, the fifth followed by an average pool; conv5 is dilated by 2.
    """
    for i, stage in enumerate(stages):
        pool: nn.Module = nn.MaxPool2d(3, stride=2 if i < 3 else 1, padding=1)
        stage[-1] = pool if i < 4 else nn.Sequential(pool, nn.AvgPool2d(3, stride=1, padding=1))
    for layer in stages[-1]:
        if isinstance(layer, nn.Conv2d):
            layer.dilation = layer.padding = (2, 2)
