package dcap

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/intelforge"
)

func ptr[T any](v T) *T { return &v }

// TestQuoteForms: every version with every body that it may have.
func TestQuoteForms(t *testing.T) {
	for _, c := range []struct {
		tee     TEE
		version uint16
		body    BodyType
	}{{SGX, 3, BodySGX}, {SGX, 4, BodySGX}, {SGX, 5, BodySGX}, {TDX, 4, BodyTDX10}, {TDX, 5, BodyTDX10}, {TDX, 5, BodyTDX15}} {
		f := newForged(t, c.tee)
		f.version, f.bodyType = c.version, uint16(c.body)
		facts, checks := f.verify(t)
		if facts == nil {
			t.Errorf("version %d, %s: %v", c.version, c.body, failed(checks))
			continue
		}
		q := facts.Quote
		if q.Header.Version != c.version || q.BodyType != c.body || (q.Enclave != nil) != (c.tee == SGX) || (q.TD != nil) != (c.tee == TDX) {
			t.Errorf("version %d, %s: read as %+v", c.version, c.body, q.Header)
		}
	}
}

func TestQuoteRefuses(t *testing.T) {
	quote := func(edit func(*intelforge.Quote)) func(*forged) { return func(f *forged) { f.unsigned = edit } }
	after := func(edit func(*intelforge.Quote)) func(*forged) { return func(f *forged) { f.signed = edit } }
	raw := func(edit func([]byte) []byte) func(*forged) { return func(f *forged) { f.bytes = edit } }
	v5 := func(edit func(*intelforge.Quote)) func(*forged) {
		return func(f *forged) { f.version, f.unsigned = 5, edit }
	}
	reserved := func(at int) func(*forged) { return func(f *forged) { f.enclave.Reserved[at] = 1 } }
	for _, c := range []struct {
		name string
		tee  TEE
		edit func(*forged)
		code attest.Code
	}{
		{"too large", TDX, raw(func(q []byte) []byte { return append(q, make([]byte, maxQuote)...) }), attest.CodeTooLarge},
		{"version 2", SGX, quote(func(q *intelforge.Quote) { q.Header.Version = 2 }), CodeUnsupported},
		{"version 6", TDX, quote(func(q *intelforge.Quote) { q.Header.Version = 6 }), CodeUnsupported},
		{"version 3 of a TD", TDX, quote(func(q *intelforge.Quote) { q.Header.Version = 3 }), CodeUnsupported},
		{"key type 1", SGX, quote(func(q *intelforge.Quote) { q.Header.KeyType = 1 }), CodeUnsupportedAlg},
		{"key type 3", TDX, quote(func(q *intelforge.Quote) { q.Header.KeyType = 3 }), CodeUnsupportedAlg},
		{"another TEE", TDX, quote(func(q *intelforge.Quote) { q.Header.TEE = 0x82 }), CodeUnsupported},
		{"the other TEE", TDX, func(f *forged) { f.tee, f.version, f.bodyType = SGX, 3, intelforge.BodySGX }, attest.CodeKindMismatch},
		{"another vendor", SGX, quote(func(q *intelforge.Quote) { q.Header.VendorID[15] = 0 }), CodeQEVendor},
		{"reserved header field", TDX, quote(func(q *intelforge.Quote) { q.Header.PCESVN = 1 }), attest.CodeMalformed},
		{"reserved field 1", SGX, reserved(11), attest.CodeMalformed},
		{"reserved field 2", SGX, reserved(43), attest.CodeMalformed},
		{"reserved field 3", SGX, reserved(75), attest.CodeMalformed},
		{"reserved field 4", SGX, reserved(117), attest.CodeMalformed},
		{"reserved field of the QE", TDX, func(f *forged) { f.qe.Reserved[50] = 1 }, attest.CodeMalformed},
		{"body type 4", TDX, v5(func(q *intelforge.Quote) { q.BodyType = 4 }), CodeUnsupported},
		{"body type 0", TDX, v5(func(q *intelforge.Quote) { q.BodyType = 0 }), CodeUnsupported},
		{"enclave body in a TD quote", TDX, v5(func(q *intelforge.Quote) { q.BodyType = 1 }), CodeUnsupported},
		{"TD body in an enclave quote", SGX, v5(func(q *intelforge.Quote) { q.BodyType = 2 }), CodeUnsupported},
		{"body size", TDX, v5(func(q *intelforge.Quote) { q.Lengths.Body = ptr[uint32](585) }), attest.CodeMalformed},
		{"body size 4 GiB", TDX, v5(func(q *intelforge.Quote) { q.Lengths.Body = ptr[uint32](1<<32 - 1) }), attest.CodeMalformed},
		{"signature data 4 GiB", SGX, after(func(q *intelforge.Quote) { q.Lengths.Auth = ptr[uint32](1<<32 - 1) }), attest.CodeMalformed},
		{"signature data 2 GiB", TDX, after(func(q *intelforge.Quote) { q.Lengths.Auth = ptr[uint32](1 << 31) }), attest.CodeMalformed},
		{"signature data one short", TDX, raw(func(q []byte) []byte { return resize(q, 48+584, -1) }), attest.CodeMalformed},
		{"signature data one long", SGX, raw(func(q []byte) []byte { return append(resize(q, 48+384, 1), 0) }), attest.CodeMalformed},
		{"outer data one short", TDX, raw(func(q []byte) []byte { return resize(q, 48+584+4+128+2, -1) }), attest.CodeMalformed},
		{"outer data 4 GiB", TDX, after(func(q *intelforge.Quote) { q.Lengths.Outer = ptr[uint32](1<<32 - 1) }), attest.CodeMalformed},
		{"authentication data too long", TDX, after(func(q *intelforge.Quote) { q.Lengths.QEAuth = ptr[uint16](1<<16 - 1) }), attest.CodeMalformed},
		{"chain one short", SGX, after(func(q *intelforge.Quote) { q.Lengths.Cert = ptr(uint32(len(q.CertData) - 1)) }), attest.CodeMalformed},
		{"chain one long", TDX, after(func(q *intelforge.Quote) { q.Lengths.Cert = ptr(uint32(len(q.CertData) + 1)) }), attest.CodeMalformed},
		{"clear PPID", SGX, quote(func(q *intelforge.Quote) { q.CertType = 1 }), CodeNoPCKChain},
		{"PCK without issuers", TDX, quote(func(q *intelforge.Quote) { q.CertType = 4 }), CodeNoPCKChain},
		{"nested twice", SGX, quote(func(q *intelforge.Quote) { q.CertType = 6 }), CodeNoPCKChain},
		{"platform manifest", TDX, quote(func(q *intelforge.Quote) { q.CertType = 7 }), CodeNoPCKChain},
		{"not nested", TDX, quote(func(q *intelforge.Quote) { q.OuterType = 5 }), CodeNoPCKChain},
		{"a zero behind an enclave's quote", SGX, raw(func(q []byte) []byte { return append(q, 0) }), attest.CodeMalformed},
		{"text behind a TD's quote", TDX, raw(func(q []byte) []byte { return append(q, "extra"...) }), attest.CodeMalformed},
		{"text behind zeros", TDX, raw(func(q []byte) []byte { return append(append(q, make([]byte, 70)...), 'x') }), attest.CodeMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newForged(t, c.tee)
			c.edit(f)
			q, check := ReadQuote(f.quote(t), c.tee)
			if q != nil || check.Code != c.code || check.Name != "hardware.quote" {
				t.Errorf("quote: %t, %v; expected %s", q != nil, check, c.code)
			}
			if _, err := ParseQuote(f.quote(t)); (err == nil) != (c.code == attest.CodeKindMismatch) || err != nil && !strings.Contains(err.Error(), string(c.code)) {
				t.Errorf("ParseQuote: %v", err)
			}
		})
	}
}

// resize adds n to the length that stands at the offset and leaves all else.
func resize(q []byte, at, n int) []byte {
	q = bytes.Clone(q)
	old := binary.LittleEndian.Uint32(q[at:])
	binary.LittleEndian.PutUint32(q[at:], uint32(int(old)+n))
	return q
}

func TestQuoteTruncated(t *testing.T) {
	for _, tee := range []TEE{SGX, TDX} {
		whole := newForged(t, tee).quote(t)
		for n := range whole {
			if q, check := ReadQuote(whole[:n], tee); q != nil || check.Code != attest.CodeMalformed {
				t.Fatalf("%s: the first %d of %d bytes: %v", tee, n, len(whole), check)
			}
		}
	}
}

// TestQuotePadding: kernels hand quotes over in buffers of their own size.
func TestQuotePadding(t *testing.T) {
	for _, n := range []int{0, 1, 70, 3065} {
		f := newForged(t, TDX)
		f.bytes = func(q []byte) []byte { return append(q, make([]byte, n)...) }
		facts, checks := f.verify(t)
		if facts == nil {
			t.Fatalf("%d zeros: %v", n, failed(checks))
		}
		if facts.Quote.Padding != n {
			t.Errorf("padding %d, expected %d", facts.Quote.Padding, n)
		}
	}
}

// TestQuoteSharesNothing: a caller that writes over its buffer changes nothing.
func TestQuoteSharesNothing(t *testing.T) {
	f := newForged(t, TDX)
	data := f.quote(t)
	q, _ := ReadQuote(data, TDX)
	clear(data)
	if facts, checks := f.engine(t).Verify(q, f.collateral(t), f.at); facts == nil {
		t.Fatal(failed(checks))
	}
}
