#!/bin/sh
# Installs SpotVortex by the manifests of one release, or removes it. Without --apply it only says
# what would be done. What it fetches has to have the checksum that this release was given.
set -eu

VERSION='@VERSION@'
RELEASE='@RELEASE@'
SUM_shadow='@SUM_shadow@'
SUM_advise='@SUM_advise@'
SUM_canary='@SUM_canary@'
SUM_active='@SUM_active@'

NAMESPACE=spotvortex
IMAGE=
CONTEXT=
MODE=shadow
FROM=$RELEASE
APPLY=no
UNINSTALL=no
LEAVE_S=${SPOTVORTEX_LEAVE_S:-120}

usage() {
    cat <<'END'
usage: install.sh [--mode shadow|advise|canary|active] [--image IMAGE] [--context CONTEXT]
                  [--from URL|FOLDER] [--apply] [--uninstall]

  --mode       what may be done with a decision, at most; `shadow` only records
  --image      the image to run, where it is not the release's own
  --context    context of the kubeconfig
  --from       where the manifests of the release are, where they are not at its own address
  --apply      do it; without it nothing is changed
  --uninstall  remove SpotVortex instead; its marks on nodes have to be gone first
END
}

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "install.sh: $*"
    exit 2
}

value_of() {
    [ "$#" -ge 2 ] || fail "$1 needs a value"
    printf '%s' "$2"
}

while [ "$#" -gt 0 ]; do
    case $1 in
        --mode) MODE=$(value_of "$@"); shift ;;
        --image) IMAGE=$(value_of "$@"); shift ;;
        --context) CONTEXT=$(value_of "$@"); shift ;;
        --from) FROM=$(value_of "$@"); shift ;;
        --apply) APPLY=yes ;;
        --uninstall) UNINSTALL=yes ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; fail "unknown option $1" ;;
    esac
    shift
done

# The largest set of objects is what has to be looked for when all has to go.
if [ "$UNINSTALL" = yes ]; then MODE=active; fi

case $MODE in
    shadow) SUM=$SUM_shadow ;;
    advise) SUM=$SUM_advise ;;
    canary) SUM=$SUM_canary ;;
    active) SUM=$SUM_active ;;
    *) fail "--mode $MODE: give shadow, advise, canary or active" ;;
esac
case $VERSION in @*) fail "take install.sh of a release, or make one with \`make dist\`" ;; esac
case $IMAGE in *[!A-Za-z0-9./:@_-]*) fail "--image $IMAGE: is no name of an image" ;; esac
[ -n "$FROM" ] || fail "this release has no address; say where its manifests are by --from"

kube() {
    if [ -n "$CONTEXT" ]; then kubectl --context "$CONTEXT" "$@"; else kubectl "$@"; fi
}

sum_of() {
    if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1
}

fetch() {
    case $FROM in
        http://* | https://*)
            if command -v curl >/dev/null; then
                curl -fsSL --retry 2 --max-time 60 -o "$2" "$FROM/$1"
            else
                wget -q -T 60 -O "$2" "$FROM/$1"
            fi || fail "$FROM/$1 cannot be fetched" ;;
        *) cp "$FROM/$1" "$2" || fail "there is no $1 in $FROM" ;;
    esac
}

command -v kubectl >/dev/null || fail "kubectl is missing"
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
trap 'exit 130' INT TERM
MANIFESTS=$FOLDER/manifests.yaml

fetch "spotvortex-$VERSION-$MODE.yaml" "$FOLDER/fetched.yaml"
FOUND=$(sum_of "$FOLDER/fetched.yaml")
[ "$FOUND" = "$SUM" ] || fail "spotvortex-$VERSION-$MODE.yaml has the checksum $FOUND, not $SUM"
if [ -n "$IMAGE" ]; then
    sed "s#^\( *image: \)spotvortex:.*#\1$IMAGE#" "$FOLDER/fetched.yaml" >"$MANIFESTS"
else
    cp "$FOLDER/fetched.yaml" "$MANIFESTS"
fi

# The server judges best; but what lies in a namespace that is not there yet it cannot judge.
dry_run() {
    if kube get namespace "$NAMESPACE" >/dev/null 2>&1; then echo server; else echo client; fi
}

install() {
    if [ "$APPLY" = no ]; then
        kube apply --dry-run="$(dry_run)" -f "$MANIFESTS"
        say "nothing was changed; add --apply to install SpotVortex $VERSION in mode $MODE"
        return
    fi
    kube apply -f "$MANIFESTS"
    say "SpotVortex $VERSION is installed in mode $MODE. Next:"
    say "  kubectl -n $NAMESPACE rollout status deployment/spotvortex"
    say "  kubectl -n $NAMESPACE exec deploy/spotvortex -- python -m spotvortex check"
}

# Nothing where there is no such object or kind. Any other failure is told: what was not seen may
# carry a mark.
if_there() {
    if kube get "$@" 2>"$FOLDER/error"; then return 0; fi
    if grep -q -e NotFound -e "doesn't have a resource type" "$FOLDER/error"; then return 0; fi
    cat "$FOLDER/error" >&2
    return 1
}

# What still has an effect without a daemon; docs/uninstall.md has the whole list.
marks() {
    kube get nodes -l spotvortex.io/cordoned -o name || return 1
    kube get nodes -o go-template='{{range .items}}{{if .metadata.annotations}}{{if index .metadata.annotations "spotvortex.io/kept"}}node/{{.metadata.name}}{{"\n"}}{{end}}{{end}}{{end}}' || return 1
    if_there -n "$NAMESPACE" configmap spotvortex-state-groups -o go-template='{{range .data}}group that has given nothing back{{"\n"}}{{end}}' || return 1
    if_there nodepools.karpenter.sh -o go-template='{{range .items}}{{if .metadata.annotations}}{{if index .metadata.annotations "spotvortex.io/restore"}}nodepool/{{.metadata.name}}{{"\n"}}{{end}}{{end}}{{end}}' || return 1
}

# By this ConfigMap the daemon undoes what is in flight, and begins nothing.
leave() {
    say "waiting at most $LEAVE_S s for SpotVortex to undo what it has in hand"
    kube -n "$NAMESPACE" create configmap spotvortex-freeze --from-literal=leave=true \
        --dry-run=client -o yaml | kube apply -f - >/dev/null
    waited=0
    while [ "$waited" -lt "$LEAVE_S" ]; do
        found=$(marks)
        [ -n "$found" ] || return 0
        sleep 1
        waited=$((waited + 1))
    done
    say "these still carry its marks; \`spotvortex uninstall --apply\` removes them:"
    say "$found"
    exit 1
}

uninstall() {
    if [ "$APPLY" = no ]; then
        found=$(marks)
        if [ -n "$found" ]; then
            say "these carry its marks, and are waited for:"
            printf '%s\n' "$found"
        fi
        kube get -f "$MANIFESTS" --ignore-not-found -o name
        say "nothing was changed; add --apply to remove this, and what was remembered with it"
        return
    fi
    found=$(marks)
    if [ -n "$found" ]; then leave; fi
    kube delete -f "$MANIFESTS" --ignore-not-found
}

if [ "$UNINSTALL" = yes ]; then uninstall; else install; fi
