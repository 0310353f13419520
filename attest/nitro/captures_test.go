package nitro_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/attesttest/casetest"
	"github.com/blindbox/blindbox/attest/nitro"
)

// golden is the whole list of checks of each capture.
var golden = map[string][]string{
	"dstack-nsm-qvl": {
		`hardware.kind PASS: nitro`,
		`hardware.document PASS: COSE_Sign1, ES384, 16 PCRs`,
		`hardware.root PASS: "aws.nitro-enclaves"`,
		`hardware.certificates PASS: 5 certificates`,
		`hardware.chain PASS: "i-0827e799ec9232d44-enc019b55a68bd2ed4b.us-east-1.aws", "i-0827e799ec9232d44.us-east-1.aws.nitro-enclaves", "db5d852a812a3d1e.zonal.us-east-1.aws.nitro-enclaves", "d3c9df74fdeb2ba5.us-east-1.aws.nitro-enclaves", "aws.nitro-enclaves"`,
		`hardware.validity PASS: 2025-12-25T13:15:34Z to 2025-12-25T16:15:37Z`,
		`hardware.module PASS: "i-0827e799ec9232d44-enc019b55a68bd2ed4b"`,
		`hardware.timestamp PASS: 2025-12-25T13:15:37.578Z`,
		`hardware.signature PASS: ES384`,
	},
	"dstack-debug-pcr-zero": {
		`hardware.kind PASS: nitro`,
		`hardware.document PASS: COSE_Sign1, ES384, 16 PCRs`,
		`hardware.root PASS: "aws.nitro-enclaves"`,
		`hardware.certificates PASS: 5 certificates`,
		`hardware.chain PASS: "i-0fd3fdaad4e904e69-enc019b54988b2d89ba.us-east-1.aws", "i-0fd3fdaad4e904e69.us-east-1.aws.nitro-enclaves", "f632acc1427573ea.zonal.us-east-1.aws.nitro-enclaves", "d3c9df74fdeb2ba5.us-east-1.aws.nitro-enclaves", "aws.nitro-enclaves"`,
		`hardware.validity PASS: 2025-12-25T08:20:43Z to 2025-12-25T11:20:46Z`,
		`hardware.module PASS: "i-0fd3fdaad4e904e69-enc019b54988b2d89ba"`,
		`hardware.timestamp PASS: 2025-12-25T08:20:46.577Z`,
		`hardware.signature PASS: ES384`,
	},
}

func TestRealEnclavesVerify(t *testing.T) {
	v := awsVerifier(t)
	for _, c := range captures {
		t.Run(c.name, func(t *testing.T) {
			claims, err := v.Verify(c.evidence(t), nil, c.at)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, check := range claims.Checks {
				got = append(got, check.String())
			}
			if strings.Join(got, "\n") != strings.Join(golden[c.name], "\n") {
				t.Errorf("checks:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(golden[c.name], "\n"))
			}
			if claims.Kind != attest.Nitro || claims.Simulated || claims.Nonce != nil || claims.LaunchDigest != nil || claims.ReportData != [64]byte{} {
				t.Errorf("claims %+v", claims)
			}
			d := claims.Detail.(*nitro.Claims).Document
			if d.Debug() != c.debug || len(d.PCRs) != 16 || len(d.UserData) != 64 || d.Nonce != nil || d.PublicKey != nil || !d.Timestamp.Equal(c.at) {
				t.Errorf("document %+v", d)
			}
		})
	}
}

// TestRealRegisters reads the production document's registers by hand.
func TestRealRegisters(t *testing.T) {
	d, err := nitro.ParseDocument(production.evidence(t).Data)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]string{
		0: "5cb702954321826d7939d6da829a940d787fcf32357beb8eae1ddf33c28c17d36f3ac3ba6828fdf7edeed02889702da6",
		1: "0343b056cd8485ca7890ddd833476d78460aed2aa161548e4e26bedf321726696257d623e8805f3f605946b3d8b0c6aa",
		2: "743ea12db9aba9440a8197f7ac9aeda43cfbb1587473ff7577415ac5be116bc026dfa836db6713930474d1aa0d06b049",
		3: strings.Repeat("0", 96),
		4: "7b3574ad9b7e88ec8335e8ce967315fac77218441e97eea9795de704d7f2678d0b298ecda39b544c1689669f48cba5e8",
	} {
		pcr, ok := d.PCRs[i]
		if got := hex.EncodeToString(pcr[:]); !ok || got != want {
			t.Errorf("PCR%d %s, want %s", i, got, want)
		}
	}
}

// TestFilesAroundDocuments holds what vectors/nitro/ORIGIN.md says of the files:
// neither is a document alone, and neither is accepted as one.
func TestFilesAroundDocuments(t *testing.T) {
	v := awsVerifier(t)
	for _, c := range captures {
		cose, raw := vector(t, c.name+".cose"), vector(t, c.name+".raw.bin")
		document, rest, err := nitro.Split(cose)
		if err != nil || len(document) != c.size || len(rest) != 151 || !bytes.Equal(append(bytes.Clone(document), rest...), cose) {
			t.Errorf("%s: split into %d and %d bytes, error %v", c.name, len(document), len(rest), err)
		}
		if raw[0] != 0 || raw[1] != 2 || int(binary.LittleEndian.Uint16(raw[2:])>>2) != c.size || !bytes.Equal(raw[4:], cose) {
			t.Errorf("%s: the record does not begin with the document's length", c.name)
		}
		if !bytes.Equal(rest[:65], make([]byte, 65)) || int(binary.LittleEndian.Uint16(rest[65:])>>2) != len(rest)-67 {
			t.Errorf("%s: the record does not end as described", c.name)
		}
		for _, data := range [][]byte{cose, raw} {
			_, err := v.Verify(attest.Evidence{Kind: attest.Nitro, Data: data}, nil, c.at)
			casetest.Refused(t, err, "hardware.document", attest.CodeMalformed)
		}
		if _, _, err := nitro.Split(raw); err == nil {
			t.Errorf("%s: a document was found at the start of the record", c.name)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	document := production.evidence(t).Data
	for n := range len(document) {
		if d, rest, err := nitro.Split(document[:n]); err == nil || d != nil || rest != nil {
			t.Fatalf("a document cut at %d was found", n)
		}
	}
}

// TestRealTimes holds both ends of the three hours.
func TestRealTimes(t *testing.T) {
	v := awsVerifier(t)
	from, to := time.Date(2025, 12, 25, 13, 15, 34, 0, time.UTC), time.Date(2025, 12, 25, 16, 15, 37, 0, time.UTC)
	for at, valid := range map[time.Time]bool{from: true, to: true, from.Add(-time.Second): false, to.Add(time.Second): false} {
		claims, err := v.Verify(production.evidence(t), nil, at)
		if !valid {
			casetest.Refused(t, err, "hardware.validity", attest.CodeExpired)
			continue
		}
		if err != nil || claims.Endorsed != (attest.Validity{NotBefore: from, NotAfter: to}) {
			t.Errorf("at %s: %v", at, err)
		}
	}
}

// TestOtherVendorsRoots holds that a fake AWS is not trusted, and that AWS is
// not trusted by those who trust a fake one.
func TestOtherVendorsRoots(t *testing.T) {
	_, err := awsVerifier(t).Verify(attesttest.NewAWS().Make(t, [64]byte{1}), nil, attesttest.Epoch())
	casetest.Refused(t, err, "hardware.root", attest.CodeUntrustedRoot)
	_, err = forgedVerifier(t).Verify(production.evidence(t), nil, production.at)
	casetest.Refused(t, err, "hardware.root", attest.CodeUntrustedRoot)
	for _, v := range []*nitro.Verifier{{}, nil} {
		claims, err := v.Verify(production.evidence(t), nil, production.at)
		casetest.Refused(t, err, "hardware.root", attest.CodeUntrustedRoot)
		chain, endorseErr := v.Endorse(production.evidence(t), production.at)
		casetest.Refused(t, endorseErr, "hardware.root", attest.CodeUntrustedRoot)
		if claims != nil || chain != nil || v.Kind() != attest.Nitro {
			t.Errorf("claims %v, chain %v", claims, chain)
		}
	}
	if span := (*nitro.Chain)(nil).Endorsed(); span.Contains(production.at) {
		t.Errorf("no chain is in force: %v", span)
	}
	both, err := nitro.NewVerifierWithRoots(attesttest.NewAWS().Root(t), attesttest.StrangerAWS().Root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, aws := range []*attesttest.AWS{attesttest.NewAWS(), attesttest.StrangerAWS()} {
		if _, err := both.Verify(aws.Make(t, [64]byte{1}), nil, attesttest.Epoch()); err != nil {
			t.Error(err)
		}
	}
}

// TestVectorsUnchanged compares the captures with their digests.
func TestVectorsUnchanged(t *testing.T) { casetest.Unchanged(t, "../../vectors/nitro", 4) }

// TestUnprotectedHeader: nobody signs the unprotected header, so it is empty. One
// that only says to have a field leaves the document and its signature as they are.
func TestUnprotectedHeader(t *testing.T) {
	ev := production.evidence(t)
	head := []byte{0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0} // [h'A1013822', {}, ...
	if !bytes.HasPrefix(ev.Data, head) {
		t.Fatalf("the document begins with %x", ev.Data[:len(head)])
	}
	ev.Data = bytes.Clone(ev.Data)
	ev.Data[len(head)-1]++
	claims, err := awsVerifier(t).Verify(ev, nil, production.at)
	casetest.Refused(t, err, "hardware.document", attest.CodeMalformed)
	if claims != nil {
		t.Error("claims beside an error")
	}
}
