package attesttest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
)

// Each row of the catalogue rests on one of these; the rest is X.509.
var amdSpecs = map[string]string{
	"S": "AMD 56860, 7.3 (ATTESTATION_REPORT)",
	"G": "RFC 5280; AMD 57230",
}

// AMDVectors returns the cases of [AMD.Cases] for every verifier. Those that only
// a connection or a policy document decides are left out.
func AMDVectors(t testing.TB) []Vector {
	t.Helper()
	var out []Vector
	for _, c := range New().Cases(t) {
		if c.Row == "S24" {
			continue // needs the policy document
		}
		ev, end := c.Make(t, [64]byte{1})
		if !ev.Kind.Valid() {
			continue // has no name in a file
		}
		v := Vector{
			Row: c.Row, Name: slug(c.Name), About: c.Name, Spec: amdSpecs[c.Row[:1]],
			Evidence: ev, Endorsements: end, Verifier: attest.SNP, At: Epoch(), Stage: c.Stage, Code: c.Code,
		}
		for _, line := range []Line{Milan, Genoa, Turin} {
			r := c.AMD.Roots(t, line)
			v.Roots = append(v.Roots, r.ARK.Raw, r.ASK.Raw, r.ASVK.Raw)
		}
		if c.Stage != StageVerify {
			v.Trust = amdTrust(c)
		}
		out = append(out, v)
	}
	return out
}

// strictAMD refuses whatever a trust file can refuse.
const strictAMD = `  products: [Genoa, Turin]
  abi: 1.55
  guest_svn: 1
  smt: forbid
  guest_policy: {single_socket: forbid, cxl: forbid, mem_aes_256_xts: forbid, rapl_disabled: forbid, ciphertext_hiding: forbid, page_swap_disabled: forbid}
  tsme: require
  ecc: require
  rapl_disabled: require
  ciphertext_hiding: require
  alias_check: require
  mitigations: {launch: [0], current: [0]}
`

// amdTrust is strict about what the row is about.
func amdTrust(c Case) string {
	hardware := strictAMD
	switch {
	case c.Stage == StageNone:
		hardware = "  products: [Genoa, Turin]\n"
	case c.Row == "S13":
		hardware += "  vlek: {csp: [CN=cc-us-east-2.amazonaws.com]}\n"
	case c.Row == "S16":
		hardware += fmt.Sprintf("  chips: [%x]\n", ChipID(Genoa))
	case c.Row == "S25":
		hardware += fmt.Sprintf("  id_key: [%096x]\n", 5)
	}
	m := Measurement()
	return fmt.Sprintf("version: 1\naccept:\n  - {name: guest, sev-snp: {measurement: %x}, policy: any}\nhardware:\n%s", m[:], hardware)
}

// slug makes a name of words joined by hyphens.
func slug(name string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}), "-")
}
