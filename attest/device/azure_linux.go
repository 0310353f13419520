package device

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
)

// Where Azure's paravisor keeps things in the TPM that it emulates (Microsoft,
// "Azure confidential VMs: guest attestation").
const (
	hclIndex uint32 = 0x01400001 // HCL report
	hclAK    uint32 = 0x81000003 // attestation key, named in the report's runtime data
)

// The HCL report: 32 bytes of header beginning with "HCLA", the hardware's
// report, and at 1216 the runtime data with their size, version and the type of
// the report.
const (
	hclMagic    = "HCLA"
	hclReportAt = 32
	hclTypeAt   = 1216 + 8
	hclMin      = 1216 + 20
	hclSNP      = 2
	hclTDX      = 4
	tdReport    = 1024 // TDREPORT_STRUCT (Intel TDX Module ABI)
)

// hostLimit is for the host to make a quote; the paravisor's own code waits as
// long.
const hostLimit = 30 * time.Second

var errNoHCL = errors.New("no HCL report in the TPM: not an Azure confidential VM")

// azure is the driver of an Azure confidential VM: the paravisor's report and a
// quote of its TPM. What is asked for is in the quote; the report was made for
// the paravisor and names the key that signs the quote.
type azure struct {
	files   files
	of      attest.Kind
	tdQuote func(ctx context.Context, tdreport []byte) ([]byte, error)
}

func newAzure(files files, k attest.Kind, tdQuote func(context.Context, []byte) ([]byte, error)) tpmAttester {
	return tpmAttester{inTurns(&azure{files, k, tdQuote}), files}
}

func (a *azure) kind() attest.Kind { return a.of }

func (a *azure) once(b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	l, err := openTPM(a.files)
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	defer l.Close()
	out := form.Azure{}
	if out.HCLReport, err = l.hclReport(); err != nil {
		return attest.Evidence{}, nil, err
	}
	if out.TDQuote, err = a.quoteOf(out.HCLReport); err != nil {
		return attest.Evidence{}, nil, err
	}
	public, err := l.readPublic(hclAK)
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	if out.TPM, err = l.quoted(hclAK, public, b.Nonce(a.of)); err != nil {
		return attest.Evidence{}, nil, err
	}
	return attest.Evidence{Kind: a.of, Data: out.Encode()}, eventLog(a.files, pathTPMLog), nil
}

// quoteOf returns the TD quote, nothing on SEV-SNP.
func (a *azure) quoteOf(report []byte) ([]byte, error) {
	want := map[attest.Kind]uint32{attest.AzureSNP: hclSNP, attest.AzureTDX: hclTDX}[a.of]
	if of := binary.LittleEndian.Uint32(report[hclTypeAt:]); of != want {
		return nil, fmt.Errorf("the paravisor's report is of type %d, expected %d", of, want)
	}
	if a.of != attest.AzureTDX {
		return nil, nil
	}
	if a.tdQuote == nil {
		return nil, errors.New("nobody asks the host for a TD quote")
	}
	ctx, cancel := context.WithTimeout(context.Background(), hostLimit)
	defer cancel()
	td := report[hclReportAt : hclReportAt+tdReport]
	quote, err := a.tdQuote(ctx, td)
	if err != nil {
		return nil, fmt.Errorf("TD quote: %w", err)
	}
	if len(quote) > maxQuote {
		return nil, fmt.Errorf("TD quote of %d bytes, limit %d", len(quote), maxQuote)
	}
	return quote, checkQuote(quote, teeTDX, [64]byte(td[tdReportDataAt:]))
}

// tdReportDataAt is REPORTDATA in the REPORTMACSTRUCT that opens a TDREPORT
// (Intel TDX Module ABI).
const tdReportDataAt = 128

func hclReport(files files) ([]byte, error) {
	l, err := openTPM(files)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.hclReport()
}

func (l tpmLink) hclReport() ([]byte, error) {
	report, err := l.nvRead(hclIndex, maxNV)
	switch {
	case isTPM(err, rcHandle):
		return nil, errNoHCL
	case err != nil:
		return nil, err
	case len(report) < hclMin || string(report[:4]) != hclMagic:
		return nil, fmt.Errorf("HCL report of %d bytes, expected %d or more that begin with %s", len(report), hclMin, hclMagic)
	}
	return report, nil
}
