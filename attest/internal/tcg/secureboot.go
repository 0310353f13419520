package tcg

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf16"
)

// SecureBoot is what a log says about UEFI Secure Boot, all of it from data
// that the measured digests cover.
type SecureBoot struct {
	// Enabled says that firmware measured the variable SecureBoot as 1.
	Enabled bool
	// PK, KEK, DB and DBX are the variables' contents: the platform key, the
	// keys that may change the databases, what may start and what may not.
	PK, KEK, DB, DBX []byte
	// Authorities are the entries of DB (or of a boot loader's list) by which
	// something was in fact started. Unread is the number of further ones, whose
	// data is not what was measured. What was started can add to both.
	Authorities []Variable
	Unread      int
}

// Variable is a UEFI variable as it was measured (UEFI_VARIABLE_DATA, PFP 10.2.6).
type Variable struct {
	GUID [16]byte // mixed-endian, as stored
	Name string
	Data []byte
}

// The vendor GUIDs of the variables, as stored (UEFI 2.10, 3.3 and 32.6.1):
// EFI_GLOBAL_VARIABLE and EFI_IMAGE_SECURITY_DATABASE_GUID.
const (
	guidGlobal   = "\x61\xdf\xe4\x8b\xca\x93\xd2\x11\xaa\x0d\x00\xe0\x98\x03\x2b\x8c"
	guidSecurity = "\xcb\xb2\x19\xd7\x3a\x3d\x96\x45\xa3\xbc\xda\xd0\x0e\x67\x65\x6f"
)

// ReadSecureBoot reads the state of Secure Boot from the events of one register,
// PCR 7 of a TPM, which holds nothing else. Only what stands before the first
// separator tells the state: behind it code runs that was itself started by it.
// Call it after a replay only: then digests and their order are what was measured,
// and types and data are still anybody's.
func (l *Log) ReadSecureBoot(a Algorithm, register uint32) (*SecureBoot, error) {
	s := &SecureBoot{}
	state := map[string]*Variable{}
	var ended bool
	for i, e := range l.Events {
		if e.Register != register || e.Type == NoAction {
			continue
		}
		var err error
		switch {
		case e.Type == Separator || separates(e, a):
			ended, err = true, checkSeparator(e, a)
		case ended:
			err = s.later(e, a)
		default:
			err = s.earlier(e, a, state)
		}
		if err != nil {
			return nil, fmt.Errorf("tcg: event %d: %w", i, err)
		}
	}
	if !ended {
		return nil, fmt.Errorf("tcg: no separator in register %d: the firmware never finished measuring", register)
	}
	if err := s.fill(state); err != nil {
		return nil, err
	}
	return s, nil
}

// earlier reads an event before the separator. All of them count, so that none of
// the state can be told as something else, and its place be taken by what a
// driver extended that was started without Secure Boot. What was hashed tells an
// event apart from the state, also one whose type is not known here.
func (s *SecureBoot) earlier(e Event, a Algorithm, state map[string]*Variable) error {
	if !e.hashed(a) {
		return fmt.Errorf("%s before the separator with data that is not what was measured", e.Type)
	}
	name := stateOf(e)
	switch {
	case bytes.Equal(bytes.TrimRight(e.Data, "\x00"), []byte(debugMode)):
		return fmt.Errorf("a debugger of the firmware was there")
	case e.Type == EFIVariableDriver:
		return note(state, e)
	case e.Type == EFIVariableAuthority && (name == "" || name == "db"): // an entry of db
		return s.authority(e, a)
	case name != "":
		return fmt.Errorf("variable %s as %s", name, e.Type)
	}
	return nil
}

// debugMode is what firmware measures whose debugger can change what it does (PFP
// 3.3.4.8).
const debugMode = "UEFI Debug Mode"

// later reads an event behind the separator.
func (s *SecureBoot) later(e Event, a Algorithm) error {
	switch {
	case e.Type == EFIVariableAuthority:
		return s.authority(e, a)
	case e.Type == EFIVariableDriver && stateOf(e) != "":
		return fmt.Errorf("a Secure Boot variable after the separator")
	}
	return nil
}

// separates reports whether a separator was measured, whatever the log calls the
// event. Its digest is the only mark that whoever wrote the log cannot change:
// under another name the firmware's own state could be passed off as something
// else, and the state be told by what the operating system extended later.
func separates(e Event, a Algorithm) bool {
	for _, value := range []string{"\x00\x00\x00\x00", "\xff\xff\xff\xff", "\x01\x00\x00\x00", "\x00\x00\x00\x01"} {
		if bytes.Equal(e.Digest(a), a.sum([]byte(value))) {
			return true
		}
	}
	return false
}

// checkSeparator refuses the values that say that measuring failed: all but
// 0x00000000 and 0xffffffff (PFP 10.4.1).
func checkSeparator(e Event, a Algorithm) error {
	switch {
	case e.Type != Separator:
		return fmt.Errorf("%s with the digest of a separator", e.Type)
	case !e.Verified(a):
		return fmt.Errorf("separator with data that is not what was measured")
	case !bytes.Equal(e.Data, []byte{0, 0, 0, 0}) && !bytes.Equal(e.Data, []byte{0xff, 0xff, 0xff, 0xff}):
		return fmt.Errorf("separator %x, expected zeros or ones", e.Data)
	}
	return nil
}

// stateOf is stateName of the variable in an event's data.
func stateOf(e Event) string {
	v, err := parseVariable(e.Data)
	if err != nil {
		return ""
	}
	return stateName(v)
}

// stateName returns the name of a variable that makes up the state, or "".
func stateName(v *Variable) string {
	switch {
	case string(v.GUID[:]) == guidGlobal && (v.Name == "SecureBoot" || v.Name == "PK" || v.Name == "KEK"):
		return v.Name
	case string(v.GUID[:]) == guidSecurity && (v.Name == "db" || v.Name == "dbx"):
		return v.Name
	}
	return ""
}

// note keeps a variable of the state. None may be there twice: a reader could
// take the other one.
func note(state map[string]*Variable, e Event) error {
	v, err := parseVariable(e.Data)
	if err != nil {
		return err
	}
	name := stateName(v)
	switch {
	case name == "":
		return nil
	case state[name] != nil:
		return fmt.Errorf("variable %s measured twice", name)
	}
	state[name] = v
	return nil
}

func (s *SecureBoot) fill(state map[string]*Variable) error {
	for _, name := range []string{"SecureBoot", "PK", "KEK", "db", "dbx"} {
		if state[name] == nil {
			return fmt.Errorf("tcg: variable %s was not measured", name)
		}
	}
	s.Enabled = bytes.Equal(state["SecureBoot"].Data, []byte{1})
	s.PK, s.KEK, s.DB, s.DBX = state["PK"].Data, state["KEK"].Data, state["db"].Data, state["dbx"].Data
	return s.plausible()
}

// plausible refuses a Secure Boot that was on and had no keys, or let something
// start that no key vouched for: there is no such machine.
func (s *SecureBoot) plausible() error {
	switch {
	case !s.Enabled:
	case len(s.PK) == 0 || len(s.KEK) == 0 || len(s.DB) == 0:
		return fmt.Errorf("tcg: Secure Boot with a PK of %d, a KEK of %d and a db of %d bytes", len(s.PK), len(s.KEK), len(s.DB))
	case len(s.Authorities)+s.Unread == 0:
		return fmt.Errorf("tcg: Secure Boot under which nothing was verified")
	}
	return nil
}

func (s *SecureBoot) authority(e Event, a Algorithm) error {
	if !e.Verified(a) {
		s.Unread++ // some firmware hashes the certificate alone
		return nil
	}
	v, err := parseVariable(e.Data)
	if err != nil {
		return err
	}
	s.Authorities = append(s.Authorities, *v)
	return nil
}

// maxVariableName is far more than any variable that is measured has.
const maxVariableName = 256

// parseVariable reads a UEFI_VARIABLE_DATA. The result shares no memory with data:
// it becomes part of claims.
func parseVariable(data []byte) (*Variable, error) {
	const head = 32 // GUID, length of the name in characters, length of the data
	if len(data) < head {
		return nil, fmt.Errorf("variable of %d bytes, expected %d or more", len(data), head)
	}
	le := binary.LittleEndian
	nameLen, dataLen := le.Uint64(data[16:]), le.Uint64(data[24:])
	if nameLen > maxVariableName || dataLen > maxData || uint64(len(data)) != head+2*nameLen+dataLen {
		return nil, fmt.Errorf("variable of %d bytes with a name of %d characters and %d bytes of data", len(data), nameLen, dataLen)
	}
	v := &Variable{GUID: [16]byte(data), Data: bytes.Clone(data[head+2*nameLen:])}
	chars := make([]uint16, nameLen)
	for i := range chars {
		chars[i] = le.Uint16(data[head+2*i:])
	}
	v.Name = string(utf16.Decode(chars))
	return v, nil
}

// ExitedBootServices reports whether the log holds the firmware's word, in PCR 5,
// that it handed over to an operating system (PFP 10.4.4).
func (l *Log) ExitedBootServices(a Algorithm) bool {
	for _, e := range l.Events {
		if e.Register == 5 && e.Type == EFIAction && e.Verified(a) && string(e.Data) == "Exit Boot Services Returned with Success" {
			return true
		}
	}
	return false
}
