"""Where the API server is, and as whom it is asked: a pod's own account, or a kubeconfig.

Comes in: the path and the context that the user named. Goes out: the library's configuration, or an
error that says what to do. May not send a request, but lets a credential plugin run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import (
    ConfigException,
    load_incluster_config,
    load_kube_config,
)
from kubernetes_asyncio.config.kube_config import KubeConfigLoader

from spotvortex.errors import SettingsError
from spotvortex.kube.api.errors import LONGEST_MESSAGE

DEFAULT_KUBECONFIG: Final = "~/.kube/config"

# The library hardly checks what it reads, so a wrong shape shows as these.
_BROKEN_CONFIG: Final = (
    ConfigException,
    yaml.YAMLError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    TypeError,
    ValueError,
)


async def configured(kubeconfig: str, context: str) -> tuple[Configuration, str]:
    """Return a configuration and the name of its context, "in-cluster" inside a pod.

    Args:
        kubeconfig: path, or several joined by colons; "" where the user named none: then the pod's
            own service account is used, and outside a pod the default path.
        context: a context of the kubeconfig, "" for its current one.

    Raises:
        SettingsError: there is no configuration to use; the text says what to do.
    """
    configuration = Configuration()
    if not kubeconfig and not context:
        try:
            load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration
            )
        except ConfigException:
            pass
        else:
            return configuration, "in-cluster"
    paths = kubeconfig or DEFAULT_KUBECONFIG
    return configuration, await _load_kubeconfig(configuration, paths, context)


async def _load_kubeconfig(configuration: Configuration, paths: str, context: str) -> str:
    if not _any_exists(paths):
        raise SettingsError(
            f"no kubeconfig at {paths} and not inside a cluster: name one with KUBECONFIG"
        )
    try:
        loader = await load_kube_config(
            config_file=paths,
            context=context or None,
            client_configuration=configuration,
            persist_config=False,
        )
    except _BROKEN_CONFIG as error:
        wanted = f"context {context!r}" if context else "the current context"
        raise SettingsError(
            f"cannot use {wanted} of kubeconfig {paths}: {_why_broken(error)}; "
            "`kubectl config get-contexts` lists what there is"
        ) from error
    _keep_credentials_fresh(configuration, loader)
    current = loader.current_context or {}
    return str(current.get("name", context))


def _why_broken(error: Exception) -> str:
    """Return a reason in words: what reads the file gives up on Python's own errors as well."""
    if isinstance(error, ConfigException | yaml.YAMLError | OSError):
        return str(error)[:LONGEST_MESSAGE]
    return "it is no kubeconfig, or lacks a part of one (clusters, contexts, users)"


def _any_exists(paths: str) -> bool:
    return any(path and Path(path).expanduser().is_file() for path in paths.split(":"))


def _keep_credentials_fresh(configuration: Configuration, loader: KubeConfigLoader) -> None:
    """Let a credential plugin run again before its token expires (EKS: every 15 minutes)."""
    if not hasattr(loader, "exec_plugin_expiry"):
        return

    async def refresh(target: Configuration) -> None:
        await loader.load_from_exec_plugin()
        target.api_key["BearerToken"] = loader.token

    configuration.refresh_api_key_hook = refresh
