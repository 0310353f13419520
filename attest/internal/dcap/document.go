package dcap

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/strictjson"
)

// Limits of the service's documents. The largest have about 20 levels.
const (
	maxLevels     = 128
	maxModules    = 32
	maxAdvisories = 128
	maxWord       = 64 // bytes of a name
)

// signedDocument is an answer of the provisioning service: a document and the
// signature of its bytes as they stand in the answer.
type signedDocument struct {
	raw       []byte
	signature [signatureSize]byte
}

// readDocument reads an answer whose document stands under member. The document
// is read by read from the very bytes that raw holds; nothing is read twice and
// nothing is written again to be compared with the signature. Members that are
// not known are refused at every level: they may change what the others mean,
// as tdxModuleIdentities did when it came.
func readDocument(body []byte, member string, read func(*strictjson.Reader) error) (*signedDocument, error) {
	r, err := strictjson.NewReader(body, strictjson.Limits{Bytes: attest.MaxEndorsement, Depth: 8})
	if err != nil {
		return nil, err
	}
	d := &signedDocument{}
	var sig string
	err = r.Object(func(name string) (err error) {
		switch name {
		case member:
			d.raw, err = r.Raw(func() error { return read(r) })
		case "signature":
			sig, err = r.String()
		default:
			err = unknown(name)
		}
		return err
	})
	if err == nil {
		err = r.End()
	}
	switch {
	case err != nil:
		return nil, err
	case d.raw == nil:
		return nil, fmt.Errorf("no member %s", member)
	case len(sig) != 2*signatureSize:
		return nil, fmt.Errorf("signature of %d characters, expected %d", len(sig), 2*signatureSize)
	}
	// The signature stands outside of what it signs: one spelling, so that no two
	// files are the same document.
	if _, err := hex.Decode(d.signature[:], []byte(sig)); err != nil || strings.ToLower(string(sig)) != string(sig) {
		return nil, errors.New("signature is not lower-case hex")
	}
	return d, nil
}

func unknown(name string) error {
	return fmt.Errorf("member %q is not understood", name[:min(len(name), maxWord)])
}

// signedBy reports whether key signed the document.
func (d *signedDocument) signedBy(key *ecdsa.PublicKey) bool {
	sum := sha256.Sum256(d.raw)
	return verifyRaw(key, sum[:], d.signature[:])
}

// fields reads an object whose members are all known and, but for the optional
// ones, all there.
func fields(r *strictjson.Reader, names []string, optional int, read func(i int) error) error {
	var seen uint32
	err := r.Object(func(name string) error {
		for i, known := range names {
			if known == name {
				seen |= 1 << i
				return read(i)
			}
		}
		return unknown(name)
	})
	if err != nil {
		return err
	}
	for i, name := range names[:len(names)-optional] {
		if seen&(1<<i) == 0 {
			return fmt.Errorf("no member %s", name)
		}
	}
	return nil
}

// readHex reads a string of hex digits, of either case, into dst, which it must
// fill.
func readHex(r *strictjson.Reader, dst []byte) error {
	s, err := r.String()
	if err == nil && len(s) != 2*len(dst) {
		err = fmt.Errorf("%d hex digits, expected %d", len(s), 2*len(dst))
	}
	if err == nil {
		_, err = hex.Decode(dst, []byte(s))
	}
	return err
}

// dateLayout is the service's form of a time, to the second and in UTC.
const dateLayout = "2006-01-02T15:04:05Z"

func readDate(r *strictjson.Reader, dst *time.Time) error {
	s, err := r.String()
	if err == nil {
		*dst, err = parseDate(s)
	}
	return err
}

func parseDate(s string) (time.Time, error) {
	t, err := time.Parse(dateLayout, s)
	// Parse lets fractions of a second pass.
	if err != nil || len(s) != len(dateLayout) {
		return time.Time{}, fmt.Errorf("date %q, expected the form %s", s[:min(len(s), maxWord)], dateLayout)
	}
	return t, nil
}

// readWord reads a short string.
func readWord(r *strictjson.Reader, dst *string) error {
	s, err := r.String()
	if err == nil && (s == "" || len(s) > maxWord) {
		err = fmt.Errorf("string of %d bytes, expected 1 to %d", len(s), maxWord)
	}
	*dst = s
	return err
}

// unfit is the error of a document that can be read but is not one for us.
type unfit struct {
	code   attest.Code
	reason string
}

func (u *unfit) Error() string { return u.reason }

// codeOf returns the code of an error of reading a document.
func codeOf(err error) attest.Code {
	var u *unfit
	if errors.As(err, &u) {
		return u.code
	}
	return attest.CodeMalformed
}

// readVersion reads a number that has one value as long as the rest means what
// this package takes it to mean.
func readVersion(r *strictjson.Reader, what string, want uint64) error {
	n, err := r.Uint(32)
	if err == nil && n != want {
		err = &unfit{CodeUnsupported, fmt.Sprintf("%s %d, expected %d", what, n, want)}
	}
	return err
}

// readStatus reads a status that is one of those allowed.
func readStatus(r *strictjson.Reader, dst *Status, allowed ...Status) error {
	s, err := r.String()
	got, _ := ParseStatus(s)
	if err == nil && !slices.Contains(allowed, got) {
		err = fmt.Errorf("status %q is not understood", s[:min(len(s), maxWord)])
	}
	*dst = got
	return err
}

func readAdvisories(r *strictjson.Reader, dst *[]string) error {
	return r.Array(func() error {
		if len(*dst) == maxAdvisories {
			return fmt.Errorf("more than %d advisories", maxAdvisories)
		}
		var id string
		err := readWord(r, &id)
		*dst = append(*dst, id)
		return err
	})
}

// SVNLevel is a patch level of one piece of software: a TDX module or a quoting
// enclave.
type SVNLevel struct {
	ISVSVN uint16
	Level
}

func (l *SVNLevel) read(r *strictjson.Reader, allowed ...Status) error {
	return fields(r, []string{"tcb", "tcbDate", "tcbStatus", "advisoryIDs"}, 1, func(i int) error {
		switch i {
		case 0:
			return fields(r, []string{"isvsvn"}, 0, func(int) error {
				n, err := r.Uint(16)
				l.ISVSVN = uint16(n)
				return err
			})
		case 1:
			return readDate(r, &l.Date)
		case 2:
			return readStatus(r, &l.Status, allowed...)
		default:
			return readAdvisories(r, &l.Advisories)
		}
	})
}

// readSVNLevels reads a list that must not be empty.
func readSVNLevels(r *strictjson.Reader, dst *[]SVNLevel, allowed ...Status) error {
	err := r.Array(func() error {
		if len(*dst) == maxLevels {
			return fmt.Errorf("more than %d levels", maxLevels)
		}
		var l SVNLevel
		err := l.read(r, allowed...)
		*dst = append(*dst, l)
		return err
	})
	if err == nil && len(*dst) == 0 {
		err = errors.New("no level")
	}
	return err
}
