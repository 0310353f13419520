package tcg_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest/internal/tcg"
	"github.com/blindbox/blindbox/attest/internal/tpmforge"
)

// headerOf is a log of no event whose header declares digests of 32 bytes with
// these algorithms.
func headerOf(algorithms ...uint16) []byte {
	le := binary.LittleEndian
	spec := append([]byte("Spec ID Event03\x00"), 0, 0, 0, 0, 0, 2, 0, 2)
	spec = le.AppendUint32(spec, uint32(len(algorithms)))
	for _, a := range algorithms {
		spec = le.AppendUint16(le.AppendUint16(spec, a), 32)
	}
	spec = append(spec, 0)
	out := append([]byte{0, 0, 0, 0, 3, 0, 0, 0}, make([]byte, 20)...)
	return append(le.AppendUint32(out, uint32(len(spec))), spec...)
}

// TestDeclarations: a header that breaks one rule, and is whole in all else.
func TestDeclarations(t *testing.T) {
	if _, err := tcg.Parse(headerOf(1, 2, 3, 5, 6, 7, 8, 0x0b)); err != nil {
		t.Error(err)
	}
	for words, log := range map[string][]byte{
		"0 algorithms":   headerOf(),
		"9 algorithms":   headerOf(1, 2, 3, 5, 6, 7, 8, 9, 0x0b),
		"declared twice": headerOf(0x0b, 0x0b),
	} {
		if _, err := tcg.Parse(log); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", words, err)
		}
	}
}

// TestEventLimits: events that are well-formed but for one thing.
func TestEventLimits(t *testing.T) {
	with := func(e tpmforge.Event) []byte {
		return tpmforge.Log{Bank: tpmforge.SHA256, Events: []tpmforge.Event{e}}.Encode()
	}
	if _, err := tcg.Parse(with(tpmforge.Event{Type: 5, Data: make([]byte, 256<<10)})); err != nil {
		t.Error(err)
	}
	if _, err := tcg.Parse(with(tpmforge.Event{Type: 5, Data: make([]byte, 256<<10+1)})); err == nil {
		t.Error("more data than an event may have")
	}
	if _, err := tcg.Parse(with(tpmforge.Event{Type: tpmforge.NoAction, Digest: bytes.Repeat([]byte{1}, 32)})); err == nil {
		t.Error("a digest where nothing is extended")
	}
	if _, err := tcg.ParseArea(append(healthy().Encode(), bytes.Repeat([]byte{7}, 100)...)); err == nil {
		t.Error("sevens behind the log are padding")
	}
}

// TestOnceOnly: what may be there once is not there twice.
func TestOnceOnly(t *testing.T) {
	locality := tpmforge.Event{Type: tpmforge.NoAction, Data: []byte("StartupLocality\x00\x03")}
	for words, events := range map[string][]tpmforge.Event{
		"startup locality":   {locality, locality},
		"a second separator": {healthy().Events[13], healthy().Events[13]},
	} {
		l := healthy()
		l.Events = slices.Concat(events[:1], l.Events)
		if events[0].Type == tpmforge.NoAction {
			if _, err := parse(t, l).ReplayTPM(tcg.SHA256); err != nil {
				t.Errorf("%s, once: %v", words, err)
			}
		}
		l.Events = slices.Concat(events, healthy().Events)
		if _, err := parse(t, l).ReplayTPM(tcg.SHA256); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s, twice: %v", words, err)
		}
	}
}

// TestVariableThatOverflows: lengths whose sum is right only because it wraps.
func TestVariableThatOverflows(t *testing.T) {
	l := healthy()
	data := binary.LittleEndian.AppendUint64(bytes.Clone(l.Events[1].Data[:16]), 1)
	l.Events[1].Data = binary.LittleEndian.AppendUint64(data, 1<<64-2)
	if sb, err := parse(t, l).ReadSecureBoot(tcg.SHA256, 7); err == nil {
		t.Errorf("%+v", sb)
	}
}
