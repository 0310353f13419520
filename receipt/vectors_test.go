package receipt_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/sim"
	"github.com/blindbox/blindbox/box/signing"
	"github.com/blindbox/blindbox/internal/jws"
	"github.com/blindbox/blindbox/receipt"
)

var update = flag.Bool("update", false, "write vectors/receipt anew")

const vectors = "../vectors/receipt"

// input is what a verifier has in front of it, expected what must come of it.
type input struct {
	Token    string   `json:"token"`
	Bundle   []byte   `json:"bundle"` // base64
	Request  *message `json:"request,omitempty"`
	Response *message `json:"response,omitempty"`
}

type message struct {
	Method   string              `json:"method,omitempty"`
	Target   string              `json:"target,omitempty"`
	Status   int                 `json:"status,omitempty"`
	Header   map[string][]string `json:"header"`
	Body     []byte              `json:"body"` // base64
	Trailers map[string][]string `json:"trailers,omitempty"`
}

type expected struct {
	About   string      `json:"about"`
	Verdict string      `json:"verdict"` // accepted, refused
	Code    attest.Code `json:"code,omitempty"`
	// Check is one that fails, where the receipt itself can be read.
	Check   string `json:"check,omitempty"`
	Key     string `json:"key,omitempty"`
	Payload string `json:"payload,omitempty"` // as text, of what is accepted
}

// judge is what a verifier does with a case, but for the evidence itself: that is
// signed by nobody's hardware here.
func judge(in input) (receipt.Opened, []attest.Check, error) {
	o, err := receipt.Open(in.Token)
	if err != nil {
		return receipt.Opened{}, nil, err
	}
	b, err := attest.ParseBundle(in.Bundle)
	if err != nil {
		return receipt.Opened{}, nil, err
	}
	checks := o.Bind(b)
	if m := in.Request; m != nil {
		checks = append(checks, o.Request.CompareHead("request", receipt.RequestHead(m.Method, m.Target, m.Header)),
			o.Request.CompareBody("request", int64(len(m.Body)), sha256.Sum256(m.Body)))
	}
	if m := in.Response; m != nil {
		checks = append(checks, o.Response.CompareHead("response", receipt.ResponseHead(m.Status, m.Header)),
			o.Response.CompareBody("response", int64(len(m.Body)), sha256.Sum256(m.Body)))
		if got := receipt.Trailers(m.Trailers); o.Response.Trailers != got {
			checks = append(checks, attest.Check{Name: "receipt.response_trailers", Code: receipt.CodeDigest, Seen: o.Response.Trailers.String(), Expected: got.String()})
		}
	}
	return o, checks, nil
}

// TestVectors: what vectors/receipt says about each case comes out.
func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	dirs, err := filepath.Glob(filepath.Join(vectors, "[0-9]*"))
	if err != nil || len(dirs) < 12 {
		t.Fatalf("%d cases, %v", len(dirs), err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var in input
			var want expected
			readJSON(t, filepath.Join(dir, "input.json"), &in)
			readJSON(t, filepath.Join(dir, "expected.json"), &want)
			o, checks, err := judge(in)
			var f *attest.Failure
			if err == nil {
				err = attest.FailureOf(checks)
			}
			switch {
			case want.Verdict == "accepted":
				payload, _ := o.Encode()
				if err != nil || string(payload) != want.Payload || o.Key.String() != want.Key {
					t.Errorf("%v\n%s", err, payload)
				}
			case want.Verdict != "refused" || !errors.As(err, &f):
				t.Errorf("%v, expected %+v", err, want)
			default:
				found := false
				for _, c := range f.Failed() {
					found = found || c.Code == want.Code && (want.Check == "" || c.Name == want.Check)
				}
				if !found {
					t.Errorf("%v, expected %s by %s", err, want.Code, want.Check)
				}
			}
		})
	}
}

func readJSON(t *testing.T, file string, out any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, out); err != nil {
		t.Fatal(err)
	}
}

// maker makes cases around one receipt of one simulated box.
type maker struct {
	t        *testing.T
	key      *signing.Key
	other    *signing.Key
	receipt  receipt.Receipt
	request  message
	response message
	n        int
}

func newMaker(t *testing.T) *maker {
	t.Helper()
	now := time.Date(2026, 11, 22, 12, 0, 0, 250e6, time.UTC)
	root, err := sim.NewRoot(rand.Reader, now)
	if err != nil {
		t.Fatal(err)
	}
	policy := []byte("name: demo\nmodels:\n  - {name: tumour, builtin: tumour}\n")
	attester, err := root.NewAttester(sim.Box{Measurement: sim.Measure([]byte("code")), HostData: sha256.Sum256(policy)}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	m := &maker{t: t}
	for _, k := range []**signing.Key{&m.key, &m.other} {
		if *k, err = signing.New(context.Background(), signing.Config{Attester: attester, Policy: policy, Now: func() time.Time { return now }}); err != nil {
			t.Fatal(err)
		}
	}
	m.request = message{Method: "POST", Target: "/v2/models/tumour/infer?x=%20", Header: map[string][]string{"Content-Type": {"application/json"}}, Body: []byte(`{"a":1}`)}
	m.response = message{Status: 200, Header: map[string][]string{"Content-Type": {"text/plain"}, "Content-Encoding": {"identity"}}, Body: []byte("answer\n"), Trailers: map[string][]string{"X-Sum": {"1", "2"}, "X-A": {""}}}
	m.receipt = receipt.Receipt{
		Version: 1, ID: signing.RandomID(), Nonce: "nonce-of-the-caller", Began: receipt.At(now), Ended: receipt.At(now.Add(time.Second)), Box: m.key.Box(),
		Serves: []receipt.Artifact{{Kind: "model", Name: "tumour", Digest: sha256.Sum256([]byte("model"))}},
		Caller: "clinic <é>", Decision: receipt.Decision{Action: "query", Allowed: true, Line: 4}, Outcome: receipt.Complete,
		Request:  receipt.Message{Head: receipt.RequestHead(m.request.Method, m.request.Target, m.request.Header), Body: sha256.Sum256(m.request.Body), Bytes: int64(len(m.request.Body)), Complete: true},
		Response: receipt.Message{Head: receipt.ResponseHead(200, m.response.Header), Body: sha256.Sum256(m.response.Body), Bytes: int64(len(m.response.Body)), Trailers: receipt.Trailers(m.response.Trailers), Status: 200, Complete: true},
		Egress:   receipt.Egress{Observed: true, Flows: []receipt.Flow{{To: "*.example.com:443", Line: 9, Opened: 1, Sent: 200, Received: 1000}}},
		Audit:    receipt.Position{Sequence: 7, Chain: sha256.Sum256([]byte("chain"))},
	}
	return m
}

func (m *maker) sign(s *jws.Signer, change func(*receipt.Receipt)) string {
	m.t.Helper()
	r := m.receipt
	if change != nil {
		change(&r)
	}
	token, err := receipt.Sign(s, r)
	if err != nil {
		m.t.Fatal(err)
	}
	return token
}

func (m *maker) raw(typ, payload string) string {
	m.t.Helper()
	token, err := m.key.Signer().Sign(typ, []byte(payload))
	if err != nil {
		m.t.Fatal(err)
	}
	return token
}

func (m *maker) write(name string, in input, want expected) {
	m.t.Helper()
	if in.Bundle == nil {
		in.Bundle = m.key.Bundle()
	}
	want.Verdict = "refused"
	if want.Code == "" {
		want.Verdict = "accepted"
		o, err := receipt.Open(in.Token)
		if err != nil {
			m.t.Fatal(err)
		}
		payload, _ := o.Encode()
		want.Key, want.Payload = o.Key.String(), string(payload)
	}
	m.n++
	dir := filepath.Join(vectors, fmt.Sprintf("%03d-%s", m.n, name))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		m.t.Fatal(err)
	}
	for file, v := range map[string]any{"input.json": in, "expected.json": want} {
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(v); err != nil {
			m.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), text.Bytes(), 0o644); err != nil {
			m.t.Fatal(err)
		}
	}
}

// writeVectors makes all cases anew. Signatures and keys are new each time; the
// expected.json must not change but for them.
func writeVectors(t *testing.T) {
	old, _ := filepath.Glob(filepath.Join(vectors, "[0-9]*"))
	for _, dir := range old {
		os.RemoveAll(dir)
	}
	m := newMaker(t)
	good := m.sign(m.key.Signer(), nil)
	parts := strings.Split(good, ".")
	payload, _ := m.receipt.Encode()
	full := func(token string) input { return input{Token: token, Request: &m.request, Response: &m.response} }
	m.write("complete", full(good), expected{About: "an answer to its end, with everything that it is about"})
	m.write("incomplete", input{Token: m.sign(m.key.Signer(), func(r *receipt.Receipt) {
		r.Outcome, r.Response.Complete, r.Response.Trailers = receipt.Incomplete, false, receipt.Digest{}
	})}, expected{About: "an answer that broke off is a receipt, too"})
	m.write("denied", input{Token: m.sign(m.key.Signer(), func(r *receipt.Receipt) {
		r.Decision = receipt.Decision{Action: "query", Line: 6, Code: 403}
		r.Response.Status, r.Egress, r.Serves, r.Nonce, r.Audit = 403, receipt.Egress{}, nil, "", receipt.Position{}
	})}, expected{About: "a refusal, by a box that watches no connections and keeps no log"})

	changed := parts[0] + "." + base64.RawURLEncoding.EncodeToString(bytes.Replace(payload, []byte(`"allowed":true`), []byte(`"allowed":false`), 1)) + "." + parts[2]
	m.write("payload-changed", full(changed), expected{About: "one word is another than was signed", Code: receipt.CodeSignature})
	m.write("signature-of-another", full(parts[0]+"."+parts[1]+"."+strings.Split(m.sign(m.other.Signer(), nil), ".")[2]), expected{About: "signed by another key than the header has", Code: receipt.CodeSignature})
	m.write("alg-none", full(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"blindbox-receipt+jws"}`))+"."+parts[1]+"."), expected{About: "no signature at all", Code: receipt.CodeUnreadable})
	m.write("other-type", full(m.raw("blindbox-audit-head+jws", string(payload))), expected{About: "what the key signed for another use", Code: receipt.CodeUnreadable})
	m.write("members-in-another-order", full(m.raw(receipt.Type, `{"id":"`+m.receipt.ID+`","v":1`+strings.TrimPrefix(string(payload), `{"v":1,"id":"`+m.receipt.ID+`"`))), expected{About: "signed, and not in its one spelling", Code: receipt.CodeUnreadable})
	m.write("member-twice", full(m.raw(receipt.Type, strings.Replace(string(payload), `"v":1`, `"v":1,"v":1`, 1))), expected{About: "a member that is there twice", Code: receipt.CodeUnreadable})
	m.write("unknown-member", full(m.raw(receipt.Type, strings.Replace(string(payload), `"v":1`, `"v":1,"x":1`, 1))), expected{About: "a member that version 1 does not have", Code: receipt.CodeUnreadable})
	m.write("version-2", full(m.raw(receipt.Type, strings.Replace(string(payload), `"v":1`, `"v":2`, 1))), expected{About: "a version that nobody knows yet", Code: receipt.CodeUnreadable})
	m.write("padding", full(good+"="), expected{About: "base64url with padding", Code: receipt.CodeUnreadable})

	m.write("key-of-nobody", full(m.sign(m.other.Signer(), nil)), expected{About: "whole, and signed by a key that the evidence does not name: anybody can do that", Code: receipt.CodeNotBound, Check: "receipt.key"})
	m.write("other-policy", full(m.sign(m.key.Signer(), func(r *receipt.Receipt) { r.Box.Policy = receipt.Digest{1} })), expected{About: "another policy than the statement names", Code: receipt.CodeNotBound, Check: "receipt.policy"})
	m.write("not-simulated", full(m.sign(m.key.Signer(), func(r *receipt.Receipt) { r.Box.Simulated = false })), expected{About: "a simulated box that says it is none", Code: receipt.CodeNotBound, Check: "receipt.simulated"})
	m.write("after-the-key", full(m.sign(m.key.Signer(), func(r *receipt.Receipt) { r.Ended = receipt.At(r.Ended.AddDate(0, 2, 0)) })), expected{About: "ended when the key might sign no more", Code: receipt.CodeNotBound, Check: "receipt.end"})

	other := m.request
	other.Body = []byte(`{"a":2}`)
	m.write("another-request", input{Token: good, Request: &other}, expected{About: "the body of another request", Code: receipt.CodeDigest, Check: "receipt.request"})
	other = m.request
	other.Target = "/v2/models/tumour/infer"
	m.write("another-target", input{Token: good, Request: &other}, expected{About: "the same body, sent elsewhere", Code: receipt.CodeDigest, Check: "receipt.request_head"})
	answer := m.response
	answer.Trailers = nil
	m.write("without-its-trailers", input{Token: good, Response: &answer}, expected{About: "the trailers were taken off", Code: receipt.CodeDigest, Check: "receipt.response_trailers"})
}

// TestVectorsInPython: a verifier in another language, which knows docs/receipts.md
// and nothing of this code, comes to the same.
func TestVectorsInPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skipf("no python3 to verify the vectors with: %v", err)
	}
	if out, err := exec.CommandContext(t.Context(), python, filepath.Join(vectors, "verify.py")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
