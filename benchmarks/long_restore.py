"""Restore a long clip, kill the process several times, resume, and sample its memory.

The clip is generated first: a moving scene of photographs that no training clip uses, with its spikes. Options that
are not listed here are passed to tools/restore.py.

Examples:
    python benchmarks/long_restore.py CONFIG CHECKPOINT --work-dir /tmp/long --out long.json
    python benchmarks/long_restore.py CONFIG CHECKPOINT --frames 1000 --size 360 640 --kills 300 700 --out long.json \\
        --work-dir /tmp/long --tile 184 224 --overlap 8 --tile-frames 20 --precision bfloat16
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import yaml
from rich.progress import track

from vrtspike.cli import run_tool, tool_parser
from vrtspike.datasets.color import luminance
from vrtspike.datasets.io.images import read_image
from vrtspike.datasets.simulation.camera import IntegrateAndFire
from vrtspike.datasets.simulation.photographs import VAL_PHOTOGRAPHS
from vrtspike.datasets.simulation.scenes import Scene, random_scene
from vrtspike.datasets.spike_dat import write_spike_dat
from vrtspike.errors import VrtSpikeError
from vrtspike.metrics import psnr
from vrtspike.runtime.atomic_write import write_json, write_png
from vrtspike.runtime.environment import describe_environment

TOOL = Path(__file__).resolve().parents[1] / 'tools/restore.py'
INSTANTS, STEPS_PER_INSTANT = 8, 8
SCORED_EVERY = 20
READING_SECONDS = 2.0


def parse_args() -> tuple[argparse.Namespace, list[str]]:
    """Return the arguments, and those for tools/restore.py."""
    parser = tool_parser(__doc__)
    parser.add_argument('config')
    parser.add_argument('checkpoint', type=Path)
    parser.add_argument('--frames', type=int, default=1000)
    parser.add_argument('--size', type=int, nargs=2, default=(360, 640), metavar=('HEIGHT', 'WIDTH'))
    parser.add_argument('--kills', type=int, nargs='*', default=(300, 700), help='frames after which the run is killed')
    parser.add_argument('--work-dir', type=Path, required=True, metavar='D', help='where clip and result go')
    parser.add_argument('--out', required=True, metavar='JSON')
    return parser.parse_known_args()


def main() -> None:
    args, options = parse_args()
    clip, restored = args.work_dir / 'clip', args.work_dir / 'restored'
    if not (clip / 'config.yaml').is_file():
        write_clip(clip, args.frames, tuple(args.size))
    command = [sys.executable, str(TOOL), args.config, str(args.checkpoint), *options]
    command += ['--blur', str(clip / 'blur'), '--spike', str(clip / 'spike'), '--out', str(restored)]
    runs = [run_until(command, restored, frames) for frames in (*sorted(args.kills), None)]
    found = len(images(restored))
    if found != args.frames:
        raise VrtSpikeError(f'{restored} holds {found} frames, expected {args.frames}')
    record = dict(
        config=Path(args.config).stem,
        checkpoint=args.checkpoint.name,
        options=options,
        frames=args.frames,
        size=list(args.size),
        runs=runs,
        **scores(clip, restored),
        **describe_environment('cpu'),
    )
    write_json(args.out, record)
    print(f'{found} frames, at most {max(run["peak_mib"] for run in runs):.0f} MiB: {args.out}')


def write_clip(folder: Path, frames: int, size: tuple[int, int]) -> None:
    """Write blurred frames, spikes at half their size, and every ``SCORED_EVERY``-th sharp frame."""
    rng = np.random.default_rng(0)
    scene = random_scene(rng, VAL_PHOTOGRAPHS, size, duration=5, speeds=(5.0, 9.0), varied=False)
    camera = IntegrateAndFire(size[0] // 2, size[1] // 2, 1.0, rng)
    for kind in ('blur', 'sharp', 'spike'):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for frame in track(range(frames), 'clip'):
        blur, spikes = expose(scene, camera, frame)
        write_png(folder / 'blur' / f'{frame:05d}.png', blur)
        write_spike_dat(folder / 'spike' / f'{frame:05d}.dat', spikes)
        if frame % SCORED_EVERY == 0:
            write_png(folder / 'sharp' / f'{frame:05d}.png', scene.render(frame + 0.5))
    config = dict(spike_h=size[0] // 2, spike_w=size[1] // 2, threshold=1.0)
    (folder / 'config.yaml').write_text(yaml.safe_dump(config), encoding='utf-8')


def expose(scene: Scene, camera: IntegrateAndFire, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of the rendered instants of one exposure, and the spikes of all its steps."""
    images = [scene.render(frame + (instant + 0.5) / INSTANTS) for instant in range(INSTANTS)]
    size = camera.charge.shape[::-1]
    light = [luminance(cv2.resize(image, size, interpolation=cv2.INTER_AREA)) for image in images]
    spikes = [camera.step(instant) for instant in light for _ in range(STEPS_PER_INSTANT)]
    return np.mean(images, axis=0), np.stack(spikes)


def run_until(command: list[str], folder: Path, frames: int | None) -> dict:
    """Run a command until the folder holds ``frames`` frames, then kill it; None waits for its end."""
    before, start, readings = len(images(folder)), time.perf_counter(), []
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        done = len(images(folder))
        if (reading := memory_of(process.pid)) is not None:
            readings.append({'frames': done, **reading})
        if frames is not None and done >= frames:
            process.kill()
        time.sleep(READING_SECONDS)
    if frames is None and process.returncode:
        raise VrtSpikeError(f'{" ".join(command)} ended with {process.returncode}')
    return dict(
        first_frame=before,
        frames_at_end=len(images(folder)),
        exit_status=process.returncode,
        seconds=time.perf_counter() - start,
        peak_mib=max(reading['peak_mib'] for reading in readings),
        readings=readings[:: max(1, len(readings) // 100)],
    )


def images(folder: Path) -> list[Path]:
    return sorted(folder.glob('*.png'))


def memory_of(pid: int) -> dict | None:
    """Return the resident memory of a process and its peak, in MiB; None if it has ended."""
    try:
        lines = Path(f'/proc/{pid}/status').read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    sizes = {line.split(':')[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith(('VmHWM', 'VmRSS'))}
    return {'resident_mib': sizes['VmRSS'], 'peak_mib': sizes['VmHWM']} if sizes else None


def scores(clip: Path, restored: Path) -> dict:
    """Return the mean PSNR of restored and blurred frames that have a target."""

    def mean_psnr(folder: Path) -> float:
        pairs = [(read_image(folder / path.name), read_image(path)) for path in images(clip / 'sharp')]
        return float(np.mean([psnr(*pair) for pair in pairs]))

    return {'psnr_db': mean_psnr(restored), 'blur_psnr_db': mean_psnr(clip / 'blur')}


if __name__ == '__main__':
    run_tool(main)
