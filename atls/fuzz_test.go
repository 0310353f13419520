package atls

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"

	"github.com/blindbox/blindbox/attest"
)

// FuzzFrame reads what a stranger sends, on both sides: no panic, no more than
// the limit, an error or a message that has exactly one encoding.
func FuzzFrame(f *testing.F) {
	h := hello{nonce: [32]byte{1}, purpose: attest.PurposeSession, kinds: []string{"sev-snp", "sim-sev-snp"}, offers: make([]attest.Digest, 2)}
	peer := h
	peer.purpose, peer.offers = attest.PurposePeer, nil
	seeds := [][]byte{
		frameBytes(frameHello, h.encode()),
		frameBytes(frameHello, peer.encode()),
		frameBytes(frameFull, full{bundle: []byte("BBXBNDL1")}.encode()),
		frameBytes(frameFull, full{mutual: true, nonce: [32]byte{2}, kinds: []string{"sev-snp"}, bundle: []byte("b")}.encode()),
		frameBytes(frameFast, fast{statement: []byte("statement"), signature: make([]byte, ed25519.SignatureSize)}.encode()),
		frameBytes(frameRefuse, refuse{code: attest.CodeUnavailable, text: "no evidence"}.encode()),
		frameBytes(frameAccept, nil),
		frameBytes(frameAccept, []byte("BBXBNDL1")),
		frameBytes(frameAccepted, nil),
		[]byte("GET / HTTP/1.1\r\n\r\n"),
		[]byte("BBG1\x01\xff\xff\xff\xff"),
		[]byte("BBG1"),
		nil,
	}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, slots := range [][]slot{
			{{frameHello, maxHello}},
			{{frameFull, maxFull}, {frameFast, maxFast}, {frameRefuse, maxRefuse}},
			{{frameAccept, attest.MaxBundle}},
			{{frameAccepted, 0}, {frameRefuse, maxRefuse}},
		} {
			fuzzFrame(t, data, slots)
		}
	})
}

func fuzzFrame(t *testing.T, data []byte, slots []slot) {
	r := bytes.NewReader(data)
	typ, payload, err := readFrame(r, slots...)
	if err != nil {
		if payload != nil {
			t.Fatal("a payload and an error")
		}
		return
	}
	if used := len(data) - r.Len(); used != frameHeader+len(payload) || !bytes.Equal(frameBytes(typ, payload), data[:used]) {
		t.Fatalf("frame %s of %d bytes was read as %d bytes", typ, len(payload), used)
	}
	var again []byte
	switch typ {
	case frameHello:
		var h hello
		h, err = parseHello(payload)
		again = h.encode()
	case frameFull:
		var f full
		f, err = parseFull(payload)
		again = f.encode()
	case frameFast:
		var f fast
		f, err = parseFast(payload)
		again = f.encode()
	case frameRefuse:
		if r, err := parseRefuse(payload); err == nil && !isCode(string(r.code)) {
			t.Fatalf("code %q", r.code)
		}
		return
	default:
		return
	}
	var failure *attest.Failure
	switch {
	case err != nil && !errors.As(err, &failure):
		t.Fatalf("%s: error %v is no refusal", typ, err)
	case err == nil && !bytes.Equal(again, payload):
		t.Fatalf("%s: %x encodes to %x", typ, payload, again)
	}
}
