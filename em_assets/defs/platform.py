"""What every asset gets: its owners, the settings, the registry, and the origin's servers while they are needed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg

from em_assets import sample
from em_assets.datasets import Dataset
from em_assets.defs.processes import PROCESS_TAG, holding
from em_assets.errors import RegistryError
from em_assets.keeping import bring
from em_assets.settings import Settings, claim_store
from em_assets.sources.origins import Origin

OWNERS = ["team:em_assets"]


@dataclass(frozen=True)
class Platform:
    """A store, its origin and the datasets known to it; handed to assets as the resource `platform`."""

    settings: Settings
    datasets: Mapping[str, Dataset]

    @contextmanager
    def serving(self) -> Iterator[Origin]:
        """The origin to fetch from; the sample's servers run inside, and the store is bound to its origin."""
        claim_store(self.settings)
        with sample.serving(self.settings) as origin:
            yield origin

    def dataset(self, name: str) -> Dataset:
        """A dataset that this origin can serve, with what a store in a bucket knows of it brought to this disk.

        Raises
        ------
        RegistryError
            The dataset has no source under this origin.
        """
        dataset = self.datasets[name]
        if not self.has_source(name):
            raise RegistryError(
                f"{name}: no {self.settings.origin} source; its TOML says origins = {list(dataset.origins)}. "
                f"It can be made with EM_ASSETS_ORIGIN={dataset.origins[0]} and a store of its own"
            )
        bring(self.settings, name)
        return dataset

    def has_source(self, name: str) -> bool:
        """Whether the dataset can be fetched under this origin; a mirror's folder counts as public."""
        return self.datasets[name].is_served_by(self.settings.origin)


AnyPlatform = dg.ResourceParam[Platform]
"""What an asset, a check or a sensor writes behind `platform` among its arguments."""


def platform_resource(platform: Platform) -> dg.ResourceDefinition:
    """The platform as runs get it: whoever gets it says which process works on the run.

    Steps run in the run's own process here, so that this process's end is the run's (`sweeping`).
    """

    @dg.resource(description="The store, its origin and the registry.")
    def given(context: dg.InitResourceContext) -> Platform:
        run, instance = context.run, context.instance
        if run is not None and instance is not None:
            worker = str(holding(platform.settings.store))
            if run.tags.get(PROCESS_TAG) != worker:
                instance.add_run_tags(run.run_id, {PROCESS_TAG: worker})
        return platform

    return given
