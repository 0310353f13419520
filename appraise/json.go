package appraise

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// resultJSON is the stable form of a Result. Members are added, never renamed
// or given another meaning.
type resultJSON struct {
	// Verdict is trusted, partial or refused.
	Verdict Verdict `json:"verdict"`
	// Simulated is true if the evidence proves nothing about hardware.
	Simulated bool `json:"simulated"`
	// At is the time of the appraisal, RFC 3339, UTC.
	At time.Time `json:"at"`
	// Offline is true if there was no connection to compare with.
	Offline bool `json:"offline"`
	// Codes are the codes of the failed checks, in order, each once.
	Codes []attest.Code `json:"codes"`
	// Hardware describes the machine. Its members depend on the kind.
	Hardware any `json:"hardware,omitempty"`
	// Parts are the kinds of the devices beside the processor.
	Parts  []string       `json:"parts,omitempty"`
	Code   *codeJSON      `json:"code,omitempty"`
	Policy *policyJSON    `json:"policy,omitempty"`
	Lines  []Line         `json:"lines"`
	Checks []attest.Check `json:"checks"`
}

type codeJSON struct {
	Measurement string `json:"measurement"` // hex, or several registers by their name
	// Reference is the name of the reference value, absent if there is none.
	Reference string `json:"reference,omitempty"`
}

type policyJSON struct {
	Digest  string `json:"digest"` // sha256:hex
	Name    string `json:"name,omitempty"`
	Summary string `json:"summary,omitempty"`
}

// MarshalJSON returns the stable form that "-o json" prints: an object with
// verdict, simulated, at, offline, codes, hardware, code, policy, lines and
// checks. There is no way back: a Result is not made from JSON.
func (r Result) MarshalJSON() ([]byte, error) {
	out := resultJSON{
		Verdict: r.verdict, Simulated: r.simulated, At: r.at.UTC(), Offline: r.offline,
		Codes: r.Codes(), Lines: r.Lines(), Checks: r.checks,
	}
	if out.Codes == nil {
		out.Codes = []attest.Code{}
	}
	if out.Checks == nil {
		out.Checks = []attest.Check{}
	}
	if r.machine != nil {
		out.Hardware = r.machine.document()
		out.Code = &codeJSON{Measurement: r.machine.code(), Reference: r.reference.name}
		for _, part := range r.claims.Parts {
			if part != nil {
				out.Parts = append(out.Parts, part.Kind.String())
			}
		}
	}
	if !r.digest.IsZero() {
		out.Policy = &policyJSON{Digest: digestPrefix + r.digest.String()}
		if r.policy != nil {
			out.Policy.Name, out.Policy.Summary = r.policy.Name, r.policy.Summary()
		}
	}
	// These are no web pages: ">=" stays readable.
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	err := enc.Encode(out)
	return text.Bytes(), err
}

// Codes returns the codes of the failed checks, in order, each once.
func (r Result) Codes() []attest.Code {
	var out []attest.Code
	seen := make(map[attest.Code]bool)
	for _, c := range r.checks {
		if c.Status == attest.Fail && !seen[c.Code] {
			seen[c.Code] = true
			out = append(out, c.Code)
		}
	}
	return out
}
