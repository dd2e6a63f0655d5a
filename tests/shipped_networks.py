"""A shipped network of the tests: a checkpoint and its model card in place of those in the package."""

import shutil
from pathlib import Path

import msgspec

import vrtspike.inference.shipped
from vrtspike.inference.loading import file_sha256
from vrtspike.records.evaluation import ThresholdScore
from vrtspike.records.model_card import CardScore, ModelCard, card_path

SUMMARY = (
    "vrtspike's network 'deblur', trained on DemoClips for 3,000 iterations: 31.25 dB on held-out demo clips, "
    'blurred frames 25.50 dB'
)


def ship(monkeypatch, checkpoint: Path, folder: Path) -> Path:
    """Make a checkpoint the network that the package ships; return the path of its copy."""
    network = folder / 'deblur.pth'
    shutil.copy(checkpoint, network)
    card_path(network).write_bytes(msgspec.json.encode(made_up_card(file_sha256(network))))
    monkeypatch.setattr(vrtspike.inference.shipped, 'NETWORK', network)
    return network


def made_up_card(sha256: str = '0' * 64) -> ModelCard:
    """Return a model card with made-up scores."""
    scores = CardScore(
        data='held-out demo clips',
        clips=6,
        protocol='published',
        psnr_db=31.25,
        blur_psnr_db=25.5,
        sdm_psnr_db=27.75,
        ssim=0.9,
        thresholds=[ThresholdScore(1.0, 31.25, 0.0), ThresholdScore(2.0, 31.0, 0.25)],
    )
    return ModelCard(
        name='deblur',
        sha256=sha256,
        parameters=1234567,
        config='configs/vrt_spike_lite.py',
        command='python tools/train.py configs/vrt_spike_lite.py',
        changed=[],
        trained_on=['DemoClips'],
        iterations=3000,
        commit='a' * 40,
        versions={'torch': '2.13.0'},
        checkpoint_sha256='1' * 64,
        scores=[scores],
    )
