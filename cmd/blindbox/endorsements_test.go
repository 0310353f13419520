package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/endorse"
	"github.com/blindbox/blindbox/endorse/cache"
	"github.com/blindbox/blindbox/endorse/source"
)

// endorsementsAt runs one command in memory at a time of our choice.
func endorsementsAt(t *testing.T, home string, at time.Time, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return endorsementsUntil(t.Context(), home, at, nil, args...)
}

func endorsementsUntil(ctx context.Context, home string, at time.Time, out io.Writer, args ...string) (code int, stdout, stderr string) {
	var o, e bytes.Buffer
	var w io.Writer = &o
	if out != nil {
		w = out
	}
	code = run(ctx, session{
		args: append([]string{"endorsements"}, args...), stdin: strings.NewReader(""), stdout: w, stderr: &e,
		env: func(name string) string {
			if name == "BLINDBOX_HOME" {
				return home
			}
			return ""
		},
		now: func() time.Time { return at },
	})
	return code, o.String(), e.String()
}

// intelAt is when the capture's collateral is in force.
var intelAt = time.Date(2025, 6, 20, 0, 0, 0, 0, time.UTC)

// intelCache fills a cache with what Intel signed for a real quote.
func intelCache(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile("../../vectors/tdx/tdx_quote_collateral.json")
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]string
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	raw := func(name string) []byte {
		der, err := hex.DecodeString(c[name])
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	d, err := cache.Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	put := func(o source.Object, err error, data []byte, chain string) {
		t.Helper()
		if err == nil {
			err = d.Put(cache.Entry{Key: o.Key(), Data: data, Chain: []byte(chain), Fetched: intelAt})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	tcb, err := source.TCBInfo(source.TDX, [6]byte{0xb0, 0xc0, 0x6f}, source.Standard)
	put(tcb, err, []byte(`{"tcbInfo":`+c["tcb_info"]+`,"signature":"`+c["tcb_info_signature"]+`"}`), c["tcb_info_issuer_chain"])
	qe, err := source.QEIdentity(source.TDX, source.Standard)
	put(qe, err, []byte(`{"enclaveIdentity":`+c["qe_identity"]+`,"signature":"`+c["qe_identity_signature"]+`"}`), c["qe_identity_issuer_chain"])
	list, err := x509.ParseRevocationList(raw("pck_crl"))
	if err != nil {
		t.Fatal(err)
	}
	ca := "processor"
	if strings.Contains(list.Issuer.CommonName, "Platform") {
		ca = "platform"
	}
	pck, err := source.PCKCRL(ca)
	put(pck, err, raw("pck_crl"), c["pck_crl_issuer_chain"])
	put(source.IntelRootCRL(), nil, raw("root_ca_crl"), "")
}

// firstLine is a writer that tells its first line.
type firstLine struct{ lines chan string }

func (f firstLine) Write(p []byte) (int, error) {
	select {
	case f.lines <- string(p):
	default:
	}
	return len(p), nil
}

// serveMirror runs `endorsements serve` and returns its address.
func serveMirror(t *testing.T, dir string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done, out := make(chan string, 1), firstLine{make(chan string, 1)}
	go func() {
		code, _, stderr := endorsementsUntil(ctx, t.TempDir(), intelAt, out, "serve", "--listen", "127.0.0.1:0", "--cache", dir)
		if code != 0 {
			done <- stderr
		}
		close(done)
	}()
	t.Cleanup(func() {
		cancel()
		if msg := <-done; msg != "" {
			t.Errorf("serve: %s", msg)
		}
	})
	select {
	case line := <-out.lines:
		return strings.Fields(line)[1]
	case msg := <-done:
		t.Fatalf("serve ended: %s", msg)
	case <-time.After(time.Minute):
		t.Fatal("serve does not say where")
	}
	return ""
}

// TestAirGapped: a mirror is filled on one side, served, and a quote's needs are
// fetched from it, verified up to Intel's own root.
func TestAirGapped(t *testing.T) {
	mirror, home := t.TempDir(), t.TempDir()
	intelCache(t, mirror)
	from := serveMirror(t, mirror)
	quote := "../../vectors/tdx/tdx_quote"
	code, stdout, stderr := endorsementsAt(t, home, intelAt, "fetch", quote, "--endorsements-from", from)
	if code != 0 || strings.Count(stdout, "fetched") != 4 || !strings.Contains(stdout, "TCB info of FMSPC b0c06f000000 (tdx), until 2025-07-19") {
		t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, _ = endorsementsAt(t, home, intelAt, "show")
	if code != 0 || strings.Count(stdout, "fresh") != 4 || !strings.Contains(stdout, "in 29 days") || !strings.Contains(stdout, "tdx/b0c06f000000 UpToDate") {
		t.Errorf("show: exit %d\n%s", code, stdout)
	}
	code, stdout, _ = endorsementsAt(t, home, intelAt.AddDate(0, 2, 0), "show", "-o", "json")
	var f endorse.Forecast
	if err := json.Unmarshal([]byte(stdout), &f); code != 0 || err != nil || len(f.Items) != 4 || f.Items[0].State != endorse.Expired {
		t.Errorf("show -o json: exit %d, %v\n%s", code, err, stdout)
	}
	code, stdout, _ = endorsementsAt(t, home, intelAt, "show", "--metrics")
	if code != 0 || !strings.Contains(stdout, "# TYPE blindbox_tcb_level gauge\n") || strings.Count(stdout, "blindbox_endorsement_usable{") != 4 {
		t.Errorf("show --metrics: exit %d\n%s", code, stdout)
	}
	code, stdout, stderr = endorsementsAt(t, home, intelAt, "fetch", "--kind", "tdx", "--fmspc", "b0c06f000000", "--endorsements-from", from, "-o", "json")
	if code != 3 || !strings.Contains(stdout+stderr, "BBX-306") { // the other CA's list is not in the mirror
		t.Errorf("fetch --kind: exit %d\n%s%s", code, stdout, stderr)
	}
	code, _, stderr = endorsementsAt(t, home, intelAt.AddDate(1, 0, 0), "fetch", quote, "--endorsements-from", from)
	if code != 2 && code != 3 || !strings.Contains(stderr, "BBX-") {
		t.Errorf("a year later: exit %d\n%s", code, stderr)
	}
}

// TestVerifyFetches: raw evidence is verified with what is fetched, and nothing
// is fetched unless that was asked for.
func TestVerifyFetches(t *testing.T) {
	mirror, home := t.TempDir(), t.TempDir()
	intelCache(t, mirror)
	from := serveMirror(t, mirror)
	verify := func(args ...string) (int, string) {
		var o, e bytes.Buffer
		code := run(t.Context(), session{
			args: append([]string{"verify"}, args...), stdin: strings.NewReader(""), stdout: &o, stderr: &e,
			env: func(string) string { return home }, now: func() time.Time { return intelAt },
		})
		return code, o.String() + e.String()
	}
	quote := filepath.Join(t.TempDir(), "quote.bin")
	data, err := os.ReadFile("../../vectors/tdx/tdx_quote")
	if err == nil {
		err = os.WriteFile(quote, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if code, out := verify(quote); code == 0 || code == 4 {
		t.Errorf("without collateral: exit %d\n%s", code, out)
	}
	if code, out := verify(quote, "--fetch", "--endorsements-from", from); code != 4 || !strings.Contains(out, "PARTIAL") {
		t.Errorf("with --fetch: exit %d\n%s", code, out)
	}
	for name, args := range map[string][]string{
		"--at": {quote, "--fetch", "--at", "2025-06-20"}, "no --fetch": {quote, "--endorsements-from", from},
		"a live box": {"https://127.0.0.1:1", "--fetch"}, "no mirror": {quote, "--fetch", "--endorsements-from", "x"},
	} {
		if code, out := verify(args...); code != 1 || !strings.Contains(out, "BBX-101") {
			t.Errorf("%s: exit %d\n%s", name, code, out)
		}
	}
}

func TestEndorsementsUsage(t *testing.T) {
	home := t.TempDir()
	for name, args := range map[string][]string{
		"nothing to fetch": {"fetch"}, "both": {"fetch", "x", "--kind", "tdx"}, "kind": {"fetch", "--kind", "nitro"},
		"FMSPC": {"fetch", "--kind", "tdx", "--fmspc", "xyz"}, "mirror": {"fetch", "--kind", "tdx", "--endorsements-from", "ftp://x"},
		"timeout": {"fetch", "--kind", "tdx", "--timeout", "0s"}, "network": {"serve", "--listen", "0.0.0.0:0"}, "name": {"serve", "--listen", "localhost:0"},
		"no port": {"serve", "--listen", "127.0.0.1"}, "two formats": {"show", "--metrics", "-o", "json"}, "unknown": {"refresh"},
	} {
		if code, stdout, stderr := endorsementsAt(t, home, intelAt, args...); code != 1 || !strings.Contains(stdout+stderr, "BBX-101") {
			t.Errorf("%s: exit %d\n%s%s", name, code, stdout, stderr)
		}
	}
	if code, stdout, _ := endorsementsAt(t, home, intelAt, "show"); code != 0 || !strings.Contains(stdout, "empty") {
		t.Errorf("empty cache: exit %d\n%s", code, stdout)
	}
	if code, stdout, _ := endorsementsAt(t, home, intelAt); code != 0 || !strings.Contains(stdout, "serve") {
		t.Errorf("help: exit %d\n%s", code, stdout)
	}
}

// TestMirrorThatIsDown: an exit code of 3, at once.
func TestMirrorThatIsDown(t *testing.T) {
	const from = "http://127.0.0.1:1"
	began := time.Now()
	code, _, stderr := endorsementsAt(t, t.TempDir(), intelAt, "fetch", "--kind", "sev-snp", "--endorsements-from", from, "--timeout", "500ms")
	if code != 3 || !strings.Contains(stderr, "BBX-306") || !strings.Contains(stderr, "mirror 127.0.0.1") || time.Since(began) > 30*time.Second {
		t.Errorf("exit %d after %s\n%s", code, time.Since(began), stderr)
	}
}

// TestFloorsOfTheClient: a machine with a cache refuses a stapled list that is
// older than the one it saw.
func TestFloorsOfTheClient(t *testing.T) {
	home := t.TempDir()
	s := &session{env: func(string) string { return home }}
	if f, done, err := s.floors(); err != nil || f != nil {
		t.Fatalf("without a cache: %v, %v", f, err)
	} else {
		done()
	}
	if err := os.Mkdir(filepath.Join(home, "endorsements"), 0o700); err != nil {
		t.Fatal(err)
	}
	f, done, err := s.floors()
	if err != nil || f == nil {
		t.Fatal(f, err)
	}
	defer done()
	end := func(number int64) attest.Endorsements {
		var c attesttest.CRL
		c.ThisUpdate, c.NextUpdate, c.Number = attesttest.Epoch(), attesttest.Epoch().AddDate(0, 1, 0), big.NewInt(number)
		c.Revoked = []*big.Int{big.NewInt(1e6 + number)} // each withdraws another
		der, err := attesttest.New().Chain(t, attesttest.Genoa).ARK.CRL(c.CRLOptions)
		if err != nil {
			t.Fatal(err)
		}
		return attest.Endorsements{{Label: attest.LabelSNPARKCRL, Data: der}}
	}
	claims := func() *attest.Claims {
		return &attest.Claims{Kind: attest.SNP, Checks: []attest.Check{{Name: "hardware.x", Status: attest.Pass}}}
	}
	if err := raiseFloors(f, claims(), end(9)); err != nil {
		t.Fatal(err)
	}
	if c, err := endorse.AboveFloors(f, claims(), nil, end(9)); err != nil || len(c.Checks) != 2 {
		t.Errorf("the same list: %v", err)
	}
	c, err := endorse.AboveFloors(f, claims(), nil, end(8))
	if c != nil || err == nil || !strings.Contains(err.Error(), "crl_rollback") {
		t.Errorf("an older list: %v", err)
	}
	if c, err := endorse.AboveFloors(f, nil, attest.ErrUnavailable, end(8)); c != nil || err != attest.ErrUnavailable {
		t.Errorf("an error before: %v", err)
	}
	if c, err := endorse.AboveFloors(nil, claims(), nil, end(8)); c == nil || err != nil {
		t.Errorf("no memory: %v", err)
	}
}
