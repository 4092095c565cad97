"""Kinds of findings: one file each, listed here."""

from __future__ import annotations

from tunesmith.data.audit.findings.check import Check
from tunesmith.data.audit.findings.contradictions import Contradictions
from tunesmith.data.audit.findings.duplicates import Duplicates
from tunesmith.data.audit.findings.empty import Empty
from tunesmith.data.audit.findings.imbalance import Imbalance
from tunesmith.data.audit.findings.insufficient import Insufficient
from tunesmith.data.audit.findings.leakage import Leakage
from tunesmith.data.audit.findings.malformed import Malformed
from tunesmith.data.audit.findings.mixed_scripts import MixedScripts
from tunesmith.data.audit.findings.near_duplicates import NearDuplicates
from tunesmith.data.audit.findings.overlong import Overlong
from tunesmith.data.audit.findings.secrets import Secrets
from tunesmith.data.audit.findings.template_markers import TemplateMarkers
from tunesmith.recipe.data import GateFinding

CHECKS: dict[GateFinding, type[Check]] = {
    "malformed": Malformed,
    "leakage": Leakage,
    "secrets": Secrets,
    "empty": Empty,
    "overlong": Overlong,
    "contradictions": Contradictions,
    "duplicates": Duplicates,
    "near-duplicates": NearDuplicates,
    "imbalance": Imbalance,
    "mixed-scripts": MixedScripts,
    "template-markers": TemplateMarkers,
    "insufficient": Insufficient,
}
"""Code, as the recipe's `data.audit.fail_on` names it -> check. Reports list findings in this order."""
