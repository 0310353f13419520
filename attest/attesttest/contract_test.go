package attesttest_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
)

// toy is the smallest verifier that keeps every promise. Its evidence is 64
// bytes and a signature, its only endorsement a key and a validity signed by a
// root. Each flaw makes it break one promise, to show that the suite notices.
type toy struct {
	flaw  string
	root  ed25519.PublicKey
	mu    sync.Mutex
	calls int
}

const (
	toyLabel    = "toy/certificate"
	toyCertSize = 32 + 8 + 8 + 64
)

// flaws and the part of the suite that has to notice each.
var flaws = map[string]string{
	"both":          "accepts",
	"neither":       "accepts",
	"wrong data":    "accepts",
	"wrong kind":    "accepts",
	"not endorsed":  "accepts",
	"failed check":  "accepts",
	"same check":    "accepts",
	"any kind":      "kind",
	"kind code":     "kind",
	"empty failure": "truncated evidence",
	"panics":        "truncated evidence",
	"trailing":      "trailing bytes",
	"loose bit":     "bit flips",
	"copies":        "oversize",
	"timeless":      "time",
	"zone":          "time",
	"one at a time": "concurrent use",
	"changes input": "inputs not changed",
	"shares memory": "inputs not changed",
	"moody":         "deterministic",
	"order":         "deterministic",
	"intolerant":    "unknown endorsements",
	"first wins":    "duplicate endorsements",
	"careless":      "missing endorsements",
	"unsigned cert": "damaged endorsements",
}

func (v *toy) Kind() attest.Kind { return attest.SNP }

func (v *toy) Verify(ev attest.Evidence, end attest.Endorsements, at time.Time) (*attest.Claims, error) {
	v.mu.Lock()
	v.calls++
	calls := v.calls
	v.mu.Unlock()
	claims, err := v.verify(ev, end, at)
	switch {
	case v.flaw == "both" && err == nil:
		return claims, errors.New("and an error")
	case v.flaw == "neither":
		return nil, nil
	case v.flaw == "empty failure" && err != nil:
		return nil, &attest.Failure{}
	case v.flaw == "changes input" && err == nil:
		ev.Data[0]++
	case v.flaw == "order" && err == nil:
		claims.Detail = end[0].Label
	case v.flaw == "moody" && err == nil:
		claims.Detail = calls
	}
	return claims, err
}

func (v *toy) verify(ev attest.Evidence, end attest.Endorsements, at time.Time) (*attest.Claims, error) {
	refuse := func(code attest.Code) (*attest.Claims, error) {
		return nil, attest.NewFailure("toy.check", code, "something", "something else")
	}
	if ev.Kind != attest.SNP && v.flaw != "any kind" {
		if v.flaw == "kind code" {
			return refuse(attest.CodeMalformed)
		}
		return refuse(attest.CodeKindMismatch)
	}
	data := ev.Data
	if v.flaw == "copies" {
		data = bytes.Clone(data)
	}
	switch {
	case v.flaw == "panics":
		data = data[:128]
	case v.flaw == "trailing" && len(data) > 128:
		data = data[:128]
	case len(data) != 128:
		return refuse(attest.CodeMalformed)
	}
	if v.flaw == "changes input" {
		data = append([]byte{0x41}, data[1:]...)
	}
	key, span, err := v.certificate(end)
	if err != nil {
		return nil, err
	}
	if !span.Contains(at) && v.flaw != "timeless" {
		return refuse(attest.CodeExpired)
	}
	signed := bytes.Clone(data[:64])
	if v.flaw == "loose bit" {
		signed[9] &^= 2 // the bit that is signed as zero
	}
	if !ed25519.Verify(key, signed, data[64:]) {
		return refuse(attest.CodeBadSignature)
	}
	return v.claims(data, span, at), nil
}

// certificate reads the endorsement.
func (v *toy) certificate(end attest.Endorsements) (ed25519.PublicKey, attest.Validity, error) {
	refuse := func(code attest.Code) (ed25519.PublicKey, attest.Validity, error) {
		return nil, attest.Validity{}, attest.NewFailure("toy.certificate", code, "something", "something else")
	}
	cert, found, err := end.Get(toyLabel)
	for _, e := range end {
		switch {
		case v.flaw == "intolerant" && e.Label != toyLabel:
			return refuse(attest.CodeMalformed)
		case v.flaw == "first wins" && e.Label == toyLabel:
			cert, found, err = e.Data, true, nil
		}
		if v.flaw == "first wins" && found {
			break
		}
	}
	if v.flaw == "careless" && !found {
		return v.lastKey(), always(), nil
	}
	if err != nil || !found || len(cert) != toyCertSize {
		return refuse(attest.CodeMalformed)
	}
	if !ed25519.Verify(v.root, cert[:48], cert[48:]) && v.flaw != "unsigned cert" {
		return refuse(attest.CodeBadSignature)
	}
	return ed25519.PublicKey(cert[:32]), attest.Validity{
		NotBefore: time.Unix(int64(binary.BigEndian.Uint64(cert[32:])), 0),
		NotAfter:  time.Unix(int64(binary.BigEndian.Uint64(cert[40:])), 0),
	}, nil
}

func always() attest.Validity {
	return attest.Validity{NotBefore: time.Unix(1, 0), NotAfter: time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// lastKey is the key that the toy's harness signs with.
func (v *toy) lastKey() ed25519.PublicKey { return toyKey(2).Public().(ed25519.PublicKey) }

func (v *toy) claims(data []byte, span attest.Validity, at time.Time) *attest.Claims {
	c := &attest.Claims{
		Kind: attest.SNP, ReportData: [64]byte(data[:64]), Measurement: bytes.Clone(data[:32]), Endorsed: span,
		Checks: []attest.Check{{Name: "toy.check", Status: attest.Pass}},
	}
	switch v.flaw {
	case "wrong data":
		c.ReportData[0]++
	case "wrong kind":
		c.Kind = attest.SimSNP
	case "not endorsed":
		c.Endorsed = attest.Validity{}
	case "failed check":
		c.Checks = append(c.Checks, attest.Check{Name: "toy.other", Code: attest.CodeRevoked})
	case "same check":
		c.Checks = append(c.Checks, c.Checks[0])
	case "shares memory":
		c.Measurement = data[:32]
	case "zone":
		c.Detail = at.Location().String()
	case "one at a time":
		c.Detail = v.countOverlap()
	}
	return c
}

// countOverlap says how many others are here at the same time.
func (v *toy) countOverlap() int {
	v.mu.Lock()
	v.calls += 1 << 20
	inside := v.calls >> 20
	v.mu.Unlock()
	time.Sleep(time.Millisecond)
	v.mu.Lock()
	v.calls -= 1 << 20
	v.mu.Unlock()
	return inside
}

func toyKey(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func toyHarness(flaw string) attesttest.Harness {
	root, key := toyKey(1), toyKey(2)
	at := attesttest.Epoch()
	cert := bytes.Clone(key.Public().(ed25519.PublicKey))
	cert = binary.BigEndian.AppendUint64(cert, uint64(at.Add(-time.Hour).Unix()))
	cert = binary.BigEndian.AppendUint64(cert, uint64(at.Add(time.Hour).Unix()))
	cert = append(cert, ed25519.Sign(root, cert)...)
	reportData := [64]byte(bytes.Repeat([]byte{0x41}, 64))
	end := attest.Endorsements{{Label: toyLabel, Data: cert}}
	if flaw == "order" {
		end = append(end, attest.Endorsement{Label: "toy/other", Data: []byte("x")})
	}
	return attesttest.Harness{
		Verifier:     &toy{flaw: flaw, root: root.Public().(ed25519.PublicKey)},
		Evidence:     attest.Evidence{Kind: attest.SNP, Data: append(reportData[:], ed25519.Sign(key, reportData[:])...)},
		Endorsements: end, At: at, ReportData: reportData, Required: []string{toyLabel},
	}
}

// flawVariable names the flaw that a child process is to have.
const flawVariable = "ATTESTTEST_FLAW"

func TestToy(t *testing.T) {
	attesttest.TestVerifier(t, toyHarness(os.Getenv(flawVariable)))
}

// TestSuiteNotices runs the suite in a child process for each flaw, since a
// test cannot fail on purpose.
func TestSuiteNotices(t *testing.T) {
	for flaw, part := range flaws {
		t.Run(flaw, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestToy$", "-test.v")
			cmd.Env = append(os.Environ(), flawVariable+"="+flaw)
			out, err := cmd.CombinedOutput()
			want := "--- FAIL: TestToy/" + strings.ReplaceAll(part, " ", "_") + " "
			if err == nil || !strings.Contains(string(out), want) {
				t.Errorf("error %v, expected %q in\n%s", err, want, out)
			}
		})
	}
}
