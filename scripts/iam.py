"""Write `docs/IAM_PERMISSIONS.md` from the table of rights: run it after changing the table.

`--check` writes nothing and exits with 1 if the page is out of date.
"""

from __future__ import annotations

from pathlib import Path

from scripts.generated import write_or_check
from spotvortex.report.aws.policies import GroupRights, rights_policy, trust_policy
from spotvortex.report.aws.rights import RIGHTS

PAGE = Path(__file__).parents[1] / "docs" / "IAM_PERMISSIONS.md"
ACCOUNT = "111122223333"
QUEUE = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:spotvortex-notices"
OIDC = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE"
HEAD = """# Rights in AWS

Nothing in AWS is required. Each right below serves one setting; without it the daemon goes on, and
says what it misses. No mode changes anything in AWS, beyond taking messages out of a queue of its
own, and beyond sizes of groups where nodes are moved by those ([node-groups.md](node-groups.md)):
the last three rights, which only modes that write use. This page is generated
(`python -m scripts.iam`) from the table in `spotvortex/report/aws/rights.py`; a test holds the
table against the operations that the code calls.

| right | bound to | used by | for |
|---|---|---|---|
"""


def page() -> str:
    """Return the whole page."""
    rows = [f"| `{r.action}` | {r.scope} | `{r.used_by}` | {r.why} |" for r in RIGHTS]
    blocks = (
        (
            "What the role may do",
            "`spotvortex aws policies [--queue-arn ARN [--key-arn ARN]]`:",
            rights_policy(QUEUE),
        ),
        (
            "What it may do besides where nodes are moved by groups",
            "`spotvortex aws policies --groups move [--cluster NAME]`; `read` suffices for shadow:",
            rights_policy(groups=GroupRights(reads=True, writes=True, cluster="my-cluster")),
        ),
        (
            "Who may take it: EKS Pod Identity",
            "`spotvortex aws trust`, then associate the role with ServiceAccount `spotvortex`:",
            trust_policy("spotvortex"),
        ),
        (
            "Who may take it: IRSA",
            "`spotvortex aws trust --oidc ISSUER --account ACCOUNT`, then annotate the account:",
            trust_policy("spotvortex", OIDC, ACCOUNT),
        ),
    )
    parts = [f"\n## {title}\n\n{words}\n\n```json\n{text}```\n" for title, words, text in blocks]
    tail = (
        "\n## A queue of its own\n\n`spotvortex aws resources` prints a CloudFormation template, "
        "`--form terraform` the same for Terraform: the queue, encrypted, one for what could not "
        "be delivered, and a rule for each event that the daemon reads. It is never Karpenter's "
        "queue: two readers of one queue rob each other of messages. Name it in "
        "`SPOTVORTEX_INTERRUPTION_QUEUE`, and say in `SPOTVORTEX_NOTICE_SOURCE` whether the daemon "
        "answers the notices (`queue`) or only learns from them (`evidence`).\n"
    )
    return HEAD + "\n".join(rows) + "\n" + "".join(parts) + tail


def main() -> int:
    """Write the page, or compare with `--check`."""
    return write_or_check(PAGE, page, "iam")


if __name__ == "__main__":
    raise SystemExit(main())
