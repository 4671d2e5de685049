"""One partition a dataset, read from the TOML files: the file's name is the key, and no second list of them exists.

Partitions are static, so that a fresh instance (in CI, say) knows them all; dynamic ones would live in the instance.
"""

import dagster as dg

from em_assets import datasets, settings

SETTINGS = settings.load()
DATASETS = datasets.load(SETTINGS)

each_dataset = dg.StaticPartitionsDefinition(sorted(DATASETS))
