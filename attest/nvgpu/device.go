package nvgpu

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"

	"github.com/blindbox/blindbox/attest"
)

// Arch is a device's architecture. The zero value is none.
type Arch uint8

// The architectures whose reports are known.
const (
	Hopper    Arch = iota + 1 // H100, H200, H800, H20, GH200
	Blackwell                 // B100, B200, B300, RTX PRO
	LS10                      // the third-generation NVSwitch
)

// String returns the name that NVIDIA's evidence files use.
func (a Arch) String() string {
	switch a {
	case Hopper:
		return "HOPPER"
	case Blackwell:
		return "BLACKWELL"
	case LS10:
		return "LS10"
	}
	return "unknown"
}

// MarshalText makes JSON say "HOPPER" rather than 1.
func (a Arch) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// ParseArch is the inverse of [Arch.String]. Names are exact.
func ParseArch(name string) (Arch, error) {
	for a := Hopper; a <= LS10; a++ {
		if a.String() == name {
			return a, nil
		}
	}
	return 0, fmt.Errorf("nvgpu: unknown architecture %.40q, want HOPPER, BLACKWELL or LS10", name)
}

// kind is the kind of evidence that a device of the architecture gives.
func (a Arch) kind() attest.Kind {
	switch a {
	case Hopper, Blackwell:
		return attest.NVIDIAGPU
	case LS10:
		return attest.NVSwitch
	}
	return attest.KindInvalid
}

// archOf reads the chip's name, "GH100", "GB202", "LS_10".
func archOf(chip string) Arch {
	switch {
	case strings.HasPrefix(chip, "GH1"):
		return Hopper
	case strings.HasPrefix(chip, "GB1"), strings.HasPrefix(chip, "GB2"):
		return Blackwell
	case chip == "LS10":
		return LS10
	}
	return 0
}

// device is what NVIDIA certifies in the leaf: a key of the device that exists
// only while this firmware runs (DICE).
type device struct {
	chip string // "GH100"
	ueid string // "NVIDIA:GH100:48B02DF44660DA06", empty if the certificate has none
	key  attest.Digest
	fwid []byte
	// parent is the SubjectPublicKeyInfo that the leaf says it was derived from;
	// nil where the extension does not say.
	parent []byte
}

// Object identifiers in leaf certificates.
var (
	oidSAN        = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidDeviceInfo = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 412, 274, 1} // DMTF DSP0274, DMTF otherName
	oidComposite  = asn1.ObjectIdentifier{2, 23, 133, 5, 4, 1}           // RIoT CompositeDeviceID, Hopper and LS10
	oidTCBInfo    = asn1.ObjectIdentifier{2, 23, 133, 5, 4, 1, 1}        // DiceTcbInfo, Blackwell
	oidSHA384     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
)

// readDevice reads the facts in a leaf. The device's own key is its issuer's:
// it stays the same when the firmware changes.
func readDevice(leaf, issuer *x509.Certificate) (*device, error) {
	d := &device{key: sha256.Sum256(issuer.RawSubjectPublicKeyInfo)}
	d.chip, _, _ = strings.Cut(leaf.Subject.CommonName, " ")
	var err error
	for _, x := range leaf.Extensions {
		switch {
		case x.Id.Equal(oidSAN):
			d.ueid, err = readUEID(x.Value)
		case x.Id.Equal(oidComposite):
			d.parent, d.fwid, err = readComposite(x.Value)
		case x.Id.Equal(oidTCBInfo):
			d.fwid, err = readTCBInfo(x.Value)
		}
		if err != nil {
			return nil, fmt.Errorf("extension %v: %w", x.Id, err)
		}
	}
	if d.ueid != "" {
		d.chip = strings.Split(d.ueid, ":")[1]
	}
	d.chip = strings.ReplaceAll(d.chip, "_", "")
	return d, nil
}

// readUEID reads the subject's alternative name: one otherName, a UTF8String of
// vendor, chip and serial number.
func readUEID(der []byte) (string, error) {
	var names []asn1.RawValue
	if err := decode(der, &names, ""); err != nil {
		return "", err
	}
	if len(names) != 1 {
		return "", fmt.Errorf("%d names, expected one", len(names))
	}
	var other struct {
		Type  asn1.ObjectIdentifier
		Value string `asn1:"explicit,tag:0,utf8"`
	}
	err := decode(names[0].FullBytes, &other, "tag:0") // the tag of an otherName
	if err == nil {
		err = checkUEID(other.Type, other.Value)
	}
	if err != nil {
		return "", err
	}
	return other.Value, nil
}

func checkUEID(kind asn1.ObjectIdentifier, name string) error {
	parts := strings.Split(name, ":")
	if !kind.Equal(oidDeviceInfo) || len(parts) != 3 || parts[0] != "NVIDIA" || len(name) > maxText {
		return fmt.Errorf("name %.64q, expected NVIDIA:chip:serial", name)
	}
	for _, p := range parts {
		if !isWord(p) {
			return fmt.Errorf("name %.64q, expected NVIDIA:chip:serial", name)
		}
	}
	return nil
}

// isWord reports whether a part between colons is letters, digits, dashes, dots
// and underscores.
func isWord(s string) bool {
	for _, c := range []byte(s) {
		if !nameByte(c) {
			return false
		}
	}
	return s != ""
}

// fwidEntry is FWID of TCG DICE Attestation Architecture 1.1, 6.1.1.
type fwidEntry struct {
	Algorithm asn1.ObjectIdentifier
	Digest    []byte
}

func (f fwidEntry) value() ([]byte, error) {
	if !f.Algorithm.Equal(oidSHA384) || len(f.Digest) != fwidSize {
		return nil, fmt.Errorf("firmware id of %d bytes, algorithm %v, expected SHA-384", len(f.Digest), f.Algorithm)
	}
	return f.Digest, nil
}

// readComposite reads the device's public key and the firmware's id.
func readComposite(der []byte) (parent, fwid []byte, err error) {
	var c struct {
		Version int
		Device  asn1.RawValue
		FWID    fwidEntry
	}
	if err = decode(der, &c, ""); err == nil {
		fwid, err = c.FWID.value()
	}
	return c.Device.FullBytes, fwid, err
}

// readTCBInfo reads the first of the firmware ids, which is that of the
// firmware (nvtrust, verifier/certs): fwids is the field with tag 6.
func readTCBInfo(der []byte) ([]byte, error) {
	var fields []asn1.RawValue
	if err := decode(der, &fields, ""); err != nil {
		return nil, err
	}
	last := -1
	var fwid []byte
	for _, f := range fields {
		if f.Class != asn1.ClassContextSpecific || f.Tag <= last {
			return nil, fmt.Errorf("field with tag %d after %d", f.Tag, last)
		}
		if last = f.Tag; f.Tag != 6 {
			continue
		}
		var list []fwidEntry
		err := decode(f.FullBytes, &list, "tag:6")
		if err == nil && len(list) == 0 {
			err = errors.New("empty list of firmware ids")
		}
		if err != nil {
			return nil, err
		}
		if fwid, err = list[0].value(); err != nil {
			return nil, err
		}
	}
	return fwid, nil
}

// decode reads exactly one DER value.
func decode(der []byte, out any, params string) error {
	rest, err := asn1.UnmarshalWithParams(der, out, params)
	if err != nil {
		return err
	}
	if len(rest) != 0 {
		return fmt.Errorf("%d bytes after the end", len(rest))
	}
	return nil
}
