"""`em-assets doctor`: what is well here, what must be mended, and what could not be asked.

::

    machine     cores, memory, Python, packages that must pair
    stores      the store: writable, room, origin, its datasets and volumes, what dead writers left
    home        the Dagster home: settings, history, daemon, runs whose process is gone
    archives    who serves the datasets, and whether they answer

Everything is asked at once, and what has not answered after some seconds is reported as such: a machine without a
network, a bucket or a database that is gone must not keep the doctor waiting.
"""

from em_assets.doctor.examining import examine
from em_assets.doctor.findings import Finding

__all__ = ["Finding", "examine"]
