package attesttest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/awsforge"
)

// Where the verdicts come from.
const (
	nsmFields = "NSM API, attestation_process.md 2.2 and 3.2.2"
	nsmCOSE   = "NSM API, attestation_process.md 3.1; RFC 9052, 4.2"
	nsmChain  = "NSM API, attestation_process.md 3.2.3"
	nsmPCRs   = "Nitro Enclaves User Guide, Where to get an enclave's measurements"
	rfcCBOR   = "RFC 8949, 4.2.1 and 5.3.1"
	rfcES384  = "RFC 9053, 2.1"
	rfcChain  = "RFC 5280, 6.1"
)

// nitroCase is a Vector before its evidence is made.
type nitroCase struct {
	row, name, about, spec string
	stage                  Stage
	check                  string
	code                   attest.Code
	trust                  string
	aws                    *AWS
	at                     time.Time
	opts                   []EnclaveOption
}

// NitroVectors returns the rows of the attack catalogue that speak of AWS Nitro
// Enclaves, forged and captured.
func NitroVectors(t testing.TB) []Vector {
	t.Helper()
	return NewAWS().vectors.get(t, makeNitroVectors)
}

func makeNitroVectors(t testing.TB) []Vector {
	t.Helper()
	var out []Vector
	for _, group := range [][]nitroCase{
		nitroHealthy(), nitroDebug(), nitroRegisters(), nitroRoots(t), nitroCertificates(), nitroTimes(), nitroHeaders(),
		nitroEnvelope(), nitroFields(), nitroEncoding(), nitroSignatures(),
	} {
		for _, c := range group {
			out = append(out, c.vector(t))
		}
	}
	return append(out, nitroCaptures(t)...)
}

func (c nitroCase) vector(t testing.TB) Vector {
	t.Helper()
	aws := NewAWS()
	if c.aws != nil {
		aws = c.aws
	}
	if c.at.IsZero() {
		c.at = Epoch()
	}
	enclave := aws.Attester(c.opts...)
	enclave.chain = enclave.enclave.usual
	ev, err := enclave.attest([64]byte{1})
	if err != nil {
		t.Fatalf("attesttest: %v", err)
	}
	return Vector{
		Row: c.row, Name: c.name, About: c.about, Spec: c.spec, Stage: c.stage, Check: c.check, Code: c.code, Trust: c.trust,
		Evidence: ev, Roots: [][]byte{NewAWS().Root(t)}, At: c.at,
	}
}

func nitroRefuse(row, name, about, spec, check string, code attest.Code, opts ...EnclaveOption) nitroCase {
	return nitroCase{row: row, name: name, about: about, spec: spec, stage: StageVerify, check: check, code: code, opts: opts}
}

func nitroAppraise(row, name, about, check string, code attest.Code, trust string, opts ...EnclaveOption) nitroCase {
	return nitroCase{row: row, name: name, about: about, spec: nsmPCRs, stage: StageAppraise, check: check, code: code, trust: trust, opts: opts}
}

func nitroAccept(row, name, about, spec string, opts ...EnclaveOption) nitroCase {
	return nitroCase{row: row, name: name, about: about, spec: spec, stage: StageNone, opts: opts}
}

// nitroTrust is a trust file for the enclave that everybody runs; more adds
// registers, and rules the section hardware.nitro.
func nitroTrust(more, rules string) string {
	out := fmt.Sprintf("version: 1\naccept:\n  - name: enclave\n    nitro: {pcr0: %x, pcr1: %x, pcr2: %x%s}\n    policy: any\n",
		EnclavePCR(0), EnclavePCR(1), EnclavePCR(2), more)
	if rules != "" {
		out += "hardware:\n  nitro: {" + rules + "}\n"
	}
	return out
}

// nitroTrustAny accepts every image, and still no enclave in debug mode.
const nitroTrustAny = "version: 1\naccept:\n  - name: enclave\n    nitro: {pcr0: any, pcr1: any, pcr2: any}\n    policy: any\n"

func nitroHealthy() []nitroCase {
	return []nitroCase{
		nitroAccept("N12", "streamed-map", "A healthy enclave, its document written as today: a map of indefinite length.", nsmCOSE),
		nitroAccept("N12", "definite-map", "A healthy enclave, its document written as in earlier years: a map with its length.", nsmCOSE,
			EditEnclave(func(d *awsforge.Document) { d.Definite = true })),
		nitroAccept("N16", "optional-fields-absent", "Fields that are optional may be absent instead of null.", nsmFields,
			EditEnclave(func(d *awsforge.Document) { d.OmitNull = true })),
		nitroAccept("N16", "longest-fields", "User data and nonce of 512 bytes and a public key of 1024 are the longest allowed.", nsmFields,
			EditEnclave(func(d *awsforge.Document) {
				d.UserData, d.Nonce, d.PublicKey = make([]byte, 512), make([]byte, 512), bytes.Repeat([]byte{1}, 1024)
			})),
		nitroAccept("N16", "empty-user-data", "Empty user data is not the same as none, and allowed.", nsmFields,
			EditEnclave(func(d *awsforge.Document) { d.UserData = []byte{} })),
		nitroAccept("N03", "all-registers", "All 32 registers are locked.", nsmFields, func(e *Enclave) {
			for i := range uint64(16) {
				e.Document.PCRs[16+i] = bytes.Repeat([]byte{byte(i)}, 48)
			}
		}),
	}
}

func nitroDebug() []nitroCase {
	const debug = attest.Code("debug")
	return []nitroCase{
		nitroAppraise("N01", "debug-enclave", "An enclave in debug mode: PCR0, 1 and 2 are zero and its console can be read.", "hardware.debug", debug, nitroTrust("", ""), DebugEnclave()),
		nitroAppraise("N01", "debug-enclave-any-image", "An enclave in debug mode, and a trust file that accepts any image.", "hardware.debug", debug, nitroTrustAny, DebugEnclave()),
		nitroAppraise("N01", "pcr0-zero", "PCR0 alone is zero.", "hardware.debug", debug, nitroTrust("", ""), SetPCR(0, make([]byte, 48))),
		nitroAppraise("N02", "pcr1-zero", "PCR1 alone is zero, under a trust file that accepts any image.", "hardware.debug", debug, nitroTrustAny, SetPCR(1, make([]byte, 48))),
		nitroAppraise("N02", "pcr2-zero", "PCR2 alone is zero, under a trust file that accepts any image.", "hardware.debug", debug, nitroTrustAny, SetPCR(2, make([]byte, 48))),
	}
}

func nitroRegisters() []nitroCase {
	const measurement = attest.Code("measurement")
	other := bytes.Repeat([]byte{7}, 48)
	pcr := func(i uint64) string { return fmt.Sprintf(", pcr%d: %x", i, EnclavePCR(i)) }
	bad := func(name, about string, opts ...EnclaveOption) nitroCase {
		return nitroRefuse("N03", name, about, nsmFields, "hardware.document", attest.CodeMalformed, opts...)
	}
	registers := func(pairs ...awsforge.Pair) EnclaveOption {
		return EditFields(func(f []awsforge.Pair) []awsforge.Pair { return awsforge.Set(f, "pcrs", awsforge.Map(pairs...)) })
	}
	value := awsforge.Bytes(other)
	return []nitroCase{
		nitroAppraise("N02", "pcr0-other", "Another image.", "code.measurement", measurement, nitroTrust("", ""), SetPCR(0, other)),
		nitroAppraise("N02", "pcr1-other", "Another kernel.", "code.measurement", measurement, nitroTrust("", ""), SetPCR(1, other)),
		nitroAppraise("N02", "pcr2-other", "Another application.", "code.measurement", measurement, nitroTrust("", ""), SetPCR(2, other)),
		nitroAppraise("N03", "listed-pcr-missing", "A register that the trust file lists is not in the document.", "code.measurement", measurement, nitroTrust(pcr(8), ""), SetPCR(8, nil)),
		nitroAppraise("N04", "pcr8-other", "Signed by another key than the trust file wants.", "code.measurement", measurement, nitroTrust(pcr(8), ""), SetPCR(8, other)),
		nitroAppraise("N04", "pcr8-zero", "Not signed at all, and the trust file wants a signer.", "code.measurement", measurement, nitroTrust(pcr(8), ""), SetPCR(8, make([]byte, 48))),
		nitroAppraise("N05", "pcr3-other", "The parent instance has another role.", "code.measurement", measurement, nitroTrust(", pcr3: "+fmt.Sprintf("%x", EnclavePCR(3)), ""), SetPCR(3, other)),
		nitroAppraise("N05", "pcr4-other", "Another parent instance.", "code.measurement", measurement, nitroTrust(pcr(4), ""), SetPCR(4, other)),
		bad("pcr0-missing", "No PCR0.", SetPCR(0, nil)),
		bad("pcr1-missing", "No PCR1.", SetPCR(1, nil)),
		bad("pcr2-missing", "No PCR2.", SetPCR(2, nil)),
		bad("no-registers", "An empty map of registers.", registers()),
		bad("index-32", "A register with the index 32.", SetPCR(32, nil), EditEnclave(func(d *awsforge.Document) { delete(d.PCRs, 15); d.PCRs[32] = other })),
		bad("index-2-32", "A register whose index is 0 modulo 2^32.", EditEnclave(func(d *awsforge.Document) { delete(d.PCRs, 15); d.PCRs[1<<32] = other })),
		bad("32-byte-value", "A register of 32 bytes under the digest SHA384.", SetPCR(3, other[:32])),
		bad("empty-value", "A register of no bytes.", SetPCR(3, []byte{})),
		nitroRefuse("N03", "64-byte-value", "A register of 64 bytes under the digest SHA384.", nsmFields, "hardware.document", attest.CodeTooLarge, SetPCR(3, make([]byte, 64))),
		bad("text-index", "A register whose index is text.", registers(awsforge.Pair{Key: awsforge.Text("0"), Value: value})),
		bad("negative-index", "A register whose index is negative.", registers(awsforge.Pair{Key: awsforge.Negative(0), Value: value})),
		bad("null-value", "A register that is null.", registers(awsforge.Pair{Key: awsforge.Uint(0), Value: awsforge.Null()})),
		bad("same-index-twice", "PCR0 twice.", EditFields(func(f []awsforge.Pair) []awsforge.Pair {
			var pairs []awsforge.Pair
			for _, i := range []uint64{0, 1, 2, 0} {
				pairs = append(pairs, awsforge.Pair{Key: awsforge.Uint(i), Value: value})
			}
			return awsforge.Set(f, "pcrs", awsforge.Map(pairs...))
		})),
		nitroRefuse("N03", "33-registers", "More registers than there are.", nsmFields, "hardware.document", attest.CodeTooLarge, func(e *Enclave) {
			for i := range uint64(33) {
				e.Document.PCRs[i] = other
			}
		}),
	}
}

func nitroRoots(t testing.TB) []nitroCase {
	t.Helper()
	fake := StrangerAWS().Root(t)
	reissued := NewAWS().reissuedRoot(t)
	untrusted := func(row, name, about string, opts ...EnclaveOption) nitroCase {
		return nitroRefuse(row, name, about, nsmChain, "hardware.root", attest.CodeUntrustedRoot, opts...)
	}
	stranger := untrusted("G15", "right-names-wrong-keys", "A complete chain with AWS's names under somebody else's root.")
	stranger.aws = StrangerAWS()
	return []nitroCase{
		stranger,
		untrusted("N06", "fake-root-only", "The bundle is one root that nobody trusts.", EditBundle(func([][]byte) [][]byte { return [][]byte{fake} })),
		nitroRefuse("N06", "fake-root-before", "A fake root before the real one.", nsmChain, "hardware.root", attest.CodeBadChain,
			EditBundle(func(b [][]byte) [][]byte { return slices.Insert(b, 0, fake) })),
		untrusted("N06", "fake-root-instead", "A fake root with the real name in the place of the real one.",
			EditBundle(func(b [][]byte) [][]byte { return append([][]byte{fake}, b[1:]...) })),
		nitroRefuse("G14", "fake-root-second", "A fake root after the real one.", nsmChain, "hardware.chain", attest.CodeUntrustedRoot,
			EditBundle(func(b [][]byte) [][]byte { return slices.Insert(b, 1, fake) })),
		nitroRefuse("N06", "fake-root-last", "A fake root at the end of the bundle.", nsmChain, "hardware.chain", attest.CodeUntrustedRoot,
			EditBundle(func(b [][]byte) [][]byte { return append(b, fake) })),
		untrusted("G16", "root-reissued", "Another certificate for the key of the root.",
			EditBundle(func(b [][]byte) [][]byte { return append([][]byte{reissued}, b[1:]...) })),
		untrusted("N06", "root-missing", "The bundle begins below the root.", EditBundle(func(b [][]byte) [][]byte { return b[1:] })),
		nitroRefuse("N07", "reversed", "The right certificates in the reverse order.", nsmChain, "hardware.root", attest.CodeBadChain,
			EditBundle(func(b [][]byte) [][]byte { slices.Reverse(b); return b })),
		nitroRefuse("N07", "intermediates-swapped", "Two intermediates have changed places.", nsmChain, "hardware.chain", attest.CodeBadChain,
			EditBundle(func(b [][]byte) [][]byte { b[1], b[2] = b[2], b[1]; return b })),
		nitroRefuse("N07", "intermediate-missing", "An intermediate is missing.", nsmChain, "hardware.chain", attest.CodeBadChain,
			EditBundle(func(b [][]byte) [][]byte { return slices.Delete(b, 2, 3) })),
		nitroRefuse("N07", "root-twice", "The root twice.", nsmChain, "hardware.chain", attest.CodeBadChain,
			EditBundle(func(b [][]byte) [][]byte { return slices.Insert(b, 1, b[0]) })),
	}
}

// reissuedRoot is another certificate that the root's key signed for itself.
func (a *AWS) reissuedRoot(t testing.TB) []byte {
	t.Helper()
	root, err := a.root()
	if err != nil {
		t.Fatalf("attesttest: %v", err)
	}
	template := *root.Cert
	template.NotAfter = template.NotAfter.AddDate(1, 0, 0)
	der, err := x509.CreateCertificate(nil, &template, &template, &root.Key.PublicKey, root.Key)
	if err != nil {
		t.Fatalf("attesttest: %v", err)
	}
	return der
}

func nitroCertificates() []nitroCase {
	chain := func(row, name, about string, code attest.Code, opts ...EnclaveOption) nitroCase {
		return nitroRefuse(row, name, about, rfcChain, "hardware.chain", code, opts...)
	}
	badKey := func(row, name, about string, role awsforge.Role, c elliptic.Curve) nitroCase {
		return chain(row, name, about, "bad_key", EnclaveCurve(role, c))
	}
	return []nitroCase{
		nitroRefuse("N18", "p521-leaf", "A leaf on P-521, and a signature of its size.", rfcES384, "hardware.document", attest.CodeTooLarge, EnclaveCurve(awsforge.Leaf, elliptic.P521())),
		chain("N18", "p521-leaf-short-signature", "A leaf on P-521, which costs ten times as much to verify, and a signature of the right size.", "bad_key",
			EnclaveCurve(awsforge.Leaf, elliptic.P521()), EditMessage(func(m *awsforge.Message) {
				m.Parts = func(p []awsforge.Item) []awsforge.Item { p[3] = awsforge.Bytes(m.Signature[:96]); return p }
			})),
		badKey("G13", "p256-leaf", "A leaf on P-256.", awsforge.Leaf, elliptic.P256()),
		badKey("G13", "p224-leaf", "A leaf on P-224.", awsforge.Leaf, elliptic.P224()),
		badKey("G13", "p521-instance", "An intermediate on P-521.", awsforge.Instance, elliptic.P521()),
		badKey("G13", "p256-regional", "An intermediate on P-256.", awsforge.Regional, elliptic.P256()),
		chain("G11", "certificate-sha256", "A certificate signed with SHA-256.", attest.CodeBadChain,
			EditEnclaveCert(awsforge.Leaf, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA256 })),
		chain("G17", "leaf-is-ca", "The leaf is a CA.", attest.CodeBadChain,
			EditEnclaveCert(awsforge.Leaf, func(c *x509.Certificate) { c.IsCA, c.MaxPathLen = true, 0 })),
		chain("G17", "leaf-may-not-sign", "The leaf's key usage is not to sign.", attest.CodeBadChain,
			EditEnclaveCert(awsforge.Leaf, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement })),
		chain("G17", "leaf-as-issuer", "An intermediate without the CA bit: an enclave's certificate that issues another.", attest.CodeBadChain,
			EditEnclaveCert(awsforge.Instance, func(c *x509.Certificate) { c.IsCA, c.MaxPathLen, c.MaxPathLenZero = false, -1, false })),
		chain("G17", "intermediate-may-not-issue", "An intermediate without the key usage of a CA.", attest.CodeBadChain,
			EditEnclaveCert(awsforge.Zonal, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })),
		chain("G17", "path-too-long", "More CAs below one than its path length allows.", attest.CodeBadChain,
			EditEnclaveCert(awsforge.Regional, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true })),
		chain("G17", "critical-extension", "A critical extension that nobody knows.", attest.CodeBadChain,
			EditEnclaveCert(awsforge.Leaf, func(c *x509.Certificate) {
				c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: true, Value: []byte{5, 0}})
			})),
		chain("G15", "leaf-self-issued", "A leaf under the right names that another key signed.", attest.CodeUntrustedRoot, func(e *Enclave) {
			e.Chain.Signer = func(role awsforge.Role, issuer *ecdsa.PrivateKey) *ecdsa.PrivateKey {
				if role == awsforge.Leaf {
					return strangerKey()
				}
				return issuer
			}
		}),
		nitroRefuse("N17", "module-of-another-enclave", "The document names another enclave than its certificate.", nsmFields, "hardware.module", "module_mismatch",
			EditEnclave(func(d *awsforge.Document) { d.ModuleID = EnclaveInstance + "-enc019b55a68bd2ed4c" })),
		nitroRefuse("N17", "module-prefix", "The document's name is the beginning of the certificate's.", nsmFields, "hardware.module", "module_mismatch",
			EditEnclave(func(d *awsforge.Document) { d.ModuleID = EnclaveModule[:len(EnclaveModule)-1] })),
		nitroAppraise("N17", "instance-not-allowed", "An enclave of another instance than the trust file lists.", "hardware.instance", "instance_not_allowed",
			nitroTrust("", "instances: [i-00000000000000001]")),
		nitroRefuse("G01", "certificate-truncated", "The leaf is cut.", nsmFields, "hardware.certificates", attest.CodeMalformed,
			EditEnclave(func(d *awsforge.Document) { d.Certificate = d.Certificate[:len(d.Certificate)-1] })),
		nitroRefuse("G02", "certificate-trailing", "A byte after the leaf's DER.", nsmFields, "hardware.certificates", attest.CodeMalformed,
			EditEnclave(func(d *awsforge.Document) { d.Certificate = append(bytes.Clone(d.Certificate), 0) })),
	}
}

func nitroTimes() []nitroCase {
	at := func(c nitroCase, at time.Time) nitroCase { c.at = at; return c }
	expired := func(row, name, about string, when time.Time) nitroCase {
		return at(nitroRefuse(row, name, about, nsmChain, "hardware.validity", attest.CodeExpired), when)
	}
	stamp := func(when time.Time) EnclaveOption {
		return EditEnclave(func(d *awsforge.Document) { d.Timestamp = uint64(when.UnixMilli()) })
	}
	stale := func(name, about string, when time.Time) nitroCase {
		return nitroRefuse("N09", name, about, nsmFields, "hardware.timestamp", attest.CodeStaleEvidence, stamp(when))
	}
	now := Epoch()
	return []nitroCase{
		expired("N08", "leaf-expired", "The leaf lives three hours, and this is a second later.", now.Add(3*time.Hour+time.Second)),
		expired("G18", "leaf-not-yet", "The leaf is not valid yet.", now.Add(-4*time.Second)),
		nitroRefuse("G18", "zonal-expired", "An intermediate expired an hour ago.", nsmChain, "hardware.validity", attest.CodeExpired,
			EditEnclaveCert(awsforge.Zonal, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) })),
		nitroRefuse("G18", "regional-not-yet", "An intermediate will be valid in an hour.", nsmChain, "hardware.validity", attest.CodeExpired,
			EditEnclaveCert(awsforge.Regional, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Hour) })),
		stale("timestamp-1970", "The document says that it was made in 1970.", time.UnixMilli(1)),
		stale("timestamp-tomorrow", "The document says that it is made tomorrow.", now.Add(24*time.Hour)),
		stale("timestamp-before-leaf", "The document says that it was made before its key was.", now.Add(-4*time.Second)),
		nitroRefuse("N09", "timestamp-zero", "No time at all.", nsmFields, "hardware.document", attest.CodeMalformed,
			EditEnclave(func(d *awsforge.Document) { d.Timestamp = 0 })),
		nitroRefuse("N09", "timestamp-overflow", "A time beyond every calendar.", nsmFields, "hardware.document", attest.CodeMalformed,
			EditEnclave(func(d *awsforge.Document) { d.Timestamp = 1<<64 - 1 })),
		at(nitroAppraise("N09", "older-than-max-age", "The document is an hour old, the trust file accepts ten minutes.", "hardware.age", attest.CodeStaleEvidence, nitroTrust("", "")), now.Add(time.Hour)),
		at(nitroAppraise("N09", "from-the-future", "The document was made an hour after the time of appraisal.", "hardware.age", attest.CodeClock, nitroTrust("", ""), stamp(now.Add(time.Hour))), now),
	}
}

func nitroHeaders() []nitroCase {
	alg := func(row, name, about string, protected []byte) nitroCase {
		return nitroRefuse(row, name, about, rfcES384, "hardware.document", "unsupported_alg", EditMessage(func(m *awsforge.Message) { m.Protected = protected }))
	}
	es384 := awsforge.Pair{Key: awsforge.Uint(1), Value: awsforge.Negative(34)}
	return []nitroCase{
		nitroRefuse("N10", "alg-unprotected-too", "The algorithm is in the unprotected header as well.", nsmCOSE, "hardware.document", attest.CodeMalformed,
			EditMessage(func(m *awsforge.Message) { m.Unprotected = awsforge.Map(es384) })),
		nitroRefuse("N10", "alg-unprotected-only", "The algorithm is in the unprotected header alone.", nsmCOSE, "hardware.document", "unsupported_alg",
			EditMessage(func(m *awsforge.Message) { m.Protected, m.Unprotected = awsforge.Map(), awsforge.Map(es384) })),
		alg("N10", "alg-missing", "A protected header without algorithm.", awsforge.Map()),
		alg("N10", "alg-es256", "ES256 in the header.", awsforge.Map(awsforge.Pair{Key: awsforge.Uint(1), Value: awsforge.Negative(6)})),
		alg("N10", "alg-es512", "ES512 in the header.", awsforge.Map(awsforge.Pair{Key: awsforge.Uint(1), Value: awsforge.Negative(35)})),
		alg("N10", "alg-text", "The algorithm as text.", awsforge.Map(awsforge.Pair{Key: awsforge.Uint(1), Value: awsforge.Text("ES384")})),
		alg("N10", "second-field", "A second field beside the algorithm.", awsforge.Map(es384, awsforge.Pair{Key: awsforge.Uint(4), Value: awsforge.Bytes([]byte("kid"))})),
		alg("N11", "empty-string", "A protected header of no bytes.", nil),
		alg("N11", "wide-integer", "The algorithm in two bytes more than it needs.", slices.Concat(awsforge.Item{0xa1, 0x01}, awsforge.Wide(awsforge.Negative(34)))),
		alg("N11", "streamed-header", "A protected header of indefinite length.", awsforge.Streamed(es384)),
		alg("G05", "alg-twice", "The algorithm twice.", awsforge.Map(es384, es384)),
		nitroRefuse("N11", "header-not-wrapped", "A protected header that is a map and no byte string.", nsmCOSE, "hardware.document", attest.CodeMalformed,
			EditMessage(func(m *awsforge.Message) {
				m.Parts = func(p []awsforge.Item) []awsforge.Item { p[0] = awsforge.Map(es384); return p }
			})),
	}
}

func nitroEnvelope() []nitroCase {
	bad := func(row, name, about string, f func(*awsforge.Message)) nitroCase {
		return nitroRefuse(row, name, about, nsmCOSE, "hardware.document", attest.CodeMalformed, EditMessage(f))
	}
	tagged := func(n uint64) func(*awsforge.Message) {
		return func(m *awsforge.Message) { m.Whole = func(i awsforge.Item) awsforge.Item { return awsforge.Tag(n, i) } }
	}
	parts := func(f func(p []awsforge.Item) []awsforge.Item) func(*awsforge.Message) {
		return func(m *awsforge.Message) { m.Parts = f }
	}
	signature := func(row, name, about string, f func(*awsforge.Message)) nitroCase {
		return nitroRefuse(row, name, about, "RFC 9052, 4.4", "hardware.signature", attest.CodeBadSignature, EditMessage(f))
	}
	return []nitroCase{
		bad("N12", "tag-18", "The tag of COSE_Sign1, which the Nitro system does not write and no signature covers.", tagged(18)),
		bad("N12", "tag-17", "The tag of COSE_Mac0.", tagged(17)),
		bad("N12", "tag-16", "The tag of COSE_Encrypt0.", tagged(16)),
		bad("N12", "tag-98", "The tag of COSE_Sign.", tagged(98)),
		bad("N12", "self-described", "The tag that says that this is CBOR.", tagged(55799)),
		bad("N12", "three-parts", "No signature at all.", parts(func(p []awsforge.Item) []awsforge.Item { return p[:3] })),
		bad("N12", "five-parts", "A fifth part.", parts(func(p []awsforge.Item) []awsforge.Item { return append(p, awsforge.Null()) })),
		bad("N13", "payload-null", "The payload is detached.", parts(func(p []awsforge.Item) []awsforge.Item { p[2] = awsforge.Null(); return p })),
		bad("N13", "payload-not-wrapped", "The payload is a map and no byte string.", parts(func(p []awsforge.Item) []awsforge.Item { p[2] = awsforge.Map(); return p })),
		bad("N13", "payload-empty", "A payload of no bytes.", func(m *awsforge.Message) { m.Payload = nil }),
		signature("N14", "external-aad", "Signed together with external data.", func(m *awsforge.Message) { m.External = []byte("other protocol") }),
		signature("N14", "context-signature", "Signed in the context of COSE_Sign.", func(m *awsforge.Message) { m.Context = "Signature" }),
		signature("N14", "context-countersignature", "Signed as a countersignature.", func(m *awsforge.Message) { m.Context = "CounterSignature1" }),
		nitroRefuse("G27", "labelled-tdx", "Labelled as evidence of another kind.", nsmCOSE, "hardware.kind", attest.CodeKindMismatch, EnclaveKind(attest.TDX)),
		nitroRefuse("G27", "labelled-tpm", "Labelled as evidence of a TPM.", nsmCOSE, "hardware.kind", attest.CodeKindMismatch, EnclaveKind(attest.TPM)),
		nitroRefuse("N22", "nitrotpm-document", "A NitroTPM's document, whose registers mean something else.", "Amazon EC2 User Guide, Validate a NitroTPM Attestation Document", "hardware.document", attest.CodeKindMismatch,
			EditFields(func(f []awsforge.Pair) []awsforge.Pair { return awsforge.Rename(f, "pcrs", "nitrotpm_pcrs") })),
		nitroRefuse("N22", "both-register-maps", "Registers of an enclave and of a NitroTPM in one document.", "Amazon EC2 User Guide, Validate a NitroTPM Attestation Document", "hardware.document", attest.CodeKindMismatch,
			EditFields(func(f []awsforge.Pair) []awsforge.Pair {
				return append(awsforge.Without(f, "nonce"), awsforge.Pair{Key: awsforge.Text("nitrotpm_pcrs"), Value: awsforge.Map()})
			})),
		nitroRefuse("N22", "tpm-module", "The module of a NitroTPM.", "Amazon EC2 User Guide, Validate a NitroTPM Attestation Document", "hardware.document", attest.CodeMalformed,
			EditEnclave(func(d *awsforge.Document) { d.ModuleID = EnclaveInstance + "-tpm0000000000000000" })),
	}
}

func nitroFields() []nitroCase {
	field := func(row, name, about string, code attest.Code, f func([]awsforge.Pair) []awsforge.Pair) nitroCase {
		return nitroRefuse(row, name, about, nsmFields, "hardware.document", code, EditFields(f))
	}
	set := func(name string, v awsforge.Item) func([]awsforge.Pair) []awsforge.Pair {
		return func(f []awsforge.Pair) []awsforge.Pair { return awsforge.Set(f, name, v) }
	}
	again := func(name string, v awsforge.Item) func([]awsforge.Pair) []awsforge.Pair {
		return func(f []awsforge.Pair) []awsforge.Pair {
			return append(f[:len(f)-3:len(f)-3], awsforge.Pair{Key: awsforge.Text(name), Value: v})
		}
	}
	out := []nitroCase{
		field("N15", "public-key-empty", "A public key of no bytes.", attest.CodeMalformed, set("public_key", awsforge.Bytes(nil))),
		nitroAppraise("N15", "public-key-required", "No public key, and the trust file requires one.", "hardware.public_key", "public_key_missing", nitroTrust("", "public_key: require")),
		field("N16", "user-data-too-long", "User data of 513 bytes.", attest.CodeTooLarge, set("user_data", awsforge.Bytes(make([]byte, 513)))),
		field("N16", "nonce-too-long", "A nonce of 513 bytes.", attest.CodeTooLarge, set("nonce", awsforge.Bytes(make([]byte, 513)))),
		field("N16", "public-key-too-long", "A public key of 1025 bytes.", attest.CodeTooLarge, set("public_key", awsforge.Bytes(make([]byte, 1025)))),
		field("N16", "user-data-text", "User data that is text.", attest.CodeMalformed, set("user_data", awsforge.Text("hello"))),
		field("N17", "module-empty", "An empty module id.", attest.CodeMalformed, set("module_id", awsforge.Text(""))),
		field("N19", "digest-sha512", "The digest SHA512.", "unsupported_alg", set("digest", awsforge.Text("SHA512"))),
		field("N19", "digest-lower-case", "The digest sha384.", "unsupported_alg", set("digest", awsforge.Text("sha384"))),
		field("N20", "pcrs-twice", "The registers twice.", attest.CodeMalformed, again("pcrs", awsforge.Map())),
		field("G05", "user-data-twice", "User data twice, the second time null.", attest.CodeMalformed, func(f []awsforge.Pair) []awsforge.Pair {
			return append(awsforge.Without(f, "nonce"), awsforge.Pair{Key: awsforge.Text("user_data"), Value: awsforge.Null()})
		}),
		field("N21", "eif-metadata", "A field that the format does not have, with metadata of the image.", attest.CodeMalformed, again("eif_metadata", awsforge.Text("trusted"))),
		field("N06", "bundle-empty", "No CA bundle.", attest.CodeMalformed, set("cabundle", awsforge.Array())),
		field("G03", "bundle-of-nine", "More certificates than a chain has.", attest.CodeTooLarge, set("cabundle", awsforge.Array(slices.Repeat([]awsforge.Item{awsforge.Bytes([]byte{0x30})}, 9)...))),
		field("G03", "certificate-too-long", "A certificate of 1025 bytes.", attest.CodeTooLarge, set("certificate", awsforge.Bytes(make([]byte, 1025)))),
		field("N08", "certificate-empty", "A certificate of no bytes.", attest.CodeMalformed, set("certificate", awsforge.Bytes(nil))),
	}
	for _, name := range []string{"module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"} {
		out = append(out,
			field("N03", "without-"+name, "The mandatory field "+name+" is absent.", attest.CodeMalformed, func(f []awsforge.Pair) []awsforge.Pair { return awsforge.Without(f, name) }),
			field("N03", "null-"+name, "The mandatory field "+name+" is null.", attest.CodeMalformed, set(name, awsforge.Null())))
	}
	return out
}

func nitroEncoding() []nitroCase {
	sent := func(row, name, about string, code attest.Code, f func([]byte) []byte) nitroCase {
		return nitroRefuse(row, name, about, rfcCBOR, "hardware.document", code, EditSent(f))
	}
	part := func(row, name, about string, code attest.Code, f func(m *awsforge.Message, p []awsforge.Item)) nitroCase {
		return nitroRefuse(row, name, about, rfcCBOR, "hardware.document", code, EditMessage(func(m *awsforge.Message) {
			m.Parts = func(p []awsforge.Item) []awsforge.Item { f(m, p); return p }
		}))
	}
	field := func(row, name, about string, code attest.Code, f func([]awsforge.Pair) []awsforge.Pair) nitroCase {
		return nitroRefuse(row, name, about, rfcCBOR, "hardware.document", code, EditFields(f))
	}
	change := func(name string, f func(awsforge.Item) awsforge.Item) func([]awsforge.Pair) []awsforge.Pair {
		return func(fields []awsforge.Pair) []awsforge.Pair {
			for _, p := range fields {
				if bytes.Equal(p.Key, awsforge.Text(name)) {
					return awsforge.Set(fields, name, f(p.Value))
				}
			}
			return fields
		}
	}
	wide := func(name string) nitroCase {
		return field("G06", "wide-"+name, "The head of "+name+" is longer than it needs to be.", attest.CodeMalformed, change(name, awsforge.Wide))
	}
	return []nitroCase{
		sent("G01", "empty", "No bytes.", attest.CodeMalformed, func([]byte) []byte { return nil }),
		sent("G01", "half", "The first half.", attest.CodeMalformed, func(b []byte) []byte { return b[:len(b)/2] }),
		sent("G01", "last-byte-missing", "All but the last byte.", attest.CodeMalformed, func(b []byte) []byte { return b[:len(b)-1] }),
		sent("G02", "trailing-zero", "A zero after the end.", attest.CodeMalformed, func(b []byte) []byte { return append(b, 0) }),
		sent("G02", "document-twice", "The same document again after the end.", attest.CodeMalformed, func(b []byte) []byte { return append(b, b...) }),
		nitroRefuse("G02", "payload-trailing", "A byte after the end of the payload, signed.", rfcCBOR, "hardware.document", attest.CodeMalformed,
			EditMessage(func(m *awsforge.Message) { m.Payload = append(m.Payload, 0) })),
		part("G03", "payload-length-2-32", "A payload that claims 2^32-1 bytes.", attest.CodeTooLarge, func(_ *awsforge.Message, p []awsforge.Item) { p[2] = awsforge.Lying(2, 1<<32-1, nil) }),
		part("G03", "payload-length-2-64", "A payload that claims 2^64-1 bytes.", attest.CodeTooLarge, func(_ *awsforge.Message, p []awsforge.Item) { p[2] = awsforge.Lying(2, 1<<64-1, nil) }),
		field("G03", "registers-2-32", "A map of 2^32-1 registers.", attest.CodeTooLarge, change("pcrs", func(awsforge.Item) awsforge.Item { return awsforge.Lying(5, 1<<32-1, nil) })),
		field("G03", "bundle-2-64", "A bundle of 2^64-1 certificates.", attest.CodeTooLarge, change("cabundle", func(awsforge.Item) awsforge.Item { return awsforge.Lying(4, 1<<64-1, nil) })),
		sent("G03", "document-too-long", "More bytes than a document has.", attest.CodeTooLarge, func(b []byte) []byte { return append(b, make([]byte, 20000)...) }),
		part("G06", "payload-chunked", "A payload in chunks.", attest.CodeMalformed, func(m *awsforge.Message, p []awsforge.Item) { p[2] = awsforge.Chunked(m.Payload) }),
		part("G06", "wide-payload", "The payload's length in four bytes.", attest.CodeMalformed, func(_ *awsforge.Message, p []awsforge.Item) { p[2] = awsforge.Wide(p[2]) }),
		part("G06", "wide-signature", "The signature's length in two bytes.", attest.CodeMalformed, func(_ *awsforge.Message, p []awsforge.Item) { p[3] = awsforge.Wide(p[3]) }),
		part("G06", "wide-unprotected", "The unprotected header's length in a byte of its own.", attest.CodeMalformed, func(_ *awsforge.Message, p []awsforge.Item) { p[1] = awsforge.Wide(p[1]) }),
		sent("G06", "wide-array", "The number of parts in a byte of its own.", attest.CodeMalformed, func(b []byte) []byte { return awsforge.Wide(b) }),
		wide("module_id"), wide("digest"), wide("pcrs"), wide("certificate"), wide("cabundle"), wide("user_data"),
		field("G06", "streamed-registers", "Registers in a map of indefinite length.", attest.CodeMalformed, change("pcrs", func(i awsforge.Item) awsforge.Item {
			return slices.Concat(awsforge.Item{0xbf}, i[1:], awsforge.Item{0xff})
		})),
		field("G06", "tagged-timestamp", "The timestamp with the tag of an epoch time.", attest.CodeMalformed, change("timestamp", func(i awsforge.Item) awsforge.Item { return awsforge.Tag(1, i) })),
		field("G06", "undefined-nonce", "The nonce is undefined instead of null.", attest.CodeMalformed, change("nonce", func(awsforge.Item) awsforge.Item { return awsforge.Item{0xf7} })),
		field("G06", "not-utf8", "A module id that is not UTF-8.", attest.CodeMalformed, change("module_id", func(awsforge.Item) awsforge.Item { return awsforge.Text("i-\xff-enc1") })),
		field("G07", "deep-nonce", "A nonce of arrays within arrays, ten thousand deep.", attest.CodeMalformed, change("nonce", func(awsforge.Item) awsforge.Item { return awsforge.Nested(10000) })),
		sent("G07", "deep-envelope", "Arrays within arrays instead of a message.", attest.CodeMalformed, func([]byte) []byte { return awsforge.Nested(16000) }),
	}
}

func nitroSignatures() []nitroCase {
	order := elliptic.P384().Params().N
	half := func(n *big.Int) []byte { return n.FillBytes(make([]byte, 48)) }
	replace := func(at int, with []byte) func([]byte) []byte {
		return func(b []byte) []byte { copy(b[len(b)-96+at:], with); return b }
	}
	bad := func(name, about string, f func([]byte) []byte) nitroCase {
		return nitroRefuse("G10", name, about, rfcES384, "hardware.signature", attest.CodeBadSignature, EditSent(f))
	}
	length := func(name, about string, code attest.Code, f func([]byte) []byte) nitroCase {
		return nitroRefuse("G10", name, about, rfcES384, "hardware.document", code, EditMessage(func(m *awsforge.Message) {
			m.Parts = func(p []awsforge.Item) []awsforge.Item { p[3] = awsforge.Bytes(f(m.Signature)); return p }
		}))
	}
	return []nitroCase{
		nitroAccept("G09", "n-minus-s", "The other signature that everybody can make of a good one: evidence bytes are no identity.", rfcES384, EditSent(func(b []byte) []byte {
			s := new(big.Int).SetBytes(b[len(b)-48:])
			copy(b[len(b)-48:], half(s.Sub(order, s)))
			return b
		})),
		bad("r-zero", "r is zero.", replace(0, make([]byte, 48))),
		bad("s-zero", "s is zero.", replace(48, make([]byte, 48))),
		bad("both-zero", "r and s are zero.", replace(0, make([]byte, 96))),
		bad("r-order", "r is the order of the curve.", replace(0, half(order))),
		bad("s-order", "s is the order of the curve.", replace(48, half(order))),
		bad("all-ones", "r and s are 2^384-1.", replace(0, bytes.Repeat([]byte{0xff}, 96))),
		length("signature-empty", "A signature of no bytes.", attest.CodeMalformed, func([]byte) []byte { return nil }),
		length("signature-64", "A signature of the size of P-256.", attest.CodeMalformed, func(s []byte) []byte { return s[:64] }),
		length("signature-97", "A zero before the signature.", attest.CodeTooLarge, func(s []byte) []byte { return append([]byte{0}, s...) }),
		nitroRefuse("G12", "hash-sha256", "The right key, but SHA-256.", rfcES384, "hardware.signature", attest.CodeBadSignature,
			EditMessage(func(m *awsforge.Message) { m.Hash = crypto.SHA256 })),
		nitroRefuse("G12", "other-key", "Signed by a key that is not the leaf's.", rfcES384, "hardware.signature", attest.CodeBadSignature,
			func(e *Enclave) {
				e.Sign = func(m *awsforge.Message, _ *ecdsa.PrivateKey) error { return m.Sign(strangerKey()) }
			}),
		nitroRefuse("G12", "payload-changed", "A register changed after it was signed.", rfcES384, "hardware.signature", attest.CodeBadSignature, EditSent(func(b []byte) []byte {
			pcr := EnclavePCR(0)
			b[bytes.Index(b, pcr[:])] ^= 1
			return b
		})),
	}
}

// strangerKey is a key on P-384 that no certificate is about.
func strangerKey() *ecdsa.PrivateKey {
	root, err := StrangerAWS().root()
	if err != nil {
		return nil
	}
	return root.Key
}

// nitroCaptures are documents of real enclaves, vectors/nitro/ORIGIN.md.
func nitroCaptures(t testing.TB) []Vector {
	t.Helper()
	at := time.UnixMilli(1766668537578).UTC()
	document := nitroFile(t, "dstack-nsm-qvl.cose")
	const size = 4527 // where the document ends; the project's own data follow
	real := func(row, name, about, spec string, stage Stage, check string, code attest.Code, data []byte, at time.Time) Vector {
		return Vector{Row: row, Name: name, About: about, Spec: spec, Stage: stage, Check: check, Code: code, Evidence: attest.Evidence{Kind: attest.Nitro, Data: data}, At: at}
	}
	flipped := func(marker string) []byte {
		b := bytes.Clone(document[:size])
		b[bytes.Index(b, []byte(marker))+len(marker)+2] ^= 1
		return b
	}
	debug := real("N01", "real-debug", "A real enclave in debug mode.", nsmPCRs, StageAppraise, "hardware.debug", "debug",
		nitroFile(t, "dstack-debug-pcr-zero.cose")[:4529], time.UnixMilli(1766650846577).UTC())
	debug.Trust = nitroTrustAny
	return []Vector{
		real("N12", "real-production", "A real production enclave.", nsmCOSE, StageNone, "", "", document[:size], at),
		debug,
		real("G02", "real-with-trailing-bytes", "A real document with another project's data after its end.", rfcCBOR, StageVerify, "hardware.document", attest.CodeMalformed, document, at),
		real("N08", "real-after-three-hours", "A real document, three hours and a second later.", nsmChain, StageVerify, "hardware.validity", attest.CodeExpired, document[:size], at.Add(3*time.Hour+time.Second)),
		real("G12", "real-user-data-changed", "A real document whose user data was changed.", rfcES384, StageVerify, "hardware.signature", attest.CodeBadSignature, flipped("user_data"), at),
		real("N17", "real-module-changed", "A real document in another enclave's name.", nsmFields, StageVerify, "hardware.module", "module_mismatch", func() []byte {
			b := bytes.Clone(document[:size])
			b[bytes.Index(b, []byte("-enc"))+4] = '1'
			return b
		}(), at),
	}
}

// nitroFile reads a capture, from wherever in the repository the test runs.
func nitroFile(t testing.TB, name string) []byte {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatalf("attesttest: %v", err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if data, err := os.ReadFile(filepath.Join(dir, "vectors", "nitro", name)); err == nil {
			return data
		}
	}
	t.Fatalf("attesttest: no vectors/nitro/%s above the working directory", name)
	return nil
}
