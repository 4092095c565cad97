"""Launcher files as users get them wrong, what they would cost, and what is said when something is left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tunesmith.cluster.launch.file import check_mounts, read_launcher_file
from tunesmith.cluster.launch.groups import Group, groups
from tunesmith.cluster.launch.prices import quote
from tunesmith.cluster.launch.rented import Left, RentedMachine, needed_view
from tunesmith.cluster.launch.verify import wait_until_gone
from tunesmith.errors import TunesmithError
from tunesmith.plan.catalog import load_catalog
from tunesmith.plan.catalog.table import cpu_machines, machines

ROOT = Path(__file__).parents[3]
HEAD = """\
cluster_name: tunesmith
provider: {type: aws, region: us-east-1}
head_node_type: head
"""
TYPES = """\
available_node_types:
  head: {resources: {}, node_config: {InstanceType: m6i.xlarge}}
"""


def launcher(folder: Path, text: str) -> Path:
    path = folder / "aws.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "where", "what", "fix"),
    [
        ("", "", "the file is empty", "copy one of the folder cluster/"),
        ("- a\n", ":1", "a launcher file is a mapping of sections, this is a list", "name: "),
        (
            "cluster_name: t\nprovider: {type: aws, region: <REGION>}\n",
            ":2",
            "<REGION> is still to be filled in",
            "top of",
        ),
        (
            "cluster_name: t\nx: [<ONE>, ok]\nprovider: {type: aws, region: a<TWO>b}\n",
            ":2",
            "<ONE> is still to be filled in\n  {file}:3: <TWO>",
            "your own values",
        ),
        ("cluster_name: t\n", ":1", "there is no provider.type", "known: aws, azure, gcp, local"),
        ("cluster_name: t\nprovider: {type: asw}\n", ":2", "provider.type is 'asw'", "did you mean 'aws'?"),
        ("provider: {type: aws, region: r}\n", ":1", "cluster_name is None", "small letters"),
        ("cluster_name: My Cluster\nprovider: {type: gcp}\n", ":1", "cluster_name is 'My Cluster'", "small letters"),
        ("cluster_name: t\nprovider: {type: aws}\n", ":2", "there is no provider.region", "us-east-1"),
        ("cluster_name: t\nprovider: {type: gcp}\n", ":2", "there is no provider.project_id", "my-project-1234"),
        (HEAD, ":1", "there are no available_node_types", "copy them"),
        (HEAD.replace("type: head", "type: haed") + TYPES, ":3", "head_node_type is 'haed'", "did you mean 'head'?"),
        (
            HEAD.replace("type: head", "type: [head]") + TYPES,
            ":3",
            "head_node_type is ['head']",
            "did you mean 'head'?",
        ),
        (
            HEAD + TYPES.replace("m6i.xlarge", "m6i.xlarge, InstanceMarketOptions: {MarketType: spot}"),
            ":5",
            "the head is on the spot market: when it is taken away, the cluster and its jobs are gone",
            "leave the settings for spot out",
        ),
        (HEAD + TYPES.replace("node_config", "node_confg"), ":5", "head has no node_config", "which machine"),
        (HEAD + TYPES.replace("InstanceType", "Type"), ":5", "head names no type of machine", "write InstanceType"),
        (HEAD + "max_workers: many\n" + TYPES, ":4", "max_workers is 'many'", "a number from 0 on"),
        (
            HEAD + TYPES + "  gpu: {min_workers: -1, node_config: {InstanceType: g5.xlarge}}\n",
            ":6",
            "min_workers is -1",
            "a number from 0 on",
        ),
    ],
)
def test_mistakes_are_named_by_file_and_line(tmp_path: Path, text: str, where: str, what: str, fix: str) -> None:
    path = launcher(tmp_path, text)
    with pytest.raises(TunesmithError) as caught:
        groups(read_launcher_file(path))
    assert caught.value.where == f"{path}{where}"
    assert caught.value.what == what.replace("{file}", str(path))
    assert fix in str(caught.value.fix)


@pytest.mark.parametrize("name", ["aws", "gcp", "azure", "on-premises"])
def test_our_own_files_are_refused_until_they_are_filled_in(name: str) -> None:
    path = ROOT / "cluster" / f"{name}.yaml"
    with pytest.raises(TunesmithError, match="is still to be filled in") as caught:
        read_launcher_file(path)
    first = next(
        number for number, line in enumerate(path.read_text().splitlines(), 1) if "<" in line and line[0] != "#"
    )
    assert caught.value.where == f"{path}:{first}"


def filled(name: str, folder: Path) -> Path:
    import re

    path = folder / f"{name}.yaml"
    path.write_text(re.sub(r"<([A-Z_]+)>", "filled-in", (ROOT / "cluster" / f"{name}.yaml").read_text()))
    return path


@pytest.mark.parametrize("name", ["aws", "gcp", "azure"])
def test_every_machine_of_our_files_has_a_price(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    found = groups(read_launcher_file(filled(name, tmp_path)))
    assert [(one.name, one.market, one.least, one.most) for one in found] == [
        ("head", "on-demand", 1, 1),
        ("gpu-spot", "spot", 0, 4),
        ("gpu-on-demand", "on-demand", 0, 2),
        ("cpu-spot", "spot", 0, 2),
    ]
    prices = quote(found, load_catalog())
    assert prices.unknown == []
    head, spot, on_demand, cpu = (one.price.usd_per_hour for one in prices.groups if one.price)
    assert prices.least_usd_per_hour == head
    assert prices.most_usd_per_hour == head + 4 * spot + 2 * on_demand + 2 * cpu
    assert spot < on_demand


def test_own_prices_go_over_the_table_and_a_machine_without_one_is_named(tmp_path: Path) -> None:
    hardware = tmp_path / "hardware.yaml"
    hardware.write_text('prices: [{machine: "aws:m6i.xlarge", usd_per_hour: 0.5}]\n')
    catalog = load_catalog(hardware)
    head = Group("head", "aws:m6i.xlarge", "on-demand", 1, 1, True)
    strange = Group("odd", "aws:z9.large", "spot", 0, 3, False)
    prices = quote([head, strange], catalog)
    assert prices.least_usd_per_hour == prices.most_usd_per_hour == Decimal("0.5")
    assert prices.unknown == ["aws:z9.large (spot)"]
    # Runs are still planned on machines with GPUs alone.
    assert len(catalog.machines) == len(machines())
    assert not {machine.key for machine in catalog.machines} & {machine.key for machine in cpu_machines()}


def test_a_file_to_be_copied_must_be_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = read_launcher_file(filled("aws", tmp_path))
    with pytest.raises(TunesmithError, match=r"~/.ray/auth_token is not here") as caught:
        check_mounts(file)
    assert caught.value.fix == "make it with `ray get-auth-token --generate`"
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("x")
    check_mounts(file)


@pytest.mark.parametrize(("name", "fix"), [("azure", "portal.azure.com"), ("on-premises", "ray status")])
def test_where_a_cloud_is_not_asked_the_user_is_told_where_to_look(name: str, fix: str, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="status asks AWS and Google Cloud only") as caught:
        needed_view(read_launcher_file(filled(name, tmp_path)), "status")
    assert fix in str(caught.value.fix)


def test_what_a_machine_has_cost_ends_when_it_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    launched = datetime(2026, 11, 27, 8, 0, tzinfo=UTC)

    def machine(ended: datetime | None) -> RentedMachine:
        return RentedMachine("i-1", "gpu-spot", "aws:g5.2xlarge", "spot", "running", None, launched, ended)

    catalog = load_catalog()
    now = launched + timedelta(hours=2)
    assert machine(None).usd(catalog, now) == Decimal("1.08")
    assert machine(launched + timedelta(minutes=30)).usd(catalog, now) == Decimal("0.27")


class Shrinking:
    """A cloud whose machines take a while to end."""

    def __init__(self, *left: list[Left]) -> None:
        self.says = list(left)

    def left(self) -> list[Left]:
        return self.says.pop(0) if len(self.says) > 1 else self.says[0]

    def machines(self) -> list[RentedMachine]:
        return []


def test_down_waits_until_nothing_is_left_and_names_what_stays() -> None:
    going, disk = Left("machine", "i-1", "shutting-down"), Left("disk", "vol-1", "available")
    told: list[str] = []
    time = [0.0]

    def sleep(seconds: float) -> None:
        time[0] += seconds

    assert wait_until_gone(Shrinking([going], [going], []), 60, told.append, lambda: time[0], sleep) == []
    assert told == ["still there: machine i-1 (shutting-down)"]
    assert wait_until_gone(Shrinking([going, disk], [disk]), 60, told.append, lambda: time[0], sleep) == [disk]
    assert time[0] == 10 + 60
