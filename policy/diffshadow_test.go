package policy

import "testing"

// TestTokensOfBoth: one token is not that of two callers who ask for different values
// of one claim.
func TestTokensOfBoth(t *testing.T) {
	entry := func(issuer, audience string, claims map[string]string) *OIDC {
		return &OIDC{Issuer: issuer, Audience: audience, Claims: claims}
	}
	clinic := entry("https://a.example", "box", map[string]string{"org": "clinic"})
	for name, c := range map[string]struct {
		other *OIDC
		both  bool
	}{
		"the same":         {clinic, true},
		"fewer claims":     {entry("https://a.example", "box", nil), true},
		"another claim":    {entry("https://a.example", "box", map[string]string{"role": "doctor"}), true},
		"another value":    {entry("https://a.example", "box", map[string]string{"org": "bank"}), false},
		"another issuer":   {entry("https://b.example", "box", map[string]string{"org": "clinic"}), false},
		"another audience": {entry("https://a.example", "other", map[string]string{"org": "clinic"}), false},
		"another, by azp":  {entry("https://a.example", "other", map[string]string{"azp": "box"}), true},
	} {
		if clinic.overlaps(c.other) != c.both || c.other.overlaps(clinic) != c.both {
			t.Errorf("%s: expected %t", name, c.both)
		}
	}
}
