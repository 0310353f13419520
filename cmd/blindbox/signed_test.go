package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/blindbox/blindbox/attest/sim"
	"github.com/blindbox/blindbox/box/audit"
	boxreceipt "github.com/blindbox/blindbox/box/receipt"
	"github.com/blindbox/blindbox/box/seal"
	"github.com/blindbox/blindbox/box/signing"
	"github.com/blindbox/blindbox/receipt"
)

// signedFiles is a program of the scripts: it writes what a simulated box would
// have signed, and what would go wrong with it, into the current directory.
func signedFiles() {
	if err := writeSigned(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const signedPolicy = "name: demo\nmodels:\n  - {name: tumour, builtin: tumour}\n"

func writeSigned() error {
	root, err := sim.NewRoot(rand.Reader, time.Now())
	if err != nil {
		return err
	}
	box := sim.Box{Measurement: sim.Measure([]byte("code")), HostData: sha256.Sum256([]byte(signedPolicy))}
	attester, err := root.NewAttester(box, time.Now)
	if err != nil {
		return err
	}
	var keys []*signing.Key
	for range 2 {
		k, err := signing.New(context.Background(), signing.Config{Attester: attester, Policy: []byte(signedPolicy), Now: time.Now})
		if err != nil {
			return err
		}
		keys = append(keys, k)
	}
	trust := fmt.Sprintf("version: 1\naccept:\n  - name: demo v1\n    sev-snp: {measurement: %x}\n    policy: sha256:%x\n    expires: 2100-01-01\nallow_simulated: true\nsimulated_root: sha256:%s\n",
		box.Measurement, box.HostData, root.Fingerprint())
	files := map[string][]byte{
		"trust.yaml": []byte(trust), "box.bundle": keys[0].Bundle(), "next.bundle": keys[1].Bundle(),
		"other.yaml": []byte(strings.Replace(trust, fmt.Sprintf("%x", box.Measurement), strings.Repeat("ab", 48), 1)),
	}
	if err := writeLogAndReceipts(keys, files); err != nil {
		return err
	}
	if err := writeSealed(keys[0], files); err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// memory is a sink that keeps everything.
type memory struct{ data []byte }

func (m *memory) Write(p []byte) (int, error) { m.data = append(m.data, p...); return len(p), nil }

func writeLogAndReceipts(keys []*signing.Key, files map[string][]byte) error {
	out := &memory{}
	cfg := audit.Config{Key: keys[0], Callers: []string{"clinic"}, Sink: out, Now: time.Now, HeadAfter: time.Hour}
	log, err := audit.New(cfg, audit.First())
	if err != nil {
		return err
	}
	service, err := boxreceipt.New(boxreceipt.Config{
		Key: keys[0], Now: time.Now, Serves: []receipt.Artifact{{Kind: "model", Name: "tumour"}}, Egress: func() []receipt.Flow { return nil },
	})
	if err != nil {
		return err
	}
	ask := func(name string, decision receipt.Decision, answer string, broken bool) {
		r := httptest.NewRequest("POST", "/v2/models/tumour/infer", strings.NewReader("the request"))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set(boxreceipt.Header, "nonce-of-the-caller")
		w := httptest.NewRecorder()
		func() {
			defer func() { _ = recover() }()
			rec := service.Begin(w, r)
			defer rec.End()
			at := log.Decided(audit.Decision{Caller: "clinic", Action: decision.Action, Method: "POST", Allowed: decision.Allowed, Line: decision.Line, Code: decision.Code})
			rec.Decided("clinic", decision, at)
			body := make([]byte, 100)
			for err := error(nil); err == nil; {
				_, err = rec.Request().Body.Read(body)
			}
			_, _ = rec.Writer().Write([]byte(answer))
			if broken {
				panic("broken off")
			}
		}()
		token, _ := service.Get("clinic", w.Header().Get(boxreceipt.IDHeader))
		files[name] = []byte(token + "\n")
	}
	allowed := receipt.Decision{Action: "query", Allowed: true, Line: 5}
	ask("receipt.jws", allowed, "the answer", false)
	ask("denied.jws", receipt.Decision{Action: "query", Line: 7, Code: 403}, "no", false)
	ask("broken.jws", allowed, "the ans", true)
	if err := log.Close(context.Background()); err != nil {
		return err
	}
	files["request.txt"], files["response.txt"] = []byte("the request"), []byte("the answer")
	files["audit.log"], files["head.jws"] = append([]byte(nil), out.data...), []byte(log.Head())
	lines := strings.SplitAfter(string(out.data), "\n")
	files["cut.log"] = []byte(strings.Join(lines[:3], ""))
	files["altered.log"] = []byte(strings.Replace(string(out.data), `"allow":true`, `"allow":false`, 1))
	// The box is killed in the middle of a line, and another run goes on.
	out.data = append([]byte(nil), files["audit.log"][:len(files["audit.log"])-5]...)
	state, err := audit.Resume(strings.NewReader(string(out.data)))
	if err != nil {
		return err
	}
	cfg.Key = keys[1]
	next, err := audit.New(cfg, state)
	if err != nil {
		return err
	}
	next.Decided(audit.Decision{Caller: "clinic", Action: "query", Method: "GET"})
	if err := next.Close(context.Background()); err != nil {
		return err
	}
	files["torn.log"] = out.data
	return nil
}

func writeSealed(key *signing.Key, files map[string][]byte) error {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	files["key.txt"], files["other.txt"] = []byte("# a comment\n"+id.String()+"\n"), []byte(other.String()+"\n")
	if err := os.Mkdir("sealed", 0o700); err != nil {
		return err
	}
	sink, err := seal.NewDirectory("sealed", "box", 10)
	if err != nil {
		return err
	}
	log, err := seal.New(seal.Config{Recipient: id.Recipient(), Key: key, Sink: sink, Now: time.Now, Every: time.Hour})
	if err != nil {
		return err
	}
	for _, text := range []string{"first\n", "second \x1b[31m red\nthird\n"} {
		_, _ = log.Writer(seal.Stdout).Write([]byte(text))
		if err := log.Flush(); err != nil {
			return err
		}
	}
	log.Event("stopping")
	if err := log.Close(context.Background()); err != nil {
		return err
	}
	for i := range 3 {
		data, err := os.ReadFile(filepath.Join("sealed", fmt.Sprintf("box-%08d.age", i)))
		if err != nil {
			return err
		}
		files[fmt.Sprintf("%d.age", i)] = data
	}
	files["short.age"] = files["1.age"][:len(files["1.age"])-1]
	return nil
}
