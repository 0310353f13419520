package main

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// TestPermitted: connect says what the policy lets its user do, before anything
// is sent.
func TestPermitted(t *testing.T) {
	const key, guest = "a-key-of-the-clinic-0001", "a-key-of-a-guest-00000002"
	hash := func(key string) string {
		sum := sha256.Sum256([]byte(key))
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	doc := "name: a\napp: {command: [a], listen: 127.0.0.1:1}\ncallers:\n" +
		"  - {name: clinic, api_key: " + hash(key) + ", may: [query], paths: [/v1/*], rate: 60/min}\n" +
		"  - {name: guest, api_key: " + hash(guest) + ", may: [query], expires: 2026-01-01T00:00:00Z}\n"
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	for _, tc := range []struct{ doc, key, want string }{
		{doc, key, "may query"},
		{doc, key, "60 requests per minute"},
		{doc, guest, "knew you until 2026-01-01T00:00:00Z: every request will be refused"},
		{doc, "a-key-of-nobody-000003", "does not have your API key"},
		{doc, "", "You have no API key"},
		{doc + "  - {anyone: true, may: [query], paths: [/public/*]}\n", "", "/public/*"},
		{doc + "  - {anyone: true, may: [query], paths: [/public/*]}\n", "a-key-of-nobody-000003", "does not have your API key"},
	} {
		p, err := policy.Parse([]byte(tc.doc))
		if err != nil {
			t.Fatal(err)
		}
		if got := callerOf(p, tc.key, now).Text; !strings.Contains(got, tc.want) {
			t.Errorf("key %q: %s, expected %q in it", tc.key, got, tc.want)
		}
	}
}
