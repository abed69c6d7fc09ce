"""Images of any size and channels become what the model was trained on."""

import pytest
import torch
from torch import nn

from harness.api import HarnessError, ImageBackbone
from harness.testing import small_backbone


class TestPreprocess:
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("shape", [(8, 8), (40, 28), (16, 16), (20, 50)])
    def test_gives_square_images_with_the_models_channels(self, channels, shape):
        backbone = small_backbone()
        raw = torch.randint(0, 256, (3, channels, *shape), dtype=torch.uint8)
        prepared = backbone.preprocess(raw)
        assert prepared.shape == (3, 1, 16, 16)
        assert prepared.dtype == torch.uint8

    def test_takes_images_of_different_sizes(self):
        raw = [torch.zeros(3, 9, 12, dtype=torch.uint8), torch.zeros(1, 30, 30, dtype=torch.uint8)]
        assert small_backbone().preprocess(raw).shape == (2, 1, 16, 16)

    def test_crops_the_middle(self):
        raw = torch.zeros(1, 1, 16, 48, dtype=torch.uint8)
        raw[..., 16:32] = 200
        assert (small_backbone().preprocess(raw) == 200).all()

    def test_grey_is_repeated_for_a_colour_model(self):
        body = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
        backbone = ImageBackbone(body, [["1"]], input_size=4)
        raw = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4)
        assert torch.equal(backbone.preprocess(raw), raw.expand(1, 3, 4, 4))

    @pytest.mark.parametrize(("given", "wanted"), [(4, 3), (3, 4), (1, 4), (2, 1), (4, 1), (2, 3)])
    def test_other_channels_than_grey_and_colour_are_refused(self, given, wanted):
        body = nn.Sequential(nn.Flatten(), nn.Linear(wanted * 16, 2))
        backbone = ImageBackbone(
            body, [["1"]], input_size=4, mean=[0.5] * wanted, std=[0.5] * wanted
        )
        with pytest.raises(HarnessError, match=f"{given} channels .* model that takes {wanted}"):
            backbone.preprocess(torch.zeros(1, given, 4, 4, dtype=torch.uint8))

    def test_a_model_of_four_channels_sees_all_four(self):
        body = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
        backbone = ImageBackbone(body, [["1"]], input_size=4, mean=[0.5] * 4, std=[0.5] * 4)
        raw = torch.arange(64, dtype=torch.uint8).reshape(1, 4, 4, 4)
        assert torch.equal(backbone.preprocess(raw), raw)

    def test_pads_with_bars_that_normalise_to_zero(self):
        """Twice as wide as high: the image is halved, between bars of half its height each."""
        body = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
        mean = [0.2, 0.4, 0.6]  # of 255: 51, 102, 153
        backbone = ImageBackbone(body, [["1"]], input_size=4, mean=mean)
        for shape, image in (
            ((4, 8), (slice(1, 3), slice(None))),
            ((8, 4), (slice(None), slice(1, 3))),
        ):
            raw = torch.full((2, 3, *shape), 200, dtype=torch.uint8)
            prepared = backbone.preprocess(raw, fit="pad")
            assert (prepared[(..., *image)] == 200).all()
            bars = prepared.clone()
            bars[(..., *image)] = torch.tensor([51, 102, 153], dtype=torch.uint8)[:, None, None]
            assert bars[0, :, 0, 0].tolist() == bars[0, :, 3, 3].tolist() == [51, 102, 153]
            assert backbone.normalise(bars).abs().max() < 1e-6

    def test_squashes_all_of_an_image_into_the_square(self):
        """Blocks of two columns, whose means are known."""
        backbone = ImageBackbone(
            nn.Sequential(nn.Flatten(), nn.Linear(16, 2)),
            [["1"]],
            input_size=4,
            mean=[0.5],
            std=[0.5],
            interpolation="nearest",
        )
        columns = torch.tensor([0, 0, 50, 50, 100, 100, 150, 150], dtype=torch.uint8)
        raw = columns.expand(1, 1, 4, 8)
        squashed = backbone.preprocess(raw, fit="squash")
        assert squashed[0, 0].tolist() == [[0, 50, 100, 150]] * 4
        assert backbone.preprocess(raw, fit="crop")[0, 0].tolist() == [[50, 50, 100, 100]] * 4
        assert torch.equal(backbone.preprocess(raw), backbone.preprocess(raw, fit="crop"))

    @pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
    @pytest.mark.parametrize("shape", [(1, 300), (300, 1), (16, 16), (7, 5)])
    def test_any_image_becomes_square_in_any_way(self, fit, shape):
        raw = torch.full((2, 1, *shape), 9, dtype=torch.uint8)
        assert small_backbone().preprocess(raw, fit=fit).shape == (2, 1, 16, 16)

    def test_normalises_to_mean_and_deviation(self):
        body = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
        backbone = ImageBackbone(
            body, [["1"]], input_size=4, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
        )
        white = torch.full((1, 3, 4, 4), 255, dtype=torch.uint8)
        expected = torch.tensor([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])
        assert torch.allclose(backbone.normalise(white)[0, :, 0, 0], expected)
