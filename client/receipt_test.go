package client_test

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/sim"
	"github.com/blindbox/blindbox/box/signing"
	"github.com/blindbox/blindbox/client"
	"github.com/blindbox/blindbox/receipt"
)

// signingKey is the key of a simulated box that trustFile accepts.
func signingKey(t testing.TB, box sim.Box, c *clock) (*signing.Key, attest.Bundle) {
	t.Helper()
	attester, err := testRoot(t).NewAttester(box, c.now)
	if err != nil {
		t.Fatal(err)
	}
	key, err := signing.New(t.Context(), signing.Config{Attester: attester, Policy: []byte(document), Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := attest.ParseBundle(key.Bundle())
	if err != nil {
		t.Fatal(err)
	}
	return key, bundle
}

func receiptOf(t testing.TB, key *signing.Key, at time.Time) string {
	t.Helper()
	empty := receipt.Digest(sha256.Sum256(nil))
	token, err := receipt.Sign(key.Signer(), receipt.Receipt{
		Version: 1, ID: signing.RandomID(), Began: receipt.At(at), Ended: receipt.At(at), Box: key.Box(), Caller: "clinic",
		Decision: receipt.Decision{Action: "query", Allowed: true}, Outcome: receipt.Complete,
		Request:  receipt.Message{Head: receipt.RequestHead("GET", "/", nil), Body: empty, Complete: true},
		Response: receipt.Message{Head: receipt.ResponseHead(200, nil), Body: empty, Status: 200, Complete: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestVerifyReceipt: a receipt counts only with evidence for its key, by a box that
// the trust file accepts.
func TestVerifyReceipt(t *testing.T) {
	c := newClock()
	trust := trustFile(t, "")
	key, bundle := signingKey(t, goodBox(), c)
	token := receiptOf(t, key, c.now())
	r, result, err := client.VerifyReceipt(trust, token, bundle, c.now())
	if err != nil || r.Caller != "clinic" || !result.Simulated() || result.Code() != "demo v1" {
		t.Fatalf("%v, %+v", err, r)
	}
	other, otherBundle := signingKey(t, goodBox(), c)
	bad := goodBox()
	bad.Measurement = sim.Measure([]byte("other code"))
	_, badBundle := signingKey(t, bad, c)
	session := bundle
	session.Statement = nil
	changed := bundle
	changed.Policy = []byte(document + "# more\n")
	swapped := bundle
	swapped.Statement = otherBundle.Statement
	for name, v := range map[string]struct {
		token  string
		bundle attest.Bundle
		code   attest.Code
		at     time.Duration
	}{
		"changed":           {strings.Replace(token, token[300:301], "_", 1) + "", bundle, "", 0},
		"other key":         {receiptOf(t, other, c.now()), bundle, receipt.CodeNotBound, 0},
		"other code":        {token, badBundle, "measurement", 0},
		"no statement":      {token, session, attest.CodeMalformed, 0},
		"other policy":      {token, changed, attest.CodePolicyMismatch, 0},
		"other statement":   {token, swapped, attest.CodeNotBound, 0},
		"long after":        {token, bundle, attest.CodeStaleEvidence, signing.DefaultLife + time.Hour},
		"before it was":     {token, bundle, attest.CodeStaleEvidence, -time.Hour},
		"made too early":    {receiptOf(t, key, c.now().Add(-time.Hour)), bundle, receipt.CodeNotBound, 0},
		"kind not accepted": {token, attest.Bundle{Evidence: attest.Evidence{Kind: attest.TDX, Data: bundle.Evidence.Data}, Statement: bundle.Statement, Policy: bundle.Policy}, attest.CodeKindMismatch, 0},
	} {
		got, _, err := client.VerifyReceipt(trust, v.token, v.bundle, c.now().Add(v.at))
		var f *attest.Failure
		if !errors.As(err, &f) || got.Version != 0 {
			t.Errorf("%s: %v", name, err)
			continue
		}
		has := v.code == ""
		for _, c := range f.Failed() {
			has = has || c.Code == v.code
		}
		if !has {
			t.Errorf("%s: %v, expected %s", name, err, v.code)
		}
	}
	if _, _, err := client.VerifyReceipt(nil, token, bundle, c.now()); err == nil {
		t.Error("accepted without a trust file")
	}
	if client.OfConnection(attest.Check{Name: "channel.bound"}) || client.OfConnection(attest.Check{Name: "channel.policy"}) || client.OfConnection(attest.Check{Name: "channel.time"}) {
		t.Error("a check is left out that needs no connection")
	}
}
