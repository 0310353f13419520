package tpm

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/internal/pki"
	"github.com/blindbox/blindbox/attest/internal/tcg"
)

// Examine runs every check of a quote but the one whose key it is: it returns
// Claims that are Unbound, and nil if the parts cannot be read. The Claims count
// only if none of the checks failed. Package azure uses it, where a hardware report
// names the key.
func Examine(q form.TPM) (*Claims, []attest.Check) {
	e := &examination{form: q, checks: make([]attest.Check, 0, maxChecks)}
	e.quoteForm()
	e.keyForm()
	e.signatureForm()
	if e.quote == nil {
		return nil, e.checks
	}
	e.selection()
	e.registers()
	if e.key == nil || e.sig == nil {
		return nil, e.checks
	}
	e.schemeAndSignature()
	claims := &Claims{AKName: e.key.Name, Hierarchy: e.hierarchy(), Quote: e.quote, Bank: tcg.Algorithm(q.Bank), PCRs: pcrMap(q.PCRs)}
	return claims, e.checks
}

// maxChecks is room for the checks of one quote.
const maxChecks = 16

// examination is one run over one quote.
type examination struct {
	form   form.TPM
	quote  *Quote
	key    *Public
	sig    *signature
	checks []attest.Check
}

func (e *examination) judge(name string, ok bool, code attest.Code, seen, expected string) bool {
	e.checks = append(e.checks, pki.Judge(name, ok, code, seen, expected))
	return ok
}

// parsed records the outcome of a parser.
func (e *examination) parsed(name string, err error, seen, expected string) bool {
	if err != nil {
		return e.judge(name, false, attest.CodeMalformed, err.Error(), expected)
	}
	return e.judge(name, true, "", seen, expected)
}

// quoteForm establishes that the bytes are a quote. A restricted key signs them
// only if the TPM made them up, which it shows by the magic; and of all that it
// makes up only a quote is about registers.
func (e *examination) quoteForm() {
	h, err := parseHeader(e.form.Quote)
	if !e.parsed("hardware.tpm_attestation", err, "readable", "a TPMS_ATTEST") {
		return
	}
	magic := e.judge("hardware.tpm_magic", h.magic == generatedValue, CodeNotGenerated, hexNumber(uint32(h.magic)), "0xff544347")
	kind := e.judge("hardware.tpm_type", h.kind == typeQuote, CodeNotQuote, hexNumber(uint32(h.kind)), "0x8018 (quote)")
	if !magic || !kind {
		return
	}
	quote, err := ParseQuote(bytes.Clone(e.form.Quote))
	if e.parsed("hardware.tpm_quote", err, "readable", "a quote") {
		e.quote = quote
	}
}

func hexNumber(n uint32) string { return "0x" + strconv.FormatUint(uint64(n), 16) }

// attestationKey is what every attestation key is: made by this TPM, unable to
// leave it, and signing nothing but what the TPM makes up itself. Without
// Restricted it would sign any bytes that look like a quote.
const attestationKey = FixedTPM | FixedParent | SensitiveDataOrigin | Restricted | Sign

func (e *examination) keyForm() {
	key, err := ParsePublic(e.form.AKPublic)
	if !e.parsed("hardware.tpm_ak", err, "readable", "the public area of an RSA or ECC key") {
		return
	}
	e.key = key
	ok := key.Attributes.Has(attestationKey) && !key.Attributes.Has(Decrypt)
	e.judge("hardware.tpm_ak_attributes", ok, CodeKey, key.Attributes.String(),
		"restricted, sign, fixedTPM, fixedParent and sensitiveDataOrigin, and not decrypt")
}

func (e *examination) signatureForm() {
	sig, err := parseSignature(e.form.Signature)
	if e.parsed("hardware.tpm_signature_form", err, "readable", "a TPMT_SIGNATURE") {
		e.sig = sig
	}
}

// selection establishes that the quote is over one bank with a sound hash, and
// over exactly the registers that were given.
func (e *examination) selection() {
	_, sound := hashOf(e.form.Bank)
	one := len(e.quote.selections) == 1 && e.quote.selections[0].bank == e.form.Bank
	e.judge("hardware.tpm_bank", sound && one, CodeBank, e.banks(), "one bank, SHA-256 or SHA-384, the one given")
	var quoted []uint8
	given := make([]uint8, 0, len(e.form.PCRs))
	if one {
		quoted = e.quote.selections[0].pcrs
	}
	for _, p := range e.form.PCRs {
		given = append(given, p.Index)
	}
	e.judge("hardware.tpm_selection", len(given) != 0 && slices.Equal(quoted, given), CodeSelection, listed("quoted", quoted), listed("the registers given:", given))
}

// listed writes register numbers without boxing each of them.
func listed(what string, pcrs []uint8) string {
	out := append(make([]byte, 0, len(what)+3*form.MaxPCRs), what...)
	for _, i := range pcrs {
		out = strconv.AppendUint(append(out, ' '), uint64(i), 10)
	}
	return string(out)
}

func (e *examination) banks() string {
	var names []string
	for _, s := range e.quote.selections {
		names = append(names, tcg.Algorithm(s.bank).String())
	}
	return fmt.Sprintf("quoted %v, given %s", names, tcg.Algorithm(e.form.Bank))
}

// registers compares the values given with the digest that was signed. The digest
// is made with the hash of the signature (Part 3, 18.4), and each value has the
// length of its bank.
func (e *examination) registers() {
	parts := make([][]byte, 0, len(e.form.PCRs))
	size := tcg.Algorithm(e.form.Bank).Size()
	sized := size != 0
	for _, p := range e.form.PCRs {
		sized = sized && len(p.Value) == size
		parts = append(parts, p.Value)
	}
	var sum []byte
	if e.sig != nil {
		if h, ok := hashOf(e.sig.hash); ok {
			sum = digest(h, parts...)
		}
	}
	seen := append(hex.AppendEncode(append(make([]byte, 0, 192), "digest "...), sum), " of the registers given"...)
	e.judge("hardware.tpm_pcrs", sized && len(sum) != 0 && bytes.Equal(sum, e.quote.PCRDigest), CodePCRDigest,
		string(seen), hex.EncodeToString(e.quote.PCRDigest)+", as quoted")
	e.extended()
}

// firmwarePCRs are the registers that every firmware extends, if with nothing else
// then with a separator (PFP 3.3.4).
const firmwarePCRs = 8

// extended refuses a register that should have been extended and was not. Where a
// bank is enabled that the firmware does not serve, all of its registers keep
// their first value, and whoever controls the machine extends them as he likes.
func (e *examination) extended() {
	var bad []uint8
	for _, p := range e.form.PCRs {
		if p.Index < firmwarePCRs && isFirst(p) {
			bad = append(bad, p.Index)
		}
	}
	seen := "no PCR of the firmware's with its first value"
	if len(bad) != 0 {
		seen = fmt.Sprintf("PCR %v with its first value", bad)
	}
	e.judge("hardware.tpm_extended", len(bad) == 0, CodeNotExtended, seen, "PCR 0 to 7 extended by the firmware")
}

// isFirst reports whether a register has the value that it starts with: zeros, in
// PCR 0 with the startup locality at the end, or ones.
func isFirst(p form.PCR) bool {
	if len(p.Value) == 0 {
		return true
	}
	body, last := p.Value[:len(p.Value)-1], p.Value[len(p.Value)-1]
	uniform := !slices.ContainsFunc(body, func(b byte) bool { return b != body[0] })
	return uniform && (body[0] == 0 && (last == 0 || p.Index == 0 && last <= 4) || body[0] == 0xff && last == 0xff)
}

func (e *examination) schemeAndSignature() {
	err := e.sig.fits(e.key)
	if err != nil {
		e.judge("hardware.tpm_scheme", false, CodeScheme, err.Error(), "the scheme and hash of the key")
		return
	}
	e.judge("hardware.tpm_scheme", true, "", hexNumber(uint32(e.sig.scheme))+" with hash "+hexNumber(uint32(e.sig.hash)), "")
	valid, seen := e.sig.verify(e.key, e.form.Quote), "verified"
	if !valid {
		seen = "not by the attestation key"
	}
	e.judge("hardware.tpm_signature", valid, attest.CodeBadSignature, seen, "a signature by the attestation key")
}

// hierarchy compares the qualified name in the quote with that of a primary key
// of this name. The TPM itself puts the qualified name there, so where it fits,
// every bit of the public area is what the TPM says it is.
func (e *examination) hierarchy() Hierarchy {
	for _, h := range []Hierarchy{HierarchyEndorsement, HierarchyOwner, HierarchyPlatform} {
		var handle [4]byte
		binary.BigEndian.PutUint32(handle[:], uint32(h))
		if bytes.Equal(nameOf(e.key.nameAlg, handle[:], e.key.Name), e.quote.QualifiedSigner) {
			return h
		}
	}
	return HierarchyUnknown
}
