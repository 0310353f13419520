package sim

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/internal/amdforge"
	"github.com/blindbox/blindbox/attest/snp"
)

var today = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

func clock() time.Time { return today }

// sharedRoot is made once, since RSA keys are slow to make.
var sharedRoot = sync.OnceValues(func() (*Root, error) { return NewRoot(nil, today) })

func testRoot(t testing.TB) *Root {
	t.Helper()
	r, err := sharedRoot()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func testBox() Box { return Box{Measurement: Measure([]byte("code")), HostData: [32]byte{7}} }

func bound(t testing.TB) attest.Bound {
	t.Helper()
	b, err := attest.Statement{
		Purpose: attest.PurposeSession, Role: attest.RoleServer, Nonce: [32]byte{1}, SPKI: attest.Digest{2},
		Exporter: [32]byte{3}, Policy: attest.Digest{4}, NotBefore: today, NotAfter: today.Add(time.Minute),
	}.Bind()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func attestAs(t testing.TB, r *Root, b Box) (attest.Evidence, attest.Endorsements) {
	t.Helper()
	a, err := r.NewAttester(b, clock)
	if err != nil {
		t.Fatal(err)
	}
	ev, end, err := a.Attest(context.Background(), bound(t))
	if err != nil {
		t.Fatal(err)
	}
	return ev, end
}

func verifierOf(t testing.TB, r *Root) *Verifier {
	t.Helper()
	v, err := NewVerifier(r.Fingerprint())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func failed(err error, code attest.Code) bool {
	var f *attest.Failure
	if !errors.As(err, &f) {
		return false
	}
	for _, c := range f.Failed() {
		if c.Code == code {
			return true
		}
	}
	return false
}

func TestSimulatedClaims(t *testing.T) {
	ev, end := attestAs(t, testRoot(t), testBox())
	claims, err := verifierOf(t, testRoot(t)).Verify(ev, end, today)
	if err != nil {
		t.Fatal(err)
	}
	if !claims.Simulated || claims.Kind != attest.SimSNP {
		t.Errorf("kind %s, simulated %v", claims.Kind, claims.Simulated)
	}
	m := testBox().Measurement
	if !bytes.Equal(claims.Measurement, m[:]) || claims.LaunchDigest[0] != 7 || claims.ReportData != bound(t).Bytes() {
		t.Errorf("claims %+v", claims)
	}
	detail := claims.Detail.(*snp.Claims)
	if detail.Report.LaunchTCB.SNP < 20 || detail.Report.VMPL != 0 || detail.Product != snp.Genoa || !detail.ARKCRL.Checked || detail.Report.Version != 5 || detail.Report.Policy.Debug() {
		t.Errorf("detail %+v", detail)
	}
	for _, name := range certificateNames(t, end) {
		if !strings.Contains(name, "SIMULATED") {
			t.Errorf("a certificate is called %q", name)
		}
	}
}

func certificateNames(t *testing.T, end attest.Endorsements) []string {
	t.Helper()
	var names []string
	for _, label := range []string{attest.LabelSimRoot, attest.LabelSimASK, attest.LabelSNPVEK} {
		der, _, err := end.Get(label)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, cert.Subject.String(), cert.Issuer.String())
	}
	return names
}

func TestContract(t *testing.T) {
	ev, end := attestAs(t, testRoot(t), testBox())
	attesttest.TestVerifier(t, attesttest.Harness{
		Verifier: verifierOf(t, testRoot(t)), Evidence: ev, Endorsements: end, At: today, ReportData: bound(t).Bytes(),
		Required: []string{attest.LabelSNPVEK, attest.LabelSimRoot, attest.LabelSimASK}, Stride: 7,
	})
}

// TestFaults are the machines that the demonstration shows being refused: the
// verifier reports what they are, and judges nothing.
func TestFaults(t *testing.T) {
	b := testBox()
	b.Debug, b.OldTCB, b.VMPL, b.GuestSVN, b.HostData = true, true, 2, 9, [32]byte{8}
	ev, end := attestAs(t, testRoot(t), b)
	claims, err := verifierOf(t, testRoot(t)).Verify(ev, end, today)
	if err != nil {
		t.Fatal(err)
	}
	r := claims.Detail.(*snp.Claims).Report
	if !r.Policy.Debug() || r.CurrentTCB.SNP > 10 || r.VMPL != 2 || r.GuestSVN != 9 || r.HostData[0] != 8 {
		t.Errorf("report %+v", r)
	}
}

func TestVerifierRefusesOtherRoots(t *testing.T) {
	other, err := NewRoot(nil, today)
	if err != nil {
		t.Fatal(err)
	}
	ev, end := attestAs(t, other, testBox())
	if _, err := verifierOf(t, testRoot(t)).Verify(ev, end, today); !failed(err, attest.CodeUntrustedRoot) {
		t.Errorf("another root: %v", err)
	}
	// The pinned root beside the other's evidence: nothing connects them.
	end = replace(end, attest.LabelSimRoot, testRoot(t).Certificate())
	if _, err := verifierOf(t, testRoot(t)).Verify(ev, end, today); !failed(err, attest.CodeBadChain) {
		t.Errorf("the right root with another's intermediate: %v", err)
	}
	end = replace(end, attest.LabelSimASK, testRoot(t).chain.ASK.DER())
	if _, err := verifierOf(t, testRoot(t)).Verify(ev, end, today); err == nil {
		t.Error("the right chain with another's chip: accepted")
	}
}

func replace(end attest.Endorsements, label string, data []byte) attest.Endorsements {
	var out attest.Endorsements
	for _, e := range end {
		if e.Label == label {
			e.Data = data
		}
		out = append(out, e)
	}
	return out
}

// TestVerifierPinsTheCertificate is row G16: another certificate for the pinned
// root's own key is another root.
func TestVerifierPinsTheCertificate(t *testing.T) {
	r := testRoot(t)
	chain, err := amdforge.NewChain(amdforge.ChainOptions{
		Line: amdforge.Genoa, NoASVK: true, NotBefore: today.AddDate(-5, 0, 0), NotAfter: today.AddDate(50, 0, 0),
		Organization: organization, OrganizationalUnit: unit, NamePrefix: mark + "-",
		Keys: map[amdforge.Role]*rsa.PrivateKey{amdforge.RoleARK: r.chain.ARK.Key, amdforge.RoleASK: r.chain.ASK.Key},
	})
	if err != nil {
		t.Fatal(err)
	}
	ev, end := attestAs(t, &Root{chain}, testBox())
	if _, err := verifierOf(t, r).Verify(ev, end, today); !failed(err, attest.CodeUntrustedRoot) {
		t.Errorf("the pinned key under another certificate: %v", err)
	}
}

func TestVerifierNamesWhatIsWrong(t *testing.T) {
	ev, end := attestAs(t, testRoot(t), testBox())
	v := verifierOf(t, testRoot(t))
	for _, label := range []string{attest.LabelSimRoot, attest.LabelSimASK} {
		var without attest.Endorsements
		for _, e := range end {
			if e.Label != label {
				without = append(without, e)
			}
		}
		for want, end := range map[attest.Code]attest.Endorsements{
			attest.CodeUnavailable: without,
			attest.CodeAmbiguous:   append(attest.Endorsements{{Label: label, Data: []byte("another")}}, end...),
			attest.CodeTooLarge:    replace(end, label, make([]byte, attest.MaxEndorsement+1)),
		} {
			if _, err := v.Verify(ev, end, today); !failed(err, want) {
				t.Errorf("%s: %v, expected code %s", label, err, want)
			}
		}
	}
	// Everything that was looked at is in a refusal, also what was in order.
	_, err := v.Verify(ev, end, today.AddDate(20, 0, 0))
	if !failed(err, attest.CodeExpired) {
		t.Fatal(err)
	}
	var f *attest.Failure
	if errors.As(err, &f); f.Checks[0].Name != "hardware.sim_root" || f.Checks[0].Status != attest.Pass {
		t.Errorf("checks %v", f.Checks)
	}
}

func TestVerifierNeedsFingerprint(t *testing.T) {
	if v, err := NewVerifier(attest.Digest{}); err == nil || v != nil {
		t.Error("a verifier that trusts no root in particular")
	}
	ev, end := attestAs(t, testRoot(t), testBox())
	if _, err := new(Verifier).Verify(ev, end, today); err == nil {
		t.Error("the zero verifier accepts")
	}
}

// TestKindsDoNotMix is row X11 and G27: neither verifier reads the other's.
func TestKindsDoNotMix(t *testing.T) {
	ev, end := attestAs(t, testRoot(t), testBox())
	genuine, err := snp.NewVerifier()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := genuine.Verify(ev, end, today); !failed(err, attest.CodeKindMismatch) {
		t.Errorf("simulated evidence for the verifier of real hardware: %v", err)
	}
	ev.Kind = attest.SNP
	if _, err := genuine.Verify(ev, end, today); err == nil {
		t.Error("simulated evidence labelled as real was accepted as real")
	}
	for _, end := range []attest.Endorsements{end, nil} {
		_, err := verifierOf(t, testRoot(t)).Verify(ev, end, today)
		var f *attest.Failure
		if !errors.As(err, &f) || f.Code() != attest.CodeKindMismatch {
			t.Errorf("evidence labelled as real for the verifier of simulations: %v", err)
		}
	}
}

func TestAttesterRefuses(t *testing.T) {
	r := testRoot(t)
	for name, b := range map[string]Box{
		"no measurement": {HostData: [32]byte{1}}, "no host data": {Measurement: [48]byte{1}}, "nothing": {},
	} {
		if a, err := r.NewAttester(b, clock); err == nil || a != nil {
			t.Errorf("%s: an attester", name)
		}
	}
	if _, err := r.NewAttester(testBox(), nil); err == nil {
		t.Error("an attester without a clock")
	}
	a, err := r.NewAttester(testBox(), clock)
	if err != nil {
		t.Fatal(err)
	}
	if ev, end, err := a.Attest(t.Context(), attest.Bound{}); err == nil || ev.Data != nil || end != nil {
		t.Error("signed a bound that came from no statement")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := a.Attest(ctx, bound(t)); !errors.Is(err, attest.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("context over: %v", err)
	}
}

func TestAttesterConcurrently(t *testing.T) {
	a, err := testRoot(t).NewAttester(testBox(), clock)
	if err != nil {
		t.Fatal(err)
	}
	v := verifierOf(t, testRoot(t))
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			ev, end, err := a.Attest(t.Context(), bound(t))
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := v.Verify(ev, end, today); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestLongLivedBox expects a box to stay verifiable after its first CRL ran out.
func TestLongLivedBox(t *testing.T) {
	now := today
	a, err := testRoot(t).NewAttester(testBox(), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []time.Duration{0, time.Hour, 23 * time.Hour, 40 * 24 * time.Hour, -39 * 24 * time.Hour} {
		now = now.Add(step)
		ev, end, err := a.Attest(t.Context(), bound(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := verifierOf(t, testRoot(t)).Verify(ev, end, now); err != nil {
			t.Errorf("at %s: %v", now, err)
		}
	}
}

func TestMeasure(t *testing.T) {
	a := Measure([]byte("ab"), []byte("c"))
	if a == Measure([]byte("a"), []byte("bc")) || a == Measure([]byte("abc")) || a != Measure([]byte("ab"), []byte("c")) {
		t.Error("parts run together or the result varies")
	}
}

func TestNewRootNeedsTime(t *testing.T) {
	if _, err := NewRoot(nil, time.Time{}); err == nil {
		t.Error("a root without a validity")
	}
}

func TestLoadOrCreateRoot(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "sim")
	r, err := LoadOrCreateRoot(dir, today)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadOrCreateRoot(dir, today.Add(time.Hour))
	if err != nil || again.Fingerprint() != r.Fingerprint() {
		t.Errorf("another root the second time: %v", err)
	}
	if got := r.Fingerprint(); got != sha256.Sum256(r.Certificate()) {
		t.Errorf("fingerprint %s", got)
	}
	for name, want := range map[string]fs.FileMode{dir: 0o700, filepath.Join(dir, FileName): 0o600} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != want {
			t.Errorf("%s has mode %s, expected %s", name, info.Mode().Perm(), want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%d files, expected one: %v", len(left), err)
	}
	ev, end := attestAs(t, again, testBox())
	if _, err := verifierOf(t, r).Verify(ev, end, today); err != nil {
		t.Errorf("a root that was loaded: %v", err)
	}
}

func TestConcurrentCreators(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	roots := make([]attest.Digest, 3)
	for i := range roots {
		wg.Go(func() {
			r, err := LoadOrCreateRoot(dir, today)
			if err != nil {
				t.Error(err)
				return
			}
			roots[i] = r.Fingerprint()
		})
	}
	wg.Wait()
	for _, got := range roots {
		if got != roots[0] || got.IsZero() {
			t.Errorf("roots %v, expected one", roots)
		}
	}
}

// stored keeps the shared root in a new directory.
func stored(t *testing.T) (dir, name string) {
	t.Helper()
	dir = t.TempDir()
	name = filepath.Join(dir, FileName)
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := testRoot(t).save(name); err != nil {
		t.Fatal(err)
	}
	return dir, name
}

func TestStoreRefusesWhatOthersCanRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such modes")
	}
	dir, name := stored(t)
	for _, c := range []struct {
		path string
		bad  fs.FileMode
		good fs.FileMode
	}{{name, 0o640, 0o600}, {name, 0o604, 0o600}, {name, 0o620, 0o600}, {dir, 0o750, 0o700}, {dir, 0o707, 0o700}} {
		if err := os.Chmod(c.path, c.bad); err != nil {
			t.Fatal(err)
		}
		if r, err := LoadOrCreateRoot(dir, today); err == nil || r != nil || !strings.Contains(err.Error(), "chmod") {
			t.Errorf("%s with mode %o: %v", c.path, c.bad, err)
		}
		if err := os.Chmod(c.path, c.good); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := LoadOrCreateRoot(dir, today); err != nil {
		t.Error(err)
	}
}

func TestStoreRefusesAnothersFile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir, name := stored(t)
	for _, path := range []string{name, dir} {
		if err := os.Chown(path, 1, -1); err != nil {
			t.Fatal(err)
		}
		if r, err := LoadOrCreateRoot(dir, today); err == nil || r != nil || !strings.Contains(err.Error(), "belongs to another user") {
			t.Errorf("%s of another user: %v", path, err)
		}
		if err := os.Chown(path, 0, -1); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStoreRefusesOtherThings(t *testing.T) {
	dir, name := stored(t)
	if _, err := LoadOrCreateRoot("", today); err == nil {
		t.Error("no directory")
	}
	if _, err := LoadOrCreateRoot(name, today); err == nil {
		t.Error("a file in place of the directory")
	}
	moved := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Rename(name, moved); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(moved, name); err != nil {
		t.Skip("no symbolic links here")
	}
	if _, err := LoadOrCreateRoot(dir, today); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("a symbolic link: %v", err)
	}
}

func TestStoreRefusesDamage(t *testing.T) {
	dir, name := stored(t)
	r := testRoot(t)
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for what, data := range map[string][]byte{
		"empty":             {},
		"cut":               good[:len(good)/2],
		"one block":         good[:bytes.Index(good, []byte("-----BEGIN PRIVATE"))],
		"more behind":       append(bytes.Clone(good), '\n'),
		"no warning":        good[len(warning):],
		"a changed byte":    bytes.Replace(good, []byte("MII"), []byte("MIJ"), 1),
		"swapped authority": encoded(t, &amdforge.Chain{ARK: r.chain.ASK, ASK: r.chain.ARK}),
		"keys exchanged":    encoded(t, keysExchanged(r)),
		"not self-signed":   encoded(t, notSelfSigned(t, r)),
		"another's child":   encoded(t, anothersChild(t, r)),
		"huge":              append(bytes.Clone(good), make([]byte, maxFile)...),
	} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := LoadOrCreateRoot(dir, today)
		if err == nil || got != nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", what, err)
		}
		if left, err := os.ReadFile(name); err != nil || !bytes.Equal(left, data) {
			t.Errorf("%s: the file was changed: %v", what, err)
		}
	}
}

func encoded(t *testing.T, c *amdforge.Chain) []byte {
	t.Helper()
	data, err := (&Root{c}).encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func keysExchanged(r *Root) *amdforge.Chain {
	return &amdforge.Chain{
		ARK: &amdforge.CA{Cert: r.chain.ARK.Cert, Key: r.chain.ASK.Key},
		ASK: &amdforge.CA{Cert: r.chain.ASK.Cert, Key: r.chain.ARK.Key},
	}
}

// notSelfSigned has a root that names itself as its issuer and is signed with
// another key.
func notSelfSigned(t *testing.T, r *Root) *amdforge.Chain {
	t.Helper()
	template := *r.chain.ARK.Cert
	ark, err := amdforge.Issue(&template, r.chain.ARK.Cert, r.chain.ARK.Key, r.chain.ASK.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &amdforge.Chain{ARK: ark, ASK: r.chain.ASK}
}

// anothersChild has an intermediate that names the root as its issuer and is
// signed with another key.
func anothersChild(t *testing.T, r *Root) *amdforge.Chain {
	t.Helper()
	template := *r.chain.ASK.Cert
	ask, err := amdforge.Issue(&template, r.chain.ARK.Cert, r.chain.ASK.Key, r.chain.ASK.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &amdforge.Chain{ARK: r.chain.ARK, ASK: ask}
}

func TestStoreRefusesExpiredRoot(t *testing.T) {
	dir, _ := stored(t)
	for _, at := range []time.Time{today.AddDate(11, 0, 0), today.AddDate(-1, 0, 0), {}} {
		if _, err := LoadOrCreateRoot(dir, at); err == nil || !strings.Contains(err.Error(), "is valid from") {
			t.Errorf("at %s: %v", at, err)
		}
	}
}

// TestStoreRefusesUnmarkedRoot expects a root that could be taken for AMD's not
// to be used, whoever put it there.
func TestStoreRefusesUnmarkedRoot(t *testing.T) {
	dir, name := stored(t)
	r := testRoot(t)
	chain, err := amdforge.NewChain(amdforge.ChainOptions{
		Line: amdforge.Genoa, NoASVK: true, NotBefore: today, NotAfter: today.AddDate(1, 0, 0),
		Keys: map[amdforge.Role]*rsa.PrivateKey{amdforge.RoleARK: r.chain.ARK.Key, amdforge.RoleASK: r.chain.ASK.Key},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := (&Root{chain}).save(name); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreateRoot(dir, today); err == nil || !strings.Contains(err.Error(), "SIMULATED") {
		t.Errorf("a root with AMD's names: %v", err)
	}
}

func FuzzParseRoot(f *testing.F) {
	r := testRoot(f)
	good, err := r.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(warning))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parseRoot(data, today)
		if err != nil {
			return
		}
		again, err := got.encode()
		if err != nil || !bytes.Equal(again, data) {
			t.Error("accepted bytes that are not what it writes")
		}
	})
}

// FuzzVerify changes the certificates that only this package reads.
func FuzzVerify(f *testing.F) {
	r := testRoot(f)
	ev, end := attestAs(f, r, testBox())
	v := verifierOf(f, r)
	f.Add(r.Certificate(), r.chain.ASK.DER())
	f.Add([]byte{}, []byte{0x30})
	f.Fuzz(func(t *testing.T, root, ask []byte) {
		claims, err := v.Verify(ev, replace(replace(end, attest.LabelSimRoot, root), attest.LabelSimASK, ask), today)
		if (claims == nil) == (err == nil) || claims != nil && !bytes.Equal(ask, r.chain.ASK.DER()) {
			t.Errorf("claims %v, error %v", claims, err)
		}
	})
}
