package audit

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/blindbox/blindbox/internal/jws"
)

// TestLines: each rule about the form of a line, with the reason that it gives.
func TestLines(t *testing.T) {
	zero := strings.Repeat("0", 64)
	good := `{"seq":3,"time":"2026-11-22T12:00:00.000000Z","type":"stop"}`
	for name, c := range map[string]struct{ line, says string }{
		"good":       {zero + " " + good, ""},
		"short":      {zero + " ", "not a hash"},
		"no space":   {zero + "_" + good, "not a hash"},
		"upper case": {strings.Repeat("A", 64) + " " + good, "64 digits"},
		"no hex":     {strings.Repeat("x", 64) + " " + good, "64 digits"},
		"no JSON":    {zero + " x", "known members"},
		"unknown":    {zero + " " + strings.Replace(good, `"seq"`, `"x":1,"seq"`, 1), "known members"},
		"time":       {zero + " " + strings.Replace(good, ".000000Z", "Z", 1), "not of the form"},
		"type":       {zero + " " + strings.Replace(good, "stop", "stoq", 1), "unknown type"},
		"space":      {zero + " " + strings.Replace(good, ":3", ": 3", 1), "one spelling"},
		"other's":    {zero + " " + strings.Replace(good, `"stop"`, `"stop","line":1`, 1), "one spelling"},
		"escape":     {zero + " " + strings.Replace(good, `"stop"`, `"\u0073top"`, 1), "one spelling"},
	} {
		_, _, r, err := parseLine([]byte(c.line))
		if c.says == "" && (err != nil || r.Seq != 3) || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || r.Seq != 0) {
			t.Errorf("%s: %v, expected %q", name, err, c.says)
		}
	}
	for line, says := range map[string]string{"earlier 1": "what came before", "earlier x " + zero: "what came before", "earlier 1 " + zero[1:]: "64 digits"} {
		if next, _, err := parseEarlier([]byte(line)); err == nil || next != 0 || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %d, %v, expected %q", line, next, err, says)
		}
	}
}

// TestHeadForm: a head has one spelling and one version.
func TestHeadForm(t *testing.T) {
	key := newKey(t)
	plain, err := json.Marshal(head{Version: 1, Seq: 3, Kind: "k"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(string) string
		says   string
	}{
		"good":      {func(s string) string { return s }, ""},
		"version 2": {func(s string) string { return strings.Replace(s, `"v":1`, `"v":2`, 1) }, "one spelling"},
		"space":     {func(s string) string { return s + " " }, "one spelling"},
		"unknown":   {func(s string) string { return strings.Replace(s, `"v":1`, `"v":1,"x":1`, 1) }, "strictjson"},
		"no JSON":   {func(string) string { return "x" }, "strictjson"},
	} {
		token, err := key.signer.Sign(HeadType, []byte(c.change(string(plain))))
		if err != nil {
			t.Fatal(err)
		}
		h, _, err := openHead(token)
		if c.says == "" && (err != nil || h.Seq != 3) || c.says != "" && (err == nil || h.Seq != 0 || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %+v, %v, expected %q", name, h, err, c.says)
		}
	}
	token, err := key.signer.Sign("blindbox-receipt+jws", plain)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := openHead(token); err == nil || !strings.Contains(err.Error(), "jws") {
		t.Errorf("a receipt is a head: %v", err)
	}
}

// stubborn is a key that signs no more.
type stubborn struct{ *ecdsa.PrivateKey }

func (stubborn) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("worn out")
}

// TestKeyThatFails: the chain goes on without signatures, and the box is told.
func TestKeyThatFails(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jws.NewSigner(stubborn{private})
	if err != nil {
		t.Fatal(err)
	}
	out := newSink()
	cfg := config(t, out)
	cfg.Key = &fakeKey{signer: s, box: newKey(t).box}
	l := open(t, cfg, First())
	l.Decided(allow("clinic"))
	if l.Head() != "" {
		t.Error("a head by nobody")
	}
	if err := l.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "worn out") {
		t.Errorf("%v", err)
	}
	if r := sound(t, out.bytes()); r.Runs[0].Heads != 0 || r.Runs[0].Tail != 3 || r.Allowed != 1 {
		t.Errorf("%+v", r)
	}
	if err := open(t, config(t, newSink()), First()).Rekey(&fakeKey{}); err == nil {
		t.Error("a key without a signer")
	}
}

// TestReadError: a file that breaks off while it is read is no verdict.
func TestReadError(t *testing.T) {
	for _, text := range []string{"", "abc\n", strings.Repeat("x", 3*maxLine)} {
		if r, err := Verify(io.MultiReader(bytes.NewReader([]byte(text)), failing{})); err == nil || r.Fault != nil {
			t.Errorf("%d bytes: %v", len(text), err)
		}
	}
	// Also if it goes on afterwards, in the middle of a line that is too long.
	if _, err := Verify(iotest.TimeoutReader(strings.NewReader(strings.Repeat("x", 3*maxLine)))); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("%v", err)
	}
}
