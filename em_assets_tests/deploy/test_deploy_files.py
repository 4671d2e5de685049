"""What deploy/ ships, as far as no engine is needed: what it names exists, fits together, and holds no secret."""

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import dagster as dg
import pytest
import yaml
from dagster._config import validate_config
from dagster._core.instance.config import dagster_instance_config
from running_dagster import BIN, REPOSITORY

DEPLOY = REPOSITORY / "deploy"
DOCKER = DEPLOY / "docker"
KUBERNETES = DEPLOY / "kubernetes"
COMPOSE = DOCKER / "compose.yaml"
PINNED = re.compile(r"^([a-z0-9._-]+)(?:\[[a-z,]+\])?==(\S+)", re.MULTILINE)

CHART_KEYS = {
    "": "global generatePostgresqlPasswordSecret generateCeleryConfigSecret postgresql dagster-user-deployments "
    "dagsterWebserver dagsterDaemon runLauncher retention migrate telemetry additionalInstanceConfig concurrency "
    "computeLogManager scheduler pythonLogs busybox serviceAccount ingress imagePullSecrets rabbitmq redis flower",
    "global": "postgresqlSecretName dagsterHome serviceAccountName celeryConfigSecretName dagsterInstanceConfigMap",
    "postgresql": "image enabled postgresqlHost postgresqlUsername postgresqlPassword postgresqlDatabase "
    "postgresqlParams postgresqlScheme service",
    "dagster-user-deployments": "enabled enableSubchart imagePullSecrets deployments",
    "dagster-user-deployments.deployments": "name image port dagsterApiGrpcArgs codeServerArgs "
    "includeConfigInLaunchedRuns env envConfigMaps envSecrets annotations nodeSelector affinity tolerations "
    "podSecurityContext securityContext resources livenessProbe readinessProbe startupProbe labels volumeMounts "
    "volumes schedulerName",
    "runLauncher": "type config",
    "runLauncher.config": "celeryK8sRunLauncher k8sRunLauncher customRunLauncher",
    "runLauncher.config.k8sRunLauncher": "image imagePullPolicy jobNamespace loadInclusterConfig kubeconfigFile "
    "envConfigMaps envSecrets envVars volumeMounts volumes labels failPodOnRunFailure resources schedulerName "
    "securityContext runK8sConfig",
    "dagsterDaemon": "enabled image runCoordinator heartbeatTolerance env envConfigMaps envSecrets deploymentLabels "
    "labels nodeSelector affinity tolerations podSecurityContext securityContext resources livenessProbe "
    "readinessProbe startupProbe annotations runMonitoring runRetries sensors schedules volumes volumeMounts",
    "dagsterDaemon.runCoordinator": "enabled type config",
    "dagsterDaemon.runCoordinator.config.queuedRunCoordinator": "maxConcurrentRuns tagConcurrencyLimits "
    "dequeueIntervalSeconds dequeueNumWorkers dequeueUseThreads blockOpConcurrencyLimitedRuns",
    "dagsterDaemon.runMonitoring": "enabled startTimeoutSeconds cancelTimeoutSeconds maxResumeRunAttempts "
    "pollIntervalSeconds freeSlotsAfterRunEndSeconds maxRuntimeSeconds",
    "retention": "enabled sensor schedule autoMaterialize",
    "migrate": "enabled customMigrateCommand",
    "telemetry": "enabled",
}
"""Names that Dagster's chart knows, by where they stand: it refuses no others, and a misspelt one would do nothing."""


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def services() -> dict[str, Any]:
    found: dict[str, Any] = read(COMPOSE)["services"]
    return found


def ours() -> dict[str, Any]:
    return {name: service for name, service in services().items() if service["image"] == "em-assets"}


def example_environment() -> dict[str, str]:
    lines = [
        line.lstrip("#") for line in (DOCKER / "env.example").read_text().splitlines() if not line.startswith("# ")
    ]
    return dict(line.split("=", 1) for line in lines if line)


def dockerfile(instruction: str) -> list[str]:
    joined = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.split(None, 1)[1] for line in joined.splitlines() if line.startswith(f"{instruction} ")]


def image_environment() -> dict[str, str]:
    words = [word for line in dockerfile("ENV") for word in shlex.split(line)]
    return dict(word.split("=", 1) for word in words)


def variables(found: object) -> Iterator[str]:
    """Names of the environment that a configuration asks for."""
    if isinstance(found, Mapping):
        if set(found) == {"env"}:
            yield found["env"]
        for value in found.values():
            yield from variables(value)


def commands() -> Iterator[list[str]]:
    """Everything that an image or a service runs, with its health checks."""
    for line in [*dockerfile("CMD"), *(line[line.index("CMD") + 4 :] for line in dockerfile("HEALTHCHECK"))]:
        yield json.loads(line)
    for service in ours().values():
        asked = [service.get("command"), (service.get("healthcheck") or {}).get("test")]
        for command in filter(None, asked):
            words = command[1:] if command[0] == "CMD" else command
            if words[:2] == ["sh", "-c"]:
                yield from (shlex.split(part) for part in words[2].split("&&"))
            else:
                yield words


def test_every_file_that_the_image_is_made_of_exists_and_goes_to_the_builder() -> None:
    sent = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    for line in dockerfile("COPY"):
        *sources, _ = line.split()
        for source in sources if not sources[0].startswith("--from") else []:
            assert (REPOSITORY / source).exists(), source
            assert f"!{source}" in sent


def test_the_image_runs_as_nobody_who_may_do_more() -> None:
    assert dockerfile("USER") == ["${UID}"]
    assert dockerfile("ARG")[-1] == "UID=10001"


@pytest.mark.parametrize("command", list(commands()), ids=lambda command: " ".join(command)[:60])
def test_every_program_that_a_service_runs_is_installed(command: list[str]) -> None:
    from dagster._cli import cli as dagster
    from dagster._daemon.cli import cli as daemon
    from dagster_webserver.cli import dagster_webserver as webserver

    assert (BIN / command[0]).exists()
    known: click.Command = {"dagster": dagster, "dagster-webserver": webserver, "dagster-daemon": daemon}.get(
        command[0], click.Command("any", params=[click.Option(["-c", "-m"])])
    )
    options = command[1:]
    while isinstance(known, click.Group):
        known, options = known.commands[options[0]], options[1:]
    spelt = {spelling for parameter in known.params for spelling in parameter.opts}
    assert {word for word in options if word.startswith("-")} <= spelt


def test_the_lock_file_of_the_image_is_that_of_the_tests_and_has_what_deployments_need() -> None:
    image = dict(PINNED.findall((REPOSITORY / "requirements-deploy.lock").read_text()))
    tested = dict(PINNED.findall((REPOSITORY / "requirements-dev.lock").read_text()))
    local = dict(PINNED.findall((REPOSITORY / "requirements.lock").read_text()))
    assert {name: image[name] for name in image.keys() & tested.keys()} == {
        name: tested[name] for name in image.keys() & tested.keys()
    }
    assert local.items() <= image.items()
    assert image["dagster-postgres"] == version("dagster-postgres")
    assert image["dagster-k8s"] == version("dagster-k8s")


def test_the_instance_is_that_of_a_local_home_but_for_its_storage_and_logs() -> None:
    local, deployed = read(REPOSITORY / "dagster.yaml"), read(DOCKER / "dagster.yaml")
    assert set(deployed) - set(local) == {"storage", "compute_logs"}
    local["concurrency"]["runs"] = deployed["concurrency"]["runs"]
    assert {key: deployed[key] for key in local} == local


def test_every_variable_that_the_instance_asks_for_is_given() -> None:
    given = example_environment() | image_environment()
    assert set(variables(read(DOCKER / "dagster.yaml"))) <= set(given)
    assert set(re.findall(r"\$\{(\w+)", COMPOSE.read_text())) <= set(given)


def test_only_variables_that_em_assets_reads_are_named() -> None:
    told = (REPOSITORY / "README.md").read_text()
    named = {name for name in example_environment() | image_environment() if name.startswith("EM_ASSETS_")}
    (deployment,) = read(KUBERNETES / "values.yaml")["dagster-user-deployments"]["deployments"]
    named |= {name for name in deployment["env"] if name.startswith("EM_ASSETS_")}
    assert [name for name in named if name not in told] == []


def test_no_file_holds_a_secret() -> None:
    secret = {key: value for key, value in example_environment().items() if re.search("PASSWORD|KEY", key)}
    assert secret == dict.fromkeys(["DAGSTER_PG_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], "")
    passwords = re.findall(r"(?i)password:\s*(\S.*)", "".join(p.read_text() for p in DEPLOY.rglob("*.yaml")))
    assert [said for said in passwords if not said.startswith(("${", "{env"))] == []
    assert "/deploy/docker/.env" in (REPOSITORY / ".gitignore").read_text().splitlines()


def test_services_start_again_are_looked_after_and_wait_for_each_other() -> None:
    known = services()
    for name, service in known.items():
        assert service["restart"] == ("on-failure" if name == "instance" else "unless-stopped")
        assert "healthcheck" in service or name == "code"  # which has the image's
        for other, condition in service.get("depends_on", {}).items():
            assert other in known
            assert condition["condition"] in ("service_healthy", "service_completed_successfully")


def test_nothing_is_open_beyond_this_machine() -> None:
    ports = [port for service in services().values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:${UI_PORT:-3000}:3000"]


def test_the_workspace_names_the_service_that_serves_the_code_and_keeps_the_local_name() -> None:
    (found,) = read(DOCKER / "workspace.yaml")["load_from"]
    assert found["grpc_server"]["host"] in services()
    assert f"-p {found['grpc_server']['port']}" in " ".join(json.loads(dockerfile("CMD")[-1]))
    (local,) = read(REPOSITORY / "workspace.yaml")["load_from"]
    assert found["grpc_server"]["location_name"] == local["python_module"]


def test_docker_reads_the_compose_file(tmp_path: Path) -> None:
    """Where its client can: `docker compose config` needs no engine."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no docker compose on this machine")
    shutil.copytree(DOCKER, tmp_path / "docker")
    shutil.copy(DOCKER / "env.example", tmp_path / "docker" / ".env")
    done = subprocess.run(
        [docker, "compose", "-f", tmp_path / "docker" / "compose.yaml", "config", "--quiet"],
        env=os.environ | {"DAGSTER_PG_PASSWORD": "x"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def values_below(found: object, place: str = "") -> Iterator[tuple[str, str]]:
    """Each place of a values file for which names are known, and the names that stand there."""
    if isinstance(found, list):
        for item in found:
            yield from values_below(item, place)
    elif isinstance(found, dict):
        if place in CHART_KEYS:
            yield from ((place, key) for key in found)
        for key, value in found.items():
            yield from values_below(value, f"{place}.{key}".lstrip("."))


def test_the_chart_knows_every_name_in_the_values() -> None:
    seen = list(values_below(read(KUBERNETES / "values.yaml")))
    assert {place for place, _ in seen} == set(CHART_KEYS)
    assert [(place, key) for place, key in seen if key not in CHART_KEYS[place].split()] == []


def test_the_chart_is_of_the_release_of_dagster() -> None:
    pinned = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    told = re.findall(r"--version (\S+)", (KUBERNETES / "values.yaml").read_text())
    assert [f"dagster=={number}" for number in told] == [one for one in pinned if one.startswith("dagster==")]


def test_what_the_chart_makes_of_the_values_is_an_instance(tmp_path: Path) -> None:
    """Its template says the values in dagster.yaml's words; Dagster's own schema judges them."""
    from dagster_k8s import K8sRunLauncher

    values = read(KUBERNETES / "values.yaml")
    monitoring = values["dagsterDaemon"]["runMonitoring"]
    queued = values["dagsterDaemon"]["runCoordinator"]["config"]["queuedRunCoordinator"]
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    database = {
        "hostname": values["postgresql"]["postgresqlHost"],
        "username": values["postgresql"]["postgresqlUsername"],
        "password": {"env": "DAGSTER_PG_PASSWORD"},
        "db_name": values["postgresql"]["postgresqlDatabase"],
        "port": values["postgresql"]["service"]["port"],
        "scheme": values["postgresql"]["postgresqlScheme"],
    }
    document = {
        "run_storage": {
            "module": "dagster_postgres.run_storage",
            "class": "PostgresRunStorage",
            "config": {"postgres_db": database},
        },
        "run_launcher": {
            "module": "dagster_k8s",
            "class": "K8sRunLauncher",
            "config": {
                "image_pull_policy": launcher["imagePullPolicy"],
                "fail_pod_on_run_failure": launcher["failPodOnRunFailure"],
                "dagster_home": "/opt/dagster/dagster_home",
                "instance_config_map": "instance",
                "service_account_name": "em-assets-dagster",
                "postgres_password_secret": values["global"]["postgresqlSecretName"],
            },
        },
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": "QueuedRunCoordinator",
            "config": {"max_concurrent_runs": queued["maxConcurrentRuns"]},
        },
        "run_monitoring": {re.sub("([A-Z])", r"_\1", key).lower(): value for key, value in monitoring.items()},
        "retention": {
            kind: {"purge_after_days": values["retention"][kind]["purgeAfterDays"]} for kind in ("sensor", "schedule")
        },
        "telemetry": values["telemetry"],
        **values["additionalInstanceConfig"],
    }
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(document))
    made, _ = dagster_instance_config(str(tmp_path))
    assert made["run_monitoring"]["enabled"] is True
    assert validate_config(K8sRunLauncher.config_type(), made["run_launcher"]["config"]).success
    kept = {key: made[key] for key in ("run_coordinator", "concurrency")}
    home = tmp_path / "home"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home), overrides=kept) as instance:
        assert instance.global_op_concurrency_default_limit == 2


def test_pods_run_as_the_users_of_the_image_and_mount_the_claim() -> None:
    values, claim = read(KUBERNETES / "values.yaml"), read(KUBERNETES / "store.yaml")
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    assert f"UID={deployment['podSecurityContext']['runAsUser']}" in dockerfile("ARG")
    claims = [one["persistentVolumeClaim"]["claimName"] for one in deployment["volumes"] if "emptyDir" not in one]
    assert claims == [claim["metadata"]["name"]]
    assert {one["name"] for one in deployment["volumes"]} == {one["name"] for one in deployment["volumeMounts"]}
    mounted = {one["mountPath"] for one in deployment["volumeMounts"]}
    assert {deployment["env"]["EM_ASSETS_STORE"], deployment["env"]["EM_ASSETS_CACHE"]} == mounted
