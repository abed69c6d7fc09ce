"""Augmented images: against torchvision's transforms of single images, and crops by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as single

from harness.errors import HarnessError
from harness.model.augment import DRAWS, Augment, colour_jitter, resampled

ORDER = "area aspect x y mirror brightness contrast saturation angle right down".split()

IMAGES = torch.randint(
    0, 256, (5, 3, 6, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
)

EACH = {"crop_scale": 0.2, "shift": 0.3, "rotate": 40.0, "flip": True, "jitter": 1.0}
EVERYTHING = Augment(**EACH)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def draws(images, **numbers):
    """Random numbers that fell this way for every image, and on 0.5 where nothing is said."""
    return torch.tensor([[numbers.get(name, 0.5)] * len(images) for name in ORDER])


def places(count, height, width):
    """Images whose two channels hold each pixel's own x and y."""
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    return torch.stack([x, y]).expand(count, 2, height, width)


class TestAugment:
    def test_changes_nothing_unless_asked(self):
        view = Augment()(IMAGES, seeded())
        assert view.dtype == torch.float32
        assert torch.equal(view, IMAGES.float())

    @pytest.mark.parametrize("field", EACH)
    def test_does_not_change_what_it_is_given(self, field):
        before = IMAGES.clone()
        assert not torch.equal(Augment(**{field: EACH[field]})(IMAGES, seeded()), IMAGES.float())
        assert torch.equal(IMAGES, before)

    @pytest.mark.parametrize("field", ["crop_scale", "shift", "rotate", "jitter"])
    def test_draws_for_each_image_what_torchvision_draws_for_a_batch(self, field):
        same = IMAGES[:1].expand(5, -1, -1, -1)
        views = Augment(**{field: EACH[field]})(same, seeded())
        assert len(views.flatten(1).unique(dim=0)) == 5
        theirs = {
            "crop_scale": v2.RandomResizedCrop(8, scale=(0.2, 1.0)),
            "shift": v2.RandomAffine(0, translate=(0.3, 0.3)),
            "rotate": v2.RandomRotation(40),
            "jitter": v2.ColorJitter(0.8, 0.8, 0.8),
        }
        assert len(theirs[field](same).flatten(1).unique(dim=0)) == 1

    def test_is_the_same_from_the_same_seed_in_however_many_parts(self):
        generator = seeded()
        parts = [EVERYTHING(part, generator) for part in IMAGES.split([1, 3, 1])]
        assert torch.equal(torch.cat(parts), EVERYTHING(IMAGES, seeded()))
        assert not torch.equal(EVERYTHING(IMAGES, seeded(1)), EVERYTHING(IMAGES, seeded()))

    def test_changes_an_image_alike_whatever_else_is_asked_for(self):
        wide = torch.arange(8, dtype=torch.uint8).expand(50, 1, 8, 8)

        def mirrored(augment):
            views = augment(wide, seeded())
            return views[:, 0, 4, 2] > views[:, 0, 4, 5]

        alone = mirrored(Augment(flip=True))
        assert 15 < alone.sum() < 35
        assert torch.equal(alone, mirrored(Augment(flip=True, rotate=20, shift=0.1, jitter=0.2)))

    def test_stays_within_the_range_of_pixels(self):
        views = EVERYTHING(IMAGES, seeded())
        assert views.shape == IMAGES.shape
        assert views.min() >= 0
        assert views.max() <= 255

    def test_brings_nothing_in_from_beyond_the_edges(self):
        flat = torch.full((40, 1, 6, 8), 77, dtype=torch.uint8)
        moved = Augment(crop_scale=0.2, shift=0.9, rotate=180, flip=True)
        assert torch.allclose(moved(flat, seeded()), flat.float(), atol=1e-3)

    def test_mirrors_half_of_the_images(self):
        ramp = torch.arange(8, dtype=torch.uint8).expand(400, 1, 8, 8)
        views = Augment(flip=True)(ramp, seeded())
        mirrored = views[:, 0, 0, 0] > views[:, 0, 0, -1]
        assert mirrored.double().mean().item() == pytest.approx(0.5, abs=0.1)
        flipped = single.horizontal_flip(ramp[mirrored]).float()
        assert torch.allclose(views[mirrored], flipped, atol=1e-3)

    def test_crops_keep_the_area_and_the_aspect_that_were_asked_for(self):
        # In an image whose pixels hold their own x and y, the slopes are a crop's width and height.
        views = Augment(crop_scale=0.25)(places(2000, 32, 32), seeded())
        width = views[:, 0, 16, 20] - views[:, 0, 16, 19]
        height = views[:, 1, 20, 16] - views[:, 1, 19, 16]
        area, aspect = (width * height).double(), (width / height).double()
        assert 0.249 < area.min() < 0.26
        assert 0.98 < area.max() < 1.001
        assert area.mean().item() == pytest.approx((0.25 + 1) / 2, abs=0.02)
        assert 3 / 4 - 1e-3 < aspect.min() < 0.76
        assert 1.32 < aspect.max() < 4 / 3 + 1e-3
        # In the frame: the crop's edges lie half an output pixel beyond its outermost samples.
        left = views[:, 0, 16, 16] - 16.5 * width
        assert left.min() > -0.51
        assert (left + 32 * width).max() < 31.51

    def test_shifts_evenly_up_to_the_share_of_the_side(self):
        views = Augment(shift=0.25)(places(2000, 16, 32), seeded())
        right, down = (places(1, 16, 32) - views)[:, :, 8, 16].double().unbind(1)
        for moved, side in ((right, 32), (down, 16)):
            assert moved.abs().max() <= 0.25 * side + 1e-4
            assert moved.mean().item() == pytest.approx(0, abs=0.01 * side)
            assert moved.std().item() == pytest.approx(0.25 * side / math.sqrt(3), rel=0.05)
        assert abs(np.corrcoef(right, down)[0, 1]) < 0.1

    def test_turns_evenly_up_to_the_angle_without_distortion(self):
        views = Augment(rotate=30)(places(2000, 16, 32), seeded()).double()
        along = views[:, :, 8, 16] - views[:, :, 8, 15]
        across = views[:, :, 9, 15] - views[:, :, 8, 15]
        assert torch.allclose(along.norm(dim=1), torch.ones(2000).double(), atol=1e-4)
        assert torch.allclose((along * across).sum(1), torch.zeros(2000).double(), atol=1e-4)
        angle = torch.atan2(-along[:, 1], along[:, 0]).rad2deg()
        assert angle.abs().max() <= 30.001
        assert angle.mean().item() == pytest.approx(0, abs=1.2)
        assert angle.std().item() == pytest.approx(30 / math.sqrt(3), rel=0.05)

    def test_shifts_and_turns_by_hand(self):
        moved = Augment(shift=0.25).view(IMAGES, draws(IMAGES, right=1.0))  # 2 of 8 pixels
        edge = IMAGES[..., :1].expand(-1, -1, -1, 2)
        expected = torch.cat([edge, IMAGES[..., :-2]], dim=3).float()
        assert torch.allclose(moved, expected, atol=1e-3)
        square = IMAGES[..., :6]
        turned = Augment(rotate=90).view(square, draws(square, angle=1.0))
        assert torch.allclose(turned, square.rot90(-1, (2, 3)).float(), atol=1e-3)  # clockwise
        over = Augment(rotate=180).view(IMAGES, draws(IMAGES, angle=1.0))
        assert torch.allclose(over, IMAGES.rot90(2, (2, 3)).float(), atol=1e-2)

    def test_takes_so_many_draws(self):
        assert len(ORDER) == DRAWS

    @pytest.mark.parametrize(
        "wrong", [{"crop_scale": 0.0}, {"crop_scale": 1.5}, {"shift": 2}, {"rotate": -1}]
    )
    def test_says_which_value_is_out_of_range(self, wrong):
        with pytest.raises(HarnessError, match=next(iter(wrong))):
            Augment(**wrong)

    def test_says_all_values_that_are_out_of_range(self):
        said = r"with crop_scale = 0 \(give above 0, up to 1\), jitter = 2 \(give 0 to 1\)"
        with pytest.raises(HarnessError, match=said):
            Augment(crop_scale=0, jitter=2)


class TestWindows:
    @given(
        angle=st.floats(-180, 180),
        move=st.tuples(st.floats(-4, 4), st.floats(-4, 4)),
        scale=st.floats(0.6, 1.0),
        mirrored=st.booleans(),
    )
    def test_are_torchvisions_affine_transforms(self, angle, move, scale, mirrored):
        """Black margins, so that what lies beyond the edges is black in both."""
        image = torch.zeros(1, 2, 24, 36)
        image[:, :, 6:18, 12:24] = torch.rand(1, 2, 12, 12, generator=seeded()) * 255
        # Ours moves an image and then turns it; theirs turns it, clockwise, and then moves it.
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        right, down = (scale * part for part in move)
        theirs = single.affine(
            image,
            angle=angle,
            translate=[cos * right - sin * down, sin * right + cos * down],
            scale=scale,
            shear=[0.0, 0.0],
            interpolation=v2.InterpolationMode.BILINEAR,
        )
        if mirrored:
            theirs = single.horizontal_flip(theirs)
        ours = resampled(
            image,
            torch.full((1, 2), 1 / scale),
            torch.tensor([[-2 * move[0] / 36, -2 * move[1] / 24]]),
            torch.tensor([mirrored]),
            torch.tensor([angle]),
        )
        assert torch.allclose(ours, theirs, atol=0.05)

    def test_by_hand(self):
        # The right half of a row, 4 pixels to 4: samples lie a quarter pixel beside the centres of
        # pixels 2 and 3; the last one has no right neighbour and repeats the edge.
        row = torch.tensor([[[[0.0, 100.0, 200.0, 40.0]]]])
        size, centre = torch.tensor([[0.5, 1.0]]), torch.tensor([[0.5, 0.0]])
        hand = [0.25 * 100 + 0.75 * 200, 0.75 * 200 + 0.25 * 40, 0.25 * 200 + 0.75 * 40, 40.0]
        for mirrored, expected in ((False, hand), (True, hand[::-1])):
            view = resampled(row, size, centre, torch.tensor([mirrored]), torch.zeros(1))
            assert view.flatten().tolist() == pytest.approx(expected)


class TestJitter:
    @given(factor=st.floats(0.2, 1.8))
    def test_is_torchvisions_of_brightness_and_of_contrast_without_colour(self, factor):
        """In colour, their contrast is about a weighted mean of the channels, as one sees them."""
        grey = IMAGES[:1, :1].float()
        one, by = torch.ones(1), torch.tensor([factor])
        brighter = single.adjust_brightness(grey / 255, factor) * 255
        assert torch.allclose(colour_jitter(grey, by, one, one), brighter, atol=1e-2)
        sharper = single.adjust_contrast(grey / 255, factor) * 255
        assert torch.allclose(colour_jitter(grey, one, by, one), sharper, atol=1e-2)

    def test_by_hand(self):
        image = torch.tensor([100.0, 20.0, 60.0]).reshape(1, 3, 1, 1)
        images = torch.cat([image, torch.zeros_like(image)])  # black, with factors of its own

        def jittered(brightness, contrast, saturation):
            factors = (torch.tensor([f, 1.0]) for f in (brightness, contrast, saturation))
            return colour_jitter(images, *factors)[0].flatten().tolist()

        assert jittered(1.0, 1.0, 1.0) == [100, 20, 60]
        assert jittered(0.5, 1.0, 1.0) == [50, 10, 30]
        assert jittered(1.0, 0.5, 1.0) == [80, 40, 60]  # towards the image's mean, 60
        assert jittered(1.0, 1.0, 0.0) == [60, 60, 60]  # grey
        assert jittered(3.0, 1.0, 1.0) == [255, 60, 180]  # clipped
