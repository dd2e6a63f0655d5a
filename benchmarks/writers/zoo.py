"""docs/model_zoo.md, from the results of the zoo's checkpoints.

benchmarks/zoo/<name>.json is the results.json of tools/test.py, run with --thresholds 1 2 on the last checkpoint of
configs/vrt_spike_<name>.py, kept unchanged.
"""

from __future__ import annotations

from pathlib import Path

from vrtspike.errors import VrtSpikeError
from writers.places import Place
from writers.wording import device_name, read_records, table

INTRODUCTION = """# Model zoo

Written by `python benchmarks/pages.py` from `benchmarks/zoo`; each record is the `results.json` of `tools/test.py`.

The checkpoints are not part of the repository: one command trains each again. A SHA-256 names the very file that was scored: checkpoints hold the time of their training, and another processor rounds differently, so that a second training has another SHA-256 and slightly other dB. All are trained and scored on the demo clips, whose held-out clips show other photographs. They tell whether networks learn and use their spikes, and are not comparable with published benchmarks.
"""  # noqa: E501
HEADINGS = (
    'network', 'parameters', 'blurred dB', 'restored dB', 'gain dB', 'SSIM', 'Y dB', 'Y SSIM', 'TFP dB', 'TFI dB',
    'dB at 2θ', 'device',
)  # fmt: skip


def places(root: Path) -> list[Place]:
    return [Place('docs/model_zoo.md', None, zoo_page(by_config(root)))]


def by_config(root: Path) -> dict[str, dict]:
    """Return the results by the name of their config, best first."""
    results = {}
    for path, result in read_records(root / 'benchmarks/zoo').items():
        if not (root / f'configs/vrt_spike_{path.stem}.py').is_file():
            raise VrtSpikeError(f'{path} has no config: name it like configs/vrt_spike_<name>.py')
        results[path.stem] = result
    return dict(sorted(results.items(), key=lambda item: -item[1]['mean_of_clips']['psnr_db']))


def zoo_page(results: dict[str, dict]) -> str:
    """Return the page: a table of all networks, then how to get each."""
    rows = [HEADINGS, *(row(name, found) for name, found in results.items())]
    sections = [section(name, found) for name, found in results.items()]
    return '\n'.join([INTRODUCTION, table(rows, f'l{"r" * 10}l'), '', *sections])


def row(name: str, found: dict) -> tuple[str, ...]:
    """Return one network's quality, robustness and cost."""
    mean = found['mean_of_clips']
    twice = next(each for each in found['thresholds'] if each['factor'] == 2)
    return (
        f'[{name}](#{name})',
        f'{found["cost"]["parameters"]:,}',
        *(f'{mean[key]:.2f}' for key in ('blur_psnr_db', 'psnr_db')),
        f'{mean["gain_db"]:+.2f}',
        f'{mean["ssim"]:.4f}',
        f'{mean["psnr_y_db"]:.2f}',
        f'{mean["ssim_y"]:.4f}',
        *(f'{mean[key]:.2f}' for key in ('tfp_psnr_db', 'tfi_psnr_db')),
        f'{twice["psnr_db"]:.2f} ({-twice["loss_db"]:+.2f})',
        device_name(found['device']),
    )


def section(name: str, found: dict) -> str:
    """Return how to train and test a network again, and what came out."""
    config, folder = f'configs/vrt_spike_{name}.py', f'work_dirs/vrt_spike_{name}'
    training, checkpoint = found['training'], Path(found['checkpoint']).name
    return f"""## {name}

```console
$ python tools/train.py {config}
$ python tools/test.py {config} {folder}/{checkpoint} --thresholds 1 2
```

Trained for {training['iterations']:,} iterations with torch {found['versions']['torch']}. SHA-256 of `{checkpoint}`: `{found['checkpoint_sha256']}`. Config: [`{config}`](../{config}), record: [`benchmarks/zoo/{name}.json`](../benchmarks/zoo/{name}.json). The mean over all frames is {found['mean_of_frames']['psnr_db']:.2f} dB.
"""  # noqa: E501
