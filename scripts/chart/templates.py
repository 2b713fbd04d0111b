"""Every template of the chart, from the builds of all modes and components.

Comes in: builds by overlay and component. Goes out: texts by file name. The tables here say which
value switches what on and which text a value takes the place of. May not build anything.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from scripts.chart.builds import Build, Identity, Manifest, containers
from scripts.chart.text import any_of, lines_of, merged

MODES: Final = ("shadow", "advise", "canary", "active")
WRITING: Final = ("canary", "active")


@dataclass(frozen=True, slots=True)
class Component:
    """A kustomize component, and the value that switches it on.

    Attributes:
        folder: its name below deploy/kustomize/components.
        condition: what Helm asks.
        modes: over which overlays it may go.
    """

    folder: str
    condition: str
    modes: tuple[str, ...] = MODES


COMPONENTS: Final = (
    Component("prometheus-operator", ".Values.monitoring.enabled"),
    Component("dashboards", ".Values.dashboards.enabled"),
    Component("network-policy", ".Values.networkPolicy.enabled"),
    Component("aws-irsa", ".Values.aws.roleArn"),
    Component("aws-pod-identity", ".Values.aws.podIdentity"),
    Component("notices", ".Values.notices.queue"),
    Component("otlp", ".Values.otlp.endpoint"),
    Component("high-availability", ".Values.highAvailability.enabled", WRITING),
    Component("weights", ".Values.weights.enabled", WRITING),
)

NAMESPACE: Final = "HELM-NAMESPACE"
RESOURCES: Final = "HELM-RESOURCES"
SETTINGS: Final = "ZZ-SETTINGS"
PLACE: Final = "zz-place"

TEXTS: Final = {
    "arn:aws:iam::111122223333:role/spotvortex": "{{ .Values.aws.roleArn | quote }}",
    "https://sqs.eu-west-1.amazonaws.com/111122223333/spotvortex": (
        "{{ .Values.notices.queue | quote }}"
    ),
    "http://otel-collector.monitoring:4318": "{{ .Values.otlp.endpoint | quote }}",
}
"""What stands in a component for its user to change, and the value that Helm puts there."""

IMAGE: Final = re.compile(r"image: spotvortex:\S+$")
IMAGE_VALUE: Final = (
    'image: "{{ .Values.image.repository }}{{ with .Values.image.digest }}@{{ . }}'
    '{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}"'
)

FREE: Final = {
    f"resources: {RESOURCES}": ["resources:", "  {{- toYaml .Values.resources | nindent 2 }}"],
    f"- name: {SETTINGS}": [
        "{{- range $name, $value := .Values.settings }}",
        "- name: SPOTVORTEX_{{ $name }}",
        "  value: {{ $value | quote }}",
        "{{- end }}",
    ],
    f"{PLACE}: true": [
        "{{- with .Values.imagePullSecrets }}",
        "imagePullSecrets:",
        "  {{- toYaml . | nindent 2 }}",
        "{{- end }}",
        "{{- with .Values.nodeSelector }}",
        "nodeSelector:",
        "  {{- toYaml . | nindent 2 }}",
        "{{- end }}",
        "{{- with .Values.tolerations }}",
        "tolerations:",
        "  {{- toYaml . | nindent 2 }}",
        "{{- end }}",
    ],
}
"""Lines of a Deployment that a chart's user may say freely; a kustomize user patches them."""

HEAD: Final = "{{- /* Generated from deploy/kustomize by `make chart`; edit there. */}}"

Builds = Mapping[tuple[str, str], Build]
"""By overlay and component, "" for the overlay alone."""


def templates(builds: Builds) -> dict[str, str]:
    """Return the text of every template by its file name."""
    identities = sorted({identity for build in builds.values() for identity in build})
    return {file_of(identity): _template(identity, builds) for identity in identities}


def file_of(identity: Identity) -> str:
    """Return the name of an object's file."""
    kind, name = identity
    return f"{kind.lower()}-{name}.yaml"


def _template(identity: Identity, builds: Builds) -> str:
    """Return one document for every form of the object that some modes share."""
    by_text: dict[str, list[str]] = {}
    for mode in MODES:
        text = _of_mode(identity, mode, builds)
        if text:
            by_text.setdefault(text, []).append(mode)
    documents = [_where(_condition(identity, modes), text) for text, modes in by_text.items()]
    return "\n".join([HEAD, *documents]) + "\n"


def _condition(identity: Identity, modes: Sequence[str]) -> str:
    asked = []
    if identity[0] == "Namespace":
        asked.append(".Values.createNamespace")
    if tuple(modes) != MODES:
        names = " ".join(f'"{mode}"' for mode in modes)
        asked.append(f"has .Values.mode (list {names})")
    return " ".join(["and", *(f"({a})" for a in asked)]) if len(asked) > 1 else "".join(asked)


def _where(condition: str, text: str) -> str:
    body = f"---\n{text}"
    return f"{{{{- if {condition} }}}}\n{body}\n{{{{- end }}}}" if condition else body


def _of_mode(identity: Identity, mode: str, builds: Builds) -> str:
    """Return the object as one mode has it, with all that components change; "" where none does."""
    over = {c: builds[mode, c.folder] for c in COMPONENTS if mode in c.modes}
    having = {c.condition: found[identity] for c, found in over.items() if identity in found}
    plain = builds[mode, ""].get(identity)
    if plain is None:
        if not having:
            return ""
        (manifest,) = having.values()
        return _where(any_of(list(having)), "\n".join(_lines(manifest, mode)))
    variants = {condition: _lines(manifest, mode) for condition, manifest in having.items()}
    return "\n".join(merged(_lines(plain, mode), variants))


def _lines(manifest: Manifest, mode: str) -> list[str]:
    """Return an object as lines of a template in which values stand."""
    marked = _marked(manifest, mode)
    lines: list[str] = []
    for line in lines_of(marked):
        lines += _valued(line)
    return lines


def _marked(manifest: Manifest, mode: str) -> Manifest:
    """Return a copy with marks where a value goes."""
    marked: Manifest = _walked(copy.deepcopy(manifest), _in_release)
    if marked["kind"] == "Namespace":
        marked["metadata"]["name"] = NAMESPACE
    for container in containers(marked):
        container["resources"] = RESOURCES
        container["env"] = [_of_any_mode(e, mode) for e in container["env"]]
        container["env"].append({"name": SETTINGS})
        marked["spec"]["template"]["spec"][PLACE] = True
    return marked


def _of_any_mode(variable: Manifest, mode: str) -> Manifest:
    """Let the mode be what the value says, so that modes alike share one document."""
    if variable == {"name": "SPOTVORTEX_MODE", "value": mode}:
        return variable | {"value": "HELM-MODE"}
    return variable


def _in_release(key: str, value: Any) -> Any:
    return NAMESPACE if (key, value) == ("namespace", "spotvortex") else value


def _walked(value: Any, change: Callable[[str, Any], Any]) -> Any:
    """Return a value with every entry of its maps changed."""
    if isinstance(value, dict):
        return {key: change(key, _walked(inner, change)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_walked(inner, change) for inner in value]
    return value


def _valued(line: str) -> list[str]:
    """Put what Helm fills in in place of the marks of a line."""
    body = line.lstrip()
    indent = line[: len(line) - len(body)]
    if body in FREE:
        return [_indented(indent, free) for free in FREE[body]]
    line = line.replace(NAMESPACE, "{{ .Release.Namespace }}")
    line = line.replace("HELM-MODE", "{{ .Values.mode }}")
    line = IMAGE.sub(lambda _: IMAGE_VALUE, line)
    for text, value in TEXTS.items():
        line = line.replace(text, value)
    return [line]


def _indented(indent: str, line: str) -> str:
    """Indent a line, and what it lets Helm indent."""
    line = line.replace("nindent 2", f"nindent {len(indent) + 2}")
    return line if line.startswith("{{-") else f"{indent}{line}"
