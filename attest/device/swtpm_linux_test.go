package device

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
	verifier "github.com/blindbox/blindbox/attest/tpm"
)

// swtpm starts a TPM 2.0 in software and returns how to reach it.
func swtpm(t *testing.T) func(string) (io.ReadWriteCloser, error) {
	t.Helper()
	program, err := exec.LookPath("swtpm")
	if err != nil {
		t.Skip("swtpm is not installed: the TPM driver is not tested against a TPM")
	}
	// A socket's path has room for a hundred bytes.
	dir, err := os.MkdirTemp("", "swtpm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, program, "socket", "--tpm2", "--tpmstate", "dir="+dir,
		"--server", "type=unixio,path="+socket, "--flags", "not-need-init,startup-clear")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	return func(path string) (io.ReadWriteCloser, error) {
		if path != tpmPath {
			t.Errorf("opened %s", path)
		}
		for range 6000 {
			if c, err := net.Dial("unix", socket); err == nil {
				return c, c.SetDeadline(time.Now().Add(2 * time.Minute))
			}
			time.Sleep(10 * time.Millisecond)
		}
		return nil, errors.New("swtpm does not answer")
	}
}

// peer is go-tpm on the same TPM.
func peer(t *testing.T, dial func(string) (io.ReadWriteCloser, error), use func(transport.TPM)) {
	t.Helper()
	c, err := dial(tpmPath)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	use(transport.FromReadWriter(c))
}

func extend(t *testing.T, dial func(string) (io.ReadWriteCloser, error), pcr uint32, value byte) {
	t.Helper()
	peer(t, dial, func(tpm transport.TPM) {
		sum := sha256.Sum256([]byte{value})
		_, err := tpm2.PCRExtend{
			PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
			Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: sum[:]}}},
		}.Execute(tpm)
		if err != nil {
			t.Fatal(err)
		}
	})
}

// checkTPM reads what the driver made with go-tpm and verifies the signature
// with the standard library.
func checkTPM(t *testing.T, q form.TPM, nonce [32]byte) {
	t.Helper()
	attested, err := tpm2.Unmarshal[tpm2.TPMSAttest](q.Quote)
	if err != nil {
		t.Fatal(err)
	}
	quote, err := attested.Attested.Quote()
	if err != nil || attested.Magic != tpm2.TPMGeneratedValue || !bytes.Equal(attested.ExtraData.Buffer, nonce[:]) {
		t.Errorf("quote %+v, %v", attested, err)
	}
	h := sha256.New()
	for _, p := range q.PCRs {
		h.Write(p.Value)
	}
	if !bytes.Equal(quote.PCRDigest.Buffer, h.Sum(nil)) || len(q.PCRs) != 24 || q.Bank != 0x000B {
		t.Errorf("digest %x over %d registers", quote.PCRDigest.Buffer, len(q.PCRs))
	}
	public, err := tpm2.Unmarshal[tpm2.TPMTPublic](q.AKPublic)
	if err != nil {
		t.Fatal(err)
	}
	a := public.ObjectAttributes
	if !a.Restricted || !a.FixedTPM || !a.FixedParent || !a.SensitiveDataOrigin || !a.SignEncrypt || a.Decrypt {
		t.Errorf("attributes %+v", a)
	}
	signature, err := tpm2.Unmarshal[tpm2.TPMTSignature](q.Signature)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(q.Quote)
	if !signedBy(t, public, signature, sum[:]) {
		t.Error("the key did not sign the quote")
	}
}

func signedBy(t *testing.T, public *tpm2.TPMTPublic, s *tpm2.TPMTSignature, sum []byte) bool {
	t.Helper()
	if public.Type == tpm2.TPMAlgRSA {
		unique, err := public.Unique.RSA()
		sig, err2 := s.Signature.RSASSA()
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		key := &rsa.PublicKey{N: new(big.Int).SetBytes(unique.Buffer), E: 65537}
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum, sig.Sig.Buffer) == nil
	}
	point, err := public.Unique.ECC()
	sig, err2 := s.Signature.ECDSA()
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, 65)
	raw[0] = 4
	new(big.Int).SetBytes(point.X.Buffer).FillBytes(raw[1:33])
	new(big.Int).SetBytes(point.Y.Buffer).FillBytes(raw[33:])
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), raw)
	if err != nil {
		t.Fatal(err)
	}
	return ecdsa.Verify(key, sum, new(big.Int).SetBytes(sig.SignatureR.Buffer), new(big.Int).SetBytes(sig.SignatureS.Buffer))
}

// TestTPM quotes a TPM, twice, with a register extended in between.
func TestTPM(t *testing.T) {
	dial := swtpm(t)
	files := &tree{content: map[string][]byte{tpmPath: nil, pathTPMLog: []byte("log")}, dial: dial}
	a, err := open(files, Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := bound(t)
	var quotes []form.TPM
	for i := range 5 { // more than a TPM has room for keys
		if i == 1 {
			extend(t, dial, 15, 7)
		}
		ev, end, err := a.Attest(t.Context(), b)
		if err != nil || ev.Kind != attest.TPM || a.Kind() != attest.TPM {
			t.Fatalf("%v, %v", ev.Kind, err)
		}
		if log, _, _ := end.Get(attest.LabelEventLog); string(log) != "log" || len(end) != 1 {
			t.Errorf("endorsements %v", end)
		}
		q, err := form.ParseTPM(ev.Data)
		if err != nil {
			t.Fatal(err)
		}
		checkTPM(t, q, b.Nonce(attest.TPM))
		quotes = append(quotes, q)
	}
	if !bytes.Equal(quotes[0].AKPublic, quotes[4].AKPublic) {
		t.Error("the key is another one")
	}
	if bytes.Equal(quotes[0].PCRs[15].Value, quotes[1].PCRs[15].Value) {
		t.Error("register 15 was extended and is the same")
	}
}

// TestVerified: what the driver makes is what attest/tpm's Verifier reads.
func TestVerified(t *testing.T) {
	dial := swtpm(t)
	for pcr := range uint32(8) {
		extend(t, dial, pcr, 1) // as a PC's firmware does
	}
	a := newTPM(&tree{content: map[string][]byte{tpmPath: nil}, dial: dial})
	policy := attest.Digest{1, 2, 3}
	if err := a.BindPolicy(policy); err != nil {
		t.Fatal(err)
	}
	b := bound(t)
	ev, end, err := a.Attest(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	v, err := verifier.NewVerifier()
	if err != nil {
		t.Fatal(err)
	}
	claims, err := v.Verify(ev, end, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256(append(make([]byte, 32), policy[:]...))
	detail := claims.Detail.(*verifier.Claims)
	if !claims.Proves(b) || !bytes.Equal(claims.LaunchDigest, want[:]) || detail.Hierarchy != verifier.HierarchyEndorsement {
		t.Errorf("proves %v, launch digest %x, hierarchy %s", claims.Proves(b), claims.LaunchDigest, detail.Hierarchy)
	}
}

// TestTPMBindPolicy: once, and only where nobody was before.
func TestTPMBindPolicy(t *testing.T) {
	dial := swtpm(t)
	a := newTPM(&tree{content: map[string][]byte{tpmPath: nil}, dial: dial})
	if err := a.BindPolicy(attest.Digest{}); err == nil {
		t.Error("bound a policy without a digest")
	}
	for range 2 {
		if err := a.BindPolicy(attest.Digest{1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.BindPolicy(attest.Digest{2}); !errors.Is(err, attest.ErrUnavailable) || !strings.Contains(err.Error(), "nobody has extended") {
		t.Errorf("another policy: %v", err)
	}
	c, err := Compose(a, One(stub{kind: attest.TPM}))
	if err != nil {
		t.Fatal(err)
	}
	bind := c.(interface{ BindPolicy(attest.Digest) error }).BindPolicy
	if err := bind(attest.Digest{1}); err != nil {
		t.Errorf("composite: %v", err)
	}
	if err := bind(attest.Digest{2}); err == nil {
		t.Error("composite: bound another policy")
	}
	fresh := swtpm(t)
	for name, change := range map[string]func([]byte) []byte{
		"refuses":            func([]byte) []byte { return []byte{0x80, 1, 0, 0, 0, 10, 0, 0, 1, 1} },
		"does as if it were": func(r []byte) []byte { return r },
	} {
		lying := newTPM(&tree{content: map[string][]byte{tpmPath: nil}, dial: func(p string) (io.ReadWriteCloser, error) {
			conn, err := fresh(p)
			return &tapped{ReadWriteCloser: conn, command: ccPCRExtend, change: change, swallow: true}, err
		}})
		want := map[string]string{"refuses": "refuses command 0x182", "does as if it were": "PCR 15 became 0000"}[name]
		if err := lying.BindPolicy(attest.Digest{1}); !errors.Is(err, attest.ErrUnavailable) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "became") != strings.Contains(want, "became") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// hclOf is an HCL report of the test's, with a TDREPORT that names bytes.
func hclOf(kind uint32, size int) []byte {
	b := make([]byte, size)
	copy(b, hclMagic)
	binary.LittleEndian.PutUint32(b[hclTypeAt:], kind)
	copy(b[hclReportAt+tdReportDataAt:], "report data of the paravisor")
	return b
}

// paravisor puts into the TPM what Azure's does.
func paravisor(t *testing.T, dial func(string) (io.ReadWriteCloser, error), report []byte) {
	t.Helper()
	peer(t, dial, func(tpm transport.TPM) {
		template := tpm2.New2B(tpm2.TPMTPublic{
			Type: tpm2.TPMAlgRSA, NameAlg: tpm2.TPMAlgSHA256,
			ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, Restricted: true, SignEncrypt: true},
			Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{
				Scheme:  tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgRSASSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSigSchemeRSASSA{HashAlg: tpm2.TPMAlgSHA256})},
				KeyBits: 2048,
			}),
		})
		ak, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: template}.Execute(tpm)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = (tpm2.EvictControl{
			Auth:             tpm2.TPMRHOwner,
			ObjectHandle:     &tpm2.NamedHandle{Handle: ak.ObjectHandle, Name: ak.Name},
			PersistentHandle: tpm2.TPMHandle(hclAK),
		}).Execute(tpm); err != nil {
			t.Fatal(err)
		}
		defineNV(t, tpm, hclIndex, report)
	})
}

func defineNV(t *testing.T, tpm transport.TPM, index uint32, data []byte) {
	t.Helper()
	public := tpm2.TPMSNVPublic{
		NVIndex: tpm2.TPMHandle(index), NameAlg: tpm2.TPMAlgSHA256, DataSize: uint16(len(data)),
		Attributes: tpm2.TPMANV{OwnerWrite: true, OwnerRead: true, AuthWrite: true, AuthRead: true, NT: tpm2.TPMNTOrdinary},
	}
	if _, err := (tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHOwner, PublicInfo: tpm2.New2B(public)}).Execute(tpm); err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(data); at += 1024 {
		read, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(index)}.Execute(tpm)
		if err != nil {
			t.Fatal(err)
		}
		_, err = tpm2.NVWrite{
			AuthHandle: tpm2.TPMRHOwner, NVIndex: &tpm2.NamedHandle{Handle: tpm2.TPMHandle(index), Name: read.NVName},
			Data: tpm2.TPM2BMaxNVBuffer{Buffer: data[at:min(at+1024, len(data))]}, Offset: uint16(at),
		}.Execute(tpm)
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAzureSNP(t *testing.T) {
	dial := swtpm(t)
	report := hclOf(hclSNP, 2000) // a software TPM has no room for 2600 in one index
	paravisor(t, dial, report)
	files := &tree{content: map[string][]byte{tpmPath: nil}, dial: dial}
	d := detect(files, Options{})
	if c, _ := d.Find(attest.TPM); c.Usable() || !strings.Contains(c.Reason, "paravisor") {
		t.Errorf("TPM: %s", c)
	}
	a, err := open(files, Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := bound(t)
	ev, _, err := a.Attest(t.Context(), b)
	if err != nil || ev.Kind != attest.AzureSNP {
		t.Fatalf("%v, %v", ev.Kind, err)
	}
	got, err := form.ParseAzure(ev.Data)
	if err != nil || !bytes.Equal(got.HCLReport, report) || len(got.TDQuote) != 0 {
		t.Fatalf("%d bytes of report, %v", len(got.HCLReport), err)
	}
	checkTPM(t, got.TPM, b.Nonce(attest.AzureSNP))
	if _, err := open(files, Options{Kinds: []attest.Kind{attest.AzureTDX}}); err == nil || !strings.Contains(err.Error(), "type 2, expected 4") {
		t.Errorf("as TDX: %v", err)
	}
}

func TestAzureTDX(t *testing.T) {
	dial := swtpm(t)
	report := hclOf(hclTDX, 1500)
	paravisor(t, dial, report)
	files := &tree{content: map[string][]byte{tpmPath: nil}, dial: dial}
	if d := detect(files, Options{}); len(d.Usable()) != 0 || !strings.Contains(d.String(), "nobody here asks it") {
		t.Errorf("without a host:\n%s", d)
	}
	b := bound(t)
	good := fakeQuote(4, teeTDX, 0, report[hclReportAt+tdReportDataAt:][:64])
	ask := func(quote []byte, err error) (attest.Evidence, attest.Endorsements, error) {
		a, e := open(files, Options{TDQuote: func(_ context.Context, td []byte) ([]byte, error) {
			if !bytes.Equal(td, report[32:32+1024]) {
				t.Errorf("the host was asked to quote %x", td)
			}
			return quote, err
		}})
		if e != nil {
			t.Fatal(e)
		}
		return a.Attest(t.Context(), b)
	}
	ev, _, err := ask(good, nil)
	if err != nil || ev.Kind != attest.AzureTDX {
		t.Fatalf("%v, %v", ev.Kind, err)
	}
	got, err := form.ParseAzure(ev.Data)
	if err != nil || !bytes.Equal(got.TDQuote, good) {
		t.Fatalf("%d bytes of quote, %v", len(got.TDQuote), err)
	}
	checkTPM(t, got.TPM, b.Nonce(attest.AzureTDX))
	ev, end, err := ask(fakeQuote(4, teeTDX, 0, []byte("another paravisor's")), nil)
	expectUnavailable(t, ev, end, err, "the quote is over")
	ev, end, err = ask(nil, errors.New("the host says no"))
	expectUnavailable(t, ev, end, err, "the host says no")
	ev, end, err = ask(make([]byte, maxQuote+1), nil)
	expectUnavailable(t, ev, end, err, "limit")
}

// TestGoogleTPM: a TPM that keeps a certificate for a key of its own template.
func TestGoogleTPM(t *testing.T) {
	dial := swtpm(t)
	peer(t, dial, func(tpm transport.TPM) {
		defineNV(t, tpm, gceAKTemplate, defaultAK())
		defineNV(t, tpm, gceAKCert, []byte("certificate"))
	})
	files := &tree{content: map[string][]byte{tpmPath: nil}, dial: dial}
	_, end, err := newTPM(files).Attest(t.Context(), bound(t))
	if err != nil {
		t.Fatal(err)
	}
	chain, _, _ := end.Get(attest.LabelTPMAKChain)
	if !bytes.HasPrefix(chain, []byte("-----BEGIN CERTIFICATE-----\n")) {
		t.Errorf("chain %q", chain)
	}
}

// TestGoogleTPMWithoutCertificate: half of the two is an error, and so is a TPM
// that does not tell whether it has them.
func TestGoogleTPMWithoutCertificate(t *testing.T) {
	dial := swtpm(t)
	peer(t, dial, func(tpm transport.TPM) { defineNV(t, tpm, gceAKTemplate, defaultAK()) })
	files := &tree{content: map[string][]byte{tpmPath: nil}, dial: dial}
	ev, end, err := newTPM(files).Attest(t.Context(), bound(t))
	expectUnavailable(t, ev, end, err, "0x18b")

	peer(t, dial, func(tpm transport.TPM) { defineNV(t, tpm, gceAKCert, []byte("certificate")) })
	asked := 0
	files.dial = func(p string) (io.ReadWriteCloser, error) {
		conn, err := dial(p)
		return &tapped{ReadWriteCloser: conn, command: ccNVReadPublic, change: func(r []byte) []byte {
			if asked++; asked == 1 {
				return []byte{0x80, 1, 0, 0, 0, 10, 0, 0, 1, 1}
			}
			return r
		}}, err
	}
	ev, end, err = newTPM(files).Attest(t.Context(), bound(t))
	expectUnavailable(t, ev, end, err, "0x101")
}

// tapped changes what a TPM answers to one command.
type tapped struct {
	io.ReadWriteCloser
	command uint32
	change  func([]byte) []byte
	armed   bool
	swallow bool // the command never reaches the TPM
	spent   bool // the changed answer is all there is
	rest    []byte
}

func (c *tapped) Write(p []byte) (int, error) {
	c.spent, c.armed = false, len(p) >= 10 && binary.BigEndian.Uint32(p[6:]) == c.command
	if c.armed && c.swallow {
		c.armed, c.spent = false, true
		c.rest = c.change(append([]byte{0x80, 2, 0, 0, 0, 19, 0, 0, 0, 0}, 0, 0, 0, 0, 0, 0, 1, 0, 0))
		return len(p), nil
	}
	return c.ReadWriteCloser.Write(p)
}

func (c *tapped) Read(p []byte) (int, error) {
	if !c.armed && !c.spent {
		return c.ReadWriteCloser.Read(p)
	}
	if c.armed {
		c.armed, c.spent = false, true
		// A socket may give a response in pieces.
		whole := make([]byte, 10)
		if _, err := io.ReadFull(c.ReadWriteCloser, whole); err != nil {
			return 0, err
		}
		whole = append(whole, make([]byte, binary.BigEndian.Uint32(whole[2:])-10)...)
		if _, err := io.ReadFull(c.ReadWriteCloser, whole[10:]); err != nil {
			return 0, err
		}
		if code := binary.BigEndian.Uint32(whole[6:]); code != 0 && c.command == ccQuote {
			return 0, fmt.Errorf("the TPM itself refuses with %#x", code)
		}
		c.rest = c.change(whole)
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// TestTPMRefuses: whatever the TPM answers, there is no evidence that the box
// did not ask for.
func TestTPMRefuses(t *testing.T) {
	dial := swtpm(t)
	b := bound(t)
	nonce := b.Nonce(attest.TPM)
	// A TPM that has just started tests itself and says so to the first who ask.
	if _, _, err := newTPM(&tree{content: map[string][]byte{tpmPath: nil}, dial: dial}).Attest(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	swap := func(old, fresh []byte) func([]byte) []byte {
		return func(r []byte) []byte { return bytes.Replace(r, old, fresh, 1) }
	}
	code := func(rc uint32) func([]byte) []byte {
		return func([]byte) []byte {
			return binary.BigEndian.AppendUint32([]byte{0x80, 0x01, 0, 0, 0, 10}, rc)
		}
	}
	for name, c := range map[string]struct {
		command uint32
		change  func([]byte) []byte
		text    string
	}{
		"another nonce":   {ccQuote, swap(nonce[:], make([]byte, 32)), "the quote is over 0000"},
		"another magic":   {ccQuote, swap([]byte{0xff, 0x54, 0x43, 0x47}, []byte{0xff, 0x54, 0x43, 0x48}), "expected a quote"},
		"not a quote":     {ccQuote, swap([]byte{0xff, 0x54, 0x43, 0x47, 0x80, 0x18}, []byte{0xff, 0x54, 0x43, 0x47, 0x80, 0x17}), "of type 0x8017, expected a quote"},
		"fewer registers": {ccQuote, swap([]byte{3, 255, 255, 255, 0, 32}, []byte{3, 255, 127, 255, 0, 32}), "expected 0xffffff"},
		"another bank":    {ccQuote, swap([]byte{0, 0x0b, 3, 255, 255, 255}, []byte{0, 0x04, 3, 255, 255, 255}), "expected SHA-256 alone"},
		"other registers": {ccPCRRead, func(r []byte) []byte { r[len(r)-1] ^= 1; return r }, "somebody else changed"},
		"registers not asked": {ccPCRRead, func([]byte) []byte {
			return append([]byte{0x80, 1, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0x0b, 3, 0, 0, 0}, 0)
		}, "after the response"},
		"no registers": {ccPCRRead, func([]byte) []byte {
			return []byte{0x80, 1, 0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0x0b, 3, 0, 0, 0, 0, 0, 0, 0}
		}, "expected some of"},
		"refuses":           {ccQuote, code(0x101), "response code 0x101"},
		"is busy":           {ccQuote, code(rcRetry), "attempt 5 of 5"},
		"cut off":           {ccQuote, func(r []byte) []byte { return r[:len(r)-1] }, "cut off"},
		"nothing":           {ccQuote, func([]byte) []byte { return nil }, "no response"},
		"says too much":     {ccQuote, func(r []byte) []byte { return append(r, 0) }, "1 bytes after the response"},
		"a huge size":       {ccQuote, func(r []byte) []byte { r[2] = 1; return r }, "expected 10 to 4096"},
		"another tag":       {ccQuote, func(r []byte) []byte { r[1] = 1; return r }, "has tag 0x8001"},
		"a long field":      {ccQuote, func(r []byte) []byte { r[14] = 0x7f; return r }, "field of"},
		"long parameters":   {ccQuote, func(r []byte) []byte { r[10] = 0x7f; return r }, "parameters of"},
		"a huge NV index":   {ccNVReadPublic, func([]byte) []byte { return nvPublic(0xffff) }, "expected 1 to 16384"},
		"an empty NV index": {ccNVReadPublic, func([]byte) []byte { return nvPublic(0) }, "0 bytes, expected 1"},
	} {
		t.Run(name, func(t *testing.T) {
			files := &tree{content: map[string][]byte{tpmPath: nil}, dial: func(p string) (io.ReadWriteCloser, error) {
				conn, err := dial(p)
				return &tapped{ReadWriteCloser: conn, command: c.command, change: c.change}, err
			}}
			a := newTPM(files)
			a.pause = time.Microsecond
			ev, end, err := a.Attest(t.Context(), b)
			expectUnavailable(t, ev, end, err, c.text)
		})
	}
}

// TestTPMSaysNo: when the TPM refuses a command, that is what the error says,
// whatever would go wrong after it.
func TestTPMSaysNo(t *testing.T) {
	plain, cloud := swtpm(t), swtpm(t)
	paravisor(t, cloud, hclOf(hclSNP, 1500))
	b := bound(t)
	for _, c := range []struct {
		dial    func(string) (io.ReadWriteCloser, error)
		azure   bool
		command uint32
	}{
		{plain, false, ccNVReadPublic}, {plain, false, ccCreatePrimary}, {plain, false, ccPCRRead}, {plain, false, ccQuote},
		{cloud, true, ccNVReadPublic}, {cloud, true, ccNVRead}, {cloud, true, ccReadPublic}, {cloud, true, ccPCRRead}, {cloud, true, ccQuote},
	} {
		files := &tree{content: map[string][]byte{tpmPath: nil}, dial: func(p string) (io.ReadWriteCloser, error) {
			conn, err := c.dial(p)
			return &tapped{ReadWriteCloser: conn, command: c.command, swallow: true, change: func([]byte) []byte { return []byte{0x80, 1, 0, 0, 0, 10, 0, 0, 1, 1} }}, err
		}}
		a := newTPM(files)
		if c.azure {
			a = newAzure(files, attest.AzureSNP, nil)
		}
		ev, end, err := a.Attest(t.Context(), b)
		expectUnavailable(t, ev, end, err, fmt.Sprintf("TPM refuses command %#x with response code 0x101", c.command))
		if c.command == ccPCRRead {
			if err := a.BindPolicy(attest.Digest{1}); err == nil || !strings.Contains(err.Error(), "TPM refuses command 0x17e") {
				t.Errorf("bind: %v", err)
			}
		}
		if d := detect(files, Options{}); c.command == ccNVReadPublic && (len(d.Usable()) != 0 || !strings.Contains(d.String(), "0x101")) {
			t.Errorf("detected\n%s", d)
		}
	}
	gone := &tree{content: map[string][]byte{tpmPath: nil}, dial: func(string) (io.ReadWriteCloser, error) { return nil, os.ErrPermission }}
	for _, a := range []tpmAttester{newTPM(gone), newAzure(gone, attest.AzureSNP, nil)} {
		ev, end, err := a.Attest(t.Context(), b)
		expectUnavailable(t, ev, end, err, "permission denied")
		if err := a.BindPolicy(attest.Digest{1}); !errors.Is(err, os.ErrPermission) {
			t.Errorf("bind: %v", err)
		}
	}
	if d := detect(gone, Options{}); !strings.Contains(d.String(), "run as root") {
		t.Errorf("detected\n%s", d)
	}
}

// TestPCRAnswers: only what was asked for, and whole.
func TestPCRAnswers(t *testing.T) {
	head := func(banks byte, octets byte, mask [3]byte, values byte, size byte) []byte {
		r := []byte{0, 0, 0, 1, 0, 0, 0, banks, 0, 0x0b, octets, mask[0], mask[1], mask[2], 0, 0, 0, values}
		return append(append(r, 0, size), make([]byte, size)...)
	}
	for name, c := range map[string]struct {
		answers [][]byte
		text    string
	}{
		"two banks":          {[][]byte{head(2, 3, [3]byte{1}, 1, 32)}, "answers for 2 banks"},
		"four octets":        {[][]byte{head(1, 4, [3]byte{1}, 1, 32)}, "with 4 octets"},
		"a short value":      {[][]byte{head(1, 3, [3]byte{1}, 1, 31)}, "register 0 of 31 bytes"},
		"fewer values":       {[][]byte{head(1, 3, [3]byte{1}, 0, 32)}, "register 0 of 32 bytes"},
		"the same again":     {[][]byte{head(1, 3, [3]byte{1}, 1, 32), head(1, 3, [3]byte{1}, 1, 32)}, "expected some of 0xfffffe"},
		"nothing":            {[][]byte{head(1, 3, [3]byte{}, 0, 0)}, "expected some of 0xffffff"},
		"cut before a value": {[][]byte{head(1, 3, [3]byte{3}, 2, 32)}, "ends 2 bytes early"},
		"cut in the head":    {[][]byte{{0, 0, 0, 1, 0, 0}}, "bytes early"},
	} {
		t.Run(name, func(t *testing.T) {
			answers := c.answers
			l := tpmLink{&scripted{next: func() []byte {
				body := answers[0]
				answers = answers[1:]
				return append(binary.BigEndian.AppendUint32([]byte{0x80, 1}, uint32(10+len(body))), append(make([]byte, 4), body...)...)
			}}}
			got, err := l.readPCRs()
			if err == nil || got != nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%d registers, %v, expected %q", len(got), err, c.text)
			}
		})
	}
}

// scripted answers each command with the next response.
type scripted struct {
	next   func() []byte
	rest   []byte
	broken error // of every write
}

func (s *scripted) Write(p []byte) (int, error) { s.rest = s.next(); return len(p), s.broken }
func (s *scripted) Close() error                { return nil }
func (s *scripted) Read(p []byte) (int, error) {
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// TestNVAnswers: a part of another length than was asked for is refused.
func TestNVAnswers(t *testing.T) {
	answers := [][]byte{nvPublic(40), {0x80, 2, 0, 0, 0, 27, 0, 0, 0, 0, 0, 0, 0, 12, 0, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0}}
	l := tpmLink{&scripted{next: func() []byte { a := answers[0]; answers = answers[1:]; return a }}}
	if got, err := l.nvRead(1, 100); err == nil || got != nil || !strings.Contains(err.Error(), "10 bytes at 0, expected 40") {
		t.Errorf("%x, %v", got, err)
	}
	broken := tpmLink{&scripted{next: func() []byte { return nil }, broken: os.ErrClosed}}
	if _, err := broken.readPublic(1); !errors.Is(err, os.ErrClosed) {
		t.Errorf("written to a device that is gone: %v", err)
	}
	small := tpmLink{&scripted{next: func() []byte { return []byte{0x80, 1, 0, 0, 0, 9, 0, 0, 0, 0} }}}
	if _, err := small.readPublic(1); err == nil || !strings.Contains(err.Error(), "response of 9 bytes") {
		t.Errorf("%v", err)
	}
}

// TestReadQuote: nothing may follow.
func TestReadQuote(t *testing.T) {
	q := []byte{0xff, 0x54, 0x43, 0x47, 0x80, 0x18, 0, 0, 0, 1, 7}
	q = append(q, make([]byte, 25)...)
	q = append(q, 0, 0, 0, 1, 0, 0x0b, 3, 255, 255, 255, 0, 1, 9)
	if extra, digest, err := readQuote(q); err != nil || extra[0] != 7 || digest[0] != 9 {
		t.Fatalf("%x %x %v", extra, digest, err)
	}
	if _, _, err := readQuote(append(q, 0)); err == nil || !strings.Contains(err.Error(), "with 1 bytes behind it") {
		t.Errorf("%v", err)
	}
	for n := range q {
		if _, _, err := readQuote(q[:n]); err == nil {
			t.Errorf("accepted the first %d bytes", n)
		}
	}
}

// TestHCLReport: what is in the NV index has to be a report, of the kind that
// was opened.
func TestHCLReport(t *testing.T) {
	short := hclOf(hclSNP, hclMin)[:hclMin-1]
	other := hclOf(hclSNP, hclMin)
	other[0] = 'X'
	for _, report := range [][]byte{short, other} {
		dial := swtpm(t)
		paravisor(t, dial, report)
		files := &tree{content: map[string][]byte{tpmPath: nil}, dial: dial}
		ev, end, err := newAzure(files, attest.AzureSNP, nil).Attest(t.Context(), bound(t))
		expectUnavailable(t, ev, end, err, "that begin with HCLA")
		if d := detect(files, Options{}); len(d.Usable()) != 0 {
			t.Errorf("usable\n%s", d)
		}
	}
	a := azure{of: attest.AzureSNP}
	if _, err := a.quoteOf(hclOf(hclTDX, hclMin)); err == nil || !strings.Contains(err.Error(), "type 4, expected 2") {
		t.Errorf("TDX for SNP: %v", err)
	}
	a.of = attest.AzureTDX
	if _, err := a.quoteOf(hclOf(hclTDX, hclMin)); err == nil || !strings.Contains(err.Error(), "nobody asks the host") {
		t.Errorf("without a host: %v", err)
	}
	dial := swtpm(t)
	files := &tree{content: map[string][]byte{tpmPath: nil}, dial: dial}
	if ev, end, err := newAzure(files, attest.AzureSNP, nil).Attest(t.Context(), bound(t)); true {
		expectUnavailable(t, ev, end, err, "not an Azure confidential VM")
	}
}

// nvPublic is the answer to NV_ReadPublic for an index of that size.
func nvPublic(size uint16) []byte {
	r := []byte{0x80, 1, 0, 0, 0, 26, 0, 0, 0, 0, 0, 14, 1, 0xc1, 0, 3, 0, 0x0b, 0, 0, 0, 0, 0, 0}
	return binary.BigEndian.AppendUint16(r, size)
}

// TestTPMConflict: registers that change while they are read are read again.
func TestTPMConflict(t *testing.T) {
	dial := swtpm(t)
	reads := 0
	files := &tree{content: map[string][]byte{tpmPath: nil}, dial: func(p string) (io.ReadWriteCloser, error) {
		conn, err := dial(p)
		return &tapped{ReadWriteCloser: conn, command: ccPCRRead, change: func(r []byte) []byte {
			if reads++; reads == 2 {
				r[len(r)-1] ^= 1
			}
			return r
		}}, err
	}}
	a := newTPM(files)
	a.pause = time.Microsecond
	ev, _, err := a.Attest(t.Context(), bound(t))
	if err != nil || ev.Kind != attest.TPM || reads != 6 {
		t.Errorf("%v after %d reads, %v", ev.Kind, reads, err)
	}
}

// FuzzTPM has the host choose every answer.
func FuzzTPM(f *testing.F) {
	f.Add(nvPublic(4), byte(1))
	f.Add([]byte{0x80, 1, 0, 0, 0, 10, 0, 0, 1, 0x8b}, byte(2))
	b := bound(f)
	f.Fuzz(func(t *testing.T, answer []byte, times byte) {
		files := &tree{content: map[string][]byte{tpmPath: nil}, dial: func(string) (io.ReadWriteCloser, error) {
			return &liarTPM{answer: answer}, nil
		}}
		a := newTPM(files)
		a.pause = time.Nanosecond
		if ev, _, err := a.Attest(t.Context(), b); err == nil {
			t.Errorf("evidence %x", ev.Data)
		}
		_ = detectTPM(files, Options{})
	})
}

type liarTPM struct {
	answer []byte
	asked  int
}

func (l *liarTPM) Write(p []byte) (int, error) { return len(p), nil }
func (l *liarTPM) Close() error                { return nil }
func (l *liarTPM) Read(p []byte) (int, error) {
	if l.asked++; l.asked > 100 {
		return 0, io.EOF
	}
	return copy(p, l.answer), nil
}
