package appraise

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/snp"
)

// notJudged are the fields of a report that appraisal has no opinion on, each
// with the reason.
var notJudged = map[string]string{
	"ReportID": "names one guest, which nobody knows beforehand",
	"SigAlgo":  "the Verifier's: it checked that signature",
	"Family":   "the Verifier's: it derives the product, which is judged",
	"Model":    "the Verifier's: it derives the product, which is judged",
	"Stepping": "chooses a built-in floor; here the trust file has its own",
	"ChipID":   "the certificate's chip id is judged, which the Verifier compared with it",
}

// worse returns every way in which a value could be worse, or merely other than
// what was accepted: a flipped bit where the value must be exact, one less where
// more is better.
func worse(field string, v reflect.Value) (changes []func(reflect.Value)) {
	switch v.Kind() {
	case reflect.Array:
		for i := range v.Len() {
			changes = append(changes, func(v reflect.Value) { v.Index(i).SetUint(v.Index(i).Uint() ^ 0x10) })
		}
	case reflect.Struct: // a TCB or a firmware version
		for i := range v.NumField() {
			if v.Field(i).Uint() > 0 {
				changes = append(changes, func(v reflect.Value) { v.Field(i).SetUint(v.Field(i).Uint() - 1) })
			}
		}
	case reflect.Bool:
		changes = append(changes, func(v reflect.Value) { v.SetBool(!v.Bool()) })
	default:
		for bit := range v.Type().Bits() {
			flipped := v.Uint() ^ 1<<bit
			if moreIsBetter(field, bit) && flipped > v.Uint() || mitigationNotAsked(field, bit) {
				continue
			}
			changes = append(changes, func(v reflect.Value) { v.SetUint(flipped) })
		}
	}
	return changes
}

func moreIsBetter(field string, bit int) bool {
	return field == "GuestSVN" || field == "Policy" && bit < 16 || field == "LaunchMitVector" || field == "CurrentMitVector"
}

func mitigationNotAsked(field string, bit int) bool { return field == "LaunchMitVector" && bit == 2 }

// Change any one thing that a trusted Result rests on, and it is not trusted.
func TestEveryFieldCounts(t *testing.T) {
	trust := parseTest(t, strictTrust)
	fields := reflect.TypeFor[snp.Report]()
	for i := range fields.NumField() {
		name := fields.Field(i).Name
		changes := worse(name, reflect.ValueOf(newFixture(t).report).Elem().Field(i))
		if len(changes) == 0 {
			t.Errorf("%s: no change known", name)
		}
		for n, change := range changes {
			f := newFixture(t)
			change(reflect.ValueOf(f.report).Elem().Field(i))
			if name == "ReportedTCB" {
				f.detail.CertTCB = f.report.ReportedTCB // or the Verifier would have refused
			}
			f.sync()
			_, exempt := notJudged[name]
			if r := trust.Appraise(f.in, f.at); r.Trusted() != exempt {
				t.Errorf("%s, change %d: verdict %s", name, n, r.Verdict())
			}
		}
	}
}

func TestEveryStatementFieldCounts(t *testing.T) {
	trust := parseTest(t, strictTrust)
	fields := reflect.TypeFor[attest.Statement]()
	for i := range fields.NumField() {
		f := newFixture(t)
		f.sync()
		switch v := reflect.ValueOf(&f.in.Statement).Elem().Field(i); v.Kind() {
		case reflect.Array:
			v.Index(0).SetUint(v.Index(0).Uint() ^ 1)
		case reflect.Uint8:
			v.SetUint(v.Uint() ^ 3)
		default:
			if fields.Field(i).Name == "NotBefore" {
				f.in.Statement.NotBefore = f.in.Statement.NotBefore.Add(1e9)
			} else {
				f.in.Statement.NotAfter = f.in.Statement.NotAfter.Add(1e9)
			}
		}
		if r := trust.Appraise(f.in, f.at); r.Trusted() {
			t.Errorf("%s does not count", fields.Field(i).Name)
		}
	}
}

func TestEveryPolicyByteCounts(t *testing.T) {
	trust := parseTest(t, strictTrust)
	for i := range len(testPolicy) {
		f := newFixture(t)
		f.sync()
		f.in.Policy = slices.Clone(f.in.Policy)
		f.in.Policy[i] ^= 0x20
		if r := trust.Appraise(f.in, f.at); r.Trusted() {
			t.Errorf("byte %d does not count", i)
		}
	}
}

func TestEveryChannelCheckCounts(t *testing.T) {
	trust := parseTest(t, strictTrust)
	for i := range newFixture(t).in.Channel {
		for _, status := range []attest.Status{attest.Fail, attest.Skip} {
			f := newFixture(t)
			f.sync()
			f.in.Channel[i].Status = status
			if r := trust.Appraise(f.in, f.at); r.Trusted() {
				t.Errorf("%s with %s is trusted", f.in.Channel[i].Name, status)
			}
		}
	}
}

// Inputs that make no sense refuse and do not panic.
func TestSurvivesNonsense(t *testing.T) {
	f := newFixture(t)
	f.sync()
	for i, in := range []Input{
		{}, {Offline: true}, {Claims: &attest.Claims{}}, {Claims: &attest.Claims{Detail: f.detail}},
		{Claims: &attest.Claims{Kind: attest.SNP, Detail: &snp.Claims{Report: &snp.Report{}}}, Offline: true},
		{Claims: f.claims, Policy: make([]byte, 1<<20)}, {Err: fmt.Errorf("x"), Offline: true},
	} {
		for _, trust := range []*Trust{parseTest(t, strictTrust), defaults(), new(Trust)} {
			r := trust.Appraise(in, f.at)
			if r.Verdict() != Refused || r.Err() == nil {
				t.Errorf("input %d: %s", i, r.Verdict())
			}
			if _, err := r.MarshalJSON(); err != nil {
				t.Errorf("input %d: %v", i, err)
			}
			_ = r.Lines()
		}
	}
}
