"""The sizes in which the network ships: what of the encoder is kept, how large its heads are, how their scores are mixed."""

from dataclasses import dataclass

from tuning import TunedSettings


@dataclass(frozen=True)
class HeadSettings:
    """Hyper-parameters of a head, chosen by cross-validation over training sources (see LOG.md)."""

    dimensions: int
    landmarks: int
    gammas: tuple = (0.5, 2.0)  # times 1 / total variance of the projected statistics
    ridge: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Size:
    """One network; `folder` under WORK keeps what belongs to it alone."""

    folder: str
    layers: int  # of the encoder, behind its stem, that the heads read
    tuned: TunedSettings | None  # of the layer behind them that is trained on labels
    inner_neurons: int  # that are left in each layer's feed-forward block
    heads: dict  # `HeadSettings` by the head's name
    tuned_share: float  # of the tuned layer in the encoder's part of a score
    other_share: float  # of the other band's head in the rest of that part
    fine_share: dict  # of the band's fine head in a score, by band


SIZES = {
    # The fine heads lose least by being small.
    "standard": Size(
        folder=".",
        layers=1,
        tuned=TunedSettings(hidden=256, clips=144_000),
        inner_neurons=1024,
        heads={
            "full": HeadSettings(200, 5000),
            "telephone": HeadSettings(200, 5000),
            "fine": HeadSettings(150, 4000),
            "fine-telephone": HeadSettings(80, 2500),
        },
        tuned_share=0.65,
        other_share=0.4,
        fine_share={"full": 0.3, "telephone": 0.1},
    ),
    # The stem alone: less than a third of the time. What the layers hold is missed most on the telephone.
    "light": Size(
        folder="light",
        layers=0,
        tuned=None,
        inner_neurons=0,
        heads={
            "full": HeadSettings(140, 3000),
            "telephone": HeadSettings(140, 3000),
            "fine": HeadSettings(150, 4000),
            "fine-telephone": HeadSettings(100, 3000),
        },
        tuned_share=0.0,
        other_share=0.4,
        fine_share={"full": 0.5, "telephone": 0.3},
    ),
}
