"""The ledger of a cluster in which no daemon can be asked.

Comes in: settings. Goes out: the text of its ConfigMap. Reads only.
"""

from __future__ import annotations

import json
from typing import Final

from spotvortex.app.kubernetes import answering_client
from spotvortex.errors import NotServedError, RecordError
from spotvortex.kube.coordination.kept_ledger import KeptLedger
from spotvortex.settings.model import Settings

ANSWER_S: Final = 10.0


async def from_cluster(settings: Settings) -> tuple[str, str]:
    """Return the kept ledger, and where it lies.

    Raises:
        SettingsError: there is no cluster to read.
        RecordError: nothing is kept there.
        ApiError: the server does not answer, or refuses.
    """
    place = f"ConfigMap {settings.namespace}/{KeptLedger.NAME}"
    try:
        async with answering_client(settings) as client:
            path = KeptLedger.path_in(settings.namespace)
            body = await client.get_bytes(path, timeout=ANSWER_S)
    except NotServedError as error:
        raise RecordError(f"{place} is not there: install deploy/kustomize/ledger") from error
    text = (json.loads(body).get("data") or {}).get(KeptLedger.KEY)
    if not text:
        raise RecordError(f"{place} is empty: no daemon has written it yet")
    return str(text), place
