package receipt

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/jws"
)

// Codes of what a receipt can be refused for.
const (
	// CodeUnreadable: it is not the form of a receipt.
	CodeUnreadable attest.Code = "receipt_malformed"
	// CodeSignature: it was changed after it was signed, or signed by another key
	// than it carries.
	CodeSignature attest.Code = "receipt_signature"
	// CodeNotBound: the evidence names another key, policy or time.
	CodeNotBound attest.Code = "receipt_not_bound"
	// CodeDigest: it is about other bytes.
	CodeDigest attest.Code = "receipt_digest"
)

// MaxToken is the most bytes that a receipt has as text.
const MaxToken = (MaxPayload*4+2)/3 + 1024

// Sign writes a receipt.
func Sign(s *jws.Signer, r Receipt) (string, error) {
	payload, err := r.Encode()
	if err != nil {
		return "", err
	}
	return s.Sign(Type, payload)
}

// Opened is a receipt that is whole, and the key that signed it.
type Opened struct {
	Receipt
	// Key is SHA-256 over the signer's SubjectPublicKeyInfo. It may be anybody's.
	Key attest.Digest
}

// Open reads a receipt and checks its signature by the key that it carries. Spaces
// around it are left out. The error is an [*attest.Failure].
func Open(token string) (Opened, error) {
	token = strings.TrimSpace(token)
	if len(token) > MaxToken {
		return Opened{}, attest.NewFailure("receipt.form", CodeUnreadable, fmt.Sprintf("%d bytes", len(token)), fmt.Sprintf("at most %d", MaxToken))
	}
	signed, err := jws.Open(token, Type, MaxPayload)
	switch {
	case errors.Is(err, jws.ErrSignature):
		return Opened{}, attest.NewFailure("receipt.signature", CodeSignature, err.Error(), "a receipt as the box signed it")
	case err != nil:
		return Opened{}, attest.NewFailure("receipt.form", CodeUnreadable, err.Error(), "a receipt: three parts of base64url with dots between")
	}
	r, err := Parse(signed.Payload)
	if err != nil {
		return Opened{}, attest.NewFailure("receipt.form", CodeUnreadable, err.Error(), "a receipt of version 1")
	}
	return Opened{Receipt: r, Key: signed.Key}, nil
}

// Bind compares a receipt with the bundle of evidence for its key. The checks say
// nothing about the evidence itself, which must be verified and appraised too.
func (o Opened) Bind(b attest.Bundle) []attest.Check {
	s, err := attest.ParseStatement(b.Statement)
	if err != nil {
		return []attest.Check{{Name: "receipt.statement", Code: attest.CodeMalformed, Seen: err.Error(), Expected: "the statement of a box"}}
	}
	return append(BindKey(o.Key, o.Box, s, b.Evidence), BindTime("receipt.time", o.Began.Time, s), BindTime("receipt.end", o.Ended.Time, s))
}

// BindKey compares a key and what was said about its box with the statement and
// evidence that should name them. It serves heads of audit logs and sealed logs as
// well, which are signed with the same key.
func BindKey(key attest.Digest, box Box, s attest.Statement, ev attest.Evidence) []attest.Check {
	evidence := Digest(sha256.Sum256(ev.Data))
	return []attest.Check{
		bound("receipt.purpose", s.Purpose.String(), attest.PurposeKeys.String()),
		bound("receipt.role", s.Role.String(), attest.RoleServer.String()),
		bound("receipt.key", key.String(), s.SPKI.String()),
		bound("receipt.policy", box.Policy.String(), Digest(s.Policy).String()),
		bound("receipt.evidence", box.Evidence.String(), evidence.String()),
		bound("receipt.kind", box.Kind, ev.Kind.String()),
		bound("receipt.simulated", strconv.FormatBool(box.Simulated), strconv.FormatBool(ev.Kind.Simulated())),
	}
}

func bound(name, seen, want string) attest.Check {
	if seen == want {
		return attest.Check{Name: name, Status: attest.Pass, Seen: seen, Expected: want}
	}
	return attest.Check{Name: name, Code: CodeNotBound, Seen: seen, Expected: want + ", as the evidence says"}
}

// clockSlack is for clocks that are set while the box runs.
const clockSlack = 5 * time.Minute

// BindTime says whether a time that was signed lies in the life of the key, as the
// statement has it.
func BindTime(name string, at time.Time, s attest.Statement) attest.Check {
	c := attest.Check{
		Name: name, Seen: at.Format(time.RFC3339),
		Expected: s.NotBefore.Format(time.RFC3339) + " to " + s.NotAfter.Format(time.RFC3339),
	}
	if at.Before(s.NotBefore.Add(-clockSlack)) || at.After(s.NotAfter.Add(clockSlack)) {
		c.Code = CodeNotBound
		return c
	}
	c.Status = attest.Pass
	return c
}

// CompareBody says whether a message's body is these bytes, given by their number
// and SHA-256. name is "request" or "response".
func (m Message) CompareBody(name string, size int64, sum [32]byte) attest.Check {
	c := attest.Check{
		Name: "receipt." + name,
		Seen: fmt.Sprintf("%s, %d bytes", m.Body, m.Bytes), Expected: fmt.Sprintf("%s, %d bytes, what you give", Digest(sum), size),
	}
	if m.Body != Digest(sum) || m.Bytes != size || !m.Complete {
		c.Code = CodeDigest
		if !m.Complete {
			c.Seen += ", incomplete"
		}
		return c
	}
	c.Status = attest.Pass
	return c
}

// CompareHead says whether a message's head has this digest.
func (m Message) CompareHead(name string, want Digest) attest.Check {
	c := attest.Check{Name: "receipt." + name + "_head", Seen: m.Head.String(), Expected: want.String() + ", what you give"}
	if m.Head != want {
		c.Code = CodeDigest
		return c
	}
	c.Status = attest.Pass
	return c
}
