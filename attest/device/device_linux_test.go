package device

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// configfs behaves like the kernel's: entries appear with their files, writes
// count, and the report is made when outblob is read.
type configfs struct {
	mu      sync.Mutex
	present map[string]bool // paths that exist apart from entries
	entries map[string]*node
	made    int // entries made so far

	provider string
	floor    uint64
	noFloor  bool // hardware without privilege levels
	aux      []byte
	noAux    bool

	// spoil makes a file unreadable, or if the error is nil, unintelligible.
	spoil    map[string]error
	mkdirErr error
	statErr  error
	// outblob may answer in place of the firmware; n counts the orders.
	outblob func(n int, report []byte) ([]byte, error)
	// meddle runs before the report is made.
	meddle func(n int, e *node)
	orders int
	block  chan struct{}
}

type node struct {
	generation uint64
	level      string
	inblob     []byte
}

func newConfigfs() *configfs {
	return &configfs{
		present: map[string]bool{tsmReports: true}, entries: make(map[string]*node),
		provider: providerSNP, aux: []byte("certificates"),
	}
}

func (c *configfs) stat(p string) error {
	if c.statErr != nil {
		return &fs.PathError{Op: "stat", Path: p, Err: c.statErr}
	}
	if !c.present[p] {
		return &fs.PathError{Op: "stat", Path: p, Err: syscall.ENOENT}
	}
	return nil
}

func (c *configfs) mkdir(p string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mkdirErr != nil {
		return &fs.PathError{Op: "mkdir", Path: p, Err: c.mkdirErr}
	}
	if path.Dir(p) != tsmReports || c.entries[p] != nil {
		return &fs.PathError{Op: "mkdir", Path: p, Err: syscall.EEXIST}
	}
	c.entries[p] = &node{level: "0"}
	c.made++
	return nil
}

func (c *configfs) rmdir(p string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries[p] == nil {
		return syscall.ENOENT
	}
	delete(c.entries, p)
	return nil
}

func (c *configfs) write(p string, data []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[path.Dir(p)]
	if e == nil {
		return syscall.ENOENT
	}
	switch path.Base(p) {
	case "inblob":
		if len(data) > 64 {
			return syscall.EINVAL
		}
		e.inblob = bytes.Clone(data)
	case "privlevel":
		if c.noFloor {
			return syscall.ENOENT
		}
		e.level = string(data)
	default:
		return syscall.EACCES
	}
	e.generation++
	return nil
}

func (c *configfs) read(p string, limit int) ([]byte, error) {
	data, err := c.content(p)
	if err == nil && len(data) > limit {
		return nil, fmt.Errorf("%s: more than %d bytes", p, limit)
	}
	return data, err
}

func (c *configfs) content(p string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[path.Dir(p)]
	if e == nil {
		return nil, syscall.ENOENT
	}
	if err, ok := c.spoil[path.Base(p)]; ok {
		return []byte("spoilt"), err
	}
	switch path.Base(p) {
	case "generation":
		return fmt.Appendf(nil, "%d\n", e.generation), nil
	case "provider":
		return []byte(c.provider + "\n"), nil
	case "privlevel_floor":
		if c.noFloor {
			return nil, syscall.ENOENT
		}
		return fmt.Appendf(nil, "%d\n", c.floor), nil
	case "auxblob":
		if c.noAux {
			return nil, syscall.ENOENT
		}
		return c.aux, nil
	case "outblob":
		return c.firmware(e)
	}
	return nil, syscall.ENOENT
}

func (c *configfs) firmware(e *node) ([]byte, error) {
	if c.block != nil {
		c.mu.Unlock()
		<-c.block
		c.mu.Lock()
	}
	c.orders++
	if c.meddle != nil {
		c.meddle(c.orders, e)
	}
	if e.generation == 0 {
		return nil, syscall.EINVAL
	}
	if e.level != fmt.Sprint(c.floor) {
		return nil, syscall.EIO
	}
	report := make([]byte, snpReportSize)
	copy(report[snpReportDataAt:], e.inblob)
	if c.outblob != nil {
		return c.outblob(c.orders, report)
	}
	return report, nil
}

func (c *configfs) open(p string) (io.ReadWriteCloser, error) {
	return nil, &fs.PathError{Op: "open", Path: p, Err: syscall.ENOENT}
}

func bound(t testing.TB) attest.Bound {
	t.Helper()
	s := attest.Statement{
		Purpose: attest.PurposeSession, Role: attest.RoleServer, Nonce: [32]byte{1}, SPKI: attest.Digest{2},
		Exporter: [32]byte{3}, Policy: attest.Digest{4}, NotBefore: time.Unix(1e9, 0), NotAfter: time.Unix(1e9+60, 0),
	}
	b, err := s.Bind()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// attester returns the Attester with pauses that a test can wait for.
func (c *configfs) attester(t testing.TB) attest.Attester {
	t.Helper()
	a, err := open(c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	a.(*turns).pause = time.Microsecond
	return a
}

// unavailable expects the error that every failure to get evidence is.
func expectUnavailable(t *testing.T, ev attest.Evidence, end attest.Endorsements, err error, text string) {
	t.Helper()
	if !errors.Is(err, attest.ErrUnavailable) || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v, expected one of evidence being unavailable that contains %q", err, text)
	}
	if ev.Data != nil || ev.Kind != 0 || end != nil {
		t.Errorf("evidence %v with an error", ev)
	}
}

func TestAttest(t *testing.T) {
	for _, floor := range []uint64{0, 2} {
		c := newConfigfs()
		c.floor = floor
		b := bound(t)
		ev, end, err := c.attester(t).Attest(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		want := b.Bytes()
		if ev.Kind != attest.SNP || !bytes.Equal(ev.Data[snpReportDataAt:snpReportDataAt+64], want[:]) {
			t.Errorf("floor %d: evidence %s %x", floor, ev.Kind, ev.Data)
		}
		certs, found, err := end.Get(attest.LabelSNPCertTable)
		if err != nil || !found || string(certs) != "certificates" {
			t.Errorf("endorsements %v", end)
		}
		if len(c.entries) != 0 {
			t.Errorf("%d entries left behind", len(c.entries))
		}
	}
}

func TestAttestWithoutCertificates(t *testing.T) {
	for _, c := range []*configfs{{noAux: true}, {aux: nil}, {noAux: true, noFloor: true}} {
		c.present, c.entries, c.provider = map[string]bool{tsmReports: true}, make(map[string]*node), providerSNP
		_, end, err := c.attester(t).Attest(t.Context(), bound(t))
		if err != nil || len(end) != 0 {
			t.Errorf("endorsements %v, error %v, expected neither", end, err)
		}
	}
}

func TestAttestRefusesZeroBound(t *testing.T) {
	c := newConfigfs()
	a := c.attester(t)
	made := c.made
	if _, _, err := a.Attest(t.Context(), attest.Bound{}); err == nil {
		t.Error("signed a bound that came from no statement")
	}
	if c.made != made {
		t.Error("the kernel was asked")
	}
}

func TestAttestRefuses(t *testing.T) {
	for _, c := range []struct {
		name, text string
		set        func(*configfs)
	}{
		{"level that is no number", "expected a number", func(c *configfs) { c.spoil = map[string]error{"privlevel_floor": nil} }},
		{"no provider to read", "no data available", func(c *configfs) { c.spoil = map[string]error{"provider": syscall.ENODATA} }},
		{"no generation to read", "no data available", func(c *configfs) { c.spoil = map[string]error{"generation": syscall.ENODATA} }},
		{"no certificates to read", "no data available", func(c *configfs) { c.spoil = map[string]error{"auxblob": syscall.ENODATA} }},
		{"report over other bytes", "the report is over", func(c *configfs) {
			c.outblob = func(_ int, r []byte) ([]byte, error) { r[snpReportDataAt+63] ^= 1; return r, nil }
		}},
		{"short report", "report of 1183 bytes", func(c *configfs) {
			c.outblob = func(_ int, r []byte) ([]byte, error) { return r[:snpReportSize-1], nil }
		}},
		{"no report", "report of 0 bytes", func(c *configfs) {
			c.outblob = func(int, []byte) ([]byte, error) { return nil, nil }
		}},
		{"long report", "more than 1184 bytes", func(c *configfs) {
			c.outblob = func(_ int, r []byte) ([]byte, error) { return append(r, 0), nil }
		}},
		{"huge certificates", "auxblob: more than 131072 bytes", func(c *configfs) { c.aux = make([]byte, attest.MaxEndorsement+1) }},
		{"firmware error", "input/output error", func(c *configfs) {
			c.outblob = func(int, []byte) ([]byte, error) { return nil, syscall.EIO }
		}},
		{"busy for ever", "attempt 5 of 5", func(c *configfs) {
			c.outblob = func(int, []byte) ([]byte, error) { return nil, syscall.EBUSY }
		}},
		{"meddled with for ever", "somebody else changed the entry", func(c *configfs) {
			c.meddle = func(_ int, e *node) { e.generation++ }
		}},
		{"provider changed", `provider "tdx_guest", expected "sev_guest"`, func(c *configfs) { c.provider = "tdx_guest" }},
		{"no entries any more", "permission denied", func(c *configfs) { c.mkdirErr = syscall.EACCES }},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := newConfigfs()
			a := fake.attester(t)
			c.set(fake)
			ev, end, err := a.Attest(t.Context(), bound(t))
			expectUnavailable(t, ev, end, err, c.text)
			if len(fake.entries) != 0 {
				t.Errorf("%d entries left behind", len(fake.entries))
			}
			if again := strings.Contains(c.name, "for ever"); !again && fake.orders > 1 {
				t.Errorf("%d orders for an error that does not go away", fake.orders)
			}
		})
	}
}

// failing fails at one operation on one file, the nth time.
type failing struct {
	*configfs
	name string
	nth  int
	err  error
	seen int
}

func (f *failing) fails(p string) bool {
	if path.Base(p) == f.name {
		f.seen++
	}
	return path.Base(p) == f.name && f.seen == f.nth
}

func (f *failing) read(p string, limit int) ([]byte, error) {
	if f.fails(p) {
		return nil, f.err
	}
	return f.configfs.read(p, limit)
}

func (f *failing) write(p string, data []byte) error {
	if f.fails(p) {
		return f.err
	}
	return f.configfs.write(p, data)
}

// TestAttestStopsWhereItFails: an error is told as it is, whichever file it
// comes from and although the next might do.
func TestAttestStopsWhereItFails(t *testing.T) {
	for _, c := range []struct {
		name string
		nth  int
	}{{"generation", 1}, {"generation", 2}, {"provider", 1}, {"privlevel_floor", 1}, {"privlevel", 1}, {"inblob", 1}, {"outblob", 1}, {"auxblob", 1}} {
		fake := newConfigfs()
		fake.floor = 1
		told := fmt.Errorf("%s fails the %d. time", c.name, c.nth)
		ev, end, err := newTSM(&failing{configfs: fake, name: c.name, nth: c.nth, err: told}, attest.SNP).Attest(t.Context(), bound(t))
		expectUnavailable(t, ev, end, err, told.Error())
		if len(fake.entries) != 0 {
			t.Errorf("%s: %d entries left behind", c.name, len(fake.entries))
		}
	}
}

func TestAttestTriesAgain(t *testing.T) {
	for name, set := range map[string]func(*configfs){
		"busy": func(c *configfs) {
			c.outblob = func(n int, r []byte) ([]byte, error) {
				if n < maxAttempts {
					return nil, syscall.EBUSY
				}
				return r, nil
			}
		},
		"conflict": func(c *configfs) {
			c.meddle = func(n int, e *node) {
				if n < maxAttempts {
					e.generation++
					e.inblob = []byte("somebody else's")
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newConfigfs()
			set(c)
			if _, _, err := c.attester(t).Attest(t.Context(), bound(t)); err != nil {
				t.Error(err)
			}
			if c.orders != maxAttempts {
				t.Errorf("%d orders, expected %d", c.orders, maxAttempts)
			}
		})
	}
}

func TestAttestHonoursContext(t *testing.T) {
	c := newConfigfs()
	c.block = make(chan struct{})
	a := c.attester(t)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	ev, end, err := a.Attest(over, bound(t))
	expectUnavailable(t, ev, end, err, "context canceled")

	// The first hangs in the kernel, the second waits for its turn.
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		ev, end, err := a.Attest(ctx, bound(t))
		cancel()
		expectUnavailable(t, ev, end, err, "deadline exceeded")
	}
	close(c.block)
	if _, _, err := a.Attest(t.Context(), bound(t)); err != nil {
		t.Errorf("after the kernel came back: %v", err)
	}
}

func TestAttestConcurrently(t *testing.T) {
	c := newConfigfs()
	a := c.attester(t)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, _, err := a.Attest(t.Context(), bound(t)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(c.entries) != 0 {
		t.Errorf("%d entries left behind", len(c.entries))
	}
}

func TestDetect(t *testing.T) {
	for _, c := range []struct {
		name   string
		set    func(*configfs)
		usable attest.Kind
		text   string
	}{
		{"a SEV-SNP guest", func(*configfs) {}, attest.SNP, "usable: provider sev_guest"},
		{"a TDX guest", func(c *configfs) { c.provider = providerTDX }, attest.TDX, "usable: provider tdx_guest"},
		{"an ordinary machine", func(c *configfs) { c.present = nil }, 0, "mount -t configfs"},
		{"an ordinary machine", func(c *configfs) { c.present = nil }, 0, "not in a Nitro enclave"},
		{"an ordinary machine", func(c *configfs) { c.present = nil }, 0, "not in an SGX enclave"},
		{"an ordinary machine", func(c *configfs) { c.present = nil }, 0, "no TPM 2.0"},
		{"an ordinary machine", func(c *configfs) { c.present = nil }, 0, "no driver of NVIDIA's is loaded"},
		{"a guest with the device alone", func(c *configfs) { c.present = map[string]bool{"/dev/sev-guest": true} }, 0, "/dev/sev-guest is there: the hardware is, the kernel's interface is not"},
		{"an NVIDIA driver", func(c *configfs) { c.present = map[string]bool{"/dev/nvidiactl": true} }, 0, "no program was named"},
		{"another hypervisor", func(c *configfs) { c.provider = "arm_cca_guest" }, 0, `provider "arm_cca_guest", expected "sev_guest"`},
		{"no provider", func(c *configfs) { c.mkdirErr = syscall.ENXIO }, 0, "no provider"},
		{"not root", func(c *configfs) { c.mkdirErr = syscall.EACCES }, 0, "run as root"},
		{"something odd", func(c *configfs) { c.mkdirErr = syscall.EIO }, 0, "input/output error"},
		{"forbidden", func(c *configfs) { c.statErr = syscall.EACCES }, 0, "stat " + tsmReports + ": permission denied"},
		{"forbidden", func(c *configfs) { c.statErr = syscall.EACCES }, 0, "stat /dev/nsm: permission denied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := newConfigfs()
			c.set(fake)
			d := detect(fake, Options{})
			if got := d.Usable(); len(got) > 1 || (len(got) == 1) != c.usable.Valid() || len(got) == 1 && got[0].Kind != c.usable {
				t.Errorf("usable %v, expected %v", got, c.usable)
			}
			if !strings.Contains(d.String(), c.text) {
				t.Errorf("found\n%s\nexpected it to contain %q", d, c.text)
			}
			a, err := open(fake, Options{})
			if c.usable.Valid() != (err == nil) || err == nil && a.Kind() != c.usable {
				t.Errorf("open: %v, %v", a, err)
			}
			if err != nil && (!errors.Is(err, attest.ErrUnavailable) || !strings.Contains(err.Error(), c.text)) {
				t.Errorf("error %v, expected it to say that evidence is unavailable and %q", err, c.text)
			}
			if len(fake.entries) != 0 {
				t.Errorf("%d entries left behind", len(fake.entries))
			}
		})
	}
}

// TestDetectNamesEveryKind: what can come from hardware has a line, and what
// was not looked at is not usable.
func TestDetectNamesEveryKind(t *testing.T) {
	d := detect(newConfigfs(), Options{})
	for _, k := range attest.Kinds() {
		if _, found := d.Find(k); found == (k.Simulated() || k == attest.Composite) {
			t.Errorf("%s: found %v", k, found)
		}
	}
	if lines := strings.Count(d.String(), "\n") + 1; lines != len(d) {
		t.Errorf("%d lines for %d kinds", lines, len(d))
	}
	if (Candidate{}).Usable() || (Candidate{Kind: attest.SNP}).Usable() || (Candidate{Present: true}).Usable() {
		t.Error("a candidate that was not looked at is usable")
	}
}

// TestOpenHere runs against whatever machine this is. Both answers are right;
// evidence that is simulated would not be.
func TestOpenHere(t *testing.T) {
	a, err := Open(Options{})
	if err == nil && a.Kind().Simulated() || err != nil && !errors.Is(err, attest.ErrUnavailable) {
		t.Errorf("attester %v, error %v", a, err)
	}
}

func TestKernel(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "attribute")
	var k kernel
	if err := k.write(file, []byte("x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("write made a file: %v", err)
	}
	if _, err := k.read(file, 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read: %v", err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.write(file, []byte("12345")); err != nil {
		t.Fatal(err)
	}
	if got, err := k.read(file, 5); err != nil || string(got) != "12345" {
		t.Errorf("read %q, %v", got, err)
	}
	if got, err := k.read(file, 4); err == nil || got != nil {
		t.Errorf("read %q over the limit", got)
	}
	if _, err := k.read(dir, 1000); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("read a directory: %v", err)
	}
	if f, err := k.open(filepath.Join(dir, "nothing")); !errors.Is(err, fs.ErrNotExist) || f != nil {
		t.Errorf("opened nothing: %v, %v", f, err)
	}
	if _, err := k.read("/dev/zero", 1000); err == nil {
		t.Error("read a file without an end")
	}
	if err := errors.Join(k.stat(dir), k.mkdir(filepath.Join(dir, "a")), k.rmdir(filepath.Join(dir, "a"))); err != nil {
		t.Error(err)
	}
}

// FuzzAnswers has the host choose everything that is read back.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte("0\n"), []byte("1\n"), make([]byte, snpReportSize), []byte("certificates"))
	f.Add([]byte("-1"), []byte(""), []byte{}, []byte{})
	b := bound(f)
	f.Fuzz(func(t *testing.T, before, after, report, aux []byte) {
		a := newTSM(&liar{configfs: newConfigfs(), before: before, after: after, report: report, aux: aux}, attest.SNP)
		a.pause = time.Nanosecond
		ev, end, err := a.Attest(t.Context(), b)
		want := b.Bytes()
		if err == nil && (len(ev.Data) != snpReportSize || !bytes.Equal(ev.Data[snpReportDataAt:][:64], want[:])) {
			t.Errorf("evidence %x", ev.Data)
		}
		if err != nil && (ev.Data != nil || end != nil) {
			t.Error("evidence and an error")
		}
	})
}

type liar struct {
	*configfs
	before, after, report, aux []byte
	asked                      int
}

func (l *liar) read(p string, limit int) ([]byte, error) {
	answers := map[string][]byte{"generation": l.before, "outblob": l.report, "auxblob": l.aux}
	name := path.Base(p)
	if name == "generation" {
		l.asked++
		if l.asked%2 == 0 {
			answers[name] = l.after
		}
	}
	data, ok := answers[name]
	if !ok {
		return l.configfs.read(p, limit)
	}
	if len(data) > limit {
		return nil, errors.New("too long")
	}
	return data, nil
}
