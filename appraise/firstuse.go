package appraise

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// FromClaims returns a Trust that accepts the box that showed these Claims, and
// no other code or policy. This is trust on first use: it is worth what the
// first connection was worth, and the file says so in its first lines. Where the
// box falls short of a default, the default is loosened just far enough and the
// file says that too.
//
// An empty name becomes "unnamed", since a reference value needs one.
//
// The Claims must come from a Verifier. For simulated ones the root must be
// added with [Trust.WithSimulatedRoot]; without it the Trust accepts nothing.
func FromClaims(c *attest.Claims, s attest.Statement, policyDocument []byte, name string, at time.Time) *Trust {
	t := defaults()
	t.header = []string{
		"Trust on first use: this file was written from what one box showed on " + at.UTC().Format(time.RFC3339) + ".",
		"Nobody compared it with anything. Before you send data that matters, compare the",
		"measurement and the policy with what their publisher states, over another way.",
	}
	if machineOf(c) == nil {
		return t
	}
	u := &firstUse{trust: t, at: at}
	pinned := firstPolicy(s, policyDocument)
	if pinned.any {
		u.loosen("no policy was shown, so any is accepted")
	}
	code := u.code(c)
	if code == nil {
		return t
	}
	if len(c.Parts) != 0 {
		t.hardware.gpu = u.gpus(c.Parts)
	}
	t.accept = []reference{{name: cmp.Or(name, "unnamed"), code: map[attest.Kind]codeValues{sectionOf(c.Kind): code}, policy: pinned}}
	t.hardware.kinds = t.sections()
	t.simulated = c.Simulated
	return t
}

// firstPolicy pins the policy that was shown; without one there is nothing to
// pin.
func firstPolicy(s attest.Statement, document []byte) policyRule {
	switch {
	case len(document) != 0:
		return policyRule{digest: sha256.Sum256(document)}
	case !s.Policy.IsZero():
		return policyRule{digest: s.Policy}
	}
	return policyRule{any: true}
}

// WithSimulatedRoot returns a copy of t that accepts simulated evidence under
// the root with this fingerprint (SHA-256 of its DER).
func (t *Trust) WithSimulatedRoot(root attest.Digest) *Trust {
	out := *t
	out.simulated, out.simulatedRoot = true, root
	return &out
}

// firstUse fits a Trust to one machine.
type firstUse struct {
	trust *Trust
	at    time.Time
}

// loosened opens each line of the header that says what was loosened.
const loosened = "LOOSENED for this box: "

func (u *firstUse) loosen(format string, args ...any) {
	u.trust.header = append(u.trust.header, loosened+fmt.Sprintf(format, args...))
}

// Loosened says where a Trust from [FromClaims] accepts less than the defaults
// ask for. The host decides much of it (it can withhold a revocation list), so
// whoever writes such a file should be told. It is empty for a Trust that was
// read from a file.
func (t *Trust) Loosened() []string {
	var out []string
	for _, line := range t.header {
		if what, found := strings.CutPrefix(line, loosened); found {
			out = append(out, what)
		}
	}
	return out
}
