package dcap

import "embed"

// intelFiles holds Intel's certificates; roots/ORIGIN.md says where they are
// from.
//
//go:embed roots/*.der
var intelFiles embed.FS
