package nitro

import "embed"

// awsFiles holds AWS's root; roots/ORIGIN.md says where it is from.
//
//go:embed roots/*.der
var awsFiles embed.FS

// awsRootFile is CN=aws.nitro-enclaves, valid from 2019 to 2049, of AWS's
// commercial regions.
const awsRootFile = "roots/aws-nitro-enclaves-g1.der"

// awsRootSHA256 is the fingerprint that AWS publishes for it (Nitro Enclaves
// User Guide, "Verifying the root of trust").
const awsRootSHA256 = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
