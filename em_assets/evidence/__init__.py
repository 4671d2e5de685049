"""Claims → one resolved record a volume, and the conflicts between those who claim.

`claims` collects what files, archives, publishers and this code say, `derived` what follows from it; `fields` holds,
for each field of a record, who goes first and when two values agree; `resolution` applies one to the other, `causes`
names what likely went wrong, `plausibility` asks physics, `completeness` the archive's own figures; `audit` judges what
others publish. Every value of a record leads back to a claim.
"""

from em_assets.evidence.audit import audit
from em_assets.evidence.claims import claims_of
from em_assets.evidence.completeness import incompleteness
from em_assets.evidence.findings import Finding, findings
from em_assets.evidence.plausibility import Implausible, implausible
from em_assets.evidence.resolution import Resolution, resolutions, resolve

__all__ = [
    "Finding",
    "Implausible",
    "Resolution",
    "audit",
    "claims_of",
    "findings",
    "implausible",
    "incompleteness",
    "resolutions",
    "resolve",
]
