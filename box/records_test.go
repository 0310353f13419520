package box

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/box/audit"
	"github.com/blindbox/blindbox/box/signing"
	"github.com/blindbox/blindbox/examples/tumour"
	"github.com/blindbox/blindbox/internal/longer"
	form "github.com/blindbox/blindbox/receipt"
)

const ownAddress = "/.well-known/blindbox"

// asAuditor is the header of the caller that may observe.
func asAuditor() []string { return []string{"Authorization", "Bearer " + auditorKey} }

// fetched returns a receipt by its id, and what came instead if there is none.
func fetched(t testing.TB, c *http.Client, resp *http.Response, headers ...string) (form.Opened, *http.Response) {
	t.Helper()
	id := resp.Header.Get("Blindbox-Receipt-Id")
	if id == "" {
		t.Fatalf("an answer without the id of a receipt: %v", resp.Header)
	}
	got, token := do(t, c, request(t, "GET", ownAddress+"/receipts/"+id, nil, headers...))
	if got.StatusCode != http.StatusOK {
		return form.Opened{}, got
	}
	return opened(t, token), got
}

func opened(t testing.TB, token string) form.Opened {
	t.Helper()
	o, err := form.Open(token)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// proven checks that the evidence that a box gives names the key of a receipt.
func proven(t testing.TB, c *http.Client, o form.Opened) {
	t.Helper()
	_, text := do(t, c, request(t, "GET", ownAddress+"/receipts/evidence", nil))
	b, err := attest.ParseBundle([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := attest.FailureOf(o.Bind(b)); err != nil {
		t.Error(err)
	}
}

func sha(s string) form.Digest { return sha256.Sum256([]byte(s)) }

// TestReceipts: a receipt of a box that runs says what was sent and answered, who
// asked, what answers, and where in the log the decision is.
func TestReceipts(t *testing.T) {
	models := "name: m\nmodels: [{name: tumour, builtin: tumour, sha256: sha256:" + tumour.SHA256 + "}]" + twoKeys
	for _, kind := range []struct {
		name, doc, method, path, body string
		serves                        form.Artifact
		observed                      bool
	}{
		{"app", self(t, "quiet", ""), "POST", "/echo?q=1", "the request", form.Artifact{Kind: "app", Name: "test"}, false},
		{"models", models, "GET", "/v2/models/tumour", "", form.Artifact{Kind: "model", Name: "tumour", Digest: digestOfTumour(t)}, true},
	} {
		t.Run(kind.name, func(t *testing.T) {
			b := serve(t, Config{Policy: parsed(t, kind.doc), Builtin: map[string][]byte{"tumour": tumour.Model()}})
			for _, proto := range []string{"h2", "http/1.1"} {
				c := b.client(t, proto)
				const nonce = "nonce-of-the-caller"
				resp, text := do(t, c, request(t, kind.method, kind.path, strings.NewReader(kind.body), "Blindbox-Receipt", nonce, "Content-Type", "text/plain"))
				o, _ := fetched(t, c, resp)
				proven(t, c, o)
				want := form.RequestHead(kind.method, kind.path, http.Header{"Content-Type": {"text/plain"}})
				switch {
				case resp.StatusCode != 200 || o.Response.Status != 200 || o.Outcome != form.Complete:
					t.Errorf("%s: %d, %+v", proto, resp.StatusCode, o)
				case o.Request.Head != want || o.Request.Body != sha(kind.body) || o.Response.Body != sha(text) || o.Nonce != nonce:
					t.Errorf("%s: about other bytes: %+v", proto, o)
				case o.Caller != "clinic" || o.Decision != (form.Decision{Action: "query", Allowed: true, Line: callerLine(t, b, "clinic")}):
					t.Errorf("%s: %s, %+v", proto, o.Caller, o.Decision)
				case !slices.Equal(o.Serves, []form.Artifact{kind.serves}) || o.Egress.Observed != kind.observed || len(o.Egress.Flows) > 0:
					t.Errorf("%s: serves %+v, egress %+v", proto, o.Serves, o.Egress)
				case o.Box.Policy != form.Digest(b.policy.Digest()) || !o.Box.Simulated || o.Audit.Chain.IsZero():
					t.Errorf("%s: box %+v, audit %+v", proto, o.Box, o.Audit)
				}
				if _, resp := fetched(t, c, resp, asAuditor()...); resp.StatusCode != 404 || resp.Header.Get("Blindbox-Error") != "BBX-404" {
					t.Errorf("somebody else gets the receipt: %d", resp.StatusCode)
				}
				if resp, _ := do(t, c, request(t, kind.method, kind.path, nil)); resp.Header.Get("Blindbox-Receipt-Id") != "" {
					t.Error("a receipt for who asked for none")
				}
			}
		})
	}
}

func digestOfTumour(t testing.TB) form.Digest {
	t.Helper()
	return sha256.Sum256(tumour.Model())
}

func callerLine(t testing.TB, b *running, name string) int {
	t.Helper()
	for _, c := range b.policy.Callers {
		if c.Name == name {
			return c.Line
		}
	}
	t.Fatalf("no caller %s", name)
	return 0
}

// TestReceiptOfRefusals: the box's own answers have receipts too, with their code,
// also when the app fails behind an allowed request.
func TestReceiptOfRefusals(t *testing.T) {
	b := serve(t, Config{Policy: parsed(t, strings.Replace(self(t, "quiet", "limits: {request: 1KiB}\n"), "may: [query], paths: [/*]", "may: [query], paths: [/echo, /die]", 1))})
	c := b.client(t, "h2")
	large := strings.Repeat("x", 2000)
	for _, one := range []struct {
		method, path string
		body         io.Reader
		want         form.Decision
	}{
		{"GET", "/no", nil, form.Decision{Action: "query", Code: 403}},
		{"POST", "/echo", strings.NewReader(large), form.Decision{Action: "query", Code: 413}},
		{"POST", "/echo", io.MultiReader(strings.NewReader(large)), form.Decision{Action: "query", Allowed: true, Code: 413, Line: callerLine(t, b, "clinic")}},
		{"POST", "/die", strings.NewReader("x"), form.Decision{Action: "query", Allowed: true, Code: 502, Line: callerLine(t, b, "clinic")}},
		{"GET", ownAddress + "/none", nil, form.Decision{Action: "observe", Code: 403}},
		{"GET", ownAddress + "/me", nil, form.Decision{Action: "observe", Allowed: true}},
	} {
		resp, text := do(t, c, request(t, one.method, one.path, one.body, "Blindbox-Receipt", "1"))
		o, _ := fetched(t, c, resp)
		o.Decision.Line = max(o.Decision.Line, one.want.Line) // what refuses may have a line or not
		if one.want.Allowed && o.Decision != one.want || o.Decision.Code != one.want.Code || o.Decision.Allowed != one.want.Allowed || o.Decision.Action != one.want.Action {
			t.Errorf("%s %s: %+v, expected %+v", one.method, one.path, o.Decision, one.want)
		}
		if o.Response.Status != resp.StatusCode || o.Response.Body != sha(text) {
			t.Errorf("%s %s: %d, the receipt says %d", one.method, one.path, resp.StatusCode, o.Response.Status)
		}
	}
	resp, _ := do(t, c, request(t, "GET", "/echo", nil, "Authorization", "Bearer of-nobody-that-is-known", "Blindbox-Receipt", "1"))
	if resp.StatusCode != 401 || resp.Header.Get("Blindbox-Receipt-Id") != "" {
		t.Errorf("a stranger gets %d with %v", resp.StatusCode, resp.Header)
	}
}

// TestAuditOfABox: every decision is in the log, which hangs together, is signed,
// reaches the receipts, and is shown to who may observe.
func TestAuditOfABox(t *testing.T) {
	doc := strings.Replace(self(t, "quiet", "limits: {concurrent: 1}\n"), "may: [query]", "may: [query], rate: 3/day", 1)
	b := serve(t, Config{Policy: parsed(t, doc)})
	c := b.client(t, "h2")
	resp, _ := do(t, c, request(t, "GET", "/caller", nil, "Blindbox-Receipt", "1")) // allowed
	o, _ := fetched(t, c, resp)                                                     // allowed
	do(t, c, request(t, "GET", "/caller", nil, asAuditor()...))                     // 403
	do(t, c, request(t, "GET", "/caller", nil, "Authorization", "Bearer nobody-knows-this-key"))
	do(t, c, request(t, "GET", "/a//b", nil)) // 400
	for range 3 {
		do(t, c, request(t, "PUT", "/caller", nil)) // twice, then 429
	}
	do(t, c, request(t, "GET", ownAddress+"/audit", nil)) // 403
	if _, head := do(t, c, request(t, "GET", ownAddress+"/audit/head", nil)); head == "" {
		t.Error("no head")
	} else if at, key, err := audit.AnchorOf(strings.TrimSpace(head)); err != nil || key != o.Key || at.Chain.IsZero() {
		t.Errorf("head %+v of %s, %v", at, key, err)
	}
	if err := b.records.log.Sync(); err != nil {
		t.Fatal(err)
	}
	_, text := do(t, c, request(t, "GET", ownAddress+"/audit", nil, asAuditor()...)) // allowed, on its way
	r, err := audit.Verify(strings.NewReader(text), o.Audit)
	if err != nil || r.Fault != nil || len(r.Runs) != 1 || r.Anchors != 1 || r.Allowed != 5 || r.Denied != 5 {
		t.Fatalf("%v, %+v\n%s", err, r, text)
	}
	if attest.Digest(r.Runs[0].Key) != o.Key || r.Runs[0].Heads == 0 {
		t.Errorf("signed by %s: %+v", o.Key, r.Runs[0])
	}
	for _, want := range []string{
		`"caller":"clinic","action":"query","method":"read","allow":true`, `"caller":"auditor","action":"query","method":"read","allow":false`,
		`"caller":"","action":"other","method":"read","allow":false,"line":0,"code":401`, `"code":400`,
		`"caller":"clinic","action":"query","method":"write","allow":false,"line":` + "", `"code":429`, `"action":"observe"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	b.stop()
	if err := <-b.done; err != nil {
		t.Error(err)
	}
	b.done <- nil
	if r, err := audit.Verify(bytes.NewReader(b.records.ring.Bytes()), o.Audit); err != nil || r.Fault != nil || !r.Runs[0].Stopped || r.Runs[0].Tail != 0 {
		t.Errorf("the end: %v, %+v", err, r)
	}
}

// failingLater is hardware that answers so many times.
type failingLater struct {
	signer
	left atomic.Int64
}

func (f *failingLater) Attest(ctx context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	if f.left.Add(-1) < 0 {
		return attest.Evidence{}, nil, errors.New("the hardware is gone")
	}
	return f.signer.Attest(ctx, b)
}

// TestKeyIsRenewed: before the life of a key ends there is another, which signs
// what comes next; when there is none, the box ends.
func TestKeyIsRenewed(t *testing.T) {
	if err := longer.Try(3*time.Second, func(life time.Duration) error { return keyIsRenewed(t, life) }); err != nil {
		t.Error(err)
	}
}

// keyIsRenewed returns an error where a key's time was over before it could be renewed.
func keyIsRenewed(t *testing.T, life time.Duration) error {
	p := parsed(t, "name: m\nmodels: [{name: tumour, builtin: tumour}]"+twoKeys)
	h := &failingLater{signer: launched(p)}
	h.left.Store(2) // the first key and one renewal
	l := listen(t)
	b, err := New(Config{Simulation: true, Policy: p, Attester: h, Listener: l, Builtin: map[string][]byte{"tumour": tumour.Model()}})
	if err != nil {
		t.Fatal(err)
	}
	b.keyLife = life
	done := make(chan error, 1)
	go func() { done <- b.Serve(t.Context()) }()
	select {
	case <-b.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	first := b.records.key.Load()
	select {
	case err = <-done:
	case <-time.After(patience + 2*life):
		t.Fatal("the box goes on without a key that may sign")
	}
	if err == nil || !strings.Contains(err.Error(), "no key that may sign") || !strings.Contains(err.Error(), "the hardware is gone") {
		return fmt.Errorf("got %w", err)
	}
	last := b.records.key.Load()
	if last == first || last.Box().Boot != first.Box().Boot {
		return fmt.Errorf("the key was not renewed in the same run: %+v, %+v", first.Box(), last.Box())
	}
	r, err := audit.Verify(bytes.NewReader(b.records.ring.Bytes()))
	if err != nil || r.Fault != nil || len(r.Runs) != 2 || r.Runs[0].Key == r.Runs[1].Key {
		return fmt.Errorf("%w, %+v", err, r)
	}
	return nil
}

// TestRenewalByTwoClocks: a key lives no longer where the host sets the clock back, and
// one whose end comes sooner than it was is replaced soon, or the box ends.
func TestRenewalByTwoClocks(t *testing.T) {
	p := parsed(t, "name: m\nmodels: [{name: tumour, builtin: tumour}]"+twoKeys)
	const life = 30 * time.Hour
	at := func(ahead time.Duration) *signing.Key {
		now := func() time.Time { return time.Now().Add(ahead) }
		key, err := signing.New(t.Context(), signing.Config{Attester: launched(p), Policy: p.Bytes(), Now: now, Life: life})
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	synctest.Test(t, func(t *testing.T) {
		hardware := &failingLater{signer: launched(p)}
		r := &records{cfg: signing.Config{Attester: hardware, Policy: p.Bytes(), Now: time.Now, Life: life}}
		gone := func(d time.Duration) { made := time.Now().Add(-d); r.made.Store(&made) }
		for _, tc := range []struct {
			name        string
			ahead, gone time.Duration
			left        time.Duration
		}{
			{"in order", 0, 0, life}, {"later", -time.Hour, time.Hour, life - time.Hour},
			{"the clock was set back", 1000 * time.Hour, 0, life}, {"set back, and later", 1000 * time.Hour, 2 * time.Hour, life - 2*time.Hour},
			{"the clock was set forward", -10 * time.Hour, 0, life - 10*time.Hour},
		} {
			r.key.Store(at(tc.ahead))
			gone(tc.gone)
			if got := r.left(); got.Round(time.Minute) != tc.left || r.untilRenewal().Round(time.Minute) != tc.left-life/3 {
				t.Errorf("%s: %s left, renewed in %s", tc.name, got, r.untilRenewal())
			}
		}
		r.key.Store(at(0))
		gone(0)
		ended := make(chan error, 1)
		go func() { ended <- r.renew(t.Context()) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v", err)
		default:
		}
		r.key.Store(at(-2 * life))
		time.Sleep(2 * renewLook)
		synctest.Wait()
		select {
		case err := <-ended:
			if err == nil || !strings.Contains(err.Error(), "no key that may sign") {
				t.Errorf("it ended with %v", err)
			}
		default:
			t.Error("a key whose time is over is not noticed")
		}
	})
}
