package attest

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// Digest is a SHA-256 value, or 32 bytes used like one.
type Digest [32]byte

// IsZero reports whether d was never set.
func (d Digest) IsZero() bool { return d == Digest{} }

// String returns d in hex.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Purpose says what a Statement may be used for, so that evidence made for one
// protocol is worthless in another. The zero value is invalid.
type Purpose uint8

const (
	PurposeSession Purpose = 1 // a TLS connection to a box
	PurposeHPKE    Purpose = 2 // a key that requests are sealed to
	PurposePeer    Purpose = 3 // a TLS connection in which both ends attest
	PurposeKeys    Purpose = 4 // a key that signs for the box outside any connection
)

// String returns the purpose's name, or "invalid(n)".
func (p Purpose) String() string {
	switch p {
	case PurposeSession:
		return "session"
	case PurposeHPKE:
		return "hpke"
	case PurposePeer:
		return "peer"
	case PurposeKeys:
		return "keys"
	}
	return fmt.Sprintf("invalid(%d)", uint8(p))
}

// Role says which end of the connection speaks, so that a peer's own statement
// cannot be sent back to it. The zero value is invalid.
type Role uint8

const (
	RoleServer Role = 1
	RoleClient Role = 2
)

// String returns the role's name, or "invalid(n)".
func (r Role) String() string {
	switch r {
	case RoleServer:
		return "server"
	case RoleClient:
		return "client"
	}
	return fmt.Sprintf("invalid(%d)", uint8(r))
}

// Statement is what a box says about itself and has its hardware sign.
//
// A statement for a connection (session, peer) names the connection by its TLS
// exporter. Naming the key alone is not enough: whoever obtains that key could
// relay somebody else's evidence (CVE-2026-33697).
type Statement struct {
	Purpose Purpose
	Role    Role
	// Nonce was chosen by the relying party for this one statement.
	Nonce [32]byte
	// SPKI is SHA-256 over the DER SubjectPublicKeyInfo of the TLS key, or for
	// PurposeKeys of the key that the statement is about.
	SPKI Digest
	// HPKE is SHA-256 over the HPKE key configuration; zero if there is none.
	HPKE Digest
	// AttestationKey is SHA-256 over the public key with which the box may
	// sign later statements on the fast path; zero if there is none.
	AttestationKey Digest
	// Exporter is 32 bytes of TLS keying material of this connection
	// (RFC 8446, 7.5), zero only where there is no connection.
	Exporter [32]byte
	// Policy is SHA-256 over the exact bytes of the box's policy document.
	Policy Digest
	// NotBefore and NotAfter are whole seconds by the box's clock.
	NotBefore, NotAfter time.Time
}

// statementLabel separates these bytes from anything else that is ever hashed
// into report data. It changes with the layout.
const statementLabel = "blindbox/attest/v1"

// MaxStatement bounds an encoded Statement: ten fields, each with a two-byte
// length. The real size is fixed and smaller.
const MaxStatement = 512

// Validate refuses a Statement with a missing or impossible field.
func (s Statement) Validate() error {
	if err := s.validateUse(); err != nil {
		return err
	}
	switch {
	case s.Nonce == [32]byte{}:
		return fmt.Errorf("attest: statement has no nonce")
	case s.Policy.IsZero():
		return fmt.Errorf("attest: statement has no policy digest")
	case s.NotBefore.Unix() <= 0:
		return fmt.Errorf("attest: statement has no validity")
	case s.NotAfter.Before(s.NotBefore):
		return fmt.Errorf("attest: statement ends %s before it begins %s", s.NotAfter.UTC().Format(time.RFC3339), s.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// validateUse checks that the fields that this purpose needs are there, and
// that those it has no use for are not.
func (s Statement) validateUse() error {
	noExporter := s.Exporter == [32]byte{}
	if s.Role != RoleServer && s.Role != RoleClient {
		return fmt.Errorf("attest: statement role %s", s.Role)
	}
	switch s.Purpose {
	case PurposeSession, PurposePeer:
		switch {
		case s.SPKI.IsZero():
			return fmt.Errorf("attest: %s statement names no TLS key", s.Purpose)
		case noExporter:
			return fmt.Errorf("attest: %s statement names no connection", s.Purpose)
		case s.Purpose == PurposeSession && s.Role != RoleServer:
			return fmt.Errorf("attest: session statement by a %s", s.Role)
		}
	case PurposeHPKE:
		if s.HPKE.IsZero() || !noExporter {
			return fmt.Errorf("attest: hpke statement needs an HPKE key and no connection")
		}
	case PurposeKeys:
		if s.SPKI.IsZero() || !noExporter {
			return fmt.Errorf("attest: keys statement needs a key and no connection")
		}
	default:
		return fmt.Errorf("attest: statement purpose %s", s.Purpose)
	}
	return nil
}

// Encode returns the bytes that are hashed: each field in fixed order behind
// its two-byte big-endian length, so that no two statements share an encoding.
func (s Statement) Encode() ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return s.encode(), nil
}

func (s Statement) encode() []byte {
	b := make([]byte, 0, MaxStatement)
	field := func(v []byte) {
		b = binary.BigEndian.AppendUint16(b, uint16(len(v)))
		b = append(b, v...)
	}
	field([]byte(statementLabel))
	field([]byte{byte(s.Purpose)})
	field([]byte{byte(s.Role)})
	field(s.Nonce[:])
	field(s.SPKI[:])
	field(s.HPKE[:])
	field(s.AttestationKey[:])
	field(s.Exporter[:])
	field(s.Policy[:])
	field(binary.BigEndian.AppendUint64(nil, uint64(s.NotBefore.Unix())))
	field(binary.BigEndian.AppendUint64(nil, uint64(s.NotAfter.Unix())))
	return b
}

// ParseStatement reads an encoded Statement. It accepts exactly the bytes that
// Encode produces: each length is fixed, and each value has one spelling.
func ParseStatement(data []byte) (Statement, error) {
	var s Statement
	if len(data) > MaxStatement {
		return Statement{}, fmt.Errorf("attest: statement of %d bytes, limit %d", len(data), MaxStatement)
	}
	var label [len(statementLabel)]byte
	var purpose, role [1]byte
	var notBefore, notAfter [8]byte
	rest := data
	for _, dst := range [][]byte{
		label[:], purpose[:], role[:], s.Nonce[:], s.SPKI[:], s.HPKE[:], s.AttestationKey[:],
		s.Exporter[:], s.Policy[:], notBefore[:], notAfter[:],
	} {
		if len(rest) < 2+len(dst) || int(binary.BigEndian.Uint16(rest)) != len(dst) {
			return Statement{}, fmt.Errorf("attest: statement malformed at byte %d: expected a field of %d bytes", len(data)-len(rest), len(dst))
		}
		copy(dst, rest[2:])
		rest = rest[2+len(dst):]
	}
	if len(rest) != 0 {
		return Statement{}, fmt.Errorf("attest: %d bytes after the statement", len(rest))
	}
	if string(label[:]) != statementLabel {
		return Statement{}, fmt.Errorf("attest: statement label %q, expected %q", label[:], statementLabel)
	}
	s.Purpose, s.Role = Purpose(purpose[0]), Role(role[0])
	s.NotBefore = time.Unix(int64(binary.BigEndian.Uint64(notBefore[:])), 0).UTC()
	s.NotAfter = time.Unix(int64(binary.BigEndian.Uint64(notAfter[:])), 0).UTC()
	if err := s.Validate(); err != nil {
		return Statement{}, err
	}
	return s, nil
}

// Bound is the 64 bytes that hardware is asked to sign. It can only be made
// from a valid Statement; drivers refuse the zero value.
type Bound struct{ sum [64]byte }

// Bind returns SHA-512 over the encoded Statement.
func (s Statement) Bind() (Bound, error) {
	b, err := s.Encode()
	if err != nil {
		return Bound{}, err
	}
	return Bound{sha512.Sum512(b)}, nil
}

// IsZero reports whether b came from no Statement.
func (b Bound) IsZero() bool { return b == Bound{} }

// Bytes returns the 64 bytes.
func (b Bound) Bytes() [64]byte { return b.sum }

// nonceLabel separates the nonces from every other SHA-256 over a Bound.
const nonceLabel = "blindbox/attest/nonce/v1"

// Nonce is what hardware signs that cannot sign 64 bytes: a TPM as
// qualifyingData, a GPU as its nonce. It is SHA-256 over a label, the kind's
// name and the 64 bytes, each behind its two-byte length, so that what one
// device signed is worthless as another's.
func (b Bound) Nonce(k Kind) [32]byte {
	h := sha256.New()
	for _, v := range [][]byte{[]byte(nonceLabel), []byte(k.String()), b.sum[:]} {
		h.Write(binary.BigEndian.AppendUint16(nil, uint16(len(v))))
		h.Write(v)
	}
	return [32]byte(h.Sum(nil))
}
