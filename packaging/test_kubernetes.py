"""Checks the Helm chart and the plain manifests. scripts/kubernetes.sh runs it.

Helm's own engine renders the chart, and the schemas are those of Kubernetes and of the Prometheus
operator. The commands of the containers are then run here: the daemon, and the proxy if
MEMCACHED_PROXY names a memcached that is built with it. No cluster is needed.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import urllib.request

import kubernetes_validate
import yaml
from helm_python.chart import Chart, lint
from helm_python.errors import HelmError

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "compat" / "cluster"))

from nodes import Node, Process, ask, free_port  # noqa: E402

CHART = ROOT / "packaging" / "helm" / "memcached-rs"
MANIFESTS = ROOT / "packaging" / "kubernetes"
#: The oldest version of Chart.yaml, and the newest that the schemas know.
VERSIONS = ["1.29.0", "1.37.0"]
METRICS = {"metrics": {"enabled": True, "serviceMonitor": {"enabled": True}}, "proxy": {"enabled": True}}
PERSISTENCE = {
    "persistence": {"enabled": True, "storageClass": "fast"},
    "replicas": 5,
    "image": {"tag": "1.0"},
    "flags": ["-o", "idle_timeout=60"],
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "cache", "operator": "Exists"}],
    "proxy": {"enabled": True, "replicas": 1},
}
EXTRAS = {
    "metrics": {"enabled": True},
    "proxy": {"enabled": True},
    "imagePullSecrets": [{"name": "registry"}],
    "env": [{"name": "MEMCACHED_SASL_PWDB", "value": "/etc/users/users"}],
    "extraVolumes": [{"name": "users", "secret": {"secretName": "users"}}],
    "extraVolumeMounts": [{"name": "users", "mountPath": "/etc/users", "readOnly": True}],
    "publishNotReadyAddresses": True,
    "networkPolicy": {"enabled": True, "from": [{"podSelector": {"matchLabels": {"app": "shop"}}}]},
}
VALUES = {
    "nothing": {},
    "the plain manifests": METRICS,
    "persistence": PERSISTENCE,
    "extras": EXTRAS,
    "extras and persistence": {**EXTRAS, "persistence": {"enabled": True}},
}
REFUSED = [
    {"replicas": 0},
    {"memory": "1g"},
    {"unknown": 1},
    {"proxy": {"enabled": True, "image": "memcached"}},
    {"flags": "-v"},
    {"env": {"NAME": "value"}},
    {"extraVolumes": [{"secret": {"secretName": "users"}}]},
    {"networkPolicy": {"enabled": True, "from": [{}]}},
    {"metrics": {"serviceMonitor": {"enabled": True}}},
]
SERVER = sys.argv[1] if len(sys.argv) > 1 else ""


def render(values):
    """Returns the texts of the files that the chart makes."""
    with Chart.load(CHART) as chart:
        files = chart.render(values, name="memcached", namespace="default")
    return {pathlib.Path(path).name: text.lstrip("\n") for path, text in files.items() if text.strip()}


def documents(files):
    return [one for name, text in files.items() if name.endswith(".yaml") for one in yaml.safe_load_all(text) if one]


def find(objects, kind, name="memcached"):
    return next(one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name)


def container(workload, index=0):
    return workload["spec"]["template"]["spec"]["containers"][index]


class Schemas(unittest.TestCase):
    def test_helm_finds_nothing(self):
        for values in VALUES.values():
            found = [one for one in lint(CHART, values, strict=True)["messages"] if one["severity"] > 1]
            self.assertEqual(found, [])

    def test_objects_follow_the_schemas(self):
        monitors = []
        for name, values in VALUES.items():
            for one in documents(render(values)):
                if one["kind"] == "ServiceMonitor":
                    monitors.append(one)
                    continue
                for version in VERSIONS:
                    with self.subTest(values=name, kind=one["kind"], version=version):
                        kubernetes_validate.validate(one, version, strict=True)
        self.assertEqual(len(monitors), 1)
        self.assertEqual(self.monitor(monitors[0]), "")
        monitors[0]["spec"]["endpoints"][0]["interval"] = 30
        self.assertIn("must be string", self.monitor(monitors[0]))

    def monitor(self, one):
        """Returns the fault that the operator's schema finds."""
        script = """
            import { ServiceMonitor } from
              '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor';
            try { new ServiceMonitor(JSON.parse(process.argv[1])).validate(); }
            catch (error) { console.log(error.message); }"""
        command = ["node", "--input-type=module", "-e", script, json.dumps(one)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "target" / "kubernetes", check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_a_wrong_object_is_found(self):
        wrong = find(documents(render({})), "StatefulSet")
        wrong["spec"]["replica"] = 3
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)

    def test_wrong_values_are_refused(self):
        for values in REFUSED:
            with self.subTest(values=values), self.assertRaises(HelmError):
                render(values)

    def test_every_value_is_described_by_the_schema(self):
        schema = json.loads((CHART / "values.schema.json").read_text())

        def compare(values, properties, path):
            self.assertEqual(set(values), set(properties) - {"global"}, path)
            for key, value in values.items():
                if isinstance(value, dict) and value:
                    compare(value, properties[key]["properties"], f"{path}.{key}")

        compare(yaml.safe_load((CHART / "values.yaml").read_text()), schema["properties"], "values")


class Manifests(unittest.TestCase):
    def test_plain_manifests_are_those_of_the_chart(self):
        files = {name: text for name, text in render(METRICS).items() if name.endswith(".yaml")}
        if os.environ.get("WRITE"):
            for name, text in files.items():
                (MANIFESTS / name).write_text(text)
        listed = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())["resources"]
        # A cluster without the Prometheus operator does not know a ServiceMonitor.
        self.assertEqual(sorted([*listed, "servicemonitor.yaml"]), sorted(files))
        for name, text in files.items():
            self.assertEqual((MANIFESTS / name).read_text(), text, "run: make kubernetes WRITE=1")

    def test_objects_refer_to_each_other(self):
        for values in VALUES.values():
            objects = documents(render(values))
            workloads = [one for one in objects if one["kind"] in ("StatefulSet", "Deployment")]
            pods = [one["spec"]["template"] for one in workloads]
            for one in objects:
                kind, spec = one["kind"], one.get("spec", {})
                selector = spec.get("selector", {})
                selector = selector if kind == "Service" else selector.get("matchLabels")
                if kind == "ServiceMonitor":
                    services = [other for other in objects if other["kind"] == "Service"]
                    services = [other for other in services if selector.items() <= other["metadata"]["labels"].items()]
                    ports = [port["name"] for other in services for port in other["spec"]["ports"]]
                    self.assertEqual(
                        [(end["port"], ports.count(end["port"])) for end in spec["endpoints"]], [("metrics", 1)]
                    )
                elif selector:
                    matching = [pod for pod in pods if selector.items() <= pod["metadata"]["labels"].items()]
                    self.assertEqual(len(matching), 1, one["metadata"]["name"])
                if kind == "Service":
                    names = {port["name"] for part in matching[0]["spec"]["containers"] for port in part["ports"]}
                    self.assertLessEqual({port["targetPort"] for port in spec["ports"]}, names)
            self.assertEqual(find(objects, "Service")["spec"]["clusterIP"], "None")
            self.assertEqual(find(objects, "StatefulSet")["spec"]["serviceName"], "memcached")

    def test_no_container_is_root_or_writes_to_its_image(self):
        for values in VALUES.values():
            for one in documents(render(values)):
                if one["kind"] not in ("StatefulSet", "Deployment"):
                    continue
                pod = one["spec"]["template"]["spec"]
                self.assertTrue(pod["securityContext"]["runAsNonRoot"])
                for part in pod["containers"]:
                    context = part["securityContext"]
                    self.assertTrue(context["readOnlyRootFilesystem"])
                    self.assertFalse(context["allowPrivilegeEscalation"])
                    self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
                    self.assertIn("memory", part["resources"]["limits"])

    def test_extra_volumes_and_variables_reach_the_nodes_alone(self):
        for persistence in (False, True):
            objects = documents(render({**EXTRAS, "persistence": {"enabled": persistence}}))
            node, proxy = find(objects, "StatefulSet"), find(objects, "Deployment", "memcached-proxy")
            pod = node["spec"]["template"]["spec"]
            self.assertEqual(container(node)["env"], EXTRAS["env"])
            mounts = [mount["name"] for mount in container(node)["volumeMounts"]]
            self.assertEqual(mounts, ["data", "users"] if persistence else ["users"])
            self.assertEqual(pod["volumes"], EXTRAS["extraVolumes"])
            other = proxy["spec"]["template"]["spec"]
            self.assertEqual([volume["name"] for volume in other["volumes"]], ["config"])
            for each in (pod, other):
                self.assertEqual(each["imagePullSecrets"], EXTRAS["imagePullSecrets"])
            self.assertTrue(find(objects, "Service")["spec"]["publishNotReadyAddresses"])

    def test_a_network_policy_admits_the_named_pods_and_the_proxy(self):
        objects = documents(render(EXTRAS))
        policy = find(objects, "NetworkPolicy")["spec"]
        selected = policy["podSelector"]["matchLabels"].items()
        pods = [one["spec"]["template"] for one in objects if one["kind"] in ("StatefulSet", "Deployment")]
        self.assertEqual([selected <= pod["metadata"]["labels"].items() for pod in pods], [True, True])
        clients, exporter = policy["ingress"]
        proxy = find(objects, "Deployment", "memcached-proxy")["spec"]["selector"]
        self.assertEqual(clients["from"], [*EXTRAS["networkPolicy"]["from"], {"podSelector": proxy}])
        self.assertEqual((clients["ports"], exporter), ([{"port": "memcached"}], {"ports": [{"port": "metrics"}]}))
        own = find(documents(render({"networkPolicy": {"enabled": True}})), "NetworkPolicy")["spec"]
        self.assertEqual(own["ingress"], [{"from": [{"podSelector": {}}], "ports": [{"port": "memcached"}]}])
        self.assertNotIn("networkpolicy.yaml", render(METRICS))

    def test_the_notes_name_each_node(self):
        notes = render(PERSISTENCE)["NOTES.txt"]
        self.assertEqual(re.findall(r"memcached-(\d)\.memcached:11211", notes), list("01234"))


@unittest.skipUnless(SERVER, "no server is named")
class Commands(unittest.TestCase):
    def test_the_daemon_starts_with_the_arguments_of_the_container(self):
        with tempfile.TemporaryDirectory() as data:
            for values in VALUES.values():
                part = container(find(documents(render(values)), "StatefulSet"))
                port, metrics = free_port(), free_port()
                arguments = " ".join(part["args"]).replace("11211", str(port)).replace("9150", str(metrics))
                arguments = arguments.replace("=*", "=127.0.0.1")
                process = Process([SERVER, *arguments.replace("/data", data).split()], port)
                try:
                    settings = dict(line.split()[1:3] for line in ask(port, "stats settings", "END"))
                    if "metrics" in values:
                        with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=20) as response:
                            self.assertIn(b"\nmemcached_up 1\n", response.read())
                finally:
                    process.kill()
                self.assertEqual(settings["maxbytes"], str(1024 << 20))
                self.assertEqual(settings["maxconns"], "4096")
                self.assertEqual(settings["read_buf_mem_limit"], str(128 << 20))

    def test_the_proxy_finds_the_nodes_of_its_list(self):
        program = os.environ.get("MEMCACHED_PROXY")
        if not program:
            reason = "MEMCACHED_PROXY does not name a memcached with a proxy"
            print(f"skip the container of the proxy: {reason}", file=sys.stderr)
            self.skipTest(reason)
        objects = documents(render(METRICS))
        config = find(objects, "ConfigMap", "memcached-proxy")["data"]["proxy.lua"]
        arguments = container(find(objects, "Deployment", "memcached-proxy"))["args"]
        nodes, port = [Node(SERVER) for _ in range(3)], free_port()
        try:
            for index, node in enumerate(nodes):
                config, found = re.subn(rf"memcached-{index}\.memcached:11211", node.name, config)
                self.assertEqual(found, 1)
            with tempfile.TemporaryDirectory() as place:
                (pathlib.Path(place) / "proxy.lua").write_text(config)
                words = " ".join(arguments).replace("11211", str(port)).replace("/etc/memcached", place).split()
                proxy = Process([program, "--listen=127.0.0.1", *words], port)
                nodes.append(proxy)
                for n in range(30):
                    ask(port, f"set key{n} 0 0 1\r\nx", "STORED")
            held = [len(node.keys()) for node in nodes[:3]]
            self.assertEqual(sum(held), 30)
            self.assertTrue(all(held), held)
        finally:
            for node in nodes:
                node.kill()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
