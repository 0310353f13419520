package device

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"syscall"
	"testing"

	"github.com/google/go-configfs-tsm/configfs/configfsi"
	"github.com/google/go-configfs-tsm/configfs/faketsm"
	"github.com/google/go-configfs-tsm/report"

	"github.com/blindbox/blindbox/attest"
)

// theirs is Google's imitation of configfs-tsm, behind our interface to files.
// Its provider and report are those of the hardware that a test is about.
type theirs struct {
	client *faketsm.Client
	sub    *faketsm.ReportSubsystem
}

func newTheirs(provider string, sub *faketsm.ReportSubsystem) theirs {
	inner := sub.ReadAttr
	sub.ReadAttr = func(e *faketsm.ReportEntry, attr string) ([]byte, error) {
		switch attr {
		case "provider":
			return []byte(provider + "\n"), nil
		case "outblob":
			// Its own would be text. The order's parts are in it all the same.
			in := e.InAttrs["inblob"].Value
			if provider == providerTDX {
				return fakeQuote(4, teeTDX, 0, in), nil
			}
			r := make([]byte, snpReportSize)
			copy(r[snpReportDataAt:], in)
			level, err := strconv.Atoi(string(bytes.TrimSpace(e.InAttrs["privlevel"].Value)))
			binary.LittleEndian.PutUint32(r[0x30:], uint32(level))
			return r, err
		}
		return inner(e, attr)
	}
	return theirs{&faketsm.Client{Subsystems: map[string]configfsi.Client{"report": sub}}, sub}
}

func (f theirs) stat(p string) error {
	if p == tsmReports {
		return nil
	}
	return fs.ErrNotExist
}

// mkdir does what its MkdirTemp does, under our name.
func (f theirs) mkdir(p string) error {
	if f.sub.Entries == nil {
		f.sub.Entries = map[string]*faketsm.ReportEntry{}
	}
	if f.sub.Entries[path.Base(p)] != nil {
		return syscall.EEXIST
	}
	f.sub.Entries[path.Base(p)] = f.sub.MakeEntry()
	return nil
}

func (f theirs) rmdir(p string) error                      { return f.client.RemoveAll(p) }
func (f theirs) write(p string, data []byte) error         { return f.client.WriteFile(p, data) }
func (f theirs) open(p string) (io.ReadWriteCloser, error) { return nil, fs.ErrNotExist }
func (f theirs) read(p string, limit int) ([]byte, error) {
	data, err := f.client.ReadFile(p)
	if e := f.sub.Entries[path.Base(path.Dir(p))]; e != nil && e.WriteGeneration == 0 && errors.Is(err, fs.ErrNotExist) {
		// The kernel tells provider and floor before anything was written, too.
		data, err = f.sub.ReadAttr(e, path.Base(p))
	}
	if err == nil && len(data) > limit {
		return nil, fmt.Errorf("%s: more than %d bytes", p, limit)
	}
	return data, err
}

// TestGoogleReadsTheSame asks Google's imitation with Google's client and with
// ours: both get the same report, at every privilege level.
func TestGoogleReadsTheSame(t *testing.T) {
	b := bound(t)
	in := b.Bytes()
	for _, provider := range []string{providerSNP, providerTDX} {
		for floor := range uint(4) {
			for name, sub := range map[string]*faketsm.ReportSubsystem{"Linux 6.7": faketsm.ReportV7(floor), "Linux 6.11": faketsm.Report611(floor)} {
				f := newTheirs(provider, sub)
				want, err := report.Get(f.client, &report.Request{InBlob: in[:], Privilege: &report.Privilege{Level: floor}, GetAuxBlob: true})
				if err != nil {
					t.Fatalf("%s, %s, floor %d: %v", provider, name, floor, err)
				}
				a, err := open(f, Options{})
				if err != nil {
					t.Fatal(err)
				}
				ev, end, err := a.Attest(t.Context(), b)
				if err != nil || !bytes.Equal(ev.Data, want.OutBlob) {
					t.Errorf("%s, %s, floor %d: %v, %x, expected %x", provider, name, floor, err, ev.Data, want.OutBlob)
				}
				table, found, _ := end.Get(attest.LabelSNPCertTable)
				if found != (provider == providerSNP) || found && !bytes.Equal(table, want.AuxBlob) {
					t.Errorf("%s, %s: certificates %q, expected %q", provider, name, table, want.AuxBlob)
				}
				if len(sub.Entries) != 0 {
					t.Errorf("%s, %s: %d entries left behind", provider, name, len(sub.Entries))
				}
			}
		}
	}
}

// TestGoogleAcceptsMore: what makes us keep our own. A provider that changed
// and a report over other bytes get through theirs.
func TestGoogleAcceptsMore(t *testing.T) {
	b := bound(t)
	in := b.Bytes()
	f := newTheirs(providerSNP, faketsm.ReportV7(0))
	a, err := open(f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	inner := f.sub.ReadAttr
	for attr, lie := range map[string][]byte{"outblob": make([]byte, snpReportSize), "provider": []byte(providerTDX)} {
		f.sub.ReadAttr = func(e *faketsm.ReportEntry, name string) ([]byte, error) {
			if name == attr {
				return lie, nil
			}
			return inner(e, name)
		}
		if _, err := report.Get(f.client, &report.Request{InBlob: in[:]}); err != nil {
			t.Errorf("%s: Google's client refuses it by now: %v", attr, err)
		}
		if ev, _, err := a.Attest(t.Context(), b); !errors.Is(err, attest.ErrUnavailable) {
			t.Errorf("%s: evidence %v, %v", attr, ev.Kind, err)
		}
	}
}
