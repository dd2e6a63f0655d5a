"""Score a network on spikes and blur simulated from a real video, which must not be one it was trained on.

The video is divided into exposures; tools/test.py then scores the network at one, two and four times the threshold.
The folder has the simulated clip, and results.json and results.html in `scores`.

Examples:
    python benchmarks/real_video.py video/frames configs/pretrained.py work_dirs/pretrained/iter_12000.pth --out real
    python benchmarks/real_video.py clip.mp4 CONFIG CHECKPOINT --frames-per-exposure 5 --out real
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from vrtspike.cli import run_tool, tool_parser
from vrtspike.datasets.simulation.from_video import SimulationSettings, simulate_sequence
from vrtspike.errors import DataError
from vrtspike.runtime.progress import show_task, step_progress

TEST = Path(__file__).resolve().parents[1] / 'tools' / 'test.py'
THRESHOLDS = ('1', '2', '4')


def main() -> None:
    parser = tool_parser(__doc__)
    parser.add_argument('video', type=Path, help='a video file, or a folder of frames')
    parser.add_argument('config', help="the network's config")
    parser.add_argument('checkpoint', help="the network's weights")
    parser.add_argument('--frames-per-exposure', type=int, default=3, help='frames of the video (default: 3)')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='a new folder, or one of an earlier run')
    args = parser.parse_args()
    settings = SimulationSettings(args.frames_per_exposure)
    with step_progress() as bar:
        progress = show_task(bar, 'simulating exposures')
        simulate_sequence(args.video, args.out / 'clips', 'val', 'video', settings, progress)
    data = ['data._delete_=True', 'data.type=ProcessedClips', f'data.root={args.out / "clips"}']
    options = ['--out', str(args.out / 'scores'), '--thresholds', *THRESHOLDS, '--cfg-options', *data]
    if subprocess.call([sys.executable, str(TEST), args.config, args.checkpoint, *options]):
        raise DataError('the network was not scored, see above')


if __name__ == '__main__':
    run_tool(main)
