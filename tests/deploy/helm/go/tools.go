//go:build tools

// Package tools names helm, which is built from its module as it is, so that
// `go mod tidy` keeps it.
package tools

import (
	_ "helm.sh/helm/v3/cmd/helm"
)
