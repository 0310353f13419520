package tcg_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest/internal/tcg"
	"github.com/blindbox/blindbox/attest/internal/tpmforge"
)

func healthy() tpmforge.Log { return tpmforge.HealthyLog(tpmforge.SHA256, []byte("image")) }

func parse(t *testing.T, l tpmforge.Log) *tcg.Log {
	t.Helper()
	log, err := tcg.Parse(l.Encode())
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// TestReplay: a forged log leads to the registers that the forge computes.
func TestReplay(t *testing.T) {
	for _, bank := range []uint16{tpmforge.SHA256, tpmforge.SHA384} {
		l := tpmforge.HealthyLog(bank, []byte("image"))
		got, err := parse(t, l).ReplayTPM(tcg.Algorithm(bank))
		if err != nil {
			t.Fatal(err)
		}
		want := l.Replay()
		for i, r := range got {
			if r.Extended != (want[uint8(i)] != nil) || r.Extended && !bytes.Equal(r.Value, want[uint8(i)]) {
				t.Errorf("PCR %d: %x, want %x", i, r.Value, want[uint8(i)])
			}
		}
		if first := got[18].Value; !bytes.Equal(first, bytes.Repeat([]byte{0xff}, len(first))) || got[18].Extended {
			t.Errorf("PCR 18 begins as %x", first)
		}
	}
	if _, err := parse(t, healthy()).ReplayTPM(tcg.SHA384); err == nil {
		t.Error("replayed in a bank that the log does not have")
	}
	if _, err := parse(t, healthy()).ReplayTPM(0x12); err == nil {
		t.Error("replayed with an algorithm that is not known")
	}
}

// TestStartupLocality: the locality is PCR 0's first value, and no event's.
func TestStartupLocality(t *testing.T) {
	l := healthy()
	l.Events = append([]tpmforge.Event{{Type: tpmforge.NoAction, Data: []byte("StartupLocality\x00\x03")}}, l.Events...)
	got, err := parse(t, l).ReplayTPM(tcg.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	value := append(make([]byte, 31), 3)
	for _, e := range l.Events {
		if e.Register == 0 && e.Type != tpmforge.NoAction {
			value = tpmforge.Sum(tpmforge.SHA256, value, tpmforge.Sum(tpmforge.SHA256, e.Data))
		}
	}
	if !bytes.Equal(got[0].Value, value) {
		t.Errorf("PCR 0 is %x, want %x", got[0].Value, value)
	}
	for name, e := range map[string]tpmforge.Event{
		"in register 1": {Register: 1, Type: tpmforge.NoAction, Data: []byte("StartupLocality\x00\x03")},
		"two bytes":     {Type: tpmforge.NoAction, Data: []byte("StartupLocality\x00\x03\x00")},
		"no byte":       {Type: tpmforge.NoAction, Data: []byte("StartupLocality\x00")},
		"locality 2":    {Type: tpmforge.NoAction, Data: []byte("StartupLocality\x00\x02")},
	} {
		l := healthy()
		l.Events = append([]tpmforge.Event{e}, l.Events...)
		if _, err := parse(t, l).ReplayTPM(tcg.SHA256); err == nil {
			t.Errorf("%s: replayed", name)
		}
	}
}

// TestVerified: data counts only if its type says that it is what was hashed, and
// only if it was.
func TestVerified(t *testing.T) {
	log := parse(t, healthy())
	for _, e := range log.Events {
		if want := e.Type != tcg.EFIBootServicesApp; e.Verified(tcg.SHA256) != want {
			t.Errorf("%s: verified %v, want %v", e.Type, !want, want)
		}
		if e.Verified(tcg.SHA384) {
			t.Errorf("%s: verified in a bank that is not there", e.Type)
		}
		e.Data = append(slices.Clone(e.Data), 0)
		if e.Verified(tcg.SHA256) {
			t.Errorf("%s: verified with other data", e.Type)
		}
	}
	path := []byte("the image's own bytes")
	app := tcg.Event{Type: tcg.EFIBootServicesApp, Data: path, Digests: []tcg.Digest{{Algorithm: tcg.SHA256, Value: tpmforge.Sum(tpmforge.SHA256, path)}}}
	if app.Verified(tcg.SHA256) {
		t.Error("data of a started image counts, though the digest is that of the image")
	}
}

// TestSecureBoot: the state is what stands before the separator, once.
func TestSecureBoot(t *testing.T) {
	sb, err := parse(t, healthy()).ReadSecureBoot(tcg.SHA256, 7)
	if err != nil || !sb.Enabled || string(sb.DBX) != "forbidden" || string(sb.DB) != "allowed" || string(sb.PK) != "platform key" ||
		string(sb.KEK) != "key exchange key" || len(sb.Authorities) != 1 || sb.Unread != 0 {
		t.Errorf("%+v, %v", sb, err)
	}
	variable := func(name string, data []byte) tpmforge.Event {
		return tpmforge.Event{Register: 7, Type: tpmforge.Driver, Data: tpmforge.Variable(tpmforge.GlobalGUID, name, data)}
	}
	for name, edit := range map[string]func(*tpmforge.Log){
		"twice":                  func(l *tpmforge.Log) { l.Events = slices.Insert(l.Events, 2, variable("SecureBoot", []byte{1})) },
		"after the separator":    func(l *tpmforge.Log) { l.Events = append(l.Events, variable("SecureBoot", []byte{1})) },
		"PK after the separator": func(l *tpmforge.Log) { l.Events = append(l.Events, variable("PK", nil)) },
		"missing":                func(l *tpmforge.Log) { l.Events = slices.Delete(l.Events, 1, 2) },
		"other vendor": func(l *tpmforge.Log) {
			l.Events[1].Data = tpmforge.Variable(tpmforge.SecurityGUID, "SecureBoot", []byte{1})
		},
		"no separator":        func(l *tpmforge.Log) { l.Events = l.Events[:6] },
		"failed separator":    func(l *tpmforge.Log) { l.Events[13].Data = []byte{1, 0, 0, 0} },
		"other separator":     func(l *tpmforge.Log) { l.Events[13].Digest = make([]byte, 32) },
		"other data":          func(l *tpmforge.Log) { l.Events[1].Digest = make([]byte, 32) },
		"longer than it says": func(l *tpmforge.Log) { l.Events[1].Data = append(l.Events[1].Data, 0) },
		"short variable":      func(l *tpmforge.Log) { l.Events[1].Data = l.Events[1].Data[:31] },
		"huge name":           func(l *tpmforge.Log) { l.Events[1].Data[23] = 0x80 },
	} {
		l := healthy()
		if l.Events[13].Register != 7 || l.Events[13].Type != tpmforge.Separator {
			t.Fatal("event 13 is not PCR 7's separator")
		}
		edit(&l)
		if sb, err := parse(t, l).ReadSecureBoot(tcg.SHA256, 7); err == nil || name == "no separator" && !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %+v, %v", name, sb, err)
		}
	}
	off := healthy()
	off.Events[1].Data = tpmforge.Variable(tpmforge.GlobalGUID, "SecureBoot", []byte{0})
	if sb, err := parse(t, off).ReadSecureBoot(tcg.SHA256, 7); err != nil || sb.Enabled {
		t.Errorf("off: %+v, %v", sb, err)
	}
	unread := healthy()
	unread.Events[14].Digest = make([]byte, 32)
	if sb, err := parse(t, unread).ReadSecureBoot(tcg.SHA256, 7); err != nil || len(sb.Authorities) != 0 || sb.Unread != 1 {
		t.Errorf("authority with other data: %+v, %v", sb, err)
	}
}

// TestSecureBootRetold: an operating system that was started without Secure Boot
// extends the register with a state of its own choice, and tells the firmware's
// events as something else. The register fits the log, but for its separator.
func TestSecureBootRetold(t *testing.T) {
	off := healthy()
	off.Events[1].Data = tpmforge.Variable(tpmforge.GlobalGUID, "SecureBoot", []byte{0})
	off.Events = append(off.Events, healthy().Events[1:6]...)
	off.Events = append(off.Events, healthy().Events[13])
	for name, value := range map[string][]byte{"zeros": {0, 0, 0, 0}, "ones": {0xff, 0xff, 0xff, 0xff}, "failure": {1, 0, 0, 0}, "failure, big-endian": {0, 0, 0, 1}} {
		off.Events[13].Data = value
		for _, kind := range []uint32{tpmforge.EFIAction, tpmforge.Authority, tpmforge.Driver, 0x77} {
			told := off
			told.Events = slices.Concat(off.Events[:1], off.Events[6:]) // the separator is the mark, whatever stands before it
			told.Events[8] = tpmforge.Event{Register: 7, Type: kind, Data: []byte("something else"), Digest: tpmforge.Sum(off.Bank, value)}
			refusedState(t, name, told, "digest of a separator")
			told.Events[8].Data = value // what was hashed, under another name
			refusedState(t, name, told, "digest of a separator")
		}
	}
}

// TestSecureBootRetoldBefore: the same by a driver that was started before the
// separator. Each of its ways to hide what the firmware measured is noticed.
func TestSecureBootRetoldBefore(t *testing.T) {
	state := tpmforge.Variable(tpmforge.GlobalGUID, "SecureBoot", []byte{0})
	entry := tpmforge.Variable(tpmforge.SecurityGUID, "db", []byte("entry"))
	for name, c := range map[string]struct {
		event tpmforge.Event
		says  string
	}{
		"other variable":      {tpmforge.Event{Type: tpmforge.Driver, Data: tpmforge.Variable(tpmforge.GlobalGUID, "Boot0000", nil), Digest: tpmforge.Sum(tpmforge.SHA256, state)}, "not what was measured"},
		"authority":           {tpmforge.Event{Type: tpmforge.Authority, Data: entry, Digest: tpmforge.Sum(tpmforge.SHA256, state)}, "not what was measured"},
		"image":               {tpmforge.Event{Type: tpmforge.App, Data: []byte("path"), Digest: tpmforge.Sum(tpmforge.SHA256, state)}, "not what was measured"},
		"image, its data":     {tpmforge.Event{Type: tpmforge.App, Data: state}, "variable SecureBoot as EV_EFI_BOOT_SERVICES_APPLICATION"},
		"action":              {tpmforge.Event{Type: tpmforge.EFIAction, Data: state}, "variable SecureBoot as EV_EFI_ACTION"},
		"authority, its data": {tpmforge.Event{Type: tpmforge.Authority, Data: state}, "variable SecureBoot as EV_EFI_VARIABLE_AUTHORITY"},
		"debugger":            {tpmforge.Event{Type: tpmforge.EFIAction, Data: []byte("UEFI Debug Mode")}, "a debugger"},
		"debugger, otherwise": {tpmforge.Event{Type: tpmforge.Authority, Data: []byte("UEFI Debug Mode\x00")}, "a debugger"},
		"as it is":            {tpmforge.Event{Type: tpmforge.Driver, Data: state}, "measured twice"},
	} {
		c.event.Register = 7
		l := healthy()
		l.Events = slices.Insert(l.Events, 1, c.event)
		refusedState(t, name, l, c.says)
	}
	l := healthy()
	for _, data := range [][]byte{entry, tpmforge.Variable(tpmforge.SecurityGUID, "other", nil)} {
		l.Events = slices.Insert(l.Events, 1, tpmforge.Event{Register: 7, Type: tpmforge.Authority, Data: data})
	}
	l.Events = slices.Insert(l.Events, 1, tpmforge.Event{Register: 7, Type: tpmforge.EFIAction, Data: []byte("DMA Protection Disabled")})
	l.Events = slices.Insert(l.Events, 1, tpmforge.Event{Register: 7, Type: 0x800000e3, Data: []byte("policy of a device")})
	if sb, err := parse(t, l).ReadSecureBoot(tcg.SHA256, 7); err != nil || !sb.Enabled || len(sb.Authorities) != 3 {
		t.Errorf("a driver that an entry of db vouched for: %+v, %v", sb, err)
	}
}

// TestSecureBootPlausible: what was on had keys, and they were used.
func TestSecureBootPlausible(t *testing.T) {
	for name, edit := range map[string]func(*tpmforge.Log){
		"a PK of 0":            func(l *tpmforge.Log) { l.Events[2].Data = tpmforge.Variable(tpmforge.GlobalGUID, "PK", nil) },
		"a KEK of 0":           func(l *tpmforge.Log) { l.Events[3].Data = tpmforge.Variable(tpmforge.GlobalGUID, "KEK", nil) },
		"a db of 0":            func(l *tpmforge.Log) { l.Events[4].Data = tpmforge.Variable(tpmforge.SecurityGUID, "db", nil) },
		"nothing was verified": func(l *tpmforge.Log) { l.Events = slices.Delete(l.Events, 14, 15) },
	} {
		l := healthy()
		edit(&l)
		refusedState(t, name, l, name)
		l.Events[1].Data = tpmforge.Variable(tpmforge.GlobalGUID, "SecureBoot", []byte{0})
		if sb, err := parse(t, l).ReadSecureBoot(tcg.SHA256, 7); err != nil || sb.Enabled {
			t.Errorf("%s, and off: %+v, %v", name, sb, err)
		}
	}
}

// refusedState fails unless the log can be replayed and its state not be read.
func refusedState(t *testing.T, name string, l tpmforge.Log, says string) {
	t.Helper()
	log := parse(t, l)
	if registers, err := log.ReplayTPM(tcg.SHA256); err != nil || !bytes.Equal(registers[7].Value, l.Replay()[7]) {
		t.Fatalf("%s: the log does not lead to the register: %v", name, err)
	}
	if sb, err := log.ReadSecureBoot(tcg.SHA256, 7); err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %+v, %v, want an error about %q", name, sb, err, says)
	}
}

// TestExitedBootServices: only the measured words in PCR 5 count.
func TestExitedBootServices(t *testing.T) {
	if !parse(t, healthy()).ExitedBootServices(tcg.SHA256) {
		t.Error("not seen")
	}
	for name, edit := range map[string]func(*tpmforge.Event){
		"other register": func(e *tpmforge.Event) { e.Register = 6 },
		"other type":     func(e *tpmforge.Event) { e.Type = 5 },
		"other data":     func(e *tpmforge.Event) { e.Digest = make([]byte, 32) },
		"other words":    func(e *tpmforge.Event) { e.Data = []byte("Exit Boot Services Returned with Failure") },
	} {
		l := healthy()
		edit(&l.Events[len(l.Events)-1])
		if parse(t, l).ExitedBootServices(tcg.SHA256) {
			t.Errorf("%s: seen", name)
		}
	}
}

// TestTDX: registers 1 to 4 are RTMR0 to 3, and nothing extends MRTD.
func TestTDX(t *testing.T) {
	event := func(register uint32) tpmforge.Event {
		return tpmforge.Event{Register: register, Type: tpmforge.Separator, Data: make([]byte, 4)}
	}
	l := tpmforge.Log{Bank: tpmforge.SHA384, Events: []tpmforge.Event{event(1), event(1), event(4)}}
	got, err := parse(t, l).ReplayTDX()
	if err != nil {
		t.Fatal(err)
	}
	sum := tpmforge.Sum(tpmforge.SHA384, make([]byte, 4))
	once := tpmforge.Sum(tpmforge.SHA384, make([]byte, 48), sum)
	for i, want := range [][]byte{tpmforge.Sum(tpmforge.SHA384, once, sum), make([]byte, 48), make([]byte, 48), once} {
		if !bytes.Equal(got[i].Value, want) || got[i].Extended != (i == 0 || i == 3) {
			t.Errorf("RTMR%d is %x, want %x", i, got[i].Value, want)
		}
	}
	for _, register := range []uint32{0, 5, 23} {
		l.Events[0] = event(register)
		if _, err := parse(t, l).ReplayTDX(); err == nil {
			t.Errorf("replayed with an event in register %d", register)
		}
	}
}

// TestPadding: what stands behind a log is uniform, and only in an area.
func TestPadding(t *testing.T) {
	whole := healthy().Encode()
	for name, tail := range map[string][]byte{"zeros": make([]byte, 100), "ones": bytes.Repeat([]byte{0xff}, 100), "one byte": {0}, "one 0xff": {0xff}} {
		if _, err := tcg.Parse(slices.Concat(whole, tail)); err == nil {
			t.Errorf("%s: read as a log", name)
		}
		if log, err := tcg.ParseArea(slices.Concat(whole, tail)); err != nil || len(log.Events) != len(healthy().Events) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := tcg.ParseArea(slices.Concat(whole, tail, []byte{7})); err == nil {
			t.Errorf("%s and a byte: read", name)
		}
	}
}

// TestMalformed: each rule of the format, broken.
func TestMalformed(t *testing.T) {
	whole := healthy().Encode()
	for i := range whole {
		if _, err := tcg.Parse(whole[:i]); err == nil && i != headerSize && !boundary(i) {
			t.Errorf("cut at %d: read", i)
		}
	}
	for name, f := range map[string]func([]byte) []byte{
		"register of the header": func(b []byte) []byte { b[0] = 2; return b },
		"type of the header":     func(b []byte) []byte { b[4] = 4; return b },
		"digest of the header":   func(b []byte) []byte { b[8] = 1; return b },
		"signature":              func(b []byte) []byte { b[32+14] = '2'; return b },
		"no algorithm":           func(b []byte) []byte { b[32+24] = 0; return b },
		"nine algorithms":        func(b []byte) []byte { b[32+24] = 9; return b },
		"wrong size":             func(b []byte) []byte { b[32+30] = 20; return b },
		"header goes on":         func(b []byte) []byte { b[28]++; return slices.Insert(b, headerSize, 0) },
		"huge header":            func(b []byte) []byte { b[30] = 1; return b },
		"digest of another sort": func(b []byte) []byte { b[headerSize+12] = 4; return b },
		"two digests":            func(b []byte) []byte { b[headerSize+8] = 2; return b },
		"no digest":              func(b []byte) []byte { b[headerSize+8] = 0; return b },
		"over the limit":         func(b []byte) []byte { return append(b, make([]byte, tcg.MaxLog)...) },
	} {
		if _, err := tcg.ParseArea(f(slices.Clone(whole))); err == nil {
			t.Errorf("%s: read", name)
		}
	}
	unset := healthy()
	unset.Events = append(unset.Events, tpmforge.Event{Register: 0xffffffff, Type: tpmforge.NoAction, Data: []byte("x")})
	if _, err := tcg.Parse(unset.Encode()); err != nil {
		t.Errorf("an event without register and digest: %v", err)
	}
	many := tpmforge.Log{Bank: tpmforge.SHA256}
	for range 4097 {
		many.Events = append(many.Events, tpmforge.Event{Type: 5})
	}
	if _, err := tcg.Parse(many.Encode()); err == nil {
		t.Error("4097 events: read")
	}
}

// headerSize is that of the forge's first event.
const headerSize = 32 + 16 + 8 + 4 + 4 + 1

// boundary reports whether the forge's log can be cut there: after an event.
func boundary(at int) bool {
	l := healthy()
	n := headerSize
	for _, e := range l.Events {
		n += 4 + 4 + 4 + 2 + 32 + 4 + len(e.Data)
		if n == at {
			return true
		}
	}
	return false
}

// TestUnknownAlgorithm: a bank that is not known is passed over by its declared
// size, and a known one of another size is refused.
func TestUnknownAlgorithm(t *testing.T) {
	spec := append([]byte("Spec ID Event03\x00"), 0, 0, 0, 0, 0, 2, 0, 2, 2, 0, 0, 0, 0x12, 0, 32, 0, 0x0b, 0, 32, 0, 0)
	head := append(append([]byte{0, 0, 0, 0, 3, 0, 0, 0}, make([]byte, 20)...), byte(len(spec)), 0, 0, 0)
	event := slices.Concat([]byte{4, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0, 0x12, 0}, make([]byte, 32), []byte{0x0b, 0}, bytes.Repeat([]byte{1}, 32), []byte{0, 0, 0, 0})
	log, err := tcg.Parse(slices.Concat(head, spec, event))
	if err != nil || len(log.Events) != 1 || log.Events[0].Digest(tcg.SHA256)[0] != 1 {
		t.Fatalf("%+v, %v", log, err)
	}
	same := slices.Clone(event)
	same[46+0] = 0x12 // the second digest with the first's algorithm
	if _, err := tcg.Parse(slices.Concat(head, spec, same)); err == nil {
		t.Error("two digests with one algorithm: read")
	}
	twice := slices.Clone(spec)
	twice[28], twice[32] = 0x0b, 0x0b
	if _, err := tcg.Parse(slices.Concat(head, twice, event)); err == nil {
		t.Error("one algorithm declared twice: read")
	}
}

// TestReasons: rules whose breach would also be noticed later are named at once.
func TestReasons(t *testing.T) {
	whole := healthy().Encode()
	for words, f := range map[string]func([]byte) []byte{
		"digests of 20 bytes": func(b []byte) []byte { b[32+30] = 20; return b },
		"digests of 65 bytes": func(b []byte) []byte { b[32+28], b[32+30] = 0x77, 65; return b },
		"digests of 0 bytes":  func(b []byte) []byte { b[32+28], b[32+30] = 0x77, 0; return b },
		"register 24":         func(b []byte) []byte { b[headerSize] = 24; return b },
		"register 4294967295": func(b []byte) []byte { copy(b[headerSize:], []byte{0xff, 0xff, 0xff, 0xff}); return b },
	} {
		if _, err := tcg.Parse(f(slices.Clone(whole))); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("error %v, want %q", err, words)
		}
	}
	late := healthy()
	late.Events = slices.Insert(late.Events, 1, tpmforge.Event{Type: tpmforge.NoAction, Data: []byte("StartupLocality\x00\x00")})
	if _, err := parse(t, late).ReplayTPM(tcg.SHA256); err == nil || !strings.Contains(err.Error(), "after another event") {
		t.Errorf("locality after an event: %v", err)
	}
	if _, err := parse(t, healthy()).ReplayTPM(0x12); err == nil || !strings.Contains(err.Error(), "not known") {
		t.Errorf("unknown algorithm: %v", err)
	}
	bad := healthy()
	bad.Events[14].Data = []byte("no variable")
	if _, err := parse(t, bad).ReadSecureBoot(tcg.SHA256, 7); err == nil {
		t.Error("an authority that is no variable")
	}
	after := healthy()
	after.Events = append(after.Events, tpmforge.Event{Register: 7, Type: tpmforge.Driver, Data: []byte("no variable")})
	if _, err := parse(t, after).ReadSecureBoot(tcg.SHA256, 7); err != nil {
		t.Errorf("a boot variable after the separator: %v", err)
	}
}
