#!/usr/bin/env python3
"""Checks packaging/fleet/kubernetes.yaml and compose.yaml: manifests.py MYSA

Every variable and argument in them is one of `mysa fleet worker`, and the worker has the few rights that it needs. Schemas are
checked by kubernetes-validate and docker-compose, in .ci/packaging.
"""

import pathlib
import re
import subprocess
import sys

import yaml

FOLDER = pathlib.Path("packaging/fleet")
HELP = subprocess.run([sys.argv[1], "fleet", "worker", "--help"], check=True, capture_output=True, text=True).stdout
VARIABLES = set(re.findall(r"\[env: (\w+)", HELP))
# Time that a drain may take: hand-overs of 1,000 accounts, 20 at once, of a few seconds each, and commands of 60 s.
DRAIN = 240
PORT = 9465


def check(what, condition):
    if not condition:
        sys.exit(f"{FOLDER}: {what}")


def check_worker(where, arguments, environment):
    check(f"{where}: not `fleet worker`: {arguments}", arguments == ["fleet", "worker"])
    for name in environment.keys() - {"XDG_STATE_HOME"}:
        check(f"{where}: `mysa fleet worker` has no variable {name}", name in VARIABLES)
    for name in ["MYSA_NATS", "MYSA_NATS_USER", "MYSA_NATS_PASSWORD_FILE", "MYSA_NATS_CA", "MYSA_FLEET_KEYS"]:
        check(f"{where}: {name} is missing", name in environment)
    check(f"{where}: NATS without TLS", environment["MYSA_NATS"].startswith("tls://"))
    check(f"{where}: another port of the metrics", environment["MYSA_FLEET_METRICS"].endswith(f":{PORT}"))


def kubernetes():
    parts = {part["kind"]: part for part in yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())}
    worker = parts["StatefulSet"]["spec"]
    pod = worker["template"]["spec"]
    [container] = pod["containers"]
    environment = {item["name"]: item["value"] for item in container["env"]}
    check_worker("kubernetes.yaml", container["args"], environment)
    check("the drain has too little time", pod["terminationGracePeriodSeconds"] >= DRAIN)
    check("the pod may call the API of Kubernetes", pod["automountServiceAccountToken"] is False)
    rights = {**pod["securityContext"], **container["securityContext"]}
    check("the worker may be root", rights["runAsNonRoot"] and rights["runAsUser"] > 0 and rights["runAsGroup"] > 0)
    check("the worker may gain rights", rights["allowPrivilegeEscalation"] is False)
    check("the worker has capabilities", rights["capabilities"] == {"drop": ["ALL"]})
    check("the root of the worker can be written to", rights["readOnlyRootFilesystem"])
    check("the worker has no seccomp profile", rights["seccompProfile"] == {"type": "RuntimeDefault"})
    check("the image has no version", re.search(r":\d+\.\d+\.\d+$", container["image"]))
    check("memory has no limit or no request", container["resources"]["limits"]["memory"] and container["resources"]["requests"])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"]:
        get = container[probe]["httpGet"]
        check(f"{probe} is not /healthz", (get["path"], ports[get["port"]]) == ("/healthz", PORT))
    # A cloud that is away for minutes must not restart all workers.
    liveness = container["livenessProbe"]
    check("a worker is restarted too soon", liveness["periodSeconds"] * liveness["failureThreshold"] >= 1_800)
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for mount in container["volumeMounts"]:
        secret = volumes[mount["name"]].get("secret")
        check(f"{mount['name']}: a secret that all can read", not secret or (secret["defaultMode"] & 0o7 == 0 and mount["readOnly"]))
        for name, value in environment.items():
            if secret and value.startswith(mount["mountPath"] + "/"):
                environment[name] = "mounted"
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    check(f"volumes that are not mounted: {volumes.keys() - mounted}", mounted == set(volumes))
    others = [value for name, value in environment.items() if name != "XDG_STATE_HOME"]
    check("a file that is not mounted", not any(value.startswith("/") for value in others))
    labels = worker["template"]["metadata"]["labels"]
    for selector in [worker["selector"]["matchLabels"], parts["Service"]["spec"]["selector"],
                     parts["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
                     parts["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]]:
        check(f"a selector that selects nothing: {selector}", selector.items() <= labels.items())
    check("serviceName is not the service", worker["serviceName"] == parts["Service"]["metadata"]["name"])
    check("several namespaces", len({part["metadata"]["namespace"] for part in parts.values()}) == 1)


def compose():
    file = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    for name, service in file["services"].items():
        check(f"{name}: root can be written to", service["read_only"])
        check(f"{name}: capabilities", service["cap_drop"] == ["ALL"])
        check(f"{name}: may gain rights", service["security_opt"] == ["no-new-privileges:true"])
        check(f"{name}: no health check", service["healthcheck"]["test"][0] == "CMD")
    worker, nats = file["services"]["worker"], file["services"]["nats"]
    check_worker("compose.yaml", worker["command"], worker["environment"])
    check("the worker is root", worker["user"].split(":")[0] not in ("", "0", "root"))
    minutes = int(re.fullmatch(r"(\d+)m", worker["stop_grace_period"]).group(1))
    check("the drain has too little time", minutes * 60 >= DRAIN)
    for value in worker["environment"].values():
        path = re.fullmatch(r"/run/secrets/(.+)", value)
        check(f"{value} is no secret of the worker", not path or path.group(1) in worker["secrets"])
    check("a secret that does not exist", set(worker["secrets"]) == set(file["secrets"]))
    check("the probe asks another port", f":{PORT}/healthz" in worker["healthcheck"]["test"][-1])
    used = set(re.findall(r"\$(MYSA_NATS_\w+)", (FOLDER / "nats-server.conf").read_text()))
    check("other variables than nats-server.conf has", used == set(nats["environment"]))


kubernetes()
compose()
print(f"{FOLDER}: the manifests fit `mysa fleet worker`")
