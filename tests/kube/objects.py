"""Objects as the API server would send them, with only what a test cares about."""


def meta(name, namespace="", version="1", **more):
    found = {"name": name, "uid": f"uid-{name}", "resourceVersion": version} | more
    return found | ({"namespace": namespace} if namespace else {})


def node(name, labels=None, *, version="1", spec=None, status=None, **more):
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    return {
        "metadata": meta(name, version=version, labels=labels or {}, **more),
        "spec": spec or {},
        "status": ready | (status or {}),
    }


def controlled_by(kind, name):
    return [{"kind": kind, "name": name, "controller": True}]


def pod(name, node="n1", *, owner=None, ready=True, labels=None, spec=None, **more):
    more.setdefault("phase", "Running")
    phase = more.pop("phase")
    if owner:
        more["ownerReferences"] = controlled_by(*owner)
    return {
        "metadata": meta(name, "default", labels=labels, **more),
        "spec": {"nodeName": node, "containers": [container()]} | (spec or {}),
        "status": {
            "phase": phase,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def container(cpu="100m", memory="128Mi", **more):
    return {"resources": {"requests": {"cpu": cpu, "memory": memory}}} | more


def pdb(name, selector, *, desired=1, allowed=1, namespace="default"):
    return {
        "metadata": meta(name, namespace),
        "spec": {"selector": selector},
        "status": {"desiredHealthy": desired, "disruptionsAllowed": allowed},
    }


def replica_set(name, deployment=None, **more):
    owner = {"ownerReferences": controlled_by("Deployment", deployment)} if deployment else {}
    return {"metadata": meta(name, "default", **owner, **more)}


def node_pool(name, requirements=(), **more):
    spec = {"template": {"spec": {"requirements": list(requirements)}}}
    return {"metadata": meta(name, **more), "spec": spec}
