"""The Containerfile and the DaemonSet: by the public schemas, and its mounts in a guest."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from .machines import Machinery
from .roots import Root, bare, run
from .tree import ROOT

KINDS = ("Service", "DaemonSet")
GUEST = ROOT / "tests" / "vm" / "guest.py"


def check_cluster(machinery: Machinery, deb: Path, folder: Path) -> None:
    """Valid, and each container's command works with no more than the manifest grants."""
    manifest = folder / "allocq-daemonset.yaml"
    tools = machinery.tools / "bin"
    said = run([tools / "kubernetes-validate", "--strict", manifest])
    if said.count(" passed ") != len(KINDS):
        raise RuntimeError(said)
    run([tools / "hadolint", folder / "Containerfile"])
    with bare(machinery, "trixie") as root:
        root.apt("update")
        shutil.copy(deb, root.path / "tmp")
        root.apt("install", f"/tmp/{deb.name}")
        known = root.run("allocq", "--help")
        for container in containers(machinery, manifest):
            if f"\n  {container['args'][0]} " in known:
                try_container(root, container)


def containers(machinery: Machinery, manifest: Path) -> list[dict[str, Any]]:
    """The manifest's containers, read by the tools' YAML."""
    program = (
        "import json, sys, yaml; json.dump([*yaml.safe_load_all(open(sys.argv[1]))], sys.stdout)"
    )
    documents = json.loads(run([machinery.python, "-c", program, manifest]))
    service, daemons = ({each["kind"]: each for each in documents}[kind] for kind in KINDS)
    pod = daemons["spec"]["template"]
    found: list[dict[str, Any]] = pod["spec"]["containers"]
    ports = {port["name"] for container in found for port in container.get("ports", ())}
    if not service["spec"]["selector"].items() <= pod["metadata"]["labels"].items():
        raise RuntimeError("the service selects no pod of the DaemonSet")
    if not {port["targetPort"] for port in service["spec"]["ports"]} <= ports:
        raise RuntimeError("the service is for a port that no container has")
    return found


def script(root: Path, container: dict[str, Any]) -> str:
    """What a shell in a guest does: the root read-only, the mounts, no capability, the command.

    A command that goes on without end is ended after a while; record must have samples then.
    """
    rights = container["securityContext"]
    assert rights["readOnlyRootFilesystem"] and not rights["allowPrivilegeEscalation"]
    lines = ["set -e", f"mount --bind {root} {root}", f"mount -o remount,bind,ro {root}"]
    lines += [f"mount -t proc -o ro proc {root}/proc"]
    # A runtime may hide what is in /proc; the host's is mounted beside it.
    lines += [f"mount --bind /dev/null {root}/proc/allocinfo"]
    for mount in container["volumeMounts"]:
        kind = "proc -o ro" if mount["name"] == "proc" else "tmpfs -o mode=0755"
        lines += [f"mount -t {kind} {mount['name']} {root}{mount['mountPath']}"]
    kept = [f"+{name.lower()}" for name in rights["capabilities"].get("add", [])]
    least = shlex.join(
        ["chroot", str(root), "setpriv", f"--bounding-set={','.join(['-all', *kept])}",
         f"--inh-caps={','.join(['-all', *kept])}", "--no-new-privs"]
    )  # fmt: skip
    words = [word.replace("$(NODE)", "node1") for word in container["args"]]
    command = shlex.join(["allocq", *words])
    (source,) = (words[at + 1] for at, word in enumerate(words) if word == "--source")
    lines += [
        f"{least} sh -c 'grep CapEff /proc/self/status; ! touch /x 2>/dev/null'",
        f"{least} timeout --signal=TERM 8 {command} || [ $? = 124 ]",
        f"{least} allocq query --interface ioctl --source {source} --count",
    ]
    if container["args"][0] == "record":
        lines += [f"{least} allocq query --source /var/lib/allocq --count"]
        saved = "/run/allocq/snapshot"
        lines += [f"{least} allocq snapshot --source /var/lib/allocq {saved}"]
        lines += [f"grep -qx '# host: node1' {root}{saved}"]
    return "\n".join(lines)


def try_container(root: Root, container: dict[str, Any]) -> None:
    """Run its command in a guest whose kernel has /proc/allocinfo."""
    if "ALLOCQ_TEST_KERNEL" not in os.environ:
        raise RuntimeError("no test kernel: ALLOCQ_TEST_KERNEL (tests/README.md)")
    for mount in container["volumeMounts"]:
        (root.path / mount["mountPath"][1:]).mkdir(parents=True, exist_ok=True)
    words = ["--kernel", os.environ["ALLOCQ_TEST_KERNEL"], "--timeout", "300", "--"]
    done = subprocess.run(
        [sys.executable, GUEST, *words, "sh", "-c", script(root.path, container)],
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    lines = done.stdout.split()
    if done.returncode or "0000000000000000" not in lines or "0" in lines:
        raise RuntimeError(f"{container['name']}: {done.returncode}\n{done.stdout}\n{done.stderr}")
