"""The Dagster side: with `definitions.py` the only place that imports dagster. Bodies call plain functions."""
