"""tests/vm/kube-pod.py MANIFEST KIND NAME PLACE: what a kubelet makes of a manifest's pod
(or of a Deployment's template), for CRI: PLACE/pod.json, the sandbox; PLACE/NAME.json for
each container, in the order of PLACE/names; and its volumes below PLACE/volumes. The
handler that its RuntimeClass names is printed.

tests/vm/kube-pod.py change VOLUME NAME TEXT: what it makes of a configMap that has changed.
"""

import json
import os
import sys
import uuid

import yaml

QUANTITIES = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


def documents(path):
    with open(path, encoding="utf-8") as f:
        return [d for d in yaml.safe_load_all(f) if d]


def memory(text):
    return int(text[:-2]) * QUANTITIES[text[-2:]]


def milli(text):
    text = str(text)
    return int(text[:-1]) if text.endswith("m") else int(float(text) * 1000)


def write_volume(path, data, stamp):
    """As a kubelet's AtomicWriter does."""
    new = os.path.join(path, ".." + stamp)
    os.makedirs(new)
    for name, text in data.items():
        with open(os.path.join(new, name), "w", encoding="utf-8") as f:
            f.write(text)
        link = os.path.join(path, name)
        if not os.path.islink(link):
            os.symlink("..data/" + name, link)
    os.symlink(".." + stamp, os.path.join(path, "..data_tmp"))
    os.rename(os.path.join(path, "..data_tmp"), os.path.join(path, "..data"))


def volumes(spec, maps, place):
    """Name: its directory on the host."""
    found = {}
    for volume in spec.get("volumes", []):
        kind = "kubernetes.io~" + ("configmap" if "configMap" in volume else "empty-dir")
        found[volume["name"]] = path = os.path.join(place, "volumes", kind, volume["name"])
        os.makedirs(path)
        if "configMap" in volume:
            write_volume(path, maps[volume["configMap"]["name"]], "first")
    return found


def container(c, paths, pod):
    limits = c.get("resources", {}).get("limits", {})
    linux = {"resources": {}, "security_context": {
        # 1: of the container; the pod's would be 0.
        "namespace_options": {"pid": 1}, "masked_paths": ["/proc/kcore", "/proc/keys"],
        "readonly_paths": ["/proc/bus", "/proc/sys"]}}
    if "cpu" in limits:
        linux["resources"].update(cpu_period=100000, cpu_quota=milli(limits["cpu"]) * 100,
                                  cpu_shares=milli(limits["cpu"]) * 1024 // 1000)
    if "memory" in limits:
        linux["resources"]["memory_limit_in_bytes"] = memory(limits["memory"])
    return {
        "metadata": {"name": c["name"]}, "image": {"image": c["image"]},
        "command": c.get("command", []), "args": c.get("args", []),
        "mounts": [{"container_path": m["mountPath"], "host_path": paths[m["name"]],
                    "readonly": m.get("readOnly", False)} for m in c.get("volumeMounts", [])],
        "labels": {"io.kubernetes.container.name": c["name"],
                   "io.kubernetes.pod.name": pod["metadata"]["name"]},
        "log_path": c["name"] + ".log", "linux": linux}


def main():
    if sys.argv[1] == "change":
        volume, name, text = sys.argv[2:]
        write_volume(volume, {name: text}, "second")
        return
    manifest, kind, name, place = sys.argv[1:]
    all_of = documents(manifest)
    found = next(d for d in all_of if d["kind"] == kind and d["metadata"]["name"] == name)
    spec = found["spec"]["template"]["spec"] if kind == "Deployment" else found["spec"]
    maps = {d["metadata"]["name"]: d["data"] for d in all_of if d["kind"] == "ConfigMap"}
    classes = documents(os.path.join(os.path.dirname(manifest), "runtimeclass.yaml"))
    handler = next(c["handler"] for c in classes if c["metadata"]["name"] == spec["runtimeClassName"])
    os.makedirs(place)
    paths = volumes(spec, maps, place)
    pod = {
        "metadata": {"name": name, "namespace": "default", "uid": str(uuid.uuid4()), "attempt": 0},
        "hostname": name, "log_directory": os.path.join(place, "logs"), "dns_config": {},
        "labels": {"io.kubernetes.pod.name": name},
        "linux": {"security_context": {"namespace_options": {"pid": 1}}}}
    files = {"pod": pod, **{c["name"]: container(c, paths, pod) for c in spec["containers"]}}
    for label, value in files.items():
        with open(os.path.join(place, label + ".json"), "w", encoding="utf-8") as f:
            json.dump(value, f)
    with open(os.path.join(place, "names"), "w", encoding="utf-8") as f:
        f.write("".join(f"{c['name']} {c['image']}\n" for c in spec["containers"]))
    with open(os.path.join(place, "spec.json"), "w", encoding="utf-8") as f:
        json.dump(spec, f)
    print(handler)


main()
