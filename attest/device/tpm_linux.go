package device

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
)

// tpmPath is the TPM behind the kernel's resource manager, which keeps what
// each of its users loads apart.
const tpmPath = "/dev/tpmrm0"

// gceAKCert is the NV index where Google's vTPM keeps the certificate of the key
// made from its own template, and nvGCETemplate that template; both exist for
// ECC P-256. Other TPMs have no certificate for an attestation key.
const (
	gceAKCert     uint32 = 0x01C10002
	gceAKTemplate uint32 = 0x01C10003
	maxNV                = 16 << 10
)

// tpm is the driver of a TPM 2.0. The attestation key is made again for each
// quote: it is always the same, and nothing of ours is left in the TPM.
type tpm struct{ files files }

func newTPM(files files) tpmAttester { return tpmAttester{inTurns(&tpm{files}), files} }

func (t *tpm) kind() attest.Kind { return attest.TPM }

func (t *tpm) once(b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	l, err := openTPM(t.files)
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	defer l.Close()
	handle, public, chain, err := l.attestationKey()
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	defer func() { _ = l.flush(handle) }() // the kernel does it too, at the end
	nonce := b.Nonce(attest.TPM)
	q, err := l.quoted(handle, public, nonce)
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	end := eventLog(t.files, pathTPMLog)
	if len(chain) > 0 {
		end = append(end, attest.Endorsement{Label: attest.LabelTPMAKChain, Data: chain})
	}
	return attest.Evidence{Kind: attest.TPM, Data: q.Encode()}, end, nil
}

func openTPM(files files) (tpmLink, error) {
	f, err := files.open(tpmPath)
	if err != nil {
		return tpmLink{}, err
	}
	return tpmLink{f}, nil
}

// attestationKey makes the key and returns its certificate, PEM, if the TPM
// keeps one.
func (l tpmLink) attestationKey() (handle uint32, public, chain []byte, err error) {
	template, err := l.nvRead(gceAKTemplate, maxNV)
	if isTPM(err, rcHandle) {
		handle, public, err = l.createAK(defaultAK())
		return handle, public, nil, err
	}
	if err != nil {
		return 0, nil, nil, err
	}
	cert, err := l.nvRead(gceAKCert, maxNV)
	if err != nil {
		return 0, nil, nil, err
	}
	handle, public, err = l.createAK(template)
	chain = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	return handle, public, chain, err
}

// quoted returns a quote with the registers that it is over. Registers that
// change between reading and signing are a conflict.
func (l tpmLink) quoted(key uint32, public []byte, nonce [32]byte) (form.TPM, error) {
	pcrs, err := l.readPCRs()
	if err != nil {
		return form.TPM{}, err
	}
	quote, signature, err := l.quote(key, nonce[:])
	if err != nil {
		return form.TPM{}, err
	}
	extra, digest, err := readQuote(quote)
	if err != nil {
		return form.TPM{}, err
	}
	if err := isOver("quote", extra, nonce[:]); err != nil {
		return form.TPM{}, err
	}
	h := sha256.New()
	for _, p := range pcrs {
		h.Write(p.Value)
	}
	if sum := h.Sum(nil); string(sum) != string(digest) {
		return form.TPM{}, fmt.Errorf("quote over registers %x, read %x: %w", digest, sum, errConflict)
	}
	return form.TPM{Quote: quote, Signature: signature, AKPublic: public, Bank: algSHA256, PCRs: pcrs}, nil
}

const (
	tpmGenerated uint32 = 0xFF544347 // Part 2, 6.2
	stQuote      uint16 = 0x8018
	clockInfo           = 17 // TPMS_CLOCK_INFO, Part 2, 10.11.1
	firmware            = 8
)

// readQuote returns extraData and pcrDigest of a TPMS_ATTEST (Part 2, 10.12.12).
func readQuote(quote []byte) (extra, digest []byte, err error) {
	r := &reply{rest: quote}
	magic, kind := r.u32(), r.u16()
	r.sized() // the key's qualified name
	extra = r.sized()
	r.take(clockInfo + firmware)
	mask, err := readSelection(r)
	digest = r.sized()
	switch {
	case err != nil:
		return nil, nil, err
	case r.err != nil:
		return nil, nil, r.err
	case magic != tpmGenerated || kind != stQuote:
		return nil, nil, fmt.Errorf("the TPM signed a structure %#x of type %#x, expected a quote", magic, kind)
	case mask != allPCRs || len(r.rest) != 0:
		return nil, nil, fmt.Errorf("quote over registers %#x with %d bytes behind it, expected %#x and none", mask, len(r.rest), allPCRs)
	}
	return extra, digest, nil
}

// detectTPM returns the candidates that are reached through a TPM. If it is a
// paravisor's, its quote alone says nothing about the hardware below it.
func detectTPM(files files, o Options) Detection {
	plain := Candidate{Kind: attest.TPM, Path: tpmPath}
	snp, tdx := Candidate{Kind: attest.AzureSNP, Path: tpmPath}, Candidate{Kind: attest.AzureTDX, Path: tpmPath}
	if absent(files, &plain, "no TPM 2.0, or a kernel without its driver") {
		snp.Reason, tdx.Reason = plain.Reason, plain.Reason
		return Detection{snp, tdx, plain}
	}
	snp.Present, tdx.Present = true, true
	report, err := hclReport(files)
	switch {
	case errors.Is(err, errNoHCL):
		plain.Detail = "TPM 2.0"
		snp.Reason, tdx.Reason = err.Error(), err.Error()
	case errors.Is(err, fs.ErrPermission):
		plain.Reason = "no permission to open it: run as root"
		snp.Reason, tdx.Reason = plain.Reason, plain.Reason
	case err != nil:
		plain.Reason = err.Error()
		snp.Reason, tdx.Reason = plain.Reason, plain.Reason
	default:
		plain.Reason = "this TPM is a paravisor's: alone it proves nothing about the machine, use azure-sev-snp or azure-tdx"
		sortAzure(&snp, &tdx, report, o)
	}
	return Detection{snp, tdx, plain}
}

// sortAzure says which of the two the report is of (HCL report header,
// attestation report type).
func sortAzure(snp, tdx *Candidate, report []byte, o Options) {
	of := binary.LittleEndian.Uint32(report[hclTypeAt:])
	snp.Reason = fmt.Sprintf("the paravisor's report is of type %d, expected %d", of, hclSNP)
	tdx.Reason = fmt.Sprintf("the paravisor's report is of type %d, expected %d", of, hclTDX)
	switch {
	case of == hclSNP:
		snp.Reason, snp.Detail = "", "Azure paravisor, HCL report of SEV-SNP"
	case of == hclTDX && o.TDQuote == nil:
		tdx.Reason = "needs the host to make a quote, and nobody here asks it"
	case of == hclTDX:
		tdx.Reason, tdx.Detail = "", "Azure paravisor, HCL report of TDX"
	}
}
