package endorse

import (
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/snp"
	"github.com/blindbox/blindbox/endorse/freshness"
	"github.com/blindbox/blindbox/endorse/source"
)

// Floors remember the highest number that was seen of each series of objects.
// *cache.Dir is one.
type Floors interface {
	// Floor returns the highest number seen, nil if there is none.
	Floor(series string) (*big.Int, error)
	// Raise notes a number that was seen.
	Raise(series string, number *big.Int) error
}

// numbered are the labels whose objects have a number, for each kind whose
// verifier checks them. What a verifier ignored may be anybody's.
func numbered(k attest.Kind) []labelled {
	switch k {
	case attest.SNP, attest.AzureSNP:
		return []labelled{{attest.LabelSNPARKCRL, source.FormCRL, ""}, {attest.LabelSNPASKCRL, source.FormCRL, ""}}
	case attest.TDX, attest.SGX, attest.AzureTDX:
		return []labelled{
			{attest.LabelIntelRootCRL, source.FormCRL, ""}, {attest.LabelIntelPCKCRL, source.FormCRL, ""},
			{attest.LabelIntelTCBInfo, source.FormTCBInfo, ""}, {attest.LabelIntelQEIdentity, source.FormQEIdentity, ""},
		}
	case attest.TPM:
		return []labelled{{attest.LabelTPMAKCRL, source.FormCRL, "/tpm"}}
	}
	return nil
}

type labelled struct {
	label string
	form  source.Form
	// apart ends the name of its series. Who makes TPMs the user decides: a CA of
	// theirs can call itself what it likes, and must not age a vendor's lists.
	apart string
}

// stapled is one object that the verifier of the claims has accepted.
type stapled struct {
	label string
	facts freshness.Facts
	err   error // it cannot be read here, so nothing is known of its age
}

// seen are the objects that the verifier of the claims has accepted. A simulated
// vendor is anybody, so its numbers say nothing.
func seen(c *attest.Claims, end attest.Endorsements) []stapled {
	if c == nil || c.Simulated || c.Kind.Simulated() {
		return nil
	}
	var out []stapled
	for _, n := range numbered(c.Kind) {
		data, err := objectOf(n.label, end)
		if data == nil && err == nil {
			continue
		}
		it := stapled{label: n.label, err: err}
		if err == nil {
			it.facts, it.err = freshness.Read(n.form, data)
			it.facts.Series += n.apart
		}
		out = append(out, it)
	}
	for _, part := range c.Parts {
		out = append(out, seen(part, end)...)
	}
	return out
}

// tableCRL is what a certificate table calls the CRL of AMD's root (AMD 56421,
// GHCB, SNP extended guest request).
const tableCRL = "92f81bc3-5811-4d3d-97ff-d19f88dc67ea"

// objectOf returns an object, nil if there is none. The CRL of AMD's root may also
// lie in the table that the host handed out, where the verifier takes it from.
func objectOf(label string, end attest.Endorsements) ([]byte, error) {
	data, found, err := end.Get(label)
	if found || err != nil || label != attest.LabelSNPARKCRL {
		return data, err
	}
	table, found, err := end.Get(attest.LabelSNPCertTable)
	if !found || err != nil {
		return nil, err
	}
	entries, err := snp.ParseCertTable(table)
	for _, e := range entries {
		if e.GUID.String() == tableCRL {
			return e.Data, err
		}
	}
	return nil, err
}

// CheckFloors compares the stapled objects that went into the claims with those
// that were seen before. It returns one check for each object that has a
// number, named hardware.floor; a failed one means that the box, or somebody
// on the way, staples TCB data that were replaced, or a list that was replaced by
// one which withdraws other certificates. The claims must be those that
// the verifier made of the same endorsements.
func CheckFloors(f Floors, c *attest.Claims, end attest.Endorsements) []attest.Check {
	var checks []attest.Check
	for _, it := range seen(c, end) {
		checks = append(checks, it.check(f))
	}
	return checks
}

func (it stapled) check(f Floors) attest.Check {
	unreadable := func(code attest.Code, err error, expected string) attest.Check {
		return attest.Check{Name: checkFloor, Code: code, Seen: it.label + ": " + err.Error(), Expected: expected}
	}
	if it.err != nil {
		return unreadable(attest.CodeMalformed, it.err, "an object whose age can be read")
	}
	c, err := compareFloor(f, it.label+" of "+it.facts.Subject, it.facts)
	if err != nil {
		return unreadable(rollback(it.facts).Code, err, "a readable floor")
	}
	return c
}

// AboveFloors returns the claims with the checks of [CheckFloors] added, or, if
// one of those failed, an [*attest.Failure] and no claims. Without floors, and
// with an error of the verifier, it returns what it was given.
func AboveFloors(f Floors, c *attest.Claims, err error, end attest.Endorsements) (*attest.Claims, error) {
	if f == nil || c == nil || err != nil {
		return c, err
	}
	out := *c
	out.Checks = append(c.Checks[:len(c.Checks):len(c.Checks)], CheckFloors(f, c, end)...)
	if err := attest.FailureOf(out.Checks); err != nil {
		return nil, err
	}
	return &out, nil
}

// RaiseFloors notes the numbers of the objects that went into the claims. Call
// it for boxes that were accepted, not for strangers: Intel keeps two sets of
// TCB data in force, and whoever shows the newer one makes the other count as
// old.
func RaiseFloors(f Floors, c *attest.Claims, end attest.Endorsements) error {
	for _, it := range seen(c, end) {
		err := it.err
		if err == nil {
			err = raise(f, it.facts)
		}
		if err != nil {
			return fmt.Errorf("endorse: floor of %s: %w", it.label, err)
		}
	}
	return nil
}

// A revocation list is in force by its own dates, which its verifier has checked,
// until its next update, although the vendor may have replaced it long before. An
// older one is how a new withdrawal is hidden, and that alone makes it a rollback:
// boxes fetch once a day or so, each at its own time, and a mirror lags behind, so
// after every reissue honest boxes staple yesterday's list. It is accepted as long
// as it withdraws exactly what the newest one does that was seen. For that the floor
// of a list's date holds what that list withdraws.

// mark is a number of an object that must not fall from one to the next.
type mark struct {
	series string
	number *big.Int
	// text writes a number of this series for people.
	text func(*big.Int) string
}

// marks returns an object's own number and, for a CRL, its date: Intel gives all
// of its CRLs the number 1.
func marks(f freshness.Facts) []mark {
	if f.Series == "" {
		return nil
	}
	out := []mark{{f.Series, f.Number, func(n *big.Int) string { return "number " + number(n) }}}
	if seconds := f.From.Unix(); isCRL(f) && seconds >= 0 && seconds < 1<<dateBits {
		out = append(out, mark{listSeries(f), listFloor(f), func(n *big.Int) string { return "issued at " + number(issued(n)) + " (Unix time)" }})
	}
	return out
}

// The floor of a list is its date, below that its number, which tells two lists of
// one second apart, and below that what the list withdraws: 20 bytes, as long as the
// longest number of a CRL.
const (
	dateBits   = 36 // Unix time, to the year 4147
	numberBits = 44 // higher numbers count as the highest that fits
	setBits    = 8 * len(freshness.Set{})
)

func listSeries(f freshness.Facts) string { return f.Series + "/list" }

func listFloor(f freshness.Facts) *big.Int {
	n := new(big.Int).Lsh(big.NewInt(f.From.Unix()), numberBits)
	n.Or(n, big.NewInt(shortNumber(f.Number)))
	n.Lsh(n, uint(setBits))
	return n.Or(n, new(big.Int).SetBytes(f.Withdrawn[:]))
}

func shortNumber(n *big.Int) int64 {
	const highest = 1<<numberBits - 1
	switch {
	case n == nil:
		return 0
	case !n.IsInt64():
		return highest
	}
	return min(n.Int64(), highest)
}

func issued(floor *big.Int) *big.Int { return new(big.Int).Rsh(floor, numberBits+uint(setBits)) }

// setOf is what the list withdraws of which this is the floor.
func setOf(floor *big.Int) freshness.Set {
	var set freshness.Set
	all := new(big.Int).Lsh(big.NewInt(1), uint(setBits))
	new(big.Int).Mod(floor, all).FillBytes(set[:])
	return set
}

// below reports whether the object comes before the one of which the floor is.
func (m mark) below(f freshness.Facts, floor *big.Int) bool {
	switch {
	case floor == nil:
		return false
	case m.number == nil:
		return true // where others of its series had one
	case m.series == listSeries(f):
		return issued(m.number).Cmp(issued(floor)) < 0
	}
	return m.number.Cmp(floor) < 0
}

// raise notes an object's numbers. What a list withdraws comes before its number:
// where only one of the two could be noted, the other would let an older list pass
// that withdraws what the list before the newest did.
func raise(f Floors, facts freshness.Facts) error {
	for _, m := range slices.Backward(marks(facts)) {
		if m.number == nil {
			continue
		}
		if err := f.Raise(m.series, m.number); err != nil {
			return err
		}
	}
	return nil
}

// compareFloor judges an object by its numbers. One without a number, where
// others of its series had one, counts as older.
func compareFloor(f Floors, what string, facts freshness.Facts) (attest.Check, error) {
	for _, m := range marks(facts) {
		floor, err := f.Floor(m.series)
		if err != nil {
			return attest.Check{}, err
		}
		if !m.below(facts, floor) {
			continue
		}
		same, err := withdrawsTheSame(f, facts)
		switch {
		case err != nil:
			return attest.Check{}, err
		case same:
			return attest.Check{Name: checkFloor, Status: attest.Pass, Seen: what + ", older than seen before and in force, withdraws the same certificates"}, nil
		}
		c := rollback(facts)
		c.Seen, c.Expected = what+" "+m.text(m.number), m.text(floor)+" or higher, which was seen before"
		if isCRL(facts) {
			c.Expected += ", or a list that withdraws the same certificates"
		}
		return c, nil
	}
	return attest.Check{Name: checkFloor, Status: attest.Pass, Seen: what + ", no older than seen before"}, nil
}

// withdrawsTheSame reports whether a list withdraws what the newest one does that
// was seen.
func withdrawsTheSame(f Floors, facts freshness.Facts) (bool, error) {
	if !isCRL(facts) {
		return false, nil
	}
	floor, err := f.Floor(listSeries(facts))
	if err != nil || floor == nil {
		return false, err
	}
	return setOf(floor) == facts.Withdrawn, nil
}

func isCRL(f freshness.Facts) bool { return strings.HasPrefix(f.Series, "crl/") }

// rollback is the check of an object that is older than one that was seen.
func rollback(f freshness.Facts) attest.Check {
	if isCRL(f) {
		return attest.Check{Name: checkFloor, Code: CodeCRLRollback}
	}
	return attest.Check{Name: checkFloor, Code: CodeTCBRollback}
}

// number writes CRL numbers of up to 20 bytes so that a line can hold them.
func number(n *big.Int) string {
	switch {
	case n == nil:
		return "none"
	case n.BitLen() > 64:
		return fmt.Sprintf("0x%x", n)
	}
	return n.String()
}
