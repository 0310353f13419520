package receipt

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/jws"
)

func newSigner(t testing.TB) *jws.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jws.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func today() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.UTC) }

func good() Receipt {
	empty := Digest(sha256.Sum256(nil))
	return Receipt{
		Version: 1, ID: strings.Repeat("0a", 16), Began: At(today()), Ended: At(today().Add(time.Second)),
		Box:    Box{Policy: Digest{1}, Kind: "sim-sev-snp", Evidence: Digest{2}, Simulated: true, Boot: strings.Repeat("0b", 16)},
		Serves: []Artifact{{Kind: "model", Name: "tumour", Digest: Digest{3}}, {Kind: "app", Name: "whisper"}},
		Caller: "clinic <1>", Decision: Decision{Action: "query", Allowed: true, Line: 5}, Outcome: Complete,
		Request:  Message{Head: Digest{4}, Body: empty, Complete: true},
		Response: Message{Head: Digest{5}, Body: empty, Bytes: 7, Trailers: Digest{6}, Status: 200, Complete: true},
		Egress:   Egress{Observed: true, Shared: true, Flows: []Flow{{To: "a:443", Line: 9, Opened: 1, Sent: 2, Received: 3, Refused: 4}}, More: 1},
		Audit:    Position{Sequence: 8, Chain: Digest{7}},
	}
}

// TestSpelling: the payload, character by character.
func TestSpelling(t *testing.T) {
	r := good()
	zeros := func(first string) string { return "sha256:" + first + strings.Repeat("0", 62) }
	empty := "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	want := `{"v":1,"id":"` + r.ID + `","began":"2026-11-22T12:00:00.123456Z","ended":"2026-11-22T12:00:01.123456Z",` +
		`"box":{"policy":"` + zeros("01") + `","kind":"sim-sev-snp","evidence":"` + zeros("02") + `","simulated":true,"boot":"` + r.Box.Boot + `"},` +
		`"serves":[{"kind":"model","name":"tumour","digest":"` + zeros("03") + `"},{"kind":"app","name":"whisper"}],` +
		`"caller":"clinic \u003c1\u003e","decision":{"action":"query","allowed":true,"line":5,"code":0},` +
		`"request":{"head":"` + zeros("04") + `","body":"` + empty + `","bytes":0,"complete":true},` +
		`"response":{"head":"` + zeros("05") + `","body":"` + empty + `","bytes":7,"trailers":"` + zeros("06") + `","status":200,"complete":true},` +
		`"outcome":"complete","egress":{"observed":true,"shared":true,"flows":[{"to":"a:443","line":9,"opened":1,"sent":2,"received":3,"refused":4}],"more":1},` +
		`"audit":{"seq":8,"chain":"` + zeros("07") + `"}}`
	got, err := r.Encode()
	if err != nil || string(got) != want {
		t.Fatalf("%v\n%s\nexpected\n%s", err, got, want)
	}
	back, err := Parse(got)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := back.Encode(); err != nil || string(again) != want {
		t.Errorf("%v\n%s", err, again)
	}
	var bare Receipt = good()
	bare.Serves, bare.Egress, bare.Nonce, bare.Audit = nil, Egress{}, "0123456789abcdef", Position{}
	got, err = bare.Encode()
	if err != nil || !strings.Contains(string(got), `"serves":[],`) || !strings.Contains(string(got), `"flows":[],"more":0}`) || !strings.Contains(string(got), `"nonce":"0123456789abcdef","began"`) {
		t.Errorf("%v\n%s", err, got)
	}
	if _, err := Parse(got); err != nil {
		t.Error(err)
	}
}

// TestOneSpelling: what says the same in other words is refused.
func TestOneSpelling(t *testing.T) {
	text, err := good().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"space":         strings.Replace(string(text), `"v":1`, `"v": 1`, 1),
		"order":         `{"id":"` + good().ID + `","v":1` + strings.TrimPrefix(string(text), `{"v":1,"id":"`+good().ID+`"`),
		"twice":         strings.Replace(string(text), `"v":1`, `"v":1,"v":1`, 1),
		"unknown":       strings.Replace(string(text), `"v":1`, `"v":1,"x":1`, 1),
		"missing":       strings.Replace(string(text), `"code":0`, `"code":0`[:0]+`"x":0`, 1),
		"left out":      strings.Replace(string(text), `,"more":1`, ``, 1),
		"escape":        strings.Replace(string(text), `"caller":"c`, `"caller":"\u0063`, 1),
		"case":          strings.Replace(string(text), `"v"`, `"V"`, 1),
		"upper hex":     strings.Replace(string(text), `:02000`, `:0A000`, 1),
		"no prefix":     strings.Replace(string(text), `sha256:`, `sha255:`, 1),
		"short digest":  strings.Replace(string(text), `sha256:01`, `sha256:`, 1),
		"digest number": strings.Replace(string(text), `"sha256:01`+strings.Repeat("0", 62)+`"`, `1`, 1),
		"time":          strings.Replace(string(text), `.123456Z`, `.123Z`, 1),
		"time number":   strings.Replace(string(text), `"2026-11-22T12:00:00.123456Z"`, `1`, 1),
		"null":          strings.Replace(string(text), `"serves":[`, `"serves":null,"x":[`, 1),
		"two":           string(text) + string(text),
		"end":           string(text) + " ",
		"empty":         "",
		"zero digest":   strings.Replace(string(text), `"name":"whisper"`, `"name":"whisper","digest":"sha256:`+strings.Repeat("0", 64)+`"`, 1),
	} {
		if bad == string(text) {
			t.Fatalf("%s changes nothing", name)
		}
		if r, err := Parse([]byte(bad)); err == nil || r.Version != 0 {
			t.Errorf("%s is accepted", name)
		}
	}
	for what, c := range map[string]struct{ bad, says string }{
		"not JSON":      {"{", "malformed"},
		"digest number": {strings.Replace(string(text), `"sha256:01`+strings.Repeat("0", 62)+`"`, `1`, 1), "expected string"},
		"time number":   {strings.Replace(string(text), `"2026-11-22T12:00:00.123456Z"`, `1`, 1), "expected string"},
		"time form":     {strings.Replace(string(text), `.123456Z`, `.123Z`, 1), "not of the form"},
	} {
		if _, err := Parse([]byte(c.bad)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, expected %q", what, err, c.says)
		}
	}
	if _, err := Parse([]byte(`{"v":1,"caller":"` + strings.Repeat("x", MaxPayload) + `"}`)); err == nil {
		t.Error("over the limit")
	}
}

// TestValidate: what no box says, and that all of it is named.
func TestValidate(t *testing.T) {
	long := strings.Repeat("x", maxText+1)
	for name, change := range map[string]func(*Receipt){
		"version":           func(r *Receipt) { r.Version = 2 },
		"id":                func(r *Receipt) { r.ID = strings.Repeat("0A", 16) },
		"short id":          func(r *Receipt) { r.ID = "0a" },
		"nonce":             func(r *Receipt) { r.Nonce = "short" },
		"no beginning":      func(r *Receipt) { r.Began = Time{} },
		"far end":           func(r *Receipt) { r.Ended = Time{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)} },
		"policy":            func(r *Receipt) { r.Box.Policy = Digest{} },
		"evidence":          func(r *Receipt) { r.Box.Evidence = Digest{} },
		"kind":              func(r *Receipt) { r.Box.Kind = "" },
		"boot":              func(r *Receipt) { r.Box.Boot = "x" },
		"caller":            func(r *Receipt) { r.Caller = "" },
		"long caller":       func(r *Receipt) { r.Caller = long },
		"broken text":       func(r *Receipt) { r.Caller = "\xff" },
		"artifacts":         func(r *Receipt) { r.Serves = make([]Artifact, MaxArtifacts+1) },
		"artifact of none":  func(r *Receipt) { r.Serves[0].Kind = "" },
		"artifact kind":     func(r *Receipt) { r.Serves[0].Kind = "x" },
		"artifact name":     func(r *Receipt) { r.Serves[0].Name = "" },
		"action":            func(r *Receipt) { r.Decision.Action = "" },
		"line":              func(r *Receipt) { r.Decision.Line = -1 },
		"code":              func(r *Receipt) { r.Decision.Code = -1 },
		"large code":        func(r *Receipt) { r.Decision.Code = 1000 },
		"outcome":           func(r *Receipt) { r.Outcome = "" },
		"another outcome":   func(r *Receipt) { r.Outcome, r.Response.Complete = "gone", false },
		"request head":      func(r *Receipt) { r.Request.Head = Digest{} },
		"request body":      func(r *Receipt) { r.Request.Body = Digest{} },
		"response head":     func(r *Receipt) { r.Response.Head = Digest{} },
		"response body":     func(r *Receipt) { r.Response.Body = Digest{} },
		"request bytes":     func(r *Receipt) { r.Request.Bytes = -1 },
		"response bytes":    func(r *Receipt) { r.Response.Bytes = -1 },
		"request status":    func(r *Receipt) { r.Request.Status = 200 },
		"status":            func(r *Receipt) { r.Response.Status = 99 },
		"large status":      func(r *Receipt) { r.Response.Status = 1000 },
		"complete, not all": func(r *Receipt) { r.Response.Complete = false },
		"complete, nothing": func(r *Receipt) { r.Response.Status = 0 },
		"incomplete, all":   func(r *Receipt) { r.Outcome = Incomplete },
		"flows":             func(r *Receipt) { r.Egress.Flows = slices.Repeat([]Flow{{To: "a"}}, MaxFlows+1) },
		"more":              func(r *Receipt) { r.Egress.More = -1 },
		"unobserved shared": func(r *Receipt) { r.Egress = Egress{Shared: true} },
		"unobserved flows":  func(r *Receipt) { r.Egress = Egress{Flows: []Flow{{To: "a"}}} },
		"unobserved more":   func(r *Receipt) { r.Egress = Egress{More: 1} },
		"flow to nowhere":   func(r *Receipt) { r.Egress.Flows[0].To = "" },
		"flow line":         func(r *Receipt) { r.Egress.Flows[0].Line = -1 },
		"flow opened":       func(r *Receipt) { r.Egress.Flows[0].Opened = -1 },
		"flow sent":         func(r *Receipt) { r.Egress.Flows[0].Sent = -1 },
		"flow received":     func(r *Receipt) { r.Egress.Flows[0].Received = -1 },
		"flow refused":      func(r *Receipt) { r.Egress.Flows[0].Refused = -1 },
	} {
		r := good()
		change(&r)
		if _, err := r.Encode(); err == nil {
			t.Errorf("%s is written", name)
		}
		if text, err := r.encode(); err == nil {
			if _, err := Parse(text); err == nil {
				t.Errorf("%s is read", name)
			}
		}
	}
	if err := (Receipt{}).Validate(); err == nil || strings.Count(err.Error(), "\n") < 8 {
		t.Errorf("not all that is wrong: %v", err)
	}
	r := good()
	for range MaxFlows - 1 {
		r.Egress.Flows = append(r.Egress.Flows, Flow{To: strings.Repeat("\x01", maxText)})
	}
	if _, err := r.Encode(); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("a receipt over the limit: %v", err)
	}
}

// TestParseLonger: a payload within the limit whose one spelling is not.
func TestParseLonger(t *testing.T) {
	r := good()
	for range MaxFlows - 1 {
		r.Egress.Flows = append(r.Egress.Flows, Flow{To: strings.Repeat("~", maxText)})
	}
	text, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte("~"), []byte("<")) // six bytes each as Encode has it
	if r, err := Parse(text); err == nil || r.Version != 0 || !strings.Contains(err.Error(), "limit") {
		t.Errorf("%v", err)
	}
}

func failed(err error, code attest.Code) bool {
	var f *attest.Failure
	return errors.As(err, &f) && len(f.Failed()) == 1 && f.Failed()[0].Code == code
}

func TestOpen(t *testing.T) {
	s := newSigner(t)
	token, err := Sign(s, good())
	if err != nil {
		t.Fatal(err)
	}
	o, err := Open(" " + token + "\n")
	if err != nil || o.Key != s.KeyID() || o.Caller != "clinic <1>" {
		t.Fatal(err)
	}
	other, _ := Sign(newSigner(t), good())
	badForm, _ := s.Sign(Type, []byte(`{"v":2}`))
	head, _ := s.Sign("blindbox-audit-head+jws", []byte(`{}`))
	cut := strings.LastIndexByte(token, '.')
	for name, c := range map[string]struct {
		token string
		code  attest.Code
	}{
		"other signature": {token[:cut] + other[strings.LastIndexByte(other, '.'):], CodeSignature},
		"other version":   {badForm, CodeUnreadable},
		"a signed head":   {head, CodeUnreadable},
		"no receipt":      {"x", CodeUnreadable},
		"too long":        {strings.Repeat("x", MaxToken+1), CodeUnreadable},
	} {
		if o, err := Open(c.token); !failed(err, c.code) || o.Version != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for token, says := range map[string]string{strings.Repeat("x", MaxToken+1): fmt.Sprintf("at most %d", MaxToken), "x": "jws: 1 parts"} {
		if _, err := Open(token); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, expected %q", err, says)
		}
	}
	if token, err := Sign(s, Receipt{}); err == nil || token != "" {
		t.Error("an empty receipt is signed")
	}
}

// evidence is a bundle that names a key; nobody signed it.
func evidence(t testing.TB, change func(*attest.Statement, *attest.Bundle), key attest.Digest) attest.Bundle {
	t.Helper()
	s := attest.Statement{
		Purpose: attest.PurposeKeys, Role: attest.RoleServer, Nonce: [32]byte{1}, SPKI: key, Policy: attest.Digest{1},
		NotBefore: today().Truncate(time.Second), NotAfter: today().Add(time.Hour).Truncate(time.Second),
	}
	b := attest.Bundle{Evidence: attest.Evidence{Kind: attest.SimSNP, Data: []byte("evidence")}}
	change(&s, &b)
	var err error
	if b.Statement == nil {
		if b.Statement, err = s.Encode(); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// TestBind: each thing that a receipt and its evidence must agree in.
func TestBind(t *testing.T) {
	s := newSigner(t)
	key := attest.Digest(s.KeyID())
	r := good()
	r.Box.Evidence = sha256.Sum256([]byte("evidence"))
	open := func(r Receipt) Opened { return Opened{r, key} }
	check := func(name string, o Opened, b attest.Bundle, want string) {
		t.Helper()
		var got []string
		for _, c := range o.Bind(b) {
			if c.Status != attest.Pass {
				got = append(got, c.Name)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: failed %q, expected %q", name, got, want)
		}
	}
	nothing := func(*attest.Statement, *attest.Bundle) {}
	check("good", open(r), evidence(t, nothing, key), "")
	check("key", open(r), evidence(t, nothing, attest.Digest{9}), "receipt.key")
	check("purpose", open(r), evidence(t, func(s *attest.Statement, _ *attest.Bundle) {
		s.Purpose, s.Exporter = attest.PurposeSession, [32]byte{1}
	}, key), "receipt.purpose")
	check("role", open(r), evidence(t, func(s *attest.Statement, _ *attest.Bundle) { s.Role = attest.RoleClient }, key), "receipt.role")
	check("policy", open(r), evidence(t, func(s *attest.Statement, _ *attest.Bundle) { s.Policy = attest.Digest{2} }, key), "receipt.policy")
	check("evidence", open(r), evidence(t, func(_ *attest.Statement, b *attest.Bundle) { b.Evidence.Data = []byte("other") }, key), "receipt.evidence")
	check("kind", open(r), evidence(t, func(_ *attest.Statement, b *attest.Bundle) { b.Evidence.Kind = attest.SNP }, key), "receipt.kind receipt.simulated")
	check("statement", open(r), evidence(t, func(_ *attest.Statement, b *attest.Bundle) { b.Statement = []byte("x") }, key), "receipt.statement")
	hidden := r
	hidden.Box.Simulated = false
	check("simulated", open(hidden), evidence(t, nothing, key), "receipt.simulated")
	for name, c := range map[string]struct {
		began, ended time.Duration
		want         string
	}{
		"slack":  {-clockSlack, time.Hour + clockSlack - time.Second, ""},
		"early":  {-clockSlack - time.Second, 0, "receipt.time"},
		"late":   {0, time.Hour + clockSlack + time.Second, "receipt.end"},
		"before": {-time.Hour, -time.Hour, "receipt.time receipt.end"},
	} {
		moved := r
		moved.Began, moved.Ended = At(today().Truncate(time.Second).Add(c.began)), At(today().Truncate(time.Second).Add(c.ended))
		check(name, open(moved), evidence(t, nothing, key), c.want)
	}
}

func TestCompare(t *testing.T) {
	m := Message{Head: Digest{1}, Body: sha256.Sum256([]byte("abc")), Bytes: 3, Complete: true}
	part := m
	part.Complete = false
	for name, c := range map[string]struct {
		check attest.Check
		want  attest.Status
	}{
		"body":       {m.CompareBody("request", 3, sha256.Sum256([]byte("abc"))), attest.Pass},
		"other body": {m.CompareBody("request", 3, sha256.Sum256([]byte("abd"))), attest.Fail},
		"other size": {m.CompareBody("request", 4, sha256.Sum256([]byte("abc"))), attest.Fail},
		"a part":     {part.CompareBody("request", 3, sha256.Sum256([]byte("abc"))), attest.Fail},
		"head":       {m.CompareHead("request", Digest{1}), attest.Pass},
		"other head": {m.CompareHead("request", Digest{2}), attest.Fail},
	} {
		if c.check.Status != c.want || (c.want == attest.Fail) != (c.check.Code == CodeDigest) {
			t.Errorf("%s: %+v", name, c.check)
		}
	}
}

// TestHeads: digests differ where what they are over does, and only there.
func TestHeads(t *testing.T) {
	h := func(kv ...string) map[string][]string {
		out := map[string][]string{}
		for i := 0; i < len(kv); i += 2 {
			out[kv[i]] = append(out[kv[i]], kv[i+1])
		}
		return out
	}
	base := RequestHead("GET", "/a", h("Content-Type", "x"))
	for name, other := range map[string]Digest{
		"method": RequestHead("GETX", "/a", h("Content-Type", "x")), "boundary": RequestHead("GE", "T/a", h("Content-Type", "x")),
		"target": RequestHead("GET", "/a?", h("Content-Type", "x")), "type": RequestHead("GET", "/a", h("Content-Type", "y")),
		"no type": RequestHead("GET", "/a", nil), "two types": RequestHead("GET", "/a", h("Content-Type", "x", "Content-Type", "x")),
		"other field": RequestHead("GET", "/a", h("Content-Encoding", "x")), "response": ResponseHead(200, h("Content-Type", "x")),
	} {
		if other == base || other.IsZero() {
			t.Errorf("%s makes no difference", name)
		}
	}
	if RequestHead("GET", "/a", h("Content-Type", "x", "Authorization", "key", "Host", "x")) != base {
		t.Error("a field is in that should not")
	}
	if ResponseHead(200, nil) == ResponseHead(201, nil) || ResponseHead(200, nil) == ResponseHead(300, nil) || ResponseHead(200, nil) == ResponseHead(210, nil) {
		t.Error("the status makes no difference")
	}
	one := Trailers(h("B", "1", "a", "2"))
	if one.IsZero() || one != Trailers(h("a", "2", "B", "1", "Blindbox-Receipt", "x")) || one == Trailers(h("B", "2", "a", "1")) || one == Trailers(h("B", "1")) {
		t.Error("trailers")
	}
	if !Trailers(h("Blindbox-X", "1")).IsZero() || !Trailers(map[string][]string{"A": nil}).IsZero() || !Trailers(nil).IsZero() {
		t.Error("no trailers have a digest")
	}
	// Fixed values, for other languages: vectors/receipt holds more.
	for got, want := range map[string]string{
		RequestHead("POST", "/v1/x?q=1", h("Content-Type", "text/plain")).String(): "sha256:1cbaeec5a3db876194d6b2c82c46a6d90f09a6ee03a30a1dcbbd17fc419b2a17",
		ResponseHead(200, nil).String():                                            "sha256:3470026becfe46eb71b87eb45d8ad164ef67716016c97a72db096bc7cb5f72c9",
		Trailers(h("X-Sum", "1")).String():                                         "sha256:c88141ba21ed86daa04ba7932e653e0ef45e00ec67bf563b1b05b89021b1733e",
	} {
		if got != want {
			t.Errorf("%s, expected %s", got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	text, err := good().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"v":1}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		r, err := Parse(payload)
		if err != nil {
			return
		}
		if again, err := r.Encode(); err != nil || string(again) != string(payload) {
			t.Errorf("%v: read %q, wrote %q", err, payload, again)
		}
	})
}
