package tpm_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/tpm"
	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// startTPM starts a TPM of this test's own and stops it at the end.
func startTPM(t *testing.T) transport.TPM {
	t.Helper()
	path, err := exec.LookPath("swtpm")
	if err != nil {
		t.Skip("swtpm is not installed (apt-get install swtpm)")
	}
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(path, "socket", "--tpm2", "--tpmstate", "dir="+dir, "--server", "type=unixio,path="+socket, "--flags", "not-need-init,startup-clear")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			continue
		}
		t.Cleanup(func() { conn.Close() })
		return transport.FromReadWriter(conn)
	}
	t.Fatal("swtpm did not answer in a minute")
	return nil
}

// akTemplate is an attestation key: a primary key of the endorsement hierarchy, so
// that its qualified name, which each quote holds, fits its whole public area.
func akTemplate(ecc bool) tpm2.TPMTPublic {
	p := tpm2.TPMTPublic{
		Type: tpm2.TPMAlgRSA, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true, Restricted: true, SignEncrypt: true,
		},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{
			Scheme:  tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgRSASSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSigSchemeRSASSA{HashAlg: tpm2.TPMAlgSHA256})},
			KeyBits: 2048,
		}),
	}
	if ecc {
		p.Type = tpm2.TPMAlgECC
		p.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Scheme:  tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})},
			CurveID: tpm2.TPMECCNistP256,
		})
	}
	return p
}

// realTPM is a TPM with an endorsement key and an attestation key in it.
type realTPM struct {
	transport.TPM
	ek, ak *tpm2.CreatePrimaryResponse
}

func create(t *testing.T, dev transport.TPM, template tpm2.TPMTPublic) *tpm2.CreatePrimaryResponse {
	t.Helper()
	key, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(template)}.Execute(dev)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newRealTPM starts a TPM whose firmware registers are extended, as they are in
// every machine that has started.
func newRealTPM(t *testing.T, ecc bool) *realTPM {
	t.Helper()
	dev := startTPM(t)
	ek := tpm2.RSAEKTemplate
	if ecc {
		ek = tpm2.ECCEKTemplate
	}
	m := &realTPM{TPM: dev, ek: create(t, dev, ek), ak: create(t, dev, akTemplate(ecc))}
	for i := range 10 {
		m.extend(t, i)
	}
	return m
}

func (m *realTPM) extend(t *testing.T, index int) {
	t.Helper()
	sum := sha256.Sum256([]byte{byte(index)})
	_, err := tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(index), Auth: tpm2.PasswordAuth(nil)},
		Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: sum[:]}}},
	}.Execute(m)
	if err != nil {
		t.Fatal(err)
	}
}

func selection(pcrs ...uint) tpm2.TPMLPCRSelection {
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(pcrs...)}}}
}

// quote asks for a quote and reads the registers after it.
func (m *realTPM) quote(t *testing.T, nonce []byte, pcrs ...uint) form.TPM {
	t.Helper()
	q, err := tpm2.Quote{
		SignHandle:     tpm2.AuthHandle{Handle: m.ak.ObjectHandle, Name: m.ak.Name, Auth: tpm2.PasswordAuth(nil)},
		QualifyingData: tpm2.TPM2BData{Buffer: nonce},
		InScheme:       tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull},
		PCRSelect:      selection(pcrs...),
	}.Execute(m)
	if err != nil {
		t.Fatal(err)
	}
	public, err := m.ak.OutPublic.Contents()
	if err != nil {
		t.Fatal(err)
	}
	out := form.TPM{Quote: q.Quoted.Bytes(), Signature: tpm2.Marshal(q.Signature), AKPublic: tpm2.Marshal(public), Bank: 0x000b}
	for _, i := range pcrs {
		r, err := tpm2.PCRRead{PCRSelectionIn: selection(i)}.Execute(m)
		if err != nil {
			t.Fatal(err)
		}
		out.PCRs = append(out.PCRs, form.PCR{Index: uint8(i), Value: r.PCRValues.Digests[0].Buffer})
	}
	return out
}

func firmware() []uint { return []uint{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 14, 15} }

// TestRealTPM: what a real TPM signs is accepted, with the keys of both kinds.
func TestRealTPM(t *testing.T) {
	for name, ecc := range map[string]bool{"RSA": false, "ECC": true} {
		t.Run(name, func(t *testing.T) {
			m := newRealTPM(t, ecc)
			nonce := bytes.Repeat([]byte{7}, 32)
			q := m.quote(t, nonce, firmware()...)
			v, err := tpm.NewVerifier()
			if err != nil {
				t.Fatal(err)
			}
			claims, err := v.Verify(attest.Evidence{Kind: attest.TPM, Data: q.Encode()}, nil, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			d := claims.Detail.(*tpm.Claims)
			if !bytes.Equal(claims.Nonce, nonce) || !bytes.Equal(d.AKName, m.ak.Name.Buffer) {
				t.Errorf("nonce %x, name %x, expected %x and %x", claims.Nonce, d.AKName, nonce, m.ak.Name.Buffer)
			}
			if d.Binding != tpm.Unbound || d.Hierarchy != tpm.HierarchyEndorsement {
				t.Errorf("key %s in hierarchy %s", d.Binding, d.Hierarchy)
			}
			if len(d.PCRs) != len(firmware()) || len(claims.LaunchDigest) != 32 {
				t.Errorf("%d registers, launch digest %x", len(d.PCRs), claims.LaunchDigest)
			}
		})
	}
}

// TestRealTPMExtendedLater: registers that are read after they changed are not
// those that were quoted (row P17).
func TestRealTPMExtendedLater(t *testing.T) {
	m := newRealTPM(t, true)
	before := m.quote(t, make([]byte, 32), firmware()...)
	m.extend(t, 4)
	after := m.quote(t, make([]byte, 32), firmware()...)
	before.PCRs = after.PCRs
	failsWith(t, before, "hardware.tpm_pcrs", tpm.CodePCRDigest)
}

// TestRealTPMNotExtended: a TPM that no firmware has used shows nothing (row P21).
func TestRealTPMNotExtended(t *testing.T) {
	dev := startTPM(t)
	m := &realTPM{TPM: dev, ak: create(t, dev, akTemplate(true))}
	failsWith(t, m.quote(t, make([]byte, 32), firmware()...), "hardware.tpm_extended", tpm.CodeNotExtended)
}

func failsWith(t *testing.T, q form.TPM, check string, code attest.Code) {
	t.Helper()
	_, checks := tpm.Examine(q)
	for _, c := range checks {
		if c.Name == check && c.Status == attest.Fail && c.Code == code {
			return
		}
	}
	t.Errorf("checks %v, expected %s to fail with %s", checks, check, code)
}

// TestActivation: the challenge that the verifier's side makes is answered by the
// real TPM that holds both keys, and by no other.
func TestActivation(t *testing.T) {
	for name, ecc := range map[string]bool{"RSA": false, "ECC": true} {
		t.Run(name, func(t *testing.T) { testActivation(t, newRealTPM(t, ecc)) })
	}
}

func testActivation(t *testing.T, m *realTPM) {
	public, err := m.ek.OutPublic.Contents()
	if err != nil {
		t.Fatal(err)
	}
	area := tpm2.Marshal(public)
	maker := newMaker(t)
	parsed, err := tpm.ParsePublic(area)
	if err != nil {
		t.Fatal(err)
	}
	ek, err := tpm.VerifyEK(area, maker.ek(t, parsed.Key), [][]byte{maker.root.Raw}, attestTime())
	if err != nil {
		t.Fatal(err)
	}
	if ek.Manufacturer != "id:46414B45" || ek.Model == "" || ek.Version == "" {
		t.Errorf("TPM of %q, model %q, version %q", ek.Manufacturer, ek.Model, ek.Version)
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		t.Fatal(err)
	}
	c, err := ek.Challenge(rand.Reader, m.ak.Name.Buffer, secret)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := m.activate(c)
	if err != nil || !tpm.Answers(answer, secret) {
		t.Errorf("answer %x, %v, expected %x", answer, err, secret)
	}
	other := bytes.Clone(m.ak.Name.Buffer)
	other[5] ^= 1
	if c, err = ek.Challenge(rand.Reader, other, secret); err != nil {
		t.Fatal(err)
	}
	if _, err = m.activate(c); err == nil {
		t.Error("the TPM answers a challenge to a key that it does not hold")
	}
}

// activate answers a challenge: TPM2_ActivateCredential with the endorsement key's
// policy, which is that of the endorsement hierarchy (EK Credential Profile, B.6.2).
func (m *realTPM) activate(c *tpm.Challenge) ([]byte, error) {
	session, closer, err := tpm2.PolicySession(m, tpm2.TPMAlgSHA256, 16)
	if err != nil {
		return nil, err
	}
	defer func() { _ = closer() }()
	if _, err = (tpm2.PolicySecret{AuthHandle: tpm2.TPMRHEndorsement, PolicySession: session.Handle(), NonceTPM: session.NonceTPM()}).Execute(m); err != nil {
		return nil, err
	}
	r, err := tpm2.ActivateCredential{
		ActivateHandle: tpm2.NamedHandle{Handle: m.ak.ObjectHandle, Name: m.ak.Name},
		KeyHandle:      tpm2.AuthHandle{Handle: m.ek.ObjectHandle, Name: m.ek.Name, Auth: session},
		CredentialBlob: tpm2.TPM2BIDObject{Buffer: c.Credential[2:]},
		Secret:         tpm2.TPM2BEncryptedSecret{Buffer: c.Secret[2:]},
	}.Execute(m)
	if err != nil {
		return nil, err
	}
	return r.CertInfo.Buffer, nil
}
