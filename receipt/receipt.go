// Package receipt answers one question: what does a box say, under a key that its
// hardware names, about one request that it answered?
//
// A receipt holds digests of the request and the answer, who asked, which line of
// the policy decided, what runs in the box, which connections left it meanwhile,
// and where the decision stands in the box's audit log. It is a JSON Web
// Signature (package internal/jws) over JSON in one fixed spelling; docs/receipts.md
// is the specification, vectors/receipt its examples.
//
// [Open] says that a receipt is whole and which key signed it. Whose key that is,
// says a bundle of evidence: [Opened.Bind] compares the two, and the bundle itself
// is verified and appraised like any other. Without that, a receipt proves
// nothing: everybody can sign one with a key of their own.
//
// The package stands on both sides of the trust boundary: the box writes with it
// what a stranger to the box reads. It does no I/O and has no clock.
package receipt

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/blindbox/blindbox/internal/strictjson"
)

// Type is the "typ" of a receipt's header.
const Type = "blindbox-receipt+jws"

// Limits of a receipt. What is longer is refused by who writes and who reads it.
const (
	MaxPayload   = 12 << 10
	MaxFlows     = 32
	MaxArtifacts = 32
	maxText      = 256
)

// Receipt is what the box says. Its members stand in this order in the payload.
type Receipt struct {
	Version int `json:"v"` // 1
	// ID is 16 random bytes in hex, by which the box keeps the receipt for a while.
	ID string `json:"id"`
	// Nonce is what the caller sent as Blindbox-Receipt, if that is not just "1":
	// a receipt with it was made for this request of this caller.
	Nonce string `json:"nonce,omitempty"`
	// Began and Ended are by the box's clock.
	Began    Time       `json:"began"`
	Ended    Time       `json:"ended"`
	Box      Box        `json:"box"`
	Serves   []Artifact `json:"serves"`
	Caller   string     `json:"caller"`
	Decision Decision   `json:"decision"`
	Request  Message    `json:"request"`
	Response Message    `json:"response"`
	Outcome  Outcome    `json:"outcome"`
	Egress   Egress     `json:"egress"`
	Audit    Position   `json:"audit"`
}

// Box is who answers.
type Box struct {
	Policy Digest `json:"policy"` // of the policy document
	// Kind is the kind of evidence for the key, and Evidence SHA-256 over its bytes.
	Kind      string `json:"kind"`
	Evidence  Digest `json:"evidence"`
	Simulated bool   `json:"simulated"`
	// Boot is 16 random bytes in hex that were drawn when the box started.
	Boot string `json:"boot"`
}

// Artifact is something that answers requests in the box, or that what answers
// stands on.
type Artifact struct {
	Kind string `json:"kind"` // "app", "service" (beside the app) or "model"
	Name string `json:"name"`
	// Digest is of the image's manifest or of the model's bytes. Zero means that
	// the policy names none: the code is then part of what the hardware measured.
	Digest Digest `json:"digest,omitzero"`
}

// Decision is what the policy says of the request.
type Decision struct {
	Action  string `json:"action"`
	Allowed bool   `json:"allowed"`
	Line    int    `json:"line"` // of the policy document; 0 if none speaks of it
	Code    int    `json:"code"` // of the box's own answer, 403 for BBX-403; 0 if there was none
}

// Message is one direction.
type Message struct {
	// Head is the digest of what stands before the body, see [RequestHead] and
	// [ResponseHead].
	Head Digest `json:"head"`
	// Body is SHA-256 over the bytes of the body, whatever frames they came in:
	// what sha256sum prints for a file with them.
	Body  Digest `json:"body"`
	Bytes int64  `json:"bytes"`
	// Trailers is the digest of the fields after the body, zero if there are none.
	Trailers Digest `json:"trailers,omitzero"`
	Status   int    `json:"status,omitempty"` // of a response
	// Complete says that the body was seen to its end.
	Complete bool `json:"complete"`
}

// Outcome is how the request ended.
type Outcome string

const (
	// Complete: the answer was handed to the connection to its end. Whether it
	// arrived, a box cannot know.
	Complete Outcome = "complete"
	// Incomplete: the answer broke off; the digests are of the part before that.
	Incomplete Outcome = "incomplete"
	// Upgraded: the connection went over to another protocol (WebSocket). Bytes
	// are counted from there on, the digests are of what was before.
	Upgraded Outcome = "upgraded"
)

// Egress is what left the box and came back between Began and Ended.
type Egress struct {
	// Observed is false if the box does not watch its app's connections. Then
	// nothing is known, and Flows is empty.
	Observed bool `json:"observed"`
	// Shared says that other requests ran meanwhile: the flows may be theirs.
	Shared bool   `json:"shared"`
	Flows  []Flow `json:"flows"`
	// More is how many further destinations there were beyond [MaxFlows].
	More int `json:"more"`
}

// Flow is what went over connections under one line of the policy.
type Flow struct {
	// To is the destination as the policy's line names it, "*.example.com:443".
	To       string `json:"to"`
	Line     int    `json:"line"`
	Opened   int64  `json:"opened"` // connections
	Sent     int64  `json:"sent"`   // bytes
	Received int64  `json:"received"`
	Refused  int64  `json:"refused"` // connections that were not let out
}

// Position is a place in the box's audit log. The signature makes it a signed
// head of the log: a log that has another chain there is not the box's.
type Position struct {
	// Sequence is the number of the record of this decision.
	Sequence uint64 `json:"seq"`
	// Chain is the hash of that record, and so of all before it. Zero means that
	// the box keeps no log.
	Chain Digest `json:"chain"`
}

// Digest is a SHA-256 value, "sha256:" and 64 digits in JSON.
type Digest [32]byte

// IsZero reports whether d was never set.
func (d Digest) IsZero() bool { return d == Digest{} }

// String returns "sha256:" and the value in hex.
func (d Digest) String() string { return "sha256:" + hex.EncodeToString(d[:]) }

// MarshalText implements [encoding.TextMarshaler].
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// ReadStrictJSON implements [strictjson.Value].
func (d *Digest) ReadStrictJSON(r *strictjson.Reader) error {
	text, err := r.String()
	if err != nil {
		return err
	}
	digits, found := strings.CutPrefix(text, "sha256:")
	if raw, err := hex.DecodeString(digits); found && err == nil && len(raw) == len(d) {
		copy(d[:], raw)
		return nil
	}
	return errors.New("receipt: a digest is not \"sha256:\" and 64 digits in hex")
}

// Time is a time in UTC, to the microsecond, RFC 3339 with six digits in JSON.
type Time struct{ time.Time }

const timeForm = "2006-01-02T15:04:05.000000Z"

// At returns t as a receipt holds it.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Microsecond)} }

// MarshalText implements [encoding.TextMarshaler].
func (t Time) MarshalText() ([]byte, error) { return t.UTC().AppendFormat(nil, timeForm), nil }

// MarshalJSON hides that of the embedded time, which drops zeros.
func (t Time) MarshalJSON() ([]byte, error) { return t.UTC().AppendFormat(nil, `"`+timeForm+`"`), nil }

// ReadStrictJSON implements [strictjson.Value].
func (t *Time) ReadStrictJSON(r *strictjson.Reader) error {
	text, err := r.String()
	if err != nil {
		return err
	}
	at, err := time.Parse(timeForm, text)
	if err != nil {
		return fmt.Errorf("receipt: a time that is not of the form %s", timeForm)
	}
	t.Time = at
	return nil
}

// Encode returns the payload: the members in order, no spaces, the escapes of
// encoding/json.
func (r Receipt) Encode() ([]byte, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	return r.encode()
}

func (r Receipt) encode() ([]byte, error) {
	if r.Serves == nil {
		r.Serves = []Artifact{}
	}
	if r.Egress.Flows == nil {
		r.Egress.Flows = []Flow{}
	}
	text, err := json.Marshal(r)
	switch {
	case err != nil:
		return nil, fmt.Errorf("receipt: %w", err)
	case len(text) > MaxPayload:
		return nil, fmt.Errorf("receipt: %d bytes, limit %d", len(text), MaxPayload)
	}
	return text, nil
}

// Parse reads a payload. It accepts exactly what Encode writes.
func Parse(payload []byte) (Receipt, error) {
	var r Receipt
	if err := strictjson.Decode(payload, &r, strictjson.Options{Limits: strictjson.Limits{Bytes: MaxPayload, Depth: 4}}); err != nil {
		return Receipt{}, fmt.Errorf("receipt: malformed: %w", err)
	}
	if err := r.Validate(); err != nil {
		return Receipt{}, err
	}
	again, err := r.encode()
	switch {
	case err != nil:
		return Receipt{}, err
	case string(again) != string(payload):
		return Receipt{}, errors.New("receipt: malformed: not the one spelling of what it says (order of members, spaces, escapes, all members there)")
	}
	return r, nil
}

// Validate refuses what no box writes. All that is wrong is named.
func (r Receipt) Validate() error {
	var all []error
	must := func(ok bool, format string, args ...any) {
		if !ok {
			all = append(all, fmt.Errorf("receipt: "+format, args...))
		}
	}
	must(r.Version == 1, "version %d, expected 1", r.Version)
	must(isHex(r.ID, 32), "the id is not 32 digits in hex")
	must(r.Nonce == "" || ValidNonce(r.Nonce), "the nonce is not %d to %d of A-Z, a-z, 0-9, \"-\" and \"_\"", minNonce, maxNonce)
	must(plausible(r.Began.Time) && plausible(r.Ended.Time), "a time outside the years 2000 to 9999")
	must(!r.Box.Policy.IsZero(), "no policy digest")
	must(!r.Box.Evidence.IsZero(), "no evidence digest")
	must(isText(r.Box.Kind), "no kind of evidence")
	must(isHex(r.Box.Boot, 32), "the boot is not 32 digits in hex")
	must(isText(r.Caller), "no caller")
	must(len(r.Serves) <= MaxArtifacts, "%d artifacts, limit %d", len(r.Serves), MaxArtifacts)
	for _, a := range r.Serves {
		must((a.Kind == "app" || a.Kind == "service" || a.Kind == "model") && isText(a.Name), "an artifact that is neither app nor service nor model, or has no name")
	}
	return errors.Join(append(all, r.Decision.validate(), r.validateMessages(), r.Egress.validate())...)
}

func (d Decision) validate() error {
	switch {
	case !isText(d.Action):
		return errors.New("receipt: no action")
	case d.Line < 0 || d.Code < 0 || d.Code > 999:
		return fmt.Errorf("receipt: line %d or code %d out of range", d.Line, d.Code)
	}
	return nil
}

func (r Receipt) validateMessages() error {
	known := r.Outcome == Complete || r.Outcome == Incomplete || r.Outcome == Upgraded
	switch {
	case !known:
		return fmt.Errorf("receipt: outcome %.40q, expected complete, incomplete or upgraded", string(r.Outcome))
	case r.Request.Head.IsZero() || r.Request.Body.IsZero() || r.Response.Head.IsZero() || r.Response.Body.IsZero():
		return errors.New("receipt: a message without digests")
	case r.Request.Bytes < 0 || r.Response.Bytes < 0:
		return errors.New("receipt: a message of negative length")
	case r.Request.Status != 0:
		return errors.New("receipt: a request with a status")
	case r.Response.Status != 0 && (r.Response.Status < 100 || r.Response.Status > 999):
		return fmt.Errorf("receipt: status %d", r.Response.Status)
	case r.Outcome == Complete && (!r.Response.Complete || r.Response.Status == 0):
		return errors.New("receipt: a complete outcome without a complete answer")
	case r.Outcome != Complete && r.Response.Complete:
		return fmt.Errorf("receipt: a complete answer and the outcome %s", r.Outcome)
	}
	return nil
}

func (e Egress) validate() error {
	switch {
	case len(e.Flows) > MaxFlows || e.More < 0:
		return fmt.Errorf("receipt: %d flows and %d more, limit %d", len(e.Flows), e.More, MaxFlows)
	case !e.Observed && (e.Shared || len(e.Flows) > 0 || e.More > 0):
		return errors.New("receipt: flows that nobody observed")
	}
	for _, f := range e.Flows {
		if !isText(f.To) || f.Line < 0 || f.Opened < 0 || f.Sent < 0 || f.Received < 0 || f.Refused < 0 {
			return errors.New("receipt: a flow to nowhere, or with a negative number")
		}
	}
	return nil
}

const (
	minNonce = 16
	maxNonce = 64
)

// ValidNonce reports whether a caller may send s for [Receipt.Nonce].
func ValidNonce(s string) bool {
	odd := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
	}
	return len(s) >= minNonce && len(s) <= maxNonce && !strings.ContainsFunc(s, odd)
}

func plausible(t time.Time) bool { return t.Year() >= 2000 && t.Year() <= 9999 }

func isText(s string) bool { return s != "" && len(s) <= maxText && utf8.ValidString(s) }

func isHex(s string, n int) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == n && strings.ToLower(s) == s
}
