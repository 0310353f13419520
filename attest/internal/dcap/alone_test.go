package dcap

import (
	"testing"

	"github.com/blindbox/blindbox/attest/internal/intelforge"
)

// TestRootsThatMayNot: a root that is fine but for one extension.
func TestRootsThatMayNot(t *testing.T) {
	v := stranger(t)
	for name, edit := range map[string]func([]intelforge.Extension){
		"no CRLs":         func(x []intelforge.Extension) { x[3] = intelforge.KeyUsage(intelforge.UsageCertSign) },
		"no certificates": func(x []intelforge.Extension) { x[3] = intelforge.KeyUsage(intelforge.UsageCRLSign) },
		"no CA":           func(x []intelforge.Extension) { x[4] = intelforge.BasicConstraints(false, -1) },
	} {
		c := v.Root.Certificate
		c.Extensions = append([]intelforge.Extension(nil), c.Extensions...)
		edit(c.Extensions)
		der, err := c.Sign(v.Root.Key)
		if err != nil {
			t.Fatal(err)
		}
		if root, err := RootOf(der); root != nil || err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestMembersAlone: all that is required is there, and one identifier or value is
// not what it should be.
func TestMembersAlone(t *testing.T) {
	first := func(edit func(*intelforge.Entry)) []byte {
		entries := intelforge.DefaultFacts().Entries()
		edit(&entries[0])
		return intelforge.EncodeEntries(entries)
	}
	foreign := func() []byte {
		var parts [][]byte
		for i, e := range intelforge.DefaultFacts().Entries() {
			parts = append(parts, intelforge.Sequence(intelforge.OID(1, 2, 840, 113741, 1, 13, 2, i+1), e.Value))
		}
		return intelforge.Sequence(parts...)
	}
	for name, value := range map[string][]byte{
		"an arc too many":         first(func(e *intelforge.Entry) { e.Arcs = []int{1, 1} }),
		"a value too many":        first(func(e *intelforge.Entry) { e.Value = append(e.Value, intelforge.Octets(nil)...) }),
		"another tree altogether": foreign(),
	} {
		if p, err := ParsePCKExtension(value); p != nil || err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestTCBInfoWithoutLevels(t *testing.T) {
	f := newForged(t, SGX)
	f.info.Levels = []intelforge.PlatformLevel{}
	if got, err := ParseTCBInfo(f.collateral(t)[0].Data); got != nil || err == nil {
		t.Error("accepted without a level")
	}
}

// TestVerifyRawAlone: lengths and curve are checked before anything is computed.
func TestVerifyRawAlone(t *testing.T) {
	if verifyRaw(nil, make([]byte, 32), make([]byte, 64)) {
		t.Error("no key verifies")
	}
	key, err := intelforge.NewKey("alone")
	if err != nil {
		t.Fatal(err)
	}
	hash := make([]byte, 32)
	for _, n := range []int{0, 1, 63, 65} {
		if verifyRaw(&key.PublicKey, hash, make([]byte, n)) {
			t.Errorf("a signature of %d bytes verifies", n)
		}
	}
	for _, n := range []int{0, 63, 65} {
		if k, err := readKey(make([]byte, n)); k != nil || err == nil {
			t.Errorf("a key of %d bytes is read", n)
		}
	}
}
