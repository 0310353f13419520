package device

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// tsmReports is where the kernel takes orders for reports
// (Documentation/ABI/testing/configfs-tsm-report).
const tsmReports = "/sys/kernel/config/tsm/report"

// providerSNP is what the kernel's driver for SEV-SNP guests calls itself.
const providerSNP = "sev_guest"

const (
	// reportSize and reportDataAt are from AMD 56860, ATTESTATION_REPORT.
	reportSize   = 1184
	reportDataAt = 0x50
	// maxText bounds the attributes that hold a word or a number.
	maxText = 256
	// maxAttempts bounds how often a report is ordered again after a conflict;
	// the pause between attempts doubles from firstPause.
	maxAttempts = 5
	firstPause  = 20 * time.Millisecond
)

// errConflict says that somebody else wrote to our entry.
var errConflict = errors.New("somebody else changed the entry meanwhile")

// tsm is the Attester behind configfs-tsm. The firmware makes one report at a
// time and the kernel does not let a request be called off, so requests take
// turns, and one that hangs holds its turn and not its caller.
type tsm struct {
	files files
	turn  chan struct{}
	pause time.Duration
}

func newTSM(files files) *tsm {
	return &tsm{files: files, turn: make(chan struct{}, 1), pause: firstPause}
}

// Kind returns SNP.
func (t *tsm) Kind() attest.Kind { return attest.SNP }

type answer struct {
	ev  attest.Evidence
	end attest.Endorsements
	err error
}

// Attest asks the firmware for a report over b. The certificates that the
// hypervisor supplied, if any, are stapled as [attest.LabelSNPCertTable]. Errors
// wrap [attest.ErrUnavailable], and the context's error if it ended first.
func (t *tsm) Attest(ctx context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	if b.IsZero() {
		return attest.Evidence{}, nil, errors.New("device: nothing to sign: the bound is zero")
	}
	if err := ctx.Err(); err != nil {
		return attest.Evidence{}, nil, unavailable(err)
	}
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return attest.Evidence{}, nil, unavailable(ctx.Err())
	}
	done := make(chan answer, 1)
	go func() {
		defer func() { <-t.turn }()
		done <- t.ask(ctx, b.Bytes())
	}()
	select {
	case a := <-done:
		return a.ev, a.end, a.err
	case <-ctx.Done():
		return attest.Evidence{}, nil, unavailable(ctx.Err())
	}
}

func unavailable(err error) error {
	return fmt.Errorf("device: evidence %w: %w", attest.ErrUnavailable, err)
}

// ask orders a report until there was no conflict.
func (t *tsm) ask(ctx context.Context, reportData [64]byte) answer {
	pause := t.pause
	for attempt := 1; ; attempt++ {
		ev, end, err := t.once(reportData)
		if err == nil {
			return answer{ev: ev, end: end}
		}
		if attempt == maxAttempts || !temporary(err) {
			return answer{err: unavailable(fmt.Errorf("attempt %d of %d: %w", attempt, maxAttempts, err))}
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return answer{err: unavailable(ctx.Err())}
		}
	}
}

// temporary reports whether another attempt may do better: conflicts, and what
// the kernel answers while the firmware is busy or being throttled by the host.
func temporary(err error) bool {
	for _, e := range []error{errConflict, syscall.EBUSY, syscall.EAGAIN, syscall.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// once makes an entry of its own, so that conflicts should not arise, and still
// looks for them: generation counts the writes to an entry.
func (t *tsm) once(reportData [64]byte) (attest.Evidence, attest.Endorsements, error) {
	e, err := newEntry(t.files)
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	defer e.remove()
	before, err := e.number("generation")
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	writes, err := e.order(reportData)
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	report, certs, err := e.collect()
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	after, err := e.number("generation")
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	if after != before+writes {
		return attest.Evidence{}, nil, fmt.Errorf("generation %d after %d writes to %d: %w", after, writes, before, errConflict)
	}
	if err := checkReport(report, reportData); err != nil {
		return attest.Evidence{}, nil, err
	}
	var end attest.Endorsements
	if len(certs) > 0 {
		end = attest.Endorsements{{Label: attest.LabelSNPCertTable, Data: certs}}
	}
	return attest.Evidence{Kind: attest.SNP, Data: report}, end, nil
}

// checkReport refuses what nobody would accept. The kernel swallows errors of
// writes to inblob (they happen when the file is closed), so a report over
// something else is a thing that happens.
func checkReport(report []byte, reportData [64]byte) error {
	if len(report) != reportSize {
		return fmt.Errorf("report of %d bytes, expected %d", len(report), reportSize)
	}
	if got := report[reportDataAt : reportDataAt+64]; !bytes.Equal(got, reportData[:]) {
		return fmt.Errorf("the report is over %x, expected %x", got, reportData)
	}
	return nil
}

// entry is a directory of our own below tsmReports.
type entry struct {
	files files
	dir   string
}

func newEntry(files files) (entry, error) {
	e := entry{files, path.Join(tsmReports, "blindbox-"+rand.Text())}
	if err := files.mkdir(e.dir); err != nil {
		return entry{}, err
	}
	return e, nil
}

// remove leaves nothing behind. There is nothing to be done if it fails: the
// entry holds only what is sent to strangers anyway.
func (e entry) remove() { _ = e.files.rmdir(e.dir) }

func (e entry) text(name string) (string, error) {
	b, err := e.files.read(path.Join(e.dir, name), maxText)
	return strings.TrimSuffix(string(b), "\n"), err
}

func (e entry) number(name string) (uint64, error) {
	s, err := e.text(name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is %q, expected a number", name, s)
	}
	return n, nil
}

// order writes what the report is to be over and returns the number of writes.
func (e entry) order(reportData [64]byte) (writes uint64, err error) {
	provider, err := e.text("provider")
	if err != nil {
		return 0, err
	}
	if provider != providerSNP {
		return 0, fmt.Errorf("provider %q, expected %q", provider, providerSNP)
	}
	if writes, err = e.orderLevel(); err != nil {
		return 0, err
	}
	if err := e.files.write(path.Join(e.dir, "inblob"), reportData[:]); err != nil {
		return 0, err
	}
	return writes + 1, nil
}

// orderLevel asks for the most privileged level (VMPL) that this kernel may
// speak for. It differs from 0 only under a paravisor (SVSM).
func (e entry) orderLevel() (writes uint64, err error) {
	floor, err := e.number("privlevel_floor")
	if errors.Is(err, fs.ErrNotExist) || err == nil && floor == 0 {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return 1, e.files.write(path.Join(e.dir, "privlevel"), []byte(strconv.FormatUint(floor, 10)))
}

// collect reads the report and the certificates that came with it.
func (e entry) collect() (report, certs []byte, err error) {
	if report, err = e.files.read(path.Join(e.dir, "outblob"), reportSize); err != nil {
		return nil, nil, err
	}
	certs, err = e.files.read(path.Join(e.dir, "auxblob"), attest.MaxEndorsement)
	if errors.Is(err, fs.ErrNotExist) {
		return report, nil, nil
	}
	return report, certs, err
}
