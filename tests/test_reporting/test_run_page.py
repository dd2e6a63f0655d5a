import html
import json
import re
from html.parser import HTMLParser

import cv2
import pytest

from vrtspike.analysis import build_report, read_logs
from vrtspike.reporting.pages import save_page
from vrtspike.reporting.report_plots import panels_of
from vrtspike.reporting.run_page import run_page

VOID = {'meta', 'br', 'img'}


class Balanced(HTMLParser):
    """Raises where a tag is closed that is not open."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_well_formed_and_complete(report, tmp_path):
    save_page(tmp_path / 'report.html', run_page(report))
    text = (tmp_path / 'report.html').read_text(encoding='utf-8')
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    assert text.count('<figure>') == len(panels_of(report))
    for heading in ('Summary', 'Findings', 'Bottlenecks', 'Time by stage and phase', 'Validation'):
        assert heading in text
    for finding in report.findings:
        assert finding.title in text


def test_page_needs_nothing_else(report):
    """Neither scripts nor anything that a browser would fetch."""
    text = run_page(report)
    assert '<script' not in text
    assert '<img' not in text
    assert not re.search(r'(?:src|href)="(?!#)', text.replace('xlink:href="#', ''))
    assert not re.search(r'url\((?!#)', text)
    assert '@import' not in text


def test_what_comes_from_the_log_is_escaped(made_up, tmp_path):
    stages = {'<b>stage</b>': (10.0, 0.0, 0.0), 'stage1': (10.0, 1.0, 1.0), 'stage8': (20.0, 1.0, 1.0)}
    run = made_up.run_line(config='<script>alert(1)</script>', stages=list(stages), notes=['<i>note</i>'])
    path = made_up.write(tmp_path / 'stage_costs.jsonl', [run, *made_up.sample_lines(20, stages=stages)])
    text = run_page(build_report(read_logs([path], '<u>name</u>')))
    for evil in ('<script>', '<b>stage', '<i>note', '<u>name'):
        assert evil not in text
    assert '&lt;script&gt;' in text


@pytest.mark.browser
def test_page_in_a_browser(report, tmp_path, browse):
    """Every plot leaves ink in its place of the screenshot, and no table is wider than the page."""
    probe = """<script>addEventListener('load', () => {
        const boxes = [...document.querySelectorAll('figure svg')].map(each => each.getBoundingClientRect());
        document.body.dataset.boxes = JSON.stringify(boxes);
        document.body.dataset.width = document.documentElement.scrollWidth;
    });</script></body>"""
    page = tmp_path / 'report.html'
    page.write_text(run_page(report).replace('</body>', probe), encoding='utf-8')
    window = '--window-size=1200,3200'
    shown = browse(page, window, '--dump-dom')
    browse(page, window, '--hide-scrollbars', f'--screenshot={tmp_path / "page.png"}')
    image = cv2.imread(str(tmp_path / 'page.png'))
    boxes = json.loads(html.unescape(re.search('data-boxes="([^"]*)"', shown)[1]))
    assert len(boxes) == len(panels_of(report))
    for box in boxes:
        left, top, right, bottom = (int(box[side]) for side in ('left', 'top', 'right', 'bottom'))
        assert right <= image.shape[1]
        assert (image[top:bottom, left:right] < 200).any(axis=2).mean() > 0.005
    assert int(re.search(r'data-width="(\d+)"', shown)[1]) <= 1200


def test_legacy_page(data):
    text = run_page(build_report(read_logs([data / 'legacy_timing.txt'])))
    assert 'avg since start' in text
    assert 'last micro-step' in text
