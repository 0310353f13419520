"""YOLOv5s, release 6: the layers of its published description, with their sizes.

Width 0.50 and depth 0.33 of the full network are already multiplied out.
"""

import torch
from torch import nn

ANCHORS = [[(10, 13), (16, 30), (33, 23)], [(30, 61), (62, 45), (59, 119)], [(116, 90), (156, 198), (373, 326)]]
STRIDES = [8, 16, 32]
CLASSES = 80


class Conv(nn.Module):
    def __init__(self, before, after, size=1, stride=1, pad=None):
        super().__init__()
        self.conv = nn.Conv2d(before, after, size, stride, size // 2 if pad is None else pad, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=1e-3)
        self.act = nn.SiLU()

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    def __init__(self, width, shortcut):
        super().__init__()
        self.cv1, self.cv2, self.shortcut = Conv(width, width), Conv(width, width, 3), shortcut

    def forward(self, x):
        y = self.cv2(self.cv1(x))
        return x + y if self.shortcut else y


class C3(nn.Module):
    def __init__(self, before, after, depth, shortcut=True):
        super().__init__()
        half = after // 2
        self.cv1, self.cv2, self.cv3 = Conv(before, half), Conv(before, half), Conv(after, after)
        self.m = nn.Sequential(*(Bottleneck(half, shortcut) for _ in range(depth)))

    def forward(self, x):
        return self.cv3(torch.cat((self.m(self.cv1(x)), self.cv2(x)), 1))


class SPPF(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.cv1, self.cv2 = Conv(width, width // 2), Conv(width * 2, width)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x):
        x = self.cv1(x)
        a = self.pool(x)
        b = self.pool(a)
        return self.cv2(torch.cat((x, a, b, self.pool(b)), 1))


class Detect(nn.Module):
    """Boxes of all three scales in pixels, in one list."""

    def __init__(self, widths):
        super().__init__()
        self.m = nn.ModuleList(nn.Conv2d(w, 3 * (CLASSES + 5), 1) for w in widths)

    def forward(self, features):
        return torch.cat([self.boxes(i, x) for i, x in enumerate(features)], 1)

    def boxes(self, i, x):
        x = self.m[i](x)
        batch, _, rows, columns = x.shape
        x = x.view(batch, 3, CLASSES + 5, rows, columns).permute(0, 1, 3, 4, 2).contiguous()
        down, right = torch.meshgrid(torch.arange(20 * 32 // STRIDES[i]), torch.arange(20 * 32 // STRIDES[i]), indexing="ij")
        grid = torch.stack((right, down), 2).float() - 0.5
        anchors = torch.tensor(ANCHORS[i]).float().view(1, 3, 1, 1, 2)
        xy, wh, scores = x.sigmoid().split((2, 2, CLASSES + 1), 4)
        xy = (xy * 2 + grid) * STRIDES[i]
        wh = (wh * 2) ** 2 * anchors
        return torch.cat((xy, wh, scores), 4).view(batch, 3 * rows * columns, CLASSES + 5)


class YOLOv5s(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(Conv(3, 32, 6, 2, 2), Conv(32, 64, 3, 2), C3(64, 64, 1))
        self.p3 = nn.Sequential(Conv(64, 128, 3, 2), C3(128, 128, 2))
        self.p4 = nn.Sequential(Conv(128, 256, 3, 2), C3(256, 256, 3))
        self.p5 = nn.Sequential(Conv(256, 512, 3, 2), C3(512, 512, 1), SPPF(512))
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.top5, self.mid4 = Conv(512, 256), C3(512, 256, 1, False)
        self.top4, self.out3 = Conv(256, 128), C3(256, 128, 1, False)
        self.down3, self.out4 = Conv(128, 128, 3, 2), C3(256, 256, 1, False)
        self.down4, self.out5 = Conv(256, 256, 3, 2), C3(512, 512, 1, False)
        self.detect = Detect([128, 256, 512])

    def forward(self, x):
        p3 = self.p3(self.stem(x))
        p4 = self.p4(p3)
        t5 = self.top5(self.p5(p4))
        t4 = self.top4(self.mid4(torch.cat((self.up(t5), p4), 1)))
        o3 = self.out3(torch.cat((self.up(t4), p3), 1))
        o4 = self.out4(torch.cat((self.down3(o3), t4), 1))
        o5 = self.out5(torch.cat((self.down4(o4), t5), 1))
        return self.detect([o3, o4, o5])
