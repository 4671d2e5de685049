"""Ctrl-C while Dagster is between two steps, or has not begun the first."""

import dagster as dg
import pytest

from em_assets.defs.runs import progress_logger, run_datasets


class Acquisition(dg.Config):
    """What a fetch asks of `raw_files`."""

    locked: bool
    from_folder: str | None
    accept_gone: bool


def test_ctrl_c_before_the_first_step_lets_no_other_dataset_begin() -> None:
    """Dagster calls it a run that failed, and no step did: two datasets were named, and the second was fetched."""

    @dg.resource
    def platform(_: dg.InitResourceContext) -> None:
        raise KeyboardInterrupt

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b"]), required_resource_keys={"platform"})
    def raw_files(config: Acquisition) -> None:
        pass

    defs = dg.Definitions(
        assets=[raw_files],
        jobs=[dg.define_asset_job("build_dataset")],
        resources={"platform": platform},
        loggers={"progress": progress_logger},
    )
    begun: list[str] = []
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(KeyboardInterrupt):
        list(run_datasets(["a", "b"], defs, instance, begun.append))
    assert begun == ["a"]
