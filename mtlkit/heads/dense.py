"""What the heads for one output per pixel have in common."""

from torch import Tensor, nn

from mtlkit.heads.base import Head


def convolution(channels: int, width: int, kernel: int, *, dilation: int = 1, batch_norm: bool = False) -> nn.Module:
    """A convolution that keeps the map's size, then batch norm if asked for, then ReLU."""
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(channels, width, kernel, padding=padding, dilation=dilation, bias=not batch_norm)
    # torch's default start shrinks a signal to less than half at every layer; under SGD such a head hardly moves.
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    norm = [nn.BatchNorm2d(width, eps=1e-3, momentum=0.05)] if batch_norm else []
    return nn.Sequential(conv, *norm, nn.ReLU())


def score(channels: int, outputs: int) -> nn.Conv2d:
    """The last layer of a dense head: a 1x1 convolution that starts near zero."""
    layer = nn.Conv2d(channels, outputs, 1)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class DenseHead(Head):
    """Two hidden layers with dropout and a 1x1 classifier on the last stage."""

    keeps_cells = True

    def __init__(self, fc6: nn.Module, fc7: nn.Module, width: int, outputs: int, dropout: float):
        super().__init__()
        self.fc6, self.fc7 = fc6, fc7
        self.dropout = nn.Dropout(dropout)
        self.classifier = score(width, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Stage features ``(N, C, h, w)`` to outputs ``(N, outputs, h, w)``: size is the features'."""
        hidden = self.dropout(self.fc6(features))
        output: Tensor = self.classifier(self.dropout(self.fc7(hidden)))
        return output
