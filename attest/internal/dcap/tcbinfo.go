package dcap

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/internal/strictjson"
)

// TCBInfo is what Intel says of one kind of platform: which patch levels there
// are and how each stands (PCS API v4, "Get TCB Info", version 3).
type TCBInfo struct {
	TEE   TEE
	Dates Dates
	FMSPC [6]byte
	PCEID [2]byte
	// Evaluation rises with each of Intel's TCB recoveries
	// (tcbEvaluationDataNumber).
	Evaluation uint32
	// Module is what all TDX modules of version 0 have in common; nil for SGX.
	Module *ModuleSigner
	// Modules are the identities of the other versions.
	Modules []ModuleIdentity
	// Levels are sorted, highest first, as Intel's library sorts them.
	Levels []PlatformLevel
}

// ModuleSigner is what is demanded of a TDX module.
type ModuleSigner struct {
	MRSIGNER                   [48]byte
	Attributes, AttributesMask [8]byte
}

// ModuleIdentity is what is demanded of one version of the TDX module, and its
// patch levels, highest first.
type ModuleIdentity struct {
	ID string // "TDX_01"
	ModuleSigner
	Levels []SVNLevel
}

// PlatformLevel is a patch level of a platform. A machine reaches it with at
// least these numbers.
type PlatformLevel struct {
	SGX, TDX [16]uint8 // TDX is zero in TCB info for SGX
	PCESVN   uint16
	Level
}

// ParseTCBInfo reads the body of an answer. Nothing in it is verified.
func ParseTCBInfo(body []byte) (*TCBInfo, error) {
	t, _, err := parseTCBInfo(body)
	if err != nil {
		return nil, fmt.Errorf("dcap: TCB info: %w", err)
	}
	return t, nil
}

func parseTCBInfo(body []byte) (*TCBInfo, *signedDocument, error) {
	t := &TCBInfo{}
	d, err := readDocument(body, "tcbInfo", t.read)
	if err != nil {
		return nil, nil, err
	}
	if err := t.check(); err != nil {
		return nil, nil, err
	}
	return t, d, nil
}

var tcbInfoMembers = []string{"id", "version", "issueDate", "nextUpdate", "fmspc", "pceId", "tcbType", "tcbEvaluationDataNumber", "tcbLevels", "tdxModule", "tdxModuleIdentities"}

func (t *TCBInfo) read(r *strictjson.Reader) error {
	hasTDX := false // in any level
	err := fields(r, tcbInfoMembers, 2, func(i int) error {
		switch tcbInfoMembers[i] {
		case "id":
			return t.readID(r)
		case "version":
			return readVersion(r, "version", 3)
		case "issueDate":
			return readDate(r, &t.Dates.Issued)
		case "nextUpdate":
			return readDate(r, &t.Dates.NextUpdate)
		case "fmspc":
			return readHex(r, t.FMSPC[:])
		case "pceId":
			return readHex(r, t.PCEID[:])
		case "tcbType": // how the numbers below are composed; 0 is the only way there is
			return readVersion(r, "tcbType", 0)
		case "tcbEvaluationDataNumber":
			n, err := r.Uint(32)
			t.Evaluation = uint32(n)
			return err
		case "tcbLevels":
			return t.readLevels(r, &hasTDX)
		case "tdxModule":
			t.Module = &ModuleSigner{}
			return fields(r, moduleMembers[:3], 0, func(i int) error { return t.Module.read(r, i) })
		default:
			return t.readModules(r)
		}
	})
	if err == nil && hasTDX != (t.TEE == TDX) {
		err = t.unfit("levels with TDX components", hasTDX)
	}
	return err
}

func (t *TCBInfo) readID(r *strictjson.Reader) error {
	id, err := r.String()
	switch {
	case err != nil:
	case id == "SGX":
		t.TEE = SGX
	case id == "TDX":
		t.TEE = TDX
	default:
		err = fmt.Errorf("id %q, expected SGX or TDX", id[:min(len(id), maxWord)])
	}
	return err
}

var moduleMembers = []string{"mrsigner", "attributes", "attributesMask", "id", "tcbLevels"}

func (m *ModuleSigner) read(r *strictjson.Reader, i int) error {
	return readHex(r, [][]byte{m.MRSIGNER[:], m.Attributes[:], m.AttributesMask[:]}[i])
}

func (t *TCBInfo) readModules(r *strictjson.Reader) error {
	return r.Array(func() error {
		if len(t.Modules) == maxModules {
			return fmt.Errorf("more than %d module identities", maxModules)
		}
		t.Modules = append(t.Modules, ModuleIdentity{})
		m := &t.Modules[len(t.Modules)-1]
		return fields(r, moduleMembers, 0, func(i int) error {
			switch i {
			case 3:
				return readWord(r, &m.ID)
			case 4:
				return readSVNLevels(r, &m.Levels, UpToDate, OutOfDate, Revoked)
			default:
				return m.ModuleSigner.read(r, i)
			}
		})
	})
}

func (t *TCBInfo) readLevels(r *strictjson.Reader, hasTDX *bool) error {
	return r.Array(func() error {
		if len(t.Levels) == maxLevels {
			return fmt.Errorf("more than %d levels", maxLevels)
		}
		t.Levels = append(t.Levels, PlatformLevel{})
		tdx, err := t.Levels[len(t.Levels)-1].read(r)
		if err == nil && len(t.Levels) > 1 && tdx != *hasTDX {
			err = errors.New("some levels with TDX components and some without")
		}
		*hasTDX = tdx
		return err
	})
}

func (l *PlatformLevel) read(r *strictjson.Reader) (tdx bool, err error) {
	err = fields(r, []string{"tcb", "tcbDate", "tcbStatus", "advisoryIDs"}, 1, func(i int) error {
		switch i {
		case 0:
			tdx, err = l.readTCB(r)
			return err
		case 1:
			return readDate(r, &l.Date)
		case 2:
			return readStatus(r, &l.Status, UpToDate, SWHardeningNeeded, ConfigurationNeeded,
				ConfigurationAndSWHardeningNeeded, OutOfDate, OutOfDateConfigurationNeeded, Revoked)
		default:
			return readAdvisories(r, &l.Advisories)
		}
	})
	return tdx, err
}

func (l *PlatformLevel) readTCB(r *strictjson.Reader) (tdx bool, err error) {
	err = fields(r, []string{"sgxtcbcomponents", "pcesvn", "tdxtcbcomponents"}, 1, func(i int) error {
		switch i {
		case 0:
			return readComponents(r, &l.SGX)
		case 1:
			n, err := r.Uint(16)
			l.PCESVN = uint16(n)
			return err
		default:
			tdx = true
			return readComponents(r, &l.TDX)
		}
	})
	return tdx, err
}

var componentMembers = []string{"svn", "category", "type"}

// readComponents reads exactly 16 numbers. What each is the number of is told
// for people and differs between documents.
func readComponents(r *strictjson.Reader, dst *[16]uint8) error {
	n := 0
	err := r.Array(func() error {
		if n == len(dst) {
			return fmt.Errorf("more than %d components", len(dst))
		}
		n++
		return fields(r, componentMembers, 2, func(i int) error {
			if i != 0 {
				_, err := r.String()
				return err
			}
			svn, err := r.Uint(8)
			dst[n-1] = uint8(svn)
			return err
		})
	})
	if err == nil && n != len(dst) {
		err = fmt.Errorf("%d components, expected %d", n, len(dst))
	}
	return err
}

// check establishes what one member alone does not show, and sorts the levels.
func (t *TCBInfo) check() error {
	switch {
	case len(t.Levels) == 0:
		return errors.New("no level")
	case (t.Module != nil) != (t.TEE == TDX):
		return t.unfit("TDX module", t.Module != nil)
	case t.TEE != TDX && t.Modules != nil:
		return t.unfit("TDX module identities", true)
	case t.Dates.NextUpdate.Before(t.Dates.Issued):
		return errors.New("next update before the issue")
	}
	if err := t.sortLevels(); err != nil {
		return err
	}
	for i := range t.Modules {
		if err := t.sortModule(i); err != nil {
			return err
		}
	}
	return nil
}

// unfit is the error of a document that says it is for one TEE and speaks of the
// other.
func (t *TCBInfo) unfit(what string, given bool) error {
	return &unfit{CodePlatformMismatch, fmt.Sprintf("%s given: %t, in TCB info for %s", what, given, t.TEE)}
}

// sortLevels puts the levels into the order in which Intel's library looks at
// them, whatever their order in the document; two that are equal contradict each
// other or say nothing.
func (t *TCBInfo) sortLevels() error {
	order := func(a, b PlatformLevel) int {
		if c := slices.Compare(b.SGX[:], a.SGX[:]); c != 0 {
			return c
		}
		if a.PCESVN != b.PCESVN {
			return int(b.PCESVN) - int(a.PCESVN)
		}
		return slices.Compare(b.TDX[:], a.TDX[:])
	}
	slices.SortStableFunc(t.Levels, order)
	for i := 1; i < len(t.Levels); i++ {
		if order(t.Levels[i-1], t.Levels[i]) == 0 {
			return errors.New("two levels with the same components")
		}
	}
	return nil
}

func (t *TCBInfo) sortModule(i int) error {
	m := &t.Modules[i]
	for _, other := range t.Modules[:i] {
		if strings.EqualFold(other.ID, m.ID) {
			return fmt.Errorf("module identity %q given twice", m.ID)
		}
	}
	slices.SortStableFunc(m.Levels, func(a, b SVNLevel) int { return int(b.ISVSVN) - int(a.ISVSVN) })
	for i := 1; i < len(m.Levels); i++ {
		if m.Levels[i-1].ISVSVN == m.Levels[i].ISVSVN {
			return fmt.Errorf("module identity %q with two levels of SVN %d", m.ID, m.Levels[i].ISVSVN)
		}
	}
	return nil
}

// module returns the identity of the TDX module's version, nil if there is none
// (TDX DCAP: the id is "TDX_" and two hex digits).
func (t *TCBInfo) module(version uint8) *ModuleIdentity {
	id := fmt.Sprintf("TDX_%02X", version)
	for i := range t.Modules {
		if strings.EqualFold(t.Modules[i].ID, id) {
			return &t.Modules[i]
		}
	}
	return nil
}
