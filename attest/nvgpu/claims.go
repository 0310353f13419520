package nvgpu

import (
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// Claims are the facts in attest.Claims.Detail for NVIDIAGPU and NVSwitch.
type Claims struct {
	Arch Arch
	Chip string // "GH100"
	// DeviceID is the name that NVIDIA gave this one device,
	// "NVIDIA:GH100:48B02DF44660DA06"; empty where the certificate holds none.
	DeviceID string
	// DeviceKey is SHA-256 over the SubjectPublicKeyInfo of the device's own key,
	// which stays the same with all firmware. Two parts with one key are one device.
	DeviceKey attest.Digest
	Report    *Report
	// FirmwareID is the one that the key was certified for. If the report names
	// one, it is the same.
	FirmwareID       []byte
	FirmwareCompared bool
	// Driver and VBIOS say what is known from NVIDIA's manifests. A switch has no
	// driver's.
	Driver, VBIOS RIM
	// Measurements has one entry for each measurement of the report or of a
	// manifest, in order. It is nil unless every manifest that the device needs was
	// there.
	Measurements []Comparison
	// Revocation says what NVIDIA said of the device's certificates but the leaf,
	// which no responder knows, and of those that signed a manifest.
	Revocation []Revocation
}

// RIM is what is known from one manifest.
type RIM struct {
	// ID is the name under which NVIDIA publishes it, from the report; empty if
	// the device needs none.
	ID string
	// Checked says that it was there, signed by NVIDIA, in force, and for this chip
	// and version.
	Checked bool
	Signer  string
}

// Outcome is that of comparing one measurement. The zero value is a difference.
type Outcome uint8

const (
	Differs   Outcome = iota // the report's value is none of the golden ones, or is missing
	Matches                  // it is one of them
	NotListed                // no manifest speaks of it
	NotUsed                  // measurement 35 of a GPU whose NVDEC0 is off: NVIDIA leaves it out
)

// String returns differs, matches, not listed or not used.
func (o Outcome) String() string {
	switch o {
	case Matches:
		return "matches"
	case NotListed:
		return "not listed"
	case NotUsed:
		return "not used"
	}
	return "differs"
}

// MarshalText makes JSON say "matches" rather than 1.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Comparison is one measurement beside the golden ones.
type Comparison struct {
	Index   int    // as manifests count, from 0
	Source  string // "driver", "vbios", or empty
	Name    string // as the manifest calls it
	Outcome Outcome
}

// Compared reports whether the measurements were compared with everything that
// NVIDIA publishes for such a device.
func (c *Claims) Compared() bool { return c != nil && len(c.Measurements) != 0 }

// Golden reports whether every measurement that a manifest speaks of has a value
// that NVIDIA says is good.
func (c *Claims) Golden() bool {
	return c.Compared() && len(c.Differing()) == 0
}

// Differing returns the measurements that no manifest accepts.
func (c *Claims) Differing() []Comparison {
	var out []Comparison
	for _, m := range c.Measurements {
		if m.Outcome == Differs {
			out = append(out, m)
		}
	}
	return out
}

// RevocationStatus is what is known of one certificate. The zero value is
// nothing. A certificate that was revoked for good has no Claims.
type RevocationStatus uint8

const (
	NotChecked RevocationStatus = iota
	Good
	Held // suspended: certificateHold (RFC 5280, 5.3.1)
)

// String returns not checked, good or hold.
func (s RevocationStatus) String() string {
	switch s {
	case Good:
		return "good"
	case Held:
		return "hold"
	}
	return "not checked"
}

// MarshalText makes JSON say "good" rather than 1.
func (s RevocationStatus) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Revocation is what one OCSP response says of one certificate.
type Revocation struct {
	Subject string // common name
	Serial  string // hex, lower case: the end of the endorsement's label
	Status  RevocationStatus
	// ThisUpdate and NextUpdate are zero if nothing was checked.
	ThisUpdate, NextUpdate time.Time
}

// Revoked returns the worst that is known of any certificate: NotChecked before
// Held before Good.
func (c *Claims) Revoked() RevocationStatus {
	if c == nil {
		return NotChecked
	}
	return worst(c.Revocation)
}

func worst(list []Revocation) RevocationStatus {
	if len(list) == 0 {
		return NotChecked
	}
	out := Good
	for _, r := range list {
		switch {
		case r.Status == NotChecked:
			return NotChecked
		case r.Status == Held:
			out = Held
		}
	}
	return out
}

// Held returns the certificates that NVIDIA suspended.
func (c *Claims) Held() []Revocation {
	var out []Revocation
	for _, r := range c.Revocation {
		if r.Status == Held {
			out = append(out, r)
		}
	}
	return out
}

// driverRIM returns the name of the manifest for the driver that the report
// names, empty if there is none to have.
func (o Opaque) driverRIM(arch Arch) string {
	switch {
	case o.Driver == "":
		return ""
	case arch == Hopper:
		return "NV_GPU_DRIVER_GH100_" + o.Driver
	case arch == Blackwell && o.Chip == "":
		return "NV_GPU_CC_DRIVER_GB100_" + o.Driver
	case arch == Blackwell:
		return "NV_GPU_CC_DRIVER_" + o.Chip + "_" + o.Driver
	}
	return ""
}

// vbiosRIM returns the name of the manifest for the firmware. A switch names no
// project; NVIDIA's verifier takes these for every LS10.
func (o Opaque) vbiosRIM(arch Arch) string {
	version := strings.ReplaceAll(o.VBIOS, ".", "")
	switch {
	case version == "":
		return ""
	case arch == LS10:
		return "NV_SWITCH_BIOS_5612_0002_890_" + version
	case o.Project == "" || o.ProjectSKU == "" || o.ChipSKU == "":
		return ""
	}
	return "NV_GPU_VBIOS_" + o.Project + "_" + o.ProjectSKU + "_" + o.ChipSKU + "_" + version
}

// RIMs returns the names of the manifests that NVIDIA publishes for what the
// report says it runs, so that they can be fetched.
func (r *Report) RIMs(arch Arch) []string {
	var out []string
	for _, id := range []string{r.Opaque.driverRIM(arch), r.Opaque.vbiosRIM(arch)} {
		if id != "" {
			out = append(out, id)
		}
	}
	return out
}
