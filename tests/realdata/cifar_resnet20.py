"""A backbone plugin as a user would write it: the CIFAR ResNet-20 of He et al. 2015.

Three stages of three basic blocks with 16, 32 and 64 channels. Where a stage halves the image,
the shortcut has no parameters: it takes every other pixel and pads the new channels with zeros
("option A").
"""

from typing import ClassVar

import torch.nn.functional as F
from torch import nn

from harness.api import BackboneFactory, ImageBackbone, Unsupported, hookimpl


class Block(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.stride, self.added = stride, after - before

    def forward(self, x):
        shortcut = x[:, :, :: self.stride, :: self.stride]
        shortcut = F.pad(shortcut, (0, 0, 0, 0, self.added // 2, self.added - self.added // 2))
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1))
        self.layer3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.layer3(self.layer2(self.layer1(x))).mean((2, 3))


class CifarResNet20(BackboneFactory):
    """The CIFAR ResNet-20: 64 features of a 32-pixel colour image."""

    name: ClassVar[str] = "cifar_resnet20"
    citation: ClassVar[str] = "He et al. 2015, Deep Residual Learning, section 4.2"

    def build(self, model, *, input_size, pretrained, args):
        if pretrained:
            raise Unsupported("give the weights as { file = … }")
        return ImageBackbone(
            ResNet20(),
            blocks=[["conv1", "bn1"], ["layer1"], ["layer2"], ["layer3"]],
            input_size=input_size or 32,
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
        )


@hookimpl
def harness_backbones():
    return [CifarResNet20]
