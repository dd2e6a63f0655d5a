"""The network that ships with the package, for restoring without a training."""

from __future__ import annotations

from pathlib import Path

import vrtspike
from vrtspike.errors import CheckpointError
from vrtspike.inference.loading import file_sha256
from vrtspike.records.model_card import SHIPPED_NETWORK, ModelCard, card_path, read_card

NETWORK = Path(vrtspike.__file__).parent / SHIPPED_NETWORK


def shipped_network() -> tuple[Path, ModelCard]:
    """Return the shipped weights, a checkpoint with its config, and their model card.

    Raises:
        CheckpointError: The weights or the card are missing or damaged, or the SHA-256 of the weights is another one.
    """
    advice = 'Install vrtspike again, or name a checkpoint'
    if not NETWORK.is_file():
        raise CheckpointError(f'{NETWORK} does not exist, so this installation has no network of its own. {advice}')
    card, found = read_card(card_path(NETWORK)), file_sha256(NETWORK)
    if found != card.sha256:
        raise CheckpointError(f'{NETWORK} was changed or is damaged: SHA-256 {found}, expected {card.sha256}. {advice}')
    return NETWORK, card
