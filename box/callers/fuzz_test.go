package callers

import "testing"

// FuzzToken: whatever is sent, it is read or refused.
func FuzzToken(f *testing.F) {
	for _, seed := range []string{"", "..", "eyJ..", "eyJhbGciOiJFUzI1NiJ9.e30.AA", "eyJhbGciOiJFUzI1NiJ9.eyJhdWQiOlsiYSJdLCJleHAiOjFlOX0.AA"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, secret string) {
		if got, why := parseToken(secret); (got == nil) == (why == "") {
			t.Errorf("%+v and %q", got, why)
		}
	})
}

// FuzzKeys: keys that are read can be used to verify, and nothing is verified by
// them that was not signed.
func FuzzKeys(f *testing.F) {
	for _, seed := range []string{
		`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}`,
		`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"oct","k":"AA"}]}`, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, set []byte) {
		keys, err := parseKeys(set)
		if (err == nil) == (len(keys) == 0) {
			t.Errorf("%d keys and %v", len(keys), err)
		}
		for _, k := range keys {
			for _, alg := range []algorithm{rs256, ps256, es256, es384, eddsa, "none"} {
				k.verify(alg, "signed", []byte("not a signature"))
			}
		}
	})
}
