package attesttest

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/internal/tpmforge"
)

// Where the verdicts come from.
const (
	specAttest  = "TPM 2.0 Part 2, 10.12.12 (TPMS_ATTEST)"
	specRestr   = "TPM 2.0 Part 1, 27.5 (restricted keys)"
	specSelect  = "TPM 2.0 Part 2, 10.6 (PCR selections); Part 3, 18.4"
	specPublic  = "TPM 2.0 Part 2, 8.3 and 12.2.4 (TPMT_PUBLIC)"
	specSig     = "TPM 2.0 Part 2, 11.3.4 (TPMT_SIGNATURE)"
	specLog     = "TCG PC Client Platform Firmware Profile 1.05, 10"
	specSB      = "TCG PC Client Platform Firmware Profile 1.05, 3.3.4.8 and 10.4"
	specPTP     = "TCG PC Client Platform TPM Profile 1.05, 4.6"
	specChain   = "RFC 5280, 6.1; TCG Guidance for TPM 2.0 attestation key certificates"
	specForm    = "docs/rfc/002"
	specHCL     = "Microsoft, Guest attestation for confidential VMs; OpenHCL, openhcl_attestation_protocol"
	specJWK     = "RFC 7517; RFC 8259, 4; RFC 7493, 2.3"
	specTD      = "TDX Module ABI 1.5, TDREPORT_STRUCT; TDX DCAP Quoting Library API, A.3"
	specAMD     = "AMD 56860, ATTESTATION_REPORT"
	tpmNonceLen = 32
)

// TPMNonce is the nonce of the vectors.
func TPMNonce() []byte { return bytes.Repeat([]byte{0x5a}, tpmNonceLen) }

// tpmCase is a Vector before its evidence is made.
type tpmCase struct {
	row, name, about, spec string
	check                  string
	code                   attest.Code
	opts                   []TPMOption
	nonce                  []byte
	at                     time.Time
	trust                  string
	data                   func([]byte) []byte // changes the encoded evidence
}

func (c tpmCase) stage() Stage {
	switch {
	case c.code == "":
		return StageNone
	case c.trust != "":
		return StageAppraise
	}
	return StageVerify
}

func (c tpmCase) vector(t testing.TB) Vector {
	t.Helper()
	if c.nonce == nil {
		c.nonce = TPMNonce()
	}
	if c.at.IsZero() {
		c.at = Epoch()
	}
	ev, end := MakeTPM(t, c.nonce, c.opts...)
	if c.data != nil {
		ev.Data = c.data(ev.Data)
	}
	return Vector{
		Row: c.row, Name: c.name, About: c.about, Spec: c.spec, Evidence: ev, Endorsements: end,
		Roots: [][]byte{NewTPMMaker().Root(t)}, At: c.at, Stage: c.stage(), Check: c.check, Code: c.code, Trust: c.trust,
	}
}

// TPMVectors returns the rows of the attack catalogue that speak of a TPM.
func TPMVectors(t testing.TB) []Vector {
	t.Helper()
	var out []Vector
	for _, group := range [][]tpmCase{tpmHealthy(), tpmQuotes(), tpmRegisters(), tpmKeysCases(t), tpmChains(t), tpmLogs(), tpmPolicies(t), tpmForms()} {
		for _, c := range group {
			out = append(out, c.vector(t))
		}
	}
	return out
}

func editQuote(f func(*tpmforge.Quote)) []TPMOption {
	return []TPMOption{func(m *TPMMachine) { m.Quote = append(m.Quote, f) }}
}

func editForm(f func(*form.TPM)) []TPMOption {
	return []TPMOption{func(m *TPMMachine) { m.Form = append(m.Form, f) }}
}

func editAK(f func(*tpmforge.AK)) []TPMOption {
	return []TPMOption{func(m *TPMMachine) { f(&m.AK) }}
}

func withKey(ak tpmforge.AK) []TPMOption {
	return []TPMOption{func(m *TPMMachine) { m.AK = ak }}
}

func editLog(f func(*tpmforge.Log)) []TPMOption {
	return []TPMOption{func(m *TPMMachine) {
		l := m.Log
		l.Events = slices.Clone(l.Events)
		f(&l)
		m.Log, m.WithLog = l, true
	}}
}

// honestLog changes history: the registers follow the log.
func honestLog(f func(*tpmforge.Log)) []TPMOption {
	return []TPMOption{func(m *TPMMachine) {
		l := m.Log
		l.Events = slices.Clone(l.Events)
		f(&l)
		m.SetLog(l)
		m.WithLog = true
	}}
}

// TPMTrust is a trust file that accepts the healthy machine. Edits replace text.
func TPMTrust(t testing.TB, edits ...string) string {
	m := newTPMMachine(t)
	var pcrs []string
	for _, i := range []uint8{0, 2, 4, 7, 9, 11} {
		pcrs = append(pcrs, fmt.Sprintf("pcr%d: \"%x\"", i, m.Registers[i]))
	}
	text := "version: 1\naccept:\n  - name: demo\n    tpm: {pcrs: {" + strings.Join(pcrs, ", ") + "}}\n" +
		"    policy: sha256:" + fmt.Sprintf("%x", tpmLaunched(15)) + "\nhardware:\n  revocation: allow_missing\n  tpm: {clock: require}\n"
	return strings.NewReplacer(edits...).Replace(text)
}

func tpmHealthy() []tpmCase {
	return []tpmCase{
		{row: "P09", name: "certified-key", about: "A quote by a certified attestation key, ECDSA P-256.", spec: specAttest},
		{row: "P14", name: "log-leads-to-the-registers", about: "The same with the event log of its start.", spec: specLog,
			opts: []TPMOption{func(m *TPMMachine) { m.WithLog = true }}},
	}
}

func tpmQuotes() []tpmCase {
	quote := func(row, name, about, check string, code attest.Code, f func(*tpmforge.Quote)) tpmCase {
		return tpmCase{row: row, name: name, about: about, spec: specAttest, check: check, code: code, opts: editQuote(f)}
	}
	return []tpmCase{
		quote("P01", "magic-zero", "Signed bytes that do not begin as what a TPM makes up itself.", "hardware.tpm_magic", "tpm_generated", func(q *tpmforge.Quote) { q.Magic = 0 }),
		quote("P01", "magic-one-bit", "One bit of the magic differs.", "hardware.tpm_magic", "tpm_generated", func(q *tpmforge.Quote) { q.Magic ^= 1 }),
		quote("P02", "type-certify", "An attestation about a key instead of registers.", "hardware.tpm_type", "tpm_not_quote", func(q *tpmforge.Quote) { q.Type = 0x8017 }),
		quote("P02", "type-time", "An attestation about the time instead of registers.", "hardware.tpm_type", "tpm_not_quote", func(q *tpmforge.Quote) { q.Type = 0x8019 }),
		quote("P02", "type-nv", "An attestation about NV memory instead of registers.", "hardware.tpm_type", "tpm_not_quote", func(q *tpmforge.Quote) { q.Type = 0x8014 }),
		quote("G02", "trailing-bytes-in-the-quote", "Signed bytes that go on behind the quote.", "hardware.tpm_quote", "malformed", func(q *tpmforge.Quote) { q.Tail = []byte{0} }),
		quote("P04", "two-banks", "A quote over two banks, of which one is shown.", "hardware.tpm_bank", "pcr_bank", func(q *tpmforge.Quote) {
			q.Selections = append(q.Selections, tpmforge.Selection{Bank: tpmforge.SHA1, PCRs: []uint8{16}})
		}),
		quote("P04", "no-bank", "A quote over nothing.", "hardware.tpm_bank", "pcr_bank", func(q *tpmforge.Quote) { q.Selections = nil }),
		quote("P04", "other-bank", "A quote over the SHA-384 bank, values said to be SHA-256.", "hardware.tpm_bank", "pcr_bank", func(q *tpmforge.Quote) { q.Selections[0].Bank = tpmforge.SHA384 }),
		quote("P06", "sha1-bank", "A quote over the SHA-1 bank.", "hardware.tpm_bank", "pcr_bank", func(q *tpmforge.Quote) { q.Selections[0].Bank = tpmforge.SHA1 }),
		quote("P04", "register-missing", "The quote is over fewer registers than are shown.", "hardware.tpm_selection", "pcr_selection", func(q *tpmforge.Quote) { q.Selections[0].PCRs = q.Selections[0].PCRs[1:] }),
		quote("P04", "register-more", "The quote is over a register that is not shown.", "hardware.tpm_selection", "pcr_selection", func(q *tpmforge.Quote) { q.Selections[0].PCRs = append(q.Selections[0].PCRs, 23) }),
		quote("P04", "register-24", "A bitmap that selects a register that no PC has.", "hardware.tpm_quote", "malformed", func(q *tpmforge.Quote) {
			q.Selections[0].Size, q.Selections[0].PCRs = 4, append(q.Selections[0].PCRs, 24)
		}),
		quote("P05", "digest-of-other-values", "The digest that was signed is not that of the values shown.", "hardware.tpm_pcrs", "pcr_digest", func(q *tpmforge.Quote) { q.Digest[0] ^= 1 }),
		quote("P05", "digest-empty", "An empty digest was signed.", "hardware.tpm_pcrs", "pcr_digest", func(q *tpmforge.Quote) { q.Digest = nil }),
		quote("P13", "safe-two", "A yes-or-no that is neither.", "hardware.tpm_quote", "malformed", func(q *tpmforge.Quote) { q.Safe = 2 }),
	}
}

func tpmRegisters() []tpmCase {
	set := func(index uint8, value []byte) []TPMOption {
		return []TPMOption{func(m *TPMMachine) { m.Registers[index] = value }}
	}
	zero := make([]byte, 32)
	locality := append(make([]byte, 31), 3)
	all := func(m *TPMMachine) {
		for i := range m.Registers {
			m.Registers[i] = zero
		}
	}
	return []tpmCase{
		{row: "P17", name: "extended-after-the-quote", about: "A register was read after it had been extended again.", spec: specSelect, check: "hardware.tpm_pcrs", code: "pcr_digest",
			opts: editForm(func(f *form.TPM) { f.PCRs[4].Value = tpmforge.Sum(tpmforge.SHA256, f.PCRs[4].Value, zero) })},
		{row: "P05", name: "values-swapped", about: "Two registers' values are exchanged.", spec: specSelect, check: "hardware.tpm_pcrs", code: "pcr_digest",
			opts: editForm(func(f *form.TPM) { f.PCRs[4].Value, f.PCRs[7].Value = f.PCRs[7].Value, f.PCRs[4].Value })},
		{row: "P05", name: "boundary-moved", about: "One byte of a value stands in the next one: the same bytes are hashed.", spec: specSelect, check: "hardware.tpm_pcrs", code: "pcr_digest",
			opts: editForm(func(f *form.TPM) {
				a, b := f.PCRs[0].Value, f.PCRs[1].Value
				f.PCRs[0].Value, f.PCRs[1].Value = append(slices.Clone(a), b[0]), b[1:]
			})},
		{row: "P21", name: "bank-not-extended", about: "A bank that the firmware does not serve: zeros everywhere.", spec: specPTP, check: "hardware.tpm_extended", code: "pcr_not_extended", opts: []TPMOption{all}},
		{row: "P21", name: "one-register-not-extended", about: "PCR 7 was never extended.", spec: specPTP, check: "hardware.tpm_extended", code: "pcr_not_extended", opts: set(7, zero)},
		{row: "P21", name: "startup-locality-only", about: "PCR 0 holds the startup locality and nothing else.", spec: specPTP, check: "hardware.tpm_extended", code: "pcr_not_extended", opts: set(0, locality)},
		{row: "P21", name: "ones", about: "PCR 4 has the first value of a register for dynamic launches.", spec: specPTP, check: "hardware.tpm_extended", code: "pcr_not_extended", opts: set(4, bytes.Repeat([]byte{0xff}, 32))},
		{row: "P04", name: "no-register", about: "A quote over an empty selection.", spec: specSelect, check: "hardware.tpm_selection", code: "pcr_selection",
			opts: []TPMOption{func(m *TPMMachine) { m.Select = nil }}},
		{row: "P06", name: "bank-said-to-be-sha1", about: "The values are said to be of the SHA-1 bank.", spec: specSelect, check: "hardware.tpm_bank", code: "pcr_bank",
			opts: editForm(func(f *form.TPM) { f.Bank = tpmforge.SHA1 })},
	}
}

func tpmKeysCases(t testing.TB) []tpmCase {
	k := mustTPMKeys(t)
	attr := func(name, about string, bits uint32) tpmCase {
		return tpmCase{row: "P08", name: name, about: about, spec: specPublic, check: "hardware.tpm_ak_attributes", code: "tpm_key",
			opts: editAK(func(a *tpmforge.AK) { a.Attributes ^= bits })}
	}
	return []tpmCase{
		attr("not-restricted", "A key that signs any bytes, also such that look like a quote.", 1<<16),
		attr("not-fixed-tpm", "A key that may exist outside of the TPM.", 1<<1),
		attr("not-fixed-parent", "A key that may be moved.", 1<<4),
		attr("not-made-by-the-tpm", "A key that was imported: somebody knows it.", 1<<5),
		attr("not-a-signing-key", "A key that may not sign.", 1<<18),
		attr("also-decrypts", "A key that decrypts too.", 1<<17),
		{row: "P07", name: "hash-differs", about: "The signature names SHA-384, the key SHA-256.", spec: specRestr, check: "hardware.tpm_scheme", code: "tpm_scheme",
			opts: []TPMOption{func(m *TPMMachine) {
				other := m.AK
				other.Hash = tpmforge.SHA384
				m.Sign = other.Sign
			}}},
		{row: "P07", name: "key-without-scheme", about: "A key that leaves the scheme to the caller.", spec: specRestr, check: "hardware.tpm_scheme", code: "tpm_scheme",
			opts: []TPMOption{func(m *TPMMachine) {
				m.Sign = m.AK.Sign
				m.AK.Scheme = tpmforge.Null
			}}},
		{row: "P07", name: "sha1-signature", about: "Signature and key name SHA-1.", spec: specRestr, check: "hardware.tpm_scheme", code: "tpm_scheme",
			opts: editAK(func(a *tpmforge.AK) { a.Hash = tpmforge.SHA1 })},
		{row: "P07", name: "signature-of-another-sort", about: "An RSA signature by a key that is said to be ECDSA's.", spec: specRestr, check: "hardware.tpm_scheme", code: "tpm_scheme",
			opts: []TPMOption{func(m *TPMMachine) { m.Sign = tpmforge.NewAK(k.rsa, tpmforge.SHA256).Sign }}},
		{row: "G12", name: "p384-with-sha256", about: "A P-384 key with a hash that is too short for it.", spec: specSig, check: "hardware.tpm_scheme", code: "tpm_scheme",
			opts: withKey(tpmforge.NewAK(k.ecc384, tpmforge.SHA256))},
		{row: "P09", name: "signed-by-another-key", about: "The public area is the certified key's, the signature another's.", spec: specSig, check: "hardware.tpm_signature", code: "bad_signature",
			opts: []TPMOption{func(m *TPMMachine) { m.Sign = tpmforge.NewAK(k.other, tpmforge.SHA256).Sign }}},
		{row: "G10", name: "signature-zero", about: "r and s are zero.", spec: specSig, check: "hardware.tpm_signature", code: "bad_signature",
			opts: []TPMOption{func(m *TPMMachine) {
				m.Sign = func([]byte) ([]byte, error) { return []byte{0, 0x18, 0, 0x0b, 0, 1, 0, 0, 1, 0}, nil }
			}}},
		{row: "G11", name: "algorithm-null", about: "A signature of no scheme.", spec: specSig, check: "hardware.tpm_signature_form", code: "malformed",
			opts: []TPMOption{func(m *TPMMachine) { m.Sign = func([]byte) ([]byte, error) { return []byte{0, 0x10, 0, 0x0b}, nil } }}},
		{row: "G13", name: "key-on-another-curve", about: "A key on P-521.", spec: specPublic, check: "hardware.tpm_ak", code: "malformed",
			opts: editForm(func(f *form.TPM) {
				f.AKPublic = slices.Clone(f.AKPublic)
				f.AKPublic[17] = 5 // TPM_ECC_NIST_P521 where the curve stands
			})},
		{row: "P08", name: "point-off-the-curve", about: "A key that is no point of its curve.", spec: specPublic, check: "hardware.tpm_ak", code: "malformed",
			opts: editForm(func(f *form.TPM) {
				f.AKPublic = slices.Clone(f.AKPublic)
				f.AKPublic[len(f.AKPublic)-1] ^= 1
			})},
		{row: "G02", name: "trailing-bytes-in-the-key", about: "A public area that goes on.", spec: specPublic, check: "hardware.tpm_ak", code: "malformed",
			opts: editForm(func(f *form.TPM) { f.AKPublic = append(slices.Clone(f.AKPublic), 0) })},
	}
}

func tpmChains(t testing.TB) []tpmCase {
	stranger := StrangerTPMMaker().must(t)
	maker := NewTPMMaker().must(t)
	noChain := []TPMOption{func(m *TPMMachine) {
		m.Endorse = append(m.Endorse, func(attest.Endorsements) attest.Endorsements { return nil })
	}}
	chain := func(f func([]*x509.Certificate) []*x509.Certificate) []TPMOption {
		return []TPMOption{func(m *TPMMachine) { m.Chain = append(m.Chain, f) }}
	}
	cert := func(f func(*x509.Certificate)) []TPMOption {
		return []TPMOption{func(m *TPMMachine) { m.Cert = append(m.Cert, f) }}
	}
	return []tpmCase{
		{row: "P09", name: "no-certificate", about: "An attestation key that nobody certified.", spec: specChain, check: "hardware.tpm_ak_bound", code: "untrusted_root", opts: noChain},
		{row: "G14", name: "strangers-root", about: "A whole chain by keys that have the maker's names.", spec: specChain, check: "hardware.tpm_ak_chain", code: "untrusted_root",
			opts: []TPMOption{func(m *TPMMachine) { m.Maker = StrangerTPMMaker() }}},
		{row: "G15", name: "strangers-ca-below-our-root", about: "The root is right, the CA below it was not signed by it.", spec: specChain, check: "hardware.tpm_ak_chain", code: "untrusted_root",
			opts: []TPMOption{func(m *TPMMachine) {
				m.Maker = StrangerTPMMaker()
				m.Chain = append(m.Chain, func(c []*x509.Certificate) []*x509.Certificate { return []*x509.Certificate{c[0], c[1], maker.root} })
			}}},
		{row: "G14", name: "extra-root", about: "The chain is good and a stranger's root stands behind it.", spec: specChain, check: "hardware.tpm_ak_chain", code: "bad_chain",
			opts: chain(func(c []*x509.Certificate) []*x509.Certificate { return append(c, stranger.root) })},
		{row: "G17", name: "chain-reversed", about: "The chain begins with the root.", spec: specChain, check: "hardware.tpm_ak_chain", code: "bad_chain",
			opts: chain(func(c []*x509.Certificate) []*x509.Certificate { slices.Reverse(c); return c })},
		{row: "P10", name: "certificate-of-another-machine", about: "A good certificate, of another attestation key.", spec: specChain, check: "hardware.tpm_ak_certified", code: "key_mismatch",
			opts: []TPMOption{func(m *TPMMachine) {
				other := tpmforge.NewAK(mustTPMKeys(t).other, tpmforge.SHA256)
				m.Form = append(m.Form, func(f *form.TPM) {
					f.AKPublic = other.Area()
					f.Signature, _ = other.Sign(f.Quote)
				})
			}}},
		{row: "G17", name: "key-certificate-is-a-ca", about: "The attestation key's certificate may issue others.", spec: specChain, check: "hardware.tpm_ak_chain", code: "bad_chain",
			opts: cert(func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign })},
		{row: "G18", name: "certificate-expired", about: "The attestation key's certificate ended yesterday.", spec: specChain, check: "hardware.tpm_ak_validity", code: "expired",
			opts: cert(func(c *x509.Certificate) { c.NotAfter = Epoch().AddDate(0, 0, -1) })},
		{row: "G18", name: "certificate-of-tomorrow", about: "The attestation key's certificate begins tomorrow.", spec: specChain, check: "hardware.tpm_ak_validity", code: "expired",
			opts: cert(func(c *x509.Certificate) { c.NotBefore = Epoch().AddDate(0, 0, 1) })},
		{row: "P08", name: "certified-key-not-primary", about: "The quote's qualified name fits no primary key of that public area.", spec: specPublic, check: "hardware.tpm_ak_primary", code: "tpm_key",
			opts: editAK(func(a *tpmforge.AK) { a.Parent = 0x81000001 })},
		{row: "P20", name: "emulators-root", about: "A chain to a root that an emulator made for itself.", spec: specChain, check: "hardware.tpm_ak_chain", code: "untrusted_root",
			opts: []TPMOption{func(m *TPMMachine) {
				m.Chain = append(m.Chain, func(c []*x509.Certificate) []*x509.Certificate {
					return []*x509.Certificate{c[0], stranger.ca, stranger.root}
				})
			}}},
	}
}

func event(register, kind uint32, data []byte) tpmforge.Event {
	return tpmforge.Event{Register: register, Type: kind, Data: data}
}

func tpmLogs() []tpmCase {
	log := func(row, name, about string, f func(*tpmforge.Log)) tpmCase {
		return tpmCase{row: row, name: name, about: about, spec: specLog, check: "hardware.tpm_event_log", code: "event_log", opts: editLog(f)}
	}
	honest := func(row, name, about string, f func(*tpmforge.Log)) tpmCase {
		c := log(row, name, about, f)
		c.opts = honestLog(f)
		return c
	}
	separator := make([]byte, 4)
	return []tpmCase{
		log("P14", "event-missing", "The log leaves an event out.", func(l *tpmforge.Log) { l.Events = l.Events[1:] }),
		log("P14", "event-more", "The log has one event more than there was.", func(l *tpmforge.Log) { l.Events = append(l.Events, event(4, tpmforge.App, []byte("x"))) }),
		log("P14", "events-exchanged", "Two events in the other order.", func(l *tpmforge.Log) { l.Events[1], l.Events[2] = l.Events[2], l.Events[1] }),
		log("P15", "same-type-appended", "A second SecureBoot variable behind the first.", func(l *tpmforge.Log) { l.Events = append(l.Events, l.Events[1]) }),
		honest("P15", "second-separator", "A second separator in PCR 7, which the register follows.", func(l *tpmforge.Log) { l.Events = append(l.Events, event(7, tpmforge.Separator, separator)) }),
		log("P15", "no-action-with-a-digest", "An event that extends nothing has a digest.", func(l *tpmforge.Log) {
			l.Events = append(l.Events, tpmforge.Event{Register: 7, Type: tpmforge.NoAction, Data: []byte("x"), Digest: bytes.Repeat([]byte{1}, 32)})
		}),
		log("P15", "startup-locality-late", "The startup locality is named after the first event.", func(l *tpmforge.Log) {
			l.Events = append(l.Events, event(0, tpmforge.NoAction, []byte("StartupLocality\x00\x03")))
		}),
		log("P15", "startup-locality-twice", "The startup locality is named twice.", func(l *tpmforge.Log) {
			e := event(0, tpmforge.NoAction, []byte("StartupLocality\x00\x00"))
			l.Events = append([]tpmforge.Event{e, e}, l.Events...)
		}),
		log("P15", "startup-locality-wrong", "A startup locality that the register does not have.", func(l *tpmforge.Log) {
			l.Events = append([]tpmforge.Event{event(0, tpmforge.NoAction, []byte("StartupLocality\x00\x03"))}, l.Events...)
		}),
		log("P15", "startup-locality-one", "A locality from which no TPM is started.", func(l *tpmforge.Log) {
			l.Events = append([]tpmforge.Event{event(0, tpmforge.NoAction, []byte("StartupLocality\x00\x01"))}, l.Events...)
		}),
		log("P15", "register-24", "An event in a register that no PC has.", func(l *tpmforge.Log) { l.Events = append(l.Events, event(24, tpmforge.App, nil)) }),
		log("G02", "padding", "Bytes behind the log.", func(l *tpmforge.Log) { l.Tail = make([]byte, 64) }),
		log("G03", "declared-length", "An event of 4 GiB.", func(l *tpmforge.Log) {
			l.Tail = slices.Concat([]byte{4, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0x0b, 0}, make([]byte, 32), bytes.Repeat([]byte{0xff}, 4))
		}),
		log("P14", "unknown-algorithm", "A digest with an algorithm that the header does not declare.", func(l *tpmforge.Log) {
			l.Tail = slices.Concat([]byte{4, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0x12, 0}, make([]byte, 36))
		}),
		{row: "G28", name: "two-logs", about: "Two event logs.", spec: specForm, check: "hardware.tpm_event_log_form", code: "ambiguous",
			opts: []TPMOption{func(m *TPMMachine) {
				m.WithLog = true
				m.Endorse = append(m.Endorse, func(e attest.Endorsements) attest.Endorsements { return append(e, e[len(e)-1]) })
			}}},
	}
}

func tpmPolicies(t testing.TB) []tpmCase {
	zero := strings.Repeat("00", 32)
	appraised := func(row, name, about, check string, code attest.Code, trust string, opts ...TPMOption) tpmCase {
		return tpmCase{row: row, name: name, about: about, spec: specSB, check: check, code: code, trust: trust, opts: opts}
	}
	set := func(index uint8) TPMOption {
		return func(m *TPMMachine) { m.Registers[index] = bytes.Repeat([]byte{9}, 32) }
	}
	logged := func(m *TPMMachine) { m.WithLog = true }
	var out []tpmCase
	for _, i := range []uint8{0, 2, 4, 7, 9, 11} {
		out = append(out, appraised("P16", fmt.Sprintf("other-pcr-%d", i), fmt.Sprintf("PCR %d is not the one in the trust file.", i), "code.measurement", "measurement", TPMTrust(t), set(i)))
	}
	for _, i := range []uint8{12, 13, 14} {
		out = append(out, appraised("P16", fmt.Sprintf("addon-in-pcr-%d", i), fmt.Sprintf("PCR %d was extended and the trust file does not name it.", i), "code.measurement", "measurement", TPMTrust(t), set(i)))
	}
	off := honestLog(func(l *tpmforge.Log) {
		l.Events[1].Data = tpmforge.Variable(tpmforge.GlobalGUID, "SecureBoot", []byte{0})
	})[0]
	late := honestLog(func(l *tpmforge.Log) {
		l.Events = append(l.Events, event(7, tpmforge.Driver, tpmforge.Variable(tpmforge.GlobalGUID, "SecureBoot", []byte{1})))
	})[0]
	retold := func(m *TPMMachine) {
		healthy := m.Log.Events
		off(m)
		truth := m.Log
		truth.Events = slices.Concat(truth.Events, healthy[1:6], healthy[13:14]) // a state as it should be, and a separator
		m.SetLog(truth)
		for _, i := range []int{1, 2, 3, 4, 5, 13} { // what the firmware measured
			e := &m.Log.Events[i]
			*e = tpmforge.Event{Register: 7, Type: tpmforge.EFIAction, Data: []byte("something else"), Digest: tpmforge.Sum(m.Bank, e.Data)}
		}
	}
	noExit := honestLog(func(l *tpmforge.Log) { l.Events = l.Events[:len(l.Events)-1] })[0]
	m := newTPMMachine(t)
	anySeven := TPMTrust(t, fmt.Sprintf("pcr7: \"%x\"", m.Registers[7]), "pcr7: any")
	return append(out,
		appraised("P04", "listed-register-not-quoted", "A register that the trust file names was not quoted.", "code.measurement", "measurement", TPMTrust(t), func(m *TPMMachine) { m.Select = []uint8{0, 7, 9, 11, 12, 13, 14, 15} }),
		appraised("F15", "launched-with-another-policy", "PCR 15 holds another policy than the trust file accepts.", "policy.launch", "launch_policy", TPMTrust(t), set(15)),
		appraised("P13", "clock-not-safe", "The TPM lost an update of its clock.", "hardware.tpm_clock", "tpm_clock", TPMTrust(t), func(m *TPMMachine) {
			m.Quote = append(m.Quote, func(q *tpmforge.Quote) { q.Safe = 0 })
		}),
		appraised("P12", "firmware-not-listed", "The TPM's firmware is none that the trust file lists.", "hardware.tpm_firmware", "tpm_firmware", TPMTrust(t, "clock: require", "firmware: [0x1]")),
		appraised("P22", "secure-boot-off", "Secure Boot was off, says the log.", "hardware.accepted_secure_boot", "secure_boot", anySeven, off),
		appraised("P15", "secure-boot-after-the-separator", "SecureBoot is measured again after the separator.", "hardware.accepted_secure_boot", "secure_boot", anySeven, late),
		appraised("P15", "secure-boot-told-by-the-system", "Secure Boot was off; the system extends a state of its own, and the log calls the firmware's something else.", "hardware.accepted_secure_boot", "secure_boot", anySeven, retold),
		appraised("P22", "no-log", "Nothing shows that Secure Boot was on.", "hardware.accepted_secure_boot", "secure_boot", TPMTrust(t)),
		appraised("P15", "boot-services-not-left", "The firmware never handed over to an operating system.", "hardware.accepted_boot", "secure_boot", TPMTrust(t), noExit),
		appraised("P09", "key-not-named", "A certified key where the trust file names others.", "hardware.accepted_ak", "ak_not_allowed", TPMTrust(t, "clock: require", "ak_names: [\"000b"+zero+"\"]"), logged),
	)
}

func tpmForms() []tpmCase {
	change := func(row, name, about string, check string, code attest.Code, f func([]byte) []byte) tpmCase {
		return tpmCase{row: row, name: name, about: about, spec: specForm, check: check, code: code, data: f}
	}
	return []tpmCase{
		change("G01", "truncated", "The last byte is missing.", "hardware.tpm_form", "malformed", func(d []byte) []byte { return d[:len(d)-1] }),
		change("G02", "trailing-byte", "A byte too many.", "hardware.tpm_form", "malformed", func(d []byte) []byte { return append(d, 0) }),
		change("G01", "empty", "No byte at all.", "hardware.tpm_form", "malformed", func([]byte) []byte { return nil }),
		change("G03", "huge-part", "A part that says that it has 4 GiB.", "hardware.tpm_form", "malformed", func(d []byte) []byte {
			d = slices.Clone(d)
			copy(d[8:], []byte{0xff, 0xff, 0xff, 0xff})
			return d
		}),
		change("G03", "too-large", "More than any evidence may have.", "hardware.tpm_form", "too_large", func(d []byte) []byte { return append(d, make([]byte, attest.MaxEvidence)...) }),
		{row: "F02", name: "at-no-time", about: "Verified at the beginning of all time.", spec: specChain, check: "hardware.tpm_ak_validity", code: "expired", at: time.Unix(0, 0)},
	}
}

// azureCase is a Vector of an Azure VM before its evidence is made.
type azureCase struct {
	row, name, about, spec string
	check                  string
	code                   attest.Code
	opts                   []ParavisorOption
	trust                  string
	data                   func([]byte) []byte
}

// AzureRoots are the certificates that a verifier of the forged vectors trusts: the
// fake AMD's ARK, ASK and ASVK of Genoa.
func AzureRoots(t testing.TB) [][]byte {
	t.Helper()
	r := New().Roots(t, Genoa)
	return [][]byte{r.ARK.Raw, r.ASK.Raw, r.ASVK.Raw}
}

func (c azureCase) vector(t testing.TB) Vector {
	t.Helper()
	ev, end := MakeAzure(t, TPMNonce(), c.opts...)
	if c.data != nil {
		ev.Data = c.data(ev.Data)
	}
	stage := tpmCase{code: c.code, trust: c.trust}.stage()
	return Vector{
		Row: c.row, Name: c.name, About: c.about, Spec: c.spec, Evidence: ev, Endorsements: end,
		Roots: azureRootsOf(t, ev.Kind), At: Epoch(), Stage: stage, Check: c.check, Code: c.code, Trust: c.trust,
	}
}

// azureRootsOf returns the fake AMD's certificates or the fake Intel's.
func azureRootsOf(t testing.TB, k attest.Kind) [][]byte {
	if k == attest.AzureTDX {
		return [][]byte{NewIntel().Root(t)}
	}
	return AzureRoots(t)
}

// azureTDX are the rows of Azure VMs on TDX: how the TD quote belongs to the report.
func azureTDX() []azureCase {
	on := func(row, name, about, check string, code attest.Code, opts ...ParavisorOption) azureCase {
		return azureCase{row: row, name: name, about: about, spec: specTD, check: check, code: code, opts: append([]ParavisorOption{OnTDX()}, opts...)}
	}
	edit := func(f func([]byte)) ParavisorOption {
		return func(p *Paravisor) { p.TDReport = append(p.TDReport, f) }
	}
	// hashed changes the TDREPORT and its hash over TDINFO with it.
	hashed := func(at int) ParavisorOption {
		return edit(func(r []byte) {
			r[at] ^= 1
			copy(r[32:], tpmforge.Sum(tpmforge.SHA384, r[256:495]))
			copy(r[80:], tpmforge.Sum(tpmforge.SHA384, r[512:]))
		})
	}
	const quote, report = "hardware.hcl_td_quote", "hardware.hcl_td_report"
	return []azureCase{
		on("P19", "paravisor-on-tdx-healthy", "A quote by the TPM of a paravisor in a trust domain.", "", ""),
		on("G29", "td-of-another-mrtd", "A TD quote of a trust domain with another MRTD than the paravisor's report.", quote, "td_mismatch", hashed(512+16)),
		on("G29", "td-of-another-rtmr", "RTMR3 differs between TD quote and report.", quote, "td_mismatch", hashed(512+399)),
		on("G29", "td-of-other-attributes", "The attributes differ between TD quote and report.", quote, "td_mismatch", hashed(512)),
		on("G29", "td-under-another-module", "The TDX module differs between TD quote and report.", quote, "td_mismatch", hashed(264+16)),
		on("T25", "td-report-type", "A report of another type than a trust domain's.", report, "malformed", edit(func(r []byte) { r[0] = 0 })),
		on("T25", "td-report-info-hash", "A TDREPORT whose hash is not that of its TDINFO.", report, "malformed", edit(func(r []byte) { r[80] ^= 1 })),
		on("T25", "td-report-tcb-hash", "A TDREPORT whose hash is not that of its TEE_TCB_INFO.", report, "malformed", edit(func(r []byte) { r[32] ^= 1 })),
		on("G02", "td-report-reserved", "Something in a TDREPORT's reserved bytes.", report, "malformed", edit(func(r []byte) { r[4] = 1 })),
		on("G28", "no-td-quote", "A TDREPORT alone, which nobody away from its machine can check.", quote, "td_mismatch", func(p *Paravisor) {
			p.Form = append(p.Form, func(a *form.Azure) { a.TDQuote = nil })
		}),
		on("F07", "td-second-half-of-the-data", "The first 32 bytes of report data are right, the last are not zero.", "hardware.hcl_bound", "not_bound", func(p *Paravisor) {
			p.ReportData = append(p.ReportData, func(d *[64]byte) { d[40] = 1 })
		}),
		on("T10", "no-collateral", "Nothing says which TCB the platform has.", "hardware.endorsements", "no_collateral", func(p *Paravisor) {
			p.Intel = append(p.Intel, Without(attest.LabelIntelTCBInfo))
		}),
	}
}

// AzureVectors returns the rows of the attack catalogue that speak of Azure VMs.
func AzureVectors(t testing.TB) []Vector {
	t.Helper()
	var out []Vector
	for _, group := range [][]azureCase{azureHealthy(), azureReports(), azureRuntimes(), azureBindings(t), azureQuotes(), azurePolicies(t), azureTDX()} {
		for _, c := range group {
			out = append(out, c.vector(t))
		}
	}
	return out
}

func azureHealthy() []azureCase {
	return []azureCase{{row: "P19", name: "paravisor-healthy", about: "A quote by the TPM of a paravisor that the hardware vouches for.", spec: specHCL}}
}

func editReport(f func([]byte)) []ParavisorOption {
	return []ParavisorOption{func(p *Paravisor) {
		p.Report = append(p.Report, func(r []byte) []byte { f(r); return r })
	}}
}

func azureReports() []azureCase {
	hcl := func(row, name, about string, f func([]byte)) azureCase {
		return azureCase{row: row, name: name, about: about, spec: specHCL, check: "hardware.hcl_report", code: "malformed", opts: editReport(f)}
	}
	return []azureCase{
		hcl("G27", "other-signature", "The HCL report begins with other letters.", func(r []byte) { r[0] = 'X' }),
		hcl("G27", "version-3", "A version of the HCL report that nobody has described.", func(r []byte) { r[4] = 3 }),
		hcl("G03", "runtime-of-4-GiB", "Runtime claims longer than the report.", func(r []byte) { copy(r[1232:], []byte{0xff, 0xff, 0xff, 0xff}) }),
		hcl("G02", "runtime-shorter", "The runtime claims end before their last byte.", func(r []byte) { r[1232]-- }),
		hcl("G02", "bytes-behind-the-runtime", "Something behind the runtime claims.", func(r []byte) { r[len(r)-1] = 1 }),
		hcl("G02", "reserved-bytes", "Something in the header's reserved bytes.", func(r []byte) { r[24] = 1 }),
		hcl("G11", "hash-type", "Another hash than SHA-256 over the runtime claims.", func(r []byte) { r[1228] = 2 }),
		hcl("G27", "hardware-type", "A hardware report of a type that nobody has described.", func(r []byte) { r[1224] = 9 }),
		hcl("G01", "size", "A size that is not the report's.", func(r []byte) { r[8]++ }),
		{row: "G27", name: "hardware-type-tdx", about: "A report of SEV-SNP said to be TDX's, with zeros where the shorter one ends.", spec: specHCL, check: "hardware.hcl_kind", code: "kind_mismatch",
			opts: editReport(func(r []byte) { r[1224] = 4; clear(r[1056:1216]) })},
	}
}

func replaceRuntime(old, text string) []ParavisorOption {
	return []ParavisorOption{func(p *Paravisor) {
		p.Runtime = append(p.Runtime, func(r []byte) []byte { return bytes.Replace(r, []byte(old), []byte(text), 1) })
	}}
}

func azureRuntimes() []azureCase {
	runtime := func(row, name, about, old, text string) azureCase {
		return azureCase{row: row, name: name, about: about, spec: specJWK, check: "hardware.hcl_runtime", code: "malformed", opts: replaceRuntime(old, text)}
	}
	return []azureCase{
		runtime("G08", "duplicate-member", "Two members called keys.", `{"keys"`, `{"keys":[],"keys"`),
		runtime("G08", "case-variant", "The key's list is called Keys.", `"keys"`, `"Keys"`),
		runtime("G08", "two-documents", "A second document behind the first.", `"}`, `"}{}`),
		runtime("P19", "no-attestation-key", "The runtime claims name no attestation key.", "HCLAkPub", "HCLXkPub"),
		runtime("G13", "key-not-rsa", "The attestation key is said to be an elliptic curve's.", `"RSA"`, `"EC"`),
		runtime("G13", "small-exponent", "The attestation key has exponent 3.", "AQAB", "Aw"),
		runtime("G08", "modulus-padded", "The modulus in base64 with padding.", `"}],"vm`, `="}],"vm`),
		runtime("G08", "user-data-short", "user-data with one digit less.", `"user-data":"0`, `"user-data":"`),
	}
}

func azureBindings(t testing.TB) []azureCase {
	k := mustTPMKeys(t)
	other := tpmforge.NewAK(k.otherRSA, tpmforge.SHA256)
	otherRuntime := tpmforge.Runtime(&k.otherRSA.PublicKey, false)
	return []azureCase{
		{row: "S34", name: "runtime-swapped", about: "The runtime claims are not those that the hardware signed the hash of.", spec: specHCL, check: "hardware.hcl_bound", code: "not_bound",
			opts: []ParavisorOption{func(p *Paravisor) { p.ReportData = append(p.ReportData, func(d *[64]byte) { d[0] ^= 1 }) }}},
		{row: "S34", name: "user-data-swapped", about: "Other user-data than the hardware signed the hash of.", spec: specHCL, check: "hardware.hcl_bound", code: "not_bound",
			opts: []ParavisorOption{func(p *Paravisor) {
				p.Report = append(p.Report, func(r []byte) []byte { return bytes.Replace(r, []byte(`"user-data":"0`), []byte(`"user-data":"1`), 1) })
			}}},
		{row: "F07", name: "second-half-of-the-data", about: "The first 32 bytes of report data are right, the last are not zero.", spec: specHCL, check: "hardware.hcl_bound", code: "not_bound",
			opts: []ParavisorOption{func(p *Paravisor) { p.ReportData = append(p.ReportData, func(d *[64]byte) { d[63] = 1 }) }}},
		{row: "G29", name: "quote-of-another-machine", about: "A good quote by a TPM, and the paravisor's report of another machine.", spec: specHCL, check: "hardware.hcl_ak", code: "paravisor_key",
			opts: []ParavisorOption{func(p *Paravisor) { p.TPM.AK = other }}},
		{row: "P19", name: "report-of-another-machine", about: "The quote's own runtime claims under a hardware report that is over others.", spec: specHCL, check: "hardware.hcl_bound", code: "not_bound",
			opts: []ParavisorOption{func(p *Paravisor) {
				p.TPM.AK = other
				sum := sha256.Sum256(tpmforge.Runtime(&k.rsa.PublicKey, false))
				p.Runtime = append(p.Runtime, func([]byte) []byte { return otherRuntime })
				p.ReportData = append(p.ReportData, func(d *[64]byte) { copy(d[:], sum[:]) })
			}}},
		{row: "P08", name: "key-not-primary", about: "The quote's qualified name fits no primary key of that public area.", spec: specPublic, check: "hardware.hcl_ak_name", code: "paravisor_key",
			opts: []ParavisorOption{func(p *Paravisor) { p.TPM.AK.Parent = 0x81000001 }}},
		{row: "P08", name: "attributes-made-up", about: "The public area has another attribute than the key that signed.", spec: specPublic, check: "hardware.hcl_ak_name", code: "paravisor_key",
			opts: []ParavisorOption{func(p *Paravisor) {
				p.TPM.Form = append(p.TPM.Form, func(f *form.TPM) { f.AKPublic[7] ^= 0x40 })
			}}},
		{row: "G29", name: "td-quote-beside-snp", about: "A TD quote beside a report of SEV-SNP.", spec: specForm, check: "hardware.azure_td_quote", code: "ambiguous",
			opts: []ParavisorOption{func(p *Paravisor) { p.Form = append(p.Form, func(a *form.Azure) { a.TDQuote = []byte{4, 0} }) }}},
		{row: "G10", name: "hardware-signature", about: "The hardware's report was changed after it was signed.", spec: specAMD, check: "hardware.signature", code: "bad_signature",
			opts: []ParavisorOption{func(p *Paravisor) {
				p.SNP = append(p.SNP, EditSigned(func(r []byte) []byte { r[0x90] ^= 1; return r }))
			}}},
		{row: "S15", name: "certificate-of-another-chip", about: "The VCEK is another chip's.", spec: specAMD, check: "hardware.chip_id", code: "chip_mismatch",
			opts: []ParavisorOption{func(p *Paravisor) { p.SNP = append(p.SNP, CertHWID(bytes.Repeat([]byte{3}, 64))) }}},
		{row: "G24", name: "ask-revoked", about: "AMD revoked the CA below its root.", spec: "RFC 5280, 5.3; AMD 57230", check: "hardware.ark_crl_entries", code: "revoked",
			opts: []ParavisorOption{func(p *Paravisor) {
				p.SNP = append(p.SNP, ARKCRL(Revoke(New().Chain(t, Genoa).ASK.Cert.SerialNumber)))
			}}},
	}
}

func azureQuotes() []azureCase {
	quote := func(row, name, about, check string, code attest.Code, f func(*tpmforge.Quote)) azureCase {
		return azureCase{row: row, name: name, about: about, spec: specAttest, check: check, code: code,
			opts: []ParavisorOption{func(p *Paravisor) { p.TPM.Quote = append(p.TPM.Quote, f) }}}
	}
	return []azureCase{
		quote("P01", "paravisor-magic", "The paravisor's TPM signed foreign bytes.", "hardware.tpm_magic", "tpm_generated", func(q *tpmforge.Quote) { q.Magic = 1 }),
		quote("P02", "paravisor-type", "The paravisor's TPM certified a key.", "hardware.tpm_type", "tpm_not_quote", func(q *tpmforge.Quote) { q.Type = 0x8017 }),
		quote("P05", "paravisor-registers", "Other registers than were quoted.", "hardware.tpm_pcrs", "pcr_digest", func(q *tpmforge.Quote) { q.Digest[1] ^= 1 }),
		{row: "P14", name: "paravisor-log", about: "An event log that leads to other registers.", spec: specLog, check: "hardware.tpm_event_log", code: "event_log",
			opts: []ParavisorOption{func(p *Paravisor) { editLog(func(l *tpmforge.Log) { l.Events = l.Events[1:] })[0](p.TPM) }}},
		{row: "G02", name: "paravisor-trailing-byte", about: "A byte behind the evidence.", spec: specForm, check: "hardware.azure_form", code: "malformed", data: func(d []byte) []byte { return append(d, 0) }},
		{row: "G03", name: "paravisor-too-large", about: "More than any evidence may have.", spec: specForm, check: "hardware.azure_size", code: "too_large",
			data: func(d []byte) []byte { return append(d, make([]byte, attest.MaxEvidence)...) }},
	}
}

// AzureTrust is a trust file that accepts the healthy paravisor.
func AzureTrust(t testing.TB, edits ...string) string {
	sum := Measurement()
	text := strings.NewReplacer("    tpm: {", fmt.Sprintf("    azure-sev-snp: {measurement: \"%x\", ", sum), "  tpm: {clock", "  azure: {clock").Replace(TPMTrust(t))
	return strings.NewReplacer(edits...).Replace(text)
}

func azurePolicies(t testing.TB) []azureCase {
	appraised := func(row, name, about, check string, code attest.Code, opts ...ParavisorOption) azureCase {
		return azureCase{row: row, name: name, about: about, spec: specHCL, check: check, code: code, trust: AzureTrust(t), opts: opts}
	}
	register := func(i uint8) ParavisorOption {
		return func(p *Paravisor) { p.TPM.Registers[i] = bytes.Repeat([]byte{9}, 32) }
	}
	out := []azureCase{
		appraised("B13", "console-on", "The host has a console of the machine.", "hardware.azure_console", "vm_configuration", func(p *Paravisor) { p.Console = true }),
		appraised("P22", "secure-boot-off-says-the-paravisor", "The machine was set up without Secure Boot.", "hardware.azure_secure_boot", "vm_configuration", replaceRuntime(`"secure-boot":true`, `"secure-boot":false`)...),
		appraised("P22", "secure-boot-not-said", "The paravisor does not say whether Secure Boot is on.", "hardware.azure_secure_boot", "vm_configuration", replaceRuntime(`"secure-boot":true,`, ``)...),
		appraised("S01", "debug-below-the-paravisor", "The host may read the memory of the machine.", "hardware.debug", "debug", func(p *Paravisor) { p.SNP = append(p.SNP, Debug()) }),
		appraised("S06", "report-of-vmpl-2", "The hardware's report was asked for below the paravisor.", "hardware.vmpl", "vmpl", func(p *Paravisor) { p.SNP = append(p.SNP, VMPL(2)) }),
		appraised("S23", "other-paravisor", "The paravisor is another than the trust file names.", "code.measurement", "measurement", func(p *Paravisor) { p.SNP = append(p.SNP, WithMeasurement([48]byte{1})) }),
		appraised("P13", "paravisor-clock-not-safe", "The paravisor's TPM lost an update of its clock.", "hardware.tpm_clock", "tpm_clock", func(p *Paravisor) {
			p.TPM.Quote = append(p.TPM.Quote, func(q *tpmforge.Quote) { q.Safe = 0 })
		}),
	}
	for _, i := range []uint8{4, 7, 9, 11, 12} {
		out = append(out, appraised("P16", fmt.Sprintf("paravisor-other-pcr-%d", i), fmt.Sprintf("PCR %d is not the one in the trust file.", i), "code.measurement", "measurement", register(i)))
	}
	return out
}
