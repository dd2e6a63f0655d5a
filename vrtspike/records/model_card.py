"""The model card of the network that ships with the package: what its weights are, how they were made, how they score.

The card is a JSON file beside the weights.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from vrtspike.errors import CheckpointError
from vrtspike.records.evaluation import ThresholdScore
from vrtspike.runtime.text_files import read_text

SHIPPED_NETWORK = Path('models/pretrained/deblur.pth')
"""The weights, as a path within the package; :func:`card_path` is their card."""


class CardScore(msgspec.Struct, frozen=True, kw_only=True):
    """What the network scores on some clips, the mean over clips.

    Args:
        data: Which clips, in words.
        clips: How many.
        protocol: Name of the protocol (:data:`vrtspike.metrics.protocols.PROTOCOLS`) of PSNR and SSIM.
        psnr_db: PSNR of the restored frames.
        blur_psnr_db: PSNR of the blurred frames.
        sdm_psnr_db: PSNR of the spike-guided deblurring model, None if it was not computed.
        ssim: SSIM of the restored frames.
        thresholds: The PSNR at each threshold of the test. All other scores are for the first.
    """

    data: str
    clips: int
    protocol: str
    psnr_db: float
    blur_psnr_db: float
    sdm_psnr_db: float | None
    ssim: float
    thresholds: list[ThresholdScore]


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of a shipped network.

    Args:
        name: Name of the network.
        sha256: SHA-256 of the file of weights.
        parameters: Number of its parameters.
        config: Path of the config that it was trained with.
        command: The command that trained it.
        changed: Settings of the config, top-level keys, that had other values in the training.
        trained_on: Names of the clip sources that it was trained on.
        iterations: Iterations of the training.
        commit: Commit of the training, None if it is unknown.
        versions: Versions of the software that trained it.
        checkpoint_sha256: SHA-256 of the training's checkpoint, which has the same weights and was scored.
        scores: Scores on held-out clips, the first ones on those of the config.
    """

    name: str
    sha256: str
    parameters: int
    config: str
    command: str
    changed: list[str]
    trained_on: list[str]
    iterations: int
    commit: str | None
    versions: dict[str, str | None]
    checkpoint_sha256: str
    scores: list[CardScore]

    def summary(self) -> str:
        """Return one line: which network this is, what it was trained on, and its first score."""
        first = self.scores[0]
        return (
            f"vrtspike's network {self.name!r}, trained on {', '.join(self.trained_on)} for {self.iterations:,} "
            f'iterations: {first.psnr_db:.2f} dB on {first.data}, blurred frames {first.blur_psnr_db:.2f} dB'
        )


def card_path(weights: Path) -> Path:
    """Return the path of the model card of a file of weights."""
    return weights.with_suffix('.json')


def read_card(path: Path) -> ModelCard:
    """Return the model card in a file.

    Raises:
        CheckpointError: The file is missing or is no model card.
    """
    text = read_text(path, CheckpointError)
    try:
        return msgspec.json.decode(text, type=ModelCard)
    except msgspec.MsgspecError as error:
        raise CheckpointError(f'{path} is no model card: {error}') from error
