"""Make the network that ships with the package from a training's checkpoint and the results of its tests.

Writes the weights with what restoring needs of their config, and the model card beside them. The weights are read back
and compared before the files get their names. Results are results.json files of tools/test.py, those of CONFIG's
held-out clips first; the training's report.json must be beside the checkpoint when it is tested.

Examples:
    python tools/test.py configs/pretrained.py work_dirs/pretrained/iter_36000.pth --thresholds 1 2 4 --out scores
    python benchmarks/ship.py configs/pretrained.py work_dirs/pretrained/iter_36000.pth --scores scores/results.json
    python benchmarks/ship.py CONFIG CHECKPOINT --scores scores/results.json 'clips of a real video=other/results.json'
    cp scores/results.json benchmarks/zoo/pretrained.json && python benchmarks/pages.py --only docs/model_zoo.md
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from mmengine.config import Config
from torch import nn

from vrtspike.cli import run_tool, tool_parser
from vrtspike.config import load_config
from vrtspike.config.difference import code, difference
from vrtspike.config.speed import fuse_optimizer
from vrtspike.errors import CheckpointError, ConfigError
from vrtspike.inference.loading import file_sha256, load_restorer
from vrtspike.inference.restoring import validation_dataset
from vrtspike.inference.shipped import NETWORK
from vrtspike.profiling.parameters import count_parameters
from vrtspike.records.evaluation import EvaluationResults
from vrtspike.records.model_card import CardScore, ModelCard, card_path
from vrtspike.registry import CLIP_SOURCES
from vrtspike.runtime.atomic_write import atomic_write, write_text
from vrtspike.runtime.checkpoint_files import load_checkpoint_file, write_checkpoint_file

MOST_BYTES = 4_000_000
HELD_OUT = 'held-out demo clips'
OF_THE_RUN = ('launcher', 'resume', 'work_dir')
"""Settings of a training that say where and how it ran, not what it learnt."""
OF_RESTORING = ('type', 'clip_len', 'pipeline')
"""Settings of the validation data set that restoring needs."""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('config', help='the config that the network was trained with')
    parser.add_argument('checkpoint', type=Path, help='its weights, as tools/train.py saves them')
    parser.add_argument(
        '--scores',
        nargs='+',
        required=True,
        metavar='[DATA=]RESULTS',
        help=f'results of testing this checkpoint; DATA says on which clips (default: {HELD_OUT})',
    )
    parser.add_argument('--out', type=Path, default=NETWORK, help='file to write (default: the one in the package)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    card = ship(args.config, args.checkpoint, dict(map(data_and_path, args.scores)), args.out)
    print(f'wrote {args.out} ({args.out.stat().st_size:,} bytes) and {card_path(args.out)}\n{card.summary()}')
    if card.changed:
        print(f'its training had other settings than {args.config} has now: {", ".join(card.changed)}')


def data_and_path(text: str) -> tuple[str, Path]:
    """Return the clips and the path of an argument of ``--scores``."""
    data, _, path = text.rpartition('=')
    return data or HELD_OUT, Path(path)


def ship(config_path: str, checkpoint: Path, scores: Mapping[str, Path], out: Path) -> ModelCard:
    """Write the weights of a checkpoint and their model card; return the card.

    Args:
        config_path: The config of the training.
        checkpoint: The weights.
        scores: The results of tests, by the clips that were restored.
        out: The file of weights to write.

    Raises:
        CheckpointError: The checkpoint is no training's, its weights are too large, or results are of another one.
        ConfigError: The config is of another network.
    """
    model, trained = load_restorer(checkpoint, device='cpu')
    config = load_config(config_path)
    changed = changed_settings(config, trained)
    if 'model' in changed:
        raise ConfigError(f'{config_path} has another network than {checkpoint}: name the config of its training')
    digest = file_sha256(checkpoint)
    results = {data: read_results(path, digest) for data, path in scores.items()}
    training = next(iter(results.values())).training
    if training is None:
        raise CheckpointError('the results know nothing of the training: test the checkpoint beside its report.json')
    meta = {'cfg': config_text(trained), 'iter': iterations_of(checkpoint), 'versions': training['versions']}
    with atomic_write(out) as aside:
        write_checkpoint_file(aside, {'state_dict': model.state_dict(), 'meta': meta})
        verify(aside, model)
        card = ModelCard(
            name=out.stem,
            sha256=file_sha256(aside),
            parameters=count_parameters(model),
            config=config_path,
            command=f'python tools/train.py {config_path}',
            changed=changed,
            trained_on=source_names(trained.train_dataloader),
            iterations=meta['iter'],
            commit=training['commit'],
            versions=training['versions'],
            checkpoint_sha256=digest,
            scores=[card_score(data, found) for data, found in results.items()],
        )
    write_text(card_path(out), msgspec.json.format(msgspec.json.encode(card), indent=2).decode() + '\n')
    return card


def changed_settings(config: Config, trained: Config) -> list[str]:
    """Return the top-level keys of a config that had other values in the training.

    A training sets ``fused`` of its optimizer by itself, so that is no difference.
    """
    config, trained = copy.deepcopy(config), copy.deepcopy(trained)
    fuse_optimizer(config)
    fuse_optimizer(trained)
    found = difference(config, trained) | dict.fromkeys(set(config) - set(trained))
    return sorted(set(found) - set(OF_THE_RUN))


def read_results(path: Path, checkpoint_sha256: str) -> EvaluationResults:
    """Return the results of a test of the checkpoint with this SHA-256."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=EvaluationResults)
    except msgspec.MsgspecError as error:
        raise CheckpointError(f'{path} is no results.json of tools/test.py: {error}') from error
    if found.checkpoint_sha256 != checkpoint_sha256:
        raise CheckpointError(f'{path} has the scores of another checkpoint, {found.checkpoint}')
    return found


def iterations_of(checkpoint: Path) -> int:
    """Return the number of iterations that a checkpoint was trained for."""
    return load_checkpoint_file(checkpoint)['meta']['iter']


def config_text(config: Config) -> str:
    """Return what restoring needs of a config, as the text that checkpoints contain."""
    model = {key: value for key, value in config.model.to_dict().items() if key != 'loss'}
    dataset = Config(validation_dataset(config)).to_dict()
    values = {
        'default_scope': 'vrtspike',
        'model': model,
        'val_dataloader': {'dataset': {key: dataset[key] for key in OF_RESTORING if key in dataset}},
    }
    return '\n'.join(f'{name} = {code(value, len(name) + 3)}' for name, value in values.items()) + '\n'


def verify(path: Path, model: nn.Module) -> None:
    """Raise :class:`CheckpointError` unless a file is small and a network restored from it has the same weights."""
    if path.stat().st_size > MOST_BYTES:
        raise CheckpointError(f'the weights take {path.stat().st_size:,} bytes, expected at most {MOST_BYTES:,}')
    expected, found = model.state_dict(), load_restorer(path, device='cpu')[0].state_dict()
    if any(not torch.equal(expected[name], tensor) for name, tensor in found.items()):
        raise CheckpointError('the weights that were read back differ from those of the checkpoint')


def source_names(node: Any) -> list[str]:
    """Return the names of the clip sources in a node of a config, each once; a mixture is what it mixes."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, (list, tuple)) else ()
    found = list(dict.fromkeys(name for child in children for name in source_names(child)))
    named = isinstance(node, dict) and node.get('type') in CLIP_SOURCES.module_dict
    return found or ([node['type']] if named else [])


def card_score(data: str, results: EvaluationResults) -> CardScore:
    """Return what a model card states of the results of a test."""
    mean = results.mean_of_clips
    return CardScore(
        data=data,
        clips=len(results.clips),
        protocol=results.protocol,
        psnr_db=mean['psnr_db'],
        blur_psnr_db=mean['blur_psnr_db'],
        sdm_psnr_db=mean.get('sdm_psnr_db'),
        ssim=mean['ssim'],
        thresholds=results.thresholds,
    )


if __name__ == '__main__':
    run_tool(main)
