package appraise

import (
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/snp"
)

// A trusted Result ends with the first of the things that it rests on, and is
// not trusted if made after that.
func TestValidUntil(t *testing.T) {
	week := testTime.AddDate(0, 0, 7)
	for _, tc := range []struct {
		name  string
		trust string
		edit  func(*fixture)
		want  time.Time
	}{
		{"reference value", strings.Replace(strictTrust, "expires: 2027-01-01", "expires: 2026-11-23", 1), nil, time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)},
		{"crl_max_age", strictTrust, nil, testTime.Add(21 * time.Hour)},
		{"crl_max_age of the second list", strictTrust, func(f *fixture) { f.detail.ASKCRL.ThisUpdate = testTime.Add(-23 * time.Hour) }, testTime.Add(time.Hour)},
		{"end of a list", strictTrust, func(f *fixture) { f.detail.ARKCRL.NextUpdate = testTime.Add(time.Hour) }, testTime.Add(time.Hour)},
		{"certificates", strictTrust, func(f *fixture) { f.claims.Endorsed.NotAfter = testTime.Add(time.Minute) }, testTime.Add(time.Minute)},
		{"a list that nobody must have", strings.NewReplacer("revocation: require", "revocation: allow_missing", "crl_max_age: 24h", "crl_max_age: 720h").Replace(strictTrust),
			func(f *fixture) {
				f.detail.ARKCRL, f.detail.ASKCRL = snp.Revocation{}, snp.Revocation{}
				f.claims.Endorsed.NotAfter = week
			}, week},
	} {
		t.Run(tc.name, func(t *testing.T) {
			trust, f := parseTest(t, tc.trust), newFixture(t)
			if tc.edit != nil {
				tc.edit(f)
			}
			f.sync()
			// The channel's checks are those of the fixture's time.
			r := trust.Appraise(f.in, f.at)
			if !r.Trusted() || !r.ValidUntil().Equal(tc.want) {
				t.Fatalf("%s until %s, expected %s: %v", r.Verdict(), r.ValidUntil(), tc.want, r.Err())
			}
			if r := trust.Appraise(f.in, tc.want.Add(-time.Nanosecond)); !r.Trusted() {
				t.Errorf("refused before its end: %v", r.Err())
			}
			if r := trust.Appraise(f.in, tc.want.Add(time.Nanosecond)); r.Trusted() || !r.ValidUntil().IsZero() {
				t.Errorf("after its end: %s until %s", r.Verdict(), r.ValidUntil())
			}
		})
	}
}

// What is not trusted holds at no time.
func TestValidUntilOfNothing(t *testing.T) {
	trust := parseTest(t, strictTrust)
	refused, partial := newFixture(t), newFixture(t)
	refused.report.Measurement[0] ^= 1
	refused.sync()
	partial.in.Offline = true
	partial.sync()
	for name, r := range map[string]Result{
		"zero": {}, "refused": trust.Appraise(refused.in, testTime), "partial": trust.Appraise(partial.in, testTime),
		"no evidence": trust.Appraise(Input{Err: attest.ErrUnavailable}, testTime),
	} {
		if r.Trusted() || !r.ValidUntil().IsZero() {
			t.Errorf("%s: %s until %s", name, r.Verdict(), r.ValidUntil())
		}
	}
}
