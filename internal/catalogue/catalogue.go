// Package catalogue answers one question: what does a BBX number mean, what was
// not done because of it, and what can the reader do about it?
//
// Every reason that the product gives for a refusal, an attest.Code, belongs to
// exactly one numbered entry, and every entry has a page in docs/errors that is
// generated from this table. The package holds text only: it decides nothing
// and trusts nothing. It stands with the relying party; the box answers with
// the same numbers but does not link the text.
package catalogue

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/blindbox/blindbox/attest"
)

// Codes of this side alone: a command line, a file, the local proxy. Verifiers
// declare their own.
const (
	CodeUsage       attest.Code = "usage"
	CodeNoTrust     attest.Code = "no_trust_file"
	CodeBadTrust    attest.Code = "bad_trust_file"
	CodeBadPolicy   attest.Code = "bad_policy"
	CodeFile        attest.Code = "file"
	CodeAddress     attest.Code = "address"
	CodeListen      attest.Code = "listen"
	CodeApp         attest.Code = "app"
	CodeSimRoot     attest.Code = "simulated_root"
	CodeKeyFile     attest.Code = "api_key_file"
	CodeWebPage     attest.Code = "web_page"
	CodeInterrupted attest.Code = "interrupted"
	CodeDemo        attest.Code = "demo"
	CodeIdentity    attest.Code = "identity"
	CodePolicyTest  attest.Code = "policy_test"
	CodeLaunched    attest.Code = "launched_otherwise"
	CodeNoToken     attest.Code = "no_proxy_token"
	CodeInternal    attest.Code = "internal"
)

// Codes of a box's own answers to a request, the "code" member of its
// problem+json. They come over a channel that was verified.
const (
	CodeBoxRequest     attest.Code = "box_bad_request"
	CodeBoxCaller      attest.Code = "box_unknown_caller"
	CodeBoxDenied      attest.Code = "box_denied"
	CodeBoxNotFound    attest.Code = "box_not_found"
	CodeBoxTooLarge    attest.Code = "box_request_too_large"
	CodeBoxGate        attest.Code = "box_gate_required"
	CodeBoxBusy        attest.Code = "box_too_many_requests"
	CodeBoxAppDown     attest.Code = "box_app_down"
	CodeBoxUnavailable attest.Code = "box_not_ready"
	CodeAppStatus      attest.Code = "app_status"
	CodeModelRefused   attest.Code = "model_refused"
)

// Stage is where in an attested call something ended. It is also the exit code
// of the command.
type Stage int

// The stages. There is none for success: an Entry is never good news.
const (
	Usage       Stage = 1 // the command line, a file of the user's, this machine
	Refused     Stage = 2 // verification failed
	Unavailable Stage = 3 // evidence or endorsements could not be had
	Partial     Stage = 4 // what was checked held, and not everything was checked
)

// Entry is one row of the catalogue.
type Entry struct {
	Number  int           // 203 for BBX-203
	Codes   []attest.Code // machine-readable reasons that this entry explains
	Title   string        // a clause that can follow "BBX-203 code: "
	Cause   string        // why it happens, most likely reason first
	NotDone string        // what was not done because of it
	Fix     string        // what to do
	Example string        // what it looks like on a terminal
}

// ID returns the number as users see it, "BBX-203".
func (e Entry) ID() string { return fmt.Sprintf("BBX-%03d", e.Number) }

// Stage returns the stage that the number's first digit stands for. A box's
// answer to a request (4xx, 5xx) is not a matter of verification and counts as
// usage.
func (e Entry) Stage() Stage {
	switch {
	case e.Number == 303: // a skipped check refuses nothing by itself
		return Partial
	case e.Number/100 == 2:
		return Refused
	case e.Number/100 == 3:
		return Unavailable
	default:
		return Usage
	}
}

// Page is the file under docs/errors that explains the entry.
func (e Entry) Page() string { return "docs/errors/" + e.ID() + ".md" }

// All returns every entry in order of number.
func All() []Entry {
	var out []Entry
	for _, part := range [][]Entry{usage(), evidence(), signed(), channel(), hardware(), tpm(), intel(), nitro(), quotes(), endorsed(), devices(), nvidia(), unavailable(), collateral(), notOfNVIDIA(), vendors(), answers()} {
		out = append(out, part...)
	}
	return out
}

// ByCode returns the entry that explains code.
func ByCode(code attest.Code) (Entry, bool) {
	for _, e := range All() {
		for _, c := range e.Codes {
			if c == code {
				return e, true
			}
		}
	}
	return Entry{}, false
}

// ByNumber returns the entry with that number.
func ByNumber(n int) (Entry, bool) {
	for _, e := range All() {
		if e.Number == n {
			return e, true
		}
	}
	return Entry{}, false
}

// Find returns the entry that name stands for: "BBX-203", "203" or a code such
// as "measurement_not_allowed". Case does not matter, since people type it.
func Find(name string) (Entry, bool) {
	lower := strings.ToLower(strings.TrimSpace(name))
	if e, ok := ByCode(attest.Code(lower)); ok {
		return e, true
	}
	n, err := strconv.Atoi(strings.TrimPrefix(lower, "bbx-"))
	if err != nil {
		return Entry{}, false
	}
	return ByNumber(n)
}
