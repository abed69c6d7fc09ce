"""LoRA against weights that are added up by hand, in float64, and counts from the paper."""

import copy

import pytest
import torch
import torch.nn.functional as F
from harness_plugins.backbones.timm import Timm
from harness_plugins.strategies.lora import Lora, adaptable
from torch import nn

from harness.api import ImageBackbone, OneClass, Recipe, Task, Unsupported, fit
from harness.testing import StrategyChecks, a_run, digits, shots, small_backbone

pytest.importorskip("peft")

SETTINGS = {"lr": 1e-2, "weight_decay": 1e-4, "rank": 3}


class TestLora(StrategyChecks):
    strategy = Lora()

    def test_learns_what_the_head_alone_cannot(self):
        """The features of a tiny random network tell few digits apart, until adapters train."""
        backbone = small_backbone()
        examples = digits(backbone)
        task = Task(shots(examples, 80, 10), OneClass.of(10), shots(examples, 20, 10, skip=80))
        test = shots(examples, 60, 10, skip=100)
        run = a_run(steps=200)
        adapted = self.strategy.adapt(backbone, task, {**SETTINGS, "lr": 3e-2, "rank": 8}, run)
        head_alone = fit(Recipe(backbone, (), lr=3e-2), task, run)

        def accuracy(model):
            return (model.logits(test.inputs).argmax(1) == test.labels).float().mean()

        assert accuracy(adapted) > 0.5 > accuracy(head_alone) + 0.2


class ReadsAWeight(nn.Module):
    """Has a layer that it does not call."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(8, 8)

    def forward(self, x):
        return F.linear(x, self.inner.weight, self.inner.bias)


def pixels_to(*layers, size=8):
    """A backbone of ``layers`` on grey images, each a block if it has parameters."""
    body = nn.Sequential(*layers)
    blocks = [[str(index)] for index, layer in enumerate(layers) if [*layer.parameters()]]
    return ImageBackbone(body, blocks, input_size=size, mean=[0.5], std=[0.5]).eval()


def timm_model(name):
    return Timm().build(name, input_size=32, pretrained=False, args={}).eval()


BACKBONES = {
    "convolutions": small_backbone,
    "resnet": lambda: timm_model("test_resnet"),
    "depthwise convolutions": lambda: timm_model("test_efficientnet"),
    "vision transformer": lambda: timm_model("test_vit"),
    "strides, padding and no bias": lambda: pixels_to(
        nn.Conv2d(1, 4, (5, 3), stride=(2, 1), padding="valid", bias=False),
        nn.Conv2d(4, 6, 3, padding="same", padding_mode="circular"),
        nn.Conv2d(6, 5, 2, stride=2, padding=1),
        nn.Flatten(),
    ),
    "PyTorch's own transformer": lambda: pixels_to(
        nn.Flatten(2), nn.Linear(64, 8), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        nn.Flatten(), ReadsAWeight(), nn.Linear(8, 8),
    ),
    "nothing to adapt in the first block": lambda: pixels_to(
        nn.Flatten(), nn.LayerNorm(64), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 8)
    ),
}  # fmt: skip


@pytest.fixture(params=BACKBONES)
def backbone(request):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BACKBONES[request.param]()


def a_task(backbone):
    examples = digits(backbone)
    return Task(shots(examples, 4, 5), OneClass.of(5), shots(examples, 4, 5, skip=4))


@torch.no_grad()
def merged(backbone, trained):
    """The backbone in float64 with ``B A`` added to each weight; a convolution's kernel to
    ``rank`` channels and the 1×1 after it compose to one kernel."""
    result = copy.deepcopy(backbone).double()
    weights = dict(result.body_parameters())
    for name, a in trained.items():
        layer, is_a, _ = name.partition(".lora_A.")
        if is_a:
            b = trained[name.replace("lora_A", "lora_B")].double()
            weights[f"{layer}.weight"] += torch.einsum("or,ri...->oi...", b.flatten(1), a.double())
    return result


class TestAdapters:
    def test_change_nothing_before_training(self, backbone):
        task = a_task(backbone)
        adapted = Lora().recipe(backbone, task, SETTINGS, a_run()).backbone
        inputs = task.train.inputs[:]
        assert torch.equal(adapted.features(inputs), backbone.features(inputs))

    def test_add_their_product_to_the_weights(self, backbone):
        task = a_task(backbone)
        model = Lora().adapt(backbone, task, SETTINGS, a_run(steps=5))
        inputs = task.val.inputs
        with torch.no_grad():
            features = merged(backbone, model.trained).features(inputs[:])
            assert (features - backbone.features(inputs[:])).abs().max() > 1e-3
            weight, bias = model.trained["head.weight"], model.trained["head.bias"]
            logits = features @ weight.double().T + bias.double()
        assert torch.allclose(model.logits(inputs).double(), logits, rtol=1e-5, atol=1e-5)

    def test_and_the_head_are_all_that_changes(self, backbone):
        before = {name: t.clone() for name, t in backbone.state_dict().items()}
        model = Lora().adapt(backbone, a_task(backbone), SETTINGS, a_run(steps=5))
        after = {
            name.replace(".base_layer.", "."): t
            for name, t in model.backbone.state_dict().items()
            if name not in model.trained
        }
        assert after.keys() == before.keys()
        assert all(torch.equal(after[name], before[name]) for name in before)
        assert {name for name in model.trained if ".lora_" not in name} == {
            "head.weight",
            "head.bias",
        }

    def test_start_alike_in_every_trial_of_a_seed(self):
        backbone = small_backbone()
        task = a_task(backbone)

        def starts(run):
            before = torch.random.get_rng_state()
            digest = Lora().recipe(backbone, task, SETTINGS, run).backbone.digest()
            assert torch.equal(torch.random.get_rng_state(), before)
            torch.rand(1)  # what others draw meanwhile is of no account
            return digest

        run = a_run()
        assert starts(run) == starts(run) == starts(a_run()) != starts(a_run(seed=1))


class TestCounts:
    """``rank`` × (inputs + outputs) of each matrix (Hu et al. 2022, section 4.1), and the head."""

    def trained(self, backbone, rank):
        model = Lora().adapt(backbone, a_task(backbone), {**SETTINGS, "rank": rank}, a_run(steps=1))
        return sum(t.numel() for t in model.trained.values())

    def test_counted_by_hand(self):
        """Convolutions 1 → 8, 8 → 8, 8 → 8 of 3×3 at rank 2, and 8 features to 5 classes."""
        assert self.trained(small_backbone(), 2) == 2 * (9 + 8) + 2 * 2 * (72 + 8) + (8 + 1) * 5

    @pytest.mark.parametrize("rank", [1, 8])
    @pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_efficientnet"])
    def test_counted_from_the_shapes(self, name, rank):
        backbone = timm_model(name)
        linears = [m for m in backbone.modules() if isinstance(m, nn.Linear)]
        convolutions = [m for m in backbone.modules() if isinstance(m, nn.Conv2d) and m.groups == 1]
        expected = (
            sum(rank * (m.in_features + m.out_features) for m in linears)
            + sum(
                rank * (m.in_channels * m.kernel_size[0] * m.kernel_size[1] + m.out_channels)
                for m in convolutions
            )
            + (backbone.num_features + 1) * 5
        )
        assert self.trained(backbone, rank) == expected


class TestTargets:
    def test_are_called_layers_that_an_adapter_can_change(self):
        backbone = pixels_to(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.Conv2d(4, 4, 3, padding=1, groups=4),
            nn.Conv2d(4, 4, 3, padding=2, dilation=2),
            nn.Conv2d(4, 1, 3, padding=1, padding_mode="circular"),
            nn.Flatten(2),
            nn.Linear(64, 8),
            nn.TransformerEncoderLayer(8, 2, 16),
            ReadsAWeight(),
            nn.Flatten(),
        )
        found = adaptable(backbone, digits(backbone).inputs)
        assert [name for name in found if not name.startswith("6.linear")] == ["0", "5"]

    def test_names_that_end_alike_are_told_apart(self):
        """Of the layers ``0`` and ``1.0`` only the first is one to adapt."""
        backbone = pixels_to(
            nn.Conv2d(1, 4, 3), nn.Sequential(nn.Conv2d(4, 4, 3, groups=4)), nn.Flatten()
        )
        recipe = Lora().recipe(backbone, a_task(backbone), SETTINGS, a_run(steps=5))
        assert sorted(recipe.trainable) == [
            "body.0.lora_A.default.weight",
            "body.0.lora_B.default.weight",
        ]

    def test_a_model_without_any_is_refused(self):
        backbone = pixels_to(nn.Flatten(), nn.LayerNorm(64))
        with pytest.raises(Unsupported, match="this model has none"):
            Lora().adapt(backbone, a_task(backbone), SETTINGS, a_run(steps=5))


def test_what_comes_before_the_first_adapter_runs_once_for_each_input():
    backbone = pixels_to(
        nn.Flatten(), nn.LayerNorm(64), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 8)
    )
    model = Lora().adapt(backbone, task := a_task(backbone), SETTINGS, a_run(steps=5))
    assert model.entry == 1
    stored = model.entering(task.val.inputs).stored
    normalised = backbone.body[:2](backbone.normalise(task.val.inputs[:]))
    torch.testing.assert_close(stored, normalised)
