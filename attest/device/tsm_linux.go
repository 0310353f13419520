package device

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/blindbox/blindbox/attest"
)

// tsmReports is where the kernel takes orders for reports
// (Documentation/ABI/testing/configfs-tsm-report).
const tsmReports = "/sys/kernel/config/tsm/report"

// What the kernel's drivers for guests call themselves.
const (
	providerSNP = "sev_guest"
	providerTDX = "tdx_guest"
)

const (
	// snpReportSize and snpReportDataAt are from AMD 56860, ATTESTATION_REPORT.
	snpReportSize   = 1184
	snpReportDataAt = 0x50
	// maxText bounds the attributes that hold a word or a number.
	maxText = 256
)

// tsm is the driver behind configfs-tsm.
type tsm struct {
	files files
	of    attest.Kind
}

func newTSM(files files, k attest.Kind) *turns { return inTurns(&tsm{files, k}) }

func (t *tsm) kind() attest.Kind { return t.of }

func (t *tsm) provider() string {
	if t.of == attest.TDX {
		return providerTDX
	}
	return providerSNP
}

// maxReport is how much there may be of outblob.
func (t *tsm) maxReport() int {
	if t.of == attest.TDX {
		return maxQuote
	}
	return snpReportSize
}

// once makes an entry of its own, so that conflicts should not arise, and still
// looks for them: generation counts the writes to an entry. The certificates
// that a hypervisor supplied with an SNP report are stapled as
// [attest.LabelSNPCertTable], the log of a TD's boot as [attest.LabelEventLog].
func (t *tsm) once(b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	reportData := b.Bytes()
	report, certs, err := t.report(reportData)
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	var end attest.Endorsements
	if t.of == attest.TDX {
		if err := checkQuote(report, teeTDX, reportData); err != nil {
			return attest.Evidence{}, nil, err
		}
		end = eventLog(t.files, pathCCEL)
	} else if err := checkReport(report, reportData); err != nil {
		return attest.Evidence{}, nil, err
	}
	if t.of == attest.SNP && len(certs) > 0 {
		end = attest.Endorsements{{Label: attest.LabelSNPCertTable, Data: certs}}
	}
	return attest.Evidence{Kind: t.of, Data: report}, end, nil
}

func (t *tsm) report(reportData [64]byte) (report, certs []byte, err error) {
	e, err := newEntry(t.files)
	if err != nil {
		return nil, nil, err
	}
	defer e.remove()
	before, err := e.number("generation")
	if err != nil {
		return nil, nil, err
	}
	writes, err := e.order(t.provider(), reportData)
	if err != nil {
		return nil, nil, err
	}
	if report, certs, err = e.collect(t.maxReport()); err != nil {
		return nil, nil, err
	}
	after, err := e.number("generation")
	if err != nil {
		return nil, nil, err
	}
	if after != before+writes {
		return nil, nil, fmt.Errorf("generation %d after %d writes to %d: %w", after, writes, before, errConflict)
	}
	return report, certs, nil
}

// checkReport refuses what nobody would accept. The kernel swallows errors of
// writes to inblob (they happen when the file is closed), so a report over
// something else is a thing that happens.
func checkReport(report []byte, reportData [64]byte) error {
	if len(report) != snpReportSize {
		return fmt.Errorf("report of %d bytes, expected %d", len(report), snpReportSize)
	}
	return isOver("report", report[snpReportDataAt:snpReportDataAt+64], reportData[:])
}

// isOver compares what was signed with what was asked for.
func isOver(what string, got, want []byte) error {
	if !bytes.Equal(got, want) {
		return fmt.Errorf("the %s is over %x, expected %x", what, got, want)
	}
	return nil
}

// detectTSM asks the kernel what it has. One directory serves both kinds, and
// which it is, only an entry tells.
func detectTSM(files files) Detection {
	snp := Candidate{Kind: attest.SNP, Path: tsmReports}
	const hint = "needs Linux 6.7 or later in a confidential guest, with configfs mounted (mount -t configfs none /sys/kernel/config) and the module of the hardware (modprobe sev-guest or tdx-guest)"
	provider, reason := "", ""
	if absent(files, &snp, hint) {
		reason = snp.Reason
	} else {
		provider, reason = providerOf(files)
	}
	tdx := Candidate{Kind: attest.TDX, Path: tsmReports, Present: snp.Present}
	for _, c := range []struct {
		to         *Candidate
		name, node string
	}{{&snp, providerSNP, "/dev/sev-guest"}, {&tdx, providerTDX, "/dev/tdx_guest"}} {
		switch {
		case reason == "" && provider == c.name:
			c.to.Detail = "provider " + provider
		case reason == "":
			c.to.Reason = fmt.Sprintf("provider %q, expected %q", provider, c.name)
		case files.stat(c.node) == nil:
			c.to.Reason = reason + "; " + c.node + " is there: the hardware is, the kernel's interface is not"
		default:
			c.to.Reason = reason
		}
	}
	return Detection{snp, tdx}
}

// providerOf returns the provider's name, or why there is none.
func providerOf(files files) (provider, reason string) {
	provider, err := askProvider(files)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "", "no permission to make an entry: run as root"
	case errors.Is(err, syscall.ENXIO):
		return "", "no provider: the kernel found no hardware that it can ask (is the module sev-guest or tdx-guest loaded?)"
	case err != nil:
		return "", err.Error()
	}
	return provider, ""
}

func askProvider(files files) (string, error) {
	e, err := newEntry(files)
	if err != nil {
		return "", err
	}
	defer e.remove()
	return e.text("provider")
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
func (e entry) order(want string, reportData [64]byte) (writes uint64, err error) {
	provider, err := e.text("provider")
	if err != nil {
		return 0, err
	}
	if provider != want {
		return 0, fmt.Errorf("provider %q, expected %q", provider, want)
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
func (e entry) collect(limit int) (report, certs []byte, err error) {
	if report, err = e.files.read(path.Join(e.dir, "outblob"), limit); err != nil {
		return nil, nil, err
	}
	certs, err = e.files.read(path.Join(e.dir, "auxblob"), attest.MaxEndorsement)
	if errors.Is(err, fs.ErrNotExist) {
		return report, nil, nil
	}
	return report, certs, err
}
