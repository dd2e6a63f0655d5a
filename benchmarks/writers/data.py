"""The speed of reading data in docs/data.md, from the record of benchmarks/data_speed.py."""

from __future__ import annotations

from pathlib import Path

from writers.places import Place
from writers.wording import device_name, read_record, table

MILLISECONDS = {
    'read_56x360x640_ms': 'decode 56x360x640 spikes',
    'read_and_voxelise_56x360x640_ms': 'decode and voxelise (K = 32) 56x360x640 spikes',
    'read_88x360x640_ms': 'decode 88x360x640 spikes',
    'index_gathering_reader_88x360x640_ms': 'the same with a reader that gathers int64 indices',
    'clip_5x256x256_ms': 'a training clip of 5x256x256 from 1280x720 frames',
    'of_which_decoding_its_10_images_ms': 'of which decoding its ten PNG frames',
}
CLIPS = {
    'clips_5x256x256_per_s_and_core': 'per second and core',
    'cores_for_16_clips_per_s': 'cores that a GPU needs which takes 16 a second',
}


def places(root: Path) -> list[Place]:
    return [Place('docs/data.md', 'speed', section(read_record(root / 'benchmarks/records/data/speed.json')))]


def section(record: dict) -> str:
    """Return both tables, and what they say about workers."""
    decoding = record['of_which_decoding_its_10_images_ms'] / record['clip_5x256x256_ms']
    return '\n\n'.join([
        f'Measured on {device_name(record["device"])}:',
        numbers(('', 'ms'), record, MILLISECONDS),
        numbers(('clips of 5x256x256', ''), record, CLIPS),
        f'PNG decoding of whole frames is {100 * decoding:.0f} % of a clip: spikes are read only where the crop lies.',
    ])  # fmt: skip


def numbers(headings: tuple[str, str], record: dict, labels: dict[str, str]) -> str:
    """Return a table of some of the record's numbers."""
    return table([headings, *((label, f'{record[key]:.1f}') for key, label in labels.items())], 'lr')
