package source

import (
	"encoding/hex"
	"fmt"

	"github.com/blindbox/blindbox/attest"
)

// TCB are the security patch levels that a VCEK is derived from (AMD 57230,
// chapter 4). FMC is asked for on Turin only.
type TCB struct{ FMC, Bootloader, TEE, SNP, Microcode uint8 }

// Lines are the product lines that AMD has SEV-SNP roots for, as its paths
// write them. Zen 4c processors (Bergamo, Siena) are served as Genoa.
func Lines() []string { return []string{"Milan", "Genoa", "Turin"} }

// hwidSize is the length of a line's hardware id in bytes, 0 for no line.
func hwidSize(line string) int {
	switch line {
	case "Milan", "Genoa":
		return 64
	case "Turin":
		return 8
	}
	return 0
}

// VCEK is the certificate of one chip at one TCB.
func VCEK(line string, hwid []byte, tcb TCB) (Object, error) {
	size := hwidSize(line)
	switch {
	case size == 0:
		return refuse("product line", line, "Milan, Genoa or Turin")
	case len(hwid) != size:
		return refuse("hardware id of "+line, fmt.Sprintf("%d bytes", len(hwid)), fmt.Sprintf("%d bytes", size))
	case allZero(hwid):
		return refuse("hardware id of "+line, "zeros", "one that the host has not masked")
	}
	id := hex.EncodeToString(hwid)
	path := fmt.Sprintf("/vcek/v1/%s/%s?", line, id)
	if line == "Turin" {
		path += fmt.Sprintf("fmcSPL=%d&", tcb.FMC)
	}
	path += fmt.Sprintf("blSPL=%d&teeSPL=%d&snpSPL=%d&ucodeSPL=%d", tcb.Bootloader, tcb.TEE, tcb.SNP, tcb.Microcode)
	return Object{
		host: AMDKDS, form: FormVCEK, path: path, label: attest.LabelSNPVEK,
		what: fmt.Sprintf("VCEK of %s chip %s..", line, id[:8]),
	}, nil
}

// AMDCRL is the CRL of a line's root, which lists its ASK, or its ASVK if
// vlek is set. AMD publishes none of the chips' certificates.
func AMDCRL(line string, vlek bool) (Object, error) {
	if hwidSize(line) == 0 {
		return refuse("product line", line, "Milan, Genoa or Turin")
	}
	service := "vcek"
	if vlek {
		service = "vlek"
	}
	return Object{
		host: AMDKDS, form: FormCRL, path: "/" + service + "/v1/" + line + "/crl", label: attest.LabelSNPARKCRL,
		what: "CRL of ARK-" + line + " (" + service + ")",
	}, nil
}

func allZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}
