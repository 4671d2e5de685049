"""What may drop the raw bytes waits for every check that reads them."""

import pytest

from em_assets.definitions import defs
from em_assets.defs.automation import dataset_job


@pytest.mark.filterwarnings("ignore:Property `OpDefinition.version`:DeprecationWarning")  # Dagster's own use of it
def test_raw_bytes_are_dropped_after_the_last_check_that_reads_them() -> None:
    """Levels of the source were looked at after its bytes had gone: the check then passed, having seen nothing."""
    graph = defs.resolve_job_def(dataset_job.name).graph
    upstream = graph.dependency_structure.input_to_upstream_outputs_for_node("raw_bytes")
    before = {output.node_name for outputs in upstream.values() for output in outputs}
    assert before >= {"content_quality", "volume_pixels_equal_source", "volume_volume_not_blank", "volume"}
