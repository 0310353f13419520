package nvgpu

import _ "embed"

// NVIDIA's certificates; roots/ORIGIN.md says where they are from.
var (
	//go:embed roots/device_root.pem
	deviceRootPEM string
	//go:embed roots/rim_root.pem
	rimRootPEM string
)
