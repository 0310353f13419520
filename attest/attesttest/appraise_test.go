package attesttest_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
)

const boxPolicy = "name: test\nmodels:\n  - {name: tumour, builtin: tumour}\ncallers:\n  - {name: all, anyone: true, may: [query]}\n"

// strictHardware refuses whatever a trust file can refuse.
const strictHardware = `  kinds: [sev-snp]
  products: [Genoa, Turin]
  abi: 1.55
  vmpl: 0
  guest_svn: 1
  smt: forbid
  guest_policy: {single_socket: forbid, cxl: forbid, mem_aes_256_xts: forbid, rapl_disabled: forbid, ciphertext_hiding: forbid, page_swap_disabled: forbid}
  tsme: require
  ecc: require
  rapl_disabled: require
  ciphertext_hiding: require
  alias_check: require
  revocation: require
  mitigations: {launch: [0], current: [0]}
`

func trust(t *testing.T, hardware string) *appraise.Trust {
	t.Helper()
	m := attesttest.Measurement()
	doc := fmt.Sprintf("version: 1\naccept:\n  - {name: guest, sev-snp: {measurement: %x}, policy: sha256:%x}\nhardware:\n%s",
		m[:], sha256.Sum256([]byte(boxPolicy)), hardware)
	out, err := appraise.ParseTrust([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// trustFor is strict about what the row is about.
func trustFor(t *testing.T, c attesttest.Case) *appraise.Trust {
	t.Helper()
	switch {
	case c.Stage == attesttest.StageNone:
		return trust(t, "  products: [Genoa, Turin]\n")
	case c.Row == "S13":
		return trust(t, strictHardware+"  vlek: {csp: [CN=cc-us-east-2.amazonaws.com]}\n")
	case c.Row == "S16":
		return trust(t, strictHardware+fmt.Sprintf("  chips: [%x]\n", attesttest.ChipID(attesttest.Genoa)))
	case c.Row == "S25":
		return trust(t, strictHardware+fmt.Sprintf("  id_key: [%096x]\n", 5))
	}
	return trust(t, strictHardware)
}

// TestAppraiseCases runs the rest of the catalogue to its end: what a verifier
// reports as a fact is refused by appraisal for the right reason, and machines
// that nobody has a reason to refuse are trusted.
func TestAppraiseCases(t *testing.T) {
	amd := attesttest.New()
	v := verifier(t, amd)
	at := attesttest.Epoch()
	digest := sha256.Sum256([]byte(boxPolicy))
	s := attest.Statement{
		Purpose: attest.PurposeSession, Role: attest.RoleServer, Nonce: [32]byte{1}, SPKI: attest.Digest{2},
		Exporter: [32]byte{3}, Policy: digest, NotBefore: at, NotAfter: at.Add(time.Minute),
	}
	b, err := s.Bind()
	if err != nil {
		t.Fatal(err)
	}
	channel := s.Compare(attest.Expected{
		Purpose: s.Purpose, Role: s.Role, Nonce: s.Nonce, SPKI: s.SPKI, Exporter: s.Exporter, Policy: s.Policy, At: at, Skew: time.Minute,
	})
	for _, c := range amd.Cases(t) {
		if c.Stage == attesttest.StageVerify {
			continue
		}
		t.Run(c.Row+" "+c.Name, func(t *testing.T) {
			if c.Row != "S24" {
				c.Options = append(slices.Clone(c.Options), attesttest.HostData(digest))
			}
			ev, end := c.Make(t, b.Bytes())
			claims, err := v.Verify(ev, end, at)
			result := trustFor(t, c).Appraise(appraise.Input{
				Claims: claims, Err: err, Statement: s, Channel: channel, Policy: []byte(boxPolicy),
			}, at)
			if c.Stage == attesttest.StageNone {
				if !result.Trusted() {
					t.Errorf("refused: %v", result.Err())
				}
				return
			}
			var f *attest.Failure
			if result.Trusted() || !errors.As(result.Err(), &f) {
				t.Fatalf("trusted, or refused with %v", result.Err())
			}
			if !slices.ContainsFunc(f.Failed(), func(k attest.Check) bool { return k.Code == c.Code }) {
				t.Errorf("refused without code %s: %v", c.Code, f)
			}
		})
	}
}
