"""An AWS on this machine: moto's API, and for each instance that it starts a host in namespaces that answers SSH."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tests.integration.hosts import NETWORK, Hosts, address, wait_until

ROOT = Path(__file__).parents[2]
LAPTOP = 250
"""The host that the user sits at; the API answers there, too."""

TOOLS = ("/usr/sbin/sshd", "rsync", "ssh", "ssh-keygen")

API = f"http://{address(LAPTOP)}:5000"

SETTINGS = {
    "AWS_ENDPOINT_URL": API,
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AUTOSCALER_UPDATE_INTERVAL_S": "2",
    "AUTOSCALER_NODE_START_WAIT_S": "120",
    "RAY_AUTH_MODE": "token",
    "RAY_grpc_client_keepalive_time_ms": "5000",
    "RAY_grpc_client_keepalive_timeout_ms": "5000",
    "PYTHONWARNINGS": "ignore",
    "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
    "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
}
"""What the container has on a real cluster: here all hosts share the files of this machine."""

POLL = """
import boto3, json, time
ec2 = boto3.client("ec2")
while True:
    found = [i for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]
    print(json.dumps([[i["PrivateIpAddress"], i["State"]["Name"]] for i in found]), flush=True)
    time.sleep(1)
"""

NETWORKED = f"""
import boto3
ec2 = boto3.client("ec2")
vpc = ec2.create_vpc(CidrBlock="{NETWORK}.0/24")["Vpc"]["VpcId"]
ec2.create_subnet(VpcId=vpc, CidrBlock="{NETWORK}.0/24", AvailabilityZone="us-east-1a")
for role in ("tunesmith-head", "tunesmith-worker"):
    boto3.client("iam").create_instance_profile(InstanceProfileName=role)
group = ec2.create_security_group(GroupName="cluster", Description="cluster", VpcId=vpc)["GroupId"]
print(group, ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"])
"""

DOOR = """\
ip route add default dev eth0 && mount --bind "$0/passwd" /etc/passwd && mkdir -p /run/sshd &&
/usr/sbin/sshd -f "$0/sshd_config" -E "$0/sshd.log"
"""


class Aws(Hosts):
    """Hosts come and go with the instances that moto has; `group` and `image` are there for the taking."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, 0)
        self.home = folder / "home"
        self.processes_of_ours: list[subprocess.Popen[Any]] = []
        self.seen: set[int] = set()
        self.trouble: list[BaseException] = []

    def __enter__(self) -> Aws:
        super().__enter__()
        try:
            self.home.mkdir()
            self._boot(LAPTOP)
            log = (self.folder / "moto.log").open("wb")
            moto = [sys.executable, "-m", "moto.server", "-H", address(LAPTOP), "-p", "5000"]
            self._keep(moto, stdout=log, stderr=log)
            wait_until(lambda: "Running on" in (self.folder / "moto.log").read_text(), 60, "moto")
            self.group, self.image = self.laptop([sys.executable, "-c", NETWORKED]).split()[-2:]
            poll = self._keep([sys.executable, "-c", POLL], stdout=subprocess.PIPE, text=True)
            self.follower = threading.Thread(target=self._follow, args=(poll,), daemon=True)
            self.follower.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *error: Any) -> None:
        for process in self.processes_of_ours:
            process.kill()
        self.down()
        if hasattr(self, "follower"):
            self.follower.join(30)

    def environment(self) -> dict[str, str]:
        """The user's."""
        return {**os.environ, **SETTINGS, "HOME": str(self.home)}

    def laptop(self, command: list[str], **options: Any) -> str:
        """Output of a command of the user's."""
        return self.run(LAPTOP, command, env=self.environment(), **options)

    def _keep(self, command: list[str], **options: Any) -> subprocess.Popen[Any]:
        process = self.popen(LAPTOP, command, self.folder, env=self.environment(), **options)
        self.processes_of_ours.append(process)
        return process

    def _boot(self, number: int) -> None:
        self.boots.setdefault(number, 0)
        self.start(number)

    def _follow(self, poll: subprocess.Popen[str]) -> None:
        """Bring hosts up and take them down as the API says."""
        assert poll.stdout is not None
        try:
            for line in poll.stdout:
                states = {int(ip.rpartition(".")[2]): state for ip, state in json.loads(line)}
                for number, state in states.items():
                    if state in ("pending", "running") and number not in self.holders:
                        self._boot(number)
                        self._open_door(number)
                        self.seen.add(number)
                    elif state == "terminated" and number in self.holders:
                        self.kill(number)
        except BaseException as error:
            self.trouble.append(error)

    def _open_door(self, number: int) -> None:
        """An SSH server for the key that Ray has made, and a home of the host's own."""
        own = self.folder / f"machine-{number}"
        keys = own / "home" / ".ssh"
        keys.mkdir(parents=True, mode=0o700)
        [private] = (self.home / ".ssh").glob("*.pem")
        public = subprocess.run(["ssh-keygen", "-y", "-f", private], capture_output=True, text=True, check=True).stdout
        (keys / "authorized_keys").write_text(public)
        (own / "home" / ".bashrc").write_text("".join(f"export {key}='{value}'\n" for key, value in SETTINGS.items()))
        lines = Path("/etc/passwd").read_text().replace(":/root:", f":{own / 'home'}:", 1)
        (own / "passwd").write_text(lines)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", own / "host_key"], check=True)
        (own / "sshd_config").write_text(
            f"Port 22\nListenAddress {address(number)}\nHostKey {own / 'host_key'}\nPidFile none\nStrictModes no\n"
            "UsePAM no\nPermitRootLogin prohibit-password\nAuthorizedKeysFile .ssh/authorized_keys\n"
        )
        self.run(number, ["bash", "-c", DOOR, str(own)])


def why_no_aws() -> str | None:
    """What is missing for it, or None."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return (
        f"instances that answer SSH need {', '.join(missing)} (apt-get install openssh-server rsync)"
        if missing
        else None
    )
