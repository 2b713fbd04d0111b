//go:build tools

// Package tools names the programs that are built from this module as they
// are, so that `go mod tidy` keeps them.
package tools

import (
	_ "sigs.k8s.io/kwok/cmd/kwok"
)
