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
IRSA = (
    "`spotvortex aws trust --oidc ISSUER --account ACCOUNT`; instead of the association, annotate "
    "ServiceAccount `spotvortex` with `eks.amazonaws.com/role-arn`:"
)
HEAD = """# Rights in AWS

SpotVortex needs no right in AWS. Each right below serves one setting; without it the daemon goes on
and says what it misses (`spotvortex check` does, too). Nearly all of them only read. Two things are
changed in AWS: messages are taken out of SpotVortex's own queue, if you give it one, and where
nodes are moved [by node groups](node-groups.md), the size of a group is set. The last three rights
of the table do that, and only the modes `canary` and `active` use them.

Three commands print what the role needs: its policy, who may take it, and a queue. With the AWS
command line and EKS Pod Identity the role is made like this:

```
spotvortex aws policies > rights.json
spotvortex aws trust > trust.json
aws iam create-role --role-name spotvortex --assume-role-policy-document file://trust.json
aws iam put-role-policy --role-name spotvortex --policy-name spotvortex \\
  --policy-document file://rights.json
aws eks create-pod-identity-association --cluster-name CLUSTER --namespace spotvortex \\
  --service-account spotvortex --role-arn arn:aws:iam::ACCOUNT:role/spotvortex
```

Restart the daemon afterwards: a pod gets its role when it starts. Commands that you run yourself,
such as `check` and `prices fetch`, ask with your own credentials and need the same rights.

In the column "bound to", `*` means that the right is given on all resources.

| right | bound to | used by | for |
|---|---|---|---|
"""


def page() -> str:
    """Return the whole page."""
    rows = [f"| `{r.action}` | {r.scope} | `{r.used_by}` | {r.why} |" for r in RIGHTS]
    blocks = (
        (
            "What the role may do",
            "`spotvortex aws policies --queue-arn ARN`; `--key-arn ARN` adds a key of your own:",
            rights_policy(QUEUE),
        ),
        (
            "What it may do where nodes are moved by node groups",
            "`spotvortex aws policies --groups move --cluster NAME`; to read alone, `read`:",
            rights_policy(groups=GroupRights(reads=True, writes=True, cluster="my-cluster")),
        ),
        (
            "Who may take it: EKS Pod Identity",
            "`spotvortex aws trust`; the association above gives it to the ServiceAccount:",
            trust_policy("spotvortex"),
        ),
        (
            "Who may take it: IRSA",
            IRSA,
            trust_policy("spotvortex", OIDC, ACCOUNT),
        ),
    )
    parts = [f"\n## {title}\n\n{words}\n\n```json\n{text}```\n" for title, words, text in blocks]
    tail = (
        "\n## A queue of its own\n\n`spotvortex aws resources` prints a CloudFormation template, "
        "`--form terraform` the same for Terraform: the queue, encrypted, one for what could not "
        "be delivered, and a rule for each event that the daemon reads. Do not give it Karpenter's "
        "queue: of two readers each would get only a part of the messages. Name it in "
        "`SPOTVORTEX_INTERRUPTION_QUEUE`, and say in `SPOTVORTEX_NOTICE_SOURCE` whether the daemon "
        "answers the notices (`queue`) or only learns from them (`evidence`).\n\n"
        "This page is made by `python -m scripts.iam` from the table in "
        "`spotvortex/report/aws/rights.py`; a test compares that with what the code calls.\n"
    )
    return HEAD + "\n".join(rows) + "\n" + "".join(parts) + tail


def main() -> int:
    """Write the page, or compare with `--check`."""
    return write_or_check(PAGE, page, "iam")


if __name__ == "__main__":
    raise SystemExit(main())
