package dcap

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest/internal/intelforge"
)

func TestPCKExtension(t *testing.T) {
	p, err := ParsePCKExtension(intelforge.EncodeEntries(intelforge.DefaultFacts().Entries()))
	if err != nil {
		t.Fatal(err)
	}
	if p.FMSPC != [6]byte{0xc0, 0x80, 0x6f} || p.Components[7] != 3 || p.PCESVN != 11 || !*p.Configuration.DynamicPlatform || !*p.Configuration.CachedKeys {
		t.Errorf("%+v", p)
	}
	high := intelforge.DefaultFacts()
	high.Components[15], high.PCESVN, high.SGXType, high.Configuration = 255, 0xffff, 2, []bool{false}
	if p, err = ParsePCKExtension(intelforge.EncodeEntries(high.Entries())); err != nil {
		t.Fatal(err)
	}
	if p.Components[15] != 255 || p.PCESVN != 0xffff || p.SGXType != SGXScalableIntegrity || *p.Configuration.DynamicPlatform || p.Configuration.SMTEnabled != nil {
		t.Errorf("%+v", p)
	}
	reversed := intelforge.DefaultFacts().Entries()
	slices.Reverse(reversed)
	if _, err := ParsePCKExtension(intelforge.EncodeEntries(reversed)); err != nil {
		t.Errorf("in another order: %v", err)
	}
}

// spoilTCB returns the entries with those of the TCB changed.
func spoilTCB(edit func([]intelforge.Entry) []intelforge.Entry) []byte {
	facts := intelforge.DefaultFacts()
	entries := facts.Entries()
	entries[1].Value = intelforge.EncodeEntries(edit(facts.TCBEntries()))
	return intelforge.EncodeEntries(entries)
}

// setValue returns the entries with one value replaced.
func setValue(i int, value []byte) []byte {
	entries := intelforge.DefaultFacts().Entries()
	entries[i].Value = value
	return intelforge.EncodeEntries(entries)
}

func TestPCKExtensionRefuses(t *testing.T) {
	whole := intelforge.EncodeEntries(intelforge.DefaultFacts().Entries())
	entry := func(arcs []int, value []byte) intelforge.Entry { return intelforge.Entry{Arcs: arcs, Value: value} }
	add := func(e intelforge.Entry) []byte {
		return intelforge.EncodeEntries(append(intelforge.DefaultFacts().Entries(), e))
	}
	tagged := func(tag byte, der []byte) []byte { return append([]byte{tag}, der[1:]...) }
	ppid := []int{1, 2, 840, 113741, 1, 13, 1, 1}
	rest := func(first []byte) []byte { // the members after the PPID
		var entries [][]byte
		for _, e := range intelforge.DefaultFacts().Entries()[1:] {
			one := intelforge.EncodeEntries([]intelforge.Entry{e})
			c := cursor(one)
			_, member, err := c.next()
			if err != nil {
				t.Fatal(err)
			}
			entries = append(entries, member)
		}
		return intelforge.Sequence(append([][]byte{first}, entries...)...)
	}
	if _, err := ParsePCKExtension(rest(intelforge.Sequence(intelforge.OID(ppid...), intelforge.Octets(make([]byte, 16))))); err != nil {
		t.Fatal(err)
	}
	cases := map[string][]byte{
		"all as a set":          tagged(0x31, whole),
		"a member as a set":     rest(intelforge.DER(0x31, intelforge.OID(ppid...), intelforge.Octets(make([]byte, 16)))),
		"a relative identifier": rest(intelforge.Sequence(tagged(0x0d, intelforge.OID(ppid...)), intelforge.Octets(make([]byte, 16)))),
		"an identifier cut off": rest(append(intelforge.Sequence(intelforge.OID(ppid...), intelforge.Octets(make([]byte, 16))),
			intelforge.Sequence(intelforge.DER(tagOID, oidSGX, []byte{0x81}), intelforge.Octets(nil))...)),
		"empty":                    {},
		"no members":               intelforge.Sequence(),
		"a byte after it":          append(bytes.Clone(whole), 0),
		"a set":                    intelforge.DER(0x31, whole),
		"an unknown member":        add(entry([]int{8}, intelforge.Octets([]byte{1}))),
		"an unknown arc above 31":  add(entry([]int{40}, intelforge.Octets([]byte{1}))),
		"a member below a member":  add(entry([]int{1, 1}, intelforge.Octets(make([]byte, 16)))),
		"another vendor's member":  intelforge.Sequence(intelforge.Sequence(intelforge.OID(1, 2, 840, 113742, 1, 13, 1, 1), intelforge.Octets(make([]byte, 16)))),
		"a member without value":   intelforge.Sequence(intelforge.Sequence(intelforge.OID(1, 2, 840, 113741, 1, 13, 1, 1))),
		"a member with two values": intelforge.Sequence(intelforge.Sequence(intelforge.OID(1, 2, 840, 113741, 1, 13, 1, 1), intelforge.Octets(make([]byte, 16)), intelforge.Octets(nil))),
		"a member that is no pair": intelforge.Sequence(intelforge.Octets(nil)),
		"PPID of 15 bytes":         setValue(0, intelforge.Octets(make([]byte, 15))),
		"PPID as text":             setValue(0, intelforge.DER(0x0c, make([]byte, 16))),
		"TCB as octets":            setValue(1, intelforge.Octets(nil)),
		"PCE id of 3 bytes":        setValue(2, intelforge.Octets(make([]byte, 3))),
		"FMSPC of 5 bytes":         setValue(3, intelforge.Octets(make([]byte, 5))),
		"SGX type 3":               setValue(4, intelforge.Enumerated(3)),
		"SGX type as integer":      setValue(4, intelforge.Integer(1)),
		"platform id of 17 bytes":  setValue(5, intelforge.Octets(make([]byte, 17))),
		"configuration as octets":  setValue(6, intelforge.Octets(nil)),
		"configuration 4":          setValue(6, intelforge.EncodeEntries([]intelforge.Entry{entry([]int{7, 4}, intelforge.Boolean(true))})),
		"configuration twice":      setValue(6, intelforge.EncodeEntries([]intelforge.Entry{entry([]int{7, 1}, intelforge.Boolean(true)), entry([]int{7, 1}, intelforge.Boolean(true))})),
		"configuration of 2":       setValue(6, intelforge.EncodeEntries([]intelforge.Entry{entry([]int{7, 1}, intelforge.DER(1, []byte{2}))})),
		"configuration of 0 bytes": setValue(6, intelforge.EncodeEntries([]intelforge.Entry{entry([]int{7, 1}, intelforge.DER(1))})),
		"configuration as integer": setValue(6, intelforge.EncodeEntries([]intelforge.Entry{entry([]int{7, 1}, intelforge.Integer(1))})),
		"component 19": spoilTCB(func(e []intelforge.Entry) []intelforge.Entry {
			return append(e, entry([]int{2, 19}, intelforge.Integer(1)))
		}),
		"component 0": spoilTCB(func(e []intelforge.Entry) []intelforge.Entry {
			return append(e, entry([]int{2, 0}, intelforge.Integer(1)))
		}),
		"component twice":       spoilTCB(func(e []intelforge.Entry) []intelforge.Entry { return append(e, e[4]) }),
		"component of 256":      spoilTCB(func(e []intelforge.Entry) []intelforge.Entry { e[0].Value = intelforge.Integer(1, 0); return e }),
		"component of -1":       spoilTCB(func(e []intelforge.Entry) []intelforge.Entry { e[0].Value = intelforge.DER(2, []byte{0xff}); return e }),
		"component of no bytes": spoilTCB(func(e []intelforge.Entry) []intelforge.Entry { e[0].Value = intelforge.DER(2); return e }),
		"component not minimal": spoilTCB(func(e []intelforge.Entry) []intelforge.Entry { e[0].Value = intelforge.DER(2, []byte{0, 7}); return e }),
		"component of 5 bytes": spoilTCB(func(e []intelforge.Entry) []intelforge.Entry {
			e[0].Value = intelforge.Integer(1, 0, 0, 0, 0)
			return e
		}),
		"component of 9 bytes": spoilTCB(func(e []intelforge.Entry) []intelforge.Entry {
			e[0].Value = intelforge.Integer(1, 0, 0, 0, 0, 0, 0, 0, 0)
			return e
		}),
		"TCB as a set":     setValue(1, tagged(0x31, intelforge.EncodeEntries(intelforge.DefaultFacts().TCBEntries()))),
		"PCE SVN of 65536": spoilTCB(func(e []intelforge.Entry) []intelforge.Entry { e[16].Value = intelforge.Integer(1, 0, 0); return e }),
		"CPUSVN of 15 bytes": spoilTCB(func(e []intelforge.Entry) []intelforge.Entry {
			e[17].Value = intelforge.Octets(make([]byte, 15))
			return e
		}),
	}
	for i := range 5 {
		cases["without member "+string(rune('1'+i))] = intelforge.EncodeEntries(slices.Delete(intelforge.DefaultFacts().Entries(), i, i+1))
	}
	for i := range 2 {
		cases["without platform member "+string(rune('6'+i))] = intelforge.EncodeEntries(slices.Delete(intelforge.DefaultFacts().Entries(), 5+i, 6+i))
	}
	for i := range 18 {
		cases["without TCB member "+string(rune('A'+i))] = spoilTCB(func(e []intelforge.Entry) []intelforge.Entry { return slices.Delete(e, i, i+1) })
	}
	for i := range 7 {
		cases["member twice "+string(rune('1'+i))] = add(intelforge.DefaultFacts().Entries()[i])
	}
	for name, value := range cases {
		if p, err := ParsePCKExtension(value); p != nil || err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for n := range whole {
		if p, err := ParsePCKExtension(whole[:n]); p != nil || err == nil {
			t.Errorf("the first %d of %d bytes: accepted", n, len(whole))
		}
	}
	if _, err := ParsePCKExtension(cases["another vendor's member"]); err == nil || !strings.Contains(err.Error(), "identifier") {
		t.Errorf("another vendor's member: %v, expected its identifier", err)
	}
}

// TestDERLengths: one value has one encoding.
func TestDERLengths(t *testing.T) {
	for name, b := range map[string][]byte{
		"indefinite":          {0x04, 0x80, 0, 0},
		"long form of 1":      {0x04, 0x81, 0x01, 0},
		"two bytes of 0x0001": {0x04, 0x82, 0x00, 0x01, 0},
		"three bytes":         append([]byte{0x04, 0x83, 0, 0, 1}, 0),
		"three bytes, long":   append([]byte{0x04, 0x83}, make([]byte, 200)...),
		"no length":           {0x04},
		"past the end":        {0x04, 2, 0},
	} {
		c := cursor(b)
		if _, _, err := c.next(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, n := range []int{0, 1, 127, 128, 255, 256, 700} {
		c := cursor(intelforge.Octets(make([]byte, n)))
		if _, content, err := c.next(); err != nil || len(content) != n || len(c) != 0 {
			t.Errorf("%d bytes: read %d, %v", n, len(content), err)
		}
	}
}
