package attest_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
)

var update = flag.Bool("update", false, "rewrite the golden vectors")

// fill returns 32 bytes that are easy to recognise in a dump.
func fill(b byte) (out [32]byte) {
	for i := range out {
		out[i] = b
	}
	return out
}

func sessionStatement() attest.Statement {
	return attest.Statement{
		Purpose: attest.PurposeSession, Role: attest.RoleServer,
		Nonce: fill(1), SPKI: fill(2), AttestationKey: fill(4), Exporter: fill(5), Policy: fill(6),
		NotBefore: time.Unix(1_760_000_000, 0).UTC(), NotAfter: time.Unix(1_760_000_300, 0).UTC(),
	}
}

func statements() map[string]attest.Statement {
	hpke := sessionStatement()
	hpke.Purpose, hpke.HPKE, hpke.SPKI, hpke.Exporter = attest.PurposeHPKE, fill(3), attest.Digest{}, [32]byte{}
	peer := sessionStatement()
	peer.Purpose, peer.Role = attest.PurposePeer, attest.RoleClient
	keys := sessionStatement()
	keys.Purpose, keys.Exporter = attest.PurposeKeys, [32]byte{}
	return map[string]attest.Statement{
		"001-session": sessionStatement(), "002-hpke": hpke, "003-peer-client": peer, "004-keys": keys,
	}
}

type statementVector struct {
	Purpose        string `json:"purpose"`
	Role           string `json:"role"`
	Nonce          string `json:"nonce"`
	SPKI           string `json:"spki_hash"`
	HPKE           string `json:"hpke_key_hash"`
	AttestationKey string `json:"attestation_key_hash"`
	Exporter       string `json:"tls_exporter"`
	Policy         string `json:"policy_digest"`
	NotBefore      int64  `json:"not_before"`
	NotAfter       int64  `json:"not_after"`
}

type statementResult struct {
	Encoded    string `json:"encoded"`
	ReportData string `json:"report_data"`
}

func vectorOf(s attest.Statement) statementVector {
	return statementVector{
		Purpose: s.Purpose.String(), Role: s.Role.String(), Nonce: hex.EncodeToString(s.Nonce[:]),
		SPKI: s.SPKI.String(), HPKE: s.HPKE.String(), AttestationKey: s.AttestationKey.String(),
		Exporter: hex.EncodeToString(s.Exporter[:]), Policy: s.Policy.String(),
		NotBefore: s.NotBefore.Unix(), NotAfter: s.NotAfter.Unix(),
	}
}

// TestStatementVectors holds the encoding still: whatever language computes it
// must get these bytes.
func TestStatementVectors(t *testing.T) {
	for name, s := range statements() {
		t.Run(name, func(t *testing.T) {
			encoded, err := s.Encode()
			if err != nil {
				t.Fatal(err)
			}
			bound, err := s.Bind()
			if err != nil {
				t.Fatal(err)
			}
			sum := bound.Bytes()
			dir := filepath.Join("..", "vectors", "statement", name)
			golden(t, filepath.Join(dir, "input.json"), vectorOf(s))
			golden(t, filepath.Join(dir, "expected.json"), statementResult{hex.EncodeToString(encoded), hex.EncodeToString(sum[:])})
			back, err := attest.ParseStatement(encoded)
			if err != nil || back != s {
				t.Errorf("ParseStatement = %+v, %v; expected %+v", back, err, s)
			}
		})
	}
}

func golden(t *testing.T, path string, v any) {
	t.Helper()
	got, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %s\nwant %s", path, got, want)
	}
}

func TestStatementRefuses(t *testing.T) {
	cases := map[string]func(*attest.Statement){
		"zero purpose":           func(s *attest.Statement) { s.Purpose = 0 },
		"unknown purpose":        func(s *attest.Statement) { s.Purpose = 9 },
		"zero role":              func(s *attest.Statement) { s.Role = 0 },
		"session by a client":    func(s *attest.Statement) { s.Role = attest.RoleClient },
		"no nonce":               func(s *attest.Statement) { s.Nonce = [32]byte{} },
		"no key":                 func(s *attest.Statement) { s.SPKI = attest.Digest{} },
		"no connection":          func(s *attest.Statement) { s.Exporter = [32]byte{} },
		"no policy":              func(s *attest.Statement) { s.Policy = attest.Digest{} },
		"no start":               func(s *attest.Statement) { s.NotBefore = time.Time{} },
		"no end":                 func(s *attest.Statement) { s.NotAfter = time.Time{} },
		"ends before it begins":  func(s *attest.Statement) { s.NotAfter = s.NotBefore.Add(-time.Second) },
		"hpke without a key":     func(s *attest.Statement) { s.Purpose, s.Exporter = attest.PurposeHPKE, [32]byte{} },
		"hpke with a connection": func(s *attest.Statement) { s.Purpose, s.HPKE = attest.PurposeHPKE, fill(3) },
		"keys with a connection": func(s *attest.Statement) { s.Purpose = attest.PurposeKeys },
		"hpke by nobody": func(s *attest.Statement) {
			s.Purpose, s.HPKE, s.Exporter, s.Role = attest.PurposeHPKE, fill(3), [32]byte{}, 0
		},
		"keys without a key": func(s *attest.Statement) {
			s.Purpose, s.SPKI, s.Exporter = attest.PurposeKeys, attest.Digest{}, [32]byte{}
		},
		"peer without connection": func(s *attest.Statement) { s.Purpose, s.Exporter = attest.PurposePeer, [32]byte{} },
	}
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			s := sessionStatement()
			spoil(&s)
			if b, err := s.Encode(); err == nil || b != nil {
				t.Errorf("Encode = %d bytes, %v; expected no bytes and an error", len(b), err)
			}
			if b, err := s.Bind(); err == nil || !b.IsZero() {
				t.Errorf("Bind = %v, %v; expected the zero Bound and an error", b, err)
			}
		})
	}
}

func TestParseStatementRefusesEveryDamage(t *testing.T) {
	whole, err := sessionStatement().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if _, err := attest.ParseStatement(whole[:n]); err == nil {
			t.Errorf("accepted the first %d of %d bytes", n, len(whole))
		}
	}
	if _, err := attest.ParseStatement(append(bytes.Clone(whole), 0)); err == nil {
		t.Error("accepted a trailing byte")
	}
	if _, err := attest.ParseStatement(make([]byte, attest.MaxStatement+1)); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("oversized statement: %v", err)
	}
	for off := 0; off < len(whole); {
		n := int(whole[off])<<8 | int(whole[off+1])
		longer := bytes.Clone(whole)
		longer[off+1] ^= 0x80 // the length of a field that is as long as ever
		if _, err := attest.ParseStatement(longer); err == nil {
			t.Errorf("accepted another length at byte %d", off)
		}
		off += 2 + n
	}
	nobody := bytes.Clone(whole)
	nobody[2+len("blindbox/attest/v1")+2] = 9 // the purpose
	if s, err := attest.ParseStatement(nobody); err == nil || s != (attest.Statement{}) {
		t.Errorf("an invalid statement: %v, %v", s, err)
	}
	other := bytes.Replace(whole, []byte("attest/v1"), []byte("attest/v2"), 1)
	if _, err := attest.ParseStatement(other); err == nil || !strings.Contains(err.Error(), "label") {
		t.Errorf("other label: %v", err)
	}
}

// TestStatementsDiffer: no two fields can be exchanged or shifted into one
// another without the 64 bytes changing.
func TestStatementsDiffer(t *testing.T) {
	seen := map[[64]byte]string{}
	add := func(name string, s attest.Statement) {
		t.Helper()
		b, err := s.Bind()
		if err != nil {
			t.Fatal(name, err)
		}
		if other, dup := seen[b.Bytes()]; dup {
			t.Errorf("%s and %s are bound to the same bytes", name, other)
		}
		seen[b.Bytes()] = name
	}
	for name, s := range statements() {
		add(name, s)
	}
	base := reflect.ValueOf(sessionStatement())
	for i := range base.NumField() {
		s := sessionStatement()
		field := reflect.ValueOf(&s).Elem().Field(i)
		switch field.Kind() {
		case reflect.Array:
			field.Index(31).SetUint(0xee)
		case reflect.Struct:
			field.Set(reflect.ValueOf(s.NotBefore.Add(7 * time.Second)))
		default:
			continue // purpose and role are varied in statements()
		}
		add(base.Type().Field(i).Name, s)
	}
}

func expected(s attest.Statement) attest.Expected {
	return attest.Expected{
		Purpose: s.Purpose, Role: s.Role, Nonce: s.Nonce, SPKI: s.SPKI, HPKE: s.HPKE, AttestationKey: s.AttestationKey,
		Exporter: s.Exporter, Policy: s.Policy, At: s.NotBefore.Add(time.Minute), Skew: time.Minute,
	}
}

func TestCompare(t *testing.T) {
	s := sessionStatement()
	if err := attest.FailureOf(s.Compare(expected(s))); err != nil {
		t.Fatalf("equal statement refused: %v", err)
	}
	cases := map[string]struct {
		spoil func(*attest.Expected)
		check string
		code  attest.Code
	}{
		"purpose":  {func(e *attest.Expected) { e.Purpose = attest.PurposePeer }, "channel.purpose", attest.CodePurposeMismatch},
		"role":     {func(e *attest.Expected) { e.Role = attest.RoleClient }, "channel.role", attest.CodeRoleMismatch},
		"nonce":    {func(e *attest.Expected) { e.Nonce[31]++ }, "channel.nonce", attest.CodeNonceMismatch},
		"key":      {func(e *attest.Expected) { e.SPKI[31]++ }, "channel.tls_key", attest.CodeKeyMismatch},
		"hpke":     {func(e *attest.Expected) { e.HPKE[31]++ }, "channel.hpke_key", attest.CodeKeyMismatch},
		"ak":       {func(e *attest.Expected) { e.AttestationKey[31]++ }, "channel.attestation_key", attest.CodeKeyMismatch},
		"exporter": {func(e *attest.Expected) { e.Exporter[31]++ }, "channel.tls_exporter", attest.CodeChannelMismatch},
		"policy":   {func(e *attest.Expected) { e.Policy[31]++ }, "channel.policy", attest.CodePolicyMismatch},
		"old":      {func(e *attest.Expected) { e.At = s.NotAfter.Add(61 * time.Second) }, "channel.time", attest.CodeStaleEvidence},
		"early":    {func(e *attest.Expected) { e.At = s.NotBefore.Add(-61 * time.Second) }, "channel.time", attest.CodeStaleEvidence},
		"clock +":  {func(e *attest.Expected) { e.At = s.NotAfter.Add(24 * time.Hour) }, "channel.time", attest.CodeClock},
		"clock -":  {func(e *attest.Expected) { e.At = s.NotBefore.Add(-24 * time.Hour) }, "channel.time", attest.CodeClock},
		"no clock": {func(e *attest.Expected) { e.At = time.Time{} }, "channel.time", attest.CodeClock},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			want := expected(s)
			tc.spoil(&want)
			var failure *attest.Failure
			if !errors.As(attest.FailureOf(s.Compare(want)), &failure) {
				t.Fatal("accepted")
			}
			failed := failure.Failed()
			if len(failed) != 1 || failed[0].Name != tc.check || failed[0].Code != tc.code {
				t.Errorf("failed %v, expected %s with %s alone", failed, tc.check, tc.code)
			}
		})
	}
	t.Run("edges of the skew", func(t *testing.T) {
		for _, at := range []time.Time{s.NotBefore.Add(-time.Minute), s.NotAfter.Add(time.Minute)} {
			want := expected(s)
			want.At = at
			if err := attest.FailureOf(s.Compare(want)); err != nil {
				t.Errorf("at %s: %v", at, err)
			}
		}
	})
	t.Run("all at once", func(t *testing.T) {
		var failure *attest.Failure
		if !errors.As(attest.FailureOf(s.Compare(attest.Expected{})), &failure) || len(failure.Failed()) != 8 {
			t.Errorf("expected 8 failures, got %v", failure)
		}
	})
}

// TestZeroValuesDeny: whatever was never set must not open anything.
func TestZeroValuesDeny(t *testing.T) {
	if attest.Kind(0).Valid() {
		t.Error("Kind(0) is valid")
	}
	if (attest.Check{}).Status != attest.Fail {
		t.Error("the zero Check passes")
	}
	if attest.FailureOf(nil) == nil || attest.FailureOf([]attest.Check{{}}) == nil {
		t.Error("no checks, or a zero check, is no failure")
	}
	if (attest.Validity{}).Contains(time.Unix(0, 0)) || (attest.Validity{}).Contains(time.Time{}) {
		t.Error("the zero Validity contains something")
	}
	if !(attest.Bound{}).IsZero() {
		t.Error("the zero Bound does not say so")
	}
}

func TestKindNames(t *testing.T) {
	for _, k := range attest.Kinds() {
		back, err := attest.ParseKind(k.String())
		if err != nil || back != k {
			t.Errorf("ParseKind(%q) = %v, %v", k, back, err)
		}
	}
	for _, name := range []string{"", "SEV-SNP", "sev-snp ", "invalid(0)", "TDX"} {
		if k, err := attest.ParseKind(name); err == nil || k != attest.KindInvalid {
			t.Errorf("ParseKind(%q) = %v, %v; expected an error", name, k, err)
		}
	}
	if attest.SNP.Simulated() || !attest.SimSNP.Simulated() {
		t.Error("the wrong kind is simulated")
	}
}

func TestStatusText(t *testing.T) {
	for _, s := range []attest.Status{attest.Fail, attest.Skip, attest.Pass} {
		text, _ := s.MarshalText()
		back := attest.Status(99)
		if err := back.UnmarshalText(text); err != nil || back != s {
			t.Errorf("%s came back as %s, %v", text, back, err)
		}
	}
	var s attest.Status
	if s.UnmarshalText([]byte("pass")) == nil {
		t.Error("read a status in lower case")
	}
	if attest.Status(9).String() != "FAIL" {
		t.Error("an unknown status does not read FAIL")
	}
}

func TestFailureNamesEveryFailedCheck(t *testing.T) {
	err := attest.FailureOf([]attest.Check{
		{Name: "a.good", Status: attest.Pass, Seen: "1", Expected: "1"},
		{Name: "a.bad", Code: attest.CodeExpired, Seen: "2", Expected: "3"},
		{Name: "a.skipped", Status: attest.Skip, Code: attest.CodeNoCRL},
		{Name: "a.worse", Code: attest.CodeRevoked, Seen: "4"},
	})
	want := "attest: refused: a.bad FAIL expired: 2, expected 3; a.worse FAIL revoked: 4"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	var failure *attest.Failure
	if !errors.As(err, &failure) || failure.Code() != attest.CodeExpired {
		t.Errorf("code %v", failure)
	}
	one := attest.NewFailure("x.y", attest.CodeMalformed, "s", "e")
	if one.Code() != attest.CodeMalformed || len(one.Failed()) != 1 {
		t.Errorf("NewFailure = %v", one)
	}
	if empty := (&attest.Failure{}); empty.Code() != "" || !strings.Contains(empty.Error(), "nothing was checked") {
		t.Errorf("empty failure: %v", empty)
	}
}

func TestEndorsementsGet(t *testing.T) {
	e := attest.Endorsements{{Label: "a", Data: []byte("1")}, {Label: "b", Data: []byte("2")}, {Label: "a", Data: []byte("3")}}
	if data, found, err := e.Get("b"); string(data) != "2" || !found || err != nil {
		t.Errorf("Get(b) = %q, %v, %v", data, found, err)
	}
	if data, found, err := e.Get("c"); data != nil || found || err != nil {
		t.Errorf("Get(c) = %q, %v, %v", data, found, err)
	}
	if data, found, err := e.Get("a"); data != nil || found || err == nil {
		t.Errorf("Get(a) = %q, %v, %v; expected only an error", data, found, err)
	}
}

func TestProves(t *testing.T) {
	b, err := sessionStatement().Bind()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range attest.Kinds() {
		whole := attest.Claims{Kind: k, ReportData: b.Bytes()}
		nonce := b.Nonce(k)
		short := attest.Claims{Kind: k, Nonce: nonce[:]}
		both := attest.Claims{Kind: k, ReportData: b.Bytes(), Nonce: nonce[:]}
		if whole.Proves(b) == k.SignsNonce() || short.Proves(b) != k.SignsNonce() || both.Proves(b) {
			t.Errorf("%s: 64 bytes %t, nonce %t, both %t", k, whole.Proves(b), short.Proves(b), both.Proves(b))
		}
		for _, other := range attest.Kinds() {
			if n := b.Nonce(other); other != k && bytes.Equal(n[:], nonce[:]) {
				t.Errorf("%s and %s sign the same nonce", k, other)
			}
		}
		half := b.Bytes()
		clear(half[32:])
		for name, c := range map[string]*attest.Claims{
			"none": nil, "empty": {Kind: k}, "half": {Kind: k, ReportData: half}, "cut nonce": {Kind: k, Nonce: nonce[:31]},
			"raw bytes as nonce": {Kind: k, Nonce: half[:32]}, "no kind": {ReportData: b.Bytes()},
		} {
			if c.Proves(b) {
				t.Errorf("%s: %s proves the statement", k, name)
			}
		}
		if whole.Proves(attest.Bound{}) || (&attest.Claims{Kind: k}).Proves(attest.Bound{}) {
			t.Errorf("%s: something proves no statement", k)
		}
	}
}

// TestFailureUnavailable: a Failure counts as unavailable only where nothing but
// missing things is to blame.
func TestFailureUnavailable(t *testing.T) {
	missing, refused := attest.Check{Name: "hardware.a", Code: attest.CodeNoCRL}, attest.Check{Name: "hardware.b", Code: attest.CodeStaleCRL}
	passed := attest.Check{Name: "hardware.c", Status: attest.Pass}
	for name, c := range map[string]struct {
		checks []attest.Check
		want   bool
	}{
		"missing":             {[]attest.Check{passed, missing}, true},
		"two missing":         {[]attest.Check{missing, {Code: attest.CodeUnavailable}}, true},
		"refused":             {[]attest.Check{refused}, false},
		"missing and refused": {[]attest.Check{missing, refused}, false},
		"refused and missing": {[]attest.Check{refused, missing}, false},
		"unknown code":        {[]attest.Check{{Code: "no_such_code"}}, false},
		"no code":             {[]attest.Check{{}}, false},
		"nothing checked":     {nil, false},
		"nothing failed":      {[]attest.Check{passed, {Status: attest.Skip, Code: attest.CodeNoCRL}}, false},
		"skipped and refused": {[]attest.Check{{Status: attest.Skip, Code: attest.CodeNoCRL}, refused}, false},
	} {
		err := fmt.Errorf("wrapped: %w", &attest.Failure{Checks: c.checks})
		if got := errors.Is(err, attest.ErrUnavailable); got != c.want {
			t.Errorf("%s: unavailable %v, expected %v", name, got, c.want)
		}
		if errors.Is(err, context.Canceled) {
			t.Errorf("%s is any error", name)
		}
		var f *attest.Failure
		if !errors.As(err, &f) {
			t.Errorf("%s is no Failure any more", name)
		}
	}
}
