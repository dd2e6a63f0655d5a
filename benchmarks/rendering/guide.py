"""What both languages of the performance guide tell: its claims, and what was measured of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import yaml

from rendering.guide_records import GuideRecord, measurements_by_device, read_guide_records
from rendering.guide_verdicts import NOTHING, UNMEASURED, Finding, Measurements, judge

Node = dict[str, Any]


class Guide(msgspec.Struct, frozen=True, kw_only=True):
    """The guide and the records about it.

    Args:
        plans: The plans of its table, by name.
        claims: Each claim with its findings, by device; '' where the device does not matter.
        records: All records.
        measured: What they measured, by device and network.
    """

    plans: dict[str, Node]
    claims: list[tuple[Node, dict[str, Finding]]]
    records: list[GuideRecord]
    measured: dict[str, dict[str, Measurements]]

    def timed(self, network: str) -> dict[str, Measurements]:
        """Return a network's measurements by device where its plans were timed; one device, named '', if nowhere."""
        networks = {device: found[network] for device, found in self.measured.items()}
        found = {device: measured for device, measured in networks.items() if measured.speed}
        return found or {'': next(iter(networks.values()))}

    def verdicts(self) -> dict[str, Counter[str]]:
        """Return by device how many claims have which verdict, without those that wait for a training."""
        counts: dict[str, Counter[str]] = {}
        for _, findings in self.claims:
            for device, finding in findings.items():
                if not finding.waits_for_training:
                    counts.setdefault(device, Counter())[finding.verdict] += 1
        return counts

    def claimed_shares(self) -> dict[str, float]:
        """Return the shares of the forward pass that the guide names, by stage of its own network."""
        return {claim['of'][0]: claim['expected'] for claim, _ in self.claims if claim['rule'] == 'share'}

    def claim_rows(self) -> list[tuple[Node, str, Finding]]:
        """Return every claim, once for each device that has a verdict."""
        return [(claim, *each) for claim, findings in self.claims for each in (findings or {'': NOTHING}).items()]

    @property
    def unmeasured(self) -> int:
        """The number of claims without a record."""
        return sum(not findings for _, findings in self.claims)

    @property
    def untrained(self) -> int:
        """The number of claims that wait for a training in which the baseline gains enough."""
        return sum(any(each.waits_for_training for each in findings.values()) for _, findings in self.claims)

    @property
    def has_gpu(self) -> bool:
        """Whether a record of speed is of a GPU."""
        return any(made.kind == 'configs' and made.found['device']['type'] == 'cuda' for made in self.records)


def read_guide(root: Path) -> Guide:
    """Return what the records of a checkout say about the guide."""
    guide = yaml.safe_load((root / 'benchmarks/guide/claims.yaml').read_text(encoding='utf-8'))
    records = read_guide_records(root, guide['networks'])
    measured = measurements_by_device(records, guide['networks'])
    claims = [(claim, findings_by_device(claim, measured)) for claim in guide['claims']]
    return Guide(plans=guide['plans'], claims=claims, records=records, measured=measured)


def findings_by_device(claim: Node, measured: dict[str, dict[str, Measurements]]) -> dict[str, Finding]:
    """Return what was found of a claim; decibels alone do not depend on the device, which is '' then."""
    found = {device: judge(claim, networks[claim['network']]) for device, networks in measured.items()}
    known = {device: finding for device, finding in found.items() if finding.verdict != UNMEASURED}
    return {device if finding.values or finding.steps else '': finding for device, finding in known.items()}
