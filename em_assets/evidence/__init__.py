"""Claims → one resolved record a volume, and the conflicts between those who claim.

`claims` collects what files, publishers and this code say; `fields` holds, for each field of a record, who goes first
and when two values agree; `resolution` applies one to the other. Every value of a record leads back to a claim.
"""

from em_assets.evidence.claims import claims_of
from em_assets.evidence.resolution import Resolution, resolutions, resolve

__all__ = ["Resolution", "claims_of", "resolutions", "resolve"]
