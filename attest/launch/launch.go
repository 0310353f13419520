// Package launch reads what a box's own hardware says the box was launched with.
//
// It answers one question, inside the box and about the box itself: do the policy
// that was bound when this box was launched and the bytes that the hardware was
// asked to sign stand in the Evidence that it gave? Each kind has them at a place
// that its vendor fixed; see [Read]. Nothing is verified here, and nothing that is
// read here makes anybody trust the box: Evidence with a forged signature reads as
// well as any. It keeps an honest box from serving under a policy that it was not
// launched with; whoever relies on the box verifies and compares for himself
// (package appraise, check policy.launch), with code of its own.
//
// Evidence comes from the driver and the host behind it, so lengths are compared
// before anything is read.
package launch

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/internal/cbor"
)

// ErrOther is wrapped by errors that say that a box was launched with another
// policy than it was given, or that its hardware signed something else than it
// was asked to.
var ErrOther = errors.New("this box was not launched with the policy that it was given")

// Record is what Evidence says.
type Record struct {
	Kind   attest.Kind // the processor's, for composite Evidence
	Field  string      // what its vendor calls the place of Digest
	Digest []byte      // what was bound at launch
	Signed []byte      // what the hardware was asked to sign
}

// Agree compares Evidence with the statement that it should be over and with the
// policy that the box has loaded, byte for byte: the policy's digest must stand in
// the statement and in what was bound at launch, and the statement's hash in what
// was signed. All that differs is reported.
func Agree(ev attest.Evidence, s attest.Statement, policy []byte) error {
	digest := attest.Digest(sha256.Sum256(policy))
	bound, err := s.Bind()
	if err != nil {
		return fmt.Errorf("launch: %w", err)
	}
	var differs error
	if s.Policy != digest {
		differs = fmt.Errorf("launch: the statement names the policy sha256:%s, expected sha256:%s, the one that was loaded: %w", s.Policy, digest, ErrOther)
	}
	return errors.Join(differs, Holds(ev, bound, digest))
}

// Holds compares Evidence with the bytes that it should be over and the digest of
// the policy that the box should have been launched with.
func Holds(ev attest.Evidence, b attest.Bound, policy attest.Digest) error {
	if b.IsZero() || policy.IsZero() {
		return errors.New("launch: nothing to compare evidence with")
	}
	r, err := Read(ev)
	if err != nil {
		return err
	}
	var differs []error
	if want := r.wanted(policy); !bytes.Equal(r.Digest, want) {
		differs = append(differs, fmt.Errorf("launch: %s of %s is %x, expected %x for the policy sha256:%s: %w", r.Field, r.Kind, r.Digest, want, policy, ErrOther))
	}
	if want := r.asked(b); !bytes.Equal(r.Signed, want) {
		differs = append(differs, fmt.Errorf("launch: %s signed %x, expected %x, the statement that it was asked for: %w", r.Kind, r.Signed, want, ErrOther))
	}
	return errors.Join(differs...)
}

// asked is what hardware of this kind signs of b.
func (r Record) asked(b attest.Bound) []byte {
	if r.Kind.SignsNonce() {
		nonce := b.Nonce(r.Kind)
		return nonce[:]
	}
	sum := b.Bytes()
	return sum[:]
}

// wanted is what the field holds in a box with that policy. Where it is longer than
// a digest, zeros follow; a register that is extended holds the hash of the zeros
// that it was and of the digest.
func (r Record) wanted(policy attest.Digest) []byte {
	switch r.Kind {
	case attest.Nitro:
		sum := sha512.Sum384(slices.Concat(make([]byte, sha512.Size384), policy[:]))
		return sum[:]
	case attest.TPM, attest.AzureSNP, attest.AzureTDX:
		sum := sha256.Sum256(slices.Concat(make([]byte, sha256.Size), policy[:]))
		return sum[:]
	}
	return slices.Concat(policy[:], make([]byte, max(0, len(r.Digest)-len(policy))))
}

// Read finds what was bound at launch, and what was signed. A kind that binds
// nothing at launch, and every kind that this build does not know, is an error.
func Read(ev attest.Evidence) (Record, error) {
	r, err := read(ev)
	if err != nil {
		return Record{}, fmt.Errorf("launch: evidence of kind %s: %w", ev.Kind, err)
	}
	return r, nil
}

func read(ev attest.Evidence) (Record, error) {
	if len(ev.Data) > attest.MaxEvidence {
		return Record{}, fmt.Errorf("%d bytes, the limit is %d", len(ev.Data), attest.MaxEvidence)
	}
	switch ev.Kind {
	case attest.SNP, attest.SimSNP:
		return readReport(ev)
	case attest.TDX:
		return readQuote(ev, tdBody)
	case attest.SGX:
		return readQuote(ev, enclaveBody)
	case attest.Nitro:
		return readDocument(ev)
	case attest.TPM:
		q, err := form.ParseTPM(ev.Data)
		if err != nil {
			return Record{}, err
		}
		return readRegisters(ev.Kind, q)
	case attest.AzureSNP, attest.AzureTDX:
		a, err := form.ParseAzure(ev.Data)
		if err != nil {
			return Record{}, err
		}
		return readRegisters(ev.Kind, a.TPM)
	case attest.Composite:
		return readFirst(ev)
	}
	return Record{}, errors.New("nothing in it was bound when the box was launched")
}

// readFirst reads the processor's part, which is the first.
func readFirst(ev attest.Evidence) (Record, error) {
	parts, err := form.ParseComposite(ev.Data)
	if err != nil {
		return Record{}, err
	}
	if parts[0].Kind == attest.Composite {
		return Record{}, errors.New("a composite in a composite")
	}
	return read(parts[0])
}

// Where an attestation report has them (AMD 56860, ATTESTATION_REPORT).
const (
	reportSize   = 0x4A0
	reportDataAt = 0x50
	hostDataAt   = 0xC0
	hostDataSize = 32
	signedSize   = 64 // REPORT_DATA and REPORTDATA
)

func readReport(ev attest.Evidence) (Record, error) {
	if len(ev.Data) != reportSize {
		return Record{}, fmt.Errorf("a report of %d bytes, expected %d", len(ev.Data), reportSize)
	}
	return Record{
		Kind: ev.Kind, Field: "HOST_DATA",
		Digest: ev.Data[hostDataAt : hostDataAt+hostDataSize], Signed: ev.Data[reportDataAt : reportDataAt+signedSize],
	}, nil
}

// body is where a quote's body has them (Intel TDX DCAP Quoting Library API, A.3.2
// and A.3.3; TD reports 1.0 and 1.5 begin alike).
type body struct {
	field                       string
	tee                         uint32
	size                        int
	digestAt, digestSize, askAt int
}

var (
	tdBody      = body{"MRCONFIGID", 0x81, 584, 184, 48, 520}
	enclaveBody = body{"CONFIGID", 0x00, 384, 192, 64, 320}
)

// A quote's header, and what version 5 puts before the body (same document, A.3).
const (
	quoteHeader = 48
	teeTypeAt   = 4
	bodyHead    = 6
)

func readQuote(ev attest.Evidence, b body) (Record, error) {
	if len(ev.Data) < quoteHeader+bodyHead+b.size {
		return Record{}, fmt.Errorf("a quote of %d bytes, too short for its body", len(ev.Data))
	}
	if got := binary.LittleEndian.Uint32(ev.Data[teeTypeAt:]); got != b.tee {
		return Record{}, fmt.Errorf("a quote of TEE type %#x, expected %#x", got, b.tee)
	}
	at := quoteHeader
	switch version := binary.LittleEndian.Uint16(ev.Data); version {
	case 3, 4:
	case 5:
		at += bodyHead
	default:
		return Record{}, fmt.Errorf("a quote of version %d, expected 3, 4 or 5", version)
	}
	data := ev.Data[at : at+b.size]
	return Record{
		Kind: ev.Kind, Field: b.field,
		Digest: data[b.digestAt : b.digestAt+b.digestSize], Signed: data[b.askAt : b.askAt+signedSize],
	}, nil
}

// enclavePCR is the register of a Nitro enclave into which a box extends its
// policy before it serves (package device, BindPolicy).
const enclavePCR = 16

func readDocument(ev attest.Evidence) (Record, error) {
	fields, err := cbor.Payload(ev.Data)
	if err != nil {
		return Record{}, err
	}
	signed, err := fields.Bytes("user_data")
	if err != nil {
		return Record{}, err
	}
	value, err := cbor.Numbered(fields["pcrs"], enclavePCR)
	if err != nil {
		return Record{}, fmt.Errorf("pcrs: %w", err)
	}
	return Record{Kind: ev.Kind, Field: fmt.Sprintf("PCR%d", enclavePCR), Digest: value, Signed: signed}, nil
}
