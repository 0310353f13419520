package tcg

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
)

// EventType says what an event's data and digest mean (PFP 10.4.1).
type EventType uint32

// The types that have a meaning here.
const (
	NoAction              EventType = 0x00000003
	Separator             EventType = 0x00000004
	Action                EventType = 0x00000005
	EventTag              EventType = 0x00000006
	SCRTMVersion          EventType = 0x00000008
	IPL                   EventType = 0x0000000d
	EFIVariableDriver     EventType = 0x80000001
	EFIVariableBoot       EventType = 0x80000002
	EFIBootServicesApp    EventType = 0x80000003
	EFIBootServicesDriver EventType = 0x80000004
	EFIRuntimeDriver      EventType = 0x80000005
	EFIGPT                EventType = 0x80000006
	EFIAction             EventType = 0x80000007
	EFIVariableBoot2      EventType = 0x8000000c
	EFIGPT2               EventType = 0x8000000d
	EFIVariableAuthority  EventType = 0x800000e0
)

// String returns the name in the specification, or the number.
func (t EventType) String() string {
	switch t {
	case NoAction:
		return "EV_NO_ACTION"
	case Separator:
		return "EV_SEPARATOR"
	case Action:
		return "EV_ACTION"
	case EventTag:
		return "EV_EVENT_TAG"
	case SCRTMVersion:
		return "EV_S_CRTM_VERSION"
	case IPL:
		return "EV_IPL"
	case EFIVariableDriver:
		return "EV_EFI_VARIABLE_DRIVER_CONFIG"
	case EFIVariableBoot:
		return "EV_EFI_VARIABLE_BOOT"
	case EFIBootServicesApp:
		return "EV_EFI_BOOT_SERVICES_APPLICATION"
	case EFIBootServicesDriver:
		return "EV_EFI_BOOT_SERVICES_DRIVER"
	case EFIRuntimeDriver:
		return "EV_EFI_RUNTIME_SERVICES_DRIVER"
	case EFIGPT:
		return "EV_EFI_GPT_EVENT"
	case EFIAction:
		return "EV_EFI_ACTION"
	case EFIVariableBoot2:
		return "EV_EFI_VARIABLE_BOOT2"
	case EFIGPT2:
		return "EV_EFI_GPT_EVENT2"
	case EFIVariableAuthority:
		return "EV_EFI_VARIABLE_AUTHORITY"
	}
	return fmt.Sprintf("event type %#x", uint32(t))
}

// hashesData reports whether the specification defines the digest of this type
// as the hash of the event's data (PFP 10.4.1, column "digest"). For an image
// that was started the digest is that of the image, and the data only a path.
func (t EventType) hashesData() bool {
	switch t {
	case Separator, Action, EventTag, SCRTMVersion, IPL, EFIVariableDriver, EFIVariableBoot, EFIVariableBoot2,
		EFIGPT, EFIGPT2, EFIAction, EFIVariableAuthority:
		return true
	}
	return false
}

// Verified reports whether the digest in this bank is the hash of Data, of a
// type for which the specification says so. Data that is not verified says
// nothing: whoever wrote the log could put any bytes there.
//
// For EV_IPL and EV_EVENT_TAG each boot loader hashes what it likes; where that
// is not the data itself the event is not verified.
func (e Event) Verified(a Algorithm) bool { return e.Type.hashesData() && e.hashed(a) }

// hashed reports whether the digest in this bank is the hash of Data, whatever the
// type says of that.
func (e Event) hashed(a Algorithm) bool {
	digest := e.Digest(a)
	return len(digest) != 0 && bytes.Equal(a.sum(e.Data), digest)
}

// sum hashes data, and returns nil for an algorithm that is not known.
func (a Algorithm) sum(data []byte) []byte {
	switch a {
	case SHA1:
		s := sha1.Sum(data)
		return s[:]
	case SHA256:
		s := sha256.Sum256(data)
		return s[:]
	case SHA384:
		s := sha512.Sum384(data)
		return s[:]
	case SHA512:
		s := sha512.Sum512(data)
		return s[:]
	}
	return nil
}
