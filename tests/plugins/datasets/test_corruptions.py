"""The fifteen common corruptions, against formulas and other libraries."""

import colorsys
import io

import numpy as np
import pytest
import torch
from harness_plugins.datasets import _blurs, _corruptions, _weather
from harness_plugins.datasets._corruptions import CORRUPTIONS, corrupt
from PIL import Image
from scipy import ndimage, stats

SMOOTH = 3
"""Pixels by which noise is smoothed to look like a photograph."""


def draws(seed=0):
    return np.random.default_rng(seed)


def photo(height, width, channels=3):
    """Soft random shapes, uint8 ``[C, H, W]``."""
    noise = draws(1).random((channels, height, width))
    soft = ndimage.gaussian_filter(noise, (0, SMOOTH, SMOOTH))
    soft = (soft - soft.min()) / np.ptp(soft)
    return torch.from_numpy((soft * 255).astype(np.uint8))


def whole(image):
    """Of a formula in float64: what eight bits can hold."""
    return torch.from_numpy(np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8))


def exact(pixels):
    return pixels.numpy().astype(np.float64) / 255


def test_there_are_fifteen_of_five_severities_each():
    assert len(CORRUPTIONS) == 15
    assert all(len(c.small) == len(c.large) == 5 for c in CORRUPTIONS.values())


CIFAR_10_C = {
    "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),
    "shot_noise": (500, 250, 100, 75, 50),
    "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),
    "defocus_blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    "glass_blur": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    "motion_blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    "zoom_blur": ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
    "snow": (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ),
    "frost": ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    "fog": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
    "elastic_transform": (
        (0, 0, 0.08),
        (0.05, 0.2, 0.07),
        (0.08, 0.06, 0.06),
        (0.1, 0.04, 0.05),
        (0.1, 0.03, 0.03),
    ),
    "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),
    "jpeg_compression": (80, 65, 58, 50, 40),
}

IMAGENET_C = {
    "gaussian_noise": (0.08, 0.12, 0.18, 0.26, 0.38),
    "shot_noise": (60, 25, 12, 5, 3),
    "impulse_noise": (0.03, 0.06, 0.09, 0.17, 0.27),
    "defocus_blur": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    "glass_blur": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    "motion_blur": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    "zoom_blur": ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    "snow": (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    ),
    "frost": ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    "fog": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
    "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
    # In pixels of an image of 224.
    "elastic_transform": (
        (488, 170.8, 24.4),
        (488, 19.52, 48.8),
        (12.2, 2.44, 4.88),
        (17.08, 2.44, 4.88),
        (29.28, 2.44, 4.88),
    ),
    "pixelate": (0.6, 0.5, 0.4, 0.3, 0.25),
    "jpeg_compression": (25, 18, 15, 10, 7),
}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_parameters_are_the_published_ones(corruption):
    """Those of ``make_cifar_c.py`` and ``make_imagenet_c.py``."""
    kind = CORRUPTIONS[corruption]
    side = 224 if corruption == "elastic_transform" else 1
    for found, published in ((kind.small, CIFAR_10_C), (kind.large, IMAGENET_C)):
        scale = side if published is IMAGENET_C else 1
        expected = np.array(published[corruption], dtype=float) / scale
        assert np.array(found, dtype=float) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("corruption", CORRUPTIONS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 2, 1), (1, 70, 64)])
def test_images_of_any_size_keep_it_and_change_by_the_same_draws_alike(corruption, shape):
    pixels = photo(*shape[1:], shape[0])
    before = pixels.clone()
    for severity in (1, 5):
        found = corrupt(pixels, corruption, severity, draws())
        assert (found.shape, found.dtype) == (pixels.shape, torch.uint8)
        assert torch.equal(found, corrupt(pixels, corruption, severity, draws()))
    assert torch.equal(pixels, before)


# The first severities of an elastic transform move all of an image, the last its parts; and behind
# more frost there is less of an image that it could add to.
@pytest.mark.parametrize("corruption", sorted({*CORRUPTIONS} - {"elastic_transform", "frost"}))
@pytest.mark.parametrize("side", [32, 64])
def test_the_fifth_severity_is_further_from_the_image_than_the_first(corruption, side):
    images = [photo(side, side), photo(side, side).flip(1)]

    def distance(severity):
        pairs = [(exact(i), exact(corrupt(i, corruption, severity, draws(3)))) for i in images]
        return np.mean([np.abs(a - b).mean() for a, b in pairs])

    assert 0 < distance(1) < distance(5)


# ── noise ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("side", "scale"), [(32, 0.06), (64, 0.12)])
def test_gaussian_noise_adds_what_it_draws(side, scale):
    pixels = photo(side, side)
    noise = draws().normal(0, scale, pixels.shape)
    found = corrupt(pixels, "gaussian_noise", 2, draws())
    assert torch.equal(found, whole(exact(pixels) + noise))


@pytest.mark.parametrize(("side", "photons"), [(63, 75), (64, 5)])
def test_shot_noise_counts_photons(side, photons):
    pixels = photo(side, side)
    counted = draws().poisson(exact(pixels) * photons)
    assert torch.equal(corrupt(pixels, "shot_noise", 4, draws()), whole(counted / photons))


def test_impulse_noise_is_black_or_white_in_the_share_that_it_says():
    pixels = torch.full((3, 128, 128), 100, dtype=torch.uint8)
    found = corrupt(pixels, "impulse_noise", 5, draws())
    black, white = ((found == value).sum().item() for value in (0, 255))
    hit = (found != 100).sum().item()
    assert black + white == hit
    assert stats.binomtest(hit, pixels.numel(), 0.27).pvalue > 0.001
    assert stats.binomtest(black, hit, 0.5).pvalue > 0.001


# ── blurs ─────────────────────────────────────────────────────────────────────────────────────


def disk_by_hand(radius, smoothing, cut):
    reach = int(radius) + 4
    span = range(-reach, reach + 1)
    flat = np.array([[float(x * x + y * y <= radius * radius) for x in span] for y in span])
    taps = np.array([np.exp(-t * t / (2 * smoothing**2)) for t in range(-cut, cut + 1)])
    kernel = np.outer(taps, taps) / taps.sum() ** 2
    return ndimage.convolve(flat / flat.sum(), kernel, mode="constant")


@pytest.mark.parametrize(
    ("side", "severity", "kernel"),
    [(32, 1, (0.3, 0.4, 1)), (32, 5, (1.5, 0.1, 1)), (70, 3, (6, 0.5, 1)), (70, 5, (10, 0.5, 2))],
)
def test_defocus_convolves_with_a_disk(side, severity, kernel):
    pixels = photo(side, side)
    expected = [
        ndimage.convolve(channel, disk_by_hand(*kernel), mode="mirror") for channel in exact(pixels)
    ]
    found = exact(corrupt(pixels, "defocus_blur", severity, draws()))
    assert np.abs(found - expected).max() <= 0.5 / 255 + 1e-6


def test_glass_takes_each_colour_from_nearby():
    rows, columns = np.indices((40, 40)).astype(float)
    found = _blurs.glass(np.stack([rows, columns]), 0.05, 2, 3, draws())
    moved = np.abs(found - [rows, columns]).max((1, 2))
    assert (moved <= 6).all()
    assert (moved >= 3).all(), "three rounds reach further than one"
    assert np.allclose(found, found.round()), "a pixel is moved and not mixed"


def test_glass_blurs_twice_with_a_gaussian():
    flat = np.zeros((1, 21, 21))
    flat[0, :, 10] = 1.0
    expected = ndimage.gaussian_filter1d(ndimage.gaussian_filter1d(flat, 1.0), 1.0)
    # No round moves any pixel.
    assert np.allclose(_blurs.glass(flat, 1.0, 1, 0, draws()), expected)


def test_motion_draws_a_point_out_with_half_a_gaussian():
    point = np.zeros((1, 9, 20))
    point[0, 4, 15] = 1.0
    weights = np.exp(-(np.arange(7) ** 2) / (2 * 2.0**2))
    weights /= weights.sum()
    level = _blurs.motion(point, 3, 2.0, 0.0)
    assert np.allclose(level[0, 4, 15:8:-1], weights)
    assert level.sum() == pytest.approx(1)
    upright = _blurs.motion(point.swapaxes(1, 2), 3, 2.0, 90.0)
    assert np.allclose(upright[0, 15:8:-1, 4], weights)


def test_zoom_blur_is_the_mean_of_enlargements_about_the_middle():
    image = exact(photo(20, 31))
    factors = np.array([1.0, 1.2, 2.0])
    middle = np.array([19, 30])[:, None, None] / 2
    enlarged = [
        [
            ndimage.map_coordinates(
                channel, middle + (np.indices((20, 31)) - middle) / factor, order=1
            )
            for channel in image
        ]
        for factor in factors
    ]
    expected = (image + np.sum(enlarged, axis=0)) / 4
    assert np.allclose(_blurs.zoom(image, factors), expected)


# ── weather ───────────────────────────────────────────────────────────────────────────────────


def test_plasma_is_of_heights_from_0_to_1_and_rougher_with_less_decay():
    def steps(decay):
        land = _weather.plasma(64, 64, decay, draws())
        assert (land.min(), land.max()) == (0, 1)
        return np.abs(np.diff(land)).mean()

    assert steps(3.0) < steps(2.0) < steps(1.4)
    assert _weather.plasma(20, 33, 2.0, draws()).shape == (20, 33)


def test_plasma_wraps_around():
    """On a torus the step over the edge is no larger than others are."""
    land = _weather.plasma(64, 64, 3.0, draws())
    inside = np.abs(np.diff(land, axis=1)).max()
    assert np.abs(land[:, 0] - land[:, -1]).max() <= 2 * inside


def test_fog_hides_contrast_and_is_no_brighter_than_the_brightest():
    image = exact(photo(64, 64)) * 0.8
    foggy = _weather.fog(image, 3.0, 1.4, draws())
    assert foggy.max() <= image.max() + 1e-12
    clouds = _weather.plasma(64, 64, 1.4, draws())
    assert np.allclose(foggy * (image.max() + 3) / image.max() - 3 * clouds, image)


def test_snow_whitens_the_image_and_flakes_fall_both_ways():
    image = exact(photo(32, 32))
    flakes = (0.3, 0.3, 1.25, 0.65, 14, 12)
    snowy = _weather.snow(image, *flakes, 1.0, draws())
    fallen = snowy - image
    assert (fallen >= -1e-12).all()
    assert np.allclose(fallen, fallen[:, ::-1, ::-1])
    assert np.allclose(fallen[0], fallen[2]), "they are white"
    weights = np.array([0.299, 0.587, 0.114])
    grey = np.einsum("c,chw->hw", weights, image)
    white = np.maximum(image, grey * 1.5 + 0.5)
    paler = _weather.snow(image, *flakes, 0.8, draws())
    assert np.allclose(paler - fallen, 0.8 * image + 0.2 * white)


def test_frost_is_laid_over_the_image():
    image = exact(photo(64, 64))
    ice = _weather.ice(image, draws())
    assert ((ice >= 0) & (ice <= 1)).all()
    assert np.allclose(_weather.frost(image, 0.7, 0.6, draws()), 0.7 * image + 0.6 * ice)
    assert ice.std() > 0.1, "it is no grey pane"


# ── colours and what pictures are made of ─────────────────────────────────────────────────────


@pytest.mark.parametrize("severity", [1, 5])
def test_brightness_adds_to_the_value_of_each_colour(severity):
    pixels = photo(16, 16)
    pixels[:, 0, 0] = 0
    more = [0.05, 0.1, 0.15, 0.2, 0.3][severity - 1]
    found = exact(corrupt(pixels, "brightness", severity, draws()))
    for row in range(16):
        for column in range(16):
            hue, saturation, value = colorsys.rgb_to_hsv(*exact(pixels)[:, row, column])
            expected = colorsys.hsv_to_rgb(hue, saturation, min(value + more, 1))
            assert np.abs(found[:, row, column] - expected).max() <= 0.5 / 255 + 1e-9


def test_contrast_is_lost_towards_the_mean_of_each_channel():
    pixels = photo(64, 70)
    image = exact(pixels)
    mean = image.mean((1, 2))[:, None, None]
    found = corrupt(pixels, "contrast", 3, draws())
    assert torch.equal(found, whole(mean + 0.2 * (image - mean)))


def test_pixels_of_a_coarse_image_are_means_of_blocks():
    pixels = photo(64, 64)
    blocks = pixels.double().reshape(3, 16, 4, 16, 4).mean((2, 4))
    expected = blocks.repeat_interleave(4, 1).repeat_interleave(4, 2)
    found = corrupt(pixels, "pixelate", 5, draws()).double()
    assert (found - expected).abs().max() <= 1  # Pillow rounds after each direction


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_jpeg_is_what_pillow_writes_and_reads(channels, mode):
    pixels = photo(32, 40, channels)
    file = io.BytesIO()
    array = pixels.permute(1, 2, 0).squeeze(2).numpy()
    Image.fromarray(array, mode).save(file, "JPEG", quality=40)
    decoded = torch.from_numpy(np.array(Image.open(file)).reshape(32, 40, channels))
    found = corrupt(pixels, "jpeg_compression", 5, draws())
    assert torch.equal(found, decoded.permute(2, 0, 1))


def test_an_elastic_transform_of_no_strength_is_none():
    image = exact(photo(20, 30))
    assert np.allclose(_corruptions.elastic_transform(image, 0.0, 0.0, 0.0, draws()), image)


def test_an_affine_map_moves_three_points_to_where_they_were_drawn():
    """Of ramps, whose values are places, and which linear interpolation leaves as they are."""
    ramps = np.indices((60, 60)).astype(float)
    found = _corruptions.elastic_transform(ramps, 0.0, 0.0, 0.1, draws(2))
    points = np.array([[20, 20], [20, -20], [-20, -20]])
    moved = points + draws(2).uniform(-6, 6, (3, 2))
    for point, place in zip(points, moved, strict=True):
        value = [ndimage.map_coordinates(one, (place + 30)[:, None], order=1)[0] for one in found]
        assert np.allclose(value, point + 30)


def test_what_is_elastic_shifts_by_smooth_noise():
    ramps = np.indices((40, 40)).astype(float)
    found = _corruptions.elastic_transform(ramps, 0.1, 0.04, 0.0, draws(2))
    random = draws(2)
    random.uniform(size=(3, 2))
    noise = random.uniform(-1, 1, (2, 40, 40))
    shifts = [ndimage.gaussian_filter(one, 1.6, mode="reflect", truncate=3) * 4 for one in noise]
    inside = np.s_[:, 5:-5, 5:-5]
    assert np.allclose((found - ramps)[inside], np.array(shifts)[inside])
