"""Supervised pretraining of a backbone on a labelled source."""

from harness_plugins.pretrainings.supervised import Supervised

from harness.testing import PretrainingChecks, a_run


class TestSupervised(PretrainingChecks):
    pretraining = Supervised()

    def test_learns_to_tell_the_classes_apart(self):
        start, source = self.given()
        _, scores = self.pretraining.pretrain(
            start, source, a_run(steps=200), lr=1e-2, weight_decay=1e-4
        )
        assert scores["accuracy"] > 0.6  # ten classes by chance: 0.1
